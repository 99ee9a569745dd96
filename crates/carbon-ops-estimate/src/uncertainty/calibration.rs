//! Calibration: in 243 simulated situations the intervals hold the truth in 95 % of trials, by the
//! closed form and by Monte Carlo. Truths are drawn here slot by slot, by other means than those of the
//! code: `SplitMix64`, Box and Muller's method, rejection.

mod slots;

use self::slots::{Noise, Provider, Slot, Span};
use super::{Distribution, Input, Method, MonteCarlo, Trials, Used};

/// Trials of a situation; the standard deviation of a coverage is √(0.95·0.05/4000) = 0.345 %.
const TRIALS: u32 = 4_000;

/// 4.5 standard deviations (with those of the run, 4.3): one of 486 coverages beyond has a probability of 0.3 %.
const EACH: f64 = 0.015_5;

/// The same for all 972,000 trials together: 4 · √(0.95·0.05/972000). What the scatter of Monte Carlo's
/// own ends adds, averages out over 243 runs.
const ALL: f64 = 0.000_9;

/// Trials of a Monte Carlo run: fewer than by default, for the time that the test takes. Their scatter
/// in a coverage, √(0.95·0.05/50000) = 0.1 %, is small beside that of [`TRIALS`].
const RUN: u64 = 50_000;

/// Vigna's generator, as a stranger to the code under test.
pub(crate) struct SplitMix(pub(crate) u64);

impl SplitMix {
    fn uniform(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^= z >> 31;
        #[expect(clippy::cast_precision_loss, reason = "53 bits fit")]
        let bits = (z >> 11) as f64;
        (bits + 0.5) / 9_007_199_254_740_992.0
    }

    fn normal(&mut self) -> f64 {
        let (u, v) = (self.uniform(), self.uniform());
        (-2.0 * u.ln()).sqrt() * (std::f64::consts::TAU * v).cos()
    }

    pub(crate) fn draw(&mut self, distribution: Distribution) -> f64 {
        match distribution {
            Distribution::Point { mean } => mean,
            Distribution::Normal { mean, sd } => mean + sd * self.normal(),
            Distribution::Lognormal { mean, cv } => {
                let variance = (1.0 + cv * cv).ln();
                mean * (variance.sqrt() * self.normal() - variance / 2.0).exp()
            }
            Distribution::Uniform { low, high } => low + (high - low) * self.uniform(),
            Distribution::TruncatedNormal { mu, sigma, min, max } => loop {
                let x = mu + sigma * self.normal();
                if x >= min && max.is_none_or(|max| x <= max) {
                    return x;
                }
            },
            other => panic!("{other} is not drawn here"),
        }
    }
}

/// A truth: every factor once, every slot with its own noise.
fn truth(span: &Span, random: &mut SplitMix) -> f64 {
    let factors: f64 = span.factors.iter().map(|input| random.draw(input.distribution)).product();
    let mut sum = 0.0;
    for (index, provider) in span.providers.iter().enumerate() {
        let Noise { cv, common, hourly_correlation: r } = provider.noise;
        let shared = common.sqrt() * random.normal();
        let mut own = random.normal();
        let mut grams = 0.0;
        for slot in span.slots.iter().filter(|slot| slot.provider == index) {
            grams += slot.grams * (1.0 + cv * (shared + (1.0 - common).sqrt() * own));
            own = r * own + (1.0 - r * r).sqrt() * random.normal();
        }
        sum += random.draw(provider.factor.distribution) * grams;
    }
    let embodied = span.embodied.as_ref().map_or(0.0, |input| random.draw(input.distribution));
    factors * sum + embodied
}

fn situations() -> Vec<Span> {
    let input = |name: &str, text: &str| Input::new(name, text.parse().unwrap());
    let ar = Noise { cv: 0.2, common: 0.3, hourly_correlation: 0.9 };
    let noises = [Noise::NONE, Noise { cv: 0.2, common: 0.0, hourly_correlation: 0.0 }, ar];
    let mut situations = Vec::new();
    for meter in ["ln(1, 2%)", "ln(1, 10%)", "ln(1, 30%)"] {
        for pue in ["1.1", "tn(1.2, 0.05, min=1)", "tn(1.55, 0.2, min=1)"] {
            for grid in ["ln(1, 10%)", "tn(1, 0.3)", "u(0.7, 1.3)"] {
                for noise in noises {
                    for shape in 0..3 {
                        let provider = Provider { factor: input("intensity", grid), noise };
                        let zones = if shape == 1 { 2 } else { 1 };
                        let slot = |hour: u32| Slot {
                            grams: f64::from(5 + hour % 7),
                            provider: usize::try_from(hour).unwrap() * zones / 24,
                            hour: hour.into(),
                        };
                        situations.push(Span {
                            factors: vec![input("meter", meter), input("pue", pue)],
                            providers: vec![provider; zones],
                            slots: (0..24).map(slot).collect(),
                            embodied: (shape == 2).then(|| input("embodied", "ln(60, 35%)")),
                        });
                    }
                }
            }
        }
    }
    situations
}

#[test]
fn intervals_hold_the_truth_in_95_percent_of_trials() {
    let situations = situations();
    assert_eq!(situations.len(), 243);
    let mut random = SplitMix(2_026);
    let mut held = [0_u32; 2];
    let mut below = [0_u32; 2];
    let mut range = [(1.0_f64, 0.0_f64); 2];
    for (index, span) in situations.iter().enumerate() {
        let model = span.model();
        let closed = model.evaluate(&Method::Analytical).unwrap();
        assert!(matches!(closed.method, Used::Analytical { .. }), "{span:?}");
        let settings =
            MonteCarlo { trials: Trials::Fixed(RUN), ..MonteCarlo::seeded(index as u64) };
        let sampled = model.evaluate(&Method::MonteCarlo(settings)).unwrap();
        let mut inside = [0_u32; 2];
        for _ in 0..TRIALS {
            let truth = truth(span, &mut random);
            for (method, estimate) in [&closed, &sampled].into_iter().enumerate() {
                inside[method] += u32::from(truth >= estimate.low && truth <= estimate.high);
                below[method] += u32::from(truth < estimate.low);
            }
        }
        for (method, inside) in inside.into_iter().enumerate() {
            let coverage = f64::from(inside) / f64::from(TRIALS);
            assert!((coverage - 0.95).abs() < EACH, "{coverage} {method} {span:?}");
            held[method] += inside;
            range[method] = (range[method].0.min(coverage), range[method].1.max(coverage));
        }
    }
    let all = f64::from(TRIALS) * 243.0;
    // What docs/method.md shows.
    println!(
        "| Interval | Held the truth | Least of 243 | Most of 243 | Truth below | Truth above |"
    );
    println!("|---|---|---|---|---|---|");
    for (method, name) in ["closed form", "Monte Carlo"].into_iter().enumerate() {
        let coverage = f64::from(held[method]) / all;
        let below = f64::from(below[method]) / all;
        let percent = |part: f64| format!("{:.2} %", 100.0 * part);
        let (least, most) = range[method];
        let columns = [coverage, least, most, below, 1.0 - coverage - below].map(percent);
        println!("| {name} | {} |", columns.join(" | "));
        assert!((coverage - 0.95).abs() < ALL, "{coverage} {method}");
        assert!((below - 0.025).abs() < ALL, "{below} {method}");
    }
}
