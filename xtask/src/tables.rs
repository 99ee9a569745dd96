//! Rebuilds the data tables of `carbon-ops-grid` and `carbon-ops-meter` from the packages of codecarbon 3.3.2,
//! carbontracker 2.4.7 and co2.js 0.19.0, and the sources that are checked in beside them, and tells which numbers changed.
//!
//! Deterministic: the same packages and sources give the same bytes, so that `--check` can compare. It
//! fetches nothing; `pip download codecarbon==3.3.2 carbontracker==2.4.7 --no-deps` and `npm pack @tgwf/co2@0.19.0` do.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io::{Cursor, Read as _};
use std::path::Path;

use anyhow::{Context as _, Result, bail, ensure};

use crate::tidy::sha256_hex;

mod families;
pub(crate) mod grid;
mod states;
mod tdp;

/// A package as it was published.
pub(crate) struct Package {
    pub(crate) file: &'static str,
    pub(crate) sha256: &'static str,
}

pub(crate) const CODECARBON: Package = Package {
    file: "codecarbon-3.3.2-py3-none-any.whl",
    sha256: "05b31dea9dd26ed1e90947973c9ef20c87d127ea71fc32b4cb55a3ec512b8897",
};

pub(crate) const CARBONTRACKER: Package = Package {
    file: "carbontracker-2.4.7-py3-none-any.whl",
    sha256: "b83395096344f6466d526e4f20c12d38bafbfc0a56fd793085b1ac7df8a0aa0f",
};

pub(crate) const CO2: Package = Package {
    file: "tgwf-co2-0.19.0.tgz",
    sha256: "921bf6ba23bb009d746fab91f40864bf5dbaf109ae7b1dc7ef1c830ed7e77e26",
};

/// What anyone types to make the tables anew.
pub(crate) const REBUILT_BY: &str = "pip download carbontracker==2.4.7 codecarbon==3.3.2 --no-deps && npm pack @tgwf/co2@0.19.0 && cargo xtask tables --packages .";

impl fmt::Display for Package {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, SHA-256 {}", self.file, self.sha256)
    }
}

impl Package {
    /// Its bytes, when they are those that were published.
    pub(crate) fn read(&self, folder: &Path) -> Result<Vec<u8>> {
        let path = folder.join(self.file);
        let bytes = std::fs::read(&path).with_context(|| format!("reading {}", path.display()))?;
        let (hash, right) = (sha256_hex(&bytes), self.sha256);
        ensure!(hash == right, "{} has SHA-256 {hash}, not {right}", path.display());
        Ok(bytes)
    }
}

const GRID: &str = "crates/carbon-ops-grid/data";
const METER: &str = "crates/carbon-ops-meter/data";

/// Whether the tables are written or only compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    Write,
    Check,
}

/// `packages` is the folder that holds them.
pub(crate) fn run(root: &Path, packages: &Path, mode: Mode) -> Result<()> {
    let bytes = CODECARBON.read(packages)?;
    let newer =
        member(&CARBONTRACKER.read(packages)?, "carbontracker/data/carbon-intensities.csv")?;
    let mix = member(&bytes, "codecarbon/data/private_infra/global_energy_mix.json")?;
    let states = member(&bytes, "codecarbon/data/private_infra/2023/usa_emissions.json")?;
    let power = member(&bytes, "codecarbon/data/hardware/cpu_power.csv")?;
    let source = |path: String| {
        std::fs::read_to_string(root.join(&path)).with_context(|| format!("reading {path}"))
    };

    let countries = grid::countries(&mix, &newer, &source(format!("{GRID}/iso-3166.csv"))?)?;
    let averages = grid::averages(&CO2.read(packages)?)?;
    let places = grid::with_more(&countries, &averages)?;
    let processors = tdp::processors(&power, &source(format!("{METER}/sources/cpu-threads.csv"))?)?;
    let families = families::table(
        &source(format!("{METER}/sources/families.csv"))?,
        &source(format!("{METER}/cpu-idents.csv"))?,
        &tdp::with_more(processors.rows.clone(), &source(format!("{METER}/cpu-more.csv"))?)?,
    )?;
    let mut files = BTreeMap::new();
    files.insert(format!("{GRID}/grid-yearly.csv"), grid::yearly(&places));
    files.insert(format!("{GRID}/grid-mix.csv"), grid::mix(&mix, &countries)?);
    files.insert(format!("{GRID}/world.csv"), grid::world(&countries)?);
    files.insert(format!("{GRID}/us-states.csv"), states::table(&states)?);
    files.insert(format!("{METER}/cpu-tdp.csv"), tdp::table(&processors));
    files.insert(format!("{METER}/cpu-families.csv"), families);

    let sums = sums(root, &files)?;
    files.insert(format!("{GRID}/SHA256SUMS"), sums);

    let mut stale = Vec::new();
    for (path, text) in &files {
        let at = root.join(path);
        let old = std::fs::read_to_string(&at).unwrap_or_default();
        if old == *text {
            println!("{path}: unchanged");
        } else if mode == Mode::Write {
            if path.ends_with("grid-yearly.csv") {
                print!("{}", grid::changes(&old, text)?);
            }
            std::fs::write(&at, text).with_context(|| format!("writing {path}"))?;
            println!("{path}: written");
        } else {
            stale.push(path.as_str());
        }
    }
    if !stale.is_empty() {
        bail!("not what the packages and the sources give: {}", stale.join(", "));
    }
    Ok(())
}

