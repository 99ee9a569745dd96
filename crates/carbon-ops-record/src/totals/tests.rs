//! Sums of records: in any order, with shared errors shared, against numbers worked out by hand.

use proptest::prelude::*;

use super::*;
use std::collections::BTreeMap;

use crate::rows::Scratch;
use crate::{
    Brief, Deployment, Error, Grid, Input, Method, Quality, Record, Relative, Reserved, Slots,
    Stated, scopes,
};
use carbon_ops_estimate::intensity::{Factor, Interval};
use carbon_ops_estimate::uncertainty::{MonteCarlo, Trials};

/// A workload of a host in a zone: attribution 5 %, shared by the host; intensity 10 %, shared by the zone.
fn record(workload_uj: u64, zone: &str, host: &str) -> Record {
    #[expect(clippy::cast_precision_loss, reason = "few digits")]
    let kwh = workload_uj as f64 / 3.6e12;
    span(
        &[
            ("energy", &format!("{kwh}"), ""),
            ("attribution", "ln(1, 0.05)", &format!("idle:{host}")),
            ("pue", "1.1", "pue:flag"),
            ("intensity", "ln(342.06, 0.1)", &format!("grid:owid:{zone}:average_lifecycle:2024")),
        ],
        &[],
    )
}

fn sum<'a>(records: impl IntoIterator<Item = &'a Record>) -> Group {
    let mut whole = Group::default();
    records.into_iter().for_each(|record| whole.merge(&Group::of(record).unwrap()));
    whole
}

/// The sums over records of which so few rows are held that nearly all are laid down.
fn sums(records: &[Record], by: &GroupBy, sampling: Option<&MonteCarlo>) -> Result<Sums, Error> {
    sums_holding(3, records, by, sampling)
}

#[expect(clippy::unnecessary_wraps, reason = "other scratches can fail")]
fn scratch() -> std::io::Result<Box<dyn Scratch>> {
    Ok(Box::new(std::io::Cursor::new(Vec::new())))
}

fn sums_holding(
    rows: usize,
    records: &[Record],
    by: &GroupBy,
    sampling: Option<&MonteCarlo>,
) -> Result<Sums, Error> {
    let mut adder = Adder::of(set::Set::holding(rows, &scratch));
    for record in records {
        let text = serde_json::to_vec(record).unwrap();
        adder.add(Addend::of(record.clone(), &text, by, sampling.is_some())?)?;
    }
    adder.finish(sampling, None)
}

mod hosted;
mod market;
mod model;

fn near(a: f64, b: f64) {
    assert!((a - b).abs() <= 1e-8 * b.abs(), "{a} is not {b}");
}

/// Attribution 5 %, shared by a host; intensity 10 %, shared by a zone; both lognormal. A record's cv is
/// √(1.0025 · 1.01 − 1), of which 0.05²·0.1² is of both together and counts as independent.
#[test]
fn shared_errors_add_and_others_do_not() {
    let u = 519_400_000;
    let one = sum(&[record(u, "DE", "a")]).totals();
    near(one.relative_uncertainty_pct, 100.0 * (1.0025f64 * 1.01 - 1.0).sqrt());
    let both = 0.05f64 * 0.05 * 0.1 * 0.1;
    for (records, cv) in [
        // One host, one zone: as one record.
        ([record(u, "DE", "a"), record(u, "DE", "a")], (0.0025 + 0.01 + both).sqrt()),
        ([record(u, "DE", "a"), record(u, "DE", "b")], (0.0025 / 2.0 + 0.01 + both / 2.0).sqrt()),
        ([record(u, "DE", "a"), record(u, "FR", "b")], ((0.0025 + 0.01 + both) / 2.0).sqrt()),
    ] {
        let totals = sum(&records).totals();
        near(totals.relative_uncertainty_pct, 100.0 * cv);
        near(totals.total_grams, 2.0 * one.total_grams);
    }
    // Of two hosts in a zone: the grid's part of the variance, the largest, then those of a host each.
    let totals = sum(&[record(u, "DE", "b"), record(u, "DE", "a")]).totals();
    let whole = 0.01 + 0.0025 / 2.0 + both / 2.0;
    let parts: Vec<_> = totals.shared.iter().map(|of| (of.key.as_str(), of.pct)).collect();
    assert_eq!(parts[..3].iter().map(|of| of.0).collect::<Vec<_>>(), [GRID, "idle:a", "idle:b"]);
    near(parts[0].1, 100.0 * 0.01 / whole);
    near(parts[1].1, 100.0 * 0.0025 / 4.0 / whole);
    near(totals.shared_variance_pct, 100.0);
    assert_eq!(totals.confidence_level_pct.to_bits(), 95_f64.to_bits());
    // And what has no part in it is not listed: the exact PUE of a key, and errors that cancel each other.
    assert!(parts.len() == 5 && parts.iter().all(|(key, pct)| *key != "pue:flag" && *pct > 0.0));
    let opposed = |key| {
        let grid = ("intensity", "ln(342.06, 0.1)", "grid");
        span(&[("energy", "1", ""), ("meter", "ln(1, 0.1)", key), ("pue", "1.1", ""), grid], &[])
    };
    let totals = sum(&[opposed("meter"), opposed("-meter")]).totals();
    assert!(totals.shared.iter().all(|of| of.key != "meter"), "{:?}", totals.shared);
}

/// Whether two sums say the same, each double to seven digits.
fn are_alike(a: Option<&Totals>, b: Option<&Totals>) -> bool {
    fn alike(a: &serde_json::Value, b: &serde_json::Value) -> bool {
        use serde_json::Value::{Array, Number, Object};
        match (a, b) {
            (Number(a), Number(b)) => {
                let (a, b) = (a.as_f64().unwrap(), b.as_f64().unwrap());
                (a - b).abs() <= 1e-7 * a.abs()
            }
            (Array(a), Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| alike(a, b)),
            (Object(a), Object(b)) => {
                a.keys().eq(b.keys()) && a.values().zip(b.values()).all(|(a, b)| alike(a, b))
            }
            _ => a == b,
        }
    }
    alike(&serde_json::to_value(a).unwrap(), &serde_json::to_value(b).unwrap())
}

fn brief(record: &Record) -> Record {
    let text = serde_json::to_string(&Brief::of(record).unwrap()).unwrap();
    serde_json::from_str::<Brief>(&text).unwrap().into_record().unwrap()
}

