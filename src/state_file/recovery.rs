//! What the process before this one left: nothing of it keeps this one from starting.

use std::time::SystemTime;

use tracing::{error, info, warn};

use super::{ReadError, Restored, StateFile};
use crate::fleet::FleetOptions;
use crate::text::with_sources;

/// The fleet in the file, if it can be used; the log tells. A file that can not is set aside.
#[must_use]
pub fn recover(file: &StateFile, options: FleetOptions) -> Option<Restored> {
    let path = file.path().display();
    if let Err(error) = file.clean() {
        warn!(%path, %error, "cannot clean up old temporary state files");
    }
    match file.read(options, SystemTime::now()) {
        Ok(Some(restored)) => {
            let age = restored.age;
            info!(%path, age_seconds = age.as_secs(), "state file read");
            Some(restored)
        }
        Ok(None) => {
            info!(%path, "no state file yet");
            None
        }
        Err(failure) => {
            let error = with_sources(&failure);
            error!(%path, error, "state file is unusable, starting empty");
            if !matches!(failure, ReadError::Io(_)) {
                set_aside(file);
            }
            None
        }
    }
}

fn set_aside(file: &StateFile) {
    let path = file.path().display();
    match file.set_aside() {
        Ok(aside) => {
            let aside = aside.display();
            info!(%path, %aside, "state file set aside");
        }
        Err(error) => warn!(%path, %error, "cannot set the state file aside"),
    }
}
