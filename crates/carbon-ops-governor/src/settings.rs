//! What the governor is to do: flag over file over default, settled here to one struct.
//!
//! Flags have the names that carbon-ops 0.1 gave them, and the file has the names of the flags.
//! Unknown keys are refused. Durations are texts with a unit (`"100ms"`), or plain seconds as in 0.1.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use carbon_ops_units::{Microjoules, Watts};
use clap::{Parser, ValueEnum};
use jiff::SignedDuration;
use serde::Deserialize;

use crate::fault::Fault;

/// The file that is read when none is named.
const FILE: &str = "/etc/carbon-ops/governor.toml";

/// A configuration is small; a larger file is something else.
const FILE_BYTES_MAX: u64 = 1 << 16;

/// Counters step once per ms, so that reading faster reads the same again.
const POLL_MIN: Duration = Duration::from_millis(1);

/// Slower than this is no governor.
const POLL_MAX: Duration = Duration::from_secs(60);

/// What other users see changes ten times a second, in steps of 10 mJ: PLATYPUS (Lipp et al., IEEE
/// S&P 2021) needs thousands of samples per second in steps of a counter's unit, 61 µJ or less.
const CLIENT_INTERVAL: Duration = Duration::from_millis(100);
const CLIENT_QUANTUM: Microjoules = Microjoules::new(10_000);

/// Reads energy counters, keeps totals that never wrap, and serves them to unprivileged programs.
#[derive(Debug, Default, Parser)]
#[command(name = "carbon-governor", version, about, max_term_width = 100)]
#[command(after_help = "\
Signals: TERM and INT end it, HUP rereads the file (poll-interval, client-interval, client-quantum,
trusted-uids and log-level take effect; the others need a restart).

Exit codes: 0 ended by a signal, 2 could not start, 1 had to stop.")]
pub(crate) struct Flags {
    /// Configuration file [default: /etc/carbon-ops/governor.toml, if it exists]
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,

    #[command(flatten)]
    values: Values,
}

/// Everything that can be set, by flag or in the file.
#[derive(Debug, Default, Clone, clap::Args, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Values {
    /// Where energy is read
    #[arg(long, value_enum, value_name = "MODE")]
    rapl_mode: Option<RaplMode>,

    /// CPUs whose registers may be read, such as 0,1; one is used per package
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    msr_cpus: Option<Vec<u32>>,

    /// Powercap class directory to read instead of the host's; totals are then marked as simulated
    #[arg(long, value_name = "DIR")]
    powercap_root: Option<PathBuf>,

    /// Width of the values in `energy_uj`, for odd hardware
    #[arg(long, value_enum, value_name = "BITS")]
    sysfs_bits: Option<SysfsBits>,

    /// Time between two samples [default: 100ms]
    #[arg(long, value_name = "TIME")]
    poll_interval: Option<Time>,

    /// Power in W that no domain exceeds, instead of the limits that the hardware publishes
    #[arg(long, value_name = "WATTS")]
    max_power: Option<f64>,

    /// Socket to listen at [default: /run/carbon-ops.sock]
    #[arg(long, value_name = "PATH")]
    socket_path: Option<PathBuf>,

    /// Group that may connect [default: carbon-users, if there is one]
    #[arg(long, value_name = "GROUP")]
    socket_group: Option<String>,

    /// Permissions of the socket, in octal [default: 660]
    #[arg(long, value_name = "MODE")]
    socket_mode: Option<Mode>,

    /// Directory of the state that survives a restart, and of the snapshot page
    /// [default: /run/carbon-ops]
    #[arg(long, value_name = "DIR")]
    state_dir: Option<PathBuf>,

    /// Neither socket nor snapshot page: only keep the state
    #[arg(long, num_args = 0..=1, default_missing_value = "true", value_name = "BOOL")]
    disable_ipc: Option<bool>,

    /// Do not look for GPUs
    #[arg(long, num_args = 0..=1, default_missing_value = "true", value_name = "BOOL")]
    no_nvml: Option<bool>,

    /// NVIDIA's management library, instead of the one that the system finds
    #[arg(long, value_name = "FILE")]
    nvml_library: Option<PathBuf>,

    /// Do not read hardware monitoring: GPUs of AMD and Intel, sockets without RAPL
    #[arg(long, num_args = 0..=1, default_missing_value = "true", value_name = "BOOL")]
    no_hwmon: Option<bool>,

    /// Hardware monitoring class directory to read instead of the host's; totals are then marked as simulated
    #[arg(long, value_name = "DIR")]
    hwmon_root: Option<PathBuf>,

    /// How often clients other than root see new values [default: 100ms]
    #[arg(long, value_name = "TIME")]
    client_interval: Option<Time>,

    /// What their totals are rounded down to [default: 10mJ]
    #[arg(long, value_name = "ENERGY")]
    client_quantum: Option<Energy>,

    /// User ids that see exact values as root does
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    trusted_uids: Option<Vec<u32>>,

    /// What is logged
    #[arg(long, value_enum, value_name = "LEVEL")]
    log_level: Option<Level>,

    /// How a line of the log is written
    #[arg(long, value_enum, value_name = "FORMAT")]
    log_format: Option<LogFormat>,
}

