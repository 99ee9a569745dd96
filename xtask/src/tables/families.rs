//! The table of microarchitectures: the TDP per thread of the processors that belong to a family by name.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use anyhow::{Context as _, Result, ensure};

use super::tdp::Processor;
use super::{quantile, rows};

const HEADER: &str = "# Microarchitectures, and TDP per thread of their parts. In the order of sources/families.csv; empty = not known.
# rebuilt by: cargo xtask tables (from sources/families.csv, cpu-idents.csv, cpu-tdp.csv and cpu-more.csv)
# tdp_w_per_thread_min, _median, _max: derived: tdp_w / threads over the processors that have both and that a name rule
#   of cpu-idents.csv puts in the family, or in the one that it is like (models of equal weight, not by their sales).
# threads_max: the most threads on one chip among them. parts: how many they are.
# A virtual CPU of an unknown part of the family draws between the extremes; clouds buy parts of many threads, so that
# the lower half is the likelier. The chip's TDP holds neither memory nor power supply nor fans.
family,vendor,tdp_w_per_thread_min,tdp_w_per_thread_median,tdp_w_per_thread_max,threads_max,parts
";

/// `cpu-families.csv`.
pub(crate) fn table(
    families: &str,
    idents: &str,
    processors: &BTreeMap<String, Processor>,
) -> Result<String> {
    let idents = rows::<8>(idents)?;
    // The rules that ask for a name and nothing else: the table has no numbers to compare.
    let rules: Vec<(&str, &str)> = idents
        .iter()
        .filter(|[_, family, model, _, stepping, ..]| {
            [family, model, stepping].iter().all(|cell| cell.is_empty())
        })
        .map(|[.., pattern, family]| (*pattern, *family))
        .filter(|(pattern, _)| !pattern.is_empty())
        .collect();
    let families = rows::<3>(families)?;
    let is_there = |family: &str| families.iter().any(|[name, ..]| *name == family);
    for [.., family] in &idents {
        ensure!(is_there(family), "no such family: {family}");
    }
    let mut text = HEADER.to_owned();
    for [family, vendor, like] in &families {
        let parts_of = if like.is_empty() { family } else { like };
        ensure!(is_there(parts_of), "no such family: {parts_of}");
        let mut per_thread = Vec::new();
        let mut threads_max = 0;
        for (name, processor) in processors {
            let Some(threads) = processor.threads else { continue };
            if family_of(&rules, name) == Some(parts_of) {
                per_thread.push((processor.tdp_watts / f64::from(threads), 1.0));
                threads_max = threads_max.max(threads);
            }
        }
        per_thread.sort_by(|a, b| a.0.total_cmp(&b.0));
        let _ = write!(text, "{family},{vendor},");
        if per_thread.is_empty() {
            text.push_str(",,,,0\n");
            continue;
        }
        for p in [0.0, 0.5, 1.0] {
            let _ = write!(text, "{:.3},", quantile(&per_thread, p).context("no parts")?);
        }
        let _ = writeln!(text, "{threads_max},{}", per_thread.len());
    }
    Ok(text)
}

/// The family by the first name rule that fits.
fn family_of<'a>(rules: &[(&str, &'a str)], name: &str) -> Option<&'a str> {
    let name = name.to_lowercase();
    let fits = |pattern: &str| contains(&name, &pattern.to_lowercase());
    rules.iter().find(|(pattern, _)| fits(pattern)).map(|(_, family)| *family)
}

/// Whether `pattern` stands in `text`; `?` stands for one letter or digit.
fn contains(text: &str, pattern: &str) -> bool {
    let (text, pattern) = (text.as_bytes(), pattern.as_bytes());
    let matches = |window: &[u8]| {
        let same = |(at, wanted): (&u8, &u8)| {
            at == wanted || (*wanted == b'?' && at.is_ascii_alphanumeric())
        };
        window.iter().zip(pattern).all(same)
    };
    text.windows(pattern.len().max(1)).any(matches)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_mark_is_one_letter_or_digit() {
        assert!(contains("amd epyc 7r13", "epyc 7??3"));
        assert!(contains("amd epyc 7763 64-core", "epyc 7??3"));
        assert!(!contains("amd epyc 7 13", "epyc 7??3"));
        assert!(!contains("amd epyc", "epyc 7??3"));
    }

    #[test]
    fn the_tdp_per_thread_of_a_family_is_spread_over_its_parts() {
        let families = "h\nEPYC,amd,\nNone,,\nNew,amd,EPYC\n";
        let idents = "h\nAuthenticAMD,,,,,,EPYC 9??4,EPYC\nAuthenticAMD,25,1,1,,,EPYC,None\n";
        let part = |tdp_watts, threads| Processor { tdp_watts, threads };
        let parts = BTreeMap::from([
            ("AMD EPYC 9124".to_owned(), part(200.0, Some(32))),
            ("AMD EPYC 9654".to_owned(), part(360.0, Some(192))),
            ("AMD EPYC 9754".to_owned(), part(360.0, None)),
        ]);
        let text = table(families, idents, &parts).unwrap();
        let figures = "1.875,1.875,6.250,192,2";
        let end = format!("EPYC,amd,{figures}\nNone,,,,,,0\nNew,amd,{figures}\n");
        assert!(text.ends_with(&end), "{text}");
    }

    #[test]
    fn a_rule_for_an_unknown_family_is_an_error() {
        assert!(table("h\n", "h\nAuthenticAMD,,,,,,EPYC,EPYC\n", &BTreeMap::new()).is_err());
    }
}
