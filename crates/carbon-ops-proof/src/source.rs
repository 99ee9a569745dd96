//! Where the lines of a ledger come from, and which of them say who may sign.
//!
//! Out of scope: what is done with them.

use std::io;
use std::ops::ControlFlow;

use crate::entry::{Control, Entry};

/// Where the lines of a ledger come from.
pub trait LineSource {
    /// Gives the lines from the one numbered `seq` on, without their newlines, until `each` breaks or
    /// there are no more.
    ///
    /// # Errors
    ///
    /// When reading fails.
    fn lines(&mut self, seq: u64, each: &mut dyn FnMut(&[u8]) -> ControlFlow<()>)
    -> io::Result<()>;

    /// The line with this number, without its newline; none when there are fewer.
    ///
    /// # Errors
    ///
    /// When reading fails.
    fn line(&mut self, seq: u64) -> io::Result<Option<Vec<u8>>> {
        let mut found = None;
        self.lines(seq, &mut |line| {
            found = Some(line.to_vec());
            ControlFlow::Break(())
        })?;
        Ok(found)
    }
}

/// The numbers asked for, the genesis, and the lines that change who may sign.
pub(crate) fn choose(
    source: &mut impl LineSource,
    selected: &dyn Fn(u64) -> bool,
    size: u64,
) -> io::Result<Vec<u64>> {
    let (mut seq, mut chosen) = (0, Vec::new());
    source.lines(0, &mut |line| {
        if seq == 0 || selected(seq) || changes_keys(line) {
            chosen.push(seq);
        }
        seq += 1;
        if seq < size { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })?;
    Ok(chosen)
}

/// The numbers of the genesis and of the lines that change who may sign, among the first `size`.
pub(crate) fn key_changes(source: &mut impl LineSource, size: u64) -> io::Result<Vec<u64>> {
    choose(source, &|_| false, size)
}

fn changes_keys(line: &[u8]) -> bool {
    // Most lines have no such word, and need not be parsed.
    let word = str::from_utf8(line).is_ok_and(|line| line.contains("\"key_rotation\""));
    let is_rotation = |entry: Entry| matches!(entry.control(), Ok(Some(Control::KeyRotation(_))));
    word && Entry::parse(line).is_ok_and(is_rotation)
}
