//! What `/proc` says of a process and of the memory (Linux `Documentation/filesystems/proc.rst`, table 1-4
//! and `meminfo`).
//!
//! Out of scope: `/proc/stat` (see [`crate::cpu_time`]), and command lines, which hold secrets.

use std::fs;

use crate::host_root::HostRoot;

/// `/proc/PID/stat`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stat<'a> {
    /// The short name, as the process has it: any bytes.
    pub(crate) name: &'a [u8],
    /// Whether it has ended, waited for or not.
    pub(crate) has_ended: bool,
    /// The process that would wait for it.
    pub(crate) parent: i32,
    /// Its session.
    pub(crate) session: i32,
    /// Ticks of CPU time of its own.
    pub(crate) own_ticks: u64,
    /// Ticks of CPU time of the children that it has waited for.
    pub(crate) reaped_ticks: u64,
    /// When it started, in ticks since boot; not told by what stands in for a kernel.
    pub(crate) start_ticks: Option<u64>,
    /// Pages of resident memory; not told by what stands in for a kernel.
    pub(crate) resident_pages: Option<u64>,
}

impl<'a> Stat<'a> {
    /// The name stands in parentheses and may hold any byte, so that it ends at the last `)`. `None` for a
    /// text that is cut off before the times.
    pub(crate) fn parse(text: &'a [u8]) -> Option<Self> {
        let open = text.iter().position(|&byte| byte == b'(')?;
        let close = text.iter().rposition(|&byte| byte == b')')?;
        let mut fields = text
            .get(close + 1..)?
            .split(|&byte| byte == b' ' || byte == b'\n')
            .filter(|field| !field.is_empty());
        // By the numbers of the table, in which the state is field 3.
        let mut at = 2;
        let mut field = |number: usize| {
            let skipped = number.checked_sub(at + 1)?;
            at = number;
            fields.nth(skipped)
        };
        let state = field(3)?;
        let parent = signed(field(4)?)?;
        let session = signed(field(6)?)?;
        let [user, system, waited_user, waited_system] =
            [field(14)?, field(15)?, field(16)?, field(17)?].map(number);
        Some(Self {
            name: text.get(open + 1..close)?,
            has_ended: matches!(state, b"Z" | b"X"),
            parent,
            session,
            own_ticks: user?.saturating_add(system?),
            reaped_ticks: waited_user?.saturating_add(waited_system?),
            start_ticks: field(22).and_then(number),
            resident_pages: field(24).and_then(number),
        })
    }
}

fn number(digits: &[u8]) -> Option<u64> {
    str::from_utf8(digits).ok()?.parse().ok()
}

fn signed(digits: &[u8]) -> Option<i32> {
    str::from_utf8(digits).ok()?.parse().ok()
}

/// Whether a process has ended, waited for or not; also when there is none that we can see.
pub fn has_ended(host: &HostRoot, pid: i32) -> bool {
    let stat = fs::read(host.path(&format!("/proc/{pid}/stat"))).ok();
    stat.and_then(|stat| Stat::parse(&stat).map(|stat| stat.has_ended)).unwrap_or(true)
}

/// `/proc/meminfo`, as far as it is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Memory {
    /// All of it, in bytes.
    pub total_bytes: Option<u64>,
    /// What programs could get, in bytes.
    pub available_bytes: Option<u64>,
}

impl Memory {
    /// Of a host; a file that is not there tells nothing.
    pub fn read(host: &HostRoot) -> Self {
        host.text("/proc/meminfo").map_or_else(|_| Self::default(), |text| Self::parse(&text))
    }

    /// The kernel counts in KiB, which it calls kB.
    fn parse(text: &str) -> Self {
        let of = |name: &str| {
            let rest = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
            let kib = rest.trim().trim_end_matches("kB").trim_end().parse::<u64>().ok()?;
            Some(kib.saturating_mul(1024))
        };
        Self { total_bytes: of("MemTotal"), available_bytes: of("MemAvailable") }
    }

    /// What is in use, in bytes.
    pub fn used_bytes(&self) -> Option<u64> {
        Some(self.total_bytes?.saturating_sub(self.available_bytes?))
    }
}

/// Processors of which the clock is read; on larger machines every second, third, … of them.
const CLOCKS_MAX: u32 = 64;

