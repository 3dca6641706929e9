//! The description of one setting: its name, default, accepted values and purpose.

/// Why a text is rejected, in addition to the accepted values; may be empty.
pub(in crate::config) type Reason = &'static str;

/// The description of a setting.
pub(in crate::config) struct Setting {
    /// The environment variable.
    pub(in crate::config) name: &'static str,
    /// The default.
    pub(in crate::config) presence: Presence,
    /// The accepted values.
    pub(in crate::config) accepts: Accepts,
    /// Whether its value must never be shown.
    pub(in crate::config) secret: bool,
    /// Its purpose, in one line.
    pub(in crate::config) help: &'static str,
}

/// The default of a setting.
pub(in crate::config) enum Presence {
    /// Required: without it the service does not start. The example is for `.env.example`.
    Required { example: &'static str },
    /// Unset.
    Optional,
    /// This value.
    Default(&'static str),
}

/// The accepted values of a setting.
pub(in crate::config) enum Accepts {
    /// A whole number, both bounds included.
    Whole {
        from: u64,
        to: u64,
        unit: &'static str,
    },
    /// A switch, in any usual spelling.
    Switch,
    /// One of these words, in any case.
    OneOf(&'static [&'static str]),
    /// Any text that fits the description; the code that reads the setting checks it.
    Words(&'static str),
}

impl Setting {
    /// The setting's name in a configuration file.
    pub(in crate::config) fn key(&self) -> String {
        self.name.to_ascii_lowercase()
    }
}

impl Accepts {
    /// Parses a whole number.
    pub(in crate::config) fn whole<T: TryFrom<u64>>(&self, text: &str) -> Result<T, Reason> {
        let Self::Whole { from, to, .. } = self else {
            return Err("");
        };
        let number = text.parse().ok();
        number
            .filter(|number| (from..=to).contains(&number))
            .and_then(|number| T::try_from(number).ok())
            .ok_or_else(|| number_reason(text))
    }

    /// The accepted values, as a text that continues "give …".
    pub(in crate::config) fn describe(&self) -> String {
        match self {
            Self::Whole { from, to, unit } => {
                format!("a whole number from {from} to {to} ({unit})")
            }
            Self::Switch => "true, false, yes, no, on, off, 1 or 0".to_owned(),
            Self::OneOf(words) => match words.split_last() {
                Some((last, rest)) if !rest.is_empty() => {
                    format!("{} or {last}", rest.join(", "))
                }
                _ => words.concat(),
            },
            Self::Words(words) => (*words).to_owned(),
        }
    }
}

/// A Service named `metrics` makes Kubernetes set `METRICS_PORT` in every pod, which is hard to find.
fn number_reason(text: &str) -> Reason {
    if text.starts_with("tcp://") {
        "(Kubernetes sets it for a Service of that name: set enableServiceLinks: false in the pod)"
    } else {
        ""
    }
}
