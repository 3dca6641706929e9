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
    if let Err(cause) = file.clean() {
        warn!(%path, %cause, "unfinished state files may stay beside the state file");
    }
    match file.read(options, SystemTime::now()) {
        Ok(Some(restored)) => {
            let age = restored.age;
            info!(%path, ?age, "the state file is read");
            Some(restored)
        }
        Ok(None) => {
            info!(%path, "there is no state file yet");
            None
        }
        Err(failure) => {
            let cause = with_sources(&failure);
            error!(%path, cause, "the state file is of no use: starting without");
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
            info!(%path, %aside, "the state file is set aside");
        }
        Err(cause) => warn!(%path, %cause, "the state file cannot be set aside"),
    }
}
