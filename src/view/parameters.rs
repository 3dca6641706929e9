//! The parameters of queries in URLs, for all lists: reading them, and what is wrong with one.

use thiserror::Error;
use url::form_urlencoded;

/// The default number of entries of a page.
pub(super) const PER_PAGE: usize = 50;

/// The most entries of one page.
const MOST_PER_PAGE: usize = 1000;

/// The longest text of a parameter, in bytes: each link of a page repeats it.
const MOST_TEXT: usize = 4096;

/// What is wrong with a parameter, and what is accepted.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum QueryError {
    /// The parameter is unknown.
    #[error("unknown parameter {name:?}: use {expected}")]
    Unknown {
        /// The given name.
        name: String,
        /// The parameters of the list.
        expected: &'static str,
    },
    /// It is given more than once.
    #[error("parameter {0} is given more than once")]
    Twice(&'static str),
    /// Its value is not one of the accepted ones.
    #[error("unknown {name} {value:?}: use {expected}")]
    Value {
        /// The parameter.
        name: &'static str,
        /// The given value.
        value: String,
        /// The accepted values.
        expected: String,
    },
    /// Its value is malformed.
    #[error("{name} must be {expected}, not {value:?}")]
    Form {
        /// The parameter.
        name: &'static str,
        /// What was given.
        value: String,
        /// What may be given.
        expected: &'static str,
    },
    /// There is no such account.
    #[error("unknown account {0:?}")]
    Account(String),
}

impl QueryError {
    pub(super) fn unknown(name: &str, expected: &'static str) -> Self {
        Self::Unknown {
            name: shortened(name),
            expected,
        }
    }

    pub(super) fn value(name: &'static str, value: &str, expected: String) -> Self {
        Self::Value {
            name,
            value: shortened(value),
            expected,
        }
    }

    pub(super) fn form(name: &'static str, value: &str, expected: &'static str) -> Self {
        Self::Form {
            name,
            value: shortened(value),
            expected,
        }
    }
}

/// A value by which a list can be sorted.
pub trait SortBy: Copy + PartialEq + 'static {
    /// All of them, with their names.
    const KEYS: &'static [(Self, &'static str)];
}

/// The order of a list. Entries without the value come last in either direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Order<K> {
    /// The value.
    pub key: K,
    /// Whether the order is descending.
    pub is_descending: bool,
}

impl<K: SortBy> Order<K> {
    /// The value of the parameter.
    #[must_use]
    pub fn parameter(self) -> String {
        let sign = if self.is_descending { "-" } else { "" };
        let found = K::KEYS.iter().find(|(key, _)| *key == self.key);
        format!("{sign}{}", found.map_or("", |(_, name)| name))
    }

    pub(super) fn parse(value: &str) -> Result<Self, QueryError> {
        let (is_descending, name) = match value.strip_prefix('-') {
            Some(name) => (true, name),
            None => (false, value),
        };
        match K::KEYS.iter().find(|(_, known)| *known == name) {
            Some(&(key, _)) => Ok(Self { key, is_descending }),
            None => {
                let names: Vec<_> = K::KEYS.iter().map(|(_, name)| *name).collect();
                let expected = format!("{}; prefix with - for descending", names.join(", "));
                Err(QueryError::value("sort", value, expected))
            }
        }
    }
}

/// Sets a parameter of a query to a value, which is `None` if it is empty, as forms send it; returns the parameter's name.
pub(super) type Set<Q> = fn(&mut Q, &str, Option<&str>) -> Result<&'static str, QueryError>;

/// Reads all parameters of a URL's query into `query`.
pub(super) fn read<Q>(text: &str, mut query: Q, set: Set<Q>) -> Result<Q, QueryError> {
    let mut seen = Vec::new();
    for (name, value) in form_urlencoded::parse(text.as_bytes()) {
        let name = set(&mut query, &name, given(&value))?;
        if seen.contains(&name) {
            return Err(QueryError::Twice(name));
        }
        seen.push(name);
    }
    Ok(query)
}

