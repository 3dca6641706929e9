//! Restores the fleet of the previous process at the start. A file that cannot be used does not prevent the start.

use tracing::{error, info, warn};

use super::{ReadError, Restored, StateFile};
use crate::fleet::FleetOptions;
use crate::text::with_sources;
use crate::time::Clock;

/// The result of reading the state file at the start.
#[derive(Debug)]
pub enum Recovered {
    /// The fleet of the previous process.
    Fleet(Box<Restored>),
    /// No fleet; the file, if there is one, may be overwritten.
    Nothing,
    /// No fleet; the file could not be read, and may hold one.
    Unread,
}

/// Reads the fleet from the file, and logs the result. A state file that is damaged or of an unknown version is renamed.
#[must_use]
pub fn recover(file: &StateFile, options: FleetOptions, clock: &Clock) -> Recovered {
    let path = file.path().display();
    if let Err(error) = file.clean() {
        warn!(%path, %error, "cannot clean up old temporary state files");
    }
    match file.read(options, clock.wall()) {
        Ok(Some(restored)) => {
            let age = restored.age;
            info!(%path, age_seconds = age.as_secs(), "state file read");
            if let Some(version) = restored.older {
                keep_old(file, version);
            }
            Recovered::Fleet(Box::new(restored))
        }
        Ok(None) => {
            info!(%path, "no state file yet");
            Recovered::Nothing
        }
        Err(failure) => {
            let error = with_sources(&failure);
            match failure {
                ReadError::File(_) | ReadError::Foreign => {
                    error!(%path, error, "cannot read the state file: starting empty, the file is kept");
                    Recovered::Unread
                }
                ReadError::Version(_) | ReadError::Damaged | ReadError::Content(_) => {
                    error!(%path, error, "state file is unusable, starting empty");
                    set_aside(file)
                }
            }
        }
    }
}

/// Keeps a file of an earlier version for a downgrade.
fn keep_old(file: &StateFile, version: u32) {
    let path = file.path().display();
    match file.keep_old(version) {
        Ok(kept) => {
            let kept = kept.display();
            info!(%path, %kept, "state file of an earlier version read: it is kept for a downgrade");
        }
        Err(error) => {
            warn!(%path, %error, "cannot keep the state file of the earlier version: a downgrade starts empty");
        }
    }
}

fn set_aside(file: &StateFile) -> Recovered {
    let path = file.path().display();
    match file.set_aside() {
        Ok(aside) => {
            let aside = aside.display();
            info!(%path, %aside, "unusable state file renamed");
            Recovered::Nothing
        }
        Err(error) => {
            warn!(%path, %error, "cannot rename the unusable state file");
            Recovered::Unread
        }
    }
}
