//! The answer to a request for any part.

use super::answer::{AnswerError, Page, check_reading};
use super::{
    AccountInfo, Balance, Bounds, Lines, Part, Terminals, Usages, parse_account, parse_balances,
};

/// What an answer says about a part: all of it, or one page.
#[derive(Debug)]
pub enum Parsed {
    /// The account.
    Account(AccountInfo),
    /// Terminals and routers.
    Terminals(Page<Terminals>),
    /// Service lines.
    Lines(Page<Lines>),
    /// Data use.
    Usage(Page<Usages>),
    /// The amounts due.
    Balance(Vec<Balance>),
}

impl Parsed {
    /// Reads the answer to a request for a part, which arrived at this time in seconds since 1970.
    ///
    /// # Errors
    /// The answer is not JSON, or has another shape. Invalid entries of a page are no error, see [`Parsed::check_entries`].
    pub fn parse(part: Part, body: &[u8], at: f64, bounds: &Bounds) -> Result<Self, AnswerError> {
        Ok(match part {
            Part::Account => Self::Account(parse_account(body, bounds)?),
            Part::Terminals => Self::Terminals(Terminals::parse(body, bounds)?),
            Part::ServiceLines => Self::Lines(Lines::parse(body, bounds)?),
            Part::DataUsage => Self::Usage(Usages::parse(body, at, bounds)?),
            Part::Balance => Self::Balance(parse_balances(body, bounds)?),
        })
    }

    /// Whether no page follows.
    #[must_use]
    pub fn is_last(&self) -> bool {
        match self {
            Self::Terminals(page) => page.is_last,
            Self::Lines(page) => page.is_last,
            Self::Usage(page) => page.is_last,
            Self::Account(_) | Self::Balance(_) => true,
        }
    }

    /// Checks that the service can use the entries of the page.
    ///
    /// # Errors
    /// All of them are invalid.
    pub fn check_entries(&self) -> Result<(), AnswerError> {
        match self {
            Self::Terminals(page) => check_reading(page.entries.len(), &page.rejected),
            Self::Lines(page) => check_reading(page.entries.len(), &page.rejected),
            Self::Usage(page) => check_reading(page.entries.len(), &page.rejected),
            // These were checked when they were parsed.
            Self::Account(_) | Self::Balance(_) => Ok(()),
        }
    }
}