/// Where energy is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum RaplMode {
    /// The kernel's files if they are there, else registers, else perf events
    #[default]
    Auto,
    /// The kernel's powercap files
    Sysfs,
    /// Registers of the processor
    Msr,
    /// The kernel's perf events
    Perf,
}

/// Width of the values in `energy_uj`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum SysfsBits {
    /// As `max_energy_range_uj` says
    #[default]
    Auto,
    /// They wrap after 2^32 µJ
    #[value(name = "32")]
    Bits32,
    /// They wrap after 2^64 µJ
    #[value(name = "64")]
    Bits64,
}

/// In a file, a number or a text.
impl<'de> Deserialize<'de> for SysfsBits {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Scalar::deserialize(deserializer)?.to_string().as_str() {
            "32" => Ok(Self::Bits32),
            "64" => Ok(Self::Bits64),
            "auto" => Ok(Self::Auto),
            other => Err(serde::de::Error::custom(format!("{other} is not 32, 64 or auto"))),
        }
    }
}

/// What is logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Level {
    /// What someone must act on
    Error,
    /// And what made the numbers worse
    Warn,
    /// And changes: start, stop, sensors, users
    #[default]
    Info,
    /// And every connection
    Debug,
}

/// How a line of the log is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LogFormat {
    /// As a sentence, for people and the journal
    #[default]
    Text,
    /// As a JSON object: timestamp, level, logger, message
    Json,
}

impl Level {
    pub(crate) fn filter(self) -> log::LevelFilter {
        match self {
            Self::Error => log::LevelFilter::Error,
            Self::Warn => log::LevelFilter::Warn,
            Self::Info => log::LevelFilter::Info,
            Self::Debug => log::LevelFilter::Debug,
        }
    }
}

/// A number or a text, as a file has it.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Scalar {
    Integer(i64),
    Float(f64),
    Text(String),
}

impl fmt::Display for Scalar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Integer(number) => number.fmt(f),
            Self::Float(number) => number.fmt(f),
            Self::Text(text) => text.fmt(f),
        }
    }
}

/// Values that are read the same from a flag and from a file.
macro_rules! from_scalar {
    ($($type:ty),*) => {$(
        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = Scalar::deserialize(deserializer)?.to_string();
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    )*};
}
from_scalar!(Time, Energy, Mode);

/// A duration: `100ms`, `1.5s`, or plain seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Time(Duration);

impl FromStr for Time {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let time = match text.parse::<f64>() {
            Ok(seconds) => Duration::try_from_secs_f64(seconds).ok(),
            Err(_) => text.parse::<SignedDuration>().ok().and_then(|time| time.try_into().ok()),
        };
        time.map(Self).ok_or_else(|| format!("{text:?} is not a duration (example: 100ms)"))
    }
}

