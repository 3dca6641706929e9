//! The sources of settings: reads the process environment and `.env`, so that the rest of the module is pure.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::dotenv;
use super::error::{ConfigError, Warning, not_text, quoted};
use super::table::{self, SETTINGS};
use crate::files;

/// The sources of settings, in decreasing precedence: `environment`, `dotenv`, the configuration file, the defaults.
///
/// Without `Debug`, because it holds secrets.
#[derive(Default)]
pub struct Sources {
    /// The file of `--config-file`, which takes precedence over the variable `CONFIG_FILE`.
    pub config_file: Option<PathBuf>,
    /// The variables of `.env`.
    pub dotenv: Dotenv,
    /// The variables of the environment; those that are not settings are ignored.
    pub environment: Vec<(String, OsString)>,
}

impl Sources {
    /// Reads the environment and `.env` in the working directory. The environment is not changed. Errors of `.env` are
    /// reported later, together with all others, by the function that takes the sources.
    pub fn from_process(config_file: Option<PathBuf>) -> Self {
        let names = SETTINGS.iter().map(|setting| setting.name);
        let environment = names
            .chain(table::other_names())
            .filter_map(|name| Some((name.to_owned(), env::var_os(name)?)))
            .collect();
        Self {
            config_file,
            dotenv: Dotenv::read(Path::new(".env")),
            environment,
        }
    }
}

/// The variables of a `.env` file, and its errors.
#[derive(Default)]
pub struct Dotenv {
    pub(super) variables: Vec<(String, String)>,
    pub(super) problems: Vec<ConfigError>,
    pub(super) warnings: Vec<Warning>,
}

impl Dotenv {
    /// Reads a file. A missing file is empty, without an error.
    pub fn read(path: &Path) -> Self {
        let file = quoted(&path.to_string_lossy());
        let problem = |problem| Self {
            problems: vec![problem],
            ..Self::default()
        };
        match files::FileReader::default().read(path, files::SMALL) {
            Ok(bytes) => match std::str::from_utf8(&bytes) {
                Ok(text) => Self::parse_named(text, &file),
                Err(error) => problem(not_text(file, &bytes, error)),
            },
            Err(error) if error.is_not_found() => Self::default(),
            Err(source) => problem(ConfigError::Unreadable { file, source }),
        }
    }

    /// Parses the text of a `.env` file. Variables that are not settings are ignored; the last value of a repeated one is
    /// used, as in a shell.
    pub fn parse(text: &str) -> Self {
        Self::parse_named(text, &quoted(".env"))
    }

    fn parse_named(text: &str, file: &str) -> Self {
        let text = text.trim_start_matches('\u{feff}');
        let mut dotenv = Self::default();
        for item in dotenvy::from_read_iter(text.as_bytes()) {
            match item {
                Ok(variable) => dotenv.variables.push(variable),
                Err(error) => dotenv.problems.push(ConfigError::Syntax {
                    file: file.to_owned(),
                    place: place(text, &error),
                    accepted: "NAME=value lines, with the value in single quotes if it contains a space, #, $ or \\",
                }),
            }
        }
        for entry in dotenv::entries(text) {
            dotenv.judge(&entry, file);
        }
        dotenv
    }

    /// Records an error for a secret that dotenvy changed, and a warning for a name that is similar to a setting's.
    fn judge(&mut self, entry: &dotenv::Entry<'_>, file: &str) {
        let dotenv::Entry { line, name, hazard } = *entry;
        if let Some(hazard) = hazard {
            self.problems.push(ConfigError::Unquoted {
                file: file.to_owned(),
                line,
                name: name.to_owned(),
                hazard,
            });
        }
        let is_known = SETTINGS.iter().any(|setting| setting.name == name);
        if is_known || table::other_names().any(|other| other == name) {
            return;
        }
        if let Some(near) = table::nearest_key(name) {
            self.warnings.push(Warning {
                setting: format!("{file} (line {line})"),
                advice: format!(
                    "{} is no setting; did you mean {}?",
                    quoted(name),
                    near.to_ascii_uppercase()
                ),
            });
        }
    }
}

/// The line number of an error, in brackets. The error itself is not shown, because it quotes the line, which may contain a secret.
fn place(text: &str, error: &dotenvy::Error) -> String {
    let dotenvy::Error::LineParse(line, _) = error else {
        return String::new();
    };
    let befores = || {
        text.match_indices(line.as_str())
            .map(|(start, _)| &text[..start])
    };
    // The same text may occur earlier in a comment or a value.
    let whole_line = befores().find(|before| before.is_empty() || before.ends_with('\n'));
    whole_line
        .or_else(|| befores().next())
        .map(|before| format!(" (line {})", before.matches('\n').count() + 1))
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dotenv_files_are_parsed() {
        for (text, expected) in [
            ("", vec![]),
            ("A=1\nB=2\n", vec![("A", "1"), ("B", "2")]),
            ("\u{feff}A=1\r\nB=2\r\n", vec![("A", "1"), ("B", "2")]),
            ("# A=1\nexport B = 2 # two\n", vec![("B", "2")]),
            ("A='x $y # z'\nA=\n", vec![("A", "x $y # z"), ("A", "")]),
        ] {
            let dotenv = Dotenv::parse(text);
            let variables: Vec<(&str, &str)> = dotenv
                .variables
                .iter()
                .map(|(name, value)| (name.as_str(), value.as_str()))
                .collect();
            assert_eq!(variables, expected, "{text}");
            assert!(dotenv.problems.is_empty(), "{text}");
        }
    }

    #[test]
    fn invalid_lines_are_reported_only_by_number() {
        let dotenv = Dotenv::parse("A=1\nneedle\nB=2\nC=needle needle\n");
        let problems: Vec<String> = dotenv.problems.iter().map(ToString::to_string).collect();
        let expected = |line| {
            format!(
                "\".env\" is not understood (line {line}): give NAME=value lines, \
                 with the value in single quotes if it contains a space, #, $ or \\"
            )
        };
        assert_eq!(problems, [expected(2), expected(4)]);
        assert_eq!(dotenv.variables.len(), 2);
    }

    #[test]
    fn names_similar_to_settings_are_reported() {
        let text = "BATCH_SIZ=100\nbatch_size=1\nmax-linger=1\nMETRIC_PORT=1\nHTTP_PROXY=x\nno_proxy=y\nCOMPOSE_PROFILES=z\n";
        let dotenv = Dotenv::parse(text);
        let warnings: Vec<String> = dotenv.warnings.iter().map(ToString::to_string).collect();
        let expected = [
            (1, "BATCH_SIZ", "BATCH_SIZE"),
            (2, "batch_size", "BATCH_SIZE"),
            (4, "METRIC_PORT", "METRICS_PORT"),
        ];
        let expected = expected.map(|(line, name, near)| {
            format!("\".env\" (line {line}): \"{name}\" is no setting; did you mean {near}?")
        });
        assert_eq!(warnings, expected);
    }

    #[test]
    fn a_missing_file_is_empty_and_an_unreadable_one_is_an_error() {
        let directory = tempfile::tempdir().unwrap();
        let missing = Dotenv::read(&directory.path().join("missing"));
        assert!(missing.variables.is_empty() && missing.problems.is_empty());

        let unreadable = Dotenv::read(directory.path());
        let problem = unreadable.problems[0].to_string();
        assert!(problem.contains("is not a regular file"), "{problem}");
    }
}
