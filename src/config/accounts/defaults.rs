//! The settings that apply to accounts of the file that do not set them themselves.

use url::Url;

use crate::config::account;
use crate::config::reader::Reader;
use crate::config::table;

/// The values of the variables.
#[derive(Debug, Clone)]
pub(super) struct Defaults {
    pub(super) batch_size: Option<u32>,
    pub(super) max_linger_ms: Option<u64>,
    pub(super) polls_per_minute: u32,
    pub(super) api_url: Url,
    pub(super) token_url: Option<Url>,
    /// Whether plain http to other machines is allowed.
    pub(super) is_insecure: bool,
}

impl Defaults {
    /// Reads the variables; `None` after recording an error.
    pub(super) fn read(reader: &mut Reader) -> Option<Self> {
        let batch_size = reader.whole_if_set(&table::BATCH_SIZE);
        let max_linger = reader.whole_if_set(&table::MAX_LINGER);
        let polls_per_minute = reader.whole(&table::POLLS_PER_MINUTE);
        let urls = account::read_urls(reader);
        Some(Self {
            batch_size: batch_size?,
            max_linger_ms: max_linger?,
            polls_per_minute: polls_per_minute?,
            api_url: urls.api?,
            token_url: urls.token,
            is_insecure: urls.is_insecure,
        })
    }
}
