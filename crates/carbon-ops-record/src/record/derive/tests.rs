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

fn exact(name: &str, text: &str) -> Input {
    Input {
        dist: text.to_owned(),
        name: name.to_owned(),
        shared: None,
        sign: None,
        source: "test".to_owned(),
    }
}

/// The rules of the list of inputs, each at its edge: what is refused, and the nearest that is not.
#[test]
fn every_rule_of_the_inputs_holds_at_its_edge() {
    let whole = |energy: &str, pue: &str, intensity: &str| {
        vec![exact("energy", energy), exact("pue", pue), exact("intensity", intensity)]
    };
    let with = |more: Input| {
        let mut all = whole("1kWh", "1", "100g/kWh");
        all.push(more);
        all
    };
    let shared = |name: &str, key: &str| exact(name, "ln(1, 0.1)").shared(key);
    let signed = |sign: Option<i8>, key: Option<&str>| {
        let mut input = exact("x", "ln(1, 0.1)");
        (input.sign, input.shared) = (sign, key.map(str::to_owned));
        with(input)
    };
    for (inputs, refused) in [
        (whole("0kWh", "1", "0g/kWh"), None),
        (whole("1kWh", "1", "100g/kWh"), None),
        (whole("1kWh", "0.999999999", "100g/kWh"), Some("pue is at least 1")),
        (whole("-1kWh", "1", "100g/kWh"), Some("the distribution of energy is one")),
        (whole("1kWh", "1", "-100g/kWh"), Some("the distribution of intensity is one")),
        (whole("n(-1, 0)kWh", "1", "100g/kWh"), Some("the distribution of energy is one")),
        (whole("n(-1, 0.1)kWh", "1", "100g/kWh"), Some("above 0")),
        (whole("n(0, 1)kWh", "1", "100g/kWh"), Some("above 0")),
        (whole("1kWh", "1", "n(0, 1)g/kWh"), Some("above 0")),
        (whole("1.0kWh", "1", "100g/kWh"), Some("is written as 1kWh")),
        (whole("1kWh", "1", "much"), Some("the distribution of intensity is one")),
        (whole("1kWh", "1", "100g/kWh")[..2].to_vec(), Some("energy, pue and intensity")),
        (with(exact("pue", "1.2")), Some("one input is named pue")),
        (with(exact("x", "1")), None),
        (with(exact("x", "ln(1, 0.1)")), None),
        (with(exact("x", "ln(1.00000001, 0.1)")), Some("the mean of x is 1")),
        (with(exact("x", "0.5")), Some("the mean of x is 1")),
        (with(shared("x", "one")), None),
        (signed(Some(-1), Some("one")), None),
        (signed(Some(1), Some("one")), Some("the sign of x")),
        (signed(Some(-1), None), Some("the sign of x")),
    ] {
        let found = Factors::of(&inputs).map(drop).map_err(|error| error.to_string());
        match refused {
            None => assert_eq!(found, Ok(()), "{inputs:?}"),
            Some(words) => {
                let text = found.expect_err(&format!("{inputs:?}"));
                assert!(text.contains(words), "{text} lacks {words}");
            }
        }
    }
    let mut twice = with(shared("x", "one"));
    twice.push(shared("y", "one"));
    assert!(Factors::of(&twice).is_err_and(|error| error.to_string().contains("the key of y")));
    twice[4].shared = Some("two".into());
    assert!(Factors::of(&twice).is_ok());
}

/// An energy is its mean and, where it is uncertain, a factor of mean 1; what is below 0, or 0 give or take, is none.
#[test]
fn an_energy_is_a_mean_and_a_factor() {
    let of = |text: &str| {
        let energy = Quantity::Energy.read(text).unwrap();
        let inputs = energy_inputs(energy, "meter").ok()?;
        Some(
            inputs
                .into_iter()
                .map(|input| (input.name, input.dist, input.source))
                .collect::<Vec<_>>(),
        )
    };
    let input = |name: &str, dist: &str, source: &str| (name.into(), dist.into(), source.into());
    assert_eq!(of("0kWh"), Some(vec![input("energy", "0kWh", "meter")]));
    assert_eq!(of("2kWh"), Some(vec![input("energy", "2kWh", "meter")]));
    let factor = input("energy_error", "n(1, 0.05)", "meter: n(2, 0.1)kWh");
    assert_eq!(of("n(2, 0.1)kWh"), Some(vec![input("energy", "2kWh", "meter"), factor]));
    for negative in [-1.0, f64::NAN, f64::INFINITY] {
        assert!(energy_inputs(Distribution::Point { mean: negative }, "").is_err());
    }
    for mean in [0.0, -1.0] {
        assert!(energy_inputs(Distribution::Normal { mean, sd: 1.0 }, "").is_err());
    }
}

