//! The layers of settings, merged by the `config` crate: defaults, configuration file, `.env`, environment.

use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};

use config::{Config, File, FileFormat, Map, Source, Value, ValueKind};

use super::error::{ConfigError, Warning, not_text, quoted};
use super::sources::{Dotenv, Sources};
use super::table::{self, Presence, SETTINGS, Setting};
use crate::files;
use crate::text::yaml::{self, Problem};

/// The merged layers.
pub(super) struct Layers {
    /// The values by the key of the setting, each with its origin. Unset and empty settings are absent.
    pub(super) values: Map<String, Value>,
    /// The errors of the sources themselves.
    pub(super) problems: Vec<ConfigError>,
    /// The warnings about the sources.
    pub(super) warnings: Vec<Warning>,
}

/// Merges the sources, and reads the configuration file that one of them names.
pub(super) fn merge(sources: Sources) -> Layers {
    let Sources {
        config_file,
        dotenv,
        environment,
    } = sources;
    let Dotenv {
        variables,
        mut problems,
        mut warnings,
    } = dotenv;
    let others = Others::of(&environment, &variables);
    let dotenv = Layer::new(
        ".env",
        of_settings(
            variables
                .into_iter()
                .map(|(name, value)| (name, value.into())),
        ),
    );
    let environment = Layer::new("environment", of_settings(environment));
    let command_line = Layer::new("--config-file", path_value(config_file));

    let named = [&command_line, &environment, &dotenv]
        .into_iter()
        .find_map(|layer| layer.values.get(&table::CONFIG_FILE.key()));
    let file = match named {
        Some(value) => read_file(value).unwrap_or_else(|problem| {
            problems.push(problem);
            FileLayer::default()
        }),
        None => FileLayer::default(),
    };
    problems.extend(file.problems);

    let merged = Config::builder()
        .add_source(Layer::new("default", defaults()))
        .add_source(file.layer)
        .add_source(dotenv)
        .add_source(environment)
        .add_source(command_line)
        .build()
        .and_then(|config| config.collect());
    let mut values = merged.unwrap_or_else(|source| {
        problems.push(ConfigError::Merge { source });
        Map::new()
    });
    others.fill(&mut values, &mut warnings);
    Layers {
        values,
        problems,
        warnings,
    }
}

/// The variables with alternative names of settings, those of the environment first: name, value and origin, without empty values.
struct Others(Vec<(&'static str, String, &'static str)>);

impl Others {
    fn of(environment: &[(String, OsString)], dotenv: &[(String, String)]) -> Self {
        let of_environment = |name: &str| {
            let found = environment.iter().rfind(|(known, _)| known == name);
            found.map(|(_, value)| value.to_string_lossy().into_owned())
        };
        let of_dotenv = |name: &str| {
            let found = dotenv.iter().rfind(|(known, _)| known == name);
            found.map(|(_, value)| value.clone())
        };
        let both = table::other_names().flat_map(|name| {
            [
                (name, of_environment(name), "environment"),
                (name, of_dotenv(name), ".env"),
            ]
        });
        let set = both.filter_map(|(name, value, origin)| Some((name, value?, origin)));
        Self(
            set.filter(|(_, value, _)| !value.trim().is_empty())
                .collect(),
        )
    }

    /// Sets unset settings that have alternative names to the first value under one of these names.
    fn fill(&self, values: &mut Map<String, Value>, warnings: &mut Vec<Warning>) {
        for (setting, names) in table::ALIASES {
            for name in names {
                let others = self.0.iter().filter(|(known, ..)| known == name);
                for (_, value, origin) in others {
                    if values.contains_key(&setting.key()) {
                        continue;
                    }
                    if is_other_proxy(name, value) {
                        warnings.push(Warning {
                            setting: (*name).to_owned(),
                            advice:
                                "it is not used: only HTTP proxies (http://host:port) are supported"
                                    .to_owned(),
                        });
                        continue;
                    }
                    let origin = format!("{origin}, as {name}");
                    let value = Value::new(Some(&origin), value.clone());
                    values.insert(setting.key(), value);
                }
            }
        }
        let http_proxy = self
            .0
            .iter()
            .find(|(name, ..)| table::HTTP_PROXY.contains(name));
        if let Some((name, ..)) = http_proxy
            && !values.contains_key(&table::HTTPS_PROXY.key())
        {
            warnings.push(Warning {
                setting: (*name).to_owned(),
                advice: "it is not used: Starlink is reached over https. Set HTTPS_PROXY if connections to it go through a proxy".to_owned(),
            });
        }
    }
}