/// Clock of so many processors in MHz, their mean; `None` where the kernel does not tell. It tells each in
/// kHz where it governs it, else in `/proc/cpuinfo` in MHz.
pub fn cpu_frequency_mhz(host: &HostRoot, cpus: u32) -> Option<f64> {
    let step = usize::try_from(cpus.div_ceil(CLOCKS_MAX)).unwrap_or(1).max(1);
    let governed = (0..cpus).step_by(step).filter_map(|cpu| {
        let file = format!("/sys/devices/system/cpu/cpu{cpu}/cpufreq/scaling_cur_freq");
        host.text(&file).ok()?.parse::<f64>().ok().map(|khz| khz / 1e3)
    });
    let governed: Vec<f64> = governed.collect();
    let text = if governed.is_empty() { host.text("/proc/cpuinfo").ok() } else { None };
    let told = text.iter().flat_map(|text| text.lines()).filter_map(|line| {
        let (name, value) = line.split_once(':')?;
        (name.trim() == "cpu MHz").then(|| value.trim().parse::<f64>().ok())?
    });
    let (sum, count) = governed
        .iter()
        .copied()
        .chain(told)
        .fold((0.0, 0.0), |(sum, count), mhz| (sum + mhz, count + 1.0));
    (count > 0.0).then_some(sum / count)
}

/// One line of `/proc/self/mountinfo` (`proc_pid_mountinfo(5)`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mount {
    pub(crate) options: String,
    pub(crate) kind: String,
}

/// The last mount at a place.
pub(crate) fn mount(mountinfo: &str, place: &str) -> Option<Mount> {
    let fields = mountinfo.lines().rev().map(|line| line.split(' ').collect::<Vec<_>>());
    let mut found = fields.filter(|fields| fields.get(4) == Some(&place)).map(|fields| {
        let kind = fields.iter().skip_while(|field| **field != "-").nth(1);
        let options = fields.get(5).copied().unwrap_or_default().to_owned();
        Mount { options, kind: kind.copied().unwrap_or_default().to_owned() }
    });
    found.next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_name_may_hold_anything() {
        let text = b"12 (a) b (c) S 7 12 13 0 -1 4194304 100 0 0 0 3 4 5 6 20 0 1 0 100 0 9 0\n";
        let expected = Stat {
            name: b"a) b (c",
            has_ended: false,
            parent: 7,
            session: 13,
            own_ticks: 7,
            reaped_ticks: 11,
            start_ticks: Some(100),
            resident_pages: Some(9),
        };
        assert_eq!(Stat::parse(text), Some(expected));
        let name = b"1 (\xff) Z) R 1 1 1 0 -1 0 0 0 0 0 1 1 1 1";
        let stat = Stat::parse(name).unwrap();
        assert_eq!((stat.name, stat.has_ended), (&b"\xff) Z"[..], false));
    }

    #[test]
    fn what_a_stat_does_not_say_is_none_and_one_that_is_torn_is_none_at_all() {
        let short = Stat::parse(b"1 (x) Z 2 0 0 0 0 0 0 0 0 0 1 2 3 4 0 0").unwrap();
        assert_eq!((short.start_ticks, short.resident_pages, short.has_ended), (None, None, true));
        for torn in ["", "7", "7 (torn", "7 (x) S", "7 (x) S 1 1 1 0 -1 0 0 0 0 0 1 2 3", "7 )x("] {
            assert_eq!(Stat::parse(torn.as_bytes()), None, "{torn}");
        }
    }

    #[test]
    fn memory_that_is_not_told_is_none() {
        let text = "MemTotal:       16384256 kB\nMemFree: 1 kB\nMemAvailable:   4096 kB\n";
        let memory = Memory::parse(text);
        assert_eq!(
            (memory.total_bytes, memory.available_bytes),
            (Some(16_777_478_144), Some(4_194_304))
        );
        assert_eq!(memory.used_bytes(), Some(16_773_283_840));
        assert_eq!(Memory::parse("MemTotal: 8 kB\n").used_bytes(), None);
        assert_eq!(Memory::parse("MemTotal: many\n"), Memory::default());
        assert_eq!(Memory::read(&HostRoot::at("/nowhere")), Memory::default());
    }
}
