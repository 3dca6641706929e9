//! Tests of slow, silent and endless clients.

use tokio::io::{AsyncReadExt, AsyncWriteExt, BufWriter, DuplexStream, duplex};

use super::*;

const TIMEOUTS: ClientTimeouts = ClientTimeouts {
    first: Duration::from_secs(5),
    request: Duration::from_secs(20),
    stall: Duration::from_secs(5),
    response: Duration::from_secs(10),
    rate: 4,
    grace: Duration::from_secs(6),
    idle: Duration::from_secs(75),
    close: Duration::from_secs(1),
};

impl Reset for DuplexStream {
    fn reset(&self) {}
}

impl Reset for BufWriter<DuplexStream> {
    fn reset(&self) {}
}

/// A connection and its client, with a buffer of eight bytes between them. The clock advances by itself while all tasks wait.
fn connected() -> (Connection<DuplexStream>, DuplexStream) {
    let (ours, client) = duplex(8);
    (
        Connection::new(ours, TIMEOUTS, OpenConnections::default()),
        client,
    )
}

/// The seconds until it failed with this kind of error.
fn failed_after(since: Instant, failed: io::Result<usize>) -> (ErrorKind, u64) {
    (failed.unwrap_err().kind(), since.elapsed().as_secs())
}

#[tokio::test(start_paused = true)]
async fn a_silent_client_is_cut() {
    let (mut connection, _client) = connected();
    let since = Instant::now();
    let failed = connection.read(&mut [0; 8]).await;
    assert_eq!(failed_after(since, failed), (ErrorKind::TimedOut, 75));
}

#[tokio::test(start_paused = true)]
async fn after_the_last_response_the_connection_is_closed_soon() {
    let (mut connection, _client) = connected();
    connection.handle().announce_last();
    connection.write_all(b"no").await.unwrap();
    let since = Instant::now();
    let failed = connection.read(&mut [0; 8]).await;
    assert_eq!(failed_after(since, failed), (ErrorKind::TimedOut, 1));
}

