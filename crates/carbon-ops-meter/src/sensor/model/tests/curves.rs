//! The model against published measurements: some of them make its figures, the others test them. The result stands in
//! `docs/method.md`; `cargo test -p carbon-ops-meter --lib curves -- --nocapture` prints it.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::*;
use crate::sensor::processor::{is_client, listed_tdp};

const PUBLISHED: &str = include_str!("../../../../data/sources/power-curves.csv");
const DOCUMENT: &str = include_str!("../../../../../../docs/method.md");

/// Of a whole machine's power above rest.
const OF_WALL: f64 = 0.85;

struct Published {
    sets: bool,
    processor: &'static str,
    chips: u32,
    of_wall: f64,
    rest: Option<f64>,
    /// Load and power, above that at rest.
    points: Vec<(f64, f64)>,
}

fn published() -> Vec<Published> {
    let lines = PUBLISHED.lines().filter(|line| !line.starts_with('#')).skip(1);
    lines
        .map(|line| {
            let [set, processor, chips, scope, watts, _source] =
                line.splitn(6, ',').collect::<Vec<_>>().try_into().unwrap();
            let points = watts.split(' ').map(|pair| pair.split_once(':').unwrap());
            let mut points: Vec<(f64, f64)> = points
                .map(|(u, w)| (u.parse::<f64>().unwrap() / 100.0, w.parse().unwrap()))
                .collect();
            let rest = (points[0].0 == 0.0).then(|| points.remove(0).1);
            Published {
                sets: set == "fit",
                processor,
                chips: chips.parse().unwrap(),
                of_wall: if scope == "wall" { OF_WALL } else { 1.0 },
                rest,
                points,
            }
        })
        .collect()
}

impl Published {
    fn model(&self) -> PowerModel {
        let (_, threads) =
            listed_tdp(self.processor).unwrap_or_else(|| panic!("{}", self.processor));
        let siblings = threads.unwrap_or(64);
        let info = CpuInfo {
            name: self.processor.into(),
            vcpus: siblings * self.chips,
            packages: self.chips,
            siblings: Some(siblings),
            ..CpuInfo::default()
        };
        PowerModel::of(&info, Some(1), Overrides::default())
    }

    /// Power above rest in parts of the TDP.
    fn parts(&self, shape: &Shape) -> Vec<(f64, f64)> {
        let tdp = self.model().tdp.as_watts();
        let rest = self.rest.unwrap_or(shape.rest.0 * tdp);
        self.points.iter().map(|(u, w)| (*u, (w - rest) * self.of_wall / tdp)).collect()
    }

    fn kind(&self) -> &'static str {
        match self.processor {
            name if is_client(name) && !name.contains("Apple") => "desktops and laptops",
            name if name.contains("Altra") || name.contains("Grace") => "servers of Arm's cores",
            name if name.contains("Intel") || name.contains("AMD") => "servers, x86",
            _ => "Apple, Raspberry Pi",
        }
    }
}

/// Between points that were measured, none beyond.
fn at(points: &[(f64, f64)], load: f64) -> Option<f64> {
    let hit = points.iter().find(|(u, _)| (u - load).abs() < 1e-9).map(|(_, part)| *part);
    hit.or_else(|| {
        points.windows(2).find(|pair| pair[0].0 < load && load < pair[1].0).map(|pair| {
            let way = (load - pair[0].0) / (pair[1].0 - pair[0].0);
            pair[0].1 + way * (pair[1].1 - pair[0].1)
        })
    })
}

