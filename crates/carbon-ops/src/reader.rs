//! Where the value of each setting comes from: what was said on the spot, a variable, a file, or a default; the
//! first of these that is there.
//!
//! What is asked for is written down, so that every setting can be shown with its origin, and that what is set
//! and read by nobody can be named.
//!
//! Out of scope: which settings there are.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, anyhow, bail};
use carbon_ops_grid::Secret;
use carbon_ops_proof::text::plain;
use serde_json::Value;

use crate::env::Env;
use crate::fault::Fault;

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

/// A setting as it is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    /// Its key in a configuration file, or else its variable.
    pub name: &'static str,
    /// The variables that set it, the first of them first.
    pub variables: Vec<&'static str>,
    /// Its value as a text; a secret is dots.
    pub value: Option<String>,
    /// The value that it has when nobody sets it, if there is one.
    pub default: Option<String>,
    /// Who set it.
    pub origin: Origin,
}

/// Reads settings, each from the best of its sources.
#[derive(Debug)]
pub(crate) struct Reader<'a> {
    pub(crate) env: &'a Env,
    /// The configuration file, if there is one.
    path: Option<PathBuf>,
    /// Its values, by their keys with dots between, which nobody has asked for yet.
    file: BTreeMap<String, String>,
    shown: Vec<Shown>,
    variables: BTreeSet<&'static str>,
}

impl<'a> Reader<'a> {
    /// Of an environment, and no file.
    pub(crate) fn new(env: &'a Env) -> Self {
        let (file, shown, variables) = (BTreeMap::new(), Vec::new(), BTreeSet::new());
        Self { env, path: None, file, shown, variables }
    }

    /// With the file that is named, or else with the first that is found.
    pub(crate) fn open(env: &'a Env, named: Option<&Path>) -> Result<Self> {
        let named = named.map(Path::to_owned);
        let named = named.or_else(|| env.variable("CARBON_CONFIG_PATH").map(PathBuf::from));
        if let Some(path) = named {
            let file = parse_file(&path)?.ok_or_else(|| Fault::NoConfiguration(path.clone()))?;
            return Ok(Self { file, path: Some(path), ..Self::new(env) });
        }
        for path in searched(env) {
            let parsed = parse_file(&path).map_err(|error| {
                if path.is_relative() { error.context(Fault::FoundConfiguration) } else { error }
            });
            if let Some(file) = parsed? {
                return Ok(Self { file, path: Some(path), ..Self::new(env) });
            }
        }
        Ok(Self::new(env))
    }

