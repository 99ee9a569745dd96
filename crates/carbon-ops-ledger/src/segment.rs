//! A ledger in pieces: sealed segments in order, then the active file; together one stream of bytes.
//!
//! A segment is named by the numbers of its first and last line, so that a directory listing shows
//! what is there and what is missing, and no index has to be kept true.
//!
//! Out of scope: sealing, which is `storage.rs`, and judging lines.

use std::fmt;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::str::FromStr;

use carbon_ops_proof::entry::MAX_LINE_BYTES;
use carbon_ops_proof::seek::number;
use carbon_ops_proof::verify::FaultReport;

use crate::files::{Files, Open, RealFiles};
use crate::names::{LEDGER_FILE, left_behind};

#[cfg(test)]
mod tests;

/// The directory of sealed segments, inside the ledger's.
pub const SEGMENT_DIR: &str = "seg";
/// The end of a segment's name.
const ENDING: &str = ".ndjson";
/// How often a directory is looked at again that a writer changes meanwhile.
const ATTEMPTS: usize = 100;
/// How much of two files is compared at a time.
const COMPARED_BYTES: usize = 1 << 16;

/// The name of a sealed segment: `<first seq>-<last seq>.ndjson`, each of ten digits or more.
///
/// ```
/// use carbon_ops_ledger::segment::SegmentName;
/// let name: SegmentName = "0000000000-0000001023.ndjson".parse().unwrap();
/// assert_eq!((name.first(), name.last()), (0, 1023));
/// assert!("0-1023.ndjson".parse::<SegmentName>().is_err());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SegmentName {
    first: u64,
    last: u64,
}

/// A text that names no segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not the name of a segment")]
pub struct NotASegmentName;

impl SegmentName {
    /// The segment of the lines numbered `first` to `last`; none when those are no lines.
    #[must_use]
    pub fn new(first: u64, last: u64) -> Option<Self> {
        (first <= last).then_some(Self { first, last })
    }

    /// The number of its first line.
    #[must_use]
    pub fn first(self) -> u64 {
        self.first
    }

    /// The number of its last line.
    #[must_use]
    pub fn last(self) -> u64 {
        self.last
    }

    /// Its name from the ledger's directory.
    #[must_use]
    pub fn path(self) -> String {
        format!("{SEGMENT_DIR}/{self}")
    }
}

impl fmt::Display for SegmentName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:010}-{:010}{ENDING}", self.first, self.last)
    }
}

impl FromStr for SegmentName {
    type Err = NotASegmentName;

    fn from_str(text: &str) -> Result<Self, NotASegmentName> {
        let numbers = text.strip_suffix(ENDING).and_then(|text| text.split_once('-'));
        let (first, last) = numbers.ok_or(NotASegmentName)?;
        let name = first.parse().ok().zip(last.parse().ok());
        let name = name.and_then(|(first, last)| Self::new(first, last)).ok_or(NotASegmentName)?;
        // One spelling per segment.
        if name.to_string() == text { Ok(name) } else { Err(NotASegmentName) }
    }
}

/// What is wrong with the segments as files, at the line numbered `seq`; what is wrong in their lines a
/// verification finds.
fn fault(seq: u64, reason: String) -> FaultReport {
    FaultReport::outside(seq.saturating_add(1), "segment", reason)
}

/// Puts names into order, and tells which lines are missing or there more than once.
fn arrange(names: Vec<String>) -> (Vec<SegmentName>, Vec<FaultReport>) {
    let (mut segments, mut faults) = (Vec::<SegmentName>::new(), Vec::new());
    for name in names {
        match name.parse() {
            Ok(segment) => segments.push(segment),
            // Others may keep things here, but not what looks like a part of the ledger.
            Err(NotASegmentName) if name.ends_with(ENDING) && !name.starts_with('.') => {
                let reason = format!("{SEGMENT_DIR}/{name} is not the name of a segment");
                faults.push(fault(0, reason));
            }
            Err(NotASegmentName) => {}
        }
    }
    segments.sort_unstable();
    let mut next = 0;
    for segment in &segments {
        let (first, path) = (segment.first, segment.path());
        if first > next {
            let (from, to) = (next, first - 1);
            let reason = format!("the segment of the lines with seq {from} to {to} is missing");
            faults.push(fault(next, format!("{reason} before {path}")));
        } else if first < next {
            let reason = format!("{path} holds lines from seq {first} on that others hold too");
            faults.push(fault(first, reason));
        }
        next = next.max(segment.last.saturating_add(1));
    }
    (segments, faults)
}

