//! What derives a record's doubles, by inputs alone.

use super::*;
use carbon_ops_testkit::skip::stride;

/// `SplitMix64` (Steele, Lea, Flood, 2014): a number between two others.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn between(&mut self, low: f64, high: f64) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "53 bits")]
        let part = (self.next() >> 11) as f64 / 9_007_199_254_740_992.0;
        round9(low + part * (high - low))
    }
}

/// Inputs as records have them: an energy with its error, a site, a grid; each third has a stated energy, a
/// stand-in for the grid, more errors.
fn inputs(index: usize) -> Vec<Input> {
    let mut random = Random(index as u64);
    let cv = libm::exp(random.between(-5.0, 0.3));
    let kwh = libm::exp(random.between(-25.0, 8.0));
    let energy = match index % 3 {
        0 => Distribution::Normal { mean: kwh, sd: kwh * random.between(0.001, 0.1) },
        _ => Distribution::Lognormal { mean: kwh, cv },
    };
    let mut all = energy_inputs(energy, "test").unwrap();
    let (mu, sigma) = (random.between(1.0, 2.0), random.between(0.01, 0.3));
    let pue = Distribution::TruncatedNormal { mu, sigma, min: 1.0, max: None };
    all.push(Input::new("pue", pue, "test"));
    let mean = random.between(20.0, 900.0);
    let grid = match index % 4 {
        0 => Distribution::truncated_with_mean(mean, mean * random.between(0.1, 0.6), 0.0).unwrap(),
        _ => Distribution::Lognormal { mean, cv: random.between(0.01, 0.5) },
    };
    all.push(Input::new("intensity", grid, "test"));
    if index.is_multiple_of(5) {
        all.push(Input::factor("slot_noise", random.between(0.01, 0.2), "test"));
    }
    if index.is_multiple_of(29) {
        let half = random.between(0.01, 0.2);
        let share = Distribution::Uniform { low: 1.0 - half, high: 1.0 + half };
        all.push(Input::new("share", share, "test"));
    }
    all
}

/// The rule: an interval that is confirmed is the one that is derived, digit by digit; and one whose end is another
/// in the ninth digit never is.
#[test]
fn what_is_confirmed_is_what_is_derived_and_nothing_beside_it() {
    let (mut told, mut confirmed) = (0, 0);
    for index in (0..10_000).step_by(stride(211)) {
        let inputs = inputs(index);
        let derived = Relative::of(&inputs, Method::Analytical).unwrap();
        let whole = estimate(&inputs, &derived).unwrap();
        let grams = whole.prices.grams;
        let of = |meta: &Meta| Relative::confirmed(&inputs, grams, meta).unwrap();
        if let Some(again) = of(&whole.meta) {
            confirmed += 1;
            assert_eq!(estimate(&inputs, &again).unwrap(), whole, "{inputs:?}");
        }
        told += 1;
        for (up, of_low) in [(false, false), (false, true), (true, false), (true, true)] {
            let mut other = whole.meta.clone();
            let end = if of_low { &mut other.ci_lower_g } else { &mut other.ci_upper_g };
            *end = round9(*end * if up { 1.0 + 1.2e-8 } else { 1.0 - 1.2e-8 });
            assert_eq!(of(&other), None, "{inputs:?}");
            // More digits than a record has.
            let mut other = whole.meta.clone();
            let end = if of_low { &mut other.ci_lower_g } else { &mut other.ci_upper_g };
            *end = if up { end.next_up() } else { end.next_down() };
            assert_eq!(of(&other), None, "{inputs:?}");
        }
    }
    // All but those whose tenth digit is nearly a tie.
    assert!(confirmed * 20 >= told * 19, "{confirmed} of {told}");
}
