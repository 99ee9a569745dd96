//! Texts and what they mean; expected values by hand.

use crate::uncertainty::Distribution;
use crate::uncertainty::text::Quantity;
use proptest::prelude::*;

/// What a text is read as, and echoed.
fn check(quantity: Quantity, text: &str, echo: &str) {
    let read = quantity.read(text).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(quantity.echo(&read), echo, "{text}");
    assert_eq!(quantity.read(echo).unwrap(), read, "{echo}");
}

#[test]
fn energies_are_read_in_kilowatt_hours() {
    let check = |text, echo| check(Quantity::Energy, text, echo);
    check("1.2kWh", "1.2kWh");
    check("1500 Wh", "1.5kWh");
    check("3.6 MJ", "1kWh");
    check("1.2kWh ± 2%", "n(1.2, 0.024)kWh");
    check("1 kWh +- 50 Wh", "n(1, 0.05)kWh");
    check("1.2 ± 0.1 kWh", "n(1.2, 0.1)kWh");
    check("1.2 +/- 0.1 (k=2) kWh", "n(1.2, 0.05)kWh");
    check("tn(1, 0.02, min=0)kWh", "tn(1, 0.02, min=0)kWh");
    check("tn(1000Wh, 2%, max=1.1kWh)", "tn(1, 0.02, min=0, max=1.1)kWh");
    check("ln(7.2, 5%)MJ", "ln(2, 0.05)kWh");
    check("u(900, 1100)Wh", "u(0.9, 1.1)kWh");
}

#[test]
fn intensities_and_ratios_are_read() {
    check(Quantity::Intensity, "400", "400g/kWh");
    check(Quantity::Intensity, "ln(400, 10%)", "ln(400, 0.1)g/kWh");
    check(Quantity::Intensity, "400 ± 40 g/kWh", "n(400, 40)g/kWh");
    check(Quantity::Intensity, "0.4 kg/kWh ± 10%", "n(400, 40)g/kWh");
    check(Quantity::Intensity, "1000 lb/MWh", "453.59237g/kWh");
    check(Quantity::Ratio, "tn(1.2, 0.05, min=1)", "tn(1.2, 0.05, min=1)");
    check(Quantity::Ratio, " 1.2±0.05 ", "n(1.2, 0.05)");
    check(Quantity::Ratio, "1.2 ± 0", "1.2");
    check(Quantity::Carbon, "1.2t ± 30%", "n(1200000, 360000)g");
    check(Quantity::Number, "tri(1, 2, 5)", "tri(1, 2, 5)");
    check(Quantity::Number, "t(1, 0.5, 9)", "t(1, 0.5, 9)");
    check(Quantity::Number, "arcsine(-1, 1)", "arcsine(-1, 1)");
    check(Quantity::Number, "ctrap(-1, 1, 0.5)", "ctrap(-1, 1, 0.5)");
}

/// The rule: a width of 0 is exact, in whatever shape it is written; what surrounds nothing is refused with the reason.
#[test]
fn a_shape_without_width_is_a_value() {
    for text in [
        "1.2 ± 0",
        "1.2 ± 0%",
        "n(1.2, 0)",
        "n(1.2, 0%)",
        "u(1.2, 1.2)",
        "tri(1.2, 1.2, 1.2)",
        "ln(1.2, 0)",
        "ln(1.2, 0%)",
        "arcsine(1.2, 1.2)",
        "t(1.2, 0, 5)",
        "ctrap(1.2, 1.2, 0)",
        "tn(1.2, 0)",
        "tn(1.2, 0, min=1.2)",
        "tn(1.2, 0, max=1.2)",
        "tn(5, 1, min=1.2, max=1.2)",
    ] {
        for (quantity, unit) in
            [(Quantity::Ratio, ""), (Quantity::Energy, "kWh"), (Quantity::Number, "")]
        {
            check(quantity, &format!("{text}{unit}"), &format!("1.2{unit}"));
        }
    }
    check(Quantity::Number, "ctrap(1, 2, 0)", "u(1, 2)");
    check(Quantity::Number, "n(-1, 0)", "-1");
    for (text, reason) in [
        ("u(2, 1)", "has its upper end not above its lower one"),
        ("n(1, -1)", "has a standard deviation below 0"),
        ("ln(1, -1)", "has a cv below 0"),
        ("ln(0, 0)", "has a mean that is not above 0"),
        ("tn(1, 0, min=2)", "is one value, which lies beyond its bounds"),
        ("tn(1, 0, max=0.5)", "is one value, which lies beyond its bounds"),
        ("tn(1, 1, min=2, max=1)", "has its upper bound not above its lower one"),
        ("tn(1, -1)", "has a sigma below 0"),
        ("tri(1, 3, 1)", "is not in the order low, mode, high"),
        ("ctrap(1, 1, 0.1)", "needs limits in order"),
        ("t(1, 0, 2)", "more than 2 degrees of freedom"),
    ] {
        let error = Quantity::Number.read(text).unwrap_err().reason;
        assert!(error.contains(reason), "{text}: {error}");
    }
}

