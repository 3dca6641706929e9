//! Any bytes as an Accept header and as parameters.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| starlink_telemetry_fuzz::checks::accept(data));
