//! How far long work is, told to a person: one line on the terminal, written over now and then, and
//! removed at the end. Nothing where standard error is no terminal. Left out: what the work is.

use std::cell::Cell;
use std::io::{self, IsTerminal as _, Read, Write};
use std::time::Duration;

use crate::render::si;
use carbon_ops::env::Env;

/// How often a person is told, and how long work takes at least before it is.
const EVERY: Duration = Duration::from_secs(1);

/// Work under way on so many bytes.
#[derive(Debug)]
pub struct Progress {
    doing: &'static str,
    /// How many bytes there are, when that is known.
    total: Option<u64>,
    /// Whether somebody looks on.
    shown: bool,
    begun: Duration,
    told: Cell<Option<Duration>>,
}

impl Progress {
    /// Begins now, and is told where standard error is a terminal.
    pub fn start(doing: &'static str, total: Option<u64>) -> Self {
        let shown = io::stderr().is_terminal();
        Self::at(doing, total, shown, Env::monotonic())
    }

    /// The same, and nobody is told unless `shown`.
    #[must_use]
    pub fn only(mut self, shown: bool) -> Self {
        self.shown &= shown;
        self
    }

    fn at(doing: &'static str, total: Option<u64>, shown: bool, begun: Duration) -> Self {
        Self { doing, total, shown, begun, told: Cell::new(None) }
    }

    /// So many bytes, and lines when they are counted, are done.
    pub fn tell(&self, bytes: u64, lines: Option<u64>) {
        if self.shown
            && let Some(text) = self.text(Env::monotonic(), bytes, lines)
        {
            // Nothing depends on it.
            let _ = write!(io::stderr(), "\r\x1b[Kcarbon-ops: {text}");
        }
    }

    /// What to tell at a time; nothing when it was told just now.
    #[expect(clippy::cast_precision_loss, reason = "for people, three digits")]
    fn text(&self, now: Duration, bytes: u64, lines: Option<u64>) -> Option<String> {
        if now.saturating_sub(self.told.get().unwrap_or(self.begun)) < EVERY {
            return None;
        }
        self.told.set(Some(now));
        let seconds = now.saturating_sub(self.begun).as_secs_f64();
        let amount = |bytes: u64| si(bytes as f64, "B");
        let done = match self.total {
            Some(total) if total > 0 => {
                let percent = bytes.min(total) as f64 / total as f64 * 100.0;
                format!("{percent:.0} %, {} of {}", amount(bytes), amount(total))
            }
            _ => amount(bytes),
        };
        let rate = si(bytes as f64 / seconds, "B/s");
        let lines =
            lines.map_or(String::new(), |lines| format!(", {:.0} lines/s", lines as f64 / seconds));
        Some(format!("{}: {done}, {rate}{lines}", self.doing))
    }
}

/// The line makes room for the result.
impl Drop for Progress {
    fn drop(&mut self) {
        if self.shown && self.told.get().is_some() {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }
}

/// A reader or writer whose bytes are the work.
#[derive(Debug)]
pub struct Counted<'p, T> {
    inner: T,
    bytes: u64,
    progress: &'p Progress,
}

impl<'p, T> Counted<'p, T> {
    /// A reader that tells how far it has come.
    pub fn new(inner: T, progress: &'p Progress) -> Self {
        Self { inner, bytes: 0, progress }
    }

    fn count(&mut self, bytes: usize) {
        self.bytes += bytes as u64;
        self.progress.tell(self.bytes, None);
    }
}

impl<T: Read> Read for Counted<'_, T> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.count(read);
        Ok(read)
    }
}

impl<T: Write> Write for Counted<'_, T> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.count(written);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(milliseconds: u64) -> Duration {
        Duration::from_secs(100) + Duration::from_millis(milliseconds)
    }

    #[test]
    fn share_and_rate_are_told_once_a_second() {
        let progress = Progress::at("verifying", Some(8_000_000), false, after(0));
        assert_eq!(progress.text(after(999), 10, None), None);
        // 2 MB in 2 s, of 8 MB.
        assert_eq!(
            progress.text(after(2000), 2_000_000, Some(3000)).as_deref(),
            Some("verifying: 25 %, 2.00 MB of 8.00 MB, 1.00 MB/s, 1500 lines/s")
        );
        assert_eq!(progress.text(after(2999), 3_000_000, Some(4000)), None);
        // A file that grew meanwhile is not more than whole.
        assert_eq!(
            progress.text(after(4000), 9_000_000, None).as_deref(),
            Some("verifying: 100 %, 9.00 MB of 8.00 MB, 2.25 MB/s")
        );
    }

    #[test]
    fn without_a_total_no_share_is_told() {
        let progress = Progress::at("packing", None, false, after(0));
        let text = progress.text(after(1000), 5000, None);
        assert_eq!(text.as_deref(), Some("packing: 5.00 kB, 5.00 kB/s"));
        let empty = Progress::at("verifying", Some(0), false, after(0));
        assert_eq!(empty.text(after(1000), 0, None).as_deref(), Some("verifying: 0 B, 0 B/s"));
    }

    #[test]
    fn what_passes_is_counted_and_unchanged() {
        let progress = Progress::at("reading", None, false, after(0));
        let mut counted = Counted::new(&b"twelve bytes"[..], &progress);
        let mut read = String::new();
        counted.read_to_string(&mut read).unwrap();
        assert_eq!((read.as_str(), counted.bytes), ("twelve bytes", 12));
        let mut written = Counted::new(Vec::new(), &progress);
        written.write_all(b"twelve bytes").unwrap();
        assert_eq!((&written.inner[..], written.bytes), (&b"twelve bytes"[..], 12));
    }
}
