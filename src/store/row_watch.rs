//! Tracks whether the answers of an account contain rows, and whether any of them is stored: logs a silent stream, and publishes for the page
//! that all rows are left out.

use std::time::Duration;

use tracing::{info, warn};

use crate::account::{AccountMetrics, Unstored};
use crate::fleet::Tally;

/// A stream that has been silent for less is not logged: pauses between rows are common.
const LOGGED_AFTER: Duration = Duration::from_secs(60);

/// Tracks the rows of one account's answers.
#[derive(Debug, Default)]
pub(super) struct RowWatch {
    /// The beginning of the silence that was logged, as a monotonic time.
    silent_since: Option<Duration>,
    /// Whether a row was stored since the start.
    has_stored: bool,
    /// The tally of rows since a row was last stored, and the arrival of the first of them.
    left_out: Option<(Tally, Duration)>,
}

impl RowWatch {
    /// Logs a silence of the stream once it has lasted for a minute, and its end, once each.
    pub(super) fn log_silence(
        &mut self,
        no_rows_for: Option<Duration>,
        tally: &Tally,
        devices: usize,
        now: Duration,
    ) {
        let rows = tally.received();
        if rows > 0 {
            if let Some(since) = self.silent_since.take() {
                let for_seconds = now.saturating_sub(since).as_secs();
                info!(rows, for_seconds, "rows arrive again");
            }
            return;
        }
        let no_rows_for = no_rows_for.filter(|no_rows_for| *no_rows_for >= LOGGED_AFTER);
        if let (Some(no_rows_for), None) = (no_rows_for, self.silent_since) {
            self.silent_since = Some(now.saturating_sub(no_rows_for));
            warn!(
                for_seconds = no_rows_for.as_secs(),
                devices, "answers contain no rows: the stream is silent, or all terminals are"
            );
        }
    }

    /// Takes the tally of an answer that arrived when the process had run for `ran`. Publishes the rows that were left out since one was stored.
    pub(super) fn note(&mut self, tally: &Tally, ran: Duration, metrics: &AccountMetrics) {
        if tally.received() == 0 {
            return;
        }
        if tally.left_out().is_none() {
            self.has_stored = true;
            if self.left_out.take().is_some() {
                metrics.rows_unstored(None);
            }
            return;
        }
        let (sum, since) = self.left_out.get_or_insert((Tally::default(), ran));
        sum.add(tally);
        metrics.rows_unstored(sum.left_out().map(|rows| Unstored {
            rows,
            since: *since,
            is_first: !self.has_stored,
        }));
    }
}
