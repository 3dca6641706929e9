//! The settings of the journal and of remote write.

mod error;
mod follow;
mod load;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use url::Url;

pub use self::error::{DestinationFileError, DestinationFileErrors};
pub(super) use self::follow::register_secrets;
pub use self::follow::{DestinationFiles, follow};
pub use self::load::Configured;

use super::error::ConfigError;
use super::parse;
use super::reader::Reader;
use super::table::{self, Setting};
use crate::files::FileReader;
use crate::journal::JournalDirectory;
use crate::journal::retention::Bounds;
use crate::remote_write::{Destination, Variables, doubts};

/// The settings of `REMOTE_WRITE_URL`, all of which are useless without it.
const SECONDARY: [&Setting; 5] = [
    &table::REMOTE_WRITE_USERNAME,
    &table::REMOTE_WRITE_PASSWORD_FILE,
    &table::REMOTE_WRITE_BEARER_TOKEN_FILE,
    &table::REMOTE_WRITE_TENANT,
    &table::REMOTE_WRITE_OUT_OF_ORDER_WINDOW,
];

/// The settings of the journal, all of which are useless without a destination.
const OF_JOURNAL: [&Setting; 3] = [
    &table::JOURNAL_DIR,
    &table::JOURNAL_MAX_BYTES,
    &table::JOURNAL_MAX_AGE,
];

/// Where rows are recorded, and the receivers that they are sent to.
#[derive(Clone, Debug)]
pub struct RecordingSettings {
    /// `JOURNAL_DIR`.
    pub directory: PathBuf,
    /// The bounds of the journals.
    pub bounds: Bounds,
    /// The destinations; at least one.
    pub destinations: Vec<Configured>,
    /// The files that they come from, whose changes must be followed.
    pub files: DestinationFiles,
}

/// Reads the settings; the inner `None` if nothing is sent. Without `remote_write` they are only checked. `suffix` is appended to the path of
/// the journal.
pub(super) fn read(
    reader: &mut Reader,
    suffix: &str,
    remote_write: bool,
) -> Option<Option<RecordingSettings>> {
    let directory = read_directory(reader, suffix);
    let bytes = reader.read(&table::JOURNAL_MAX_BYTES, parse::bytes);
    let age = reader.read(&table::JOURNAL_MAX_AGE, parse::age);
    let is_directory_set = reader.origin(&table::JOURNAL_DIR).is_some();
    let Some(files) = read_destinations(reader) else {
        for setting in OF_JOURNAL {
            // A default has this origin.
            if reader.origin(setting).is_some_and(|it| it != "default") {
                let advice =
                    "it has no effect: neither REMOTE_WRITE_URL nor REMOTE_WRITE_FILE is set";
                reader.warn(setting.name, advice);
            }
        }
        return Some(None);
    };
    if !is_directory_set {
        let named = named_by(reader);
        let accepted = table::JOURNAL_DIR.accepts.describe();
        reader.refuse(ConfigError::NoJournal { named, accepted });
    }
    let (files, destinations) = files?;
    if !remote_write {
        let advice = "it has no effect in the demo without --remote-write";
        reader.warn(named_by(reader), advice);
        return Some(None);
    }
    Some(Some(RecordingSettings {
        directory: directory?,
        bounds: Bounds {
            bytes: bytes?,
            age: age?,
        },
        destinations,
        files,
    }))
}

fn read_directory(reader: &mut Reader, suffix: &str) -> Option<PathBuf> {
    // Without a separator at the end, after which the suffix would be a file in the directory.
    let path = |text: &str| Ok(PathBuf::from_iter(Path::new(text).components()));
    let mut directory = reader.read(&table::JOURNAL_DIR, path)?;
    directory.as_mut_os_string().push(suffix);
    let inspected = {
        let path = directory.clone();
        let inspect = move || Ok(JournalDirectory::inspect(&path));
        FileReader::default().on_thread(&directory, inspect)
    };
    let problem = match inspected {
        Ok(Ok(())) => return Some(directory),
        Ok(Err(source)) => ConfigError::Journal { source },
        Err(source) => ConfigError::JournalFile {
            path: directory,
            source,
        },
    };
    reader.refuse(problem);
    None
}