/// An energy: `10mJ`, `61uJ`, `1J`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Energy(Microjoules);

impl FromStr for Energy {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is not an energy (example: 10mJ)");
        let digits = text.trim_end_matches(|c: char| c.is_alphabetic());
        let number: u64 = digits.trim().parse().map_err(|_| wrong())?;
        let factor = match text.get(digits.len()..).unwrap_or_default() {
            "uJ" | "µJ" | "μJ" => 1,
            "mJ" => 1000,
            "J" => 1_000_000,
            _ => return Err(wrong()),
        };
        number.checked_mul(factor).map(|energy| Self(Microjoules::new(energy))).ok_or_else(wrong)
    }
}

/// Permissions, in octal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Mode(u32);

impl FromStr for Mode {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let digits = text.strip_prefix("0o").unwrap_or(text);
        let mode = u32::from_str_radix(digits, 8).ok().filter(|mode| *mode <= 0o777);
        mode.map(Self).ok_or_else(|| format!("{text:?} is not an octal mode (example: 660)"))
    }
}

/// Who may connect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Group {
    /// It was asked for, so that its absence is an error.
    Named(String),
    /// It is used if it exists.
    Default(&'static str),
}

/// Everything, settled.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Settings {
    pub(crate) file: Option<PathBuf>,
    pub(crate) rapl_mode: RaplMode,
    pub(crate) msr_cpus: Option<Vec<u32>>,
    pub(crate) powercap_root: Option<PathBuf>,
    pub(crate) sysfs_bits: SysfsBits,
    pub(crate) poll_interval: Duration,
    pub(crate) max_power: Option<Watts>,
    pub(crate) socket_path: PathBuf,
    pub(crate) socket_group: Group,
    pub(crate) socket_mode: u32,
    pub(crate) state_dir: PathBuf,
    pub(crate) disable_ipc: bool,
    pub(crate) nvml: bool,
    pub(crate) nvml_library: Option<PathBuf>,
    /// Whether to read hardware monitoring, and of which class directory if not the host's.
    pub(crate) hwmon: bool,
    pub(crate) hwmon_root: Option<PathBuf>,
    pub(crate) client_interval: Duration,
    pub(crate) client_quantum: Microjoules,
    pub(crate) trusted_uids: Vec<u32>,
    pub(crate) log_level: Level,
    pub(crate) log_format: LogFormat,
}

impl Settings {
    /// Reads the file that `flags` name, or the default one if it exists.
    pub(crate) fn resolve(flags: &Flags) -> Result<Self> {
        let default = Path::new(FILE);
        let file = match &flags.config {
            Some(path) => Some(absolute(path)?),
            None => default.exists().then(|| default.to_owned()),
        };
        let values = match &file {
            Some(path) => read(path).with_context(|| Fault::Configuration(path.clone()))?,
            None => Values::default(),
        };
        Self::of(&flags.values, values, file)
    }

