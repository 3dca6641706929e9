//! How good or bad something is, as the page shows it.

/// How good or bad something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// No problem.
    Good,
    /// It is temporary, or may become a problem.
    Notice,
    /// A problem that an operator should examine.
    Bad,
}

impl Level {
    /// Its class in the style sheet.
    #[must_use]
    pub const fn class(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Notice => "notice",
            Self::Bad => "bad",
        }
    }

    /// A sign that shows it without a colour.
    #[must_use]
    pub const fn sign(self) -> &'static str {
        match self {
            Self::Good => "✓",
            Self::Notice => "▲",
            Self::Bad => "✕",
        }
    }
}
