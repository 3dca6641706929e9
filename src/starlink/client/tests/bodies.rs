//! Tests of bodies: their framings, faults and limits.
use super::*;
use crate::starlink::PollFailure;

#[test]
fn whole_bodies_are_read_in_every_framing() {
    let body = BODY.as_bytes();
    let gzipped = gzip(body);
    let encoded = "Content-Encoding: gzip\r\n";
    let (first, second) = gzipped.split_at(9);
    let cases = [
        ("length", answer("200", "", body)),
        ("length, gzip", answer("200", encoded, &gzipped)),
        (
            "chunks",
            chunked("", &[chunk(body), b"0\r\n\r\n".to_vec()].concat()),
        ),
        (
            "chunks, gzip",
            chunked(
                encoded,
                &[chunk(first), chunk(second), b"0\r\n\r\n".to_vec()].concat(),
            ),
        ),
        (
            "HTTP/1.0, to the end of the connection",
            [b"HTTP/1.0 200 OK\r\n\r\n", body].concat(),
        ),
    ];
    for (name, answer) in cases {
        assert_eq!(poll(&Server::answering(answer)).unwrap(), BODY, "{name}");
    }
}

#[test]
fn broken_answers_are_errors() {
    let cut = |mut answer: Vec<u8>| {
        answer.truncate(answer.len() - 5);
        answer
    };
    let gzipped = gzip(BODY.as_bytes());
    let encoded = "Content-Encoding: gzip\r\n";
    let unsupported = "Content-Encoding: br\r\n";
    let cases: [(&str, Vec<u8>, PollFailure); 14] = [
        (
            "cut, with a length",
            cut(answer("200", "", BODY.as_bytes())),
            PollFailure::Disconnected,
        ),
        (
            "HTTP/1.0, cut, with a length",
            b"HTTP/1.0 200 OK\r\nContent-Length: 22\r\n\r\n{".to_vec(),
            PollFailure::Disconnected,
        ),
        (
            "nothing but the head",
            b"HTTP/1.1 200 OK\r\nContent-Length: 22\r\n\r\n".to_vec(),
            PollFailure::Disconnected,
        ),
        (
            "gzip, cut, with a length",
            cut(answer("200", encoded, &gzipped)),
            PollFailure::Disconnected,
        ),
        (
            "gzip, cut, in chunks",
            cut(chunked(encoded, &chunk(&gzipped))),
            PollFailure::Decode,
        ),
        (
            "gzip, cut before it was sent",
            answer("200", encoded, &gzipped[..15]),
            PollFailure::Decode,
        ),
        (
            "no gzip, though it says so",
            answer("200", encoded, BODY.as_bytes()),
            PollFailure::Decode,
        ),
        (
            "brotli",
            answer("200", unsupported, BODY.as_bytes()),
            PollFailure::Decode,
        ),
        (
            "bad chunks",
            chunked("", b"no chunk\r\n"),
            PollFailure::Decode,
        ),
        (
            "no length, no chunks",
            [b"HTTP/1.1 200 OK\r\n\r\n", BODY.as_bytes()].concat(),
            PollFailure::Decode,
        ),
        (
            "two lengths",
            b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n  ".to_vec(),
            PollFailure::Decode,
        ),
        (
            "not HTTP",
            b"SSH-2.0-x\r\n\r\n".to_vec(),
            PollFailure::Decode,
        ),
        ("nothing", Vec::new(), PollFailure::Disconnected),
        (
            "cut in the head",
            b"HTTP/1.1 200 OK\r\nContent-Le".to_vec(),
            PollFailure::Disconnected,
        ),
    ];
    for (name, answer, expected) in cases {
        let error = poll(&Server::answering(answer)).unwrap_err();
        assert_eq!(error.reason(), expected, "{name}: {error:?}");
    }
}

/// The only truncation that the client does not detect. The JSON parser must.
#[test]
fn truncated_chunks_without_gzip_are_not_detected() {
    let server = Server::answering(chunked("", &chunk(&BODY.as_bytes()[..10])));
    assert_eq!(poll(&server).unwrap(), &BODY[..10]);
}

#[test]
fn bodies_over_the_limit_are_refused() {
    let limit = 1000;
    let exact = vec![b' '; limit];
    let over = vec![b' '; limit + 1];
    let end = b"0\r\n\r\n".to_vec();
    let encoded = "Content-Encoding: gzip\r\n";
    let cases = [
        ("length", answer("200", "", &exact), true),
        ("length", answer("200", "", &over), false),
        ("gzip", answer("200", encoded, &gzip(&exact)), true),
        ("gzip", answer("200", encoded, &gzip(&over)), false),
        (
            "chunks",
            chunked("", &[chunk(&exact), end.clone()].concat()),
            true,
        ),
        ("chunks", chunked("", &[chunk(&over), end].concat()), false),
    ];
    for (name, answer, fits) in cases {
        let options = ClientOptions {
            batch_limit: limit,
            ..ClientOptions::default()
        };
        let server = Server::answering(answer);
        match poll_at(&server.url, options, Duration::ZERO).0 {
            Ok(body) => assert!(fits && body == exact, "{name}"),
            Err(error) => {
                assert!(!fits, "{name}: {error:?}");
                assert_eq!(error.reason(), PollFailure::Decode, "{name}");
            }
        }
    }
}
