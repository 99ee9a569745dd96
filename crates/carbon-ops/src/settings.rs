//! Settings: flag over environment over file over default, resolved here to one struct in which
//! each value knows where it comes from.
//!
//! Unknown keys are refused. A file that was named must exist; of those searched for, the first
//! found is used alone. Names are those of carbon-ops 0.1; its section for labels is read and has no effect yet.
//!
//! Out of scope: what is read from where (`reader`).

use std::collections::BTreeMap;
use std::fmt;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use carbon_ops_estimate::span::Missing;
use carbon_ops_estimate::uncertainty::Distribution;
use carbon_ops_estimate::uncertainty::text::Quantity;
use carbon_ops_ledger::append::SEGMENT_BYTES;
use carbon_ops_meter::client;
use carbon_ops_meter::sensor::model::Tdp;
use carbon_ops_units::Watts;

use crate::env::Env;
use crate::fault::Fault;
use crate::gpus::{AskNvml, NvmlLibrary};
use crate::identity::PARENT;
pub use crate::reader::{Origin, Setting, Shown};
use crate::reader::{Read, Reader, path};
use crate::sources;
use crate::text::duration;
use crate::witnesses::Address;

/// All settings.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// Where the machine is.
    pub region: Setting<Option<String>>,
    /// Power usage effectiveness for all places.
    pub pue: Setting<Option<PueSetting>>,
    /// Power usage effectiveness by place.
    pub pue_overrides: BTreeMap<String, PueSetting>,
    /// The processor's thermal design power, for the model.
    pub cpu_tdp: Setting<Option<Tdp>>,
    /// What the machine uses at rest.
    pub idle: Setting<Option<Watts>>,
    /// `None`: the system's own, if there is a driver.
    pub nvml: Setting<Option<NvmlLibrary>>,
    /// How long NVIDIA's library is waited for; `None` for as long as usual.
    pub nvml_wait: Setting<Option<Duration>>,
    /// `None` when there is no home to put it in.
    pub ledger: Setting<Option<PathBuf>>,
    /// The file of the key that signs.
    pub key: Setting<Option<PathBuf>>,
    /// The file whose first line is the passphrase of the key.
    pub key_passphrase_file: Setting<Option<PathBuf>>,
    /// Keys that are trusted, as a file or in hex; `None` is the key store.
    pub trust: Setting<Option<String>>,
    /// How large the active file of a ledger grows before it is sealed.
    pub segment_bytes: Setting<Option<u64>>,
    /// How often the record of a command that runs is saved.
    pub save_every: Setting<Option<Duration>>,
    /// Witnesses to ask for cosignatures: address, plus sign, verifier key.
    pub witnesses: Setting<Option<Vec<String>>>,
    /// The policy whose witnesses are asked and whose quorum is wanted.
    pub policy: Setting<Option<PathBuf>>,
    /// Where the governor listens.
    pub governor_socket: Setting<Option<PathBuf>>,
    /// How long to wait for its answer.
    pub governor_timeout: Setting<Option<Duration>>,
    /// Minutes of a bucket of `estimate --buckets`.
    pub bucket_minutes: Setting<Option<NonZeroU32>>,
    /// With which value time without a slot is priced.
    pub missing_policy: Setting<Option<Missing>>,
    /// Contracts, certificates and residual mixes, for figures by the market.
    pub market: Setting<Option<PathBuf>>,
    /// Where intensities come from.
    pub grid: sources::Settings,
    /// The file that was read.
    pub file: Option<PathBuf>,
    /// Keys that were read and have no effect in this version.
    pub without_effect: Vec<String>,
    /// Variables with our prefixes that are set and that nothing reads: mistyped, or of another version.
    pub unknown_variables: Vec<String>,
    /// All of the above as texts, in an order for people.
    pub shown: Vec<Shown>,
}

/// What was said on the spot, before environment and file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Overrides {
    /// Where the machine is.
    pub region: Option<String>,
    /// Power usage effectiveness, a number or a profile.
    pub pue: Option<String>,
    /// Directory of the ledger.
    pub ledger: Option<PathBuf>,
    /// File of instruments.
    pub market: Option<PathBuf>,
}

/// A PUE as a user gives it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum PueSetting {
    /// A number or a distribution, of mean 1 or more.
    Stated(Distribution),
    /// The fleets of the three large clouds publish 1.10 to 1.185 (Cloud Carbon Footprint).
    CloudHyperscale,
    /// The average of the Uptime Institute's yearly surveys 2020 to 2023: 1.55 to 1.59.
    Enterprise,
    /// The same; carbon-ops 0.1 had two names.
    OnPremise,
}