/// The checksums of all tables of `carbon-ops-grid`, as `sha256sum` writes and checks them: of those just
/// made, and of those that are kept by hand.
fn sums(root: &Path, made: &BTreeMap<String, String>) -> Result<String> {
    let folder = root.join(GRID);
    let mut sums = BTreeMap::new();
    // One that is made for the first time lies in no folder yet.
    let new = made.keys().filter_map(|path| path.strip_prefix(GRID)?.strip_prefix('/'));
    let mut names: BTreeSet<String> = new.map(str::to_owned).collect();
    for entry in std::fs::read_dir(&folder).with_context(|| format!("reading {GRID}"))? {
        names.insert(entry?.file_name().to_string_lossy().into_owned());
    }
    for name in names {
        if Path::new(&name).extension().is_none_or(|ending| ending != "csv") {
            continue;
        }
        let kept = || std::fs::read(folder.join(&name)).with_context(|| format!("reading {name}"));
        let bytes = match made.get(&format!("{GRID}/{name}")) {
            Some(text) => text.clone().into_bytes(),
            None => kept()?,
        };
        sums.insert(name, sha256_hex(&bytes));
    }
    Ok(sums.iter().fold(String::new(), |text, (name, sum)| text + sum + "  " + name + "\n"))
}

/// One text file out of the wheel.
fn member(wheel: &[u8], name: &str) -> Result<String> {
    let mut archive =
        zip::ZipArchive::new(Cursor::new(wheel)).context("the wheel is no zip file")?;
    let mut file = archive.by_name(name).with_context(|| format!("{name} in the wheel"))?;
    let mut text = String::new();
    file.read_to_string(&mut text).with_context(|| format!("{name} in the wheel"))?;
    Ok(text)
}

/// The rows of one of our own tables, without comments and without the line of column names, each
/// cut at its commas. Our tables hold no quotes: a cell never contains a comma.
pub(crate) fn rows<const N: usize>(text: &str) -> Result<Vec<[&str; N]>> {
    let lines = text.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    lines
        .skip(1)
        .map(|line| {
            let cells: Vec<&str> = line.split(',').collect();
            <[&str; N]>::try_from(cells).ok().with_context(|| format!("not {N} cells: {line}"))
        })
        .collect()
}

/// The smallest value that at least the share `p` of the weight lies at or below. `sorted` is in
/// order of value.
fn quantile(sorted: &[(f64, f64)], p: f64) -> Option<f64> {
    let total: f64 = sorted.iter().map(|(_, weight)| weight).sum();
    let mut below = 0.0;
    for (value, weight) in sorted {
        below += weight;
        if below >= p * total {
            return Some(*value);
        }
    }
    sorted.last().map(|(value, _)| *value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_refuse_a_line_with_another_number_of_cells() {
        assert_eq!(rows::<2>("# c\na,b\n1,2\n").unwrap(), [["1", "2"]]);
        assert!(rows::<2>("a,b\n1,2,3\n").is_err());
    }

    #[test]
    fn quantile_follows_the_weights() {
        let even = [(1.0, 1.0), (2.0, 1.0), (3.0, 1.0), (4.0, 1.0)];
        assert_eq!(quantile(&even, 0.5), Some(2.0));
        let heavy = [(1.0, 1.0), (2.0, 1.0), (3.0, 1.0), (4.0, 9.0)];
        assert_eq!(quantile(&heavy, 0.5), Some(4.0));
        assert_eq!(quantile(&[], 0.5), None);
    }
}
