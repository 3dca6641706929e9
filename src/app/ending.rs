//! The reasons for which the application ends, with their exit codes.

use crate::supervise::Role;

/// Why the application ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// The end was requested, for example by a signal.
    Asked,
    /// An actor failed too often.
    GivenUp(Role),
    /// Every account was stopped because its actors died too often.
    AccountsStopped,
    /// The HTTP server stopped unexpectedly.
    Server,
}

impl Ending {
    /// The exit code of the process: 70 (`EX_SOFTWARE` of sysexits.h) means that it should be restarted.
    #[must_use]
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Asked => 0,
            Self::Server => 1,
            Self::GivenUp(_) | Self::AccountsStopped => 70,
        }
    }
}
