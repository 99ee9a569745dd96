//! What agents account for and what else was measured there, against the rule told otherwise: hour by hour.

use std::collections::BTreeSet;

use super::super::hosted::{Measured, Piece};
use super::*;

/// Domains, by the bits of a number.
fn domains(bits: u8) -> BTreeSet<String> {
    (0..2).filter(|bit| bits >> bit & 1 == 1).map(|bit| format!("package-{bit}")).collect()
}

/// One of the pieces of an hour of a host, by unit.
#[derive(Debug, Clone, Copy)]
struct Hour {
    host: u8,
    from: u8,
    pieces: u8,
    /// Of the record that is missing, where one is.
    missing: Option<u8>,
    has_gap: bool,
    domains: u8,
    /// All pieces are of one unit.
    is_one: bool,
}

/// A measurement on its own.
#[derive(Debug, Clone, Copy)]
struct Alone {
    host: u8,
    from: u8,
    length: u8,
    domains: u8,
}

fn addend(id: usize, (host, from, length): (u8, u8, u8), unit: &str, by: &GroupBy) -> Addend {
    let mut record = hours(id, host, from, length);
    record.energy_kwh = f64::from(u32::try_from(id).unwrap() + 1) / 1e3;
    record.labels.insert("unit".into(), unit.into());
    Addend::of(record, &id.to_be_bytes(), by, false).unwrap()
}

fn addends(hours: &[Hour], alone: &[Alone], by: &GroupBy) -> Vec<Addend> {
    let (mut all, mut id) = (Vec::new(), 0..);
    for hour in hours {
        let host_uj = (0..hour.pieces).map(|of| 7 + u64::from(of)).sum();
        for of in (0..hour.pieces).filter(|of| hour.missing != Some(*of)) {
            let unit = if hour.is_one { "run" } else { &*format!("unit-{of}") };
            let mut piece = addend(id.next().unwrap(), (hour.host, hour.from, 1), unit, by);
            let energy_uj = 7 + u64::from(of);
            let (domains, has_gaps) = (domains(hour.domains), hour.has_gap);
            piece.measured = Some(Measured::Piece(Piece { energy_uj, host_uj, domains, has_gaps }));
            piece.kind.is_piece = true;
            all.push(piece);
        }
    }
    for of in alone {
        let span = (of.host, of.from, of.length);
        let mut addend = addend(id.next().unwrap(), span, "run", by);
        addend.measured = Some(Measured::Alone(domains(of.domains)));
        all.push(addend);
    }
    all
}

/// The sums, of records that come a second time where that is asked for; in the order of `turn`.
fn twice(make: &dyn Fn() -> Vec<Addend>, turn: usize) -> (Sums, bool) {
    let pass = |accounts: Option<Accounts>| {
        let mut adder = Adder::of(set::Set::holding(3, &scratch)).knowing(accounts);
        let mut all = make();
        let middle = turn % (all.len() + 1);
        all.rotate_left(middle);
        for addend in all {
            adder.add(addend).unwrap();
        }
        adder
    };
    let mut first = pass(None);
    let Some(accounts) = first.accounts() else {
        return (first.finish(None, None).unwrap(), false);
    };
    let mut second = pass(Some(accounts));
    assert!(second.accounts().is_none());
    (second.finish(None, None).unwrap(), true)
}

/// Whether each hour of a measurement is accounted for whole, in its domains; and by its own unit alone.
fn is_within(alone: Alone, hours: &[Hour]) -> (bool, bool) {
    let of = |at: u8| hours.iter().find(|hour| (hour.host, hour.from) == (alone.host, at));
    let whole = |hour: &Hour| {
        hour.missing.is_none_or(|of| of >= hour.pieces)
            && !hour.has_gap
            && alone.domains & !hour.domains == 0
    };
    let mut span = alone.from..alone.from + alone.length;
    let found: Option<Vec<&Hour>> = span
        .all(|at| of(at).is_some_and(whole))
        .then(|| (alone.from..alone.from + alone.length).filter_map(of).collect());
    (found.is_some(), found.is_some_and(|of| of.iter().all(|hour| hour.is_one)))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn what_was_accounted_for_whole_is_counted_once(
        given in prop::collection::btree_map(
            (0..2_u8, 0..6_u8),
            (1..4_u8, prop::option::weighted(0.2, 0..4_u8), prop::bool::weighted(0.1), 1..4_u8, any::<bool>()),
            0..10,
        ),
        alone in prop::collection::vec((0..3_u8, 0..6_u8, 1..4_u8, 1..4_u8), 0..8),
        turn in any::<usize>(),
    ) {
        let hours: Vec<Hour> = given
            .iter()
            .map(|(&(host, from), &(pieces, missing, has_gap, domains, is_one))| Hour {
                host, from, pieces, missing, has_gap, domains, is_one,
            })
            .collect();
        let alone: Vec<Alone> = alone
            .iter()
            .map(|&(host, from, length, domains)| Alone { host, from, length, domains })
            .collect();
        let by_unit = GroupBy::Label("unit".into());
        let pieces: usize = addends(&hours, &[], &by_unit).len();
        let energy = |id: usize| f64::from(u32::try_from(id).unwrap() + 1) / 1e3;
        let parts: Vec<_> = alone.iter().map(|of| is_within(*of, &hours)).collect();
        let inside = parts.iter().filter(|(is_in, _)| *is_in).count();
        let counted: f64 = (0..pieces)
            .chain((0..alone.len()).filter(|of| !parts[*of].0).map(|of| pieces + of))
            .map(energy)
            .sum();
        for by in [&GroupBy::All, &by_unit] {
            let (sums, again) = twice(&|| addends(&hours, &alone, by), turn);
            prop_assert!(again || inside == 0);
            let Some(all) = sums.all else {
                prop_assert_eq!(pieces + alone.len(), 0);
                continue;
            };
            prop_assert!((all.total_energy_kwh - counted).abs() < 1e-9, "{}", all.total_energy_kwh);
            prop_assert_eq!(all.left_out.map_or(0, |of| of.nested.records), inside as u64);
            if *by == by_unit {
                // In the sum of its own unit a measurement counts, unless all of the interval is in that sum.
                let run = sums.groups.iter().find(|(name, _)| name == "run").map(|(_, of)| of);
                let left_out = run.and_then(|run| run.left_out).map_or(0, |of| of.nested.records);
                let own = parts.iter().filter(|(_, is_own)| *is_own).count();
                prop_assert_eq!(left_out, own as u64);
            }
        }
    }
}
