//! The thread that writes lines to stderr. Only this thread blocks if the output does.

use std::io::{self, ErrorKind, Write};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use tracing::warn;

use super::queue::Queue;

/// How long the writer waits before it retries on a non-blocking output.
const RETRY_AFTER: Duration = Duration::from_millis(20);

/// Starts the thread, which runs until the process ends.
pub(super) fn start(queue: Arc<Queue>, sink: impl Write + Send + 'static) -> io::Result<()> {
    let mut output = Output::new(sink);
    let mut reported = 0.0;
    let run = move || {
        loop {
            let line = queue.next();
            if output.write(&line).is_err() {
                queue.lost();
            } else if queue.is_empty() {
                report_dropped(&queue, &mut reported);
            }
        }
    };
    thread::Builder::new().name("log".to_owned()).spawn(run)?;
    Ok(())
}

/// Logs how many lines were dropped since the last report.
fn report_dropped(queue: &Queue, reported: &mut f64) {
    let dropped = queue.dropped();
    let lines = dropped - *reported;
    if lines > 0.0 {
        *reported = dropped;
        warn!(
            lines,
            "log lines were dropped: the output was blocked or failed"
        );
    }
}

/// Writes lines to a sink that may fail in the middle of a line.
struct Output<W> {
    sink: W,
    /// Whether the last line was written only in part, so that a line end must be written first.
    is_partial: bool,
}

impl<W: Write> Output<W> {
    fn new(sink: W) -> Self {
        Self {
            sink,
            is_partial: false,
        }
    }

    fn write(&mut self, line: &[u8]) -> io::Result<()> {
        if self.is_partial {
            self.write_part(b"\n").map_err(|(_, error)| error)?;
            self.is_partial = false;
        }
        self.write_part(line).map_err(|(written, error)| {
            self.is_partial = written > 0;
            error
        })
    }

    /// Writes all bytes. An error comes with the number of bytes that were written before it.
    fn write_part(&mut self, bytes: &[u8]) -> Result<(), (usize, io::Error)> {
        let mut written = 0;
        while let Some(rest) = bytes.get(written..).filter(|rest| !rest.is_empty()) {
            match self.sink.write(rest) {
                Ok(0) => return Err((written, ErrorKind::WriteZero.into())),
                Ok(count) => written += count,
                Err(error) => match error.kind() {
                    ErrorKind::Interrupted => {}
                    // Another process that shares the output may have made it non-blocking.
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

    /// Accepts the given numbers of bytes in successive writes, or fails.
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
    fn lines_stay_complete_after_errors_of_the_output() {
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