proptest! {
    /// The rule of briefs: sums make of them what they make of the records, among them copies, parts of others, and
    /// errors that oppose each other.
    #[test]
    fn briefs_sum_as_their_records(
        members in prop::collection::vec(
            (
                (0..3_u8, 0..60_u8, 1..12_u8), (0..3_u8, Just(0_u8)),
                prop::option::of(any::<prop::sample::Index>()), any::<u8>(), any::<bool>(),
            ),
            1..20,
        ),
        cvs in prop::array::uniform4(0.001..1.5_f64),
    ) {
        let [a, b, c, d] = cvs.map(|cv| format!("ln(1, {cv:.6})"));
        let of = span(&[
            ("energy", "2", ""), ("pue", "1.2", ""), ("intensity", "ln(300, 0.2)", GRID),
            ("meter", &a, "meter"), ("share", &b, "-idle"), ("other", &c, ""), ("more", &d, ""),
        ], &[]);
        let mut records = assorted(&members);
        for (n, record) in records.iter_mut().enumerate() {
            if n % 2 == 0 {
                let (inputs, meta) = (of.inputs.clone(), of.meta.clone());
                let (uncertainty_pct, grams) = (of.uncertainty_pct, of.grams);
                *record = Record { grams, inputs, meta, uncertainty_pct, ..record.clone() };
            }
        }
        // Copies are equal.
        let mut first = BTreeMap::new();
        for record in &mut records {
            *record = first.entry(record.record_id.clone()).or_insert(record.clone()).clone();
        }
        let briefs: Vec<_> = records.iter().map(brief).collect();
        for by in [GroupBy::All, GroupBy::Region, GroupBy::Host, GroupBy::Day, GroupBy::Source] {
            let both = [&records, &briefs].map(|of| sums(of, &by, None));
            let [Ok(records), Ok(briefs)] = both else {
                prop_assert!(both.iter().all(Result::is_err));
                continue;
            };
            prop_assert!(are_alike(records.all.as_ref(), briefs.all.as_ref()), "{by}");
            prop_assert_eq!(records.groups.len(), briefs.groups.len());
            for ((name, record), (other, brief)) in records.groups.iter().zip(&briefs.groups) {
                prop_assert_eq!(name, other);
                prop_assert!(are_alike(Some(record), Some(brief)), "{}: {:?} {:?}", by, record, brief);
            }
        }
    }

    /// A job that is cut into rows is as sure as the job, where all of its errors are shared; its grams and energy are
    /// those of the job.
    #[test]
    fn a_job_cut_into_rows_is_as_sure_as_the_job(
        parts in prop::collection::vec(1..1_000_000_u64, 1..30),
        cvs in prop::array::uniform3(0.001..0.8_f64),
    ) {
        let of = |uj: u64| {
            #[expect(clippy::cast_precision_loss, reason = "few digits")]
            let kwh = uj as f64 / 1e6;
            let [a, b, c] = cvs.map(|cv| format!("{cv:.9}"));
            span(&[
                ("energy", &format!("{kwh}"), ""), ("pue", "1.5", ""),
                ("intensity", &format!("ln(300, {a})"), GRID),
                ("meter", &format!("ln(1, {b})"), "meter"), ("share", &format!("ln(1, {c})"), "-idle"),
            ], &[])
        };
        let whole = sum([&of(parts.iter().sum())]).totals();
        let rows: Vec<_> = parts.iter().map(|uj| brief(&of(*uj))).collect();
        let rows = sum(&rows).totals();
        let is_near = |a: f64, b: f64| (a - b).abs() <= 1e-7 * b;
        prop_assert!(is_near(rows.relative_uncertainty_pct, whole.relative_uncertainty_pct));
        prop_assert!(is_near(rows.total_grams, whole.total_grams));
        prop_assert!(is_near(rows.total_energy_kwh, whole.total_energy_kwh));
    }
}

#[test]
fn a_brief_does_not_say_how_near_its_figure_is() {
    let brief = brief(&record(519_400_000, "DE", "a"));
    assert_eq!(GroupBy::Precision.key(&brief).as_deref(), Some("(none)"));
}

/// A brief whose figures contradict each other is none.
#[test]
fn a_brief_that_contradicts_itself_is_refused() {
    let good = Brief::of(&record(519_400_000, "DE", "a")).unwrap();
    good.clone().into_record().unwrap();
    let shared = |cv: f64| [("a".to_owned(), cv)].into();
    for (bad, member) in [
        (Brief { pue_used: 0.9, ..good.clone() }, "pue_used"),
        (Brief { energy_kwh: -1.0, ..good.clone() }, "energy_kwh"),
        (Brief { ci_lower_g: 2.0 * good.ci_upper_g, ..good.clone() }, "ci_lower_g"),
        (Brief { coverage_pct: 101.0, ..good.clone() }, "coverage_pct"),
        (Brief { shared: shared(1.0), ..good.clone() }, "shared"),
        (Brief { end_ts: "noon".into(), ..good.clone() }, "end_ts"),
    ] {
        let refused = bad.into_record().unwrap_err().to_string();
        assert!(refused.starts_with(member), "{refused}");
    }
}

/// A thousand records of one grid and host are as uncertain as one; independent they would be at 0.35 %.
#[test]
fn a_thousand_records_of_one_grid_do_not_become_certain() {
    let records: Vec<_> = (0..1000).map(|_| record(519_400_000, "DE", "a")).collect();
    let totals = sum(&records).totals();
    near(totals.relative_uncertainty_pct, 100.0 * (0.0125f64 + 0.000_025).sqrt());
    assert!(totals.ci_lower_g < totals.total_grams && totals.total_grams < totals.ci_upper_g);
    assert!(totals.shared_variance_pct > 99.99);
}

#[test]
fn one_record_keeps_its_own_interval_and_none_has_no_grams() {
    let single = record(519_400_000, "DE", "a");
    let totals = sum([&single]).totals();
    assert_eq!(
        (totals.ci_lower_g, totals.ci_upper_g),
        (single.meta.ci_lower_g, single.meta.ci_upper_g)
    );
    let nothing = Group::default().totals();
    let told = [nothing.total_grams, nothing.coverage_pct, nothing.intensity_energy_weighted];
    let more = [nothing.pue_energy_weighted, nothing.relative_uncertainty_pct];
    assert_eq!(
        (nothing.count, told.map(f64::to_bits), more.map(f64::to_bits)),
        (0, [0; 3], [0; 2])
    );
    // A sum with nothing is what it was.
    let mut with_nothing = sum([&single]);
    with_nothing.merge(&Group::default());
    assert_eq!(with_nothing.totals(), totals);
}