/// A sealed segment that is open.
#[derive(Debug)]
struct Sealed<H> {
    name: SegmentName,
    file: H,
    /// Where it begins in the stream.
    start: u64,
    len: u64,
    writable: bool,
}

/// The open files of a ledger, as one stream.
#[derive(Debug)]
pub(crate) struct Parts<H> {
    sealed: Vec<Sealed<H>>,
    sealed_len: u64,
    active: Option<H>,
    /// Whether the active file is the last segment once more: a crash interrupted its sealing.
    doubled: bool,
    /// Whether there is a directory of segments, be it empty.
    segmented: bool,
    faults: Vec<FaultReport>,
}

impl<H> Parts<H> {
    /// A ledger that is one bare file.
    fn bare(file: H) -> Self {
        let (sealed, active, faults) = (Vec::new(), Some(file), Vec::new());
        Self { sealed, sealed_len: 0, active, doubled: false, segmented: false, faults }
    }

    /// Opens all files of a ledger, the active one for `how`. Writers that do not look at the lock
    /// may be sealing meanwhile; what is returned is a state that there was.
    pub(crate) fn open<F: Files<File = H>>(files: &F, how: Open) -> io::Result<Self> {
        for _ in 0..ATTEMPTS {
            let names = listed(files)?;
            let segmented = names.is_some();
            let (arranged, faults) = arrange(names.clone().unwrap_or_default());
            let Some((sealed, sealed_len)) = open_sealed(files, &arranged)? else { continue };
            let active = files.open(LEDGER_FILE, how)?;
            if listed(files)? != names {
                continue;
            }
            let mut parts = Self { sealed, sealed_len, active, doubled: false, segmented, faults };
            parts.doubled = parts.is_doubled(files)?;
            return Ok(parts);
        }
        Err(io::Error::new(io::ErrorKind::ResourceBusy, "its segments change all the time"))
    }

    /// Whether the active file is the last segment: the same file, or, in a copy, the same bytes.
    fn is_doubled<F: Files<File = H>>(&self, files: &F) -> io::Result<bool> {
        let (Some(last), Some(active)) = (self.sealed.last(), &self.active) else {
            return Ok(false);
        };
        let (one, other) = (files.stat(&last.file)?, files.stat(active)?);
        if one.identity == other.identity {
            return Ok(true);
        }
        if one.len != other.len || one.len == 0 {
            return Ok(false);
        }
        let (mut left, mut right) = (vec![0; COMPARED_BYTES], vec![0; COMPARED_BYTES]);
        let mut offset = 0;
        // Two segments differ in their first line already.
        while offset < one.len {
            let len = usize::try_from(one.len - offset)
                .map_or(COMPARED_BYTES, |rest| rest.min(COMPARED_BYTES));
            left.truncate(len);
            right.truncate(len);
            files.read_at(&last.file, offset, &mut left)?;
            files.read_at(active, offset, &mut right)?;
            if left != right {
                return Ok(false);
            }
            offset += len as u64;
        }
        Ok(true)
    }

    /// The active file, unless it is the last segment once more.
    pub(crate) fn active(&self) -> Option<&H> {
        self.active.as_ref().filter(|_| !self.doubled)
    }

    pub(crate) fn active_mut(&mut self) -> Option<&mut H> {
        self.active.as_mut().filter(|_| !self.doubled)
    }

    pub(crate) fn has_sealed(&self) -> bool {
        !self.sealed.is_empty()
    }

    /// How many bytes are sealed.
    pub(crate) fn sealed_len(&self) -> u64 {
        self.sealed_len
    }

    /// The number of the first line that is not sealed.
    pub(crate) fn next_seq(&self) -> u64 {
        self.sealed.last().map_or(0, |sealed| sealed.name.last.saturating_add(1))
    }

