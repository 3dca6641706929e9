//! When an access token is requested and who receives it, as a state machine: `(state, event, now) → effects`, without actors,
//! sockets and clocks.
//!
//! Concurrent callers share one request. A token is renewed before it expires. After a failed renewal it stays in use, unless Starlink
//! has rejected it.

use std::sync::Arc;
use std::time::Duration;

use url::Url;

use super::messages::{IssuedToken, Renewal, TokenRefused};
use super::now::Now;
use crate::starlink::{BETWEEN_TOKEN_REQUESTS, Token, TokenError, TokenFailure};
use crate::time::{Backoff, Moment};

/// A token is renewed after this part of its lifetime.
const REFRESH_AT: f64 = 0.8;

/// An event for the state of the token.
#[derive(Debug)]
pub(super) enum Event {
    /// The actor has started or restarted. The request and the timers that were in progress are lost; the callers still wait.
    Started,
    /// A caller asks for a token.
    Asked {
        /// Identifies the caller in [`Effect::Reply`].
        asker: u64,
        /// A token that must not be used again.
        instead_of: Option<Renewal>,
    },
    /// The request has ended. The URL is the one that issued the token.
    Answered(Result<(Token, Url), TokenError>),
    /// The moment of [`Effect::RefreshAt`] is reached.
    RefreshIsDue(Refresh),
}

/// A planned renewal. It is ignored if another token was issued or another time was set meanwhile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Refresh {
    /// The number of the token to renew.
    pub(super) serial: u64,
    /// When it is renewed.
    pub(super) at: Moment,
}

/// An action for the actor. Actions are carried out in their order.
#[derive(Debug)]
pub(super) enum Effect {
    /// Request a token.
    Request(Request),
    /// Reply to a caller.
    Reply(u64, Result<IssuedToken, TokenRefused>),
    /// Report [`Event::RefreshIsDue`] at its moment.
    RefreshAt(Refresh),
    /// Log and count an outcome.
    Record(Outcome),
}

/// How to request a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Request {
    /// The wait before it is sent.
    pub(super) wait: Duration,
    /// The URLs, in the order in which they are tried.
    pub(super) urls: Vec<Url>,
    /// Whether the next URL is tried after any answer without a token; otherwise only after a 404 or 405.
    pub(super) any_answer_leads_on: bool,
}

impl Request {
    /// Whether the next URL is tried after this failure.
    pub(super) fn leads_on(&self, error: &TokenError) -> bool {
        match self.any_answer_leads_on {
            true => error.is_answer(),
            false => error.reason() == TokenFailure::NotFound,
        }
    }
}

/// An outcome that is logged and counted.
#[derive(Debug)]
pub(super) enum Outcome {
    /// A token with this lifetime was issued.
    Issued(Duration),
    /// The token in use was refused by Starlink.
    Discarded,
    /// A request failed.
    Failed {
        /// The reason.
        error: Arc<TokenError>,
        /// The wait before the next request, as long as the last token may be used.
        retry_in: Duration,
    },
}

/// The token of one account.
#[derive(Debug)]
pub(super) struct TokenState {
    /// The token URLs. The second is tried if the first issues no token.
    urls: Vec<Url>,
    current: Option<Current>,
    serial: u64,
    is_requesting: bool,
    last_request: Option<Moment>,
    waiters: Vec<Waiter>,
    backoff: Backoff,
    /// After a failed request: the earliest moment of the next one, as long as the last token may be used.
    retry_at: Option<Moment>,
}

/// A caller that waits for a token.
#[derive(Debug)]
struct Waiter {
    asker: u64,
    instead_of: Option<Renewal>,
}

/// The token in use.
#[derive(Debug)]
struct Current {
    token: IssuedToken,
    refresh_at: Moment,
}

impl Current {
    fn refresh(&self) -> Refresh {
        Refresh {
            serial: self.token.serial,
            at: self.refresh_at,
        }
    }
}

