//! Limits of memory and time for an input.

use std::alloc::System;
use std::time::{Duration, Instant};

use peakmem_alloc::{INSTRUMENTED_SYSTEM, PeakMemAlloc, PeakMemAllocTrait};

#[global_allocator]
static MEMORY: &PeakMemAlloc<System> = &INSTRUMENTED_SYSTEM;

/// The memory for each byte of the input, in bytes.
const FACTOR: usize = 16;

/// Additional memory for any input, in bytes.
const BASE: usize = 8 * 1024 * 1024;

/// The time for each byte of the input. The service takes less than 50 ns; with the fuzzer's instrumentation it is much slower.
const EACH: Duration = Duration::from_micros(2);

/// Additional time for any input, for busy machines.
const AT_ONCE: Duration = Duration::from_secs(2);

/// Runs the service's part of a check and measures it.
///
/// # Panics
/// It exceeds the limit of memory or time for the length of the input.
pub fn within(data: &[u8], play: fn(&[u8])) {
    MEMORY.reset_peak_memory();
    let started = Instant::now();
    play(data);
    let took = started.elapsed();
    let peak = MEMORY.get_peak_memory();
    let length = data.len();
    assert!(
        peak <= FACTOR * length + BASE,
        "{peak} bytes of memory for {length}"
    );
    let allowed = AT_ONCE + EACH * u32::try_from(length).unwrap_or(u32::MAX);
    assert!(took <= allowed, "{took:?} for {length} bytes");
}
