//! Fuzzes identifiers, names, columns, alerts and texts.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| starlink_telemetry_fuzz::checks::escaping(data));
