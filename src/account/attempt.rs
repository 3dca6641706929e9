//! One attempt to poll: gets a token, sends the request, and decodes the answer.

use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use actix::{Addr, MailboxError};
use url::Url;

use super::TokenActor;
use super::messages::{GetToken, IssuedToken, Renewal, TokenRefused};
use crate::fleet::{Limits, RowSpan, latest};
use crate::starlink::{Client, PollError, PollFailure};
use crate::tasks::Pool;
use crate::telemetry::{Batch, DecodeError, Metadata, Rows, decode};
use crate::time::{Clock, Moment, unix_nanos};

/// The time limit for a token: two requests and the time between them.
const TOKEN_LIMIT: Duration = Duration::from_secs(60);

/// Asks for a token, in place of one that must not be used again.
///
/// # Errors
/// The actor has not replied. The reply may be that there is no token.
pub(super) async fn ask_for_token(
    token: &Addr<TokenActor>,
    instead_of: Option<Renewal>,
    clock: &Clock,
) -> Result<Result<IssuedToken, TokenRefused>, MailboxError> {
    let reply = token.send(GetToken { instead_of });
    let reply = clock.timeout(TOKEN_LIMIT, reply).await;
    reply.unwrap_or(Err(MailboxError::Timeout))
}

/// One attempt: a token, then a poll.
pub(super) struct Attempt {
    /// How long to wait before anything is sent.
    pub(super) pace: Duration,
    pub(super) client: Rc<Client>,
    pub(super) token: Addr<TokenActor>,
    pub(super) instead_of: Option<Renewal>,
    pub(super) url: Url,
    pub(super) batch_size: u32,
    pub(super) max_linger: Duration,
    pub(super) progress: Arc<Progress>,
    pub(super) clock: Clock,
    /// Decodes the answer.
    pub(super) decoder: Pool,
    #[cfg(feature = "fault-injection")]
    pub(super) fault: Option<crate::supervise::faults::Fault>,
}

impl Attempt {
    pub(super) async fn make(self) -> Polled {
        self.clock.sleep(self.pace).await;
        let IssuedToken { serial, bearer } = match self.token().await {
            Ok(token) => token,
            Err(error) => {
                return Polled {
                    result: Err(error),
                    token_serial: None,
                    took: None,
                };
            }
        };
        let sent = self.clock.ran();
        self.progress.sent();
        let progress = Arc::clone(&self.progress);
        let on_head = move || progress.arriving();
        let poll = self.client.poll(
            &self.url,
            &bearer,
            self.batch_size,
            self.max_linger,
            on_head,
        );
        let body = poll.await;
        let answered = self.clock.ran();
        let receipt = Receipt {
            sent,
            answered,
            at: self.clock.now(),
            corrected: self.clock.corrected(),
            is_corrected: self.clock.offset().is_some(),
        };
        Polled {
            result: match body {
                Ok(body) => self.decode(body.into(), receipt).await,
                Err(error) => Err(error.into()),
            },
            token_serial: Some(serial),
            took: Some(answered.saturating_sub(sent)),
        }
    }

    /// Decodes an answer on another thread, because a hostile one takes seconds, during which heartbeats would fail.
    async fn decode(&self, body: Vec<u8>, receipt: Receipt) -> Result<Answer, AttemptError> {
        #[cfg(feature = "fault-injection")]
        assert!(self.fault.is_none(), "injected panic");
        let decode = move || {
            let (rows, metadata) = decode(body)?;
            let span = RowSpan::of(&rows, &metadata);
            Ok(Answer {
                rows,
                span,
                metadata,
                receipt,
            })
        };
        let decoded = self.decoder.run(decode).await;
        decoded.map_err(|_| AttemptError::Panicked(WorkPanicked))?
    }

    async fn token(&self) -> Result<IssuedToken, AttemptError> {
        let reply = ask_for_token(&self.token, self.instead_of, &self.clock).await;
        reply
            .map_err(AttemptError::TokenActor)?
            .map_err(AttemptError::Token)
    }
}

/// How far an attempt has come.
#[derive(Debug, Default)]
pub(super) struct Progress {
    is_sent: AtomicBool,
    is_arriving: AtomicBool,
}

impl Progress {
    /// Whether the poll was sent, or is being sent.
    pub(super) fn is_sent(&self) -> bool {
        self.is_sent.load(Ordering::Relaxed)
    }

