//! The roster as a writer knows it: up to which byte of the ledger, and where the lines are that
//! changed it, so that whoever opens the ledger next need not look for them.
//!
//! What is kept in `roster.state` carries no trust: its lines are read and verified again, what comes
//! after is searched, and without it, or when it does not fit, the whole ledger is. A verification never
//! looks at it.
//!
//! Out of scope: checking any other line.

use std::io;

use carbon_ops_proof::entry::{Control, Entry, Fault, LedgerId, MAX_LINE_BYTES};
use carbon_ops_proof::roster::{MARK, Roster};
use carbon_ops_proof::seek::ReadAt;
use memchr::{memchr, memmem, memrchr};

#[cfg(test)]
mod tests;

/// What the file begins with.
const HEAD: &str = "carbon-ops/roster/v1";

/// How much is read at a time.
const CHUNK_BYTES: usize = 1 << 20;

/// A roster, and how far it is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Known {
    id: LedgerId,
    roster: Roster,
    /// Up to where the ledger has been searched: the end of a line.
    len: u64,
    /// Where the lines begin that changed the roster.
    rotations: Vec<u64>,
    /// The genesis, to begin anew from.
    genesis: (Roster, u64),
    /// Whether part of it was taken up from what was kept, and not searched for.
    taken_up: bool,
}

impl Known {
    /// Of a ledger with its genesis alone, which has `len` bytes with its newline and is authentic.
    pub(crate) fn of_genesis(genesis: &Entry, len: u64) -> Result<Self, Fault> {
        let roster = Roster::of_genesis(genesis)?;
        let id = genesis.ledger_id();
        Ok(Self {
            id,
            genesis: (roster.clone(), len),
            roster,
            len,
            rotations: Vec::new(),
            taken_up: false,
        })
    }

    pub(crate) fn roster(&self) -> &Roster {
        &self.roster
    }

    /// Takes up what was kept, if it fits the ledger, which has `len` bytes. The rest is for
    /// [`Known::catch_up`].
    pub(crate) fn take_up(
        &mut self,
        state: &[u8],
        len: u64,
        read: &mut ReadAt<'_>,
    ) -> io::Result<()> {
        let Some((known, offsets)) = self.parse(state).filter(|(known, _)| *known <= len) else {
            return Ok(());
        };
        if !ends_line(known, read)? {
            return Ok(());
        }
        let mut next = self.clone();
        for offset in offsets {
            if offset < next.len || offset >= known || !ends_line(offset, read)? {
                return Ok(());
            }
            let wanted = (known - offset).min(MAX_LINE_BYTES as u64 + 1);
            let bytes = read(offset, usize::try_from(wanted).unwrap_or(usize::MAX))?;
            let Some(end) = memchr(b'\n', &bytes) else { return Ok(()) };
            if next.line(bytes.get(..end).unwrap_or_default(), offset) != Ok(true) {
                return Ok(());
            }
            next.len = offset + end as u64 + 1;
        }
        (next.len, next.taken_up) = (known, true);
        *self = next;
        Ok(())
    }

    /// Searches what was appended since, up to the last whole line. `len` is the length of the ledger;
    /// when that is less than what is known, the end was cut off after a crash, and all is searched
    /// again.
    ///
    /// A line that is no entry is passed over: it changes nothing, and a verification finds it.
    pub(crate) fn catch_up(
        &mut self,
        len: u64,
        read: &mut ReadAt<'_>,
    ) -> io::Result<Result<(), Fault>> {
        if len < self.len {
            self.forget();
        }
        let mut rest: Vec<u8> = Vec::new();
        let mut offset = self.len;
        while offset < len {
            let wanted = usize::try_from(len - offset).unwrap_or(usize::MAX).min(CHUNK_BYTES);
            let bytes = read(offset, wanted)?;
            let start = offset - rest.len() as u64;
            offset += wanted as u64;
            rest.extend(bytes);
            let whole = memrchr(b'\n', &rest).map_or(0, |at| at + 1);
            if let Err(fault) = self.lines(rest.get(..whole).unwrap_or_default(), start) {
                return Ok(Err(fault));
            }
            if whole > 0 {
                // Not beyond the last newline: what a crash left there is cut off, and all would have to
                // be searched again.
                self.len = start + whole as u64;
            }
            rest.drain(..whole);
            if rest.len() > MAX_LINE_BYTES {
                // No entry: what follows of it is none either.
                rest.clear();
            }
        }
        Ok(Ok(()))
    }

    /// All is to be searched again from the genesis on.
    pub(crate) fn forget(&mut self) {
        (self.roster, self.len) = self.genesis.clone();
        self.rotations.clear();
        self.taken_up = false;
    }

    /// Whether part of this was taken up from what was kept, which may have been wrong.
    pub(crate) fn is_taken_up(&self) -> bool {
        self.taken_up
    }

    /// Bytes that change nothing were appended at `from`, up to `to`.
    pub(crate) fn appended(&mut self, from: u64, to: u64) {
        if self.len == from {
            self.len = to;
        }
    }

    /// What is kept for the next one who opens the ledger.
    pub(crate) fn state(&self) -> String {
        let offsets = self.rotations.iter().map(|offset| format!("{offset}\n"));
        format!("{HEAD}\n{}\n{}\n{}", self.id, self.len, offsets.collect::<String>())
    }

    fn parse(&self, state: &[u8]) -> Option<(u64, Vec<u64>)> {
        let mut lines = str::from_utf8(state).ok()?.strip_suffix('\n')?.split('\n');
        if lines.next()? != HEAD || lines.next()? != self.id.to_string() {
            return None;
        }
        let known = lines.next()?.parse().ok()?;
        let offsets: Option<Vec<u64>> = lines.map(|offset| offset.parse().ok()).collect();
        Some((known, offsets?))
    }

    /// Whole lines that begin at `start`.
    fn lines(&mut self, bytes: &[u8], start: u64) -> Result<(), Fault> {
        let finder = memmem::Finder::new(MARK);
        let mut from = 0;
        while let Some(found) = finder.find(bytes.get(from..).unwrap_or_default()) {
            let at = from + found;
            let before = bytes.get(..at).unwrap_or_default();
            let begin = memrchr(b'\n', before).map_or(0, |newline| newline + 1);
            let behind = bytes.get(at..).unwrap_or_default();
            let end = memchr(b'\n', behind).map_or(bytes.len(), |newline| at + newline);
            self.line(bytes.get(begin..end).unwrap_or_default(), start + begin as u64)?;
            from = end;
        }
        Ok(())
    }

    /// Whether a line changed the roster.
    fn line(&mut self, line: &[u8], offset: u64) -> Result<bool, Fault> {
        let Ok(entry) = Entry::parse(line) else { return Ok(false) };
        if !matches!(entry.control(), Ok(Some(Control::KeyRotation(_)))) {
            return Ok(false);
        }
        self.roster.authenticate(&entry, self.id)?;
        let changed = self.roster.apply(&entry)?;
        self.rotations.push(offset);
        Ok(changed)
    }
}

/// Whether a line ends before `offset`.
fn ends_line(offset: u64, read: &mut ReadAt<'_>) -> io::Result<bool> {
    match offset.checked_sub(1) {
        None => Ok(false),
        Some(last) => Ok(read(last, 1)? == b"\n"),
    }
}
