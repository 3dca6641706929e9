//! Tests of wrong clocks, suspended machines and passing time, with manual clocks, so that hours take no real time.

mod ages;
mod outages;
mod rows;
mod wrong;

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use serde_json::Value;
use starlink_telemetry::simulator::{Answer, AnswerBody, Simulator};
use starlink_telemetry::supervise::Heartbeat;
use starlink_telemetry::supervise::faults::{Fault, Inject, Latch, Place};
use starlink_telemetry::time::ManualTime;

use crate::binary::Event;
use crate::captured;
use crate::form::Body;
use crate::harness::{
    REPORTS_SKIPPED, Service, UP, eventually, journal, row_of, scripted_simulator, throughput,
};
use crate::supervision::inject;

/// The next poll lingers for longer than any test takes.
const LONG_LINGER: (&str, &str) = ("MAX_LINGER", "65000");

/// No answer of a test is full.
const LARGE_BATCHES: (&str, &str) = ("BATCH_SIZE", "1000");

const MINUTE: Duration = Duration::from_secs(60);

const HOUR: Duration = Duration::from_secs(3600);

/// A service with manual clocks, and its simulator.
struct World {
    simulator: Simulator,
    service: Service,
    time: ManualTime,
    /// The system clock at the start, in nanoseconds since 1970.
    start: u64,
    /// The number of answers so far.
    answers: usize,
}

impl World {
    async fn new(changes: &[(&str, &str)]) -> Self {
        captured::start();
        let simulator = scripted_simulator();
        let start = nanos(SystemTime::now());
        let all: Vec<_> = [LONG_LINGER, LARGE_BATCHES]
            .into_iter()
            .filter(|(name, _)| changes.iter().all(|(changed, _)| changed != name))
            .chain(changes.iter().copied())
            .collect();
        let (service, time) = Service::with_manual_clock(&simulator, &all).await;
        Self {
            simulator,
            service,
            time,
            start,
            answers: 0,
        }
    }

    /// Answers the waiting poll. Returns a scrape that was made when the next poll waited.
    async fn answer(&mut self, answer: impl Into<Answer>) -> Body {
        self.simulator.push_answer(answer);
        self.answers += 1;
        let next = self.answers + 1;
        journal(&self.simulator, "the next poll", |seen| {
            seen.polls.len() >= next
        })
        .await;
        self.service.scrape().await
    }

    /// An answer with a row of each of these devices, reported this long after the start.
    async fn rows(&mut self, ids: &[&str], after: Duration) -> Body {
        let timestamp = self.start + u64::try_from(after.as_nanos()).unwrap();
        let rows = ids.iter().map(|id| row_of(id, timestamp, 1.0));
        self.answer(Answer::rows(rows)).await
    }

    async fn nothing(&mut self) -> Body {
        self.answer(AnswerBody::new()).await
    }

    /// Time passes. Afterwards the components have replied to the heartbeats that were due.
    async fn advance(&self, duration: Duration) {
        self.time.advance(duration);
        let answers = || async { self.service.get("/metrics").await.status == 200 };
        eventually("the store has shown that it lives", answers).await;
    }

    /// The waiting poll fails. Time passes until the next one waits.
    async fn fail(&mut self, answer: Answer) {
        self.simulator.push_answer(answer);
        self.answers += 1;
        let next = self.answers + 1;
        let next_poll = || async {
            self.time.advance(Duration::from_millis(500));
            self.simulator.journal().polls.len() >= next
        };
        eventually("the next poll", next_poll).await;
        self.advance(Duration::ZERO).await;
    }

    /// Time passes, until a poll is answered without rows.
    async fn listen(&mut self, duration: Duration) -> Body {
        self.advance(duration).await;
        self.nothing().await
    }

    async fn status(&self) -> Value {
        let answer = self.service.get("/api/v1/status").await;
        serde_json::from_str(&answer.body).unwrap()
    }

    fn events(&self, message: &str) -> Vec<Event> {
        let mut events = captured::events(self.service.system);
        events.retain(|event| event.text("message").contains(message));
        events
    }
}

fn nanos(time: SystemTime) -> u64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap();
    u64::try_from(since.as_nanos()).unwrap()
}

fn online(id: &str) -> String {
    format!(r#"starlink_online{{device_type="UserTerminal",deviceID="{id}"}}"#)
}

/// A number of the account. The name may have further labels.
fn own(body: &Body, name: &str) -> f64 {
    let series = match name.split_once('{') {
        Some((name, labels)) => format!(r#"{name}{{account="default",{labels}"#),
        None => format!(r#"{name}{{account="default"}}"#),
    };
    body.value(&format!("starlink_exporter_{series}")).unwrap()
}

fn clock_offset(body: &Body) -> f64 {
    body.value("starlink_exporter_clock_offset_seconds")
        .unwrap()
}

fn states(body: &Body) -> BTreeMap<&'static str, f64> {
    ["online", "offline", "unknown"]
        .into_iter()
        .filter_map(|state| {
            let labels = format!(r#"device_type="UserTerminal",state="{state}""#);
            let count = body.value(&format!(
                r#"starlink_exporter_devices{{account="default",{labels}}}"#
            ))?;
            (count > 0.0).then_some((state, count))
        })
        .collect()
}

/// Whether the values of a device are shown, which is not stale then.
fn shown(body: &Body, id: &str) -> bool {
    body.value(&throughput(id)).is_some()
}
