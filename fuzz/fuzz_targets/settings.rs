//! Any texts as settings.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| starlink_telemetry_fuzz::checks::settings(data));