/// 1.959963984540054: the 97.5 % quantile of the standard normal (tables).
#[test]
fn a_95_percent_half_width_is_not_a_standard_uncertainty() {
    let Distribution::Normal { mean, sd } = "10 ± 1.959963984540054 (95%)".parse().unwrap() else {
        panic!()
    };
    assert!((mean - 10.0).abs() < 1e-15 && (sd - 1.0).abs() < 1e-14);
}

/// The message that a text gives.
fn wrong(quantity: Quantity, text: &str, at: usize, reason: &str) {
    let error = quantity.read(text).unwrap_err();
    assert_eq!((error.at, error.reason.as_str()), (at, reason), "{text}");
}

#[test]
fn errors_show_the_place() {
    let none = "expected a number";
    wrong(Quantity::Energy, "1.2", 0, "this number has no unit");
    wrong(Quantity::Energy, "1.2kWh ± x", 10, none);
    wrong(Quantity::Energy, "tn(1, 0.02, men=0)kWh", 12, none);
    wrong(Quantity::Ratio, "", 0, none);
    wrong(Quantity::Ratio, "1.2 kWh", 4, "\"kWh\" is a unit, and this quantity has none");
    wrong(Quantity::Ratio, "ln(1)", 0, "ln takes two numbers");
    wrong(
        Quantity::Ratio,
        "gauss(1, 2)",
        0,
        "there is no distribution \"gauss\", but n, tn, ln, u, tri, arcsine, t, ctrap",
    );
    wrong(Quantity::Ratio, "1.2 ± 0.1 (95)", 12, "expected k=2 or a probability such as 95%");
    wrong(Quantity::Ratio, "1.2 1.3", 4, "this is left over");
    wrong(Quantity::Ratio, "u(2, 1", 6, "expected \")\"");
    wrong(Quantity::Ratio, "1.2 ± -1", 7, "a spread is not negative");
    wrong(Quantity::Ratio, "10%", 0, "% needs something that it is relative to");
    let message = Quantity::Energy.read("1.2kWh ± x").unwrap_err().to_string();
    assert_eq!(
        message,
        "cannot read \"1.2kWh ± x\" as an energy: expected a number\n  1.2kWh ± x\n           ^"
    );
    assert!(Quantity::Ratio.read("u(-1, 1)").is_err());
    assert!(Quantity::Number.read("u(-1, 1)").is_ok());
    assert!(Quantity::Number.read("1e400").is_err());
}

fn any() -> impl Strategy<Value = Distribution> {
    let size = || prop_oneof![1e-9..1e9_f64, 1e-300..1e300_f64];
    prop_oneof![
        size().prop_map(|mean| Distribution::Point { mean }),
        (size(), size()).prop_map(|(mean, cv)| Distribution::Lognormal { mean, cv }),
        (size(), 1e-6..0.2_f64).prop_map(|(mean, cv)| Distribution::Normal { mean, sd: mean * cv }),
        (1.0..9.0_f64, 1e-3..1.0_f64).prop_map(|(mu, sigma)| Distribution::TruncatedNormal {
            mu,
            sigma,
            min: mu - sigma,
            max: Some(mu + 2.0 * sigma)
        }),
        (size(), 1.1..9.0_f64).prop_map(|(low, f)| Distribution::Uniform { low, high: low * f }),
    ]
}

proptest! {
    #[test]
    fn what_is_printed_is_read_as_the_same(distribution in any()) {
        let text = distribution.to_string();
        prop_assert_eq!(text.parse::<Distribution>().unwrap(), distribution);
        let text = Quantity::Energy.echo(&distribution);
        prop_assert_eq!(Quantity::Energy.read(&text).unwrap(), distribution);
    }

    #[test]
    fn no_text_makes_the_reader_fail_otherwise(text in "\\PC*") {
        for quantity in [Quantity::Energy, Quantity::Intensity, Quantity::Number] {
            if let Err(error) = quantity.read(&text) {
                prop_assert!(text.get(..error.at).is_some(), "{error:?}");
            }
        }
    }
}
