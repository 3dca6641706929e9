//! A request that is being sent, until all of its samples are stored or counted. Pure.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

use crate::history::{DeviceRow, Protocol, Slice};
use crate::remote_write::{
    Action, Answer, Hold, Moments, ProtocolChoice, Quarantine, Request, RequestState, Retry,
    SampleReason, Search, TimeStreak, classify,
};
use crate::text::fnv;
use crate::time::Moment;

/// Rows of a request, or parts of them.
pub(super) type Rows = Vec<(Arc<Slice>, DeviceRow)>;

/// A request that is being sent.
#[derive(Debug)]
pub(super) struct Flight {
    /// The rows whose series are not in quarantine.
    rows: Rows,
    search: Search,
    state: RequestState,
    body: Option<Body>,
    /// The number of rows of the request.
    count: u64,
    /// The next attempt is not made before this moment.
    pub(super) not_before: Moment,
    /// Whether an attempt is being made.
    pub(super) is_sending: bool,
    /// Whether the receiver has any of the samples.
    pub(super) is_stored: bool,
    /// The number of times that encoding it failed.
    pub(super) panics: u32,
}

/// The encoded part that is sent now.
#[derive(Debug, Clone)]
pub(super) struct Body {
    pub(super) protocol: Protocol,
    pub(super) bytes: Bytes,
}

/// The settings of a destination that decisions need.
#[derive(Debug, Clone, Copy)]
pub(super) struct Settings {
    pub(super) choice: ProtocolChoice,
    pub(super) protocol: Protocol,
    pub(super) is_pair: bool,
    /// The most samples of a request.
    pub(super) most: u32,
}

/// What follows from an answer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Next {
    /// All samples are stored or counted.
    Finished,
    /// Another part is sent now.
    Continue,
    /// The same is sent as 1.0 now, and all others, too.
    FallBack,
    /// The same is sent again later.
    Retry(Retry),
    /// The same is sent again later, and a person must change something.
    Hold(Hold),
}

/// The samples that are done.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) stored: u64,
    pub(super) failed: Vec<(SampleReason, u64)>,
}

impl Tally {
    fn has_stored(&self) -> bool {
        let is_stored = |(reason, _): &(SampleReason, u64)| *reason == SampleReason::AlreadyStored;
        self.stored > 0 || self.failed.iter().any(is_stored)
    }

    fn fail(&mut self, reason: SampleReason, samples: u64) {
        if samples > 0 {
            self.failed.push((reason, samples));
        }
    }
}

impl Flight {
    /// A request with the slices of its records. `None` if all of its series are in quarantine. Adds the samples that are to the tally.
    pub(super) fn new(
        request: &Request,
        slice_of: impl Fn(u64) -> Option<Arc<Slice>>,
        quarantine: &Quarantine,
        settings: Settings,
        may_be_repeated: bool,
        now: Moment,
        tally: &mut Tally,
    ) -> Option<Self> {
        let mut rows = Rows::new();
        let mut left_out = 0;
        for selected in &request.rows {
            let Some(slice) = slice_of(selected.sequence) else {
                continue;
            };
            let Some(row) = slice.rows().get(selected.index as usize).cloned() else {
                continue;
            };
            if quarantine.is_empty() {
                rows.push((slice, row));
                continue;
            }
            left_out += keep_free(&slice, &row, quarantine, now, &mut rows);
        }
        tally.fail(SampleReason::Quarantined, left_out);
        let samples: u64 = rows.iter().map(|(_, row)| row.len() as u64).sum();
        let Settings {
            choice,
            protocol,
            is_pair,
            most,
        } = settings;
        // A single row can have more samples than a request.
        let search = Search::new(u32::try_from(samples).unwrap_or(u32::MAX), most);
        let first = search.next().map_or(0, |part| part.len() as u64);
        (samples > 0).then(|| Self {
            rows,
            search,
            state: RequestState::new(choice, protocol, first, is_pair, may_be_repeated),
            body: None,
            count: request.rows.len() as u64,
            not_before: now,
            is_sending: false,
            is_stored: false,
            panics: 0,
        })
    }

    /// The number of rows of the request.
    pub(super) fn rows(&self) -> u64 {
        self.count
    }

    /// The version of the protocol of the next attempt.
    pub(super) fn protocol(&self) -> Protocol {
        self.state.protocol()
    }

    /// The value of the header `Retry-Attempt` of the next attempt.
    pub(super) fn attempt(&self) -> u32 {
        self.state.attempt()
    }

    /// The number of samples of the next attempt.
    pub(super) fn samples(&self) -> u64 {
        self.range().len() as u64
    }

    fn range(&self) -> Range<u32> {
        self.search.next().unwrap_or_default()
    }

