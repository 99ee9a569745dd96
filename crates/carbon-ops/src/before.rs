//! The ledger that a ledger continues: where it is, what of it is continued, and whether what is there is still
//! that, one ledger after the other.
//!
//! Rule: what is continued has to be there byte for byte. What stands behind it says nothing against the ledger
//! that goes on: nobody who writes there, a thief perhaps, may break what is written elsewhere.
//!
//! Out of scope: beginning a ledger that continues another (`continuation.rs`).

use std::io::{self, BufRead as _, BufReader, ErrorKind, Read as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, anyhow};
use carbon_ops_ledger::keys::Trust;
use carbon_ops_ledger::storage::{BEFORE_FILE, LEDGER_FILE};
use carbon_ops_proof::entry::{Continued, Entry, EntryHash, MAX_LINE_BYTES};
use carbon_ops_proof::merkle::{Frontier, leaf_hash};
use carbon_ops_proof::verify::verify;
use sha2::{Digest as _, Sha256};

use crate::fault::Fault;
use crate::head::{beside, cannot_read, file_of, open};

/// More ledgers than anybody has to continue: one a month for twenty years.
const MAX_LINKS: usize = 256;

/// Longer than any path (`PATH_MAX` of Linux).
const MAX_PATH_BYTES: usize = 4096;

/// What the lines of a ledger are, up to one of them, and all its bytes.
#[derive(Debug)]
pub(crate) struct Measured {
    pub(crate) size: u64,
    pub(crate) root: String,
    pub(crate) head_hash: Option<String>,
    /// How many bytes these lines have.
    pub(crate) bytes: u64,
    pub(crate) file_bytes: u64,
    pub(crate) file_sha256: String,
}

/// The ledgers that a ledger continues.
#[derive(Debug, Default)]
pub struct Chain {
    /// Those that were found, the latest first.
    pub links: Vec<Link>,
    /// The first that was not at hand, as the one that continues it has it.
    pub missing: Option<Continued>,
}

/// A ledger that is continued by another, and what was found in its place.
#[derive(Debug)]
pub struct Link {
    /// Where it is.
    pub path: PathBuf,
    /// What the one that continues it says of it.
    pub pin: Continued,
    /// In what that differs from what is there.
    pub differences: Vec<&'static str>,
    /// How many faults there are in the lines that are continued.
    pub faults: u64,
    /// Whether its own first key is trusted.
    pub trusted: bool,
}

impl Chain {
    /// Whether every ledger that was found is the one that is continued.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.links.iter().all(Link::holds)
    }
}

impl Link {
    /// Whether it is the ledger that is continued.
    #[must_use]
    pub fn holds(&self) -> bool {
        let beyond = ["file_bytes", "file_sha256"];
        self.faults == 0 && self.differences.iter().all(|differs| beyond.contains(differs))
    }
}

/// Follows what a ledger says that it continues, and the ledgers before that. The first is where `given` says, or
/// where the ledger itself says that it is.
///
/// # Errors
///
/// When one of them cannot be read, though it is there, and when `given` is not.
pub(crate) fn walk(
    ledger: &Path,
    pin: &Continued,
    given: Option<&Path>,
    trust: &Trust,
) -> Result<Chain> {
    let mut chain = Chain::default();
    let (mut next, mut place) =
        (Some(pin.clone()), given.map(Path::to_owned).or_else(|| told(ledger)));
    if let Some(given) = given.filter(|given| !given.exists()) {
        return Err(open(given).err().unwrap_or_else(|| anyhow!(cannot_read(given))));
    }
    while let Some(pin) = next.take() {
        let there = place.take().filter(|path| path.exists());
        let Some(path) = there.filter(|_| chain.links.len() < MAX_LINKS) else {
            chain.missing = Some(pin);
            break;
        };
        let path = file_of(&path);
        let measured = measure(&path, Some(pin.size))?;
        let mut link = Link { differences: Vec::new(), faults: 0, trusted: false, path, pin };
        let mut found = measured.pin(&link.pin);
        if measured.size > 0 {
            let lines = open(&link.path)?.take(measured.bytes);
            let report = verify(BufReader::with_capacity(1 << 20, lines), trust, &mut |_| Ok(()))
                .with_context(|| cannot_read(&link.path))?;
            found.ledger_id = report.ledger_id.unwrap_or_default();
            link.faults = report.fault_count;
            link.trusted = report.keys.iter().any(|key| key.genesis && key.trusted);
            (next, place) = (report.continues, told(&link.path));
        }
        link.differences = link.pin.differences(&found);
        chain.links.push(link);
    }
    Ok(chain)
}