/// One error is no product of errors; two have one more, whatever their order.
#[test]
fn the_product_of_shared_errors_is_an_error_of_its_own() {
    let errors = |inputs: &[(&str, &str, &str)]| -> Vec<_> {
        let one = addend::One::of(span(inputs, &[])).unwrap();
        one.effects.into_iter().map(|(key, effect)| (key, effect / one.grams)).collect()
    };
    let energy = ("energy", "1", "");
    let grid = ("intensity", "ln(400, 0.3)", "grid");
    let alone = errors(&[energy, ("pue", "1.1", ""), grid]);
    assert_eq!(alone.iter().map(|of| of.0.as_str()).collect::<Vec<_>>(), ["grid"]);
    near(alone[0].1, 0.3);
    let both = errors(&[energy, ("pue", "1.1", ""), grid, ("x", "ln(1, 0.4)", "-a")]);
    assert_eq!(both.iter().map(|of| of.0.as_str()).collect::<Vec<_>>(), ["grid", "a", "a × grid"]);
    near(both[1].1, -0.4);
    // (1 + 0.09)(1 + 0.16) − 1 − 0.09 − 0.16 = 0.3² · 0.4².
    near(both[2].1, 0.12);
}

/// The error of hardware that it shares with none adds up in squares.
#[test]
fn hardware_with_an_error_of_its_own_is_better_known_in_two_records() {
    let inputs = [("energy", "100", ""), ("pue", "1.2", ""), ("intensity", "ln(400, 10%)", GRID)];
    let mut server = span(&inputs, &[("server", "1")]);
    let own = server.embodied.as_mut().unwrap();
    own.inputs[0].shared = None;
    let pct = own.uncertainty_pct;
    let one = sum([&server]).totals().embodied.unwrap();
    near(one.relative_uncertainty_pct, pct);
    assert_eq!(one.shared_variance_pct.to_bits(), 0);
    let two = sum([&server, &server]).totals().embodied.unwrap();
    near(two.relative_uncertainty_pct, pct / 2_f64.sqrt());
}

/// Hardware of what emits nothing in operation is all of it, by moments and by trials.
#[test]
fn theta_without_operation_is_one() {
    let inputs = [("energy", "100", ""), ("pue", "u(1, 2)", ""), ("intensity", "0", "")];
    let server = span(&inputs, &[("server", "1")]);
    let totals = sum([&server, &server]).totals();
    let theta = totals.theta.clone().unwrap();
    assert_eq!(
        [theta.theta, theta.ci_lower, theta.ci_upper].map(f64::to_bits),
        [1_f64.to_bits(); 3]
    );
    let joint = Joint::of(&[&server, &server], &MonteCarlo::seeded(1)).unwrap();
    let sampled = totals.by_trials(&joint);
    assert_eq!(sampled.theta, Some(theta));
    assert_eq!([sampled.ci_lower_g, sampled.ci_upper_g].map(f64::to_bits), [0; 2]);
}

/// Hardware of which no share is used is none of it, by moments and by trials.
#[test]
fn theta_without_hardware_is_nothing() {
    let inputs = [("energy", "100", ""), ("pue", "u(1, 2)", ""), ("intensity", "400", "")];
    let server = span(&inputs, &[("server", "0")]);
    let totals = sum([&server, &server]).totals();
    let theta = totals.theta.clone().unwrap();
    assert_eq!([theta.theta, theta.ci_lower, theta.ci_upper].map(f64::to_bits), [0; 3]);
    let joint = Joint::of(&[&server, &server], &MonteCarlo::seeded(1)).unwrap();
    assert_eq!(totals.by_trials(&joint).theta, Some(theta));
}

/// A record of a thousand hours: its inputs as `name, distribution, key`, a minus before a key for
/// the other direction; and pieces of hardware with their shares.
fn span(inputs: &[(&str, &str, &str)], hardware: &[(&str, &str)]) -> Record {
    let span = Interval::parse("2026-03-01T00:00Z", "2026-04-11T16:00Z").unwrap();
    let input = |(name, text, key): &(&str, &str, &str)| {
        let mut input = Input::new(name, text.parse().unwrap(), "test");
        input.shared = Some(key.trim_start_matches('-').to_owned()).filter(|key| !key.is_empty());
        input.sign = key.starts_with('-').then_some(-1);
        input
    };
    let inputs: Vec<_> = inputs.iter().map(input).collect();
    let grid = Grid {
        coverage_pct: 100.0,
        estimated_pct: 0.0,
        filled: None,
        forecast_pct: 0.0,
        missing_policy: "step".into(),
        slots: Slots { count: 0, list: Some(Vec::new()), sha256: None },
        sources: Vec::new(),
    };
    let stated = Stated {
        gases: None,
        record_id: [7; 16],
        parent: None,
        unit: None,
        stand_ins: Vec::new(),
        host_id: None,
        id: None,
        labels: BTreeMap::new(),
        notes: Vec::new(),
        quality_flag: Quality::Estimated,
        region: "DE".into(),
        scopes: scopes(Deployment::Own, Factor::Direct, !hardware.is_empty(), "test"),
        signal: "unstated".into(),
        simulated: false,
        source: "flag".into(),
        tool: "test 1".into(),
    };
    let relative = Relative::of(&inputs, Method::Analytical).unwrap();
    let mut record = Record::new(span, inputs, grid, None, &relative, stated).unwrap();
    let reserved = hardware.iter().map(|(hardware, share)| Reserved {
        hardware: hardware.parse().unwrap(),
        life: "4y".parse().unwrap(),
        share: share.parse().unwrap(),
    });
    let reserved: Vec<_> = reserved.collect();
    if !reserved.is_empty() {
        record.reserve(&reserved).unwrap();
    }
    record.check().unwrap();
    record
}

/// u, low, high in g: `testdata/aggregate/joint.py`, 40,000,000 trials, seed 20261124.
const OPERATION: [f64; 3] = [65_076.1, 72_997.8, 309_486.9];
const EMBODIED: [f64; 3] = [15_651.4, 21_457.0, 81_890.6];
const WHOLE: [f64; 3] = [66_931.3, 110_625.4, 356_389.4];

/// Ends of θ, see the test.
const THETA: [f64; 2] = [0.214_554, 0.535_614];

const GRID: &str = "grid:owid:DE:average_lifecycle:2024";

