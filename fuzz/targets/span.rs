//! Spans of a stream, NDJSON or CSV: any bytes are a span or an error; a span is in order, its energy is not
//! negative, and what it costs is a record that its own rules allow.
#![no_main]

use carbon_ops::row::{Columns, LINE_BYTES_MAX, Row};
use carbon_ops_estimate::span::{Load, Missing, Rate, Tariff};
use carbon_ops_grid::{Interval, UncertaintyClass};
use carbon_ops_record::energy_inputs;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if bytes.len() > LINE_BYTES_MAX {
        return;
    }
    if bytes.first() == Some(&b'{') {
        for line in bytes.split(|byte| *byte == b'\n') {
            if let Ok(row) = Row::of_json(line) {
                check(&row);
            }
        }
        return;
    }
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::Fields).from_reader(bytes);
    let Ok(columns) = reader.headers().map_err(drop).and_then(|heading| Columns::of(heading).map_err(drop))
    else {
        return;
    };
    for record in reader.records().map_while(Result::ok) {
        if let Ok(row) = columns.row(&record) {
            check(&row);
        }
    }
});

fn check(row: &Row<'_>) {
    let Ok(read) = row.read() else { return };
    assert!(read.interval.start() < read.interval.end());
    let mean = read.energy.mean();
    if let Load::Even(kwh) = read.load {
        assert!(kwh.to_bits() == mean.to_bits());
    }
    let inputs = energy_inputs(read.energy, "stated");
    assert!(inputs.is_err() || mean >= 0.0);
    let Ok(slot) = Interval::parse("2026-03-01T00:00Z", "2026-03-01T12:00Z") else { return };
    let rate = Rate::new(slot, 100.0, UncertaintyClass::Metered);
    let Ok(tariff) = Tariff::new(&[rate]) else { return };
    for missing in [Missing::Step, Missing::Interpolate, Missing::Drop] {
        if let Ok(priced) = tariff.price(read.interval, &read.load, missing) {
            assert!((0.0..=1.0).contains(&priced.coverage), "{priced:?}");
            assert!((priced.g_per_kwh - 100.0).abs() < 1e-6, "{priced:?}");
        }
    }
}
