//! Identifies the service account that an inventory is of.

use ring::digest::{SHA256, SHA256_OUTPUT_LEN, digest};
use serde::{Deserialize, Serialize};

/// The SHA-256 digest of a client ID. The ID itself is a credential, which must not be in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientDigest([u8; SHA256_OUTPUT_LEN]);

impl ClientDigest {
    /// The digest of a client ID without white space around it.
    #[must_use]
    pub fn of(client_id: &str) -> Self {
        let mut bytes = [0; SHA256_OUTPUT_LEN];
        bytes.copy_from_slice(digest(&SHA256, client_id.as_bytes()).as_ref());
        Self(bytes)
    }
}