#[tokio::test(start_paused = true)]
async fn a_trickled_request_is_cut_on_a_reused_connection_too() {
    let (mut connection, mut client) = connected();
    for _ in 0..2 {
        client.write_all(b"ask").await.unwrap();
        connection.read_exact(&mut [0; 3]).await.unwrap();
        connection.write_all(b"answer").await.unwrap();
        client.read_exact(&mut [0; 6]).await.unwrap();
    }
    let since = Instant::now();
    let trickle = async {
        loop {
            client.write_all(b"x").await?;
            tokio::time::sleep(Duration::from_secs(3)).await;
        }
    };
    let mut read = 0;
    let reading = async {
        loop {
            read += connection.read(&mut [0; 8]).await?;
        }
    };
    let failed: io::Result<usize> = tokio::select! {
        never = trickle => never,
        failed = reading => failed,
    };
    assert_eq!(failed_after(since, failed), (ErrorKind::TimedOut, 20));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_reads_nothing_is_cut() {
    let (mut connection, _client) = connected();
    connection.write_all(b"12345678").await.unwrap();
    let since = Instant::now();
    let failed = connection.write(b"9").await;
    assert_eq!(failed_after(since, failed), (ErrorKind::TimedOut, 10));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_reads_a_little_from_time_to_time_is_served() {
    let (mut connection, mut client) = connected();
    let reading = async {
        for _ in 0..50 {
            tokio::time::sleep(Duration::from_secs(9)).await;
            client.read_exact(&mut [0; 8]).await.unwrap();
        }
    };
    let written = async { connection.write_all(&[0; 8 * 50]).await };
    let ((), written) = tokio::join!(reading, written);
    written.unwrap();
}

/// For how many seconds a client is served that reads so many bytes a second, and how many it receives.
async fn served(bytes: usize) -> (u64, usize) {
    let (mut connection, mut client) = connected();
    connection.handle().begin_response();
    let since = Instant::now();
    let mut taken = 0;
    let reading = async {
        loop {
            tokio::time::sleep(Duration::from_secs(1)).await;
            taken += client.read_exact(&mut vec![0; bytes]).await?;
        }
    };
    let written: io::Result<()> = tokio::select! {
        never = reading => never,
        written = connection.write_all(&[0; 800]) => written,
    };
    assert_eq!(connection.handle.0.is_broken.get(), written.is_err());
    (since.elapsed().as_secs(), taken)
}

#[tokio::test(start_paused = true)]
async fn a_client_that_reads_below_the_rate_is_cut() {
    // Eight bytes are in the pipe; the rest is read at the rate, or above it.
    for (bytes, expected) in [(0, 8), (1, 10), (2, 15), (4, 198), (8, 99)] {
        let (seconds, taken) = served(bytes).await;
        assert_eq!(seconds, expected, "{bytes} a second: {taken} taken");
        assert_eq!(taken + 8 >= 800, bytes >= 4, "{taken}");
    }
}

#[tokio::test(start_paused = true)]
async fn each_response_has_its_own_time() {
    let (mut connection, mut client) = connected();
    for _ in 0..5 {
        connection.handle().begin_response();
        connection.write_all(b"response").await.unwrap();
        tokio::time::sleep(Duration::from_secs(5)).await;
        client.read_exact(&mut [0; 8]).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn only_time_in_which_the_server_waits_for_the_client_counts() {
    let (mut connection, mut client) = connected();
    connection.handle().begin_response();
    for _ in 0..2 {
        // The server's work takes this time.
        tokio::time::sleep(Duration::from_secs(60)).await;
        let reading = async {
            tokio::time::sleep(Duration::from_secs(5)).await;
            client.read_exact(&mut [0; 16]).await
        };
        let both = tokio::try_join!(reading, connection.write_all(&[0; 16]));
        assert_eq!(both.unwrap(), (16, ()));
    }
    // Of 6 s, and a second for each 4 of 40 bytes, it has used 10.
    connection.write_all(b"12345678").await.unwrap();
    let since = Instant::now();
    let failed = connection.write(b"9").await;
    assert_eq!(failed_after(since, failed), (ErrorKind::TimedOut, 6));
}

#[tokio::test(start_paused = true)]
async fn a_flush_that_had_to_wait_leaves_the_connection_idle() {
    // As in TLS, what is written stays in a buffer until it is flushed.
    for (is_last, seconds) in [(false, 75), (true, 1)] {
        let (ours, mut client) = duplex(8);
        let ours = BufWriter::with_capacity(64, ours);
        let mut connection = Connection::new(ours, TIMEOUTS, OpenConnections::default());
        connection.handle().begin_response();
        if is_last {
            connection.handle().announce_last();
        }
        connection.write_all(&[0; 16]).await.unwrap();
        let reading = async {
            tokio::time::sleep(Duration::from_secs(2)).await;
            client.read_exact(&mut [0; 16]).await
        };
        let both = tokio::try_join!(reading, connection.flush());
        assert_eq!(both.unwrap(), (16, ()));
        let since = Instant::now();
        let failed = connection.read(&mut [0; 8]).await;
        assert_eq!(failed_after(since, failed), (ErrorKind::TimedOut, seconds));
        assert!(!connection.handle.0.is_broken.get(), "{is_last}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_without_an_end_is_cut() {
    let (mut connection, mut client) = connected();
    let flood = async { client.write_all(&[b'x'; 2 * MOST_UNANSWERED]).await };
    let mut read = 0;
    let reading = async {
        loop {
            read += connection.read(&mut [0; 8]).await?;
        }
    };
    let failed: io::Result<()> = tokio::select! {
        _ = flood => Ok(()),
        failed = reading => failed,
    };
    assert_eq!(failed.unwrap_err().kind(), ErrorKind::InvalidData);
    assert_eq!(read, MOST_UNANSWERED);
}

#[tokio::test(start_paused = true)]
async fn many_requests_at_once_are_cut() {
    const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n";
    for (requests, is_cut) in [(MOST_PIPELINED, false), (MOST_PIPELINED + 1, true)] {
        let (mut connection, mut client) = connected();
        let sent = REQUEST.repeat(requests);
        let sending = async { client.write_all(&sent).await };
        let reading = async {
            let mut read = 0;
            // In pieces that cut the ends of heads.
            while read < sent.len() {
                read += connection.read(&mut [0; 7]).await?;
            }
            Ok(())
        };
        let (_, read): (_, io::Result<()>) = tokio::join!(sending, reading);
        let cut = read.err().map(|error| error.kind());
        assert_eq!(cut, is_cut.then_some(ErrorKind::InvalidData), "{requests}");
        // Requests that have their response no longer count.
        if !is_cut {
            connection.write_all(b"x").await.unwrap();
            assert_eq!(connection.pipelined, 0);
        }
    }
}
