//! The thread that writes lines. It alone may be blocked by whatever is behind stderr.

use std::io::{self, ErrorKind, Write};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use tracing::warn;

use super::queue::Queue;

/// How long the writer waits before it asks a non-blocking output again.
const RETRY_AFTER: Duration = Duration::from_millis(20);

/// Starts the thread, which lives as long as the process.
pub(super) fn start(queue: Arc<Queue>, sink: impl Write + Send + 'static) -> io::Result<()> {
    let mut output = Output::new(sink);
    let mut told = 0.0;
    let run = move || {
        loop {
            let line = queue.next();
            if output.write(&line).is_err() {
                queue.lost();
            } else if queue.is_empty() {
                tell_dropped(&queue, &mut told);
            }
        }
    };
    thread::Builder::new().name("log".to_owned()).spawn(run)?;
    Ok(())
}

/// Says how many lines were dropped, once they can be written again.
fn tell_dropped(queue: &Queue, told: &mut f64) {
    let dropped = queue.dropped();
    let lines = dropped - *told;
    if lines > 0.0 {
        *told = dropped;
        warn!(
            lines,
            "log lines were dropped: the output was blocked or failed"
        );
    }
}

/// Writes whole lines to something that may fail in the middle of one.
struct Output<W> {
    sink: W,
    /// Whether a line was cut: the next one begins with a line end.
    is_torn: bool,
}

impl<W: Write> Output<W> {
    fn new(sink: W) -> Self {
        Self {
            sink,
            is_torn: false,
        }
    }

    fn write(&mut self, line: &[u8]) -> io::Result<()> {
        if self.is_torn {
            self.write_part(b"\n").map_err(|(_, error)| error)?;
            self.is_torn = false;
        }
        self.write_part(line).map_err(|(written, error)| {
            self.is_torn = written > 0;
            error
        })
    }

    /// All of it, or how much was written before the error.
    fn write_part(&mut self, bytes: &[u8]) -> Result<(), (usize, io::Error)> {
        let mut written = 0;
        while let Some(rest) = bytes.get(written..).filter(|rest| !rest.is_empty()) {
            match self.sink.write(rest) {
                Ok(0) => return Err((written, ErrorKind::WriteZero.into())),
                Ok(count) => written += count,
                Err(error) => match error.kind() {
                    ErrorKind::Interrupted => {}
                    // Whoever shares the output may have made it non-blocking.
                    ErrorKind::WouldBlock => thread::sleep(RETRY_AFTER),
                    _ => return Err((written, error)),
                },
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes so many bytes at each write, or fails.
    struct Sink {
        takes: Vec<Result<usize, ErrorKind>>,
        written: Vec<u8>,
    }

    impl Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let takes = match self.takes.is_empty() {
                true => Ok(usize::MAX),
                false => self.takes.remove(0),
            };
            let count = takes?.min(bytes.len());
            self.written.extend_from_slice(&bytes[..count]);
            Ok(count)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn lines_stay_whole_whatever_the_output_does() {
        let full = || Err(ErrorKind::StorageFull);
        for (takes, results, expected) in [
            (vec![], [true, true], "one\ntwo\n"),
            (vec![Ok(1), Ok(2), Ok(9)], [true, true], "one\ntwo\n"),
            (
                vec![Err(ErrorKind::WouldBlock), Err(ErrorKind::Interrupted)],
                [true, true],
                "one\ntwo\n",
            ),
            (vec![full()], [false, true], "two\n"),
            (vec![Ok(2), full()], [false, true], "on\ntwo\n"),
            (vec![Ok(2), full(), full()], [false, false], "on"),
            (vec![Ok(0)], [false, true], "two\n"),
            (vec![Ok(9), full()], [true, false], "one\n"),
        ] {
            let shown = format!("{takes:?}");
            let mut output = Output::new(Sink {
                takes,
                written: Vec::new(),
            });
            let lines = ["one\n", "two\n"];
            let written = lines.map(|line| output.write(line.as_bytes()).is_ok());
            assert_eq!(written, results, "{shown}");
            let text = String::from_utf8(output.sink.written).unwrap();
            assert_eq!(text, expected, "{shown}");
        }
    }
}
