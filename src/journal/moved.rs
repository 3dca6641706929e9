//! The payload of a record about devices that another account has taken over, whose series therefore continue there.

use thiserror::Error;

/// A device that another account has taken over.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct MovedDevice {
    /// The code of its type.
    pub code: String,
    /// Its `DeviceId`.
    pub id: String,
}

/// The payload is not a list of devices.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the list of moved devices cannot be read")]
pub struct InvalidDevices;

/// The longest code or ID. Longer ones do not occur: rows with them are rejected.
const LONGEST: usize = u16::MAX as usize;

/// The payload: for each device its code and its ID, each preceded by its length in bytes (u16, little-endian). Devices whose texts are
/// too long for that are left out.
#[must_use]
pub fn encode(devices: &[MovedDevice]) -> Vec<u8> {
    let mut payload = Vec::new();
    for MovedDevice { code, id } in devices {
        if code.len().max(id.len()) > LONGEST {
            continue;
        }
        for text in [code, id] {
            payload.extend_from_slice(&(text.len() as u16).to_le_bytes());
            payload.extend_from_slice(text.as_bytes());
        }
    }
    payload
}

/// The devices of a payload.
///
/// # Errors
/// [`InvalidDevices`].
pub fn decode(mut payload: &[u8]) -> Result<Vec<MovedDevice>, InvalidDevices> {
    let mut devices = Vec::new();
    while !payload.is_empty() {
        let code = text(&mut payload).ok_or(InvalidDevices)?;
        let id = text(&mut payload).ok_or(InvalidDevices)?;
        devices.push(MovedDevice { code, id });
    }
    Ok(devices)
}

/// The first text of `rest`, which is removed from it.
fn text(rest: &mut &[u8]) -> Option<String> {
    let (length, behind) = rest.split_first_chunk()?;
    let (text, behind) = behind.split_at_checked(u16::from_le_bytes(*length).into())?;
    *rest = behind;
    String::from_utf8(text.to_owned()).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn device(code: &str, id: &str) -> MovedDevice {
        let (code, id) = (code.to_owned(), id.to_owned());
        MovedDevice { code, id }
    }

    #[test]
    fn a_text_that_is_too_long_is_left_out() {
        let devices = [device("u", "one"), device("u", &"x".repeat(LONGEST + 1))];
        assert_eq!(decode(&encode(&devices)), Ok(devices[..1].to_vec()));
    }

    proptest! {
        #[test]
        fn devices_are_read_as_they_were_written(texts in prop::collection::vec((".{0,4}", ".{0,9}"), 0..5)) {
            let devices: Vec<_> = texts.iter().map(|(code, id)| device(code, id)).collect();
            let payload = encode(&devices);
            prop_assert_eq!(decode(&payload), Ok(devices.clone()));
            for at in 0..payload.len() {
                prop_assert_ne!(decode(&payload[..at]), Ok(devices.clone()));
            }
        }
    }
}
