//! The real service against the simulator, over HTTP. One binary, so that it is linked once.
#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on fails, and the place tells why"
)]

mod harness;
mod supervision;
