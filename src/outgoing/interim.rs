//! Interim responses (1xx, RFC 9110, section 15.2), which may come before the answer to a request: awc takes the first head that
//! comes for the answer, so they are taken out below it.

/// Interim responses of one answer are not longer than this together.
pub(super) const LIMIT: usize = 64 * 1024;

/// More headers than these are left to the reader of the answer, which refuses them.
const MOST_HEADERS: usize = 96;

/// What the bytes that have come so far begin with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Beginning {
    /// That cannot be said yet.
    Unknown,
    /// The answer itself, or something that is not HTTP.
    Answer,
    /// An interim response of this length; what follows it begins anew.
    Interim(usize),
}

/// Looks at what has come since a request was sent, or since the end of the interim response before. 101 (Switching Protocols)
/// counts as an answer: no request asks for it, and what follows it is not HTTP.
pub(super) fn beginning(bytes: &[u8]) -> Beginning {
    // A status line may have empty lines before it (RFC 9112, section 2.2).
    let is_line_end = |byte: &u8| matches!(byte, b'\r' | b'\n');
    let start = bytes.iter().take_while(|byte| is_line_end(byte)).count();
    let is_possible = bytes[start..]
        .iter()
        .zip(0..)
        .all(|(byte, index)| match index {
            0..=6 => *byte == b"HTTP/1."[index],
            7 => byte.is_ascii_digit(),
            8 => *byte == b' ',
            9 => *byte == b'1',
            _ => true,
        });
    if !is_possible {
        return Beginning::Answer;
    }
    let mut headers = [httparse::EMPTY_HEADER; MOST_HEADERS];
    let mut head = httparse::Response::new(&mut headers);
    match head.parse(bytes) {
        Ok(httparse::Status::Partial) => Beginning::Unknown,
        Ok(httparse::Status::Complete(length)) if head.code != Some(101) => {
            Beginning::Interim(length)
        }
        Ok(_) | Err(_) => Beginning::Answer,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interim_responses_are_told_from_answers() {
        let hints = "HTTP/1.1 103 Early Hints\r\nLink: </a>; rel=preload\r\n\r\n";
        for (bytes, expected) in [
            ("", Beginning::Unknown),
            ("HTTP/1.1", Beginning::Unknown),
            ("HTTP/1.1 1", Beginning::Unknown),
            ("HTTP/1.1 2", Beginning::Answer),
            ("HTTP/1.1 200 OK\r\n\r\n", Beginning::Answer),
            ("HTTP/1.1 404", Beginning::Answer),
            ("HTTP/1.1 100 Continue\r\n\r\n", Beginning::Interim(25)),
            (
                "HTTP/1.0 100\r\n\r\nHTTP/1.1 200 OK",
                Beginning::Interim(16),
            ),
            ("\r\nHTTP/1.1 102 \r\n\r\n", Beginning::Interim(19)),
            (hints, Beginning::Interim(hints.len())),
            (&hints[..hints.len() - 1], Beginning::Unknown),
            (
                "HTTP/1.1 101 Switching Protocols\r\n\r\n",
                Beginning::Answer,
            ),
            ("HTTP/1.1 1\r\n\r\n", Beginning::Answer),
            ("HTTP/2 103\r\n\r\n", Beginning::Answer),
            ("SSH-2.0", Beginning::Answer),
            ("<html>", Beginning::Answer),
        ] {
            assert_eq!(beginning(bytes.as_bytes()), expected, "{bytes:?}");
        }
    }

    #[test]
    fn every_prefix_of_an_interim_response_waits_for_the_rest() {
        let whole = b"\r\nHTTP/1.1 199 Anything\r\nA: b\r\nC: d\r\n\r\n";
        for length in 0..whole.len() {
            assert_eq!(beginning(&whole[..length]), Beginning::Unknown, "{length}");
        }
        assert_eq!(beginning(whole), Beginning::Interim(whole.len()));
    }
}
