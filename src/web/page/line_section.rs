//! The service line of a device on the device's page.

use super::data_use::UseSection;
use super::format::{moment, printable};
use crate::view::{LineQuery, ServiceLine};

/// A service line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LineSection {
    /// Its number.
    pub number: String,
    /// The list with this line.
    pub link: String,
    /// Nickname, product, tail number, activity, public addresses, end: those that are known.
    pub facts: Vec<(&'static str, String)>,
    /// Its data use, if that is known.
    pub data_use: Option<UseSection>,
}

impl LineSection {
    /// The section at a time in seconds since 1970.
    #[must_use]
    pub fn of(line: &ServiceLine, now: f64) -> Self {
        let yes = |is: bool| if is { "yes" } else { "no" }.to_owned();
        let text = |text: &Option<String>| text.as_deref().map(printable);
        let facts = [
            ("Nickname", text(&line.nickname)),
            ("Product", text(&line.product)),
            ("Tail number", text(&line.tail_number)),
            ("Active", line.active.map(yes)),
            ("Public IP", line.public_ip.map(yes)),
            ("End", line.end_timestamp_seconds.map(moment)),
        ];
        Self {
            number: printable(&line.number),
            link: link(&LineQuery {
                search: Some(line.number.clone()),
                ..LineQuery::default()
            }),
            facts: facts
                .into_iter()
                .filter_map(|(name, value)| Some((name, value?)))
                .collect(),
            data_use: line
                .data_use
                .as_ref()
                .map(|data_use| UseSection::of(data_use, now)),
        }
    }
}

/// The page of service lines that a query asks for.
#[must_use]
pub fn link(query: &LineQuery) -> String {
    let query = query.to_text();
    let mark = if query.is_empty() { "" } else { "?" };
    format!("./lines{mark}{query}")
}