impl PueSetting {
    /// A number, a distribution, or the name of a profile.
    ///
    /// # Errors
    /// When it is none of these, or lies below 1.
    pub fn parse(text: &str) -> Result<Self> {
        match text.trim().to_lowercase().as_str() {
            "cloud-hyperscale" => Ok(Self::CloudHyperscale),
            "enterprise" => Ok(Self::Enterprise),
            "on-premise" => Ok(Self::OnPremise),
            _ => {
                let distribution = Quantity::Ratio.read(text).context(
                    "a PUE is a number, a distribution, or cloud-hyperscale, enterprise or on-premise",
                )?;
                ensure!(distribution.mean() >= 1.0, Fault::PueBelowOne(text.to_owned()));
                Ok(Self::Stated(distribution))
            }
        }
    }

    /// What is known of it.
    pub fn distribution(self) -> Distribution {
        let truncated =
            |mu, sigma| Distribution::TruncatedNormal { mu, sigma, min: 1.0, max: None };
        match self {
            Self::Stated(distribution) => distribution,
            Self::CloudHyperscale => truncated(1.14, 0.05),
            Self::Enterprise | Self::OnPremise => truncated(1.55, 0.2),
        }
    }
}

impl fmt::Display for PueSetting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stated(distribution) => write!(f, "{distribution}"),
            Self::CloudHyperscale => f.write_str("cloud-hyperscale"),
            Self::Enterprise => f.write_str("enterprise"),
            Self::OnPremise => f.write_str("on-premise"),
        }
    }
}

impl Settings {
    /// Resolves everything.
    ///
    /// # Errors
    /// A file that cannot be read or understood; a value that is not possible, with its origin.
    pub fn resolve(env: &Env, config: Option<&Path>, flags: &Overrides) -> Result<Self> {
        Self::read(Reader::open(env, config)?, flags)
    }

    /// What was said on the spot, over defaults: neither the environment nor a file is looked at.
    ///
    /// # Errors
    /// A value that is not possible.
    pub fn plain(stated: &Overrides) -> Result<Self> {
        Self::read(Reader::new(&Env::without_variables()), stated)
    }

    /// How NVIDIA's GPUs are asked.
    pub fn ask_nvml(&self) -> AskNvml {
        let usual = AskNvml::default();
        let wait = self.nvml_wait.value.unwrap_or(usual.wait);
        AskNvml { library: self.nvml.value.clone(), wait }
    }

    #[expect(clippy::too_many_lines, reason = "a line for each setting")]
    fn read(mut from: Reader<'_>, flags: &Overrides) -> Result<Self> {
        let home = from.env.data_home();
        let below_home = |name: &str| home.as_ref().map(|home| path_text(&home.join(name)));
        let (region, ratio) = (flags.region.clone(), flags.pue.clone());
        let ledger = flags.ledger.as_deref().map(path_text);
        let market = flags.market.as_deref().map(path_text);
        let seconds = |time: Duration| Some(time.as_secs_f64().to_string());
        let r = &mut from;
        Self {
            region: r.stated(region, "region.default", &["DCL_DEFAULT_REGION"], None, text)?,
            pue: r.stated(ratio, "pue.default", &["DCL_PUE_DEFAULT"], None, PueSetting::parse)?,
            pue_overrides: r.below("pue.overrides", PueSetting::parse)?,
            cpu_tdp: r.get("power.cpu_tdp_watts", &["CPU_TDP_WATTS"], None, design_power)?,
            idle: r.get("power.idle_baseline_watts", &["IDLE_BASELINE_WATTS"], None, |text| {
                Ok(Watts::new(number(text)?)?)
            })?,
            nvml: r.get("power.nvml_library", &["CARBON_OPS_NVML"], None, nvml_library)?,
            nvml_wait: r.get("power.nvml_wait", &["CARBON_OPS_NVML_WAIT"], None, nvml_wait)?,
            ledger: r.stated(
                ledger,
                "ledger.path",
                &["CARBON_OPS_LEDGER"],
                below_home("ledger"),
                path,
            )?,
            key: r.get("ledger.key", &["CARBON_OPS_KEY"], below_home("keys/default.pem"), path)?,
            key_passphrase_file: r.get(
                "ledger.key_passphrase_file",
                &["CARBON_OPS_KEY_PASSPHRASE_FILE"],
                None,
                path,
            )?,
            trust: r.get("ledger.trust", &["CARBON_OPS_TRUST"], None, text)?,
            witnesses: r.get("ledger.witnesses", &["CARBON_OPS_WITNESSES"], None, witnesses)?,
            policy: r.get("ledger.policy", &["CARBON_OPS_POLICY"], None, path)?,
            segment_bytes: r.get(
                "ledger.segment_bytes",
                &["CARBON_OPS_SEGMENT_BYTES"],
                Some(SEGMENT_BYTES.to_string()),
                segment_bytes,
            )?,
            save_every: r.get(
                "ledger.save_every",
                &["CARBON_OPS_SAVE_EVERY"],
                Some(SAVE_EVERY.to_owned()),
                save_every,
            )?,
            governor_socket: r.get(
                "governor.socket",
                &["CARBON_OPS_GOVERNOR_SOCKET"],
                Some(client::SOCKET.to_owned()),
                path,
            )?,
            governor_timeout: r.get(
                "governor.timeout_seconds",
                &["CARBON_OPS_GOVERNOR_TIMEOUT"],
                seconds(client::TIMEOUT),
                timeout,
            )?,
            bucket_minutes: r.get(
                "interpolation.bucket_minutes",
                &["DCL_BUCKET_MINUTES"],
                None,
                bucket_minutes,
            )?,
            missing_policy: r.get(
                "interpolation.missing_policy",
                &["DCL_MISSING_POLICY"],
                None,
                |text| Ok(text.parse()?),
            )?,
            market: r.stated(market, "market.file", &["CARBON_OPS_MARKET"], None, path)?,
            grid: sources::Settings::read(r)?,
            without_effect: Vec::new(),
            file: None,
            unknown_variables: Vec::new(),
            shown: Vec::new(),
        }
        .with(from)
    }

