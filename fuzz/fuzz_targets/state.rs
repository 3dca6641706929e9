//! Any bytes as the fleet of an earlier process.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| starlink_telemetry_fuzz::checks::state(data));
