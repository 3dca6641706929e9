//! Any bytes as answers, one after the other.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| starlink_telemetry_fuzz::checks::batches(data));