/// The destinations; the outer `None` if none is configured, the inner one after recording an error.
fn read_destinations(reader: &mut Reader) -> Option<Option<(DestinationFiles, Vec<Configured>)>> {
    let file_origin = reader.origin(&table::REMOTE_WRITE_FILE);
    let has_url = reader.origin(&table::REMOTE_WRITE_URL).is_some();
    let variables = [&table::REMOTE_WRITE_URL].into_iter().chain(SECONDARY);
    let also_set = also_set(reader, variables);
    let from_variables = read_variables(reader);
    let path = reader.read(&table::REMOTE_WRITE_FILE, |text| Ok(PathBuf::from(text)));
    let is_configured = file_origin.is_some() || !also_set.is_empty();
    match file_origin {
        Some(origin) if !also_set.is_empty() => {
            reader.refuse(ConfigError::DestinationsTwice { origin, also_set });
        }
        None if !has_url && !also_set.is_empty() => {
            let accepted = table::REMOTE_WRITE_URL.accepts.describe();
            reader.refuse(ConfigError::NoUrl { also_set, accepted });
        }
        _ => {}
    }
    let loaded = match (path, from_variables) {
        (Some(path), _) => Some(DestinationFiles::of_file(path)),
        (None, Some(destination)) => Some(DestinationFiles::of_variables(destination)),
        (None, None) => None,
    };
    is_configured.then(|| load(reader, loaded?))
}

fn load(
    reader: &mut Reader,
    files: DestinationFiles,
) -> Option<(DestinationFiles, Vec<Configured>)> {
    match files.load_first() {
        Ok((files, destinations)) => {
            if files.path().is_some() {
                for Configured { destination, .. } in &destinations {
                    reader.note_entry(&destination.to_string());
                }
            }
            for doubt in doubts_of(&destinations) {
                reader.warn(named_by(reader), doubt);
            }
            Some((files, destinations))
        }
        Err(errors) => {
            let setting = named_by(reader);
            for source in errors {
                reader.refuse(ConfigError::Destinations { setting, source });
            }
            None
        }
    }
}

/// What may be wrong with destinations.
fn doubts_of(destinations: &[Configured]) -> Vec<String> {
    let destinations = destinations.iter();
    let destinations: Vec<_> = destinations.map(|it| &*it.destination).collect();
    doubts(&destinations)
}

fn read_variables(reader: &mut Reader) -> Option<Destination> {
    let url = reader.read_shown(
        &table::REMOTE_WRITE_URL,
        |text| {
            Variables::url(text).map_err(|_| {
                "(it is not an absolute http or https URL without user name, password and fragment)"
            })
        },
        |_, url| without_query(url),
    );
    let path = |text: &str| Ok(PathBuf::from(text));
    let variables = Variables {
        username: reader.read(&table::REMOTE_WRITE_USERNAME, |text| {
            Variables::username(text).ok_or("")
        }),
        password_file: reader.read(&table::REMOTE_WRITE_PASSWORD_FILE, path),
        bearer_token_file: reader.read(&table::REMOTE_WRITE_BEARER_TOKEN_FILE, path),
        tenant: reader.read(&table::REMOTE_WRITE_TENANT, |text| {
            Variables::tenant(text).ok_or("")
        }),
        out_of_order_window: reader.read(&table::REMOTE_WRITE_OUT_OF_ORDER_WINDOW, |text| {
            Variables::window(text).ok_or("")
        }),
    };
    if variables.username.is_none() && reader.origin(&table::REMOTE_WRITE_USERNAME).is_some() {
        // It is refused already, and not missing beside the password.
        return None;
    }
    match variables.destination(url?) {
        Ok(destination) => Some(destination),
        Err(what) => {
            reader.refuse(ConfigError::Destination { what });
            None
        }
    }
}

/// The URL without its query, which may contain secrets.
fn without_query(url: &Url) -> String {
    let mut url = url.clone();
    url.set_query(None);
    url.into()
}

/// The variables that are set, with their origins.
fn also_set<'s>(reader: &Reader, settings: impl IntoIterator<Item = &'s Setting>) -> String {
    let set = settings.into_iter().filter_map(|setting| {
        let origin = reader.origin(setting)?;
        Some(format!("{} ({origin})", setting.name))
    });
    set.collect::<Vec<_>>().join(", ")
}

/// The setting that has the destinations.
fn named_by(reader: &Reader) -> &'static str {
    match reader.origin(&table::REMOTE_WRITE_FILE) {
        Some(_) => table::REMOTE_WRITE_FILE.name,
        None => table::REMOTE_WRITE_URL.name,
    }
}
