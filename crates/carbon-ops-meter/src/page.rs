//! A snapshot in a file that one process writes and others map: reading it is some hundred loads
//! from memory, wakes nobody and takes under a microsecond.
//!
//! The file holds two slots. The writer fills the one that is not current, so that a reader is
//! disturbed only when it takes longer than a whole period, and a writer that dies half-way leaves
//! the other slot whole. A slot is valid while its stamp is not zero and its checksum holds. The same
//! format carries the governor's own state over a restart, with some more words for each domain.
//!
//! `docs/formats/socket-v1.md` has the layout word by word.
//!
//! Out of scope: durability. The file lives in a runtime directory and is meaningless after a
//! reboot, which the boot id tells.

use std::fs::{File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering, fence};
use std::time::Duration;

use carbon_ops_units::{Microjoules, Watts};
use nix::fcntl::posix_fallocate;

use crate::clock::{EpochStart, Moment, UnixTime};
use crate::counter::{Generation, Saved};
use crate::mapped::Mapped;
use crate::sensor::{Exclusion, Kind};
use crate::snapshot::{DOMAINS_MAX, DomainTotal, Snapshot, Source, Text};

/// `CARBPAGE` in the file's first eight bytes.
const MAGIC: u64 = u64::from_le_bytes(*b"CARBPAGE");

/// Raised when the layout changes.
const VERSION: u64 = 1;

/// Words before the first slot: one memory page.
const HEADER_WORDS: usize = 512;

/// Words of a slot; its first three are stamp, length and checksum.
const SLOT_WORDS: usize = 4096;
const SLOT_HEAD: usize = 3;

/// Words of the whole file.
const FILE_WORDS: usize = HEADER_WORDS + 2 * SLOT_WORDS;

/// Bytes of the whole file.
pub const FILE_BYTES: u64 = 8 * FILE_WORDS as u64;

/// Place of the index of the current slot.
const CURRENT: usize = 3;

/// Words before the domains, and words of a domain without and with its counter.
const HEAD_WORDS: usize = 16;
const DOMAIN_WORDS: usize = 21;
const SAVED_WORDS: usize = 10;

/// Tries before a reader gives up; one suffices unless the writer passes by twice meanwhile.
const TRIES: u32 = 64;

/// Linux `O_NOFOLLOW | O_CLOEXEC` are set by name; a link in the place of the file is refused.
const NO_FOLLOW: i32 = libc::O_NOFOLLOW;

/// Why a page could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PageError {
    /// The file cannot be opened or mapped.
    #[error("cannot open {}: {source}", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is a file of something else, or of another version.
    #[error("{} is not a snapshot page of this version", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// Nothing was published yet, or the writer died before it had published anything.
    #[error("the governor has not published a snapshot yet")]
    Empty,
}

/// A domain as the state holds it: its total, and where its counter stands.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SavedDomain {
    /// What was published.
    pub total: DomainTotal,
    /// The counter, to be resumed.
    pub counter: Saved,
    /// Digest of the counter's scale: another scale cannot be resumed.
    pub scale: u64,
}

/// Writes one page.
#[derive(Debug)]
pub struct PageWriter {
    cells: Arc<Mapped>,
    words: Vec<u64>,
    stamp: u64,
    file: File,
}

impl PageWriter {
    /// Opens the page at `path`, or makes it, with these permissions. An existing page is kept, so
    /// that readers who have mapped it go on; anything else in its place is replaced if it is a
    /// regular file of this user, and refused if not.
    ///
    /// # Errors
    /// When the file cannot be made, or another user's file or no regular file is there.
    pub fn open(path: &Path, mode: u32) -> io::Result<Self> {
        let file = match reuse(path)? {
            Some(file) => file,
            None => create(path)?,
        };
        file.set_permissions(Permissions::from_mode(mode))?;
        // Every block of it is there before it is mapped: on a full file system a store to one that is not
        // would end this process by a signal.
        posix_fallocate(&file, 0, FILE_BYTES.cast_signed())?;
        let cells = Arc::new(Mapped::writable(&file, FILE_WORDS)?);
        initialise(&cells);
        let stamp = [0, 1].map(|slot| cell(&cells, slot_start(slot)).load(Ordering::Relaxed));
        let stamp = stamp.into_iter().max().unwrap_or(0);
        Ok(Self { cells, words: Vec::new(), stamp, file })
    }