/// Whether a variable for all protocols names a proxy of another type, such as SOCKS.
fn is_other_proxy(name: &str, value: &str) -> bool {
    let is_http = |(scheme, _): (&str, &str)| scheme.trim().eq_ignore_ascii_case("http");
    name.eq_ignore_ascii_case("ALL_PROXY") && !value.split_once("://").is_none_or(is_http)
}

/// The values of one source.
#[derive(Clone, Default)]
struct Layer {
    origin: String,
    values: Map<String, Value>,
}

impl Layer {
    /// A layer without empty values, so that an empty value does not hide the layer below.
    fn new(origin: &str, values: impl IntoIterator<Item = (String, ValueKind)>) -> Self {
        let origin = origin.to_owned();
        let values = values
            .into_iter()
            .map(|(key, kind)| (key, Value::new(Some(&origin), kind)))
            .collect::<Map<String, Value>>()
            .into_iter()
            .filter(|(_, value)| !is_empty(&value.kind))
            .collect();
        Self { origin, values }
    }
}

/// The trait requires `Debug`; values are not shown, because they may be secret.
impl fmt::Debug for Layer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Layer")
            .field("origin", &self.origin)
            .finish_non_exhaustive()
    }
}

impl Source for Layer {
    fn clone_into_box(&self) -> Box<dyn Source + Send + Sync> {
        Box::new(self.clone())
    }

    fn collect(&self) -> Result<Map<String, Value>, config::ConfigError> {
        Ok(self.values.clone())
    }
}

fn is_empty(kind: &ValueKind) -> bool {
    match kind {
        ValueKind::Nil => true,
        ValueKind::String(text) => text.trim().is_empty(),
        _ => false,
    }
}

fn defaults() -> impl Iterator<Item = (String, ValueKind)> {
    SETTINGS
        .iter()
        .filter_map(|setting| match setting.presence {
            Presence::Default(value) => Some((setting.key(), value.into())),
            Presence::Required { .. } | Presence::Optional => None,
        })
}

/// The variables that are settings. Invalid UTF-8 becomes U+FFFD, which is rejected when the value is read.
fn of_settings(
    variables: impl IntoIterator<Item = (String, OsString)>,
) -> impl Iterator<Item = (String, ValueKind)> {
    variables
        .into_iter()
        .filter(|(name, _)| SETTINGS.iter().any(|setting| setting.name == name))
        .map(|(name, value)| {
            let text = value.to_string_lossy().into_owned();
            (name.to_ascii_lowercase(), text.into())
        })
}

fn path_value(path: Option<PathBuf>) -> Option<(String, ValueKind)> {
    let path = path?.to_string_lossy().into_owned();
    Some((table::CONFIG_FILE.key(), path.into()))
}

/// The values of the configuration file, and the keys that are not settings.
#[derive(Default)]
struct FileLayer {
    layer: Layer,
    problems: Vec<ConfigError>,
}