    /// A setting by its key in a file and by its variables, parsed; an error names the origin.
    pub(crate) fn get<T>(
        &mut self,
        key: &'static str,
        variables: &[&'static str],
        default: Option<String>,
        parse: impl Fn(&str) -> Result<T>,
    ) -> Result<Setting<Option<T>>> {
        self.stated(None, key, variables, default, parse)
    }

    /// The same, where it may have been said on the spot.
    pub(crate) fn stated<T>(
        &mut self,
        said: Option<String>,
        key: &'static str,
        variables: &[&'static str],
        default: Option<String>,
        parse: impl Fn(&str) -> Result<T>,
    ) -> Result<Setting<Option<T>>> {
        let of_file = self.file.remove(key).zip(self.path.clone());
        let found = said
            .map(|text| (text, Origin::Flag))
            .or_else(|| self.variable(variables))
            .or_else(|| of_file.map(|(text, path)| (text, Origin::File(path))))
            .or_else(|| default.clone().map(|text| (text, Origin::Default)));
        let (value, origin) = found.unzip();
        let origin = origin.unwrap_or(Origin::Default);
        let parsed = value.as_deref().map(|text| {
            parse(text).with_context(|| match &origin {
                Origin::File(_) => format!("{key}: value {text:?} from {origin}"),
                _ => format!("value {text:?} from {origin}"),
            })
        });
        let setting = Setting { value: parsed.transpose()?, origin: origin.clone() };
        let variables = variables.to_vec();
        self.shown.push(Shown { name: key, variables, value, default, origin });
        Ok(setting)
    }

    /// A setting that has a value always.
    pub(crate) fn always<T>(
        &mut self,
        key: &'static str,
        default: String,
        parse: impl Fn(&str) -> Result<T>,
    ) -> Result<Setting<T>> {
        let Setting { value, origin } = self.get(key, &[], Some(default), parse)?;
        Ok(Setting { value: value.context("a default is missing")?, origin })
    }

    /// The same, of a value that may hold what no error should quote.
    pub(crate) fn unquoted<T>(
        &mut self,
        key: &'static str,
        default: &str,
        parse: impl Fn(&str) -> Result<T>,
    ) -> Result<Setting<T>> {
        let text = self.always(key, default.to_owned(), |text| Ok(text.to_owned()))?;
        let value = parse(&text.value).with_context(|| format!("{key} from {}", text.origin))?;
        Ok(Setting { value, origin: text.origin })
    }

    /// What no file holds and no error quotes.
    pub(crate) fn secret(
        &mut self,
        variables: &'static [&'static str],
    ) -> Result<Setting<Option<Secret>>> {
        let (value, origin) = self.variable(variables).unzip();
        let origin = origin.unwrap_or(Origin::Default);
        let value = value.map(|value| Secret::new(&value)).transpose();
        let value = value.with_context(|| format!("value from {origin}"))?;
        let name = variables.first().copied().unwrap_or_default();
        let shown = value.as_ref().map(ToString::to_string);
        let (variables, origin_shown) = (variables.to_vec(), origin.clone());
        let shown = Shown { name, variables, value: shown, default: None, origin: origin_shown };
        self.shown.push(shown);
        Ok(Setting { value, origin })
    }

    /// All values of a file whose keys begin so, by what follows.
    pub(crate) fn below<T>(
        &mut self,
        section: &'static str,
        parse: impl Fn(&str) -> Result<T>,
    ) -> Result<BTreeMap<String, T>> {
        let found = self.take(|key| key.starts_with(section));
        let mut values = BTreeMap::new();
        for (key, text) in &found {
            let name = key.trim_start_matches(section).trim_start_matches('.');
            let value = parse(text).with_context(|| format!("{key}: value {text:?}"))?;
            values.insert(name.to_owned(), value);
        }
        let each = found.iter().map(|(key, text)| {
            format!("{}={text}", key.trim_start_matches(section).trim_start_matches('.'))
        });
        let value = Some(each.collect::<Vec<_>>().join(" ")).filter(|texts| !texts.is_empty());
        let path = self.path.clone().filter(|_| value.is_some());
        let origin = path.map_or(Origin::Default, Origin::File);
        let (name, variables, default) = (section, Vec::new(), None);
        self.shown.push(Shown { name, variables, value, default, origin });
        Ok(values)
    }

    /// Those values of the file whose keys are such.
    fn take(&mut self, such: impl Fn(&String) -> bool) -> BTreeMap<String, String> {
        let file = std::mem::take(&mut self.file);
        let (taken, left) = file.into_iter().partition(|(key, _)| such(key));
        self.file = left;
        taken
    }

    /// The first variable that is set.
    pub(crate) fn variable(&mut self, names: &[&'static str]) -> Option<(String, Origin)> {
        self.variables.extend(names);
        let value = |name: &&'static str| Some((self.env.variable(name)?.to_owned(), *name));
        let (value, name) = names.iter().find_map(value)?;
        Some((value, Origin::Environment(name)))
    }

    /// What was asked for and what nobody asked for: sections of a file that are `idle` have no effect, and
    /// others are refused; variables that begin so are named.
    pub(crate) fn close(mut self, idle: &[&str], prefixes: &[&str]) -> Result<Read> {
        let section = |key: &String| key.split('.').next().unwrap_or_default().to_owned();
        let set = self.take(|key| idle.contains(&&*section(key)));
        let without_effect: BTreeSet<_> = set.keys().map(section).collect();
        if let (Some(key), Some(path)) = (self.file.keys().next(), &self.path) {
            let beside = self.shown.iter().map(|shown| shown.name);
            let beside: Vec<_> =
                beside.filter(|name| name.split('.').next() == Some(&section(key))).collect();
            let known = match &beside[..] {
                [] => String::new(),
                names => format!("; known are {}", names.join(", ")),
            };
            let file = path.display();
            return Err(
                anyhow!("unknown key {key}{known}").context(format!("configuration file {file}"))
            );
        }
        let ours = |name: &&str| prefixes.iter().any(|prefix| name.starts_with(prefix));
        let unknown = self.env.names().filter(ours).filter(|name| !self.variables.contains(name));
        Ok(Read {
            unknown_variables: unknown.map(str::to_owned).collect(),
            without_effect: without_effect.into_iter().collect(),
            path: self.path,
            shown: self.shown,
        })
    }
}

/// What is left when all was read.
pub(crate) struct Read {
    pub(crate) path: Option<PathBuf>,
    pub(crate) shown: Vec<Shown>,
    pub(crate) without_effect: Vec<String>,
    pub(crate) unknown_variables: Vec<String>,
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
fn parse_file(path: &Path) -> Result<Option<BTreeMap<String, String>>> {
    let named = || format!("configuration file {}", path.display());
    let text = match std::fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Ok(metadata) if metadata.len() > FILE_BYTES_MAX => {
            bail!("{} is larger than 1 MiB", named())
        }
        _ => std::fs::read(path)
            .and_then(|bytes| String::from_utf8(plain(bytes)).map_err(io::Error::other))
            .with_context(named)?,
    };
    let parsed: Result<Value> = match path.extension().and_then(|ending| ending.to_str()) {
        Some("json") => serde_json::from_str(&text).map_err(anyhow::Error::from),
        Some("yml" | "yaml") => serde_saphyr::from_str(&text).map_err(anyhow::Error::from),
        _ => toml::from_str(&text).map_err(anyhow::Error::from),
    };
    let mut values = BTreeMap::new();
    flatten(String::new(), parsed.with_context(named)?, &mut values).with_context(named)?;
    Ok(Some(values))
}

/// Values by their keys with dots between; those of a list stand with spaces between.
fn flatten(key: String, value: Value, values: &mut BTreeMap<String, String>) -> Result<()> {
    match value {
        Value::Null => {}
        Value::Object(members) => {
            for (name, value) in members {
                let key = if key.is_empty() { name } else { format!("{key}.{name}") };
                flatten(key, value, values)?;
            }
        }
        _ if key.is_empty() => bail!("sections with keys and values are expected"),
        Value::Array(list) => {
            let texts: Result<Vec<_>> = list.into_iter().map(|value| scalar(&key, value)).collect();
            values.insert(key, texts?.join(" "));
        }
        value => drop(values.insert(key.clone(), scalar(&key, value)?)),
    }
    Ok(())
}

fn scalar(key: &str, value: Value) -> Result<String> {
    match value {
        Value::String(text) => Ok(text),
        Value::Number(number) => Ok(number.to_string()),
        Value::Bool(flag) => Ok(flag.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => {
            bail!("{key}: a list of texts is expected")
        }
    }
}

#[expect(clippy::unnecessary_wraps, reason = "as all that reads a value")]
pub(crate) fn path(text: &str) -> Result<PathBuf> {
    Ok(PathBuf::from(text))
}
