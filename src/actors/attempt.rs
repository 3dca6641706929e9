//! One attempt to poll: a token, then a request; how it ended, and what that asks for.

use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use actix::Addr;
use url::Url;

use super::TokenActor;
use super::messages::{GetToken, IssuedToken, Renewal, TokenRefused};
use super::worker::{WorkPanicked, Worker};
use crate::fleet::Coverage;
use crate::starlink::{Client, PollError, PollFailure};
use crate::telemetry::{DecodeError, Metadata, Rows, decode};
use crate::time::Clock;
use crate::time::Moment;

/// How long a token may take: two requests, and their distance.
const TOKEN_PATIENCE: Duration = Duration::from_secs(60);

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
    pub(super) is_arriving: Arc<AtomicBool>,
    pub(super) clock: Clock,
    /// Decodes the answer.
    pub(super) worker: Worker,
    #[cfg(feature = "fault-injection")]
    pub(super) fault: Option<super::faults::Fault>,
}

impl Attempt {
    pub(super) async fn make(self) -> Polled {
        actix_rt::time::sleep(self.pace).await;
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
        let sent = self.clock.elapsed();
        let is_arriving = Arc::clone(&self.is_arriving);
        let on_head = move || is_arriving.store(true, Ordering::Relaxed);
        let poll = self.client.poll(
            &self.url,
            &bearer,
            self.batch_size,
            self.max_linger,
            on_head,
        );
        let body = poll.await;
        let answered = self.clock.elapsed();
        let received = self.clock.wall();
        let poll = Coverage {
            from: Moment::at(sent),
            to: Moment::at(answered),
        };
        Polled {
            result: match body {
                Ok(body) => self.decode(body.into(), poll, received).await,
                Err(error) => Err(error.into()),
            },
            token_serial: Some(serial),
            took: Some(answered.saturating_sub(sent)),
        }
    }

    /// Decodes an answer where it stops no heartbeat: a hostile one takes seconds.
    async fn decode(
        &self,
        body: Vec<u8>,
        poll: Coverage,
        received: SystemTime,
    ) -> Result<Answer, AttemptError> {
        #[cfg(feature = "fault-injection")]
        assert!(self.fault.is_none(), "injected panic");
        let decoded = self.worker.run(move || decode(body)).await;
        let (rows, metadata) = decoded.map_err(AttemptError::Panicked)??;
        Ok(Answer {
            rows,
            metadata,
            poll,
            received,
        })
    }

    async fn token(&self) -> Result<IssuedToken, AttemptError> {
        let request = GetToken {
            instead_of: self.instead_of,
        };
        let answer = self.token.send(request).timeout(TOKEN_PATIENCE).await;
        answer
            .map_err(AttemptError::TokenActor)?
            .map_err(AttemptError::Token)
    }
}

/// How an attempt ended, and with which token it was made.
pub(super) struct Polled {
    pub(super) result: Result<Answer, AttemptError>,
    pub(super) token_serial: Option<u64>,
    /// From the request to the end of the answer; `None` when there was no request.
    pub(super) took: Option<Duration>,
}

/// What Starlink has answered.
pub(super) struct Answer {
    pub(super) rows: Rows,
    pub(super) metadata: Metadata,
    /// When the request was sent and when its answer was whole.
    pub(super) poll: Coverage,
    /// The same end by the system's clock.
    pub(super) received: SystemTime,
}

/// Why an attempt failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum AttemptError {
    #[error(transparent)]
    Token(TokenRefused),
    #[error("the token actor did not answer")]
    TokenActor(#[source] actix::MailboxError),
    #[error("the poll failed")]
    Poll(#[from] PollError),
    #[error("the answer cannot be decoded")]
    Decode(#[from] DecodeError),
    #[error("decoding the answer has failed, and its rows are lost")]
    Panicked(#[source] WorkPanicked),
    #[error("the metadata actor has not explained the columns of the rows, which are lost")]
    Metadata,
    #[error("the store has not taken the batch, whose rows are lost")]
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

    /// The status of an answer that was none.
    pub(super) fn status(&self) -> Option<u16> {
        match self {
            Self::Poll(error) => error.answer().map(|answer| answer.status),
            _ => None,
        }
    }

    /// How long Starlink wants us to wait, where it says so.
    pub(super) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Token(TokenRefused(error)) => error.retry_after(),
            Self::Poll(error) => error.retry_after(),
            _ => None,
        }
    }
}

/// Every answer other than 200 asks for a new token; only a 401 makes the old one useless.
pub(super) fn renewal(error: &AttemptError, serial: Option<u64>) -> Option<Renewal> {
    error.status()?;
    Some(Renewal {
        serial: serial?,
        discard: error.reason() == PollFailure::Unauthorized,
    })
}
