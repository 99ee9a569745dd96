//! What programs are made of, as `CycloneDX` 1.5: each crate with its version, licence and the checksum that the lock file
//! holds it to.
//!
//! Out of scope: tools that only build or test.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use super::output;
use crate::tidy;

/// The document for these packages and programs.
pub(super) fn of(root: &Path, programs: &[(&str, &str)]) -> Result<String> {
    let metadata = tidy::metadata(root, &["--locked"])?;
    let mut licences = BTreeMap::new();
    for package in tidy::list(&metadata, "packages") {
        let text = |name: &str| tidy::string(package, name).unwrap_or_default().to_owned();
        licences.insert((text("name"), text("version")), text("license"));
    }
    let lock = fs::read_to_string(root.join("Cargo.lock")).context("Cargo.lock")?;
    let sums = checksums(&lock);
    let mut crates = BTreeSet::new();
    for (package, _) in programs {
        let mut tree = Command::new("cargo");
        tree.args(["tree", "--locked", "-e", "normal", "--prefix", "none", "--package", package]);
        let text = output(tree.current_dir(root))?;
        crates.extend(text.lines().filter_map(|line| {
            let mut words = line.split_whitespace();
            let (name, version) = (words.next()?, words.next()?.strip_prefix('v')?);
            Some((name.to_owned(), version.to_owned()))
        }));
    }
    let components: Vec<Value> = crates
        .into_iter()
        .map(|id| {
            let purl = format!("pkg:cargo/{}@{}", id.0, id.1);
            let mut component = json!({ "type": "library", "name": id.0, "version": id.1,
                "purl": purl, "bom-ref": purl });
            if let Some(object) = component.as_object_mut() {
                if let Some(licence) = licences.get(&id).filter(|licence| !licence.is_empty()) {
                    // An old-style `A/B` means OR.
                    let licence = licence.replace('/', " OR ");
                    object.insert("licenses".to_owned(), json!([{ "expression": licence }]));
                }
                if let Some(sum) = sums.get(&id) {
                    let hashes = json!([{ "alg": "SHA-256", "content": sum }]);
                    object.insert("hashes".to_owned(), hashes);
                }
            }
            component
        })
        .collect();
    let named: Vec<&str> = programs.iter().map(|(_, program)| *program).collect();
    let version = components.first().map(|_| env!("CARGO_PKG_VERSION"));
    let about = json!({ "component": { "type": "application", "name": named.join(", "),
        "version": version, "bom-ref": "program" } });
    let document = json!({ "bomFormat": "CycloneDX", "specVersion": "1.5", "version": 1,
        "metadata": about, "components": components });
    Ok(format!("{document:#}\n"))
}

/// The checksums of a lock file, by name and version.
fn checksums(lock: &str) -> BTreeMap<(String, String), String> {
    let value = |block: &str, name: &str| {
        let begin = format!("{name} = \"");
        let line = block.lines().find_map(|line| line.strip_prefix(&begin))?;
        Some(line.trim_end_matches('"').to_owned())
    };
    let blocks = lock.split("[[package]]").skip(1);
    blocks
        .filter_map(|block| {
            let id = (value(block, "name")?, value(block, "version")?);
            Some((id, value(block, "checksum")?))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crates_of_a_registry_have_their_checksum_and_ours_have_none() {
        let lock = "version = 4\n\n[[package]]\nname = \"a\"\nversion = \"1.0\"\nsource = \"r\"\n\
                    checksum = \"abc\"\n\n[[package]]\nname = \"ours\"\nversion = \"0.2.0\"\n";
        let sums = checksums(lock);
        assert_eq!(sums.len(), 1);
        assert_eq!(sums[&("a".to_owned(), "1.0".to_owned())], "abc");
    }
}
