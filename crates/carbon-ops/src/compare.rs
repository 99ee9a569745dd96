//! Two pieces of work compared by the energy that they use: run in turn, until it is known whether the second is worse,
//! or for as long as is allowed.
//!
//! What the meter or the model is off by, it is off by for both, so that the ratio is known far better than either
//! energy. What is compared is energy and not carbon: both run in one place at one time.
//!
//! Out of scope: the statistics, which are those of [`paired`], and records: nothing is kept.

use std::time::Duration;

use anyhow::Result;
use carbon_ops_estimate::paired;
use carbon_ops_estimate::uncertainty::{Input, Method, Model};
use carbon_ops_record::Quality;
use carbon_ops_units::Microjoules;

use crate::compose::Measured;
use crate::fault::Fault;

pub use carbon_ops_estimate::paired::{Pairs, Ratio, Verdict};

/// What is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// What the other one is held against.
    A,
    /// What may be worse.
    B,
}

/// How long to go on.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Plan {
    /// The smallest relative increase that counts, such as 0.03.
    pub margin: f64,
    /// Most pairs of runs, besides one of each that is not counted.
    pub pairs: u32,
    /// No further two pairs are begun after so long.
    pub time: Option<Duration>,
}

/// What one run tells.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Run {
    /// Its energy.
    pub energy: Microjoules,
    /// Ends of its interval, over the energy.
    pub ends: (f64, f64),
    /// What stands behind it.
    pub quality: Quality,
}

impl Run {
    /// What was measured of a run.
    ///
    /// # Errors
    /// When what is not known of the energy breaks a rule.
    pub fn of(measured: &Measured) -> Result<Self> {
        let mut factors = Vec::new();
        for input in &measured.inputs {
            let distribution = input.distribution()?;
            // What is exact, such as no energy at all, widens nothing.
            if !distribution.is_point() {
                factors.push(Input::new(&input.name, distribution.over_mean()));
            }
        }
        let ends = if factors.is_empty() {
            (1.0, 1.0)
        } else {
            let estimate = Model::product(1.0, factors)?.evaluate(&Method::Analytical)?;
            (estimate.low, estimate.high)
        };
        Ok(Self { energy: measured.workload(), ends, quality: measured.quality })
    }
}

/// The energy of a side: the mean of its runs.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Figure {
    /// In J.
    pub joules: f64,
    /// Lower end of its interval, J.
    pub low: f64,
    /// Upper end of its interval, J.
    pub high: f64,
}

/// Why it was stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stopped {
    /// It is known which is worse.
    Known,
    /// There were to be no more pairs.
    Pairs,
    /// There was to be no more time.
    Time,
}

/// What came out.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Compared {
    /// Whether B is worse than A.
    pub verdict: Verdict,
    /// B over A, with the interval in which what is common to both has cancelled.
    pub ratio: Option<Ratio>,
    /// How many of each were compared.
    pub pairs: u32,
    /// Why it was stopped.
    pub stopped: Stopped,
    /// A and B, each with all that is not known of it.
    pub figures: [Figure; 2],
    /// The weakest of all runs.
    pub quality: Quality,
}

/// What has been added up.
#[derive(Default)]
struct Sums {
    figures: [Figure; 2],
    quality: Option<Quality>,
}

impl Sums {
    fn add(&mut self, [a, b]: [Run; 2]) {
        for (figure, run) in self.figures.iter_mut().zip([a, b]) {
            let joules = run.energy.as_joules();
            figure.joules += joules;
            figure.low += joules * run.ends.0;
            figure.high += joules * run.ends.1;
            self.quality = self.quality.max(Some(run.quality));
        }
    }
}

