//! Which texts can be the credentials of requests, as values and in files. The same rules hold at the start and when a file is read again.

use secrecy::SecretString;
use thiserror::Error;

use super::destination::Authentication;

/// The largest file with a secret, in bytes.
pub const LARGEST_SECRET: u64 = 64 << 10;

/// Why a file has no usable secret. The texts are meant to follow the path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum SecretError {
    /// It is not valid UTF-8.
    #[error("is not UTF-8 text")]
    NotText,
    /// It contains only white space.
    #[error("is empty")]
    Empty,
    /// It has several lines, or another control character.
    #[error("has several lines or another control character")]
    Control,
    /// It cannot be the value of a header.
    #[error("has characters that are not printable ASCII")]
    NotPrintable,
}

impl Authentication {
    /// The secret in a file: its text without white space at both ends, as Prometheus reads it.
    ///
    /// # Errors
    /// [`SecretError`], if no request can be sent with it.
    pub fn secret_in(&self, content: &[u8]) -> Result<SecretString, SecretError> {
        let text = std::str::from_utf8(content).map_err(|_| SecretError::NotText)?;
        let text = text.trim();
        let is_header = matches!(self, Self::Header { .. });
        match text {
            "" => Err(SecretError::Empty),
            _ if text.chars().any(char::is_control) => Err(SecretError::Control),
            _ if is_header && !is_header_value(text) => Err(SecretError::NotPrintable),
            _ => Ok(text.into()),
        }
    }
}

/// Whether a text can be the user name of `basic_auth` (RFC 7617, section 2).
pub(super) fn is_username(text: &str) -> bool {
    is_password(text) && !text.contains(':')
}

/// Whether a text can be the password of `basic_auth`. It is encoded, so it may have any characters but control characters, which RFC 7617
/// forbids. An empty one is rather a value that a template lacks.
pub(super) fn is_password(text: &str) -> bool {
    !text.is_empty() && !text.chars().any(char::is_control)
}

/// Whether a text can be the value of a header.
pub(super) fn is_header_value(text: &str) -> bool {
    !text.trim().is_empty() && text.bytes().all(|byte| (b' '..=b'~').contains(&byte))
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::super::destination::Secret;
    use super::*;

    #[test]
    fn the_rules_of_a_file_depend_on_its_use() {
        use SecretError::{Control, Empty, NotPrintable, NotText};
        let secret = || Secret::File("x".into());
        let basic = Authentication::Basic {
            username: "user".to_owned(),
            password: secret(),
        };
        let header = Authentication::Header {
            scheme: "Bearer".to_owned(),
            credentials: secret(),
        };
        for (content, of_basic, of_header) in [
            (&b"word"[..], Ok("word"), Ok("word")),
            (b" two words \r\n\n", Ok("two words"), Ok("two words")),
            (
                "schl\u{fc}ssel\n".as_bytes(),
                Ok("schl\u{fc}ssel"),
                Err(NotPrintable),
            ),
            (b"a\nb", Err(Control), Err(Control)),
            (b"a\x7fb", Err(Control), Err(Control)),
            (b"", Err(Empty), Err(Empty)),
            (b" \n\t", Err(Empty), Err(Empty)),
            (b"\xff", Err(NotText), Err(NotText)),
        ] {
            for (authentication, expected) in [(&basic, of_basic), (&header, of_header)] {
                let found = authentication.secret_in(content);
                let found = found.as_ref().map(ExposeSecret::expose_secret);
                assert_eq!(found.map_err(|error| *error), expected, "{content:?}");
            }
        }
    }

    #[test]
    fn user_names_and_passwords_can_be_encoded() {
        for (text, username, password) in [
            ("user", true, true),
            ("\u{fc} 1", true, true),
            ("a:b", false, true),
            ("", false, false),
            ("a\nb", false, false),
        ] {
            assert_eq!(
                (is_username(text), is_password(text)),
                (username, password),
                "{text:?}"
            );
        }
    }
}
