//! Expected values: facts of the field by hand or by `NumPy`, as each comment says.

use super::*;
use crate::uncertainty::{Estimate, Method, Used};
use proptest::prelude::*;

fn input(name: &str, text: &str) -> Input {
    Input::new(name, text.parse().unwrap())
}

fn independent(cv: f64) -> Noise {
    Noise { cv, common: 0.0, hourly_correlation: 0.0 }
}

fn hourly(grams: &[f64]) -> Vec<Slot> {
    let slot = |(hour, &grams): (u32, &f64)| Slot { grams, provider: 0, hour: hour.into() };
    (0..).zip(grams).map(slot).collect()
}

fn span(factor: &str, noise: Noise, slots: Vec<Slot>) -> Span {
    let providers = vec![Provider { factor: input("intensity", factor), noise }];
    Span { factors: Vec::new(), providers, slots, embodied: None }
}

fn evaluated(span: &Span) -> Estimate {
    let estimate = span.model().unwrap().evaluate(&Method::Analytical).unwrap();
    assert!(matches!(estimate.method, Used::Analytical { .. }));
    estimate
}

/// Standard uncertainty in percent.
fn check(span: &Span, percent: f64, tolerance: f64) {
    let got = evaluated(span).uncertainty_pct();
    assert!((got - percent).abs() < tolerance, "{got} is not {percent}");
}

/// 10 % of each slot over a day: independent 10/√n (2.0412 hourly, 1.0206 in quarters, 0.2635 in
/// minutes), shared 10 in all of them, half shared √(½ + ½/n)·10.
#[test]
fn what_slots_share_does_not_shrink_with_their_number() {
    for (n, independent, half) in
        [(24, 2.041_2, 7.217), (96, 1.020_6, 7.107_8), (1440, 0.263_5, 7.073_5)]
    {
        let slots = || hourly(&vec![1.0; n]);
        let noise = |common| Noise { cv: 0.1, common, hourly_correlation: 0.0 };
        check(&span("1", noise(0.0), slots()), independent, 1e-3);
        check(&span("1", noise(1.0), slots()), 10.0, 1e-9);
        check(&span("1", noise(0.5), slots()), half, 1e-3);
        check(&span("ln(1, 10%)", Noise::NONE, slots()), 10.0, 1e-9);
    }
}

/// Equal energies at 50 and 500 g/kWh, 10 % each: √(50² + 500²)/550 · 10 = 9.136 %.
#[test]
fn slots_weigh_by_their_carbon() {
    check(&span("1", independent(0.1), hourly(&[50.0, 500.0])), 9.136, 1e-3);
    check(&span("ln(1, 10%)", Noise::NONE, hourly(&[50.0, 500.0])), 10.0, 1e-9);
}

/// `NumPy`: √(wᵀRw)/Σw·0.1 for w = 1…6, R = 0.8^|i−j|; and the same with 30 % in common.
#[test]
fn autoregressive_noise_is_the_double_sum() {
    let slots = || hourly(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
    let noise = |common| Noise { cv: 0.1, common, hourly_correlation: 0.8 };
    check(&span("1", noise(0.0), slots()), AR_ALONE, 1e-9);
    check(&span("1", noise(0.3), slots()), AR_COMMON, 1e-9);
}

const AR_ALONE: f64 = 100.0 * 0.084_867_050_888_614_1;
const AR_COMMON: f64 = 100.0 * 0.089_675_478_412_838_3;

#[test]
fn impossible_spans_are_refused() {
    let refused = |span: &Span| assert!(span.model().is_err(), "{span:?}");
    refused(&span("1", independent(-0.1), hourly(&[1.0])));
    refused(&span("1", Noise { common: 1.1, ..independent(0.1) }, hourly(&[1.0])));
    refused(&span("1", independent(0.1), vec![Slot { grams: 1.0, provider: 1, hour: 0.0 }]));
}

/// A span with everything.
fn full(noise: Noise, slots: Vec<Slot>) -> Span {
    let provider =
        |text: &str, key: &str| Provider { factor: input("intensity", text).shared(key), noise };
    Span {
        factors: vec![input("meter", "ln(1, 5%)"), input("pue", "tn(1.2, 0.05, min=1)")],
        providers: vec![provider("ln(1, 10%)", "grid:DE"), provider("tn(1, 0.2)", "grid:FR")],
        slots,
        embodied: Some(input("embodied", "ln(30, 35%)")),
    }
}

fn same(a: &Estimate, b: &Estimate, factor: f64) -> Result<(), TestCaseError> {
    let pairs = [(a.mean, b.mean), (a.standard, b.standard), (a.low, b.low), (a.high, b.high)];
    for (a, b) in pairs {
        prop_assert!((a * factor - b).abs() <= 1e-9 * b.abs(), "{a} {b}");
    }
    Ok(())
}

fn slots() -> impl Strategy<Value = Vec<Slot>> {
    let slot = (0.0..50.0_f64, 0..2_usize, 0..48_u32);
    let slot = slot.prop_map(|(grams, provider, hour)| Slot { grams, provider, hour: hour.into() });
    proptest::collection::vec(slot, 2..20)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// With any noise: parts of a provider's slot have that slot's noise.
    #[test]
    fn splitting_and_reordering_slots_changes_nothing(
        slots in slots(), part in 0.1..0.9_f64, at in 0..20_usize, r in 0.0..1.0_f64,
    ) {
        let noise = Noise { cv: 0.15, common: 0.2, hourly_correlation: r };
        let whole = evaluated(&full(noise, slots.clone()));
        let mut split = slots.clone();
        let at = at % split.len();
        let slot = split[at];
        split[at].grams = slot.grams * part;
        split.push(Slot { grams: slot.grams * (1.0 - part), ..slot });
        split.reverse();
        same(&whole, &evaluated(&full(noise, split)), 1.0)?;
    }

    /// With a shared error, also other slots: each hour as four quarters.
    #[test]
    fn buckets_of_another_size_change_nothing_when_the_error_is_shared(slots in slots()) {
        let whole = evaluated(&full(Noise::NONE, slots.clone()));
        let quarter = |slot: &Slot, i: u32| Slot {
            grams: slot.grams / 4.0,
            hour: slot.hour + f64::from(i) / 4.0,
            ..*slot
        };
        let quarters = slots.iter().flat_map(|slot| (0..4).map(move |i| quarter(slot, i)));
        same(&whole, &evaluated(&full(Noise::NONE, quarters.collect())), 1.0)?;
    }

    /// Kilograms instead of grams.
    #[test]
    fn units_change_nothing(slots in slots()) {
        let noise = independent(0.1);
        let whole = evaluated(&full(noise, slots.clone()));
        let kilograms = slots.iter().map(|slot| Slot { grams: slot.grams / 1e3, ..*slot });
        let mut span = full(noise, kilograms.collect());
        span.embodied = Some(input("embodied", "ln(0.03, 35%)"));
        same(&whole, &evaluated(&span), 1e-3)?;
    }
}
