//! Pages of lists, with the faults of their script.

use serde_json::{Value, json};

use crate::simulator::answer::Answer;

use super::{
    Fault, Inventory, Part,
    query::{UsageQuery, WantedPage},
    script::{Entry, Reading, bad_entries},
};

/// How a list is answered: its faults, and the entries of a test in place of the generated ones.
#[derive(Debug, Default)]
pub(in crate::simulator) struct Listing {
    faults: Vec<Fault>,
    pub entries: Option<Vec<String>>,
    /// The number of requests of page 0 since the faults were set.
    readings: u64,
}

impl Listing {
    /// Replaces the faults. The next reading is the first one.
    pub(in crate::simulator) fn set_faults(&mut self, faults: Vec<Fault>) {
        self.faults = faults;
        self.readings = 0;
    }

    /// Takes the answer that replaces a page, if a fault says so.
    pub(in crate::simulator) fn take_answer(&mut self, wanted: usize) -> Option<Answer> {
        self.faults.iter_mut().find_map(|fault| match fault {
            Fault::Page {
                page,
                times,
                answer,
            } if *page == wanted && *times != Some(0) => {
                *times = times.map(|times| times - 1);
                Some((**answer).clone())
            }
            _ => None,
        })
    }

    /// The body of a page of a list.
    pub(in crate::simulator) fn page(
        &mut self,
        part: Part,
        inventory: &Inventory,
        wanted: WantedPage,
        query: UsageQuery,
        now: f64,
    ) -> String {
        if wanted.page == 0 {
            self.readings += 1;
        }
        let count = match &self.entries {
            Some(entries) => entries.len(),
            None => inventory.count(part, query),
        };
        let reading = Reading {
            number: self.readings.saturating_sub(1),
            page: wanted.page,
            size: wanted.size,
            count,
        };
        let text_of = |index: usize| match &self.entries {
            Some(entries) => entries.get(index).cloned().unwrap_or_default(),
            None => inventory.entry(part, index, query, now).to_string(),
        };
        self.body(part, &reading, text_of)
    }

    fn has(&self, is_fault: impl Fn(&Fault) -> bool) -> bool {
        self.faults.iter().any(is_fault)
    }

    fn body(&self, part: Part, reading: &Reading, text_of: impl Fn(usize) -> String) -> String {
        let is_changing = self.has(|fault| matches!(fault, Fault::Changes));
        let is_unstable = self.has(|fault| matches!(fault, Fault::UnstableOrder));
        let is_endless = self.has(|fault| matches!(fault, Fault::EndlessPages));
        let is_never_last = is_endless || self.has(|fault| matches!(fault, Fault::NeverLastPage));
        let entry_at = |position: usize| {
            let position = match is_unstable {
                true => reading.swapped(position),
                false => position,
            };
            match is_changing {
                true => reading.changed(position),
                false => (position < reading.count).then_some(Entry::Ordinary(position)),
            }
        };

        let last_page = reading.count.saturating_sub(1) / reading.size;
        let page = match is_endless {
            true => reading.page.min(last_page),
            false => reading.page,
        };
        let start = page.saturating_mul(reading.size);
        let mut texts: Vec<String> = (start..start.saturating_add(reading.size))
            .map_while(entry_at)
            .map(|entry| entry.text(part, &text_of))
            .collect();
        let is_last = entry_at(start.saturating_add(reading.size)).is_none() && !is_never_last;
        if self.has(|fault| matches!(fault, Fault::BadEntries)) {
            let middle = texts.len() / 2;
            texts.splice(middle..middle, bad_entries(part));
        }
        let last_page_member = match self.has(|fault| matches!(fault, Fault::WithoutLastPage)) {
            true => String::new(),
            false => format!(r#""isLastPage":{is_last},"#),
        };
        envelope(&format!(
            r#"{{"pageIndex":{},"limit":{},{last_page_member}"results":[{}],"totalCount":{}}}"#,
            reading.page,
            reading.size,
            texts.join(","),
            reading.count,
        ))
    }
}

impl Inventory {
    /// The number of entries of a list.
    fn count(&self, part: Part, query: UsageQuery) -> usize {
        match part {
            Part::Terminals => self.terminals(),
            Part::ServiceLines => self.lines(),
            Part::DataUsage if query.active_service_lines_only => self.active_lines(),
            Part::DataUsage => self.lines(),
            Part::Account | Part::Balance | Part::Telemetry => 0,
        }
    }

    fn entry(&self, part: Part, index: usize, query: UsageQuery, now: f64) -> Value {
        match part {
            Part::Terminals => self.terminal(index),
            Part::ServiceLines => self.line(index),
            Part::DataUsage => self.usage(index, now, query.previous_billing_cycles),
            Part::Account | Part::Balance | Part::Telemetry => json!(null),
        }
    }
}

/// A successful answer with this content, a JSON text.
pub(in crate::simulator) fn envelope(content: &str) -> String {
    format!(r#"{{"content":{content},"errors":[],"warnings":[],"information":[],"isValid":true}}"#)
}
