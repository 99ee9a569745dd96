//! Where intensities come from: the settings of providers, their credentials, and the chain of them.
//!
//! Names are those of carbon-ops 0.1. Credentials come from the environment only, so that no file with them
//! is ever shown, copied or committed; no error quotes them.
//!
//! Out of scope: what slots are used for.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use carbon_ops_estimate::market::Claims;
use carbon_ops_grid::cache::{Cached, Limits, Mode, Store, TTL};
use carbon_ops_grid::electricity_maps::{self, ElectricityMaps};
use carbon_ops_grid::fetch::{Clock, Fetcher};
use carbon_ops_grid::file::{self, File};
use carbon_ops_grid::gb::{self, GreatBritain};
use carbon_ops_grid::http::{self, Http};
use carbon_ops_grid::instruments;
use carbon_ops_grid::watttime::{self, WattTime};
use carbon_ops_grid::{BuiltIn, Chain, Fallback, Provider, Secret, UsStates, table, us_states};
use carbon_ops_proof::text::plain;

use crate::env::{Clocks, Dice};
use crate::fault::Fault;
pub use crate::fault::UserFile;
use crate::reader::{Reader, Setting, path};

/// Longest list of providers; each is asked in turn.
const ORDER_MAX: usize = 10;

/// Longest time that a value that may change is believed.
const TTL_MAX: u64 = 24 * 3600;

/// Longest time for one answer.
const TIMEOUT_MAX: f64 = 600.0;

/// What keeps a provider from being asked. What to do about it a front end says.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A name that is not a provider's.
    #[error("unknown provider {0:?}")]
    UnknownProvider(String),
    /// An address that some output would show a secret of, or that has no scheme.
    #[error(
        "the address of a provider begins with https:// and holds no user, no password and no parameters"
    )]
    Address,
    /// No home, and no folder in the settings.
    #[error("no place for the cache: no home is known")]
    NoCacheFolder,
    /// A provider that answers nobody without them.
    #[error("{0} needs credentials")]
    NoCredentials(Name),
    /// The user's own file is to be read, and none is named.
    #[error("the provider file needs a file")]
    NoFile,
}

/// A provider, by the names that are understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Name {
    /// Electricity Maps, over the network.
    ElectricityMaps,
    /// WattTime, over the network.
    WattTime,
    /// Great Britain's carbon intensity service, over the network.
    GreatBritain,
    /// The yearly table that ships.
    Static,
    /// The table of states of the United States that ships.
    UsStates,
    /// A file of the user's.
    File,
}

impl Name {
    /// `electricitymaps`, `wattime` and `uk` are those of carbon-ops 0.1.
    pub fn parse(text: &str) -> Result<Self> {
        match text.trim().to_lowercase().replace('-', "_").as_str() {
            "electricity_maps" | "electricitymaps" => Ok(Self::ElectricityMaps),
            "watttime" | "wattime" => Ok(Self::WattTime),
            "gb" | "uk" => Ok(Self::GreatBritain),
            "static" => Ok(Self::Static),
            "egrid" => Ok(Self::UsStates),
            "file" => Ok(Self::File),
            _ => Err(Error::UnknownProvider(text.chars().take(60).collect()).into()),
        }
    }

    fn id(self) -> &'static str {
        match self {
            Self::ElectricityMaps => electricity_maps::ID,
            Self::WattTime => watttime::ID,
            Self::GreatBritain => gb::ID,
            Self::Static => table::ID,
            Self::UsStates => us_states::ID,
            Self::File => file::ID,
        }
    }

    /// Whether it is asked over a network.
    pub fn is_remote(self) -> bool {
        matches!(self, Self::ElectricityMaps | Self::WattTime | Self::GreatBritain)
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.id())
    }
}

/// All that is known about providers before one is asked.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// Asked in this order.
    pub order: Setting<Vec<Name>>,
    /// How long an answer is believed that may change.
    pub ttl: Setting<Duration>,
    /// What may stand in for what was asked for.
    pub fallback: Setting<Fallback>,
    /// How long one answer may take.
    pub timeout: Setting<Duration>,
    /// `None` when there is no home to put it in.
    pub cache: Setting<Option<PathBuf>>,
    /// The file of the provider `file`.
    pub file: Setting<Option<PathBuf>>,
    /// Where Electricity Maps answers.
    pub electricity_maps_url: Setting<String>,
    /// Where WattTime answers.
    pub watttime_url: Setting<String>,
    /// Where Great Britain's service answers.
    pub gb_url: Setting<String>,
    /// The token for Electricity Maps.
    pub electricity_maps_token: Setting<Option<Secret>>,
    /// The user of WattTime.
    pub watttime_user: Setting<Option<Secret>>,
    /// The password of WattTime.
    pub watttime_password: Setting<Option<Secret>>,
    /// The proxy for requests.
    pub proxy: Setting<Option<Secret>>,
    /// Hosts that are asked without the proxy.
    pub no_proxy: String,
    /// Roots of trust instead of those that ship.
    pub roots: Setting<Option<PathBuf>>,
}

