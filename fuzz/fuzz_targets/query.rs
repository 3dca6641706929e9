//! Any bytes as the target and the host of a request.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| starlink_telemetry_fuzz::checks::query(data));
