//! Settings: flag over environment over file over default, resolved here to one struct in which
//! each value knows where it comes from.
//!
//! Unknown keys are refused. A file that was named must exist; of those searched for, the first
//! found is used alone. Names are those of carbon-ops 0.1; its sections for buckets and labels are read and
//! have no effect yet, which `config show` says.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail};
use carbon_ops_estimate::span::Missing;
use carbon_ops_estimate::uncertainty::Distribution;
use carbon_ops_ledger::append::SEGMENT_BYTES;
use carbon_ops_meter::client;
use carbon_ops_proof::text::plain;
use carbon_ops_units::{Pue, Watts};
use serde::Deserialize;

use crate::env::Env;
use crate::fault::Fault;
use crate::gpus::NvmlLibrary;
use crate::identity::PARENT;
use crate::sources;
use crate::witnesses::Address;

/// A configuration file is small; a larger one is something else.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// A value and where it comes from.
#[derive(Debug, Clone, PartialEq)]
pub struct Setting<T> {
    /// The value.
    pub value: T,
    /// Who set it.
    pub origin: Origin,
}

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// Said on the spot.
    Flag,
    /// A variable of the environment.
    Environment(&'static str),
    /// A configuration file.
    File(PathBuf),
    /// Nobody.
    Default,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag => f.write_str("flag"),
            Self::Environment(name) => write!(f, "environment {name}"),
            Self::File(path) => write!(f, "file {}", path.display()),
            Self::Default => f.write_str("default"),
        }
    }
}

/// All settings.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// Where the machine is.
    pub region: Setting<Option<String>>,
    /// Power usage effectiveness for all places.
    pub pue: Setting<Option<PueSetting>>,
    /// Power usage effectiveness by place.
    pub pue_overrides: BTreeMap<String, Pue>,
    /// The processor's thermal design power, for the model.
    pub cpu_tdp: Setting<Option<Watts>>,
    /// What the machine uses at rest.
    pub idle: Setting<Option<Watts>>,
    /// `None`: the system's own, if there is a driver.
    pub nvml: Setting<Option<NvmlLibrary>>,
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
    /// Where intensities come from.
    pub grid: sources::Settings,
    /// The file that was read.
    pub file: Option<PathBuf>,
    /// Keys that were read and have no effect in this version.
    pub without_effect: Vec<String>,
    /// Variables with our prefixes that are set and that nothing reads: mistyped, or of another version.
    pub unknown_variables: Vec<String>,
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
}

/// A PUE as a user gives it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum PueSetting {
    /// A number.
    Exact(Pue),
    /// The fleets of the three large clouds publish 1.10 to 1.185 (Cloud Carbon Footprint).
    CloudHyperscale,
    /// The average of the Uptime Institute's yearly surveys 2020 to 2023: 1.55 to 1.59.
    Enterprise,
    /// The same; carbon-ops 0.1 had two names.
    OnPremise,
}

impl PueSetting {
    /// A number or the name of a profile.
    pub fn parse(text: &str) -> Result<Self> {
        match text.trim().to_lowercase().as_str() {
            "cloud-hyperscale" => Ok(Self::CloudHyperscale),
            "enterprise" => Ok(Self::Enterprise),
            "on-premise" => Ok(Self::OnPremise),
            number => {
                let ratio = number.parse().map_err(|_| {
                    anyhow!(
                        "PUE {text:?} is neither a number nor cloud-hyperscale, enterprise or \
                         on-premise"
                    )
                })?;
                Ok(Self::Exact(Pue::new(ratio)?))
            }
        }
    }

    /// What is known of it.
    pub fn distribution(self) -> Distribution {
        let truncated =
            |mu, sigma| Distribution::TruncatedNormal { mu, sigma, min: 1.0, max: None };
        match self {
            Self::Exact(pue) => Distribution::Point { mean: pue.as_ratio() },
            Self::CloudHyperscale => truncated(1.14, 0.05),
            Self::Enterprise | Self::OnPremise => truncated(1.55, 0.2),
        }
    }
}

