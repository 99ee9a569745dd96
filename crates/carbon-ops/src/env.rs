//! The edge to the outside: environment variables, the wall clock, randomness and user ids enter
//! the program here and nowhere else.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result};
use carbon_ops_grid::fetch;
use carbon_ops_meter::clock::Moment;

/// All that the program takes from its surroundings, taken once.
#[derive(Debug, Clone)]
pub struct Env {
    variables: BTreeMap<String, String>,
    /// Effective user id 0.
    pub is_root: bool,
    /// `sysconf(_SC_CLK_TCK)`.
    pub ticks_per_second: u32,
    /// `sysconf(_SC_PAGESIZE)`.
    pub page_bytes: u64,
}

impl Env {
    /// Of this process. Variables that are no UTF-8 are left out, with their names.
    pub fn real() -> Self {
        let text = |value: std::ffi::OsString| value.into_string().ok();
        let variables =
            std::env::vars_os().filter_map(|(name, value)| Some((text(name)?, text(value)?)));
        let ticks = nix::unistd::sysconf(nix::unistd::SysconfVar::CLK_TCK).ok().flatten();
        let page = nix::unistd::sysconf(nix::unistd::SysconfVar::PAGE_SIZE).ok().flatten();
        Self {
            variables: variables.collect(),
            is_root: nix::unistd::geteuid().is_root(),
            ticks_per_second: ticks.and_then(|n| u32::try_from(n).ok()).unwrap_or(100),
            page_bytes: page.and_then(|n| u64::try_from(n).ok()).unwrap_or(4096),
        }
    }

    /// Of this process, without its variables: nothing that is set outside changes what a library does.
    pub fn without_variables() -> Self {
        Self { variables: BTreeMap::new(), ..Self::real() }
    }

    /// An environment variable that is set and not empty.
    pub fn variable(&self, name: &str) -> Option<&str> {
        self.variables.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// The names of all variables that are set, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.variables.keys().map(String::as_str)
    }

    /// `$XDG_DATA_HOME/carbon-ops`.
    pub fn data_home(&self) -> Option<PathBuf> {
        Some(self.xdg("XDG_DATA_HOME", ".local/share")?.join("carbon-ops"))
    }

    /// `$XDG_CONFIG_HOME/carbon-ops`.
    pub fn config_home(&self) -> Option<PathBuf> {
        Some(self.xdg("XDG_CONFIG_HOME", ".config")?.join("carbon-ops"))
    }

    /// `$XDG_CACHE_HOME/carbon-ops`.
    pub fn cache_home(&self) -> Option<PathBuf> {
        Some(self.xdg("XDG_CACHE_HOME", ".cache")?.join("carbon-ops"))
    }

    /// Relative paths in these variables are invalid and ignored (XDG Base Directory 0.8).
    fn xdg(&self, name: &str, below_home: &str) -> Option<PathBuf> {
        let absolute = |name| {
            self.variable(name).map(PathBuf::from).filter(|path: &PathBuf| path.is_absolute())
        };
        absolute(name).or_else(|| Some(absolute("HOME")?.join(below_home)))
    }

    /// How many threads can run at once here; one when the system does not tell.
    pub fn threads() -> NonZeroUsize {
        std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN)
    }

    /// Random bytes from the operating system.
    pub fn random<const N: usize>() -> Result<[u8; N]> {
        let mut bytes = [0; N];
        getrandom::fill(&mut bytes).context("no randomness from the operating system")?;
        Ok(bytes)
    }

    /// `CLOCK_MONOTONIC`, which the governor's samples are stamped with.
    pub fn monotonic() -> Duration {
        let clock = nix::time::ClockId::CLOCK_MONOTONIC;
        clock.now().map_or(Duration::ZERO, Duration::from)
    }

    /// `CLOCK_BOOTTIME`, by which energy is integrated where a GPU tells its power only.
    pub fn boot_time() -> Moment {
        let since_boot = nix::time::ClockId::CLOCK_BOOTTIME.now().map(Duration::from);
        let nanoseconds = since_boot.map_or(0, |time| time.as_nanos());
        Moment::from_nanos(u64::try_from(nanoseconds).unwrap_or(u64::MAX))
    }

    /// The wall clock.
    #[expect(clippy::disallowed_methods, reason = "the one place where it is read")]
    pub fn now() -> jiff::Timestamp {
        jiff::Timestamp::now()
    }
}

/// The clocks, for providers of intensities.
#[derive(Debug, Clone, Copy)]
pub struct Clocks;

impl fetch::Clock for Clocks {
    fn now(&self) -> jiff::Timestamp {
        Env::now()
    }

    fn elapsed(&self) -> Duration {
        Env::monotonic()
    }

    fn sleep(&self, duration: Duration) {
        std::thread::sleep(duration);
    }
}

/// Randomness for pauses that must not fall together.
#[derive(Debug, Clone, Copy)]
pub struct Dice;

impl fetch::Randomness for Dice {
    /// A system without randomness pauses as long as any: only the spread is lost.
    fn unit(&self) -> f64 {
        Env::random().map_or(0.5, |bytes| f64::from(u32::from_le_bytes(bytes)) / 4_294_967_296.0)
    }
}

#[cfg(test)]
impl Env {
    /// Of variables that a test names.
    pub fn fake(variables: &[(&str, &str)]) -> Self {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        Self {
            variables: variables.iter().map(owned).collect(),
            is_root: false,
            ticks_per_second: 100,
            page_bytes: 4096,
        }
    }
}
