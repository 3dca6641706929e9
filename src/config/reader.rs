//! Takes one setting after the other from the merged layers, and remembers every problem and the line of every value.

use config::{Value, ValueKind};

use super::credential::{self, Credential};
use super::error::{ConfigError, ConfigErrors, Warning, quoted};
use super::layers;
use super::parse::{self, Reason};
use super::sources::Sources;
use super::table::{self, Presence, Setting};

/// The merged layers, the problems so far and the lines of `check-config` so far.
pub(super) struct Reader {
    values: config::Map<String, Value>,
    problems: Vec<ConfigError>,
    warnings: Vec<Warning>,
    effective: Vec<String>,
}

/// What was read, where nothing is wrong with it.
pub(super) struct Finished<T> {
    pub(super) value: T,
    /// The lines of `check-config`.
    pub(super) effective: Vec<String>,
    pub(super) warnings: Vec<Warning>,
}

/// A value as it was set.
struct Found {
    text: String,
    origin: String,
}

impl Reader {
    /// Merges the sources; their own problems come first.
    pub(super) fn new(sources: Sources) -> Self {
        let layers = layers::merge(sources);
        Self {
            values: layers.values,
            problems: layers.problems,
            warnings: layers.warnings,
            effective: Vec::new(),
        }
    }

    /// The value of a setting; none when it is unset or when that, or the value, is a problem.
    pub(super) fn read<T>(
        &mut self,
        setting: &Setting,
        parse: impl FnOnce(&str) -> Result<T, Reason>,
    ) -> Option<T> {
        self.read_shown(setting, parse, |text, _| text.to_owned())
    }

    /// The same for a value that must not be shown as it was set.
    pub(super) fn read_shown<T>(
        &mut self,
        setting: &Setting,
        parse: impl FnOnce(&str) -> Result<T, Reason>,
        show: impl FnOnce(&str, &T) -> String,
    ) -> Option<T> {
        match self.parsed(setting, parse) {
            Ok(Some((value, found))) => {
                self.note(setting, &show(&found.text, &value), &found.origin);
                Some(value)
            }
            Ok(None) => {
                self.note(setting, "", "not set");
                None
            }
            Err(problem) => {
                self.problems.push(problem);
                None
            }
        }
    }

    /// The value of a setting that takes a whole number.
    pub(super) fn whole<T: TryFrom<u64>>(&mut self, setting: &Setting) -> Option<T> {
        self.read(setting, |text| setting.accepts.whole(text))
    }

    /// The same for a number that need not be set; `None` if what is set is not accepted.
    pub(super) fn whole_if_set<T: TryFrom<u64>>(&mut self, setting: &Setting) -> Option<Option<T>> {
        match self.find(setting) {
            Ok(None) => {
                self.note(setting, "", "not set");
                Some(None)
            }
            _ => self.whole(setting).map(Some),
        }
    }

    /// Where a setting is set, if it is.
    pub(super) fn origin(&self, setting: &Setting) -> Option<String> {
        let value = self.values.get(&setting.key())?;
        Some(value.origin().unwrap_or("default").to_owned())
    }

    /// The value of a setting that takes one of some words: the meaning that stands with the word.
    pub(super) fn one_of<T: Copy>(
        &mut self,
        setting: &Setting,
        meanings: &[(&str, T)],
    ) -> Option<T> {
        self.read(setting, |text| {
            meanings
                .iter()
                .find(|(word, _)| text.eq_ignore_ascii_case(word))
                .map(|(_, meaning)| *meaning)
                .ok_or("")
        })
    }

    /// A credential: a value or a file, never both.
    pub(super) fn credential(&mut self, fixed: &Setting, file: &Setting) -> Option<Credential> {
        match self.try_credential(fixed, file) {
            Ok((credential, origin)) => {
                self.note(fixed, &credential.to_string(), &origin);
                let setting = if credential.file().is_some() {
                    file
                } else {
                    fixed
                };
                for doubt in credential::doubts(&credential.value()) {
                    self.warn(setting.name, doubt);
                }
                Some(credential)
            }
            Err(problem) => {
                self.problems.push(problem);
                None
            }
        }
    }

    /// Remembers what else is wrong.
    pub(super) fn refuse(&mut self, problem: ConfigError) {
        self.problems.push(problem);
    }

    /// Remembers what is doubtful about a setting.
    pub(super) fn warn(&mut self, setting: &str, advice: impl Into<String>) {
        self.warnings.push(Warning {
            setting: setting.to_owned(),
            advice: advice.into(),
        });
    }

    /// Writes down what holds for a setting, in one line of `check-config`.
    pub(super) fn note(&mut self, setting: &Setting, shown: &str, origin: &str) {
        let (name, shown) = (setting.name, printable(shown));
        self.effective.push(format!("{name}={shown}  # {origin}"));
    }

    /// Writes down an account of the accounts file.
    pub(super) fn note_account(&mut self, shown: &str) {
        self.effective.push(printable(shown));
    }

    /// Writes down that a setting is not read, and why.
    pub(super) fn note_unread(&mut self, setting: &Setting, why: &str) {
        match self.find(setting) {
            Ok(Some(found)) => {
                let origin = format!("{}, {why}", found.origin);
                self.note(setting, &found.text, &origin);
            }
            Ok(None) => self.note(setting, "", "not set"),
            Err(_) => self.note(setting, "(not shown)", why),
        }
    }

