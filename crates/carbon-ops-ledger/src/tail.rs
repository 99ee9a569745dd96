//! What the end of a ledger file says: whole, complete but for its newline, torn, or damaged.
//!
//! Pure functions on the last bytes of the file. Left out: doing something about it, which is
//! `append.rs`, and every line but the last two, which is `verify.rs`.

use crate::entry::{Control, Entry, Fault, Head, LedgerId, MAX_LINE_BYTES};
use crate::roster::Roster;

/// How much of the end is read: two of the longest lines with their newlines, and the newline
/// before them, so that behind a torn line the whole line before it is always in view.
pub(crate) const WINDOW_BYTES: usize = 2 * (MAX_LINE_BYTES + 1) + 1;

/// The state of the end of a ledger.
#[derive(Debug, PartialEq)]
pub(crate) enum Tail {
    /// It ends with a valid line.
    Whole(Head),
    /// It ends with a valid entry that lacks only its newline.
    Complete(Head),
    /// It ends with what an interrupted write leaves, from the offset `keep` on.
    Torn { head: Head, keep: u64, removed: Vec<u8> },
}

/// The end of a file, and where in the file it begins.
#[derive(Debug)]
pub(crate) struct Window {
    pub(crate) bytes: Vec<u8>,
    pub(crate) start: u64,
}

impl Window {
    /// Looks at the end.
    ///
    /// Torn is only what an interrupted write of one line can leave: bytes without a newline, or a
    /// last line with zero bytes in it (sectors that were never written read as zeros). Any other
    /// bad line is damage or tampering, and not for us to repair.
    pub(crate) fn examine(&self, id: LedgerId, roster: &Roster) -> Result<Tail, Fault> {
        let authentic = |line| {
            let entry = Entry::parse(line)?;
            roster.authenticate(&entry, id)?;
            Ok::<_, Fault>(entry)
        };
        let (body, rest) = split_after_last_newline(&self.bytes);
        let (before, line) = self.last_line(body)?;
        if !rest.is_empty() {
            if rest.len() > MAX_LINE_BYTES + 1 {
                return Err(Fault::Unterminated);
            }
            let head = authentic(line)?.head();
            return Ok(match authentic(rest).and_then(|next| next.follows(&head).map(|()| next)) {
                Ok(next) => Tail::Complete(next.head()),
                Err(_) => self.torn(head, body.len()),
            });
        }
        if line.contains(&0) && line.len() <= MAX_LINE_BYTES && !before.is_empty() {
            let (_, last_good) = self.last_line(before)?;
            return Ok(self.torn(authentic(last_good)?.head(), before.len()));
        }
        let last = authentic(line)?;
        // The line before has been accepted once; here it only anchors the last one.
        if let Ok((_, previous)) = self.last_line(before)
            && let Ok(previous) = Entry::parse(previous)
        {
            last.follows(&previous.head())?;
        }
        Ok(Tail::Whole(last.head()))
    }

    /// The recovery records that the file ends with: the number of the first (of the next entry
    /// when there are none) and the evidence that they name.
    pub(crate) fn trailing_recoveries(&self, head: &Head) -> (u64, Vec<String>) {
        let mut first = head.seq + 1;
        let mut named = Vec::new();
        let (mut body, _) = split_after_last_newline(&self.bytes);
        while let Ok((before, line)) = self.last_line(body)
            && let Ok(entry) = Entry::parse(line)
            && let Ok(Some(Control::Recovery(recovery))) = entry.control()
        {
            first = entry.seq();
            named.push(recovery.evidence);
            body = before;
        }
        (first, named)
    }

    fn torn(&self, head: Head, keep: usize) -> Tail {
        let removed = self.bytes.get(keep..).unwrap_or_default().to_vec();
        // A window is small: its length always fits.
        Tail::Torn { head, keep: self.start + keep as u64, removed }
    }

    /// The last line of `body` without its newline, and what stands before it. `body` is the
    /// beginning of the window, up to and with a newline.
    fn last_line<'b>(&self, body: &'b [u8]) -> Result<(&'b [u8], &'b [u8]), Fault> {
        let Some((_, content)) = body.split_last() else { return Err(Fault::Unterminated) };
        let (before, line) = split_after_last_newline(content);
        if before.is_empty() && self.start > 0 {
            // It begins before the window, which holds two of the longest lines.
            return Err(Fault::TooLong);
        }
        Ok((before, line))
    }
}

fn split_after_last_newline(bytes: &[u8]) -> (&[u8], &[u8]) {
    let at = bytes.iter().rposition(|b| *b == b'\n').map_or(0, |at| at + 1);
    bytes.split_at(at)
}