    /// With what is known when all was read.
    fn with(mut self, mut from: Reader<'_>) -> Result<Self> {
        // What is around a process is no setting.
        from.variable(&[PARENT]);
        let set = OF_PYTHON.into_iter().filter(|name| from.variable(&[name]).is_some());
        self.without_effect = set.map(str::to_owned).collect();
        let Read { path, shown, without_effect, unknown_variables } =
            from.close(&["labeling"], &PREFIXES)?;
        self.without_effect.extend(without_effect);
        Ok(Self { file: path, shown, unknown_variables, ..self })
    }
}

/// The beginnings of the names of our variables.
const PREFIXES: [&str; 2] = ["CARBON_OPS_", "DCL_"];

/// Variables of carbon-ops 0.1 that change nothing here: what an idle calibration was called, and the embodied
/// carbon of a device that no table had.
const OF_PYTHON: [&str; 2] = ["CALIBRATION_VERSION", "CARBON_OPS_FALLBACK_EMBODIED_CARBON_KG"];

#[expect(clippy::unnecessary_wraps, reason = "as all that reads a value")]
fn text(text: &str) -> Result<String> {
    Ok(text.to_owned())
}

fn path_text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

fn number(text: &str) -> Result<f64> {
    text.trim().parse().context("not a number")
}

/// They are separated by white space, which none of them has.
fn witnesses(text: &str) -> Result<Vec<String>> {
    let witnesses: Vec<String> = text.split_whitespace().map(str::to_owned).collect();
    witnesses.iter().try_for_each(|witness| Address::parse(witness).map(drop))?;
    Ok(witnesses)
}

/// Smaller segments than this are more files than they save work.
const MIN_SEGMENT_BYTES: u64 = 1 << 20;

fn segment_bytes(text: &str) -> Result<u64> {
    let bytes = text.trim().parse().context("not a number of bytes")?;
    if bytes < MIN_SEGMENT_BYTES {
        bail!(Fault::SegmentTooSmall { bytes, least: MIN_SEGMENT_BYTES });
    }
    Ok(bytes)
}

/// What a command that is killed may lose.
const SAVE_EVERY: &str = "1m";

/// More often costs more than it saves.
const SAVE_EVERY_MIN: Duration = Duration::from_millis(100);

fn save_every(text: &str) -> Result<Duration> {
    let every = duration(text).map_err(anyhow::Error::msg)?;
    if every < SAVE_EVERY_MIN {
        bail!("less than {} ms", SAVE_EVERY_MIN.as_millis());
    }
    Ok(every)
}

/// A day is the longest bucket that still says when.
const BUCKET_MAX: u32 = 1440;

