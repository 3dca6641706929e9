//! The events of a schedule, and the effects that answer them.

use std::time::Duration;

use crate::account::inventory::pages::Skipped;
use crate::account::inventory::request::RequestError;
use crate::account::messages::Renewal;
use crate::inventory::{Part, Rejected};
use crate::time::Moment;

/// A request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::account::inventory) enum Step {
    /// A page of a part. A part that is no list has one.
    Page {
        /// The part.
        part: Part,
        /// The page, from 0.
        page: u32,
    },
    /// The last values of some terminals.
    LastValues {
        /// Which [`Query::PAGE_SIZE`] terminals of the inventory, from 0.
        chunk: u32,
    },
}

/// An event for the schedule. It has no effect in a phase to which it does not belong.
#[derive(Debug)]
pub(in crate::account::inventory) enum Event {
    /// The actor has started or restarted. A request or a merge in progress is lost.
    Started,
    /// The moment of [`Effect::Wait`] is reached.
    WaitIsOver,
    /// The request for a page has succeeded.
    PageRead {
        /// Whether no page follows.
        is_last: bool,
        /// Whether it has an entry that the pages before it lack. True if the part is no list.
        has_new: bool,
        /// Whether the pages are as much as the inventory can hold.
        is_full: bool,
    },
    /// The request for last values has succeeded. Those of some terminals may be invalid.
    LastValuesRead(Rejected),
    /// The request has failed.
    Failed {
        /// The reason.
        error: RequestError,
        /// The number of the token that was used, if one was.
        token_serial: Option<u64>,
    },
    /// The pages are the part's new value.
    Merged {
        /// The number of terminals that are known now.
        terminals: usize,
        /// The entries that the new value lacks.
        skipped: Skipped,
    },
    /// The pages make no value: all entries are invalid, or merging has panicked.
    NotMerged(RequestError),
}

/// An action for the actor. Actions are carried out in their order.
#[derive(Debug)]
pub(in crate::account::inventory) enum Effect {
    /// Report [`Event::WaitIsOver`] at this moment.
    Wait(Moment),
    /// Make a request, and report its result. The pages of a part are kept.
    Request {
        /// The request.
        step: Step,
        /// The token that must not be used again.
        instead_of: Option<Renewal>,
    },
    /// Make the part's value of its pages, and report the result.
    Merge(Part),
    /// Drop the pages of a part.
    DropPages(Part),
    /// Remove a part from the inventory.
    Forget(Part),
    /// Send the inventory to the store.
    Offer,
    /// Starlink asks for fewer requests.
    SlowDown,
    /// Log and count an outcome.
    Record(Outcome),
}

/// An outcome that is logged and counted.
#[derive(Debug)]
pub(in crate::account::inventory) enum Outcome {
    /// Starlink has answered with a page of a part.
    Permitted(Part),
    /// A part was read to its end.
    Read {
        /// The part.
        part: Part,
        /// The entries that its value lacks.
        skipped: Skipped,
    },
    /// Starlink has more pages of a part than the inventory can hold. They are left out.
    Cut {
        /// The part.
        part: Part,
        /// The number of pages that were read.
        pages: u32,
    },
    /// The permission for a part is missing.
    Forbidden(Part),
    /// A request for a part has failed.
    Failed {
        /// The part.
        part: Part,
        /// The reason.
        error: RequestError,
        /// The request is repeated after this time.
        wait: Duration,
    },
    /// A request for last values has failed, and is repeated.
    LastValuesFailed {
        /// The reason.
        error: RequestError,
        /// The request is repeated after this time.
        wait: Duration,
    },
    /// The last values of some terminals are not requested any more.
    LastValuesMissing {
        /// Why the last request failed.
        error: RequestError,
        /// The number of these terminals.
        terminals: usize,
    },
    /// The last values of terminals were read, or cannot be read. They are not requested again.
    LastValuesEnded {
        /// The number of terminals.
        terminals: usize,
        /// The number of those whose values were not read.
        missing: usize,
        /// Those whose values are invalid.
        rejected: Rejected,
    },
}
