//! The thermal design power of processors by name, with their threads where known.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;

use anyhow::{Context as _, Result, ensure};

use super::{CODECARBON, REBUILT_BY, rows};

/// One processor.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Processor {
    pub(crate) tdp_watts: f64,
    pub(crate) threads: Option<u32>,
}

/// The processors by cleaned name, and what was left out on the way.
#[derive(Debug, Default)]
pub(crate) struct Processors {
    pub(crate) rows: BTreeMap<String, Processor>,
    dropped: Dropped,
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Dropped {
    comma: usize,
    vendor: usize,
    number: usize,
    again: usize,
    differing: usize,
}

/// Reads `cpu_power.csv` of the wheel, and joins our list of threads.
pub(crate) fn processors(cpu_power: &str, cpu_threads: &str) -> Result<Processors> {
    let mut threads = HashMap::new();
    for [name, count, _] in rows::<3>(cpu_threads)? {
        let count: u32 = count.parse().with_context(|| format!("threads of {name}"))?;
        let before = threads.insert(clean(name).to_lowercase(), count);
        ensure!(before.is_none_or(|before| before == count), "{name}: two counts of threads");
    }
    let mut processors = Processors::default();
    let mut seen = HashMap::new();
    for line in cpu_power.lines().skip(1) {
        let (name, tdp) = line.rsplit_once(',').with_context(|| format!("no comma: {line}"))?;
        let dropped = &mut processors.dropped;
        if name.contains([',', '"']) {
            dropped.comma += 1;
            continue;
        }
        let name = clean(name);
        if !["AMD ", "Intel ", "Apple "].iter().any(|vendor| name.starts_with(vendor)) {
            dropped.vendor += 1;
            continue;
        }
        let Some(tdp_watts) = tdp.trim().parse().ok().filter(|watts: &f64| *watts > 0.0) else {
            dropped.number += 1;
            continue;
        };
        let key = name.to_lowercase();
        if let Some(first) = seen.get(&key) {
            dropped.again += 1;
            let row = processors.rows.get_mut(first).context("a name seen has a row")?;
            dropped.differing += usize::from(row.tdp_watts.to_bits() != tdp_watts.to_bits());
            row.tdp_watts = row.tdp_watts.max(tdp_watts);
            continue;
        }
        let threads = threads.get(&key).copied();
        seen.insert(key, name.clone());
        processors.rows.insert(name, Processor { tdp_watts, threads });
    }
    Ok(processors)
}

/// The same with those of `cpu-more.csv`, which go first.
pub(crate) fn with_more(
    mut processors: BTreeMap<String, Processor>,
    more: &str,
) -> Result<BTreeMap<String, Processor>> {
    for [name, tdp, threads] in rows::<3>(more)? {
        let tdp_watts = tdp.parse().with_context(|| format!("watts of {name}"))?;
        processors.insert(name.to_owned(), Processor { tdp_watts, threads: threads.parse().ok() });
    }
    Ok(processors)
}

/// A name as the meter compares it: without trade marks and filler, spaces single.
pub(crate) fn clean(name: &str) -> String {
    let mut plain = name.replace(['®', '™', '\u{200b}'], "").replace('\u{a0}', " ");
    // "AMD 7th Gen A10-9600P": the generation is the seller's, few machines show it.
    for piece in ["(R)", "(TM)", "(r)", "(tm)", "(OEM Only)", "6th Gen ", "7th Gen "] {
        plain = plain.replace(piece, "");
    }
    let filler = |word: &&str| FILLER.iter().any(|filler| filler.eq_ignore_ascii_case(word));
    plain.split_whitespace().filter(|word| !filler(word)).collect::<Vec<_>>().join(" ")
}

const FILLER: [&str; 3] = ["CPU", "APU", "Processor"];

/// `cpu-tdp.csv`.
pub(crate) fn table(processors: &Processors) -> String {
    let with_threads = processors.rows.values().filter(|row| row.threads.is_some()).count();
    let Dropped { comma, vendor, number, again, differing } = processors.dropped;
    let powers = || processors.rows.values().map(|row| row.tdp_watts);
    let (lowest, highest) = (powers().fold(f64::MAX, f64::min), powers().fold(0.0, f64::max));
    let mut text = format!(
        "# Thermal design power of a processor (one chip), by name. Sorted by name, without regard to case.
# source: codecarbon 3.3.2 on PyPI, codecarbon/data/hardware/cpu_power.csv. licence: MIT. Copyright (c) 2020 Mila,
#   DataForGood, BCG GAMMA, Comet.ml, Haverford College.
# wheel: {CODECARBON}
# rebuilt by: {REBUILT_BY}
# name: cleaned: without (R), (TM), ®, ™ and the words CPU, APU and Processor, runs of spaces made one. A machine's
#   `model name` carries more (\"AMD EPYC 7763 64-Core\", \"Intel Xeon Gold 6148 @ 2.40GHz\", \"12th Gen Intel Core i7-1260P\"):
#   clean it the same way, and take the longest name that stands in it between spaces, without regard to case.
# tdp_w: the vendor's default TDP; {lowest} W to {highest} W.
# threads: hardware threads, from sources/cpu-threads.csv; empty where not known ({with_threads} of {rows} are).
# left out of {all}: {vendor} names without a vendor (\"460\", \"6140\": they would match too much), {number} without a number of
#   watts above zero, {comma} with a comma in the name, {again} named again once cleaned
#   ({differing} of them with other watts: the larger figure stands).
name,tdp_w,threads
",
        rows = processors.rows.len(),
        all = processors.rows.len() + comma + vendor + number + again,
    );
    let mut rows: Vec<_> = processors.rows.iter().collect();
    rows.sort_by_key(|(name, _)| name.to_ascii_lowercase());
    for (name, Processor { tdp_watts, threads }) in rows {
        let threads = threads.map(|threads| threads.to_string()).unwrap_or_default();
        let _ = writeln!(text, "{name},{tdp_watts},{threads}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const THREADS: &str = "name,threads,list\nIntel Xeon CPU Max 9480,112,intel\n";

    #[test]
    fn names_are_cleaned_and_joined() {
        let power = "Name,TDP\nIntel Xeon CPU Max 9480,350.0\nAMD Ryzen 5 6600HS\u{200b},35.0\n";
        let read = processors(power, THREADS).unwrap();
        let text = table(&read);
        let end = "name,tdp_w,threads\nAMD Ryzen 5 6600HS,35,\nIntel Xeon Max 9480,350,112\n";
        assert!(text.ends_with(end), "{text}");
    }

    #[test]
    fn what_cannot_be_used_is_left_out_and_counted() {
        let power = "Name,TDP\n460,10\nIntel Celeron 1200,29.32.9\nIntel Quark,0.0\n\"Intel, X\",1\n\
                     Intel Core i5-750S,82\nIntel Core i5-750s,82\n";
        let read = processors(power, THREADS).unwrap();
        assert_eq!(read.rows.len(), 1);
        assert_eq!(
            read.dropped,
            Dropped { comma: 1, vendor: 1, number: 2, again: 1, differing: 0 }
        );
    }

    #[test]
    fn one_name_with_two_counts_of_threads_is_an_error() {
        let threads = "name,threads,list\nAMD A APU,2,amd\nAMD A,4,amd\n";
        assert!(processors("Name,TDP\n", threads).is_err());
    }

    #[test]
    fn of_two_powers_for_one_name_the_larger_stands() {
        let read = processors("Name,TDP\nAMD A,1\nAMD a,2\n", THREADS).unwrap();
        assert_eq!(read.rows["AMD A"], Processor { tdp_watts: 2.0, threads: None });
        assert_eq!(read.dropped.differing, 1);
    }

    #[test]
    fn a_model_name_is_cleaned() {
        assert_eq!(clean("7th Gen AMD PRO A10-9700 APU"), "AMD PRO A10-9700");
        assert_eq!(
            clean("Intel(R) Xeon(R) CPU E5-2686 v4 @ 2.30GHz"),
            "Intel Xeon E5-2686 v4 @ 2.30GHz"
        );
    }
}