    /// The file, for its owner, its group and its lock.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// A reader of the same mapping, for this process.
    pub fn reader(&self) -> PageReader {
        PageReader { cells: Arc::clone(&self.cells), words: Vec::new() }
    }

    /// The last state that was written and is whole, by whomever.
    pub fn saved(&self) -> Option<(Snapshot, Vec<SavedDomain>)> {
        let mut words = Vec::new();
        copy(&self.cells, &mut words).ok()?;
        decode_state(&words)
    }

    /// Publishes a snapshot.
    pub fn publish(&mut self, snapshot: &Snapshot) {
        self.words.clear();
        encode_head(snapshot, DOMAIN_WORDS, &mut self.words);
        for domain in snapshot.domains.iter().take(DOMAINS_MAX) {
            encode_domain(domain, &mut self.words);
        }
        self.write();
    }

    /// Keeps a state: the snapshot with each domain's counter, in the same order.
    pub fn keep(&mut self, snapshot: &Snapshot, counters: impl Iterator<Item = (Saved, u64)>) {
        self.words.clear();
        encode_head(snapshot, DOMAIN_WORDS + SAVED_WORDS, &mut self.words);
        for (domain, (saved, scale)) in snapshot.domains.iter().take(DOMAINS_MAX).zip(counters) {
            encode_domain(domain, &mut self.words);
            encode_saved(&saved, scale, &mut self.words);
        }
        self.write();
    }

    fn write(&mut self) {
        // Never zero, which means an invalid slot; a file of nonsense may hold any stamp.
        self.stamp = self.stamp.checked_add(1).unwrap_or(1);
        write(&self.cells, &self.words, self.stamp, &mut |cell, value, order| {
            cell.store(value, order);
        });
    }
}

/// Reads one page, again and again, without a system call.
#[derive(Debug)]
pub struct PageReader {
    cells: Arc<Mapped>,
    words: Vec<u64>,
}

impl PageReader {
    /// Maps the page at `path`.
    ///
    /// # Errors
    /// When there is none, or it may not be read.
    pub fn open(path: &Path) -> Result<Self, PageError> {
        let fail = |source| PageError::Open { path: path.to_owned(), source };
        let file = File::open(path).map_err(fail)?;
        // Only its owner can shorten it: what is mapped stays mapped for as long as the governor
        // does not break its own rule.
        if file.metadata().map_err(fail)?.len() != FILE_BYTES {
            return Err(PageError::Foreign { path: path.to_owned() });
        }
        let cells = Mapped::read_only(&file, FILE_WORDS).map_err(fail)?;
        let head = [0, 1].map(|place| cell(&cells, place).load(Ordering::Acquire));
        if head != [MAGIC, VERSION] {
            return Err(PageError::Foreign { path: path.to_owned() });
        }
        Ok(Self { cells: Arc::new(cells), words: Vec::new() })
    }

    /// The newest snapshot, into one that is used again.
    ///
    /// # Errors
    /// [`PageError::Empty`] before the first one.
    pub fn read(&mut self, snapshot: &mut Snapshot) -> Result<(), PageError> {
        copy(&self.cells, &mut self.words)?;
        decode(&self.words, snapshot).ok_or(PageError::Empty)
    }

    /// The number of the newest write: a cheap way to see that nothing has changed.
    pub fn stamp(&self) -> u64 {
        let current = cell(&self.cells, CURRENT).load(Ordering::Acquire);
        cell(&self.cells, slot_start(current)).load(Ordering::Acquire)
    }
}

/// The file, if it is one of ours that can be used again.
fn reuse(path: &Path) -> io::Result<Option<File>> {
    let mut options = OpenOptions::new();
    let file = match options.read(true).write(true).custom_flags(NO_FOLLOW).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let metadata = file.metadata()?;
    let parent = path.parent().filter(|parent| *parent != Path::new("")).unwrap_or(Path::new("."));
    if !metadata.is_file() || metadata.uid() != parent.metadata()?.uid() {
        let why = "it is not a regular file owned by the owner of its directory";
        return Err(io::Error::other(why));
    }
    Ok((metadata.len() == FILE_BYTES).then_some(file))
}

