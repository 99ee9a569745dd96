//! What the governor knows at one instant: a total for each domain, and all that a client needs to
//! know which totals it may subtract and what is missing from the difference.
//!
//! Two totals of one domain may be subtracted when their boot id and their epoch are the same: then
//! the difference is the energy between the two samples. Over different epochs of one boot it is a
//! lower bound, and what is missing is at most the difference of `gap_most`.
//!
//! Out of scope: how a snapshot travels; see [`crate::page`] and [`crate::protocol`].

use std::fmt;
use std::time::Duration;

use carbon_ops_units::{Microjoules, Watts};

use crate::clock::{EpochStart, Moment, UnixTime};
use crate::codes::codes;
use crate::sensor::{Exclusion, Kind};

/// More domains than any machine has: eight sockets with all their domains, and 64 GPUs.
pub const DOMAINS_MAX: usize = 128;

/// A short text that needs no allocation: at most `8 · WORDS` bytes, cut at a character, and at a NUL,
/// which marks its end.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Text<const WORDS: usize>([u64; WORDS]);

impl<const WORDS: usize> Text<WORDS> {
    /// The text, cut to what fits.
    pub fn new(text: &str) -> Self {
        let text = text.split('\0').next().unwrap_or_default();
        let mut words = [0u64; WORDS];
        let mut end = text.len().min(8 * WORDS);
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        let bytes = text.as_bytes().get(..end).unwrap_or_default();
        for (word, chunk) in words.iter_mut().zip(bytes.chunks(8)) {
            let mut padded = [0u8; 8];
            for (to, from) in padded.iter_mut().zip(chunk) {
                *to = *from;
            }
            *word = u64::from_le_bytes(padded);
        }
        Self(words)
    }

    pub(crate) fn words(&self) -> &[u64; WORDS] {
        &self.0
    }

    pub(crate) fn from_words(words: [u64; WORDS]) -> Self {
        Self(words)
    }
}

impl<const WORDS: usize> fmt::Display for Text<WORDS> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = self.0.iter().flat_map(|word| word.to_le_bytes()).take_while(|byte| *byte != 0);
        let mut buffer = [0u8; 64];
        let mut length = 0;
        for (to, from) in buffer.iter_mut().zip(bytes) {
            *to = from;
            length += 1;
        }
        f.write_str(str::from_utf8(buffer.get(..length).unwrap_or_default()).unwrap_or("?"))
    }
}

impl<const WORDS: usize> fmt::Debug for Text<WORDS> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.to_string(), f)
    }
}

/// Where a total is read from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// The kernel's powercap files.
    Sysfs,
    /// Registers of the processor.
    Msr,
    /// The kernel's perf events.
    Perf,
    /// NVIDIA's management library.
    Nvml,
    /// Another one, of a later version.
    Other,
    /// Energies and powers of the kernel's hardware monitoring.
    Hwmon,
}

codes! { Source {
    Sysfs = 0 "sysfs",
    Msr = 1 "msr",
    Perf = 2 "perf",
    Nvml = 3 "nvml",
    Other = 4 "other",
    Hwmon = 5 "hwmon",
} }

impl Source {
    /// By the name of a [`crate::sensor::Backend`].
    pub fn of(name: &str) -> Self {
        Self::from_word(name).unwrap_or(Self::Other)
    }
}

/// The total of one domain.
#[derive(Debug, Clone, Copy, PartialEq)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts, by name")]
pub struct DomainTotal {
    /// `package-0`, `dram-0`, `gpu-0`.
    pub name: Text<3>,
    /// The name with its source, as carbon-ops 0.1 had it: `package-0:intel-rapl:0`.
    pub key: Text<6>,
    /// What it measures.
    pub kind: Kind,
    /// Where it is read.
    pub source: Source,
    /// Why it is no part of the host's sum; `None` when it is.
    pub excluded: Option<Exclusion>,
    /// Energy since some time before the first sample of this boot. Never falls, never wraps; a
    /// multiple of the snapshot's quantum.
    pub total: Microjoules,
    /// Growth of the total since the sample before.
    pub delta: Microjoules,
    /// Changes whenever energy was lost.
    pub epoch: EpochStart,
    /// Wraps that were proven and counted.
    pub wraps: u64,
    /// Breaks in this boot: how often energy was lost.
    pub gaps: u64,
    /// The most that was lost in them, in all; the least is nothing.
    pub gap_most: Microjoules,
    /// Their length, in all.
    pub gap_time: Duration,
    /// Readings that were not believed or failed.
    pub skipped: u64,
    /// The last good reading.
    pub read_at: Moment,
    /// The counter cannot be read at present, so that the total stands still.
    pub stale: bool,
    /// The counter does not move while it should.
    pub stuck: bool,
    /// The total is free of the kernel's rounding, since the unit of the hardware is known.
    pub exact: bool,
    /// Corrupt readings can be told by their value.
    pub lattice: bool,
    /// Power above which its readings are not believed, until they show otherwise.
    pub ceiling: Watts,
    /// The most power that it is likely to draw.
    pub likely: Watts,
}