    /// The last segment, if somebody may write to it still.
    pub(crate) fn unprotected(&self) -> Option<SegmentName> {
        self.sealed.last().filter(|sealed| sealed.writable).map(|sealed| sealed.name)
    }

    pub(crate) fn faults(&self) -> &[FaultReport] {
        &self.faults
    }

    /// How long the stream is; none when there is no file at all.
    pub(crate) fn len<F: Files<File = H>>(&self, files: &F) -> io::Result<Option<u64>> {
        if self.active.is_none() && self.sealed.is_empty() {
            return Ok(None);
        }
        let active =
            self.active().map_or(Ok(0), |file| Ok::<_, io::Error>(files.stat(file)?.len))?;
        Ok(Some(self.sealed_len + active))
    }

    /// Fills `bytes` from an offset of the stream.
    pub(crate) fn read_at<F: Files<File = H>>(
        &self,
        files: &F,
        mut offset: u64,
        mut bytes: &mut [u8],
    ) -> io::Result<()> {
        let after = self.sealed.partition_point(|sealed| sealed.start <= offset);
        for sealed in self.sealed.get(after.saturating_sub(1)..).unwrap_or_default() {
            if bytes.is_empty() {
                return Ok(());
            }
            let within = offset - sealed.start;
            let there = sealed.len.saturating_sub(within);
            let here = usize::try_from(there).map_or(bytes.len(), |there| there.min(bytes.len()));
            if here == 0 {
                // It lies before what is wanted.
                continue;
            }
            let (now, later) = bytes.split_at_mut(here);
            if !now.is_empty() {
                files.read_at(&sealed.file, within, now)?;
            }
            offset += here as u64;
            bytes = later;
        }
        if bytes.is_empty() {
            return Ok(());
        }
        let active = self.active().ok_or(io::ErrorKind::UnexpectedEof)?;
        files.read_at(active, offset - self.sealed_len, bytes)
    }

    /// Whether each segment holds the lines that its name says, by the numbers that its first and
    /// last line give themselves; and whether the active file goes on from there.
    fn check_names<F: Files<File = H>>(&self, files: &F) -> io::Result<Vec<FaultReport>> {
        let mut faults = Vec::new();
        for Sealed { name, file, len, .. } in &self.sealed {
            let (first, last) = ends(files, file, *len)?;
            if (first, last) != (Some(name.first), Some(name.last)) {
                let reason = format!("{} does not hold the lines that its name says", name.path());
                faults.push(fault(name.first, reason));
            }
        }
        if let Some(active) = self.active()
            && self.segmented
        {
            let (next, len) = (self.next_seq(), files.stat(active)?.len);
            if let (Some(first), _) = ends(files, active, len)?
                && first > next
            {
                let to = first - 1;
                let reason = format!("the segment of the lines with seq {next} to {to} is missing");
                faults.push(fault(next, format!("{reason} before {LEDGER_FILE}")));
            }
        }
        Ok(faults)
    }
}

fn listed<F: Files>(files: &F) -> io::Result<Option<Vec<String>>> {
    let mut names = files.list(SEGMENT_DIR)?;
    if let Some(names) = &mut names {
        names.sort_unstable();
    }
    Ok(names)
}

/// Opens segments; none when one has gone since it was listed.
#[expect(clippy::type_complexity, reason = "a pair that is taken apart at once")]
fn open_sealed<F: Files>(
    files: &F,
    names: &[SegmentName],
) -> io::Result<Option<(Vec<Sealed<F::File>>, u64)>> {
    let (mut sealed, mut start) = (Vec::new(), 0);
    for name in names {
        let Some(file) = files.open(&name.path(), Open::Read)? else { return Ok(None) };
        let stat = files.stat(&file)?;
        let (len, writable) = (stat.len, stat.writable);
        sealed.push(Sealed { name: *name, file, start, len, writable });
        start += len;
    }
    Ok(Some((sealed, start)))
}

