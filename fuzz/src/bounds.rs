//! What an input may cost at most, in memory and in time.

use std::alloc::System;
use std::time::{Duration, Instant};

use peakmem_alloc::{INSTRUMENTED_SYSTEM, PeakMemAlloc, PeakMemAllocTrait};

#[global_allocator]
static MEMORY: &PeakMemAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Bytes for each of the input.
const FACTOR: usize = 16;

/// Bytes beside those.
const BASE: usize = 8 * 1024 * 1024;

/// Time for each byte. The product takes less than 50 ns; instrumented for a fuzzer it is many times slower.
const EACH: Duration = Duration::from_micros(2);

/// Time beside that: a machine has other things to do.
const AT_ONCE: Duration = Duration::from_secs(2);

/// Plays the product's part of a check.
///
/// # Panics
/// When it takes more memory or time than an input of this length may.
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
