//! The service lines of an account.

use std::borrow::Cow;
use std::cmp::Ordering;

use serde::{Deserialize, Serialize};

use super::Bounds;
use super::answer::{self, AnswerError, Page, RawPage};
use super::entry::Number;
use super::packed::{self, Entry, Packed};
use super::terminals::some;
use super::time::seconds;

/// The service lines of an account, or of one page.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Lines {
    /// Number, nickname, product, tail number.
    lines: Packed<Facts, 4>,
    /// The entries of the last complete reading for which there is no room.
    #[serde(default)]
    left_out: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Facts {
    is_active: Option<bool>,
    has_public_ip: Option<bool>,
    end: Number,
}

impl packed::Facts for Facts {
    fn order(&self, other: &Self) -> Ordering {
        let rank = |facts: &Self| (facts.is_active, facts.has_public_ip);
        let by_flags = rank(self).cmp(&rank(other));
        by_flags.then_with(|| self.end.order(other.end))
    }
}

/// A service line. What Starlink leaves out is `None`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Line<'l> {
    /// The number, such as `AST-730215-48816-21`.
    pub number: &'l str,
    /// The name that the customer gave it.
    pub nickname: Option<&'l str>,
    /// The reference of its product.
    pub product: Option<&'l str>,
    /// The tail number of the aircraft.
    pub tail_number: Option<&'l str>,
    /// Whether it is active.
    pub is_active: Option<bool>,
    /// Whether its terminals have public addresses.
    pub has_public_ip: Option<bool>,
    /// When it ended, in seconds since 1970.
    pub end: Option<f64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawLine<'a> {
    #[serde(borrow)]
    service_line_number: Cow<'a, str>,
    #[serde(borrow)]
    nickname: Option<Cow<'a, str>>,
    #[serde(borrow)]
    product_reference_id: Option<Cow<'a, str>>,
    active: Option<bool>,
    public_ip: Option<bool>,
    #[serde(borrow)]
    end_date: Option<Cow<'a, str>>,
    #[serde(borrow)]
    aviation_metadata: Option<RawAviation<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawAviation<'a> {
    #[serde(borrow)]
    tail_number: Option<Cow<'a, str>>,
}

impl Lines {
    /// Reads a page of the answer to `GET service-lines`.
    ///
    /// # Errors
    /// The answer is not JSON, or not a page of a list.
    pub fn parse(body: &[u8], bounds: &Bounds) -> Result<Page<Self>, AnswerError> {
        let page: RawPage<'_> = answer::content(body)?;
        let (raw, mut rejected): (Vec<RawLine<'_>>, _) = page.entries();
        let entries = raw.iter().filter_map(|line| {
            let number = bounds.text(Some(&line.service_line_number))?;
            let aviation = line.aviation_metadata.as_ref();
            let tail_number = aviation.and_then(|aviation| aviation.tail_number.as_deref());
            let texts = [
                line.nickname.as_deref(),
                line.product_reference_id.as_deref(),
                tail_number,
            ];
            let [nickname, product, tail_number] =
                texts.map(|text| bounds.text(text).unwrap_or_default());
            Some(Entry::new(
                [number, nickname, product, tail_number],
                Facts {
                    is_active: line.active,
                    has_public_ip: line.public_ip,
                    end: seconds(line.end_date.as_deref()).into(),
                },
            ))
        });
        rejected.add_without_key(raw.len() - entries.clone().count());
        let (lines, left_out) = Packed::of(entries, bounds.entries);
        Ok(Page {
            entries: Self { lines, left_out },
            is_last: page.is_last(),
            rejected,
        })
    }

    /// The list after a complete reading of these pages. An entry that is missing from it is kept, unless it was missing from the
    /// previous one too.
    #[must_use]
    pub fn merged(before: Option<&Self>, pages: &[Self], bounds: &Bounds) -> Self {
        let lists: Vec<_> = pages.iter().map(|page| &page.lines).collect();
        let before = before.map(|before| &before.lines);
        let (lines, left_out) = Packed::merged(before, &lists, bounds.entries);
        Self {
            lines,
            left_out: pages.iter().fold(left_out, |sum, page| sum + page.left_out),
        }
    }

    /// The number of entries of the last complete reading that were left out, because there are more than [`Bounds::entries`].
    #[must_use]
    pub fn left_out(&self) -> usize {
        self.left_out
    }

    /// The number of lines.
    #[must_use]
    pub fn len(&self) -> usize {
        self.lines.len()
    }

    /// Whether there are no lines.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The line at a position of the list, which is sorted by number.
    #[must_use]
    pub fn get(&self, index: usize) -> Option<Line<'_>> {
        self.lines.get(index).map(line)
    }

    /// The position of the line with a number.
    #[must_use]
    pub fn find(&self, number: &str) -> Option<usize> {
        self.lines.find(number)
    }

    /// The lines, sorted by number.
    pub fn iter(&self) -> impl Iterator<Item = Line<'_>> {
        self.lines.iter().map(line)
    }

    /// The memory in bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.lines.bytes()
    }
}

fn line(entry: Entry<'_, Facts, 4>) -> Line<'_> {
    let [number, nickname, product, tail_number] = entry.texts;
    Line {
        number,
        nickname: some(nickname),
        product: some(product),
        tail_number: some(tail_number),
        is_active: entry.facts.is_active,
        has_public_ip: entry.facts.has_public_ip,
        end: entry.facts.end.get(),
    }
}