/// By hand: cv² of 0.3, 0.4 and nothing; cv²(C) = 1.09 · 1.16 − 1 = 0.2644.
#[test]
fn the_budget_has_the_shares_of_first_order() {
    let inputs = [
        exact("energy", "2kWh"),
        exact("pue", "1.5"),
        exact("intensity", "n(100, 30)g/kWh").shared("grid"),
        exact("x", "n(1, 0.4)"),
    ];
    let shares = budget(&inputs).unwrap();
    let shares: Vec<_> =
        shares.iter().map(|of| (of.name.as_str(), of.pct, of.shared.as_deref())).collect();
    let percent = |cv2: f64| round9(100.0 * cv2 / 0.2644);
    assert_eq!(shares, [("intensity", percent(0.09), Some("grid")), ("x", percent(0.16), None)]);
    // Of a product that is 0, what is not known of its other factors.
    let inputs = [exact("energy", "0kWh"), exact("pue", "u(1, 2)"), exact("intensity", "100g/kWh")];
    let shares = budget(&inputs).unwrap();
    assert_eq!(shares, [Contribution { name: "pue".into(), pct: 100.0, shared: None }]);
}

/// Slots of an hour each, from midnight: what a kilowatt hour emits, and of whom.
fn slots(of: &[(f64, &intensity::Meta)]) -> Vec<intensity::Slot<InventoryIntensity>> {
    let hour = |index: usize| format!("2026-03-01T{index:02}:00Z");
    let slot = |(index, (grams, meta)): (usize, &(f64, &intensity::Meta))| {
        let interval = Interval::parse(&hour(index), &hour(index + 1)).unwrap();
        let grams = carbon_ops_units::GramsCo2ePerKilowattHour::new(*grams).unwrap();
        let meta = std::sync::Arc::new((*meta).clone());
        intensity::Slot::new(interval, InventoryIntensity::new(grams), meta)
    };
    of.iter().enumerate().map(slot).collect()
}

fn meta(provider: &str, class: intensity::UncertaintyClass) -> intensity::Meta {
    let signal = intensity::Signal::AVERAGE_LIFECYCLE_PRODUCTION;
    let meta = intensity::Meta::new(provider, "GB", signal);
    intensity::Meta { uncertainty: class, ..meta }
}

/// Of slots from midnight, at 1 kWh each hour: name, distribution, key and source of what the price brings.
fn brought(
    slots: &[intensity::Slot<InventoryIntensity>],
    hours: u8,
) -> Vec<(String, String, Option<String>, String)> {
    let end = format!("2026-03-01T{hours:02}:00Z");
    let span = Interval::parse("2026-03-01T00:00Z", &end).unwrap();
    let tariff = Tariff::of(slots).unwrap();
    let load = carbon_ops_estimate::span::Load::Even(f64::from(hours));
    let priced = tariff.price(span, &load, Missing::Step).unwrap();
    let inputs = grid_inputs(&priced, &tariff, None, "given");
    inputs.into_iter().map(|of| (of.name, of.dist, of.shared, of.source)).collect()
}

/// By hand: 1 kWh at 300 of a source with 15 % in common and 5 % an hour, 1 kWh at 100 of a yearly average with
/// 25 %, which one more hour without a slot is filled with: 500 g. A filled value may be off by as much as the
/// others are, 100 g around their mean of 200.
#[test]
fn a_price_brings_the_errors_of_its_sources_hours_and_holes() {
    let metered = meta("gb", intensity::UncertaintyClass::Metered);
    let yearly = meta("owid", intensity::UncertaintyClass::Yearly);
    let brought_of = brought(&slots(&[(300.0, &metered), (100.0, &yearly)]), 3);
    let mean = round9(500.0 / 3.0);
    let ln = |mean: f64, cv: f64| format!("ln({mean}, {})", round9(cv));
    // A yearly average is one of its zone.
    let key = |of: &str| Some(format!("grid:{of}:average_lifecycle:unversioned"));
    let told: Vec<_> = brought_of
        .iter()
        .map(|(name, dist, key, _)| (name.as_str(), dist.clone(), key.clone()))
        .collect();
    // Shared errors are of the covered grams, 400.
    let expected = [
        ("intensity", format!("{}g/kWh", ln(mean, 0.15 * 300.0 / 400.0)), key("gb")),
        ("grid", ln(1.0, 0.25 * 100.0 / 400.0), key("owid:GB")),
        ("slot_noise", ln(1.0, 0.05 * 300.0 / 500.0), None),
        ("coverage", ln(1.0, 100.0 / 500.0), None),
    ];
    assert_eq!(told, expected);
    let sources: Vec<_> = brought_of.iter().map(|(.., source)| source.as_str()).collect();
    assert_eq!(sources[..2], ["given", "25.0 % of the grams are of this source"]);
    assert!(sources[3].contains("33.3 % of the energy has no slot"), "{}", sources[3]);
    // An hour is one in all that it prices.
    let one = brought(&slots(&[(300.0, &metered), (100.0, &metered)]), 2);
    let noise = |hour, grams| {
        let key = format!("hour:gb:GB:average_lifecycle:unversioned:2026-03-01T{hour}");
        ("slot_noise", ln(1.0, 0.05 * grams / 400.0), Some(key))
    };
    let told: Vec<_> =
        one.iter().map(|(name, dist, key, _)| (name.as_str(), dist.clone(), key.clone())).collect();
    assert_eq!(told[1..], [noise("00", 300.0), noise("01", 100.0)]);
    // A yearly average has no hours, and a second one that emits nothing no error.
    let yearly = brought(&slots(&[(300.0, &yearly), (0.0, &metered)]), 2);
    assert_eq!(yearly.len(), 1, "{yearly:?}");
    // Nothing emitted is exact.
    let clean = brought(&slots(&[(0.0, &metered)]), 1);
    let [(name, dist, ..)] = &clean[..] else { panic!("{clean:?}") };
    assert_eq!((name.as_str(), dist.as_str()), ("intensity", "0g/kWh"));
}