/// A new file under the name, whole from the start.
fn create(path: &Path) -> io::Result<File> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let new = path.with_file_name(name);
    match std::fs::remove_file(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut options = OpenOptions::new();
    options.read(true).write(true).create_new(true).mode(0o600).custom_flags(NO_FOLLOW);
    let file = options.open(&new)?;
    file.set_len(FILE_BYTES)?;
    std::fs::rename(&new, path)?;
    Ok(file)
}

/// Makes a file of zeros, or of something else, an empty page.
fn initialise(cells: &[AtomicU64]) {
    let head = [0, 1, 2].map(|place| cell(cells, place).load(Ordering::Acquire));
    if head == [MAGIC, VERSION, SLOT_WORDS as u64] {
        return;
    }
    for slot in [0, 1] {
        cell(cells, slot_start(slot)).store(0, Ordering::Release);
    }
    for (place, value) in [(CURRENT, 0), (2, SLOT_WORDS as u64), (1, VERSION), (0, MAGIC)] {
        cell(cells, place).store(value, Ordering::Release);
    }
}

/// All stores of one write, in their order. `store` is given, so that a test can stop half-way.
fn write(
    cells: &[AtomicU64],
    words: &[u64],
    stamp: u64,
    store: &mut dyn FnMut(&AtomicU64, u64, Ordering),
) {
    let words = words.get(..SLOT_WORDS - SLOT_HEAD).unwrap_or(words);
    let next = 1 - cell(cells, CURRENT).load(Ordering::Relaxed).min(1);
    let start = slot_start(next);
    // Crash here, until the stamp is set again: this slot is invalid, and the other one is current.
    store(cell(cells, start), 0, Ordering::Relaxed);
    fence(Ordering::Release);
    store(cell(cells, start + 1), words.len() as u64, Ordering::Relaxed);
    store(cell(cells, start + 2), checksum(words), Ordering::Relaxed);
    for (place, word) in words.iter().enumerate() {
        store(cell(cells, start + SLOT_HEAD + place), *word, Ordering::Relaxed);
    }
    store(cell(cells, start), stamp, Ordering::Release);
    // Crash here: this slot is whole and newer; a reader prefers the current one, the next writer
    // overwrites it.
    store(cell(cells, CURRENT), next, Ordering::Release);
}

/// Copies the current slot, or the other one when that is broken.
fn copy(cells: &[AtomicU64], words: &mut Vec<u64>) -> Result<(), PageError> {
    for attempt in 0..TRIES {
        let current = cell(cells, CURRENT).load(Ordering::Acquire).min(1);
        // The other slot is older; it is of use only where its writer died.
        let slot = if attempt % 4 == 3 { 1 - current } else { current };
        if copy_slot(cells, slot, words) {
            return Ok(());
        }
        std::hint::spin_loop();
    }
    Err(PageError::Empty)
}

fn copy_slot(cells: &[AtomicU64], slot: u64, words: &mut Vec<u64>) -> bool {
    let start = slot_start(slot);
    let stamp = cell(cells, start).load(Ordering::Acquire);
    let length = cell(cells, start + 1).load(Ordering::Relaxed);
    let expected = cell(cells, start + 2).load(Ordering::Relaxed);
    let length = usize::try_from(length).unwrap_or(usize::MAX);
    if stamp == 0 || length > SLOT_WORDS - SLOT_HEAD {
        return false;
    }
    let source = cells.get(start + SLOT_HEAD..start + SLOT_HEAD + length).unwrap_or_default();
    words.clear();
    words.extend(source.iter().map(|word| word.load(Ordering::Relaxed)));
    fence(Ordering::Acquire);
    cell(cells, start).load(Ordering::Relaxed) == stamp && checksum(words) == expected
}

fn slot_start(slot: u64) -> usize {
    if slot == 0 { HEADER_WORDS } else { HEADER_WORDS + SLOT_WORDS }
}

/// A cell of a mapping that has [`FILE_WORDS`] of them.
#[expect(clippy::indexing_slicing, reason = "constants below FILE_WORDS, which every mapping has")]
fn cell(cells: &[AtomicU64], place: usize) -> &AtomicU64 {
    &cells[place]
}

