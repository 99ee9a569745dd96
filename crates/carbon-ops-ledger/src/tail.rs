//! What the end of a ledger file says: whole, complete but for its newline, torn, or damaged.
//!
//! Pure functions on the last bytes of the file.
//!
//! Out of scope: doing something about it, which is `append.rs`; which zeros make a line torn,
//! which is `torn.rs`; and every line before the last batch, which is `verify.rs`.

use std::cell::RefCell;

use carbon_ops_proof::entry::{Control, Entry, Fault, Head, LedgerId, MAX_LINE_BYTES};
use carbon_ops_proof::keys::PublicKey;
use carbon_ops_proof::roster::Roster;
use carbon_ops_proof::torn::{self, MAX_TORN_BYTES};

/// How much of the end is read: what can be torn, and before it two of the longest lines with their
/// newlines and the newline before them, so that behind a torn end two whole lines are always in view.
pub(crate) const WINDOW_BYTES: usize = MAX_TORN_BYTES + 2 * (MAX_LINE_BYTES + 1) + 1;

/// How many lines before a torn end are looked into: those of a batch, which the same crash may have
/// cut short.
const LINES_LOOKED_INTO: usize = 1024;

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

/// The end of a ledger, and where in the ledger it and the active file begin.
#[derive(Debug)]
pub(crate) struct Window {
    pub(crate) bytes: Vec<u8>,
    pub(crate) start: u64,
    pub(crate) active: u64,
}

impl Window {
    /// Looks at the end. `signed` entries were signed for: these are known and not looked into.
    ///
    /// An end in order is one that ends with an authentic line that follows the line before it. Its
    /// signature and the links vouch for all before it, and without zeros nothing can be missing there. Of
    /// a file that a crash has touched, all lines that the last batch may have had are verified as
    /// strictly as a verification does.
    pub(crate) fn examine(
        &self,
        id: LedgerId,
        roster: &Roster,
        signed: u64,
    ) -> Result<Tail, Fault> {
        // Most lines are by one key, and reading it costs as much as reading the rest of the line.
        let known = RefCell::new(None);
        let read_key = |text: &str| {
            if let Some((name, key)) = &*known.borrow()
                && name == text
            {
                return Some(*key);
            }
            let key = PublicKey::from_hex(text).ok()?;
            known.replace(Some((text.to_owned(), key)));
            Some(key)
        };
        let authentic = |line: &[u8]| {
            let entry = Entry::parse_with(line, &mut |text| read_key(text))?;
            roster.authenticate(&entry, id)?;
            Ok::<_, Fault>(entry)
        };
        let first = self.first_line();
        let lines = self.bytes.get(first..).unwrap_or_default();
        // A window is small: its length always fits.
        let Some(torn) = torn::begins(lines, self.start + first as u64, self.active) else {
            let (before, line) = self.last_line(&self.bytes)?;
            let last = authentic(line)?;
            // The line before has been accepted once; here it only anchors the last one.
            if let Ok((_, previous)) = self.last_line(before)
                && let Ok(previous) = Entry::parse(previous)
            {
                last.follows(&previous.head())?;
            }
            return Ok(Tail::Whole(last.head()));
        };
        let keep = usize::try_from(torn - self.start).unwrap_or(usize::MAX);
        let (body, rest) = self.bytes.split_at_checked(keep).unwrap_or((&self.bytes, &[]));
        let head = self.last_of(body, signed, &authentic)?;
        if let Ok(next) = authentic(rest)
            && next.follows(&head).is_ok()
        {
            return Ok(Tail::Complete(next.head()));
        }
        Ok(Tail::Torn { head, keep: torn, removed: rest.to_vec() })
    }

    /// The head of what stands before a torn end, after a strict look at its last lines.
    fn last_of(
        &self,
        mut body: &[u8],
        signed: u64,
        authentic: &impl Fn(&[u8]) -> Result<Entry, Fault>,
    ) -> Result<Head, Fault> {
        let (mut head, mut after): (Option<Head>, Option<Entry>) = (None, None);
        // What begins further from the end than a torn end can was durable before.
        let nearest = self.bytes.len().saturating_sub(MAX_TORN_BYTES);
        for _ in 0..LINES_LOOKED_INTO {
            if head.is_some() && body.len() < nearest {
                break;
            }
            let (before, line) = match self.last_line(body) {
                Ok(last) => last,
                // Of a whole file, or of what the window shows of it, that was the first line.
                Err(_) if head.is_some() => break,
                Err(fault) => return Err(fault),
            };
            let entry = authentic(line)?;
            if let Some(after) = &after {
                after.follows(&entry.head())?;
            }
            head.get_or_insert(entry.head());
            if entry.seq() < signed {
                break;
            }
            (body, after) = (before, Some(entry));
        }
        head.ok_or(Fault::NoGenesis)
    }

    /// Where the first line begins that is in view as a whole.
    fn first_line(&self) -> usize {
        if self.start == 0 {
            return 0;
        }
        self.bytes.iter().position(|byte| *byte == b'\n').map_or(self.bytes.len(), |at| at + 1)
    }

    /// The last line of a window that ends with a newline, without it.
    pub(crate) fn last(&self) -> &[u8] {
        self.last_line(&self.bytes).map_or(&[], |(_, line)| line)
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