    fn of(flags: &Values, file: Values, path: Option<PathBuf>) -> Result<Self> {
        let flags = flags.clone();
        let max_power = match flags.max_power.or(file.max_power) {
            Some(watts) if watts > 0.0 => Some(Watts::new(watts).context("max-power")?),
            Some(watts) => bail!(Fault::Setting(format!(
                "max-power: {watts} W is not a power that a domain could stay below"
            ))),
            None => None,
        };
        let or = |flag: Option<Time>, file: Option<Time>, default| {
            flag.or(file).map_or(default, |time| time.0)
        };
        let settings = Self {
            file: path,
            rapl_mode: flags.rapl_mode.or(file.rapl_mode).unwrap_or_default(),
            msr_cpus: flags.msr_cpus.or(file.msr_cpus),
            powercap_root: flags.powercap_root.or(file.powercap_root),
            sysfs_bits: flags.sysfs_bits.or(file.sysfs_bits).unwrap_or_default(),
            poll_interval: or(flags.poll_interval, file.poll_interval, Duration::from_millis(100)),
            max_power,
            socket_path: flags
                .socket_path
                .or(file.socket_path)
                .unwrap_or_else(|| carbon_ops_meter::client::SOCKET.into()),
            socket_group: flags
                .socket_group
                .or(file.socket_group)
                .map_or(Group::Default("carbon-users"), Group::Named),
            socket_mode: flags.socket_mode.or(file.socket_mode).map_or(0o660, |mode| mode.0),
            state_dir: flags.state_dir.or(file.state_dir).unwrap_or("/run/carbon-ops".into()),
            disable_ipc: flags.disable_ipc.or(file.disable_ipc).unwrap_or(false),
            nvml: !flags.no_nvml.or(file.no_nvml).unwrap_or(false),
            nvml_library: flags.nvml_library.or(file.nvml_library),
            hwmon: !flags.no_hwmon.or(file.no_hwmon).unwrap_or(false),
            hwmon_root: flags.hwmon_root.or(file.hwmon_root),
            client_interval: or(flags.client_interval, file.client_interval, CLIENT_INTERVAL),
            client_quantum: flags
                .client_quantum
                .or(file.client_quantum)
                .map_or(CLIENT_QUANTUM, |energy| energy.0),
            trusted_uids: flags.trusted_uids.or(file.trusted_uids).unwrap_or_default(),
            log_level: flags.log_level.or(file.log_level).unwrap_or_default(),
            log_format: flags.log_format.or(file.log_format).unwrap_or_default(),
        };
        settings.check()?;
        // Clients, who are told some of these, have other working directories.
        Ok(Self {
            powercap_root: settings.powercap_root.as_deref().map(absolute).transpose()?,
            hwmon_root: settings.hwmon_root.as_deref().map(absolute).transpose()?,
            socket_path: absolute(&settings.socket_path)?,
            state_dir: absolute(&settings.state_dir)?,
            ..settings
        })
    }

    fn check(&self) -> Result<(), Fault> {
        let refuse = |what: String| Err(Fault::Setting(what));
        if !(POLL_MIN..=POLL_MAX).contains(&self.poll_interval) {
            return refuse(format!(
                "poll-interval: {:?} is not within 1 ms to 60 s",
                self.poll_interval
            ));
        }
        if self.client_interval > POLL_MAX {
            return refuse(format!(
                "client-interval: {:?} is more than 60 s",
                self.client_interval
            ));
        }
        if self.client_quantum > Microjoules::new(1_000_000_000) {
            return refuse("client-quantum: more than 1 kJ".to_owned());
        }
        for (name, path) in [("socket-path", &self.socket_path), ("state-dir", &self.state_dir)] {
            if path.as_os_str().is_empty() {
                return refuse(format!("{name} is empty"));
            }
        }
        Ok(())
    }

    /// The names of settings that differ and take effect only with a restart.
    pub(crate) fn needs_restart(&self, new: &Self) -> Vec<&'static str> {
        [
            ("rapl-mode", self.rapl_mode != new.rapl_mode),
            ("msr-cpus", self.msr_cpus != new.msr_cpus),
            ("powercap-root", self.powercap_root != new.powercap_root),
            ("sysfs-bits", self.sysfs_bits != new.sysfs_bits),
            ("max-power", self.max_power != new.max_power),
            ("socket-path", self.socket_path != new.socket_path),
            ("socket-group", self.socket_group != new.socket_group),
            ("socket-mode", self.socket_mode != new.socket_mode),
            ("state-dir", self.state_dir != new.state_dir),
            ("disable-ipc", self.disable_ipc != new.disable_ipc),
            ("no-nvml", self.nvml != new.nvml),
            ("nvml-library", self.nvml_library != new.nvml_library),
            ("no-hwmon", self.hwmon != new.hwmon),
            ("hwmon-root", self.hwmon_root != new.hwmon_root),
        ]
        .into_iter()
        .filter_map(|(name, differs)| differs.then_some(name))
        .collect()
    }
}