/// More hours than are told apart are one factor, whatever their source.
#[test]
fn many_hours_are_one_factor() {
    let metered = meta("gb", intensity::UncertaintyClass::Metered);
    let day = brought(&slots(&[(100.0, &metered); 9]), 9);
    let [_, (name, dist, key, _)] = &day[..] else { panic!("{day:?}") };
    assert_eq!((name.as_str(), key), ("slot_noise", &None));
    assert_eq!(*dist, format!("ln(1, {})", round9(0.05 / 3.0)));
}

/// Slots of two sources are one entry only where nothing that is told of a source differs; what differs from answer
/// to answer is gathered.
#[test]
fn sources_that_differ_in_anything_that_is_told_are_told_apart() {
    let plain = meta("gb", intensity::UncertaintyClass::Metered);
    let changed: [fn(&mut intensity::Meta); 6] = [
        |meta| meta.provider = "other".into(),
        |meta| meta.zone_requested = "FR".into(),
        |meta| meta.zone_returned = "FR".into(),
        |meta| meta.model_version = Some("2".into()),
        |meta| meta.licence = "other".into(),
        |meta| meta.attribution = "other".into(),
    ];
    let span = Interval::parse("2026-03-01T00:00Z", "2026-03-01T02:00Z").unwrap();
    let grid = |slots: &[intensity::Slot<InventoryIntensity>]| {
        let load = carbon_ops_estimate::span::Load::Even(1.0);
        let priced = Tariff::of(slots).unwrap().price(span, &load, Missing::Step).unwrap();
        grid_of(span, &priced, slots, Missing::Step)
    };
    let places = |grid: &Grid| -> Vec<_> {
        grid.slots.list.iter().flatten().map(|slot| slot.source).collect()
    };
    for change in changed {
        let mut other = plain.clone();
        change(&mut other);
        let grid = grid(&slots(&[(300.0, &plain), (100.0, &other)]));
        assert_eq!((grid.sources.len(), places(&grid)), (2, vec![None, Some(1)]), "{other:?}");
        assert_eq!(grid.filled, None);
    }
    let mut later = plain.clone();
    later.fetched_at = Some("2026-03-02T00:00:00Z".parse().unwrap());
    // The third slot lies outside.
    let grid = grid(&slots(&[(300.0, &plain), (100.0, &later), (900.0, &later)]));
    assert_eq!((grid.sources.len(), places(&grid), grid.slots.count), (1, vec![None, None], 2));
    assert_eq!(grid.sources[0].fetched_at.as_deref(), Some("2026-03-02T00:00:00.000000Z"));
}

/// Half of two hours has no slot: 1 of 2 kWh, priced as the other.
#[test]
fn what_has_no_slot_is_told_as_filled() {
    let metered = meta("gb", intensity::UncertaintyClass::Metered);
    let slots = slots(&[(300.0, &metered)]);
    let span = Interval::parse("2026-03-01T00:00Z", "2026-03-01T02:00Z").unwrap();
    let load = carbon_ops_estimate::span::Load::Even(2.0);
    let priced = Tariff::of(&slots).unwrap().price(span, &load, Missing::Step).unwrap();
    let grid = grid_of(span, &priced, &slots, Missing::Step);
    let filled = Filled { energy_kwh: 1.0, g_per_kwh: 300.0, seconds: 3600.0 };
    assert_eq!((grid.filled, grid.coverage_pct), (Some(filled), 50.0));
}