fn bucket_minutes(text: &str) -> Result<NonZeroU32> {
    let minutes: Option<NonZeroU32> = text.trim().parse().ok();
    let minutes = minutes.filter(|minutes| minutes.get() <= BUCKET_MAX);
    minutes.with_context(|| format!("whole minutes from 1 to {BUCKET_MAX} are needed"))
}

/// Watts of all CPUs, or `350/96 threads` of a processor.
fn design_power(text: &str) -> Result<Tdp> {
    let (watts, threads) = match text.split_once('/') {
        Some((watts, threads)) => {
            let number = threads.trim().trim_end_matches("threads").trim();
            let number = number.parse().ok();
            let number =
                number.with_context(|| format!("{:?} is no number of threads", threads.trim()));
            (watts, Some(number?))
        }
        None => (text, None),
    };
    let watts = Watts::new(number(watts)?)?;
    ensure!(watts > Watts::ZERO, "power must be above 0 W");
    Ok(Tdp { watts, threads })
}

/// Loading runs the library's code: what it is shall not hang on the working directory.
fn nvml_library(text: &str) -> Result<NvmlLibrary> {
    match text.trim() {
        "off" => Ok(NvmlLibrary::Off),
        path if Path::new(path).is_absolute() => Ok(NvmlLibrary::At(path.into())),
        _ => bail!("neither an absolute path nor off"),
    }
}

/// A driver that takes longer has hung.
const NVML_WAIT_MAX: Duration = Duration::from_secs(60);

fn nvml_wait(text: &str) -> Result<Duration> {
    let wait = duration(text).map_err(anyhow::Error::msg)?;
    ensure!(wait <= NVML_WAIT_MAX, "more than {} s", NVML_WAIT_MAX.as_secs());
    Ok(wait)
}

/// Long enough for a loaded machine; a governor that takes longer is none.
const TIMEOUT_MAX: f64 = 60.0;