impl TokenState {
    /// The state before the first request. If the first of `urls` issues no token, the second is tried: after any answer until a token was
    /// issued, later only after 404 and 405.
    pub(super) fn new(urls: Vec<Url>) -> Self {
        Self {
            urls,
            current: None,
            serial: 0,
            is_requesting: false,
            last_request: None,
            waiters: Vec::new(),
            backoff: Backoff::REQUESTS,
            retry_at: None,
        }
    }

    /// Handles an event. Returns the resulting actions.
    pub(super) fn on(&mut self, event: Event, now: Now) -> Vec<Effect> {
        let moment = now.moment();
        match event {
            Event::Started => self.started(moment),
            Event::Asked { asker, instead_of } => self.asked(asker, instead_of, moment),
            Event::Answered(Ok((token, url))) => self.issued(token, url, moment),
            Event::Answered(Err(error)) => self.failed(error, now),
            Event::RefreshIsDue(refresh) => match &self.current {
                Some(current) if current.refresh() == refresh => self.request(moment),
                _ => Vec::new(),
            },
        }
    }

    fn started(&mut self, now: Moment) -> Vec<Effect> {
        // The future of the request was dropped.
        self.is_requesting = false;
        let refresh = self.current.as_ref().map(Current::refresh);
        let mut effects: Vec<_> = refresh.map(Effect::RefreshAt).into_iter().collect();
        if !self.waiters.is_empty() {
            effects.extend(self.request(now));
        }
        effects
    }

    fn asked(&mut self, asker: u64, instead_of: Option<Renewal>, now: Moment) -> Vec<Effect> {
        if let Some(token) = self.usable(instead_of, now) {
            return vec![Effect::Reply(asker, Ok(token))];
        }
        let mut effects = Vec::new();
        if instead_of.is_some_and(|renewal| renewal.discard) {
            self.current = None;
            effects.push(Effect::Record(Outcome::Discarded));
        }
        self.waiters.push(Waiter { asker, instead_of });
        effects.extend(self.request(now));
        effects
    }

    /// The token, unless it must be renewed. After a failed renewal it stays usable until the next one, unless Starlink has refused it.
    fn usable(&self, instead_of: Option<Renewal>, now: Moment) -> Option<IssuedToken> {
        let current = self.current.as_ref()?;
        let is_early = self.retry_at.is_some_and(|at| now < at);
        let renew = instead_of.is_some_and(|renewal| {
            renewal.serial == current.token.serial && (renewal.discard || !is_early)
        });
        (!renew).then(|| current.token.clone())
    }

    /// Requests a token, unless a request is under way.
    fn request(&mut self, now: Moment) -> Vec<Effect> {
        if std::mem::replace(&mut self.is_requesting, true) {
            return Vec::new();
        }
        let last = self.last_request;
        let earliest = last.map_or(now, |last| last.after(BETWEEN_TOKEN_REQUESTS));
        let wait = earliest.since(now);
        // Set in advance, because a request that is dropped with the actor may have been sent.
        self.last_request = Some(now.after(wait));
        vec![Effect::Request(Request {
            wait,
            urls: self.urls.clone(),
            any_answer_leads_on: self.serial == 0,
        })]
    }

    fn issued(&mut self, token: Token, url: Url, now: Moment) -> Vec<Effect> {
        self.request_ended(now);
        if self.urls.first() != Some(&url) {
            // The second URL has worked where the first has not, so only the second is used from now on.
            self.urls = vec![url];
        }
        self.backoff.reset();
        self.retry_at = None;
        self.serial += 1;
        let issued = IssuedToken {
            serial: self.serial,
            bearer: token.bearer,
        };
        let current = self.current.insert(Current {
            token: issued.clone(),
            refresh_at: now.after(token.lifetime.mul_f64(REFRESH_AT)),
        });
        let refresh = Effect::RefreshAt(current.refresh());
        let recorded = Effect::Record(Outcome::Issued(token.lifetime));
        let reply = |waiter: Waiter| Effect::Reply(waiter.asker, Ok(issued.clone()));
        let replies = std::mem::take(&mut self.waiters).into_iter().map(reply);
        std::iter::once(recorded)
            .chain(replies)
            .chain([refresh])
            .collect()
    }

