//! Makes the samples of a set in steps, of which each has as many samples as a request may have. Pure; runs on threads for long jobs.

use crate::exposition::{Exposition, Revoked};
use crate::history::{OwnMarkers, OwnScrape, OwnSeries, OwnSet};

/// A set that is being made.
#[derive(Debug)]
pub struct Making {
    stage: Stage,
    /// What the next request holds, in part.
    pending: OwnSet,
    /// The series of the set, once its text is read.
    series: Option<OwnSeries>,
}

#[derive(Debug)]
enum Stage {
    Text(Box<Exposition>, Box<OwnScrape>),
    Markers(Box<OwnMarkers>),
    Done,
}

impl Making {
    /// The set with the samples of this text at a time in milliseconds since 1970. Series of the set before that it lacks get markers.
    #[must_use]
    pub fn scrape(text: Exposition, before: &OwnSeries, time: i64) -> Self {
        Self {
            stage: Stage::Text(Box::new(text), Box::new(before.scrape(time))),
            pending: before.empty_set(time),
            series: None,
        }
    }

    /// Stale markers for all series.
    #[must_use]
    pub fn end(series: OwnSeries, time: i64) -> Self {
        let markers = series.end(time);
        Self {
            pending: markers.empty_set(),
            stage: Stage::Markers(Box::new(markers)),
            series: None,
        }
    }

    /// The samples of the next request, at most `most`; `None` at the end.
    ///
    /// # Errors
    /// The snapshot was revoked, because sending takes too long.
    pub fn next(&mut self, most: usize) -> Result<Option<OwnSet>, Revoked> {
        while self.pending.len() < most && !matches!(self.stage, Stage::Done) {
            self.step(most)?;
        }
        let next = self.pending.take(most);
        Ok(Some(next).filter(|next| !next.is_empty()))
    }

    fn step(&mut self, most: usize) -> Result<(), Revoked> {
        match &mut self.stage {
            Stage::Text(text, scrape) => {
                if let Some(chunk) = text.next() {
                    scrape.chunk(&String::from_utf8_lossy(&chunk), &mut self.pending);
                    return Ok(());
                }
                text.ended()?;
                if let Stage::Text(_, scrape) = std::mem::replace(&mut self.stage, Stage::Done) {
                    let (series, markers) = scrape.finish();
                    self.series = Some(series);
                    self.stage = Stage::Markers(Box::new(markers));
                }
            }
            Stage::Markers(markers) => {
                if !markers.read(most, &mut self.pending) {
                    self.stage = Stage::Done;
                }
            }
            Stage::Done => {}
        }
        Ok(())
    }

    /// The series of the part that was read; `None` if the set has only markers.
    #[must_use]
    pub fn series_so_far(&mut self) -> Option<OwnSeries> {
        match &mut self.stage {
            Stage::Text(_, scrape) => Some(scrape.so_far()),
            Stage::Markers(_) | Stage::Done => self.series.clone(),
        }
    }

    /// The series of the whole set; `None` if its text was not read to the end, or if the set has only markers.
    #[must_use]
    pub fn into_series(self) -> Option<OwnSeries> {
        self.series
    }
}