    /// Whether Starlink has begun to answer the poll.
    pub(super) fn is_arriving(&self) -> bool {
        self.is_arriving.load(Ordering::Relaxed)
    }

    /// The poll is being sent: from now on Starlink may hand out rows to it.
    fn sent(&self) {
        self.is_sent.store(true, Ordering::Relaxed);
    }

    /// Starlink has begun to answer the poll.
    fn arriving(&self) {
        self.is_arriving.store(true, Ordering::Relaxed);
    }
}

/// The result of an attempt, and the token that it used.
#[derive(Debug)]
pub(super) struct Polled {
    pub(super) result: Result<Answer, AttemptError>,
    pub(super) token_serial: Option<u64>,
    /// The time from the request to the end of the answer; `None` if no request was sent.
    pub(super) took: Option<Duration>,
}

/// A decoded answer.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) rows: Rows,
    pub(super) span: RowSpan,
    pub(super) metadata: Metadata,
    pub(super) receipt: Receipt,
}

/// The time of an answer, by each clock.
#[derive(Debug, Clone, Copy)]
pub(super) struct Receipt {
    /// When its request was sent, measured by the time that the process ran.
    pub(super) sent: Duration,
    /// When the answer was complete, by the same clock.
    pub(super) answered: Duration,
    /// The same time by the clock by which devices age.
    pub(super) at: Moment,
    /// The same time by the corrected clock.
    pub(super) corrected: SystemTime,
    /// Whether the clock is corrected by the `Date` of an answer.
    pub(super) is_corrected: bool,
}

impl Receipt {
    /// The latest timestamp of a row of this answer that is not in the future.
    pub(super) fn latest(&self, batch: &Batch) -> i64 {
        let now = self.is_corrected.then(|| unix_nanos(self.corrected));
        latest(batch, now, &Limits::STANDARD)
    }
}

/// Decoding panicked. The log has the panic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it panicked")]
pub struct WorkPanicked;

/// Why an attempt failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum AttemptError {
    #[error(transparent)]
    Token(TokenRefused),
    #[error("the token actor did not respond")]
    TokenActor(#[source] MailboxError),
    #[error("the poll failed")]
    Poll(#[from] PollError),
    #[error("the answer cannot be decoded")]
    Decode(#[from] DecodeError),
    #[error("decoding the answer failed: its rows are lost")]
    Panicked(#[source] WorkPanicked),
    #[error("the metadata actor did not respond: the rows of the answer are lost")]
    Metadata,
    #[error("the store did not take the batch: its rows are lost")]
    Store,
}

impl AttemptError {
    pub(super) fn reason(&self) -> PollFailure {
        match self {
            Self::Token(_) | Self::TokenActor(_) => PollFailure::Token,
            Self::Poll(error) => error.reason(),
            Self::Decode(_) | Self::Panicked(_) => PollFailure::Decode,
            Self::Metadata | Self::Store => PollFailure::StoreFailed,
        }
    }

    /// The HTTP status, if Starlink answered with anything but 200.
    pub(super) fn status(&self) -> Option<u16> {
        match self {
            Self::Poll(error) => error.answer().map(|answer| answer.status),
            _ => None,
        }
    }

    /// Whether a proxy or firewall may have cut the poll: the connection was lost, or a gateway answered instead of Starlink.
    pub(super) fn is_cut(&self) -> bool {
        self.reason() == PollFailure::Disconnected || matches!(self.status(), Some(408 | 502 | 504))
    }

    /// The wait that Starlink requests (`Retry-After`), if any.
    pub(super) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Poll(error) => error.retry_after(),
            _ => None,
        }
    }

    /// The wait before the next attempt, if the token actor has decided it.
    pub(super) fn retry_in(&self) -> Option<Duration> {
        match self {
            Self::Token(refused) => Some(refused.retry_in),
            _ => None,
        }
    }
}

/// The token to renew after a failed attempt. After any status but 200 a new token is requested; only after a 401 the old one is
/// discarded.
pub(super) fn renewal(error: &AttemptError, serial: Option<u64>) -> Option<Renewal> {
    error.status()?;
    Some(Renewal {
        serial: serial?,
        discard: error.reason() == PollFailure::Unauthorized,
    })
}