fn timeout(text: &str) -> Result<Duration> {
    let seconds: f64 = text.trim().parse().context("not a number of seconds")?;
    if !(seconds > 0.0 && seconds <= TIMEOUT_MAX) {
        bail!("a time of more than 0 and at most {TIMEOUT_MAX} seconds is needed");
    }
    Ok(Duration::from_secs_f64(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(variables: &[(&str, &str)], file: Option<(&str, &str)>) -> Result<Settings> {
        let dir = tempfile::tempdir().unwrap();
        let path = file.map(|(name, text)| {
            let path = dir.path().join(name);
            std::fs::write(&path, text).unwrap();
            path
        });
        Settings::resolve(&Env::fake(variables), path.as_deref(), &Overrides::default())
    }

    #[test]
    fn environment_wins_over_file_and_file_over_default() {
        let file = ("c.toml", "[region]\ndefault = 'FR'\n[pue]\ndefault = 1.3\n");
        let got = settings(&[("DCL_DEFAULT_REGION", "DE"), ("HOME", "/h")], Some(file)).unwrap();
        assert_eq!(got.region.value.as_deref(), Some("DE"));
        assert_eq!(got.region.origin, Origin::Environment("DCL_DEFAULT_REGION"));
        assert_eq!(got.pue.value, Some(PueSetting::Stated(Distribution::Point { mean: 1.3 })));
        assert!(matches!(got.pue.origin, Origin::File(_)));
        assert_eq!(got.ledger.value, Some("/h/.local/share/carbon-ops/ledger".into()));
    }

    #[test]
    fn the_three_formats_mean_the_same() {
        for (name, text) in [
            ("c.toml", "[pue]\ndefault = 1.25\noverrides = { DE = 1.1 }\n"),
            ("c.yml", "pue:\n  default: 1.25\n  overrides:\n    DE: 1.1\n"),
            ("c.json", r#"{"pue":{"default":1.25,"overrides":{"DE":1.1}}}"#),
        ] {
            let got = settings(&[], Some((name, text))).unwrap();
            assert_eq!(
                got.pue.value,
                Some(PueSetting::Stated(Distribution::Point { mean: 1.25 })),
                "{name}"
            );
            assert_eq!(got.pue_overrides["DE"].to_string(), "1.1", "{name}");
        }
    }

    #[test]
    fn a_configuration_of_the_predecessor_is_read() {
        let text = "region:\n  default: DE\npue:\n  default: enterprise\ninterpolation:\n  \
                    bucket_minutes: 15\n  missing_policy: step\nproviders:\n  order: [static]\n  \
                    ttl_seconds: 300\nlabeling:\n  emit_ledger_events: false\n";
        let got = settings(&[], Some(("carbon.yml", text))).unwrap();
        assert_eq!(got.pue.value, Some(PueSetting::Enterprise));
        assert_eq!(got.without_effect, ["labeling"]);
        assert_eq!(got.bucket_minutes.value, NonZeroU32::new(15));
        assert_eq!(got.missing_policy.value, Some(Missing::Step));
    }

    #[test]
    fn what_is_wrong_is_refused_with_its_origin() {
        for (variables, file, expected) in [
            (&[("DCL_PUE_DEFAULT", "0.5")][..], None, "DCL_PUE_DEFAULT"),
            (&[("DCL_BUCKET_MINUTES", "0")], None, "1 to 1440"),
            (&[("DCL_BUCKET_MINUTES", "true")], None, "1 to 1440"),
            (&[], Some(("c.toml", "[interpolation]\nmissing_policy='guess'\n")), "c.toml"),
            (&[], Some(("c.toml", "[interpolation]\nbucket='15'\n")), "bucket"),
            (&[("DCL_PUE_DEFAULT", "cheap")], None, "cloud-hyperscale"),
            (&[("CPU_TDP_WATTS", "-10")], None, "CPU_TDP_WATTS"),
            (&[("CPU_TDP_WATTS", "nan")], None, "CPU_TDP_WATTS"),
            (&[("CPU_TDP_WATTS", "0")], None, "above 0 W"),
            (&[("CARBON_OPS_NVML", "libnvidia-ml.so.1")], None, "absolute path"),
            (&[("CARBON_OPS_NVML_WAIT", "2m")], None, "more than 60 s"),
            (&[], Some(("c.toml", "[regoin]\ndefault='DE'\n")), "regoin"),
            (&[], Some(("c.json", "{")), "c.json"),
            (&[], Some(("c.yml", "pue: [")), "c.yml"),
            (&[], Some(("c.toml", "[pue]\ndefault = 0.2\n")), "PUE"),
            (&[("CARBON_CONFIG_PATH", "/nowhere/c.toml")], None, "does not exist"),
        ] {
            let error = format!("{:#}", settings(variables, file).unwrap_err());
            assert!(error.contains(expected), "{error} lacks {expected}");
        }
    }

    #[test]
    fn relative_xdg_paths_are_ignored() {
        let got = settings(&[("XDG_DATA_HOME", "data"), ("HOME", "/h")], None).unwrap();
        assert_eq!(got.ledger.value, Some("/h/.local/share/carbon-ops/ledger".into()));
        assert_eq!(settings(&[], None).unwrap().ledger.value, None);
    }

    #[test]
    fn a_variable_that_nothing_reads_is_named() {
        let set = [("DCL_REGION", "DE"), ("CARBON_OPS_KEY", "/k"), ("CALIBRATION_VERSION", "v1")];
        let got = settings(&set, None).unwrap();
        assert_eq!(got.unknown_variables, ["DCL_REGION"]);
        assert_eq!(got.without_effect, ["CALIBRATION_VERSION"]);
    }

    #[test]
    fn every_setting_is_shown_with_its_origin_and_an_unknown_key_with_its_neighbours() {
        let file =
            ("c.toml", "[ledger]\nwitnesses = ['a', 'b']\n[pue]\noverrides = { DE = 1.1 }\n");
        let error = format!("{:#}", settings(&[], Some(file)).unwrap_err());
        assert!(error.contains("ledger.witnesses: value \"a b\""), "{error}");
        let file = ("c.toml", "[pue]\noverrides = { DE = 1.1 }\n");
        let got =
            settings(&[("HOME", "/h"), ("WATTTIME_PASSWORD", "hunter2")], Some(file)).unwrap();
        let shown = |name: &str| {
            let found = got.shown.iter().find(|shown| shown.name == name).unwrap();
            (found.value.clone().unwrap_or_default(), found.origin.to_string())
        };
        assert_eq!(shown("pue.overrides").0, "DE=1.1");
        assert_eq!(shown("governor.timeout_seconds"), ("0.2".into(), "default".into()));
        let dots = ("••••".into(), "environment WATTTIME_PASSWORD".into());
        assert_eq!(shown("WATTTIME_PASSWORD"), dots);
        let error = settings(&[], Some(("c.toml", "[pue]\ndefualt = 1.1\n"))).unwrap_err();
        let expected = "unknown key pue.defualt; known are pue.default, pue.overrides";
        assert!(format!("{error:#}").ends_with(expected), "{error:#}");
    }
}
