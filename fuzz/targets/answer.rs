//! Answers of providers of grid intensity, and users' files: any bytes give slots that hold what a series
//! promises, or an error.
#![no_main]

use carbon_ops_grid::fetch::Answer;
use carbon_ops_grid::file::File;
use carbon_ops_grid::{
    Accounting, AnySeries, Digest, Error, Factor, Gases, Intensity, Interval, Kind, Provider, Series, Signal,
    Want, electricity_maps, gb, reread, watttime,
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Some((kind, body)) = bytes.split_first() else { return };
    let Ok(month) = Interval::parse("2026-03-01T00:00Z", "2026-04-01T00:00Z") else { return };
    let answer = Answer {
        body: body.to_vec(),
        digest: Digest([0; 32]),
        fetched_at: month.end(),
    };
    let signal = |kind, accounting, factor, gases| Signal { kind, accounting, factor, gases };
    let average =
        signal(Kind::Average, Accounting::Consumption, Factor::Lifecycle, Gases::Co2e);
    let marginal = signal(Kind::Marginal, Accounting::Unstated, Factor::Direct, Gases::Co2);
    let of = |provider, path, zone, signal| {
        reread(provider, &answer, path, zone, month, signal).expect("a provider whose answers are kept")
    };
    let outcome: Result<AnySeries, Error> = match kind % 6 {
        0 => of(electricity_maps::ID, "/past-range", "DE", average),
        1 => of(electricity_maps::ID, "/forecast", "DE", average),
        2 => of(watttime::ID, "/historical", "CAISO_NORTH", marginal),
        3 => of(gb::ID, "/intensity", "GB", average),
        4 => of(gb::ID, "/regional", "13", average),
        _ => {
            let name = if kind & 64 == 0 { "f.csv" } else { "f.json" };
            match File::parse(name, body) {
                Ok(file) => file.slots("DE", month, &Want::AVERAGE),
                Err(_) => return,
            }
        }
    };
    match outcome {
        Ok(AnySeries::Inventory(series)) => check(&series, month),
        Ok(AnySeries::Marginal(series)) => check(&series, month),
        _ => {}
    }
});

/// In order, without overlap, each touching the month; what no slot covers is a gap, and both fill it.
fn check<I: Intensity>(series: &Series<I>, month: Interval) {
    let slots = series.slots();
    assert!(slots.is_sorted_by(|a, b| a.interval.end() <= b.interval.start()));
    assert!(slots.iter().all(|slot| slot.interval.intersection(&month).is_some()));
    assert!(slots.iter().all(|slot| slot.as_grams_per_kilowatt_hour() >= 0.0));
    let within = slots.iter().filter_map(|slot| slot.interval.intersection(&month));
    let covered: i128 = within.map(|part| part.as_nanos()).sum();
    let missing: i128 = series.gaps().iter().map(|gap| gap.interval.as_nanos()).sum();
    assert_eq!(covered + missing, month.as_nanos());
}
