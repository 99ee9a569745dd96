//! Every dependency may be used under a licence that `deny.toml` allows.
//!
//! `cargo deny` checks more (bans, sources, advisories), but has to be installed first; this needs
//! nothing, so that licences are checked on every machine.

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use super::{list, string};

/// One complaint for each package from a registry whose licence is not allowed.
pub(super) fn complaints(metadata: &Value, deny: &str) -> Result<Vec<String>> {
    let allowed = allowed(deny)?;
    let mut complaints = Vec::new();
    for package in list(metadata, "packages") {
        if string(package, "source").is_none() {
            continue;
        }
        let name = string(package, "name").unwrap_or_default();
        match string(package, "license") {
            Some(licence) if permits(licence, &allowed) => {}
            Some(licence) => complaints.push(format!("{name}: licence {licence} is not allowed")),
            None => complaints.push(format!("{name}: names no licence")),
        }
    }
    Ok(complaints)
}

/// The identifiers between the brackets of `allow = [` in `deny.toml`.
fn allowed(deny: &str) -> Result<Vec<&str>> {
    let (_, list) = deny.split_once("\nallow = [").context("deny.toml: no `allow = [`")?;
    let (list, _) = list.split_once(']').context("deny.toml: `allow` does not end")?;
    let allowed: Vec<&str> = list.split('"').skip(1).step_by(2).collect();
    ensure!(!allowed.is_empty(), "deny.toml allows no licence");
    Ok(allowed)
}

/// Whether an SPDX expression can be met with the allowed licences. AND binds closer than OR; an
/// old-style `A/B` means OR.
fn permits(expression: &str, allowed: &[&str]) -> bool {
    let spaced = expression.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut rest = words.as_slice();
    any_of(&mut rest, allowed) && rest.is_empty()
}

fn any_of(words: &mut &[&str], allowed: &[&str]) -> bool {
    let mut met = all_of(words, allowed);
    while let ["OR", rest @ ..] = *words {
        *words = rest;
        met |= all_of(words, allowed);
    }
    met
}

fn all_of(words: &mut &[&str], allowed: &[&str]) -> bool {
    let mut met = one(words, allowed);
    while let ["AND", rest @ ..] = *words {
        *words = rest;
        met &= one(words, allowed);
    }
    met
}

fn one(words: &mut &[&str], allowed: &[&str]) -> bool {
    match *words {
        ["(", rest @ ..] => {
            *words = rest;
            let met = any_of(words, allowed);
            let [")", rest @ ..] = *words else { return false };
            *words = rest;
            met
        }
        [name, "WITH", exception, rest @ ..] => {
            *words = rest;
            allowed.contains(&format!("{name} WITH {exception}").as_str())
        }
        [name, rest @ ..] => {
            *words = rest;
            allowed.contains(name)
        }
        [] => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const DENY: &str = "[licenses]\nallow = [\n  \"MIT\",\n  \"Unicode-3.0\",\n  \"Apache-2.0 WITH LLVM-exception\",\n]\n";

    #[test]
    fn expressions_are_met_or_not() {
        let allowed = allowed(DENY).unwrap();
        for good in [
            "MIT",
            "MIT OR GPL-3.0-only",
            "GPL-3.0-only/MIT",
            "(MIT OR Apache-2.0) AND Unicode-3.0",
            "Apache-2.0 WITH LLVM-exception OR GPL-2.0-only",
        ] {
            assert!(permits(good, &allowed), "{good}");
        }
        for bad in ["GPL-3.0-only", "MIT AND GPL-3.0-only", "Apache-2.0", "(MIT", "MIT MIT", ""] {
            assert!(!permits(bad, &allowed), "{bad}");
        }
    }

    #[test]
    fn a_package_under_another_licence_or_none_is_found() {
        let packages = json!({ "packages": [
            { "name": "ours", "source": null, "license": null },
            { "name": "fine", "source": "registry", "license": "MIT" },
            { "name": "other", "source": "registry", "license": "AGPL-3.0-only" },
            { "name": "silent", "source": "registry", "license": null },
        ] });
        assert_eq!(
            complaints(&packages, DENY).unwrap(),
            ["other: licence AGPL-3.0-only is not allowed", "silent: names no licence"]
        );
        assert!(complaints(&packages, "[licenses]\n").is_err());
    }
}