impl Settings {
    pub(crate) fn read(r: &mut Reader<'_>) -> Result<Self> {
        let token = r.secret(&["ELECTRICITYMAPS_TOKEN", "ELECTRICITYMAPS_API_KEY"])?;
        let user = r.secret(&["WATTTIME_USERNAME"])?;
        let password = r.secret(&["WATTTIME_PASSWORD"])?;
        let files = ["CARBON_OPS_CARBON_INTENSITY_FILE", "ACSE_CARBON_INTENSITY_FILE"];
        let file = r.get("providers.file", &files, None, path)?;
        let has = |is_set: bool, name: Name| is_set.then_some(name);
        let known = [
            has(file.value.is_some(), Name::File),
            has(token.value.is_some(), Name::ElectricityMaps),
            has(user.value.is_some() && password.value.is_some(), Name::WattTime),
            Some(Name::Static),
        ];
        let known: Vec<_> = known.into_iter().flatten().map(|name| name.to_string()).collect();
        let at_home = r.env.cache_home().map(|home| home.join("intensity"));
        let at_home = at_home.map(|path| path.to_string_lossy().into_owned());
        let seconds = |time: Duration| time.as_secs_f64().to_string();
        let equal = fallback_name(Fallback::Equal).to_owned();
        Ok(Self {
            order: r.always("providers.order", known.join(" "), order)?,
            ttl: r.always("providers.ttl_seconds", seconds(TTL), ttl)?,
            fallback: r.always("providers.fallback", equal, fallback)?,
            timeout: r.always("providers.timeout_seconds", seconds(http::TIMEOUT), timeout)?,
            cache: r.get("providers.cache", &[], at_home, path)?,
            file,
            electricity_maps_url: r.unquoted(
                "providers.electricity_maps_url",
                electricity_maps::BASE,
                base,
            )?,
            watttime_url: r.unquoted("providers.watttime_url", watttime::BASE, base)?,
            gb_url: r.unquoted("providers.gb_url", gb::BASE, base)?,
            electricity_maps_token: token,
            watttime_user: user,
            watttime_password: password,
            proxy: r.secret(&["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"])?,
            no_proxy: r
                .variable(&["NO_PROXY", "no_proxy"])
                .map_or_else(String::new, |found| found.0),
            roots: r.get("SSL_CERT_FILE", &["SSL_CERT_FILE"], None, path)?,
        })
    }
}

fn order(text: &str) -> Result<Vec<Name>> {
    let names: Vec<&str> = text.split_whitespace().collect();
    if names.is_empty() || names.len() > ORDER_MAX {
        bail!("between 1 and {ORDER_MAX} providers are needed");
    }
    let mut order = Vec::new();
    for name in names {
        let name = Name::parse(name)?;
        if order.contains(&name) {
            bail!("{name} is named twice");
        }
        order.push(name);
    }
    Ok(order)
}

fn ttl(text: &str) -> Result<Duration> {
    let seconds = text.trim().parse().context("not a number of seconds")?;
    if seconds > TTL_MAX {
        bail!("at most {TTL_MAX} seconds");
    }
    Ok(Duration::from_secs(seconds))
}

fn timeout(text: &str) -> Result<Duration> {
    let seconds: f64 = text.trim().parse().context("not a number of seconds")?;
    if !(seconds > 0.0 && seconds <= TIMEOUT_MAX) {
        bail!("more than 0 and at most {TIMEOUT_MAX} seconds are needed");
    }
    Ok(Duration::from_secs_f64(seconds))
}

/// An address that every output may show.
fn base(url: &str) -> Result<String> {
    let after = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
    if after.is_none_or(|after| after.is_empty() || after.contains(['@', '?', '#', ' '])) {
        return Err(Error::Address.into());
    }
    Ok(url.to_owned())
}

fn fallback(text: &str) -> Result<Fallback> {
    let known = [Fallback::Equal, Fallback::SameKind];
    let found = known.into_iter().find(|fallback| fallback_name(*fallback) == text);
    found.context("neither equal nor same_kind")
}