/// Reads the file that the setting `CONFIG_FILE` names.
fn read_file(setting: &Value) -> Result<FileLayer, ConfigError> {
    let path = setting.clone().into_string().unwrap_or_default();
    let path = path.trim();
    let file = match setting.origin() {
        Some("--config-file") | None => format!("--config-file {}", quoted(path)),
        Some(origin) => format!("CONFIG_FILE={} ({origin})", quoted(path)),
    };
    let Some((format, language)) = format_of(Path::new(path)) else {
        return Err(ConfigError::Invalid {
            setting: file,
            reason: String::new(),
            accepted: table::CONFIG_FILE.accepts.describe(),
        });
    };
    let bytes = match files::FileReader::default().read(Path::new(path), files::SMALL) {
        Ok(bytes) => bytes,
        Err(source) => return Err(ConfigError::Unreadable { file, source }),
    };
    let text = match std::str::from_utf8(&bytes) {
        Ok(text) => text,
        Err(error) => return Err(not_text(file, &bytes, error)),
    };
    if let (FileFormat::Yaml, Err(Problem { line, what })) = (format, yaml::check(text)) {
        return Err(ConfigError::Yaml { file, line, what });
    }
    match File::from_str(text, format).collect() {
        Ok(values) => Ok(sort_keys(&file, path, values)),
        Err(error) => Err(ConfigError::Syntax {
            place: place(&error),
            file,
            accepted: language,
        }),
    }
}

/// The format of a file by its extension, and the remedy for an error.
fn format_of(path: &Path) -> Option<(FileFormat, &'static str)> {
    match path.extension()?.to_str()? {
        "toml" => Some((FileFormat::Toml, "TOML, such as batch_size = 1000")),
        "yaml" | "yml" => Some((FileFormat::Yaml, "YAML, such as batch_size: 1000")),
        _ => None,
    }
}

/// The line of an error. The text of the error is not shown, because it may quote secrets of the file.
fn place(error: &config::ConfigError) -> String {
    let text = error.to_string();
    let digits: String = text
        .lines()
        .next()
        .and_then(|head| head.rsplit_once(" line "))
        .map(|(_, tail)| tail.chars().take_while(char::is_ascii_digit).collect())
        .unwrap_or_default();
    match digits.as_str() {
        "" => String::new(),
        line => format!(" (line {line})"),
    }
}

/// Splits the keys of a file into settings and other keys; the latter are in alphabetical order.
fn sort_keys(file: &str, path: &str, values: Map<String, Value>) -> FileLayer {
    let (known, unknown): (Map<_, _>, Map<_, _>) =
        values.into_iter().partition(|(key, _)| is_file_key(key));
    let mut unknown: Vec<String> = unknown.into_keys().collect();
    unknown.sort();
    let origin = format!("file {}", quoted(path));
    let kinds = known.into_iter().map(|(key, value)| (key, value.kind));
    FileLayer {
        layer: Layer::new(&origin, kinds),
        problems: unknown
            .iter()
            .map(|key| unknown_key(file.to_owned(), key))
            .collect(),
    }
}

/// A file cannot name another one.
fn is_file_key(key: &str) -> bool {
    let is_key = |setting: &&Setting| setting.key() == key;
    SETTINGS.iter().any(is_key) && key != table::CONFIG_FILE.key()
}

fn unknown_key(file: String, key: &str) -> ConfigError {
    let advice = match table::nearest_key(key) {
        Some(near) if near == table::CONFIG_FILE.key() => {
            "a configuration file cannot name another one, remove it".to_owned()
        }
        Some(near) => format!("did you mean {near}?"),
        None => "remove it; --help lists all settings".to_owned(),
    };
    ConfigError::UnknownKey {
        file,
        key: shown_key(key),
        advice,
    }
}

/// The beginning of a key that looks like a name. If a space is missing, as in `client_secret:…`, the rest may be a secret.
fn shown_key(key: &str) -> String {
    let end = key
        .find(|c: char| !c.is_ascii_alphanumeric() && !matches!(c, '_' | '-'))
        .unwrap_or(key.len());
    let cut = if end < key.len() { "…" } else { "" };
    format!("{}{cut}", quoted(&key[..end]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_shown_as_far_as_it_is_a_name() {
        for (key, expected) in [
            ("batchsize", "\"batchsize\""),
            ("batch-size", "\"batch-size\""),
            ("client_secret:needle", "\"client_secret\"…"),
            ("", "\"\""),
        ] {
            assert_eq!(shown_key(key), expected);
        }
    }

    #[test]
    fn debug_of_a_layer_shows_no_value() {
        let layer = Layer::new("environment", [("client_secret".into(), "needle".into())]);
        assert_eq!(
            format!("{layer:?}"),
            r#"Layer { origin: "environment", .. }"#
        );
    }
}