/// The numbers that the first and the last line of a file give themselves. A last line without its
/// newline has none: what is sealed ends with one.
fn ends<F: Files>(files: &F, file: &F::File, len: u64) -> io::Result<(Option<u64>, Option<u64>)> {
    let most = usize::try_from(len).map_or(MAX_LINE_BYTES + 2, |len| len.min(MAX_LINE_BYTES + 2));
    let mut bytes = vec![0; most];
    files.read_at(file, 0, &mut bytes)?;
    let first = bytes.split(|byte| *byte == b'\n').next().and_then(number);
    files.read_at(file, len - most as u64, &mut bytes)?;
    let body = bytes.strip_suffix(b"\n");
    let last = body.and_then(|body| body.rsplit(|byte| *byte == b'\n').next()).and_then(number);
    Ok((first, last))
}

/// The lines of a ledger are gone, and these files beside them are still there.
#[derive(Debug, thiserror::Error)]
#[error("its lines are gone; what they left beside them is there: {0}")]
pub struct LinesGone(String);

/// A ledger to read from, whether it is one file or many: the state that it had when it was opened.
#[derive(Debug)]
pub struct LedgerReader {
    files: RealFiles,
    parts: Parts<std::fs::File>,
    len: u64,
    position: u64,
}

impl LedgerReader {
    /// Opens the ledger in a directory, or that of a file `ledger.ndjson` in it; any other file is
    /// taken to be a whole ledger of its own.
    ///
    /// # Errors
    ///
    /// When there is no ledger or it cannot be opened.
    pub fn open(path: &Path) -> io::Result<Self> {
        let of_dir = if path.is_dir() {
            Some(path)
        } else if path.file_name().is_some_and(|name| name == LEDGER_FILE) {
            Some(crate::durable::parent_of(path))
        } else {
            None
        };
        let files = RealFiles::new(of_dir.unwrap_or(path));
        let parts = match of_dir {
            Some(_) => Parts::open(&files, Open::Read)?,
            None => Parts::bare(open_regular(path)?),
        };
        let Some(len) = parts.len(&files)? else {
            let left = left_behind(files.list("")?.unwrap_or_default());
            return Err(match &left[..] {
                [] => nix::Error::ENOENT.into(),
                _ => io::Error::new(io::ErrorKind::NotFound, LinesGone(left.join(", "))),
            });
        };
        Ok(Self { files, parts, len, position: 0 })
    }

    /// How long the ledger was when it was opened.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.len
    }

    /// Where the active file begins: how long the sealed segments are together.
    #[must_use]
    pub fn active(&self) -> u64 {
        self.parts.sealed_len()
    }

    /// Reads exactly `len` bytes from `offset`.
    ///
    /// # Errors
    ///
    /// When there are fewer, or reading fails.
    pub fn read_at(&self, offset: u64, len: usize) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; len];
        self.parts.read_at(&self.files, offset, &mut bytes)?;
        Ok(bytes)
    }

    /// What is wrong with the segments as files: missing, doubled, overlapping, renamed. Looks at
    /// their names and at the first and last line of each.
    ///
    /// # Errors
    ///
    /// When reading fails.
    pub fn segment_faults(&self) -> io::Result<Vec<FaultReport>> {
        let mut faults = self.parts.faults().to_vec();
        faults.extend(self.parts.check_names(&self.files)?);
        faults.sort_by_key(|fault| fault.line);
        Ok(faults)
    }
}

/// A file that somebody named, by whatever links; a pipe would be waited for, and cannot be read twice.
fn open_regular(path: &Path) -> io::Result<std::fs::File> {
    let flags = nix::fcntl::OFlag::O_NONBLOCK.bits();
    let file = std::fs::OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    if file.metadata()?.is_file() {
        return Ok(file);
    }
    Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file"))
}

impl Read for LedgerReader {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let rest = self.len.saturating_sub(self.position);
        let len = usize::try_from(rest).map_or(bytes.len(), |rest| rest.min(bytes.len()));
        let bytes = bytes.get_mut(..len).unwrap_or_default();
        self.parts.read_at(&self.files, self.position, bytes)?;
        self.position += len as u64;
        Ok(len)
    }
}

impl Seek for LedgerReader {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let position = match to {
            SeekFrom::Start(offset) => Some(offset),
            SeekFrom::End(offset) => self.len.checked_add_signed(offset),
            SeekFrom::Current(offset) => self.position.checked_add_signed(offset),
        };
        self.position = position.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.position)
    }
}
