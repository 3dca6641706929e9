//! Tests of hosts with several addresses, and of interim responses.
use super::*;
use crate::outgoing::Resolver;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";
const HINTS: &[u8] = b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n";

#[test]
fn interim_responses_before_the_answer_are_skipped() {
    let whole = answer("200", "", BODY.as_bytes());
    let in_chunks = chunked(
        "",
        &[chunk(BODY.as_bytes()), b"0\r\n\r\n".to_vec()].concat(),
    );
    let cases = [
        ("one", [CONTINUE, &whole].concat()),
        ("another kind", [HINTS, &whole].concat()),
        ("several", [HINTS, CONTINUE, HINTS, &whole].concat()),
        ("before chunks", [CONTINUE, HINTS, &in_chunks].concat()),
    ];
    for (name, bytes) in cases {
        let at_once = vec![Step::Send(bytes.clone())];
        let bytewise = bytes.iter().map(|byte| Step::Send(vec![*byte])).collect();
        for steps in [at_once, bytewise] {
            let server = Server::start(steps);
            let (body, head_came) = poll_at(&server.url, ClientOptions::default(), Duration::ZERO);
            assert_eq!(body.unwrap(), BODY, "{name}");
            assert!(head_came);
            assert_eq!(
                server.requests().len(),
                1,
                "{name}: the rows of an answer come once"
            );
        }
    }
}

#[test]
fn an_interim_response_is_not_a_head_and_their_size_is_limited() {
    let early = vec![Step::Send(HINTS.to_vec()), Step::Hold];
    let (result, head_came) = poll_at(&Server::start(early).url, short_timeouts(), Duration::ZERO);
    assert_eq!(result.unwrap_err().reason(), PollFailure::Timeout);
    assert!(!head_came, "nothing counts as delivered yet");

    let endless = Server::answering(HINTS.repeat(4000));
    let error = poll(&endless).unwrap_err();
    assert_eq!(error.reason(), PollFailure::Disconnected);
    assert!(
        crate::text::with_sources(&error).contains("interim"),
        "{error:?}"
    );

    // 101 switches the connection to another protocol, and was not requested.
    let switched = Server::answering(b"HTTP/1.1 101 Switching Protocols\r\n\r\n".to_vec());
    assert_eq!(poll(&switched).unwrap_err().answer().unwrap().status, 101);
}

/// Also on a connection that is reused.
#[test]
fn each_response_on_a_connection_may_follow_interim_responses() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url: Url = format!("http://{}/", listener.local_addr().unwrap())
        .parse()
        .unwrap();
    let server = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        for count in 0..3 {
            read_request(&stream);
            let bytes = [
                &CONTINUE.repeat(count),
                HINTS,
                &answer("200", "", BODY.as_bytes()),
            ];
            stream.write_all(&bytes.concat()).unwrap();
        }
    });
    run(async {
        let client = Client::new(ClientOptions::default());
        for _ in 0..3 {
            let bearer = SecretString::from("bearer");
            let polled = client.poll(&url, &bearer, 1, Duration::ZERO, || {}).await;
            assert_eq!(polled.unwrap(), BODY);
        }
    });
    server.join().unwrap();
}

/// An address that neither accepts nor refuses connections, because its listen queue is full.
#[cfg(target_os = "linux")]
struct BlackHole(#[expect(dead_code, reason = "held open")] Vec<socket2::Socket>);

#[cfg(target_os = "linux")]
impl BlackHole {
    fn at(address: SocketAddr) -> Self {
        use socket2::{Domain, Socket, Type};
        let socket = || Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        let listener = socket();
        listener.bind(&address.into()).unwrap();
        listener.listen(0).unwrap();
        let mut sockets = vec![listener];
        loop {
            let filling = socket();
            let taken = filling.connect_timeout(&address.into(), Duration::from_millis(300));
            if taken.is_err() {
                return Self(sockets);
            }
            assert!(sockets.len() < 100, "the queue never fills");
            sockets.push(filling);
        }
    }
}

/// A resolver with several addresses for the host. The port is that of the test server.
fn at_addresses(addresses: &[IpAddr], connect: Duration) -> ClientOptions {
    let addresses = addresses.to_vec();
    ClientOptions {
        resolver: Resolver::new(move |host| {
            assert_eq!(host, "starlink.example");
            Ok(addresses.clone())
        }),
        timeouts: Timeouts {
            connect,
            ..Timeouts::default()
        },
        ..ClientOptions::default()
    }
}

fn local(last: u8) -> IpAddr {
    Ipv4Addr::new(127, 0, 0, last).into()
}

#[cfg(target_os = "linux")]
#[test]
fn an_address_that_does_not_respond_is_skipped() {
    let server = Server::answering(answer("200", "", BODY.as_bytes()));
    let port = server.url.port().unwrap();
    let _hole = BlackHole::at(SocketAddr::new(local(2), port));
    let url: Url = format!("http://starlink.example:{port}/").parse().unwrap();
    let options = at_addresses(&[local(2), local(3), local(1)], Duration::from_secs(5));
    assert_eq!(poll_at(&url, options, Duration::ZERO).0.unwrap(), BODY);

    let options = at_addresses(&[local(2), local(3)], Duration::from_secs(1));
    let error = poll_at(&url, options, Duration::ZERO).0.unwrap_err();
    assert_eq!(error.reason(), PollFailure::Connect);
    let text = crate::text::with_sources(&error);
    for part in [
        "starlink.example".to_owned(),
        format!("127.0.0.2:{port}: no response within"),
        format!("127.0.0.3:{port}: Connection refused"),
    ] {
        assert!(text.contains(&part), "{text}");
    }
}

type Ask = fn(&str) -> io::Result<Vec<IpAddr>>;

#[test]
fn a_name_that_cannot_be_resolved_is_an_error() {
    let url: Url = "http://starlink.example/".parse().unwrap();
    let resolvers: [(&str, Ask); 3] = [
        ("cannot resolve starlink.example: no such host", |_| {
            Err(io::Error::other("no such host"))
        }),
        ("cannot resolve starlink.example: it has no address", |_| {
            Ok(Vec::new())
        }),
        (
            "cannot resolve starlink.example: no response within 0.1 s",
            |_| {
                thread::park();
                Ok(Vec::new())
            },
        ),
    ];
    for (expected, ask) in resolvers {
        let options = ClientOptions {
            resolver: Resolver::new(ask),
            ..at_addresses(&[], Duration::from_millis(100))
        };
        let error = poll_at(&url, options, Duration::ZERO).0.unwrap_err();
        assert_eq!(error.reason(), PollFailure::Connect);
        let text = crate::text::with_sources(&error);
        assert!(text.contains(expected), "{text}");
    }
}