/// The records of `testdata/aggregate/joint.py`.
fn three() -> [Record; 3] {
    let energy = |kwh| ("energy", kwh, "");
    [
        record(519_400_000_000_000, "DE", "a"),
        span(
            &[
                energy("100"),
                ("pue", "tn(1.55, 0.2, min=1)", "pue"),
                ("intensity", "tn(300, 250, min=0)", "grid:FR"),
                ("meter", "u(0.5, 1.5)", ""),
            ],
            &[("server", "1")],
        ),
        span(
            &[
                energy("80"),
                ("pue", "tn(1.3, 0.3, min=1)", "pue"),
                ("intensity", "ln(400, 0.6)", GRID),
                ("attribution", "ln(1, 0.8)", "-idle:a"),
            ],
            &[("server", "0.5"), ("ssd", "0.5")],
        ),
    ]
}

fn within(a: f64, b: f64, relative: f64) {
    assert!((a / b - 1.0).abs() < relative, "{a} is not {b}");
}

#[test]
fn joint_trials_give_what_other_code_gives_for_wide_and_truncated_inputs() {
    let records = three();
    let all: Vec<&Record> = records.iter().collect();
    let settings = MonteCarlo { trials: Trials::Fixed(1_000_000), ..MonteCarlo::seeded(3) };
    let joint = Joint::of(&all, &settings).unwrap();
    let totals = sum(&records).totals();
    within(totals.total_grams, 153_715.679_9, 1e-8);
    within(totals.embodied.as_ref().unwrap().total_grams, 44_235.159_82, 1e-8);
    let exact = totals.by_trials(&joint);
    let of = |figure: &Figure| {
        let u = figure.relative_uncertainty_pct / 100.0 * figure.total_grams;
        [u, figure.ci_lower_g, figure.ci_upper_g]
    };
    let (figure, both) = (exact.embodied.as_ref().unwrap(), exact.whole.as_ref().unwrap());
    let u = exact.relative_uncertainty_pct / 100.0 * exact.total_grams;
    for (got, expected) in [
        ([u, exact.ci_lower_g, exact.ci_upper_g], OPERATION),
        (of(figure), EMBODIED),
        (of(both), WHOLE),
    ] {
        // Of a million trials: four standard deviations of an end are 0.8 % here.
        for (got, expected) in got.into_iter().zip(expected) {
            within(got, expected, 8e-3);
        }
    }
    assert_eq!(exact.interval_method, How::MonteCarlo);
    assert_eq!((figure.records_with_hardware, both.records_with_hardware), (2, 2));
    // The first record has none: a part of the whole would not be one.
    assert_eq!(exact.theta, None);
    // The same seed, the same digits.
    assert_eq!(Joint::of(&all, &settings).unwrap(), joint);
}

/// What moments make of the same records: u is exact but for products of shared errors and equal keys of
/// different shapes; the lower end is an eighth too low, which is why there are trials.
#[test]
fn moments_say_that_they_are_moments_and_are_near() {
    let totals = sum(&three()).totals();
    assert_eq!(totals.interval_method, How::LognormalMoments);
    let u = totals.relative_uncertainty_pct / 100.0 * totals.total_grams;
    within(u, OPERATION[0], 0.03);
    within(totals.ci_lower_g, OPERATION[1], 0.15);
    within(totals.ci_upper_g, OPERATION[2], 0.05);
    // Hardware is a sum of shared lognormals: u is exact.
    let embodied = totals.embodied.unwrap();
    within(embodied.relative_uncertainty_pct / 100.0 * embodied.total_grams, EMBODIED[0], 1e-3);
    assert_eq!(embodied.shared[0].key, "embodied:server");
    assert!(embodied.shared_variance_pct > 99.999);
}

/// Two records of one server share its error: u of the sum is the sum of both. Two devices do not.
#[test]
fn hardware_of_one_device_shares_its_error_and_stays_apart_from_operation() {
    let inputs = [("energy", "100", ""), ("pue", "1.2", ""), ("intensity", "ln(400, 10%)", GRID)];
    let (server, laptop) = (span(&inputs, &[("server", "1")]), span(&inputs, &[("laptop", "1")]));
    let bare = span(&inputs, &[]);
    let one = sum([&server]).totals();
    let own = server.embodied.as_ref().unwrap();
    let hardware = one.embodied.clone().unwrap();
    assert_eq!(hardware.interval_method, How::Record);
    assert_eq!((hardware.ci_lower_g, hardware.ci_upper_g), (own.ci_lower_g, own.ci_upper_g));
    let two = sum([&server, &server, &bare]).totals();
    let figure = two.embodied.clone().unwrap();
    near(figure.relative_uncertainty_pct, hardware.relative_uncertainty_pct);
    near(figure.total_grams, 2.0 * hardware.total_grams);
    assert_eq!((two.count, figure.records_with_hardware), (3, 2));
    near(two.total_grams, 3.0 * one.total_grams);
    near(two.whole.unwrap().total_grams, 3.0 * one.total_grams + figure.total_grams);
    assert_eq!(two.theta, None);
    let different = sum([&server, &laptop]).totals();
    let apart = different.embodied.unwrap();
    assert!(apart.relative_uncertainty_pct < hardware.relative_uncertainty_pct);
    // One that has hardware among those that have none keeps its own interval, the whole does not.
    let mixed = sum([&bare, &server]).totals();
    assert_eq!(mixed.embodied.unwrap().interval_method, How::Record);
    assert_eq!(mixed.whole.unwrap().interval_method, How::LognormalMoments);
    assert!(sum([&bare]).totals().embodied.is_none());
}