impl fmt::Display for PueSetting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(pue) => write!(f, "{}", pue.as_ratio()),
            Self::CloudHyperscale => f.write_str("cloud-hyperscale"),
            Self::Enterprise => f.write_str("enterprise"),
            Self::OnPremise => f.write_str("on-premise"),
        }
    }
}

/// A configuration file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct File {
    region: RegionSection,
    pue: PueSection,
    power: PowerSection,
    ledger: LedgerSection,
    governor: GovernorSection,
    interpolation: Interpolation,
    providers: sources::Section,
    labeling: Option<Labeling>,
    /// Sections that are set and have no effect; filled in after reading.
    #[serde(skip)]
    without_effect: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RegionSection {
    default: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct PueSection {
    default: Option<NumberOrText>,
    overrides: BTreeMap<String, f64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct PowerSection {
    cpu_tdp_watts: Option<f64>,
    idle_baseline_watts: Option<f64>,
    nvml_library: Option<PathBuf>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct LedgerSection {
    path: Option<PathBuf>,
    key: Option<PathBuf>,
    key_passphrase_file: Option<PathBuf>,
    trust: Option<String>,
    segment_bytes: Option<u64>,
    witnesses: Option<Vec<String>>,
    policy: Option<PathBuf>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct GovernorSection {
    socket: Option<PathBuf>,
    timeout_seconds: Option<f64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Interpolation {
    bucket_minutes: Option<u32>,
    missing_policy: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "read so that a misspelt key is refused; without effect yet")]
struct Labeling {
    emit_ledger_events: Option<bool>,
    salt_env: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum NumberOrText {
    Number(f64),
    Text(String),
}

impl Settings {
    /// Resolves everything.
    ///
    /// # Errors
    /// A file that cannot be read or understood; a value that is not possible, with its origin.
    pub fn resolve(env: &Env, config: Option<&Path>, flags: &Overrides) -> Result<Self> {
        let (path, file) = read_file(env, config)?;
        Self::merge(env, path, file, flags)
    }

    /// What was said on the spot, over defaults: neither the environment nor a file is looked at.
    ///
    /// # Errors
    /// A value that is not possible.
    pub fn plain(stated: &Overrides) -> Result<Self> {
        Self::merge(&Env::without_variables(), None, File::default(), stated)
    }

    fn merge(env: &Env, path: Option<PathBuf>, file: File, flags: &Overrides) -> Result<Self> {
        let of_file = || path.clone().map_or(Origin::Default, Origin::File);
        let home = env.data_home();
        let below_home = |name: &str| home.as_ref().map(|home| home.join(name));
        let sources = Sources { env, file: of_file() };
        let text = |number: f64| number.to_string();
        let path_text = |path: PathBuf| path.to_string_lossy().into_owned();

        let pue = file.pue.default.map(|pue| match pue {
            NumberOrText::Number(number) => number.to_string(),
            NumberOrText::Text(text) => text,
        });
        let mut overrides = BTreeMap::new();
        for (region, ratio) in file.pue.overrides {
            let pue = Pue::new(ratio).with_context(|| format!("pue.overrides.{region}"))?;
            overrides.insert(region, pue);
        }
        let of_python = |name: &&str| OF_PYTHON.contains(name);
        let set = env.names().filter(of_python).map(str::to_owned);
        let without_effect = file.without_effect.into_iter().chain(set).collect();

        Ok(Self {
            region: sources.pick(
                flags.region.clone(),
                "DCL_DEFAULT_REGION",
                file.region.default,
                |text| Ok(text.to_owned()),
            )?,
            pue: sources.pick(flags.pue.clone(), "DCL_PUE_DEFAULT", pue, PueSetting::parse)?,
            pue_overrides: overrides,
            cpu_tdp: sources.pick(
                None,
                "CPU_TDP_WATTS",
                file.power.cpu_tdp_watts.map(text),
                positive_watts,
            )?,
            idle: sources.pick(
                None,
                "IDLE_BASELINE_WATTS",
                file.power.idle_baseline_watts.map(text),
                |text| Ok(Watts::new(text.trim().parse().context("not a number")?)?),
            )?,
            nvml: sources.nvml(file.power.nvml_library)?,
            ledger: sources
                .pick(
                    flags.ledger.clone().map(path_text),
                    "CARBON_OPS_LEDGER",
                    file.ledger.path.map(path_text),
                    |text| Ok(PathBuf::from(text)),
                )?
                .or(below_home("ledger")),
            key: sources
                .path("CARBON_OPS_KEY", file.ledger.key)?
                .or(below_home("keys/default.pem")),
            key_passphrase_file: sources
                .passphrase_file(file.ledger.key_passphrase_file.map(path_text))?,
            trust: sources.text("CARBON_OPS_TRUST", file.ledger.trust)?,
            segment_bytes: sources.segment_bytes(file.ledger.segment_bytes)?,
            witnesses: sources.witnesses(file.ledger.witnesses)?,
            policy: sources.path("CARBON_OPS_POLICY", file.ledger.policy)?,
            governor_socket: sources.governor_socket(file.governor.socket)?,
            governor_timeout: sources.governor_timeout(file.governor.timeout_seconds)?,
            bucket_minutes: sources.bucket_minutes(&file.interpolation)?,
            missing_policy: sources.missing_policy(file.interpolation.missing_policy)?,
            grid: sources::Settings::resolve(env, &of_file(), file.providers)?,
            file: path,
            without_effect,
            unknown_variables: unknown(env),
        })
    }
}

/// The beginnings of the names of our variables.
const PREFIXES: [&str; 2] = ["CARBON_OPS_", "DCL_"];

/// Variables of carbon-ops 0.1 that change nothing here: what an idle calibration was called, and the embodied
/// carbon of a device that no table had.
const OF_PYTHON: [&str; 2] = ["CALIBRATION_VERSION", "CARBON_OPS_FALLBACK_EMBODIED_CARBON_KG"];

/// Every variable with such a beginning that is read.
const KNOWN: [&str; 16] = [
    PARENT,
    "CARBON_OPS_CARBON_INTENSITY_FILE",
    "CARBON_OPS_GOVERNOR_SOCKET",
    "CARBON_OPS_GOVERNOR_TIMEOUT",
    "CARBON_OPS_KEY",
    "CARBON_OPS_KEY_PASSPHRASE_FILE",
    "CARBON_OPS_LEDGER",
    "CARBON_OPS_NVML",
    "CARBON_OPS_POLICY",
    "CARBON_OPS_SEGMENT_BYTES",
    "CARBON_OPS_TRUST",
    "CARBON_OPS_WITNESSES",
    "DCL_BUCKET_MINUTES",
    "DCL_DEFAULT_REGION",
    "DCL_MISSING_POLICY",
    "DCL_PUE_DEFAULT",
];

fn unknown(env: &Env) -> Vec<String> {
    let ours = env.names().filter(|name| PREFIXES.iter().any(|prefix| name.starts_with(prefix)));
    ours.filter(|name| !KNOWN.contains(name) && !OF_PYTHON.contains(name))
        .map(str::to_owned)
        .collect()
}

/// Smaller segments than this are more files than they save work.
pub(crate) const MIN_SEGMENT_BYTES: u64 = 1 << 20;

fn segment_bytes(text: &str) -> Result<u64> {
    let bytes = text.trim().parse().context("not a number of bytes")?;
    if bytes < MIN_SEGMENT_BYTES {
        bail!(Fault::SegmentTooSmall(bytes));
    }
    Ok(bytes)
}

impl<T> Setting<Option<T>> {
    fn or(self, default: Option<T>) -> Self {
        match self.value {
            Some(_) => self,
            None => Self { value: default, origin: Origin::Default },
        }
    }
}

/// A day is the longest bucket that still says when.
const BUCKET_MAX: u32 = 1440;

fn bucket_minutes(text: &str) -> Result<NonZeroU32> {
    let minutes: Option<NonZeroU32> = text.trim().parse().ok();
    let minutes = minutes.filter(|minutes| minutes.get() <= BUCKET_MAX);
    minutes.with_context(|| format!("whole minutes from 1 to {BUCKET_MAX} are needed"))
}

fn positive_watts(text: &str) -> Result<Watts> {
    let watts = Watts::new(text.trim().parse().context("not a number")?)?;
    if watts == Watts::ZERO {
        bail!("power must be above 0 W");
    }
    Ok(watts)
}

/// Loading runs the library's code: what it is shall not hang on the working directory.
fn nvml_library(text: &str) -> Result<NvmlLibrary> {
    match text.trim() {
        "off" => Ok(NvmlLibrary::Off),
        path if Path::new(path).is_absolute() => Ok(NvmlLibrary::At(path.into())),
        _ => bail!("neither an absolute path nor off"),
    }
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

struct Sources<'a> {
    env: &'a Env,
    file: Origin,
}

impl Sources<'_> {
    fn nvml(&self, file: Option<PathBuf>) -> Result<Setting<Option<NvmlLibrary>>> {
        let file = file.map(|path| path.to_string_lossy().into_owned());
        self.pick(None, "CARBON_OPS_NVML", file, nvml_library)
    }

    /// In the environment they are separated by white space, which none of them has.
    fn witnesses(&self, file: Option<Vec<String>>) -> Result<Setting<Option<Vec<String>>>> {
        let file = file.map(|witnesses| witnesses.join(" "));
        self.pick(None, "CARBON_OPS_WITNESSES", file, |text| {
            let witnesses = text.split_whitespace().map(str::to_owned);
            let witnesses: Vec<String> = witnesses.collect();
            witnesses.iter().try_for_each(|witness| Address::parse(witness).map(drop))?;
            Ok(witnesses)
        })
    }

    fn governor_socket(&self, file: Option<PathBuf>) -> Result<Setting<Option<PathBuf>>> {
        let file = file.map(|path| path.to_string_lossy().into_owned());
        let found =
            self.pick(None, "CARBON_OPS_GOVERNOR_SOCKET", file, |text| Ok(PathBuf::from(text)))?;
        Ok(found.or(Some(client::SOCKET.into())))
    }

    /// The file whose first line is the passphrase of the key.
    fn passphrase_file(&self, file: Option<String>) -> Result<Setting<Option<PathBuf>>> {
        self.pick(None, "CARBON_OPS_KEY_PASSPHRASE_FILE", file, |text| Ok(PathBuf::from(text)))
    }

    fn segment_bytes(&self, file: Option<u64>) -> Result<Setting<Option<u64>>> {
        let file = file.map(|bytes| bytes.to_string());
        let given = self.pick(None, "CARBON_OPS_SEGMENT_BYTES", file, segment_bytes)?;
        Ok(given.or(Some(SEGMENT_BYTES)))
    }

    fn governor_timeout(&self, file: Option<f64>) -> Result<Setting<Option<Duration>>> {
        let file = file.map(|seconds| seconds.to_string());
        Ok(self.pick(None, "CARBON_OPS_GOVERNOR_TIMEOUT", file, timeout)?.or(Some(client::TIMEOUT)))
    }

    fn path(
        &self,
        variable: &'static str,
        file: Option<PathBuf>,
    ) -> Result<Setting<Option<PathBuf>>> {
        let file = file.map(|path| path.to_string_lossy().into_owned());
        self.pick(None, variable, file, |text| Ok(PathBuf::from(text)))
    }

    fn text(
        &self,
        variable: &'static str,
        file: Option<String>,
    ) -> Result<Setting<Option<String>>> {
        self.pick(None, variable, file, |text| Ok(text.to_owned()))
    }

    fn bucket_minutes(&self, file: &Interpolation) -> Result<Setting<Option<NonZeroU32>>> {
        let minutes = file.bucket_minutes.map(|minutes| minutes.to_string());
        self.pick(None, "DCL_BUCKET_MINUTES", minutes, bucket_minutes)
    }

    fn missing_policy(&self, file: Option<String>) -> Result<Setting<Option<Missing>>> {
        self.pick(None, "DCL_MISSING_POLICY", file, |text| Ok(text.parse()?))
    }

    /// The first of flag, environment and file that is set, parsed; an error names its origin.
    fn pick<T>(
        &self,
        flag: Option<String>,
        variable: &'static str,
        file: Option<String>,
        parse: impl Fn(&str) -> Result<T>,
    ) -> Result<Setting<Option<T>>> {
        let environment = self.env.variable(variable).map(str::to_owned);
        let found = flag
            .map(|text| (text, Origin::Flag))
            .or_else(|| environment.map(|text| (text, Origin::Environment(variable))))
            .or_else(|| file.map(|text| (text, self.file.clone())));
        let Some((text, origin)) = found else {
            return Ok(Setting { value: None, origin: Origin::Default });
        };
        let value = parse(&text).with_context(|| format!("value {text:?} from {origin}"))?;
        Ok(Setting { value: Some(value), origin })
    }
}

fn read_file(env: &Env, flag: Option<&Path>) -> Result<(Option<PathBuf>, File)> {
    let named = flag.map(Path::to_owned);
    let named = named.or_else(|| env.variable("CARBON_CONFIG_PATH").map(PathBuf::from));
    if let Some(path) = named {
        let file = parse_file(&path)?.ok_or_else(|| Fault::NoConfiguration(path.clone()))?;
        return Ok((Some(path), file));
    }
    for path in searched(env) {
        let parsed = parse_file(&path).map_err(|error| {
            if path.is_relative() { error.context(Fault::FoundConfiguration) } else { error }
        });
        if let Some(file) = parsed? {
            return Ok((Some(path), file));
        }
    }
    Ok((None, File::default()))
}

/// Root never reads a file below the working directory, which anyone may have put there.
fn searched(env: &Env) -> Vec<PathBuf> {
    let mut paths = Vec::new();
    if !env.is_root {
        for folder in ["config", "configs"] {
            for ending in ["toml", "yml", "json"] {
                paths.push(Path::new(folder).join(format!("carbon.{ending}")));
            }
        }
    }
    paths.extend(env.config_home().map(|home| home.join("config.toml")));
    paths.push(PathBuf::from("/etc/carbon-ops/config.toml"));
    paths
}

/// `None` when there is no such file.
fn parse_file(path: &Path) -> Result<Option<File>> {
    let text = match std::fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Ok(metadata) if metadata.len() > FILE_BYTES_MAX => {
            bail!("configuration file {} is larger than 1 MiB", path.display())
        }
        _ => std::fs::read(path)
            .and_then(|bytes| String::from_utf8(plain(bytes)).map_err(io::Error::other))
            .with_context(|| format!("configuration file {}", path.display()))?,
    };
    let parsed = match path.extension().and_then(|ending| ending.to_str()) {
        Some("json") => serde_json::from_str(&text).map_err(anyhow::Error::from),
        Some("yml" | "yaml") => serde_saphyr::from_str(&text).map_err(anyhow::Error::from),
        _ => toml::from_str(&text).map_err(anyhow::Error::from),
    };
    let mut file: File =
        parsed.with_context(|| format!("configuration file {}", path.display()))?;
    let sections = [("labeling", file.labeling.is_some())];
    let set = sections.into_iter().filter(|(_, is_set)| *is_set);
    file.without_effect = set.map(|(section, _)| section.to_owned()).collect();
    Ok(Some(file))
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
        assert_eq!(got.pue.value, Some(PueSetting::Exact(Pue::new(1.3).unwrap())));
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
            assert_eq!(got.pue.value, Some(PueSetting::Exact(Pue::new(1.25).unwrap())), "{name}");
            assert_eq!(got.pue_overrides["DE"].as_ratio().to_string(), "1.1", "{name}");
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
        let text = concat!(include_str!("settings.rs"), include_str!("sources.rs"));
        let is_name = |text: &&str| text.bytes().all(|b| b.is_ascii_uppercase() || b == b'_');
        for name in text.split('"').filter(is_name) {
            let ours = PREFIXES.iter().any(|prefix| name.starts_with(prefix) && name != *prefix);
            let named = KNOWN.contains(&name) || OF_PYTHON.contains(&name) || name == "DCL_REGION";
            assert!(named || !ours, "{name} is read, and not known");
        }
        let set = [("DCL_REGION", "DE"), ("CARBON_OPS_KEY", "/k"), ("CALIBRATION_VERSION", "v1")];
        let got = settings(&set, None).unwrap();
        assert_eq!(got.unknown_variables, ["DCL_REGION"]);
        assert_eq!(got.without_effect, ["CALIBRATION_VERSION"]);
    }
}