    fn failed(&mut self, error: TokenError, now: Now) -> Vec<Effect> {
        let moment = now.moment();
        self.request_ended(moment);
        let retry_after = error.retry_after().unwrap_or_default();
        let retry_in = self.backoff.next(now.jitter).max(retry_after);
        let retry_at = moment.after(retry_in);
        self.retry_at = Some(retry_at);
        let error = Arc::new(error);
        let mut effects = vec![Effect::Record(Outcome::Failed {
            error: Arc::clone(&error),
            retry_in,
        })];
        let refused = TokenRefused { error, retry_in };
        for waiter in std::mem::take(&mut self.waiters) {
            let discard = waiter.instead_of.is_some_and(|renewal| renewal.discard);
            let old = self.current.as_ref().filter(|_| !discard);
            let token = old.map(|current| current.token.clone());
            let reply = token.ok_or_else(|| refused.clone());
            effects.push(Effect::Reply(waiter.asker, reply));
        }
        if let Some(current) = &mut self.current {
            current.refresh_at = retry_at;
            effects.push(Effect::RefreshAt(current.refresh()));
        }
        effects
    }

    fn request_ended(&mut self, now: Moment) {
        self.is_requesting = false;
        self.last_request = Some(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::starlink::{CallError, ErrorResponse};

    const FIRST: &str = "http://starlink.example/public/token";
    const SECOND: &str = "http://starlink.example/token";

    #[derive(Debug, Clone, Copy)]
    enum Happens {
        Start,
        /// A caller asks for any token.
        Ask(u64),
        /// A caller asks for another token than the one with this serial, which Starlink has refused, or not.
        Renew(u64, u64, bool),
        /// A URL issues a token for this number of seconds.
        Issue(u64, &'static str),
        /// Starlink answers with this status, and this `Retry-After` in seconds.
        Refuse(u16, u64),
        /// This number of milliseconds passes, and a renewal that is due happens.
        Pass(u64),
    }
    use Happens::{Ask, Issue, Pass, Refuse, Renew, Start};

    struct Bench {
        state: TokenState,
        now: Now,
        refresh: Option<Refresh>,
    }

    impl Bench {
        fn happens(&mut self, what: Happens) -> String {
            let event = match what {
                Start => Event::Started,
                Ask(asker) => Event::Asked {
                    asker,
                    instead_of: None,
                },
                Renew(asker, serial, discard) => Event::Asked {
                    asker,
                    instead_of: Some(Renewal { serial, discard }),
                },
                Issue(seconds, url) => Event::Answered(Ok((
                    Token {
                        bearer: "x".into(),
                        lifetime: Duration::from_secs(seconds),
                    },
                    url.parse().unwrap(),
                ))),
                Refuse(status, after) => Event::Answered(Err(CallError::Status(ErrorResponse {
                    status,
                    message: String::new(),
                    is_oauth: false,
                    retry_after: (after > 0).then(|| Duration::from_secs(after)),
                })
                .into())),
                Pass(millis) => {
                    self.now.elapsed += Duration::from_millis(millis);
                    let now = self.now.moment();
                    match self.refresh.take_if(|refresh| refresh.at <= now) {
                        Some(refresh) => Event::RefreshIsDue(refresh),
                        None => return String::new(),
                    }
                }
            };
            let effects = self.state.on(event, self.now);
            let effects: Vec<_> = effects.iter().map(|it| self.describe(it)).collect();
            effects.join(", ")
        }

        fn describe(&mut self, effect: &Effect) -> String {
            match effect {
                Effect::Request(request) => {
                    let paths: Vec<_> = request.urls.iter().map(Url::path).collect();
                    let any = if request.any_answer_leads_on { "!" } else { "" };
                    let wait = request.wait.as_millis();
                    format!("request {}{any} in {wait}", paths.join(" "))
                }
                Effect::Reply(asker, Ok(token)) => format!("token {} to {asker}", token.serial),
                Effect::Reply(asker, Err(refused)) => {
                    format!("none to {asker} for {}", refused.retry_in.as_millis())
                }
                Effect::RefreshAt(refresh) => {
                    self.refresh = Some(*refresh);
                    let now = self.now.moment();
                    let at = refresh.at.since(now).as_millis();
                    format!("refresh {} in {at}", refresh.serial)
                }
                Effect::Record(Outcome::Issued(_)) => "issued".to_owned(),
                Effect::Record(Outcome::Discarded) => "discarded".to_owned(),
                Effect::Record(Outcome::Failed { error, .. }) => {
                    format!("failed {}", error.reason().name())
                }
            }
        }
    }

    fn check(name: &str, steps: &[(Happens, &str)]) {
        let mut bench = Bench {
            state: TokenState::new([FIRST, SECOND].map(|url| url.parse().unwrap()).to_vec()),
            now: Now {
                elapsed: Duration::from_secs(1000),
                jitter: 1.0,
            },
            refresh: None,
        };
        for (index, (event, expected)) in steps.iter().enumerate() {
            let effects = bench.happens(*event);
            assert_eq!(effects, *expected, "{name}, step {index}: {event:?}");
        }
    }

    const BOTH: &str = "request /public/token /token! in 0";
    const LATER: &str = "request /public/token /token in 0";

    #[test]
    fn askers_share_a_request_and_the_token_is_renewed_in_time() {
        check(
            "a token",
            &[
                (Start, ""),
                (Ask(1), BOTH),
                (Ask(2), ""),
                (
                    Issue(1000, FIRST),
                    "issued, token 1 to 1, token 1 to 2, refresh 1 in 800000",
                ),
                (Ask(3), "token 1 to 3"),
                (Pass(799_999), ""),
                (Pass(1), LATER),
                (Ask(4), "token 1 to 4"),
                (Issue(1000, FIRST), "issued, refresh 2 in 800000"),
                (Ask(5), "token 2 to 5"),
                // It was renewed since.
                (Renew(6, 1, true), "token 2 to 6"),
            ],
        );
        check(
            "the second address is kept once it has issued a token",
            &[
                (Ask(1), BOTH),
                (
                    Issue(1000, SECOND),
                    "issued, token 1 to 1, refresh 1 in 800000",
                ),
                (Pass(800_000), "request /token in 0"),
            ],
        );
    }

    #[test]
    fn requests_are_a_second_apart() {
        check(
            "after an answer",
            &[
                (Ask(1), BOTH),
                (Issue(1, FIRST), "issued, token 1 to 1, refresh 1 in 800"),
                (Pass(800), "request /public/token /token in 200"),
            ],
        );
        check(
            "after a request that died with the actor",
            &[
                (Ask(1), BOTH),
                (Pass(300), ""),
                (Start, "request /public/token /token! in 700"),
                // That request may not have been sent, and counts from its planned time.
                (Start, "request /public/token /token! in 1700"),
            ],
        );
    }

    #[test]
    fn an_old_token_serves_after_a_failed_renewal_unless_it_was_refused() {
        check(
            "a failed renewal",
            &[
                (Ask(1), BOTH),
                (
                    Issue(1000, FIRST),
                    "issued, token 1 to 1, refresh 1 in 800000",
                ),
                (Pass(5000), ""),
                (Renew(2, 1, false), LATER),
                (
                    Refuse(429, 9),
                    "failed status, token 1 to 2, refresh 1 in 9000",
                ),
                (Renew(3, 1, false), "token 1 to 3"),
                (Start, "refresh 1 in 9000"),
                (Pass(9000), LATER),
                (Issue(1000, FIRST), "issued, refresh 2 in 800000"),
            ],
        );
        check(
            "a token that Starlink refused",
            &[
                (Ask(1), BOTH),
                (
                    Issue(1000, FIRST),
                    "issued, token 1 to 1, refresh 1 in 800000",
                ),
                (Pass(5000), ""),
                (Renew(2, 1, true), &format!("discarded, {LATER}")),
                (Ask(3), ""),
                (
                    Refuse(401, 0),
                    "failed refused, none to 2 for 1000, none to 3 for 1000",
                ),
                (Pass(1000), ""),
                (Ask(4), LATER),
                (Refuse(500, 0), "failed status, none to 4 for 2000"),
            ],
        );
    }
}
