//! Detects interim responses (1xx, RFC 9110, section 15.2), which may precede the final response. awc treats the first head as the
//! final response, so interim ones are removed before awc reads.

/// The most bytes of interim responses to one request.
pub(super) const LIMIT: usize = 64 * 1024;

/// A head with more headers is passed on to awc, which rejects it.
const MOST_HEADERS: usize = 96;

/// What the received bytes begin with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Head {
    /// More bytes are needed to decide.
    Incomplete,
    /// The final response, or something that is not HTTP.
    Final,
    /// An interim response of this length; another head follows it.
    Interim(usize),
}

/// Inspects the bytes received since the request, or since the end of the previous interim response. 101 (Switching Protocols)
/// counts as final: no request asks for it, and the bytes after it are not HTTP.
pub(super) fn inspect(bytes: &[u8]) -> Head {
    // Empty lines may precede a status line (RFC 9112, section 2.2).
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
        return Head::Final;
    }
    let mut headers = [httparse::EMPTY_HEADER; MOST_HEADERS];
    let mut head = httparse::Response::new(&mut headers);
    match head.parse(bytes) {
        Ok(httparse::Status::Partial) => Head::Incomplete,
        Ok(httparse::Status::Complete(length)) if head.code != Some(101) => Head::Interim(length),
        Ok(_) | Err(_) => Head::Final,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interim_and_final_responses_are_distinguished() {
        let hints = "HTTP/1.1 103 Early Hints\r\nLink: </a>; rel=preload\r\n\r\n";
        for (bytes, expected) in [
            ("", Head::Incomplete),
            ("HTTP/1.1", Head::Incomplete),
            ("HTTP/1.1 1", Head::Incomplete),
            ("HTTP/1.1 2", Head::Final),
            ("HTTP/1.1 200 OK\r\n\r\n", Head::Final),
            ("HTTP/1.1 404", Head::Final),
            ("HTTP/1.1 100 Continue\r\n\r\n", Head::Interim(25)),
            ("HTTP/1.0 100\r\n\r\nHTTP/1.1 200 OK", Head::Interim(16)),
            ("\r\nHTTP/1.1 102 \r\n\r\n", Head::Interim(19)),
            (hints, Head::Interim(hints.len())),
            (&hints[..hints.len() - 1], Head::Incomplete),
            ("HTTP/1.1 101 Switching Protocols\r\n\r\n", Head::Final),
            ("HTTP/1.1 1\r\n\r\n", Head::Final),
            ("HTTP/2 103\r\n\r\n", Head::Final),
            ("SSH-2.0", Head::Final),
            ("<html>", Head::Final),
        ] {
            assert_eq!(inspect(bytes.as_bytes()), expected, "{bytes:?}");
        }
    }

    #[test]
    fn a_part_of_an_interim_response_is_incomplete() {
        let whole = b"\r\nHTTP/1.1 199 Anything\r\nA: b\r\nC: d\r\n\r\n";
        for length in 0..whole.len() {
            assert_eq!(inspect(&whole[..length]), Head::Incomplete, "{length}");
        }
        assert_eq!(inspect(whole), Head::Interim(whole.len()));
    }
}