    /// Writes down which configuration file was read.
    pub(super) fn note_config_file(&mut self) {
        self.read(&table::CONFIG_FILE, |_| Ok(()));
    }

    /// Gives what was made of the settings, if nothing was wrong. There is no value only where a problem was remembered.
    pub(super) fn finish<T>(self, value: Option<T>) -> Result<Finished<T>, ConfigErrors> {
        let Self {
            problems,
            warnings,
            effective,
            ..
        } = self;
        match value {
            Some(value) if problems.is_empty() => Ok(Finished {
                value,
                effective,
                warnings,
            }),
            _ => Err(ConfigErrors { problems, warnings }),
        }
    }

    fn parsed<T>(
        &self,
        setting: &Setting,
        parse: impl FnOnce(&str) -> Result<T, Reason>,
    ) -> Result<Option<(T, Found)>, ConfigError> {
        let Some(found) = self.find(setting)? else {
            return match setting.presence {
                Presence::Required { .. } => Err(missing(setting, None)),
                Presence::Optional | Presence::Default(_) => Ok(None),
            };
        };
        match parse(&found.text) {
            Ok(value) => Ok(Some((value, found))),
            Err(reason) => Err(invalid(setting, Some(&found.text), &found.origin, reason)),
        }
    }

    fn try_credential(
        &self,
        fixed: &Setting,
        file: &Setting,
    ) -> Result<(Credential, String), ConfigError> {
        match (self.find(fixed)?, self.find(file)?) {
            (None, None) => Err(missing(fixed, Some(file))),
            (Some(found), None) => credential::parse(&found.text)
                .map(|value| (Credential::fixed(value), found.origin))
                .ok_or_else(|| missing(fixed, Some(file))),
            (None, Some(found)) => match Credential::from_file(found.text.trim().into()) {
                Ok(credential) => Ok((credential, found.origin)),
                Err(source) => Err(ConfigError::CredentialFile {
                    setting: shown(file, Some(&found.text), &found.origin),
                    source,
                    accepted: file.accepts.describe(),
                }),
            },
            (Some(found), Some(found_file)) => Err(ConfigError::Conflict {
                name: fixed.name,
                origin: found.origin,
                file_name: file.name,
                file_origin: found_file.origin,
            }),
        }
    }

    /// What is set, as text: without the white space round it, but for a secret, where it may matter.
    fn find(&self, setting: &Setting) -> Result<Option<Found>, ConfigError> {
        let Some(value) = self.values.get(&setting.key()) else {
            return Ok(None);
        };
        let origin = value.origin().unwrap_or("default").to_owned();
        let refuse = |reason| Err(invalid(setting, None, &origin, reason));
        let text = match &value.kind {
            ValueKind::String(text) if text.contains(char::REPLACEMENT_CHARACTER) => {
                return refuse("(it is not UTF-8 text)");
            }
            ValueKind::String(text) if setting.secret => text.clone(),
            ValueKind::String(text) => text.trim().to_owned(),
            ValueKind::Table(_) | ValueKind::Array(_) => {
                return refuse("(it is a list or a table)");
            }
            // A file's 0123 or 1e3 has already lost its spelling.
            _ if setting.secret => return refuse("(must be quoted)"),
            ValueKind::Float(number) => format!("{number:?}"),
            number_or_boolean => number_or_boolean.to_string(),
        };
        Ok(Some(Found { text, origin }))
    }
}

/// A text from outside on one line, with its control characters escaped.
fn printable(text: &str) -> String {
    let escape = |character: char| match character.is_control() {
        true => character.escape_default().to_string(),
        false => character.to_string(),
    };
    text.chars().map(escape).collect()
}

fn missing(setting: &Setting, file: Option<&Setting>) -> ConfigError {
    let accepted = setting.accepts.describe();
    let accepted = match (file, &setting.presence) {
        (Some(file), _) => format!(
            "{accepted}, or in {} {}",
            file.name,
            file.accepts.describe()
        ),
        (None, Presence::Required { example }) => format!("{accepted}, for example {example}"),
        (None, _) => accepted,
    };
    ConfigError::Missing {
        name: setting.name,
        accepted,
    }
}

fn invalid(setting: &Setting, text: Option<&str>, origin: &str, reason: Reason) -> ConfigError {
    let space = if reason.is_empty() { "" } else { " " };
    ConfigError::Invalid {
        setting: shown(setting, text, origin),
        reason: format!("{space}{reason}"),
        accepted: setting.accepts.describe(),
    }
}

/// Name, value and origin of a setting; secrets, also those in a URL, are left out.
fn shown(setting: &Setting, text: Option<&str>, origin: &str) -> String {
    let text = text.filter(|_| !setting.secret);
    let is_url = [table::API_URL.name, table::TOKEN_URL.name].contains(&setting.name);
    let value = match text {
        Some(text) if is_url => parse::shown_url(text),
        Some(text) => Some(quoted(text)),
        None => None,
    };
    let value = value.unwrap_or_else(|| "(not shown)".to_owned());
    format!("{}={value} ({origin})", setting.name)
}
