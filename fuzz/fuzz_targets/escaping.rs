//! Any text as identifier, name, column, alert and info.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| starlink_telemetry_fuzz::checks::escaping(data));