/// The word for it in a configuration file.
pub fn fallback_name(fallback: Fallback) -> &'static str {
    if fallback == Fallback::SameKind { "same_kind" } else { "equal" }
}

/// Providers, ready to be asked.
#[derive(Debug)]
pub struct Grid {
    /// The providers, in their order.
    pub chain: Chain,
    /// `None` when nobody is asked over a network.
    pub remote: Option<Remote>,
}

/// What providers over a network share.
#[derive(Debug)]
pub struct Remote {
    /// Where answers are kept.
    pub store: Arc<Store>,
    /// What asks.
    pub fetcher: Arc<Fetcher>,
}

impl Grid {
    /// The providers of `names`, else of the settings' order.
    ///
    /// # Errors
    /// Credentials that are missing, a file that cannot be read, no place for the cache.
    pub fn new(settings: &Settings, names: &[Name], mode: Mode) -> Result<Self> {
        let names = if names.is_empty() { &settings.order.value } else { names };
        let clocks: Arc<dyn Clock> = Arc::new(Clocks);
        let remote = if names.iter().any(|name| name.is_remote()) {
            Some(Remote::new(settings, mode, &clocks)?)
        } else {
            None
        };
        let mut providers: Vec<Arc<dyn Provider>> = Vec::new();
        for name in names {
            providers.push(match (name, &remote) {
                (Name::Static, _) => Arc::new(BuiltIn),
                (Name::UsStates, _) => Arc::new(UsStates),
                (Name::File, _) => Arc::new(user_file(settings)?),
                (name, Some(remote)) => remote.provider(*name, settings, mode, &clocks)?,
                (name, None) => bail!("{name} needs a network"),
            });
        }
        Ok(Self { chain: Chain::new(providers, settings.fallback.value), remote })
    }
}

impl Remote {
    fn new(settings: &Settings, mode: Mode, clocks: &Arc<dyn Clock>) -> Result<Self> {
        let folder = settings.cache.value.as_deref().ok_or(Error::NoCacheFolder)?;
        let store = Arc::new(Store::new(folder, Limits::default(), settings.ttl.value, mode));
        let roots = settings.roots.value.as_deref().map(|path| {
            std::fs::read(path).with_context(|| format!("certificates {}", path.display()))
        });
        let http = Http::new(&http::Settings {
            timeout: settings.timeout.value,
            proxy: settings.proxy.value.clone(),
            no_proxy: settings.no_proxy.clone(),
            roots: roots.transpose()?,
            ..http::Settings::default()
        })?;
        let fetcher = Fetcher::new(Box::new(http), Arc::clone(clocks), Box::new(Dice));
        let fetcher = Arc::new(fetcher.keeping(Arc::new(store.answers())));
        Ok(Self { store, fetcher })
    }

    fn provider(
        &self,
        name: Name,
        settings: &Settings,
        mode: Mode,
        clocks: &Arc<dyn Clock>,
    ) -> Result<Arc<dyn Provider>> {
        let fetcher = || Arc::clone(&self.fetcher);
        let need = |setting: &Setting<Option<Secret>>| match &setting.value {
            Some(secret) => Ok(secret.clone()),
            // Nobody is asked, so that nothing is needed.
            None if mode == Mode::Offline => Ok(Secret::new("offline")?),
            None => Err(anyhow::Error::new(Error::NoCredentials(name))),
        };
        let inner: Box<dyn Provider> = match name {
            Name::ElectricityMaps => Box::new(ElectricityMaps::new(
                fetcher(),
                &settings.electricity_maps_url.value,
                need(&settings.electricity_maps_token)?,
            )),
            Name::WattTime => {
                let user = need(&settings.watttime_user)?;
                let password = need(&settings.watttime_password)?;
                Box::new(WattTime::new(fetcher(), &settings.watttime_url.value, user, password))
            }
            _ => Box::new(GreatBritain::new(fetcher(), &settings.gb_url.value)),
        };
        Ok(Arc::new(Cached::new(inner, Arc::clone(&self.store), Arc::clone(clocks))))
    }
}

fn user_file(settings: &Settings) -> Result<File> {
    read_user_file(settings.file.value.as_deref().ok_or(Error::NoFile)?)
}

fn read_user_file(path: &Path) -> Result<File> {
    let bytes = bytes_of(UserFile::Intensities, path, file::BYTES_MAX)?;
    Ok(File::parse(&path.display().to_string(), &bytes)?)
}

/// Certificates, contracts and residual mixes, from a user's file.
///
/// # Errors
/// A file that cannot be read, or that is none of them.
pub fn claims(path: &Path) -> Result<Claims> {
    let bytes = bytes_of(UserFile::Instruments, path, instruments::BYTES_MAX)?;
    Ok(instruments::parse(&path.display().to_string(), &bytes)?)
}

