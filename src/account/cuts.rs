//! Detects that a proxy, a firewall or a NAT cuts polls after a fixed time.

use std::time::Duration;

/// A poll that is lost sooner was not cut because of its duration.
const LEAST: Duration = Duration::from_secs(1);

/// The duration of the last poll that was lost.
#[derive(Debug, Default)]
pub(super) struct Cuts {
    last: Option<Duration>,
}

impl Cuts {
    /// A poll was lost after `took`. Returns the time after which polls are cut, if the previous loss came after about the same time (within
    /// a tenth and half a second), and before the end of the linger.
    pub(super) fn lost(&mut self, took: Duration, linger: Duration) -> Option<Duration> {
        if took < LEAST || took >= linger {
            return None;
        }
        let before = self.last.replace(took)?;
        let slack = before / 10 + Duration::from_millis(500);
        (took.abs_diff(before) <= slack).then(|| took.min(before))
    }

    /// A poll was answered after this time, so shorter polls are not cut.
    pub(super) fn answered(&mut self, took: Duration) {
        self.last = self.last.filter(|last| took <= *last);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_losses_of_one_length_are_a_cut() {
        enum Poll {
            Lost(u64),
            Answered(u64),
        }
        use Poll::{Answered, Lost};
        // The linger is 65 s. Polls in milliseconds, and the time of the cut that the last one shows.
        let cases: &[(&[Poll], Option<u64>)] = &[
            (&[Lost(60_000)], None),
            (&[Lost(60_000), Lost(60_200)], Some(60_000)),
            (
                &[Lost(30_000), Answered(15_000), Lost(29_000)],
                Some(29_000),
            ),
            (&[Lost(30_000), Answered(31_000), Lost(30_000)], None),
            (&[Lost(30_000), Lost(50_000), Lost(50_100)], Some(50_000)),
            (&[Lost(30_000), Lost(50_000)], None),
            (&[Lost(2000), Lost(2600)], Some(2000)),
            (&[Lost(900), Lost(900)], None),
            (&[Lost(65_000), Lost(65_000)], None),
        ];
        for (index, (polls, expected)) in cases.iter().enumerate() {
            let mut cuts = Cuts::default();
            let mut found = None;
            for poll in *polls {
                found = match poll {
                    Lost(took) => {
                        let took = Duration::from_millis(*took);
                        cuts.lost(took, Duration::from_secs(65))
                    }
                    Answered(took) => {
                        cuts.answered(Duration::from_millis(*took));
                        None
                    }
                };
            }
            assert_eq!(found, expected.map(Duration::from_millis), "case {index}");
        }
    }
}