#[test]
fn the_figures_of_the_model_are_those_of_the_curves_that_set_it() {
    let curves = published();
    assert_eq!(curves.iter().filter(|curve| curve.sets).count(), CURVES);
    for (shape, client) in [(&SERVER, false), (&CLIENT, true)] {
        let of_kind = |curve: &&Published| curve.sets && is_client(curve.processor) == client;
        let parts: Vec<_> = curves.iter().filter(of_kind).map(|curve| curve.parts(shape)).collect();
        let figures = |load| {
            let parts: Vec<f64> = parts.iter().filter_map(|points| at(points, load)).collect();
            let n: f64 = parts.iter().map(|_| 1.0).sum();
            let mean = parts.iter().sum::<f64>() / n;
            let square = parts.iter().map(|part| (part - mean).powi(2)).sum::<f64>() / (n - 1.0);
            // The next one's scatter, and the mean's.
            (mean, (square * (1.0 + 1.0 / n)).sqrt() / mean)
        };
        let (_, least) = figures(1.0);
        for &(load, part, cv) in shape.active {
            let (mean, spread) = figures(load);
            // Three laptops are no surer than eight processors.
            let spread = if client { spread.max(least) } else { spread };
            assert!((mean - part).abs() < 6e-4, "{load}: {mean:.3}");
            assert!((spread - cv).abs() < 6e-4, "{load}: {spread:.3}");
        }
    }
}

#[derive(Default)]
struct Tally {
    curves: u32,
    points: f64,
    inside: f64,
    error: f64,
}

#[test]
fn the_intervals_of_the_model_hold_curves_that_did_not_set_it() {
    let second = Duration::from_secs(1);
    let mut tallies: BTreeMap<&str, Tally> = BTreeMap::new();
    let mut named = String::new();
    for curve in published().iter().filter(|curve| !curve.sets) {
        let model = curve.model();
        let mut told = Vec::new();
        for &(load, watts) in &curve.points {
            let busy = second * model.vcpus;
            let cpu =
                CpuUse { workload: busy.mul_f64(load), busy: busy.mul_f64(load), capacity: busy };
            let run = model.run(second, cpu);
            let power = |name| {
                let estimate = run.estimates.iter().find(|it| it.name == name).unwrap();
                if curve.rest.is_some() { estimate.workload } else { estimate.cpu }.as_joules()
            };
            let measured = (watts - curve.rest.unwrap_or(0.0)) * curve.of_wall;
            let [low, mean, high] = ["low", "mean", "high"].map(power);
            told.push((measured, low, mean, high));
        }
        for kind in [curve.kind(), "~all"] {
            let tally = tallies.entry(kind).or_default();
            tally.curves += 1;
            for (measured, low, mean, high) in &told {
                tally.points += 1.0;
                tally.inside += if (low..=high).contains(&measured) { 1.0 } else { 0.0 };
                tally.error += mean / measured - 1.0;
            }
        }
        if !curve.kind().contains("x86") && !curve.kind().contains("desktops") {
            let (measured, low, mean, high) = told.last().unwrap();
            let _ = writeln!(
                named,
                "| {}, {} | {measured:.1} | {mean:.1} | {low:.1} to {high:.1} |",
                curve.processor, curve.chips
            );
        }
    }
    let mut table =
        "| published curves | curves | points | mean error | inside the 95 % interval |\n\
                     |---|---|---|---|---|\n"
            .to_owned();
    for (kind, Tally { curves, points, inside, error }) in &tallies {
        let kind = kind.trim_start_matches('~');
        let (error, share) = (100.0 * error / points, 100.0 * inside / points);
        let _ = writeln!(table, "| {kind} | {curves} | {points} | {error:+.0} % | {share:.0} % |");
    }
    let _ = write!(
        table,
        "\n| processor, chips, at full load | measured, W | model, W | 95 % |\n|---|---|---|---|\n{named}"
    );
    println!("{table}");
    let all = &tallies["~all"];
    assert!(all.curves >= 25 && all.inside >= 0.9 * all.points, "{table}");
    let shown = DOCUMENT
        .split_once("<!-- curves -->\n")
        .unwrap()
        .1
        .split_once("<!-- /curves -->")
        .unwrap()
        .0;
    assert_eq!(shown, table, "docs/method.md");
}
