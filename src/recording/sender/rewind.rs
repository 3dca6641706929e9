//! Finds the records from which the state at a position is rebuilt: those of the 15 minutes before it. Pure.

/// The records of this time are read, in nanoseconds.
const BEFORE: i64 = 15 * 60 * 1_000_000_000;

/// The search goes back by at most so many numbers: far more than an account gets answers in 15 minutes.
const MOST: u64 = 1 << 16;

/// The next step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// Read the first record from this number on, and report it with [`Rewind::found`].
    Find(u64),
    /// Read the records from this number on, and report how far with [`Rewind::read`].
    Read(u64),
    /// The state is that at the position.
    Done,
}

/// The search, and then the reading up to the position.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Rewind {
    /// The number of the first record that is not read.
    target: u64,
    /// How far the search goes back now.
    back: u64,
    /// When the last record before the target was received.
    last: Option<i64>,
    /// The number to read from, once it is known.
    from: Option<u64>,
}

impl Rewind {
    pub(super) fn new(target: u64) -> Self {
        Self {
            target,
            back: 1,
            last: None,
            from: (target == 0).then_some(0),
        }
    }

    pub(super) fn step(&self) -> Step {
        match self.from {
            Some(from) if from >= self.target => Step::Done,
            Some(from) => Step::Read(from),
            None => Step::Find(self.target.saturating_sub(self.back)),
        }
    }

    /// The first record from the number of [`Step::Find`] on: its number, and when it was received.
    pub(super) fn found(&mut self, record: Option<(u64, i64)>) {
        let at = self.target.saturating_sub(self.back);
        let before = record.filter(|(sequence, _)| *sequence < self.target);
        let is_early = before.is_some_and(|(_, received)| {
            let last = *self.last.get_or_insert(received);
            received < last.saturating_sub(BEFORE)
        });
        match is_early || at == 0 || self.back >= MOST {
            true => self.from = Some(at),
            false => self.back *= 4,
        }
    }

    /// When the last record before the position was received, once one was found.
    pub(super) fn last(&self) -> Option<i64> {
        self.last
    }

    /// All records below this number were read.
    pub(super) fn read(&mut self, next: u64) {
        self.from = Some(next);
    }

    /// The state is not rebuilt.
    pub(super) fn give_up(&mut self) {
        self.from = Some(self.target);
    }

    /// Whether a record that was read belongs to the state.
    pub(super) fn needs(&self, sequence: u64, received: i64) -> bool {
        let since = self.last.unwrap_or(i64::MIN).saturating_sub(BEFORE);
        sequence < self.target && received >= since
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000_000;

    /// Rewinds to `target` in a journal; returns the numbers that belong to the state, and the number of searches.
    fn play(journal: &[(u64, i64)], target: u64) -> (Vec<u64>, usize) {
        let mut rewind = Rewind::new(target);
        let (mut state, mut finds) = (Vec::new(), 0);
        loop {
            let first = |from| {
                journal
                    .iter()
                    .find(|(sequence, _)| *sequence >= from)
                    .copied()
            };
            match rewind.step() {
                Step::Find(from) => {
                    finds += 1;
                    rewind.found(first(from));
                }
                Step::Read(from) => match first(from) {
                    Some((sequence, received)) => {
                        state.extend(rewind.needs(sequence, received).then_some(sequence));
                        rewind.read(sequence + 1);
                    }
                    None => rewind.give_up(),
                },
                Step::Done => return (state, finds),
            }
        }
    }

    #[test]
    fn the_records_of_fifteen_minutes_are_read() {
        let every = |seconds: i64, numbers: std::ops::Range<u64>| -> Vec<(u64, i64)> {
            numbers
                .map(|number| (number, number as i64 * seconds * SECOND))
                .collect()
        };
        for (name, journal, target, expected) in [
            ("empty", vec![], 0, 0..0),
            ("empty, later", vec![], 700, 0..0),
            ("at the beginning", every(15, 0..9), 0, 0..0),
            ("a short journal", every(15, 0..9), 9, 0..9),
            ("a long one", every(15, 0..5000), 5000, 4939..5000),
            ("inside", every(15, 0..5000), 3000, 2939..3000),
            ("fast", every(1, 0..5000), 5000, 4099..5000),
            ("deleted", every(15, 990..1000), 1000, 990..1000),
            // The last record that was found is not the last one.
            ("a lost end", every(15, 0..900), 1000, 684..900),
            ("rare", every(3600, 0..100), 100, 99..100),
        ] {
            let (state, finds) = play(&journal, target);
            assert_eq!(state, expected.collect::<Vec<_>>(), "{name}");
            assert!(finds <= 9, "{name}: {finds}");
        }
    }
}
