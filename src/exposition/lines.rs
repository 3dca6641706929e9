//! The families of service lines. They are written in steps of some lines, as families of devices are written in blocks.

use std::sync::Arc;

use super::number::number;
use super::text::{label, line};
use crate::inventory::{Inventory, Line, Lines, UsageFacts, Usages};
use crate::telemetry::catalogue::InventoryFamily;
use crate::text::escape::escape_into;
use crate::text::padded::Padded;

/// The lines of a step.
pub const LINES: usize = 256;

/// The families of service lines, in the order in which a scrape has them.
pub const FAMILIES: [InventoryFamily; 10] = [
    InventoryFamily::LineInfo,
    InventoryFamily::LineActive,
    InventoryFamily::LineEnd,
    InventoryFamily::LineUsed,
    InventoryFamily::LineLimit,
    InventoryFamily::LineOverage,
    InventoryFamily::LineOptedIn,
    InventoryFamily::LineUpdated,
    InventoryFamily::LineCycleStart,
    InventoryFamily::LineCycleEnd,
];

/// A part of the inventory, as a list of lines.
#[derive(Debug, Clone, Copy)]
enum Listed<'i> {
    Lines(&'i Lines),
    Usages(&'i Usages),
}

impl<'i> Listed<'i> {
    fn len(self) -> usize {
        match self {
            Self::Lines(lines) => lines.len(),
            Self::Usages(usages) => usages.len(),
        }
    }
}

/// A line, as far as a family needs it.
#[derive(Debug, Clone, Copy)]
struct Entry<'i> {
    number: &'i str,
    line: Option<Line<'i>>,
    facts: Option<UsageFacts>,
}

/// The service lines of an account.
#[derive(Debug, Clone, Copy)]
pub struct AccountLines<'i> {
    account: &'i str,
    lines: Option<&'i Lines>,
    usages: Option<&'i Usages>,
}

impl<'i> AccountLines<'i> {
    /// The lines of an account with this name.
    #[must_use]
    pub fn new((account, inventory): &'i (Arc<str>, Arc<Inventory>)) -> Self {
        Self {
            account,
            lines: inventory.lines.as_ref().map(|known| &*known.value),
            usages: inventory.usage.as_ref().map(|known| &*known.value),
        }
    }

    /// The number of steps of a family.
    #[must_use]
    pub fn steps(self, family: InventoryFamily) -> usize {
        let lists = self.lists(family).into_iter().flatten();
        lists.map(|list| list.len().div_ceil(LINES)).sum()
    }

    /// The lists of a family. The end of a line may be known without the line.
    fn lists(self, family: InventoryFamily) -> [Option<Listed<'i>>; 2] {
        let lines = self.lines.map(Listed::Lines);
        let usages = self.usages.map(Listed::Usages);
        match family {
            InventoryFamily::LineInfo | InventoryFamily::LineActive => [lines, None],
            InventoryFamily::LineEnd => [lines, usages],
            _ => [None, usages],
        }
    }

    /// The list of a step, and the position of its first line.
    fn list(self, family: InventoryFamily, mut step: usize) -> Option<(Listed<'i>, usize)> {
        for list in self.lists(family).into_iter().flatten() {
            let steps = list.len().div_ceil(LINES);
            if step < steps {
                return Some((list, step * LINES));
            }
            step -= steps;
        }
        None
    }

    /// Whether a line of the step has a sample.
    #[must_use]
    pub fn has_samples(self, family: InventoryFamily, step: usize) -> bool {
        let mut found = false;
        self.each(family, step, 0, |entry| {
            match family {
                InventoryFamily::LineInfo => found = true,
                _ => values(family, &entry, |_, _| found = true),
            }
            !found
        });
        found
    }

    /// Writes the samples of a step from its line `first` on, at least of one line, until `out` has `enough` bytes. Returns the line to
    /// continue with, or `None` at the end of the step.
    pub fn write(
        self,
        family: InventoryFamily,
        step: usize,
        first: usize,
        enough: usize,
        out: &mut Vec<u8>,
    ) -> Option<usize> {
        let mut prefix = Vec::with_capacity(128);
        line(&mut prefix, &[family.name(), "{"]);
        label(&mut prefix, "account", self.account);
        line(&mut prefix, &[",service_line=\""]);
        let prefix = Padded::new(prefix);
        let mut is_first = true;
        self.each(family, step, first, |entry| {
            if !is_first && out.len() >= enough {
                return false;
            }
            is_first = false;
            if let (InventoryFamily::LineInfo, Some(line)) = (family, entry.line) {
                write_info(&prefix, &line, out);
            }
            values(family, &entry, |category, value| {
                prefix.push(out);
                escape_into(out, entry.number, true);
                if let Some(category) = category {
                    line(out, &["\",category=\"", category]);
                }
                line(out, &["\"} "]);
                number(out, value);
                out.push(b'\n');
            });
            true
        })
    }