/// Two lognormals: O of 96,000 g with cv 0.1, M of 57,077.6256 g with cv² 0.1332283. s² = ln 1.01 + ln 1.1332283
/// = 0.1350208; the median of O/M is 96000/57077.6256 · √(1.1332283/1.01) = 1.7815719, its ends
/// 1.7815719·e^(±1.959964 s) = 3.6608240 and 0.8670175 (Python, by hand): θ from 0.214554 to 0.535614.
#[test]
fn theta_of_sums_is_that_of_two_lognormals() {
    let inputs = [("energy", "100", ""), ("pue", "1.2", ""), ("intensity", "ln(400, 10%)", GRID)];
    let server = span(&inputs, &[("server", "1")]);
    let totals = sum([&server, &server]).totals();
    let theta = totals.theta.clone().unwrap();
    near(theta.theta, 57_077.625_57 / (96_000.0 + 57_077.625_57));
    within(theta.ci_lower, THETA[0], 1e-5);
    within(theta.ci_upper, THETA[1], 1e-5);
    assert_eq!(theta.class, "C-NP[embodied-dominated]");
    assert_eq!(theta.class_interval, ["C-P[marginal]", "C-NP[embodied-dominated]"]);
    // One record's own θ is of its own inputs, which here are the same two lognormals.
    let single = sum([&server]).totals().theta.unwrap();
    within(single.ci_lower, THETA[0], 1e-5);
    let joint = Joint::of(&[&server, &server], &MonteCarlo::seeded(1)).unwrap();
    let sampled = totals.by_trials(&joint).theta.unwrap();
    assert_ne!(sampled, theta, "of trials");
    within(sampled.ci_lower, THETA[0], 0.01);
    within(sampled.ci_upper, THETA[1], 0.01);
}

/// A span in two records has its energy once, and the grams of both.
#[test]
fn energy_that_is_priced_directly_and_upstream_is_counted_once() {
    let part = |intensity, signal: &str| {
        let inputs = [("energy", "2", ""), ("pue", "1.5", ""), ("intensity", intensity, GRID)];
        let record = span(&inputs, &[]);
        Record { signal: signal.to_owned(), ..record }
    };
    let direct = part("ln(300, 15%)", "average_direct");
    let upstream = part("ln(50, 40%)", "average_upstream");
    let both = sum([&upstream, &direct]).totals();
    near(both.total_energy_kwh, 2.0);
    near(both.total_energy_with_pue_kwh, 3.0);
    near(both.total_grams, 1050.0);
    near(both.intensity_energy_weighted, 350.0);
    assert_eq!((both.count, both.coverage_pct), (2, 100.0));
    let more = sum([&upstream, &direct, &direct]).totals();
    near(more.total_energy_kwh, 4.0);
    let alone = sum([&upstream]).totals();
    near(alone.total_energy_kwh, 2.0);
    near(alone.intensity_energy_weighted, 50.0);
}

/// Copies of one record that name their parents; the id and the energy in Wh tell them apart.
fn family(members: &[(usize, Option<usize>)]) -> Vec<Record> {
    let one = record(1_000_000, "DE", "a");
    let id = |n: usize| format!("{n:032x}");
    let member = |&(n, parent): &(usize, Option<usize>)| Record {
        record_id: id(n),
        parent: parent.map(id),
        energy_kwh: f64::from(u32::try_from(n).unwrap()) / 1e3,
        ..one.clone()
    };
    members.iter().map(member).collect()
}

/// The sum over those of the records whose numbers are picked: the numbers of those that count, by their energies,
/// each of which is twice the one before.
fn picked(records: &[Record], picked: &[u32]) -> (Vec<u32>, Totals) {
    let labelled = |record: &Record| {
        let mut record = record.clone();
        let id = u32::from_str_radix(&record.record_id, 16).unwrap();
        record.energy_kwh = f64::from(1_u32 << id) / 1e3;
        record.labels.insert("picked".into(), picked.contains(&id).to_string());
        record
    };
    let records: Vec<_> = records.iter().map(labelled).collect();
    let sums = sums(&records, &GroupBy::Label("picked".into()), None).unwrap();
    let (_, totals) = sums.groups.into_iter().find(|(name, _)| name == "true").unwrap();
    let sum = (totals.total_energy_kwh * 1e3).round();
    let counted = (0..30).filter(|id| (sum / f64::from(1_u32 << id)).floor() % 2.0 >= 1.0);
    (counted.collect(), totals)
}

/// 1 has 2, 2 has 3; 5 names a record that is not here.
#[test]
fn a_measurement_inside_of_another_one_of_the_sum_is_not_added() {
    let records = family(&[(3, Some(2)), (2, Some(1)), (1, None), (5, Some(4))]);
    let (kept, totals) = picked(&records, &[1, 2, 3, 5]);
    assert_eq!(kept, [1, 5]);
    let left_out = totals.left_out.unwrap();
    assert_eq!(left_out.nested, Amount { records: 2, energy_kwh: 0.012 });
    assert_eq!(left_out.copies, Amount { records: 0, energy_kwh: 0.0 });
    // What lies between the two is of another sum, and is known all the same.
    assert_eq!(picked(&records, &[3, 1]).0, [1]);
    assert_eq!(picked(&records, &[3, 5]).0, [3, 5]);
    assert_eq!(picked(&records, &[2]).1.left_out, None);
    // Without the one between, nobody knows.
    assert_eq!(picked(&[&records[..1], &records[2..]].concat(), &[3, 1]).0, [1, 3]);
}

#[test]
fn energy_of_another_machine_or_time_is_not_inside() {
    let mut records = family(&[(1, None), (2, Some(1)), (3, Some(1)), (4, Some(1))]);
    let end = records[0].end_ts.clone();
    records[0].host_id = Some("aa".into());
    records[1].host_id = Some("bb".into());
    records[2].start_ts = end.clone();
    records[2].end_ts = end.replace("2026", "2027");
    // Before the parent's end, and beyond it.
    records[3].end_ts = end.replace("2026", "2027");
    assert_eq!(picked(&records, &[1, 2, 3, 4]).0, [1, 2, 3]);
    // Ended when the parent began.
    records[2].end_ts = records[0].start_ts.clone();
    records[2].start_ts = end.replace("2026", "2025");
    assert_eq!(picked(&records, &[1, 2, 3, 4]).0, [1, 2, 3]);
}