/// FNV-1a over words (Fowler, Noll, Vo): it finds a torn slot, and is no defence against a forger,
/// who cannot write here. Four lanes, so that they overlap.
fn checksum(words: &[u64]) -> u64 {
    const PRIME: u64 = 0x0000_0100_0000_01b3;
    const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
    let mut lanes = [OFFSET, OFFSET ^ 1, OFFSET ^ 2, OFFSET ^ 3];
    for chunk in words.chunks(4) {
        for (lane, word) in lanes.iter_mut().zip(chunk) {
            *lane = (*lane ^ word).wrapping_mul(PRIME);
        }
    }
    lanes.into_iter().fold(words.len() as u64, |sum, lane| (sum ^ lane).wrapping_mul(PRIME))
}

/// A digest of a scale's text, to tell whether a saved counter is of the same kind.
pub fn digest(text: &str) -> u64 {
    let words: Vec<u64> = text.bytes().map(u64::from).collect();
    checksum(&words)
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

fn encode_head(snapshot: &Snapshot, domain_words: usize, words: &mut Vec<u64>) {
    let [id_low, id_high] = [0, 8].map(|from| {
        let mut bytes = [0u8; 8];
        bytes.iter_mut().zip(snapshot.boot_id.iter().skip(from)).for_each(|(to, byte)| *to = *byte);
        u64::from_le_bytes(bytes)
    });
    let filtering = match snapshot.filtering {
        None => 0,
        Some(false) => 1,
        Some(true) => 2,
    };
    words.extend([
        id_low,
        id_high,
        snapshot.started.as_nanos(),
        snapshot.seq,
        snapshot.at.as_nanos(),
        nanos(snapshot.monotonic),
        nanos(snapshot.unix.since_1970()),
        nanos(snapshot.interval),
        snapshot.quantum.as_microjoules(),
        snapshot.missed,
        snapshot.suspends,
        filtering | u64::from(snapshot.simulated) << 2,
        snapshot.domains.len().min(DOMAINS_MAX) as u64,
        domain_words as u64,
        0,
        0,
    ]);
}

fn encode_domain(domain: &DomainTotal, words: &mut Vec<u64>) {
    words.extend(domain.name.words());
    words.extend(domain.key.words());
    let excluded = domain.excluded.map_or(0, Exclusion::code);
    let flags = [domain.stale, domain.stuck, domain.exact, domain.lattice];
    let flags = flags.iter().rev().fold(0, |bits, flag| bits << 1 | u64::from(*flag));
    words.extend([
        u64::from(domain.kind.code())
            | u64::from(domain.source.code()) << 8
            | u64::from(excluded) << 16
            | flags << 24,
        domain.total.as_microjoules(),
        domain.delta.as_microjoules(),
        domain.epoch.as_millis(),
        domain.wraps,
        domain.gaps,
        domain.gap_most.as_microjoules(),
        nanos(domain.gap_time),
        domain.skipped,
        domain.read_at.as_nanos(),
        domain.ceiling.as_watts().to_bits(),
        domain.likely.as_watts().to_bits(),
    ]);
}

fn encode_saved(saved: &Saved, scale: u64, words: &mut Vec<u64>) {
    let halves = |wide: u128| [low(wide), low(wide >> 64)];
    words.extend(halves(saved.total));
    words.extend(halves(saved.shown));
    words.extend([
        saved.count,
        saved.at.as_nanos(),
        saved.since.as_nanos(),
        saved.wraps,
        saved.generation.get(),
        scale,
    ]);
}

#[expect(clippy::cast_possible_truncation, reason = "the lower half is meant")]
fn low(wide: u128) -> u64 {
    wide as u64
}

/// Words, one after the other; zeros after the last.
struct Words<'w>(std::slice::Iter<'w, u64>);

impl Words<'_> {
    fn next(&mut self) -> u64 {
        self.0.next().copied().unwrap_or(0)
    }

    fn time(&mut self) -> Duration {
        Duration::from_nanos(self.next())
    }

    fn energy(&mut self) -> Microjoules {
        Microjoules::new(self.next())
    }

    fn text<const N: usize>(&mut self) -> Text<N> {
        let mut words = [0; N];
        for word in &mut words {
            *word = self.next();
        }
        Text::from_words(words)
    }

    fn wide(&mut self) -> u128 {
        let low = u128::from(self.next());
        low | u128::from(self.next()) << 64
    }
}

