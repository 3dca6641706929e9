//! Reads settings one by one from the merged layers, and collects the errors and the origin of each value.

use config::{Value, ValueKind};

use super::credential::{self, Credential};
use super::error::{ConfigError, ConfigErrors, Warning, quoted};
use super::layers;
use super::parse;
use super::sources::Sources;
use super::table::{self, Presence, Reason, Setting};

/// The merged layers, with the errors and the lines of `check-config` so far.
pub(super) struct Reader {
    values: config::Map<String, Value>,
    problems: Vec<ConfigError>,
    warnings: Vec<Warning>,
    effective: Vec<String>,
}

/// The result if there are no errors.
pub(super) struct Finished<T> {
    pub(super) value: T,
    /// The lines of `check-config`.
    pub(super) effective: Vec<String>,
    pub(super) warnings: Vec<Warning>,
}

/// A raw value.
struct Found {
    text: String,
    origin: String,
}

impl Reader {
    /// Merges the sources; their own errors come first.
    pub(super) fn new(sources: Sources) -> Self {
        let layers = layers::merge(sources);
        Self {
            values: layers.values,
            problems: layers.problems,
            warnings: layers.warnings,
            effective: Vec::new(),
        }
    }

    /// The value of a setting; `None` if it is unset, or after recording an error.
    pub(super) fn read<T>(
        &mut self,
        setting: &Setting,
        parse: impl FnOnce(&str) -> Result<T, Reason>,
    ) -> Option<T> {
        self.read_shown(setting, parse, |text, _| text.to_owned())
    }

    /// [`Reader::read`] for a value that must not be shown unchanged.
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

    /// The value of a setting that is a whole number.
    pub(super) fn whole<T: TryFrom<u64>>(&mut self, setting: &Setting) -> Option<T> {
        self.read(setting, |text| setting.accepts.whole(text))
    }

    /// The same for an optional number; `None` if the value is not accepted.
    pub(super) fn whole_if_set<T: TryFrom<u64>>(&mut self, setting: &Setting) -> Option<Option<T>> {
        match self.find(setting) {
            Ok(None) => {
                self.note(setting, "", "not set");
                Some(None)
            }
            _ => self.whole(setting).map(Some),
        }
    }

    /// The origin of a setting, if it is set.
    pub(super) fn origin(&self, setting: &Setting) -> Option<String> {
        let value = self.values.get(&setting.key())?;
        Some(value.origin().unwrap_or("default").to_owned())
    }

    /// The value of a setting that is one of several words: the value that belongs to the word.
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

    /// A credential: a value or a file, but not both.
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

    /// Records an error.
    pub(super) fn refuse(&mut self, problem: ConfigError) {
        self.problems.push(problem);
    }

    /// Records a warning about a setting.
    pub(super) fn warn(&mut self, setting: &str, advice: impl Into<String>) {
        self.warnings.push(Warning {
            setting: setting.to_owned(),
            advice: advice.into(),
        });
    }

    /// Adds the line of a setting to the output of `check-config`.
    pub(super) fn note(&mut self, setting: &Setting, shown: &str, origin: &str) {
        let (name, shown) = (setting.name, printable(shown));
        self.effective.push(format!("{name}={shown}  # {origin}"));
    }

    /// Adds the line of an entry of a file of accounts or destinations.
    pub(super) fn note_entry(&mut self, shown: &str) {
        self.effective.push(printable(shown));
    }

    /// Adds the line of a setting that is not used, with the reason.
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

    /// Adds the line of the configuration file that was read.
    pub(super) fn note_config_file(&mut self) {
        self.read(&table::CONFIG_FILE, |_| Ok(()));
    }

    /// Returns the value if there are no errors. The value is `None` only after an error was recorded.
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

    /// The text of a value, without white space around it, except for a secret, in which white space may matter.
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
            // The configuration file's parser has already converted numbers such as 0123 or 1e3.
            _ if setting.secret => return refuse("(must be quoted)"),
            ValueKind::Float(number) => format!("{number:?}"),
            number_or_boolean => number_or_boolean.to_string(),
        };
        Ok(Some(Found { text, origin }))
    }
}

/// Formats a text from outside on one line, with control characters escaped.
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
            "{accepted}, or in {} {}; or describe one or more accounts in a file that {} names",
            file.name,
            file.accepts.describe(),
            table::ACCOUNTS_FILE.name
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

/// Name, value and origin of a setting, without secrets, including those in a URL.
fn shown(setting: &Setting, text: Option<&str>, origin: &str) -> String {
    let text = text.filter(|_| !setting.secret);
    let is_url = [
        table::API_URL.name,
        table::TOKEN_URL.name,
        table::REMOTE_WRITE_URL.name,
    ]
    .contains(&setting.name);
    let value = match text {
        Some(text) if is_url => parse::shown_url(text),
        Some(text) => Some(quoted(text)),
        None => None,
    };
    let value = value.unwrap_or_else(|| "(not shown)".to_owned());
    format!("{}={value} ({origin})", setting.name)
}