/// An exact 0 is one; a 0 of uncertain factors has their interval, which is 0 wide in grams.
#[test]
fn nothing_at_all_is_an_exact_result() {
    let of = |pue: &str, intensity: &str| {
        let inputs = [exact("energy", "1kWh"), exact("pue", pue), exact("intensity", intensity)];
        Relative::of(&inputs, Method::Analytical)
    };
    assert_eq!(of("1.5", "0g/kWh").unwrap(), Relative::ZERO);
    assert!(of("1.5", "10g/kWh").is_err(), "an exact result is not given");
    let uncertain = of("u(1, 2)", "0g/kWh").unwrap();
    assert!(uncertain.standard > 0.19 && uncertain.low < 0.7 && uncertain.high > 1.3);
    assert_eq!((uncertain.meta(0.0).ci_lower_g, uncertain.meta(0.0).ci_upper_g), (0.0, 0.0));
}

/// What was sampled says how, and by how much its ends may be off, over the mean.
#[test]
fn what_was_sampled_is_told_with_the_interval() {
    let inputs =
        [exact("energy", "2kWh"), exact("pue", "1.5"), exact("intensity", "n(100, 10)g/kWh")];
    let settings = MonteCarlo { trials: Trials::Adaptive { digits: 1 }, ..MonteCarlo::seeded(7) };
    let relative = Relative::of(&inputs, Method::MonteCarlo(settings)).unwrap();
    let sampling = relative.sampling.clone().unwrap();
    assert_eq!((sampling.adaptive_digits, sampling.seed.0, relative.instead), (Some(1), 7, None));
    let error = relative.error.unwrap();
    // Four standard errors of a quantile of so many trials: 4·√(p(1 − p)/n)/φ(1.96)·0.1.
    #[expect(clippy::cast_precision_loss, reason = "of trials")]
    let expected = 4.0 * (0.024_375 / sampling.trials as f64).sqrt() / 0.058_445 * 0.1;
    assert!((error / expected - 1.0).abs() < 0.3, "{error} {expected}");
    let meta = relative.meta(300.0);
    assert_eq!(meta.method, MethodName::MonteCarlo);
    assert_eq!(meta.numerical_error_g, Some(round9(300.0 * error)));
    assert_eq!(meta.ci_lower_g.to_bits(), round9(300.0 * relative.low).to_bits());
    assert!((meta.ci_lower_g - 241.2).abs() < 2.0 && (meta.ci_upper_g - 358.8).abs() < 2.0);
    let fixed = Relative::of(&inputs, Method::Analytical).unwrap();
    assert_eq!((fixed.error, fixed.sampling.clone()), (None, None));
    assert_eq!(fixed.meta(300.0).method, MethodName::AnalyticalTruncated);
}

/// Whatever is rounded to nine digits lies around them, and the margin on both sides is a hundredth of a unit.
#[test]
fn what_is_rounded_to_nine_digits_lies_around_them() {
    let mut random = Random(3);
    for _ in 0..1000 {
        let digits = round9(libm::exp(random.between(-40.0, 40.0)));
        let grams = libm::exp(random.between(-3.0, 3.0));
        let Some((low, high)) = rounded_to(digits, grams) else { continue };
        let exponent = format!("{digits:e}").split_once('e').unwrap().1.parse::<i32>().unwrap();
        let unit: f64 = format!("1e{}", exponent - 8).parse().unwrap();
        let part = |end: f64| (end * grams - digits) / unit;
        assert!((part(low) + 0.49).abs() < 1e-6 && (part(high) - 0.49).abs() < 1e-6, "{digits}");
    }
    for (digits, grams) in
        [(0.0, 1.0), (-1.5, 1.0), (1.5, 0.0), (1.5, -1.0), (1.500_000_000_1, 1.0)]
    {
        assert_eq!(rounded_to(digits, grams), None, "{digits} {grams}");
    }
    assert!(rounded_to(1.5, 1.0).is_some());
}

#[test]
fn a_product_that_is_no_number_is_refused() {
    let of = |energy: &str| {
        let inputs =
            [exact("energy", energy), exact("pue", "1"), exact("intensity", "ln(1, 0.5)g/kWh")];
        estimate(&inputs, &Relative::of(&inputs, Method::Analytical).unwrap())
    };
    assert!(of("1e300kWh").is_ok());
    assert!(of("1.7e308kWh").is_err());
}

/// An input that is opposed falls where its variable rises, and the model is told so.
#[test]
fn an_opposed_input_is_one_of_the_model() {
    let over = Distribution::Lognormal { mean: 1.0, cv: 0.1 };
    let plain = exact("x", "ln(1, 0.1)").shared("key");
    assert_eq!(plain.as_factor(over), model::Input::new("x", over).shared("key"));
    assert_eq!(
        plain.opposed().as_factor(over),
        model::Input::new("x", over).shared("key").opposed()
    );
    assert_eq!(exact("x", "1").as_factor(over), model::Input::new("x", over));
}
