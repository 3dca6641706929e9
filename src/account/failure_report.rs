//! A failure as text, for the page, the API and the log.

use std::fmt;

/// Longer messages are cut: they are shown on a page.
const MOST_CHARACTERS: usize = 500;

/// A failure as text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailureReport {
    /// What happened, as a sentence. At most [`MOST_CHARACTERS`] and an ellipsis.
    pub message: String,
    /// What an operator can do about it, as a sentence.
    pub remedy: Option<String>,
}

impl FailureReport {
    /// A message, bounded and with a full stop at its end.
    #[must_use]
    pub fn new(message: &str, remedy: Option<String>) -> Self {
        let message = message.trim_end();
        let mut bounded: String = message.chars().take(MOST_CHARACTERS).collect();
        if bounded.len() < message.len() {
            bounded.push('…');
        } else if !bounded.ends_with(['.', '!', '?', '…']) {
            bounded.push('.');
        }
        Self {
            message: bounded,
            remedy,
        }
    }

    /// The same with a further sentence.
    #[must_use]
    pub fn and(mut self, sentence: &str) -> Self {
        self.message.push(' ');
        self.message.push_str(sentence);
        self
    }
}

impl fmt::Display for FailureReport {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.message)?;
        match &self.remedy {
            Some(remedy) => write!(formatter, " {remedy}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_a_bounded_sentence() {
        let long = "é".repeat(2 * MOST_CHARACTERS);
        let cut = format!("{}…", "é".repeat(MOST_CHARACTERS));
        for (message, remedy, expected) in [
            ("It failed", None, "It failed."),
            ("It failed. ", Some("Try again."), "It failed. Try again."),
            (&long, None, &cut),
        ] {
            let remedy = remedy.map(str::to_owned);
            assert_eq!(FailureReport::new(message, remedy).to_string(), expected);
        }
    }
}