    /// Uses 1.0, after another request fell back.
    pub(super) fn fall_back(&mut self) {
        self.state.fall_back();
    }

    /// An attempt was lost, so the receiver may have stored the samples.
    pub(super) fn interrupt(&mut self) {
        if std::mem::take(&mut self.is_sending) {
            self.state.interrupt();
        }
    }

    /// The encoded body of the next attempt, if it is known.
    pub(super) fn body(&self) -> Option<Body> {
        let body = self.body.as_ref();
        body.filter(|body| body.protocol == self.protocol())
            .cloned()
    }

    /// Keeps the encoded body for the next attempts.
    pub(super) fn set_body(&mut self, body: Body) {
        self.body = Some(body);
    }

    /// The rows of the next attempt.
    pub(super) fn part(&self) -> Rows {
        let range = self.range();
        let mut part = Rows::new();
        let mut start = 0_u32;
        for (slice, row) in &self.rows {
            let length = row.len() as u32;
            let wanted = range.start.max(start)..range.end.min(start + length);
            if !wanted.is_empty() {
                let cut = row.part(wanted.start - start..wanted.end - start);
                part.push((Arc::clone(slice), cut));
            }
            start += length;
        }
        part
    }

    /// What follows from an answer.
    pub(super) fn answered(
        &mut self,
        answer: &Answer<'_>,
        streak: &mut TimeStreak,
        quarantine: &mut Quarantine,
        moments: &Moments,
        tally: &mut Tally,
    ) -> Next {
        let samples = self.samples();
        if !self.search.is_divided() {
            streak.record(&classify(answer, self.protocol()), moments.now);
        }
        match self.state.decide(answer, streak, moments) {
            Action::FallBack => return Next::FallBack,
            Action::Retry(retry) => {
                self.not_before = moments.now.after(retry.after);
                return Next::Retry(retry);
            }
            Action::Hold { hold, after } => {
                self.not_before = moments.now.after(after);
                return Next::Hold(hold);
            }
            Action::Done => {
                tally.stored += samples;
                self.search.stored();
            }
            Action::Count {
                reason,
                samples: failed,
            } => {
                tally.fail(reason, failed);
                tally.stored += samples.saturating_sub(failed);
                self.search.stored();
            }
            Action::Halve(refusal) => self.search.refused(refusal),
        }
        for found in self.search.take_found() {
            tally.fail(found.reason, found.samples.len() as u64);
            if found.is_exact
                && found.reason == SampleReason::Rejected
                && let Some(series) = self.series(found.samples.start)
            {
                quarantine.add(series, moments.now);
            }
        }
        self.is_stored |= tally.has_stored();
        self.body = None;
        self.not_before = moments.now;
        match self.search.next() {
            None => Next::Finished,
            Some(part) => {
                self.state = self.state.part(u64::from(part.end - part.start));
                Next::Continue
            }
        }
    }

    /// The hash of the series of a sample.
    fn series(&self, at: u32) -> Option<u64> {
        let mut start = 0;
        for (slice, row) in &self.rows {
            let length = row.len() as u32;
            if at < start + length {
                return series(slice, row, at - start);
            }
            start += length;
        }
        None
    }
}

/// Adds the parts of a row whose series are not in quarantine. Returns the number of the other samples.
fn keep_free(
    slice: &Arc<Slice>,
    row: &DeviceRow,
    quarantine: &Quarantine,
    now: Moment,
    rows: &mut Rows,
) -> u64 {
    let is_held = |at| series(slice, row, at).is_some_and(|series| quarantine.holds(series, now));
    let length = row.len() as u32;
    let (mut from, mut left_out) = (0, 0);
    for at in (0..length).filter(|at| is_held(*at)) {
        if from < at {
            rows.push((Arc::clone(slice), row.part(from..at)));
        }
        from = at + 1;
        left_out += 1;
    }
    if from < length {
        rows.push((Arc::clone(slice), row.part(from..length)));
    }
    left_out
}

/// The hash of the series of a sample of a row: of the device, its type, the name, and the info fields.
fn series(slice: &Slice, row: &DeviceRow, at: u32) -> Option<u64> {
    let (_, device_type) = slice.device(row);
    let device = fnv::append(row.hash, device_type.as_bytes());
    let at = at as usize;
    let families = slice.families_of(row);
    if let Some(id) = families.get(at) {
        let family = slice.family(*id)?;
        return Some(fnv::append(device, family.name.as_bytes()));
    }
    let info = slice.infos(row).get(at - families.len())?;
    let texts = info.info.iter().flat_map(|(key, value)| [key, value]);
    Some(
        texts.fold(fnv::append(device, b"starlink_info"), |hash, text| {
            fnv::append(fnv::append(hash, &[0]), text.as_bytes())
        }),
    )
}
