//! Prices of places and times.

use carbon_ops::grid::Interval;
use carbon_ops::{
    CarbonEstimator, Energy, EstimatorSettings, KilowattHours, Note, Quality, Record,
};

fn estimator(place: Option<&str>, pue: &str) -> CarbonEstimator {
    let (place, pue) = (place.map(str::to_owned), Some(pue.to_owned()));
    CarbonEstimator::new(EstimatorSettings { place, pue, ..EstimatorSettings::default() }).unwrap()
}

fn of_an_hour(estimator: &CarbonEstimator, energy: &str, place: Option<&str>) -> Record {
    let energy: Energy = energy.parse().unwrap();
    let [from, to] = ["2025-03-01T09:00Z", "2025-03-01T10:00Z"].map(|time| time.parse().unwrap());
    estimator.estimate_over_span(energy, from, to, place).unwrap()
}

#[test]
fn grams_are_energy_times_pue_times_the_intensity_of_the_place() {
    let record = of_an_hour(&estimator(Some("DE"), "1.5"), "2kWh", None);
    assert_eq!((record.region.as_str(), record.pue_used), ("DE", 1.5));
    let grams = 2.0 * 1.5 * record.intensity_g_per_kwh;
    assert!((record.grams - grams).abs() < 1e-6 * grams);
    record.check().unwrap();
}

#[test]
fn a_span_may_be_of_another_place_than_the_settings() {
    let estimator = estimator(Some("DE"), "1.5");
    let record = of_an_hour(&estimator, "2kWh", Some("FR"));
    assert_eq!(record.region, "FR");
    assert!(record.grams < of_an_hour(&estimator, "2kWh", None).grams);
}

#[test]
fn without_a_place_it_is_the_world_and_says_so() {
    let record = of_an_hour(&estimator(None, "1.5"), "2kWh", None);
    assert_eq!((record.region.as_str(), record.quality_flag), ("world", Quality::Fallback));
}

#[test]
fn what_is_not_known_of_the_energy_widens_the_interval() {
    let estimator = estimator(Some("DE"), "1.5");
    let width = |energy: &str| {
        let carbon = of_an_hour(&estimator, energy, None).carbon().unwrap();
        carbon.high().as_grams() - carbon.low().as_grams()
    };
    assert!(width("2kWh ± 40%") > 1.2 * width("2kWh"));
    assert!(of_an_hour(&estimator, "2kWh", None).has_note(&Note::EnergyStatedExact));
}

#[test]
fn what_cannot_be_priced_is_refused_before_and_with_its_kind() {
    let kwh = KilowattHours::new(1.0).unwrap();
    assert!(CarbonEstimator::at("Atlantis").unwrap_err().is_unknown_place());
    let error = estimator(None, "1").estimate_from_energy(kwh, Some("Atlantis")).unwrap_err();
    assert!(error.is_unknown_place());
    let pue = EstimatorSettings { pue: Some("0.5".into()), ..EstimatorSettings::default() };
    assert!(!CarbonEstimator::new(pue).unwrap_err().is_unknown_place());
    let at = "2025-03-01T09:00Z".parse().unwrap();
    assert!(estimator(None, "1").estimate_over_span(kwh, at, at, None).is_err());
}

#[test]
fn nothing_used_emits_nothing() {
    let none = KilowattHours::new(0.0).unwrap();
    let estimate = estimator(Some("DE"), "1.5").estimate_from_energy(none, None).unwrap();
    assert_eq!((estimate.energy, estimate.carbon), (none, None));
}

/// The rule: many energies at once have the figures of their records, whether the grid changes with time or not, and
/// hardware or not.
#[test]
fn grams_of_each_energy_are_those_of_its_record() {
    let span = Interval::parse("2026-03-01T00:00Z", "2026-03-02T00:00Z").unwrap();
    let energies = [0.0, 1e-9, 0.4, 1.0, 12.5, 1e6];
    for (place, intensity) in
        [("DE", None), ("US-WA", None), ("DE", Some("400 ± 10%")), ("DE", Some("0"))]
    {
        let settings = EstimatorSettings {
            place: Some(place.into()),
            intensity: intensity.map(str::to_owned),
            ..EstimatorSettings::default()
        };
        let estimator = CarbonEstimator::new(settings).unwrap();
        let grams = estimator.grams_of_each(&energies, span).unwrap();
        for (kwh, grams) in energies.iter().zip(grams) {
            let energy = KilowattHours::new(*kwh).unwrap();
            let record =
                estimator.estimate_over_span(energy, span.start(), span.end(), None).unwrap();
            let told = (record.grams, record.meta.ci_lower_g, record.meta.ci_upper_g);
            assert_eq!(grams, told, "{kwh} kWh in {place} at {intensity:?}");
        }
    }
    assert!(CarbonEstimator::at("DE").unwrap().grams_of_each(&[-1.0], span).is_err());
    let wrong = EstimatorSettings { intensity: Some("lots".into()), ..Default::default() };
    assert!(CarbonEstimator::new(wrong).is_err());
}