/// The workload's part of a host and another part of it are no measurements of one energy, nor is one whose part is not
/// told; nor are units of work among which one window was shared, though each overlaps with what another window counted.
#[test]
fn parts_of_one_host_do_not_overlap() {
    let measured = |id, (part, is_piece, length)| {
        let record = hours(id, 1, 0, length);
        let mut addend = Addend::of(record, &[], &GroupBy::All, false).unwrap();
        assert_eq!((addend.kind.part, addend.kind.is_piece), (0, false));
        (addend.kind.part, addend.kind.is_piece) = (part, is_piece);
        addend
    };
    let overlaps = |parts: &[(u8, bool, u8)]| {
        let new_scratch = || Ok(Box::new(std::io::Cursor::new(Vec::new())) as Box<dyn Scratch>);
        let mut adder = Adder::new(&new_scratch);
        for (id, part) in parts.iter().enumerate() {
            adder.add(measured(id, *part)).unwrap();
        }
        assert_eq!(adder.records(), u64::try_from(parts.len()).unwrap());
        adder.finish(None, None).unwrap().all.unwrap().overlaps.map(|of| of.records)
    };
    let mut group = Group::default();
    for (from, length) in [(5, 1), (2, 1), (7, 9), (8, 1)] {
        group.add(&addend::One::of(hours(0, 1, from, length)).unwrap());
    }
    let totals = group.totals();
    let (start, end) = ("2026-03-01T02:00:00.000000Z", "2026-03-01T16:00:00.000000Z");
    assert_eq!((totals.start_ts.as_str(), totals.end_ts.as_str()), (start, end));
    let whole = |part| (part, false, 2);
    let two = |a, b| overlaps(&[a, b]);
    assert_eq!((two(whole(0), whole(1)), two(whole(1), whole(2))), (None, None));
    assert_eq!(two(whole(1), whole(1)), Some(2));
    let piece = (0, true, 2);
    assert_eq!(two(piece, piece), None);
    assert_eq!((two(piece, whole(0)), two(piece, (0, true, 1))), (Some(2), Some(2)));
    assert_eq!(overlaps(&[piece, piece, whole(0)]), Some(3));
    // The whole comes after its pieces, as it lasts longer.
    assert_eq!(overlaps(&[piece, piece, (0, false, 3), (1, true, 2)]), Some(3));
}

/// A word for each, which is read as itself; and a label by its name.
#[test]
fn what_sums_are_over_is_written_as_it_is_read() {
    for word in [
        "all",
        "region",
        "source",
        "host",
        "day",
        "month",
        "unit",
        "program",
        "scope",
        "label:team",
    ] {
        assert_eq!(word.parse::<GroupBy>().unwrap().to_string(), word);
    }
    assert_eq!("label:team".parse(), Ok(GroupBy::Label("team".into())));
    assert_eq!("day".parse(), Ok(GroupBy::Day));
    assert_eq!("zone".parse(), Ok(GroupBy::Region));
    for word in ["", "days", "label", "label:"] {
        assert!(word.parse::<GroupBy>().is_err(), "{word}");
    }
}

/// Sums by trials draw what sums by moments add: of copies one, of a measurement inside of another one none.
#[test]
fn trials_draw_each_record_that_counts() {
    let mut records = family(&[(1, None), (1, None), (2, Some(1)), (3, None), (4, Some(3))]);
    for (record, region) in records.iter_mut().zip(["DE", "DE", "DE", "FR", "DE"]) {
        record.region = region.into();
    }
    let settings = MonteCarlo { trials: Trials::Fixed(1000), ..MonteCarlo::seeded(2) };
    for by in [GroupBy::All, GroupBy::Region] {
        let found = sums(&records, &by, Some(&settings)).unwrap();
        assert_eq!(found, model::sums(&records, &by, Some(&settings)).unwrap(), "{by}");
        assert!(found.groups.iter().all(|(_, of)| of.interval_method == How::MonteCarlo));
    }
    assert_eq!(sums(&[], &GroupBy::All, Some(&settings)).unwrap().all.unwrap().count, 0);
}

#[test]
fn copies_that_differ_and_records_inside_of_themselves_are_refused() {
    let mut twice = family(&[(1, None), (1, None)]);
    let sums = |records: &[Record]| sums(records, &GroupBy::All, None);
    let all = sums(&twice).unwrap().all.unwrap();
    assert_eq!(all.count, 1);
    assert_eq!(all.left_out.unwrap().copies, Amount { records: 1, energy_kwh: 0.001 });
    twice[1].grams *= 2.0;
    let refused = sums(&twice).unwrap_err().to_string();
    assert!(refused.contains(&format!("{:032x} and differ", 1)), "{refused}");
    for circle in [
        &[(1, Some(1))][..],
        &[(1, Some(2)), (2, Some(1))],
        &[(7, None), (4, Some(3)), (3, Some(2)), (2, Some(1)), (1, Some(3))],
    ] {
        let refused = sums(&family(circle)).unwrap_err().to_string();
        assert!(refused.contains(&format!("{:032x} is a part of itself", 1)), "{refused}");
    }
}

/// A comb: each tooth hangs on a link of a chain that is not in the sum. A climb for each would be 50 million
/// steps.
#[test]
fn a_long_chain_is_climbed_once() {
    const LINKS: usize = 10_000;
    let chain = (1..=LINKS).map(|n| (n, (n > 1).then(|| n - 1)));
    let members: Vec<_> = chain.chain((1..=LINKS).map(|n| (LINKS + n, Some(n)))).collect();
    let mut records = family(&members);
    let counts = |records: &[Record]| {
        let sums = sums_holding(4096, records, &GroupBy::Region, None).unwrap();
        (sums.groups.iter().map(|(_, sum)| sum.count).collect::<Vec<_>>(), sums.all.unwrap().count)
    };
    assert_eq!(counts(&records), (vec![1], 1));
    for tooth in &mut records[LINKS..] {
        tooth.region = "FR".into();
    }
    assert_eq!(counts(&records), (vec![1, LINKS as u64], 1));
    records[0].region = "FR".into();
    assert_eq!(counts(&records), (vec![1, 1], 1));
}

/// Host, hour and length; region and signal; parent; what else; whether there is a copy.
type Member = ((u8, u8, u8), (u8, u8), Option<prop::sample::Index>, u8, bool);