impl DomainTotal {
    /// Whether it is part of the host's sum.
    pub fn is_counted(&self) -> bool {
        self.excluded.is_none()
    }
}

/// All totals at one instant.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Snapshot {
    /// The kernel's boot id.
    pub boot_id: [u8; 16],
    /// Moment at which this governor was started, which tells one from the next.
    pub started: Moment,
    /// Number of the sample in this boot; restarts go on counting.
    pub seq: u64,
    /// When it was taken, on the clock that runs on in suspend.
    pub at: Moment,
    /// The same on the clock that does not (`CLOCK_MONOTONIC`).
    pub monotonic: Duration,
    /// The same in Unix time, for people.
    pub unix: UnixTime,
    /// Time between samples, as these are published.
    pub interval: Duration,
    /// Totals are rounded down to multiples of this.
    pub quantum: Microjoules,
    /// Samples that were not taken in time, in this boot.
    pub missed: u64,
    /// Times that the machine was suspended, as far as was seen.
    pub suspends: u64,
    /// Whether the processor blurs its counters (Intel `IA32_MISC_PACKAGE_CTLS`, bit 0); `None` when
    /// that could not be found out.
    pub filtering: Option<bool>,
    /// The counters belong to no real machine.
    pub simulated: bool,
    /// In the order in which they were found.
    pub domains: Vec<DomainTotal>,
}

/// A sample that is older than this, and four intervals, is not how things stand.
const STALE_AFTER: Duration = Duration::from_millis(500);

impl Snapshot {
    /// Whether nothing was sampled for so long that this is not how things stand; `now` is the time on
    /// `CLOCK_MONOTONIC`. Whoever serves or takes a snapshot asks, whichever way it came: a total that stands
    /// still is no energy of nothing.
    pub fn is_stale(&self, now: Duration) -> bool {
        now.saturating_sub(self.monotonic) > STALE_AFTER + self.interval * 4
    }

    /// The same without its domains, which may be many.
    #[must_use]
    pub(crate) fn without_domains(&self) -> Self {
        Self { domains: Vec::new(), ..*self }
    }

    /// The sum of all domains that may be summed.
    pub fn host(&self) -> Microjoules {
        self.domains.iter().filter(|domain| domain.is_counted()).map(|domain| domain.total).sum()
    }

    /// The boot id as the kernel writes it, without its dashes.
    pub(crate) fn boot_id_hex(&self) -> String {
        use fmt::Write as _;
        self.boot_id.iter().fold(String::with_capacity(32), |mut hex, byte| {
            let _ = write!(hex, "{byte:02x}");
            hex
        })
    }
}

/// The sixteen bytes of a boot id, with or without dashes.
pub fn parse_boot_id(text: &str) -> Option<[u8; 16]> {
    let digits: Vec<u8> = text.trim().bytes().filter(|byte| *byte != b'-').collect();
    let mut id = [0u8; 16];
    if digits.len() != 32 {
        return None;
    }
    for (byte, pair) in id.iter_mut().zip(digits.chunks(2)) {
        *byte = u8::from_str_radix(str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_cut_at_characters() {
        assert_eq!(Text::<3>::new("package-0").to_string(), "package-0");
        assert_eq!(Text::<1>::new("1234567é").to_string(), "1234567");
        assert_eq!(Text::<1>::new("").to_string(), "");
        assert_eq!(Text::<1>::new("12345678").to_string(), "12345678");
    }

    #[test]
    fn boot_ids_are_read_with_and_without_dashes() {
        let id = parse_boot_id("6c1f2a54-6a0e-4c39-9d9b-0d6f4c1f7e11\n").unwrap();
        assert_eq!(parse_boot_id("6c1f2a546a0e4c399d9b0d6f4c1f7e11"), Some(id));
        assert_eq!(Snapshot { boot_id: id, ..Snapshot::default() }.boot_id_hex().len(), 32);
        assert_eq!(parse_boot_id("6c1f"), None);
        assert_eq!(parse_boot_id("zz1f2a546a0e4c399d9b0d6f4c1f7e11"), None);
    }
}