/// Runs both in turn, A B B A, after one run of each that is not counted. `elapsed` is the time since the beginning;
/// `tell` is called after each pair.
///
/// # Errors
/// Those of `run`, and [`Fault::NoEnergySeen`] of a run that is too short for whatever counts its energy.
pub fn compare(
    plan: &Plan,
    mut run: impl FnMut(Side) -> Result<Run>,
    elapsed: impl Fn() -> Duration,
    mut tell: impl FnMut(&Pairs),
) -> Result<Compared> {
    let (mut sums, mut stopped) = (Sums::default(), Stopped::Known);
    for side in [Side::A, Side::B] {
        run(side)?;
    }
    let next = |pairs: &Pairs| {
        let done = pairs.count();
        if done > 0 {
            tell(pairs);
        }
        if done >= plan.pairs {
            stopped = Stopped::Pairs;
            return Ok(None);
        }
        let is_over = plan.time.is_some_and(|time| elapsed() >= time);
        if done.is_multiple_of(2) && is_over {
            stopped = Stopped::Time;
            return Ok(None);
        }
        let pair = if done.is_multiple_of(2) {
            let a = run(Side::A)?;
            [a, run(Side::B)?]
        } else {
            let b = run(Side::B)?;
            [run(Side::A)?, b]
        };
        if pair.iter().any(|run| run.energy == Microjoules::ZERO) {
            return Err(Fault::NoEnergySeen.into());
        }
        sums.add(pair);
        let [a, b] = pair.map(|run| run.energy.as_joules());
        anyhow::Ok(Some((a, b)))
    };
    let (verdict, pairs) = paired::judge(plan.margin, next)?;
    let count = f64::from(pairs.count().max(1));
    let figures = sums.figures.map(|sum| Figure {
        joules: sum.joules / count,
        low: sum.low / count,
        high: sum.high / count,
    });
    Ok(Compared {
        verdict,
        ratio: pairs.ratio(),
        pairs: pairs.count(),
        stopped,
        figures,
        quality: sums.quality.unwrap_or(Quality::Fallback),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;

    const PLAN: Plan = Plan { margin: 0.03, pairs: 40, time: None };

    /// A run of so many mJ on a meter that may be 20 % off.
    fn run(millijoules: u64) -> Run {
        let energy = Microjoules::new(1000 * millijoules);
        Run { energy, ends: (0.8, 1.2), quality: Quality::Measured }
    }

    /// Runs that differ by up to 2 %, and B uses so much of A's energy, in thousandths.
    fn compared(plan: &Plan, of_a: u32) -> (Compared, Vec<Side>) {
        let sides = RefCell::new(Vec::new());
        let measure = |side| {
            sides.borrow_mut().push(side);
            let n = sides.borrow().len() as u64;
            let whole = 10_000 + (n * 7919) % 201;
            Ok(run(if side == Side::A { whole } else { whole * u64::from(of_a) / 1000 }))
        };
        let elapsed = || Duration::from_secs(sides.borrow().len() as u64);
        let found = compare(plan, measure, elapsed, |_| {}).unwrap();
        (found, sides.into_inner())
    }

    #[test]
    fn runs_take_turns_after_one_of_each_until_it_is_known_which_is_worse() {
        use Side::{A, B};
        for (of_a, verdict) in [
            (1000, Verdict::NotWorse),
            (900, Verdict::NotWorse),
            (1010, Verdict::NotWorse),
            (1060, Verdict::Worse),
            (1500, Verdict::Worse),
        ] {
            let (found, sides) = compared(&PLAN, of_a);
            assert_eq!((found.verdict, found.stopped), (verdict, Stopped::Known), "{of_a}");
            assert_eq!(sides[..10], [A, B, A, B, B, A, A, B, B, A], "{of_a}");
            assert_eq!(sides.len(), 2 * found.pairs as usize + 2);
            assert!(found.pairs < 40 && found.pairs.is_multiple_of(2), "{found:?}");
            let ratio = found.ratio.unwrap();
            let truth = f64::from(of_a) / 1000.0;
            assert!(ratio.low <= truth && truth <= ratio.high);
        }
    }

    /// What both share has cancelled: the meter's 20 % are in each energy, and not in the ratio.
    #[test]
    fn the_ratio_is_known_five_times_better_than_either_energy() {
        let (found, _) = compared(&Plan { margin: 0.02, ..PLAN }, 1000);
        let ratio = found.ratio.unwrap();
        for figure in found.figures {
            assert!((figure.low / figure.joules - 0.8).abs() < 1e-9);
            assert!((figure.high / figure.joules - 1.2).abs() < 1e-9);
            assert!((9.9..10.4).contains(&figure.joules), "{figure:?}");
            let relative = (figure.high - figure.low) / figure.joules;
            assert!(5.0 * (ratio.high - ratio.low) / ratio.ratio < relative, "{ratio:?}");
        }
    }

    #[test]
    fn a_run_has_the_interval_of_what_was_measured() {
        let logger = crate::EnergyLogger::default();
        let mut command = std::process::Command::new("true");
        let (_, measured) = logger.run(&mut command).unwrap();
        let run = Run::of(&measured).unwrap();
        assert_eq!((run.energy, run.quality), (measured.workload(), measured.quality));
        assert!(run.ends.0 < 1.0 && 1.0 < run.ends.1, "{run:?}");
        // Without what is not known, it is exact.
        let exact = Measured { inputs: Vec::new(), ..measured };
        let (low, high) = Run::of(&exact).unwrap().ends;
        assert_eq!([low, high].map(f64::to_bits), [1_f64.to_bits(); 2]);
    }

    #[test]
    fn it_ends_with_its_pairs_or_with_its_time_and_then_says_that_it_does_not_know() {
        let (found, sides) = compared(&Plan { pairs: 4, ..PLAN }, 1000);
        assert_eq!((found.verdict, found.stopped), (Verdict::Unknown, Stopped::Pairs));
        assert_eq!((found.pairs, sides.len()), (4, 10));
        // A second a run: the third pair would end in time, and the fourth would not begin in it.
        let plan = Plan { time: Some(Duration::from_secs(5)), ..PLAN };
        let (found, sides) = compared(&plan, 1000);
        assert_eq!((found.verdict, found.stopped), (Verdict::Unknown, Stopped::Time));
        assert_eq!((found.pairs, sides.len()), (2, 6));
        let (found, _) = compared(&Plan { time: Some(Duration::ZERO), ..PLAN }, 1000);
        assert_eq!((found.ratio, found.pairs, found.quality), (None, 0, Quality::Fallback));
    }

    #[test]
    fn a_run_without_energy_is_no_run_and_the_weakest_of_them_gives_the_quality() {
        let measure = |side| Ok(run(if side == Side::A { 5 } else { 0 }));
        let error = compare(&PLAN, measure, Duration::default, |_| {}).unwrap_err();
        assert!(matches!(error.downcast_ref(), Some(Fault::NoEnergySeen)), "{error:?}");
        let failing = |_| Err(anyhow::anyhow!("exit code 2"));
        assert!(compare(&PLAN, failing, Duration::default, |_| {}).is_err());
        let told = RefCell::new(Vec::new());
        let measure = |side| {
            let quality = if side == Side::B { Quality::Estimated } else { Quality::Measured };
            Ok(Run { quality, ..run(5) })
        };
        let tell = |pairs: &Pairs| told.borrow_mut().push(pairs.count());
        let found = compare(&Plan { pairs: 2, ..PLAN }, measure, Duration::default, tell).unwrap();
        assert_eq!((found.quality, told.into_inner()), (Quality::Estimated, vec![1, 2]));
    }
}