/// The bytes of a file that people touch.
fn bytes_of(what: UserFile, path: &Path, most: u64) -> Result<Vec<u8>> {
    let cannot = |source| Fault::CannotRead { what, path: path.to_owned(), source };
    if std::fs::metadata(path).map_err(cannot)?.len() > most {
        bail!("{what} {} is larger than {} MiB", path.display(), most >> 20);
    }
    Ok(plain(std::fs::read(path).map_err(cannot)?))
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;
    use crate::env::Env;

    fn resolve(variables: &[(&str, &str)], section: &str) -> Result<Settings> {
        let mut file = tempfile::Builder::new().suffix(".toml").tempfile()?;
        writeln!(file, "[providers]\n{section}")?;
        Settings::read(&mut Reader::open(&Env::fake(variables), Some(file.path()))?)
    }

    #[test]
    fn what_can_be_asked_is_asked_in_a_sensible_order() {
        let names = |variables: &[(&str, &str)]| {
            let order = resolve(variables, "").unwrap().order.value;
            order.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(names(&[]), "static");
        assert_eq!(names(&[("ELECTRICITYMAPS_API_KEY", "k")]), "electricity_maps static");
        assert_eq!(names(&[("WATTTIME_USERNAME", "u")]), "static");
        let all = [
            ("WATTTIME_USERNAME", "u"),
            ("WATTTIME_PASSWORD", "p"),
            ("ELECTRICITYMAPS_TOKEN", "k"),
            ("ACSE_CARBON_INTENSITY_FILE", "/f.json"),
        ];
        assert_eq!(names(&all), "file electricity_maps watttime static");
    }

    #[test]
    fn the_names_of_the_predecessor_are_understood_and_others_refused() {
        let order = |names: &[&str]| resolve(&[], &format!("order = {names:?}"));
        let known = order(&["static", "wattime", "electricitymaps", "uk"]).unwrap().order.value;
        let expected = [Name::Static, Name::WattTime, Name::ElectricityMaps, Name::GreatBritain];
        assert_eq!(known, expected);
        for bad in [&["mars"][..], &["uk", "gb"], &[]] {
            assert!(format!("{:#}", order(bad).unwrap_err()).contains("providers.order"));
        }
        let url = resolve(&[], "gb_url = 'https://u:hunter2@maps.example'");
        assert!(!format!("{:#}", url.unwrap_err()).contains("hunter2"));
        assert!(resolve(&[], &format!("ttl_seconds = {}", i64::MAX)).is_err());
    }

    #[test]
    fn secrets_are_shown_nowhere() {
        let variables = [
            ("ELECTRICITYMAPS_TOKEN", "hunter2"),
            ("WATTTIME_USERNAME", "hunter2"),
            ("WATTTIME_PASSWORD", "hunter2"),
            ("HTTPS_PROXY", "http://u:hunter2@proxy.example:1"),
            ("HOME", "/nowhere"),
        ];
        let settings = resolve(&variables, "").unwrap();
        let names = [Name::ElectricityMaps, Name::WattTime];
        let grid = Grid::new(&settings, &names, Mode::Online).unwrap();
        assert!(!format!("{settings:?} {grid:?}").contains("hunter2"));
        let bad = resolve(&[("ELECTRICITYMAPS_TOKEN", "hunter2\nX: y")], "");
        let text = format!("{:#}", bad.unwrap_err());
        assert!(text.contains("ELECTRICITYMAPS_TOKEN") && !text.contains("hunter2"), "{text}");
    }

    #[test]
    fn what_is_missing_is_named() {
        let settings = resolve(&[("HOME", "/nowhere")], "").unwrap();
        let missing = |name| {
            let grid = Grid::new(&settings, &[name], Mode::Online);
            grid.unwrap_err().downcast::<Error>().unwrap()
        };
        for name in [Name::ElectricityMaps, Name::WattTime] {
            assert_eq!(missing(name), Error::NoCredentials(name));
        }
        assert_eq!(missing(Name::File), Error::NoFile);
        assert!(Grid::new(&settings, &[Name::WattTime], Mode::Offline).is_ok());
        let homeless = resolve(&[], "").unwrap();
        let grid = Grid::new(&homeless, &[Name::GreatBritain], Mode::Online);
        assert!(format!("{:#}", grid.unwrap_err()).contains("no place for the cache"));
        assert!(Grid::new(&homeless, &[], Mode::Online).is_ok());
    }
}