/// Reads the valid parameters of a URL's query into `query`.
pub(super) fn read_valid<Q>(text: &str, mut query: Q, set: Set<Q>) -> Q {
    for (name, value) in form_urlencoded::parse(text.as_bytes()) {
        // A rejected parameter has changed nothing.
        let _ = set(&mut query, &name, given(&value));
    }
    query
}

fn given(value: &str) -> Option<&str> {
    (!value.is_empty()).then_some(value)
}

/// A text of limited length.
pub(super) fn text(name: &'static str, value: Option<&str>) -> Result<Option<String>, QueryError> {
    match value {
        Some(value) if value.len() > MOST_TEXT => {
            Err(QueryError::form(name, value, "at most 4096 bytes long"))
        }
        value => Ok(value.map(str::to_owned)),
    }
}

/// A text to search for, without the white space around it.
pub(super) fn search(value: Option<&str>) -> Result<Option<String>, QueryError> {
    let found = text("search", value)?;
    let found = found.map(|text| text.trim().to_owned());
    Ok(found.filter(|text| !text.is_empty()))
}

/// The part of a list that a query is for: the account, the page, and the entries of a page.
type Part<'q> = (&'q mut Option<String>, &'q mut usize, &'q mut usize);

/// Sets a parameter that all lists have, and returns its name. `parameters` are those of the list, as errors name them.
pub(super) fn set_part(
    (account, page, per_page): Part<'_>,
    name: &str,
    value: Option<&str>,
    parameters: &'static str,
) -> Result<&'static str, QueryError> {
    Ok(match name {
        "account" => {
            *account = text("account", value)?;
            "account"
        }
        "page" => {
            *page = page_number(value)?;
            "page"
        }
        "per_page" => {
            *per_page = entries(value)?;
            "per_page"
        }
        _ => return Err(QueryError::unknown(name, parameters)),
    })
}

/// The number of a page; 1 without a value.
fn page_number(value: Option<&str>) -> Result<usize, QueryError> {
    let expected = "a whole number, 1 or greater";
    Ok(number("page", value, usize::MAX, expected)?.unwrap_or(1))
}

/// The number of entries of a page.
fn entries(value: Option<&str>) -> Result<usize, QueryError> {
    let expected = "a whole number from 1 to 1000";
    Ok(number("per_page", value, MOST_PER_PAGE, expected)?.unwrap_or(PER_PAGE))
}

fn number(
    name: &'static str,
    value: Option<&str>,
    most: usize,
    expected: &'static str,
) -> Result<Option<usize>, QueryError> {
    let Some(value) = value else {
        return Ok(None);
    };
    let number = value.parse().ok().filter(|it| (1..=most).contains(it));
    let number = number.ok_or_else(|| QueryError::form(name, value, expected))?;
    Ok(Some(number))
}

/// The query of a URL with the parameters that have a value.
pub(super) fn to_text<const N: usize>(parameters: [(&str, Option<String>); N]) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    for (name, value) in parameters {
        if let Some(value) = value {
            query.append_pair(name, &value);
        }
    }
    query.finish()
}

/// The value of the parameter `page`, unless it is the default.
pub(super) fn page_text(page: usize) -> Option<String> {
    (page != 1).then(|| page.to_string())
}

/// The value of the parameter `per_page`, unless it is the default.
pub(super) fn per_page_text(per_page: usize) -> Option<String> {
    (per_page != PER_PAGE).then(|| per_page.to_string())
}

/// Whether a query names no account or one that exists.
pub(super) fn known_account(
    account: Option<&str>,
    is_known: impl Fn(&str) -> bool,
) -> Result<(), QueryError> {
    match account {
        Some(name) if !is_known(name) => Err(QueryError::Account(shortened(name))),
        _ => Ok(()),
    }
}

/// The beginning of a text, as errors repeat it.
fn shortened(text: &str) -> String {
    const MOST: usize = 100;
    let mut start: String = text.chars().take(MOST).collect();
    if start.len() < text.len() {
        start.push('…');
    }
    start
}
