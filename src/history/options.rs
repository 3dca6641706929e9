//! What a [`super::History`] makes of rows.

use super::labels::DestinationLabels;
use super::names::NameFilter;
use crate::fleet::{FleetOptions, Limits, Retention};

/// The options of a history. Fields that `DROP_FIELDS` and `LOCATION` leave out are missing in the batches already.
#[derive(Debug, Clone)]
pub struct Options {
    /// Whether rows of routers give samples.
    pub include_routers: bool,
    /// After which times a device is silent, its addresses are not valid, and its state is forgotten.
    pub retention: Retention,
    /// The limits of sizes, as in the fleet.
    pub limits: Limits,
    /// The names of the metrics that are sent.
    pub names: NameFilter,
    /// The labels of all series. Their values are added by the [`super::Encoder`].
    pub labels: DestinationLabels,
}

impl Options {
    /// Those of a service and a destination without settings.
    #[must_use]
    pub fn standard(include_routers: bool) -> Self {
        let FleetOptions {
            retention, limits, ..
        } = FleetOptions::STANDARD;
        Self {
            include_routers,
            retention,
            limits,
            names: NameFilter::default(),
            labels: DestinationLabels::default(),
        }
    }
}
