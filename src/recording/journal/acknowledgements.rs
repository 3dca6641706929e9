//! The answers that are acknowledged when their records are durable. Pure.

use std::collections::BTreeMap;

use tokio::sync::oneshot;

/// Acknowledges an answer.
pub(super) type Waiter = oneshot::Sender<()>;

/// The incarnation and number of a batch.
pub(super) type Batch = (u64, u64);

/// The answers that wait, by the numbers of their records.
#[derive(Debug, Default)]
pub(super) struct Acknowledgements {
    waiting: BTreeMap<u64, Vec<Waiter>>,
    /// The last answer, and the number of its record if it has one.
    last: Option<(Batch, Option<u64>)>,
}

impl Acknowledgements {
    /// Whether the answer is the last one that was taken. Then it is acknowledged with that.
    pub(super) fn repeated(&mut self, batch: Batch, waiter: Waiter) -> Result<(), Waiter> {
        match self.last {
            Some((last, number)) if last == batch => {
                match number.and_then(|number| self.waiting.get_mut(&number)) {
                    Some(waiting) => waiting.push(waiter),
                    None => drop(waiter.send(())),
                }
                Ok(())
            }
            _ => Err(waiter),
        }
    }

    /// Takes an answer, and the number of its record. Without a record it is acknowledged.
    pub(super) fn taken(&mut self, batch: Batch, number: Option<u64>, waiters: Vec<Waiter>) {
        self.last = Some((batch, number));
        match number {
            Some(number) => drop(self.waiting.insert(number, waiters)),
            None => acknowledge(waiters),
        }
    }

    /// Acknowledges the answers whose records have at most this number.
    pub(super) fn up_to(&mut self, last: u64) {
        let later = self.waiting.split_off(&last.saturating_add(1));
        let done = std::mem::replace(&mut self.waiting, later);
        done.into_values().for_each(acknowledge);
    }

    /// Adds `by` to all numbers.
    pub(super) fn shift(&mut self, by: u64) {
        let waiting = std::mem::take(&mut self.waiting).into_iter();
        let shifted = waiting.map(|(number, waiters)| (number.saturating_add(by), waiters));
        self.waiting = shifted.collect();
        if let Some((_, Some(number))) = &mut self.last {
            *number = number.saturating_add(by);
        }
    }
}

/// Acknowledges answers now.
pub(super) fn acknowledge(waiters: Vec<Waiter>) {
    for waiter in waiters {
        // An error means that the acknowledgement is not awaited any more.
        let _ = waiter.send(());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waiter() -> (Waiter, oneshot::Receiver<()>) {
        oneshot::channel()
    }

    #[test]
    fn a_repeated_answer_waits_for_the_record_of_the_first() {
        let mut acknowledgements = Acknowledgements::default();
        let (first, mut is_first) = waiter();
        let first = acknowledgements.repeated((1, 1), first).unwrap_err();
        acknowledgements.taken((1, 1), Some(3), vec![first]);
        acknowledgements.shift(10);
        let (again, mut is_again) = waiter();
        acknowledgements.repeated((1, 1), again).unwrap();
        acknowledgements.up_to(12);
        assert!(is_first.try_recv().is_err() && is_again.try_recv().is_err());
        acknowledgements.up_to(13);
        assert!(is_first.try_recv().is_ok() && is_again.try_recv().is_ok());
        let (later, mut is_later) = waiter();
        acknowledgements.repeated((1, 1), later).unwrap();
        assert!(is_later.try_recv().is_ok(), "it is durable");
        let (empty, mut is_empty) = waiter();
        acknowledgements.taken((1, 2), None, vec![empty]);
        assert!(is_empty.try_recv().is_ok(), "it has no record");
    }
}