    /// Calls `visit` with the lines of a step from `first` on. Stops at the first line for which it returns false, and returns its position.
    fn each(
        self,
        family: InventoryFamily,
        step: usize,
        first: usize,
        mut visit: impl FnMut(Entry<'i>) -> bool,
    ) -> Option<usize> {
        let (list, start) = self.list(family, step)?;
        let end = list.len().min(start + LINES);
        let mut near = 0;
        (start + first..end)
            .find(|&index| {
                let entry = self.entry(family, list, index, &mut near);
                entry.is_some_and(|entry| !visit(entry))
            })
            .map(|index| index - start)
    }

    /// The line at a position of a list. `near` is the position after that of the line before in the other list, where this one is as a
    /// rule, because both lists are sorted.
    fn entry(
        self,
        family: InventoryFamily,
        list: Listed<'i>,
        index: usize,
        near: &mut usize,
    ) -> Option<Entry<'i>> {
        let is_end = family == InventoryFamily::LineEnd;
        match list {
            Listed::Lines(lines) => {
                let line = lines.get(index)?;
                let usages = self.usages.filter(|_| is_end);
                Some(Entry {
                    number: line.number,
                    line: Some(line),
                    facts: usages.and_then(|usages| facts_of(usages, line.number, near)),
                })
            }
            Listed::Usages(usages) => {
                let usage = usages.get(index)?;
                // The end of a line that is listed too comes with the lines.
                let is_listed = is_end
                    && self
                        .lines
                        .is_some_and(|lines| lists(lines, usage.line, near));
                Some(Entry {
                    number: usage.line,
                    line: None,
                    facts: (!is_listed).then_some(usage.facts),
                })
            }
        }
    }
}

/// The use of a line.
fn facts_of(usages: &Usages, number: &str, near: &mut usize) -> Option<UsageFacts> {
    let guess = usages.get(*near).filter(|usage| usage.line == number);
    let found = match guess {
        Some(_) => *near,
        None => usages.find(number)?,
    };
    *near = found + 1;
    Some(usages.get(found)?.facts)
}

/// Whether a list has a line.
fn lists(lines: &Lines, number: &str, near: &mut usize) -> bool {
    let guess = lines.get(*near).filter(|line| line.number == number);
    let found = match guess {
        Some(_) => Some(*near),
        None => lines.find(number),
    };
    if let Some(found) = found {
        *near = found + 1;
    }
    found.is_some()
}

/// Calls `sample` with the category, if the family has categories, and the value of each sample of a line. A family of type info has none.
fn values(
    family: InventoryFamily,
    entry: &Entry<'_>,
    mut sample: impl FnMut(Option<&'static str>, f64),
) {
    let flag = |flag: Option<bool>| flag.map(|flag| f64::from(u8::from(flag)));
    let of_use = |value: fn(&UsageFacts) -> Option<f64>| entry.facts.as_ref().and_then(value);
    let value = match family {
        InventoryFamily::LineActive => entry.line.and_then(|line| flag(line.is_active)),
        InventoryFamily::LineEnd => {
            of_use(UsageFacts::subscription_end).or_else(|| entry.line.and_then(|line| line.end))
        }
        InventoryFamily::LineUsed => {
            for (category, value) in [
                ("priority", of_use(UsageFacts::priority_bytes)),
                ("opt_in_priority", of_use(UsageFacts::opt_in_priority_bytes)),
                ("standard", of_use(UsageFacts::standard_bytes)),
                ("non_billable", of_use(UsageFacts::non_billable_bytes)),
            ] {
                if let Some(value) = value {
                    sample(Some(category), value);
                }
            }
            None
        }
        InventoryFamily::LineLimit => of_use(UsageFacts::limit_bytes),
        InventoryFamily::LineOverage => of_use(UsageFacts::overage_bytes),
        InventoryFamily::LineOptedIn => {
            flag(entry.facts.as_ref().and_then(UsageFacts::is_opted_in))
        }
        InventoryFamily::LineUpdated => of_use(UsageFacts::updated),
        InventoryFamily::LineCycleStart => of_use(UsageFacts::cycle_start),
        InventoryFamily::LineCycleEnd => of_use(UsageFacts::cycle_end),
        _ => None,
    };
    if let Some(value) = value {
        sample(None, value);
    }
}

fn write_info(prefix: &Padded, info: &Line<'_>, out: &mut Vec<u8>) {
    let public_ip = match info.has_public_ip {
        None => "",
        Some(true) => "true",
        Some(false) => "false",
    };
    prefix.push(out);
    escape_into(out, info.number, true);
    for (key, value) in [
        ("nickname", info.nickname),
        ("product", info.product),
        ("tail_number", info.tail_number),
        ("public_ip", Some(public_ip)),
    ] {
        line(out, &["\",", key, "=\""]);
        escape_into(out, value.unwrap_or_default(), true);
    }
    line(out, &["\"} 1\n"]);
}