/// Where a ledger says that the one is that it continues. A copy under another name has nothing beside it that is its
/// own.
fn told(ledger: &Path) -> Option<PathBuf> {
    ledger.file_name().filter(|name| *name == LEDGER_FILE)?;
    let bytes = beside(ledger).read(BEFORE_FILE, MAX_PATH_BYTES).ok()??;
    let path = String::from_utf8(bytes).ok()?;
    Some(seen_from(parent_of(ledger), Path::new(path.trim_end_matches('\n'))))
}

/// A path as it is written in the folder of a ledger. One beside that folder is told without the way up, where
/// the folder has a name to take away.
pub(crate) fn seen_from(folder: &Path, path: &Path) -> PathBuf {
    match (path.strip_prefix(".."), folder.file_name()) {
        (Ok(beside), Some(_)) => folder.with_file_name(beside),
        _ => folder.join(path),
    }
}

fn parent_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Reads a ledger: its first `size` lines, or as many as there are, and all its bytes. Of a ledger whose lines are
/// gone there are none.
pub(crate) fn measure(path: &Path, size: Option<u64>) -> Result<Measured> {
    let (mut tree, mut digest, mut last) = (Frontier::new(), Sha256::new(), None);
    let (mut bytes, mut file_bytes) = (0, 0);
    if let Some(file) = open_if_there(path)? {
        let mut reader = BufReader::with_capacity(1 << 20, file);
        let mut line = Vec::new();
        while read_line(&mut reader, &mut line).with_context(|| cannot_read(path))? {
            digest.update(&line);
            file_bytes += line.len() as u64;
            let whole = line.strip_suffix(b"\n").filter(|line| line.len() <= MAX_LINE_BYTES);
            if let Some(whole) = whole
                && bytes + line.len() as u64 == file_bytes
                && size.is_none_or(|size| tree.size() < size)
            {
                tree.push(leaf_hash(whole));
                bytes = file_bytes;
                last = Some(whole.to_vec());
            }
        }
    }
    let head = last.as_deref().and_then(|line| Some(Entry::parse(line).ok()?.hash().to_string()));
    Ok(Measured {
        size: tree.size(),
        root: tree.root().to_string(),
        head_hash: head,
        bytes,
        file_bytes,
        file_sha256: EntryHash(digest.finalize().into()).to_string(),
    })
}

/// The next line with its newline, or as much of it as no line may have; false at the end.
fn read_line(reader: &mut impl io::BufRead, line: &mut Vec<u8>) -> io::Result<bool> {
    line.clear();
    reader.take(MAX_LINE_BYTES as u64 + 2).read_until(b'\n', line)?;
    Ok(!line.is_empty())
}

/// A ledger to read; none when its lines are gone, or it was never there.
pub(crate) fn open_if_there(
    path: &Path,
) -> Result<Option<carbon_ops_ledger::segment::LedgerReader>> {
    let gone = |error: &anyhow::Error| matches!(error.downcast_ref(), Some(Fault::CannotOpen { source, .. }) if source.kind() == ErrorKind::NotFound);
    match open(path) {
        Err(error) if gone(&error) => Ok(None),
        other => other.map(Some),
    }
}

impl Measured {
    /// As a genesis has it, with what another says of the rest.
    pub(crate) fn pin(&self, rest: &Continued) -> Continued {
        Continued {
            size: self.size,
            root: self.root.clone(),
            head_hash: self.head_hash.clone(),
            file_bytes: self.file_bytes,
            file_sha256: self.file_sha256.clone(),
            ..rest.clone()
        }
    }
}