/// Spans of a few hosts and hours, in several groups and of several kinds, among them parents, copies, and parts of
/// what is not there.
fn assorted(members: &[Member]) -> Vec<Record> {
    let mut records: Vec<Record> = Vec::new();
    for (n, ((host, from, length), (region, kind), parent, nature, copied)) in
        members.iter().enumerate()
    {
        let mut record = hours(n, *host, *from, *length);
        // Some at a place that no record has.
        let parent = parent.map(|index| index.index(members.len())).filter(|_| nature & 0b1 > 0);
        record.parent = parent
            .filter(|at| *at < n || nature & 0b10 > 0 && at + 3 > members.len())
            .map(|at| format!("{at:032x}"));
        record.region = ["DE", "FR", "PL"][usize::from(*region)].into();
        let signals = ["average_lifecycle", "average_direct", "average_upstream", "unstated"];
        record.signal = signals[usize::from(*kind)].into();
        record.host_id = record.host_id.filter(|_| nature & 0b1100 != 0b1100);
        record.quality_flag = [Quality::Estimated, Quality::Measured][usize::from(nature >> 4 & 1)];
        if *copied {
            records.push(record.clone());
        }
        records.push(record);
    }
    records
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Rule: records that come one by one, in any order, sum to what they do when all lie there.
    #[test]
    fn what_is_added_one_by_one_is_what_is_added_at_once(
        members in prop::collection::vec(
            (
                (0..3_u8, 0..60_u8, 1..12_u8),
                (0..3_u8, prop_oneof![6 => Just(0_u8), 1 => 1..4_u8]),
                prop::option::of(any::<prop::sample::Index>()), any::<u8>(), any::<bool>(),
            ),
            0..40,
        ),
        order in any::<u64>(),
    ) {
        let mut records = assorted(&members);
        let shuffle = |n: usize| (n as u64 + 1).wrapping_mul(order | 1).rotate_left(23);
        let mut at = 0..;
        records.sort_by_cached_key(|_| at.next().map(shuffle));
        for by in [GroupBy::All, GroupBy::Region, GroupBy::Host, GroupBy::Day] {
            match sums(&records, &by, None) {
                // The plain way would go around for ever.
                Err(Error::Circle { .. }) => {}
                found => prop_assert_eq!(found, model::sums(&records, &by, None), "{}", by),
            }
        }
    }
}

proptest! {
    /// A random forest in random order, some of it copied, sums to the sum of its roots, and the rest is
    /// told; so does the forest of those that a group picks.
    #[test]
    fn a_forest_sums_to_the_sum_of_its_roots(
        parents in prop::collection::vec(prop::option::of(any::<prop::sample::Index>()), 1..40),
        order in prop::collection::vec((any::<u32>(), any::<bool>(), any::<bool>()), 40),
    ) {
        let parent = |n: usize| parents[n].filter(|_| n > 0).map(|index| index.index(n));
        let members: Vec<_> = (0..parents.len()).map(|n| (n, parent(n))).collect();
        let mut records = Vec::new();
        for (n, mut record) in family(&members).into_iter().enumerate() {
            let (key, copied, picked) = order[n];
            record.region = if picked { "FR" } else { "DE" }.into();
            records.push((key, n, record.clone()));
            if copied {
                records.push((key.wrapping_mul(31), n, record));
            }
        }
        records.sort_by_key(|(key, ..)| *key);
        let copies: Vec<_> = records.iter().map(|(_, n, _)| *n).collect();
        let records: Vec<_> = records.into_iter().map(|(.., record)| record).collect();
        let sums = sums(&records, &GroupBy::Region, None).unwrap();
        let groups = sums.groups.into_iter().map(|(name, sum)| (Some(name == "FR"), sum));
        for (of, found) in groups.chain([(None, sums.all.unwrap())]) {
            let among = |n: usize| of.is_none_or(|picked| picked == order[n].2);
            // Roots by the plain way: nothing above them is in the sum.
            let above = |n: usize| std::iter::successors(parent(n), |at| parent(*at));
            let roots: Vec<_> = (0..parents.len())
                .filter(|n| among(*n) && !above(*n).any(among))
                .collect();
            let milli = |n: &usize| f64::from(u32::try_from(*n).unwrap()) / 1e3;
            prop_assert_eq!(found.count, roots.len() as u64);
            prop_assert!((found.total_energy_kwh - roots.iter().map(milli).sum::<f64>()).abs() < 1e-9);
            let group: Vec<_> = copies.iter().filter(|n| among(**n)).collect();
            let everything: f64 = group.iter().map(|n| milli(n)).sum();
            let (left, kwh) = found.left_out.map_or((0, 0.0), |LeftOut { copies, nested }| {
                (copies.records + nested.records, copies.energy_kwh + nested.energy_kwh)
            });
            prop_assert_eq!(left + found.count, group.len() as u64);
            prop_assert!((kwh + found.total_energy_kwh - everything).abs() < 1e-9);
        }
    }

    #[test]
    fn order_and_grouping_change_nothing(
        energies in prop::collection::vec(1_000u64..1_000_000_000, 2..12), cut in 1usize..11,
    ) {
        let zones = ["DE", "FR", "PL"];
        let records: Vec<_> = energies
            .iter()
            .enumerate()
            .map(|(i, uj)| record(*uj, zones[i % 3], ["a", "b"][i % 2]))
            .collect();
        let whole = sum(&records).totals();
        let backwards = sum(records.iter().rev()).totals();
        let (left, right) = records.split_at(cut.min(records.len() - 1));
        let mut halves = sum(left);
        halves.merge(&sum(right));
        prop_assert_eq!(&whole, &backwards);
        prop_assert_eq!(&whole, &halves.totals());
    }
}

proptest! {
    /// Rule: periods that follow one another have together what the whole has, whatever is a part of what.
    #[test]
    fn periods_are_parts_of_the_whole(
        members in prop::collection::vec(
            (
                (0..3_u8, 0..60_u8, 1..12_u8), (0..3_u8, Just(0_u8)),
                prop::option::of(any::<prop::sample::Index>()), any::<u8>(), any::<bool>(),
            ),
            0..40,
        ),
        cuts in prop::collection::vec(0..70_i64, 0..4),
        by in prop::sample::select(vec![GroupBy::All, GroupBy::Host, GroupBy::Day, GroupBy::Region]),
    ) {
        let records = assorted(&members);
        let Ok(whole) = sums(&records, &by, None) else { return Ok(()) };
        let zero: jiff::Timestamp = "2026-03-01T00:00Z".parse().unwrap();
        let mut cuts: Vec<_> = cuts.into_iter().map(|hour| Some(zero + jiff::SignedDuration::from_hours(hour))).collect();
        cuts.sort();
        let ends: Vec<_> = [None].into_iter().chain(cuts).chain([None]).collect();
        let mut parts = Vec::new();
        for pair in ends.windows(2) {
            let choice = Choice { from: pair[0], to: pair[1], ..Choice::default() };
            let mut adder = Adder::of(set::Set::holding(3, &scratch));
            for record in &records {
                let place = choice.place(record).unwrap();
                let text = serde_json::to_vec(record).unwrap();
                let addend = Addend::of(record.clone(), &text, &by, false).unwrap();
                adder.add(if place == Place::Chosen { addend } else { addend.beside() }).unwrap();
            }
            parts.push(adder.finish(None, None).unwrap());
        }
        let of = |sums: &[&Totals]| sums.iter().fold((0, 0, 0.0, 0.0), |(count, out, energy, grams), sum| {
            let left = sum.left_out.map_or(0, |left| left.copies.records + left.nested.records);
            (count + sum.count, out + left, energy + sum.total_energy_kwh, grams + sum.total_grams)
        });
        let mut names: Vec<_> = whole.groups.iter().map(|(name, _)| Some(name)).collect();
        names.push(None);
        for name in names {
            let pick = |sums: &'_ Sums| -> Option<Totals> {
                let Some(name) = name else { return sums.all.clone() };
                sums.groups.iter().find(|(of, _)| of == name).map(|(_, sum)| sum.clone())
            };
            let whole = pick(&whole).unwrap();
            let parts: Vec<_> = parts.iter().filter_map(pick).collect();
            let (a, b) = (of(&[&whole]), of(&parts.iter().collect::<Vec<_>>()));
            prop_assert_eq!((a.0, a.1), (b.0, b.1));
            prop_assert!((a.2 - b.2).abs() <= 1e-7 * a.2 && (a.3 - b.3).abs() <= 1e-7 * a.3);
        }
    }
}

