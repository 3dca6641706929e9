//! Fuzzes sequences of answers.
#![no_main]

use starlink_telemetry_fuzz::{bounds, checks};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    bounds::within(data, checks::play_batches);
    checks::batches(data);
});