fn absolute(path: &Path) -> Result<PathBuf> {
    std::path::absolute(path).with_context(|| path.display().to_string())
}

fn read(path: &Path) -> Result<Values> {
    let length = std::fs::metadata(path)?.len();
    if length > FILE_BYTES_MAX {
        bail!("{length} bytes are too many for a configuration");
    }
    Ok(toml::from_str(&std::fs::read_to_string(path)?)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settle(flags: &[&str], file: &str) -> Result<Settings> {
        let words = std::iter::once("carbon-governor").chain(flags.iter().copied());
        let flags = Flags::try_parse_from(words)?;
        Settings::of(&flags.values, toml::from_str(file)?, None)
    }

    #[test]
    fn a_flag_beats_the_file_and_the_file_the_default() {
        let file = "poll-interval = \"250ms\"\nsocket-mode = \"640\"\nclient-quantum = \"1mJ\"\n";
        let settings = settle(&["--poll-interval", "0.05"], file).unwrap();
        assert_eq!(settings.poll_interval, Duration::from_millis(50));
        assert_eq!(settings.socket_mode, 0o640);
        assert_eq!(settings.client_quantum, Microjoules::new(1000));
        assert_eq!(settings.client_interval, Duration::from_millis(100));
        assert_eq!(settings.socket_path, Path::new("/run/carbon-ops.sock"));
        assert_eq!(settings.socket_group, Group::Default("carbon-users"));
    }

    #[test]
    fn the_options_of_the_predecessor_are_understood() {
        let settings = settle(
            &[
                "--powercap-root",
                "/x",
                "--poll-interval",
                "0.1",
                "--socket-path",
                "/y",
                "--socket-group",
                "wheel",
                "--socket-mode",
                "660",
                "--disable-ipc",
                "--rapl-mode",
                "msr",
                "--msr-cpus=0,1",
            ],
            "",
        )
        .unwrap();
        assert_eq!(settings.rapl_mode, RaplMode::Msr);
        assert_eq!(settings.msr_cpus, Some(vec![0, 1]));
        assert!(settings.disable_ipc);
        assert_eq!(settings.socket_group, Group::Named("wheel".into()));
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for flags in [
            ["--poll-interval", "0"],
            ["--poll-interval", "1h"],
            ["--poll-interval", "-1"],
            ["--poll-interval", "soon"],
            ["--poll-interval", "NaN"],
            ["--max-power", "-5"],
            ["--max-power", "inf"],
            ["--socket-mode", "999"],
            ["--socket-mode", "7777"],
            ["--client-quantum", "10"],
            ["--client-quantum", "2kJ"],
            ["--sysfs-bits", "16"],
            ["--socket-path", ""],
        ] {
            assert!(settle(&flags, "").is_err(), "{flags:?}");
        }
        for file in ["poll_interval = 1", "poll-interval = true", "sysfs-bits = 33", "x = 1"] {
            assert!(settle(&[], file).is_err(), "{file}");
        }
    }

    #[test]
    fn durations_are_read_as_everywhere_else_in_the_product() {
        for (text, ms) in [
            ("100ms", 100),
            ("1.5s", 1500),
            ("2 s", 2000),
            ("PT0.1S", 100),
            ("0.25", 250),
            ("1m", 60_000),
        ] {
            assert_eq!(text.parse(), Ok(Time(Duration::from_millis(ms))), "{text}");
        }
        for text in ["-100ms", "-1", "inf", "soon", ""] {
            let error = text.parse::<Time>().unwrap_err();
            assert_eq!(error, format!("{text:?} is not a duration (example: 100ms)"));
        }
    }

    #[test]
    fn what_a_reload_cannot_change_is_named() {
        let old = settle(&[], "").unwrap();
        let new = settle(&["--poll-interval", "1s", "--socket-mode", "600"], "").unwrap();
        assert_eq!(old.needs_restart(&new), ["socket-mode"]);
    }
}