/// Rule: the sum of all is that of its one group only where no other record is around one of the group.
#[test]
fn a_part_of_a_record_of_another_time_and_group_counts_in_its_group_alone() {
    let outer = hours(1, 0, 5, 1);
    let mut inner = hours(2, 0, 0, 6);
    (inner.region, inner.parent) = ("PL".into(), Some(outer.record_id.clone()));
    let to = Some("2026-03-01T01:00Z".parse().unwrap());
    let choice = Choice { to, ..Choice::default() };
    let mut adder = Adder::of(set::Set::holding(3, &scratch));
    for record in [outer, inner] {
        let place = choice.place(&record).unwrap();
        let text = serde_json::to_vec(&record).unwrap();
        let addend = Addend::of(record, &text, &GroupBy::Region, false).unwrap();
        adder.add(if place == Place::Chosen { addend } else { addend.beside() }).unwrap();
    }
    let sums = adder.finish(None, None).unwrap();
    let all = sums.all.unwrap();
    assert_eq!((&*sums.groups[0].0, sums.groups[0].1.count), ("PL", 1));
    assert_eq!((all.count, all.left_out.unwrap().nested.records), (0, 1));
}

/// A record with an id of its own, of hours of a day and a host.
fn hours(id: usize, host: u8, from: u8, length: u8) -> Record {
    let at = |hour: u8| format!("2026-03-{:02}T{:02}:00:00.000000Z", 1 + hour / 24, hour % 24);
    Record {
        record_id: format!("{id:032x}"),
        host_id: Some(format!("host-{host}")),
        start_ts: at(from),
        end_ts: at(from + length),
        ..record(519_400_000, "DE", "a")
    }
}

proptest! {
    /// The records that overlap are those that meet another one of their host, pair by pair.
    #[test]
    fn records_of_one_host_that_overlap_are_named(
        spans in prop::collection::vec((0..3_u8, 0..60_u8, 1..12_u8), 0..30),
    ) {
        let of = |(id, &(host, from, length)): (usize, &(u8, u8, u8))| hours(id, host, from, length);
        let records: Vec<_> = spans.iter().enumerate().map(of).collect();
        let overlaps = sums(&records, &GroupBy::All, None).unwrap().all.unwrap().overlaps;
        let meets = |a: &(u8, u8, u8), b: &(u8, u8, u8)| {
            a.0 == b.0 && a.1 < b.1 + b.2 && b.1 < a.1 + a.2
        };
        let meeting = |n: usize| (0..spans.len()).any(|m| m != n && meets(&spans[n], &spans[m]));
        let expected = (0..spans.len()).filter(|n| meeting(*n)).count() as u64;
        prop_assert_eq!(overlaps.map_or(0, |amount| amount.records), expected);
    }
}

/// The rule: two kinds of signal or gas are never added; direct and upstream of one energy are a life cycle.
#[test]
fn what_counts_different_things_is_not_added() {
    let of = |id: usize, signal: &str, gases: Option<crate::Gas>| Record {
        signal: signal.to_owned(),
        gases,
        ..hours(id, 1, 0, 1)
    };
    let sums = |records: &[Record], by: &GroupBy| sums(records, by, None).unwrap();
    let co2 = Some(crate::Gas::Co2);
    let kinds = [
        ("average_lifecycle", None),
        ("average_direct", None),
        ("average_direct", co2),
        ("marginal_direct", co2),
        ("residual_lifecycle", None),
    ];
    for (i, (a, a_gases)) in kinds.into_iter().enumerate() {
        for (j, (b, b_gases)) in kinds.into_iter().enumerate() {
            let records = [of(1, a, a_gases), of(2, b, b_gases)];
            let all = sums(&records, &GroupBy::All);
            assert_eq!((all.all.is_some(), all.groups.len()), (i == j, 1 + usize::from(i != j)));
            let hosts = sums(&records, &GroupBy::Host);
            assert_eq!(hosts.groups.len(), 1 + usize::from(i != j), "{a} {b}");
            let whole: f64 = hosts.groups.iter().map(|(_, totals)| totals.total_grams).sum();
            near(whole, 2.0 * records[0].grams);
        }
    }
    let stated = [of(1, "unstated", None), of(2, "average_lifecycle", None)];
    assert!(sums(&stated, &GroupBy::All).all.is_some());
    let parts = [of(1, "average_direct", None), of(2, "average_upstream", None)];
    let whole = [
        of(1, "average_direct", None),
        of(2, "average_upstream", None),
        of(3, "average_lifecycle", None),
    ];
    assert_eq!(sums(&parts, &GroupBy::All).counts, ["average lifecycle CO2e"]);
    assert!(sums(&whole, &GroupBy::All).all.is_some());
    // Of two energies they are not, and a direct record of no energy is no life cycle.
    let mut other = parts.clone();
    other[1].energy_kwh *= 0.9;
    assert!(sums(&other, &GroupBy::All).all.is_none());
    let nothing = Record { energy_kwh: 0.0, ..parts[0].clone() };
    assert_eq!(sums(&[nothing], &GroupBy::All).counts, ["average direct CO2e"]);
    let half = [of(1, "average_upstream", None), of(3, "average_lifecycle", None)];
    let names: Vec<_> =
        sums(&half, &GroupBy::All).groups.into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["average lifecycle CO2e", "average upstream CO2e"]);
}