/// The snapshot that these words hold; `None` when they hold none.
fn decode(words: &[u64], snapshot: &mut Snapshot) -> Option<()> {
    let each = decode_head(words, snapshot)?;
    snapshot.domains.clear();
    for domain in domains(words, each) {
        snapshot.domains.push(decode_domain(&mut Words(domain.iter()))?);
    }
    Some(())
}

/// The state that these words hold; `None` when they hold none. Any words may be given.
pub fn decode_state(words: &[u64]) -> Option<(Snapshot, Vec<SavedDomain>)> {
    let mut snapshot = Snapshot::default();
    if decode_head(words, &mut snapshot)? != DOMAIN_WORDS + SAVED_WORDS {
        return None;
    }
    let mut saved = Vec::new();
    for domain in domains(words, DOMAIN_WORDS + SAVED_WORDS) {
        let mut words = Words(domain.iter());
        let total = decode_domain(&mut words)?;
        let (ticks, shown) = (words.wide(), words.wide());
        let counter = Saved {
            total: ticks,
            shown,
            count: words.next(),
            at: Moment::from_nanos(words.next()),
            since: Moment::from_nanos(words.next()),
            wraps: words.next(),
            generation: Generation::new(words.next()),
        };
        snapshot.domains.push(total);
        saved.push(SavedDomain { total, counter, scale: words.next() });
    }
    Some((snapshot, saved))
}

fn domains(words: &[u64], each: usize) -> impl Iterator<Item = &[u64]> {
    words.get(HEAD_WORDS..).unwrap_or_default().chunks_exact(each)
}

/// Fills the head; the number of words of each domain, when all of them are there.
fn decode_head(words: &[u64], snapshot: &mut Snapshot) -> Option<usize> {
    let mut words_left = Words(words.get(..HEAD_WORDS)?.iter());
    let next = &mut words_left;
    let id = [next.next().to_le_bytes(), next.next().to_le_bytes()];
    snapshot.boot_id.iter_mut().zip(id.iter().flatten()).for_each(|(to, byte)| *to = *byte);
    snapshot.started = Moment::from_nanos(next.next());
    snapshot.seq = next.next();
    snapshot.at = Moment::from_nanos(next.next());
    snapshot.monotonic = next.time();
    snapshot.unix = UnixTime::new(next.time());
    snapshot.interval = next.time();
    snapshot.quantum = next.energy();
    snapshot.missed = next.next();
    snapshot.suspends = next.next();
    let flags = next.next();
    snapshot.filtering = match flags & 3 {
        1 => Some(false),
        2 => Some(true),
        _ => None,
    };
    snapshot.simulated = flags & 4 != 0;
    let count = usize::try_from(next.next()).ok().filter(|count| *count <= DOMAINS_MAX)?;
    let each = usize::try_from(next.next()).ok()?;
    let known = [DOMAIN_WORDS, DOMAIN_WORDS + SAVED_WORDS].contains(&each);
    (known && words.len() == HEAD_WORDS + count * each).then_some(each)
}

fn decode_domain(words: &mut Words<'_>) -> Option<DomainTotal> {
    let (name, key, packed) = (words.text(), words.text(), words.next());
    let [kind, source, excluded, ..] = packed.to_le_bytes();
    let excluded = match excluded {
        0 => None,
        code => Some(Exclusion::from_code(code)?),
    };
    let flag = |bit: u32| packed >> (24 + bit) & 1 == 1;
    Some(DomainTotal {
        name,
        key,
        kind: Kind::from_code(kind)?,
        source: Source::from_code(source)?,
        excluded,
        total: words.energy(),
        delta: words.energy(),
        epoch: EpochStart::from_millis(words.next()),
        wraps: words.next(),
        gaps: words.next(),
        gap_most: words.energy(),
        gap_time: words.time(),
        skipped: words.next(),
        read_at: Moment::from_nanos(words.next()),
        stale: flag(0),
        stuck: flag(1),
        exact: flag(2),
        lattice: flag(3),
        ceiling: Watts::new(f64::from_bits(words.next())).ok()?,
        likely: Watts::new(f64::from_bits(words.next())).ok()?,
    })
}

#[cfg(test)]
mod tests;
