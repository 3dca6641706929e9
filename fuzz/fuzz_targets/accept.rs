//! Fuzzes the Accept header and parameters of scrapes.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| starlink_telemetry_fuzz::checks::accept(data));
