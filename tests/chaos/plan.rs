//! Parses the command line of the campaign.

use std::fmt;
use std::ops::Range;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The seeds of `cargo test`: runs of all kinds, with one to five accounts.
const FIXED: [u64; 13] = [1, 2, 3, 4, 10, 17, 18, 29, 9, 6, 5, 8, 14];

/// The selected runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seeds {
    /// Consecutive seeds, starting from the current time, until the time limit.
    Endless,
    /// These seeds.
    Listed(Vec<u64>),
    /// A range of seeds.
    Range(Range<u64>),
}

/// The selected runs and their duration.
#[derive(Debug, Clone)]
pub struct Plan {
    pub seeds: Seeds,
    first: u64,
    /// After this time no further run of new seeds starts.
    pub time: Duration,
    /// How long faults are injected in each run.
    pub run_length: Duration,
}

impl Plan {
    /// Parses the arguments. `None` if they filter other tests, because cargo passes filters to all test programs.
    pub fn from_arguments(arguments: impl Iterator<Item = String>) -> Result<Option<Self>, String> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let mut plan = Self {
            seeds: Seeds::Listed(FIXED.to_vec()),
            first: now.map_or(1, |now| now.as_secs()),
            time: Duration::ZERO,
            run_length: Duration::from_secs(20),
        };
        let mut arguments = arguments.peekable();
        let mut is_meant = true;
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().ok_or(format!("{argument} needs a value"));
            match argument.as_str() {
                "--minutes" => {
                    let minutes: u64 = value()?.parse().map_err(|_| "--minutes takes a number")?;
                    plan.time = Duration::from_secs(minutes * 60);
                    plan.seeds = Seeds::Endless;
                }
                "--seeds" => plan.seeds = seeds(&value()?)?,
                "--list" => is_meant = false,
                "--test-threads" | "--color" | "--format" | "--skip" | "-Z" => drop(value()?),
                option if option.starts_with('-') => {}
                filter => is_meant &= "chaos".contains(filter),
            }
        }
        Ok(is_meant.then_some(plan))
    }

    /// The seed of a run, numbered from 0.
    pub fn seed(&self, number: u64) -> Option<u64> {
        match &self.seeds {
            Seeds::Endless => Some(self.first + number),
            Seeds::Listed(seeds) => seeds.get(number as usize).copied(),
            Seeds::Range(range) => range.clone().nth(number as usize),
        }
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.seeds {
            Seeds::Endless => write!(formatter, "seeds from {} on", self.first),
            seeds => write!(formatter, "{seeds:?}"),
        }
    }
}

/// Parses `1,5,7` or `1..200`.
fn seeds(text: &str) -> Result<Seeds, String> {
    let number = |text: &str| {
        let wrong = |_| format!("--seeds takes numbers, as in 1,5,7 or 1..200: {text}");
        text.trim().parse::<u64>().map_err(wrong)
    };
    if let Some((from, to)) = text.split_once("..") {
        return Ok(Seeds::Range(number(from)?..number(to)?));
    }
    let listed: Result<_, _> = text.split(',').map(number).collect();
    Ok(Seeds::Listed(listed?))
}
