//! The demonstration of aliasing: one counter, read often by the meter of this product and rarely by
//! three scrapers, side by side with the truth.
//!
//! Time is virtual for a simulated register, so that ten minutes take a moment; a live register is read
//! in real time ([`crate::live`]). Our side is [`Counter`] itself and nothing that imitates it.
//!
//! Out of scope: printing, which is `main.rs`.

use std::time::Duration;

use carbon_ops_meter::clock::Moment;
use carbon_ops_meter::counter::{Counter, Scale, Step};
use carbon_ops_units::{Microjoules, Watts};

use crate::curve::{Curve, Stretch};
use crate::register::Register;
use crate::scraper::{Rule, Scraper};

/// Power that a package cannot exceed, as the governor assumes where no limit is published
/// (`Kind::Package` of the meter).
const CEILING_W: f64 = 2000.0;

/// A day at 10 Hz, kept for the picture: 20 MB.
const POLLS_MAX: u128 = 1_000_000;

/// How long, how often, how seldom.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Times {
    pub(crate) poll: Duration,
    pub(crate) scrape: Duration,
    pub(crate) duration: Duration,
}

impl Times {
    /// # Errors
    /// When the demonstration could show nothing, or would not end.
    pub(crate) fn check(&self) -> Result<(), String> {
        if self.poll.is_zero() {
            return Err("--poll must be longer than nothing".into());
        }
        if self.scrape < self.poll {
            return Err("--scrape is shorter than --poll\nhint: the scraper is the slow one".into());
        }
        if self.duration < self.scrape {
            return Err("--duration is shorter than --scrape, so that the scraper sees nothing\n\
                        hint: give at least two scrapes of time"
                .into());
        }
        let polls = self.duration.as_nanos() / self.poll.as_nanos();
        if polls > POLLS_MAX {
            return Err(format!(
                "--duration holds {polls} polls, more than {POLLS_MAX}\nhint: poll less often, or \
                 for less time"
            ));
        }
        Ok(())
    }
}

/// Our meter over all domains.
#[derive(Debug)]
pub(crate) struct Ours {
    counters: Vec<Counter>,
    start: Vec<Option<Microjoules>>,
    last: Duration,
    shown: Microjoules,
    /// Gaps whose energy our meter knows that it does not know.
    pub(crate) gaps: usize,
    pub(crate) polls: usize,
    pub(crate) power: Vec<Stretch>,
}

impl Ours {
    pub(crate) fn new(counters: Vec<Counter>) -> Self {
        Self {
            start: vec![None; counters.len()],
            counters,
            last: Duration::ZERO,
            shown: Microjoules::ZERO,
            gaps: 0,
            polls: 0,
            power: Vec::new(),
        }
    }

    /// Takes one reading of each domain; `None` where reading failed.
    pub(crate) fn poll(&mut self, at: Duration, readings: &[Option<u64>]) {
        let mut whole = true;
        let domains = self.counters.iter_mut().zip(&mut self.start).zip(readings);
        for ((counter, start), reading) in domains {
            let moment = Moment::default().after(at);
            match reading.map(|reading| counter.observe(reading, moment)) {
                Some(Step::Baseline) => *start = Some(counter.total()),
                Some(Step::Advance { .. }) => {}
                Some(Step::Rebased { .. }) => {
                    self.gaps += 1;
                    whole = false;
                }
                Some(Step::Corrected { .. } | Step::Skipped) | None => whole = false,
            }
        }
        let total = self.total();
        // A reading that yields no energy is carried by the next one.
        if self.polls > 0 && whole {
            let more = total.saturating_sub(self.shown);
            let watts = more.over(at.saturating_sub(self.last)).map_or(0.0, Watts::as_watts);
            self.power.push(Stretch { from: self.last, to: at, watts });
        }
        if self.polls == 0 || whole {
            (self.last, self.shown) = (at, total);
        }
        self.polls += 1;
    }

    /// Energy since the first reading.
    pub(crate) fn total(&self) -> Microjoules {
        let domains = self.counters.iter().zip(&self.start);
        domains.filter_map(|(counter, start)| counter.total().checked_sub((*start)?)).sum()
    }

    pub(crate) fn wraps(&self) -> Vec<u64> {
        self.counters.iter().map(Counter::wraps).collect()
    }
}

/// What is known of what was really used.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Truth {
    pub(crate) curve: Curve,
    pub(crate) register: Register,
    /// The highest power within the time.
    pub(crate) peak: f64,
}

/// One counter, all meters, from start to end.
#[derive(Debug)]
pub(crate) struct Observed {
    pub(crate) times: Times,
    /// `None` for a live counter.
    pub(crate) truth: Option<Truth>,
    pub(crate) ours: Ours,
    pub(crate) scrapers: Vec<Scraper>,
    /// When our meter and the scrapers looked last.
    pub(crate) ended: (Duration, Duration),
}

impl Observed {
    /// True energy in J up to a time; where it is unknown, our own total.
    pub(crate) fn reference(&self, until: Duration) -> f64 {
        if let Some(truth) = &self.truth {
            return truth.curve.joules(until);
        }
        let seen = self.ours.power.iter().take_while(|stretch| stretch.to <= until);
        seen.map(|s| s.watts * s.to.saturating_sub(s.from).as_secs_f64()).sum()
    }

    /// Where the picture looks, in seconds: ten scrapes around the one that lost most to a reset.
    pub(crate) fn view(&self) -> (f64, f64) {
        let intervals = self.scrapers.iter().take(1).flat_map(|scraper| &scraper.intervals);
        let worst = intervals.filter(|interval| interval.wrong).min_by_key(|i| i.energy);
        let worst = worst.map_or(Duration::ZERO, |interval| interval.from);
        let from = worst.saturating_sub(4 * self.times.scrape);
        let to = (from + 10 * self.times.scrape).min(self.ended.0);
        (from.as_secs_f64(), to.as_secs_f64())
    }

    /// The highest power that the meters of this view show, or the truth has.
    pub(crate) fn top(&self) -> f64 {
        let scraped = self.scrapers.iter().flat_map(Scraper::power);
        let shown = self.ours.power.iter().copied().chain(scraped).map(|s| s.watts);
        shown.fold(self.truth.map_or(0.0, |truth| truth.peak), f64::max).max(1.0)
    }

    /// Wraps that there were while the scrapers looked.
    pub(crate) fn wraps(&self, until: Duration) -> u64 {
        match &self.truth {
            Some(truth) => truth.register.wraps(truth.curve.joules(until)),
            None => self.ours.wraps().iter().sum(),
        }
    }
}

/// Runs a register through virtual time.
pub(crate) fn simulate(curve: Curve, range: Microjoules, times: Times) -> Result<Observed, String> {
    times.check()?;
    let register = Register::of_range(range);
    let scale = Scale::printed(range).ok_or("a range of 0 tells nothing")?;
    let ceiling = Watts::new(CEILING_W.max(4.0 * curve.peak())).map_err(|e| e.to_string())?;
    let mut ours = Ours::new(vec![Counter::new(scale, ceiling)]);
    let mut scrapers = Rule::ALL.map(|rule| Scraper::new(rule, &[range.as_microjoules()]));
    let (mut poll, mut scrape) = (Duration::ZERO, Duration::ZERO);
    let (mut ended, mut peak) = ((poll, scrape), 0.0f64);
    while poll.min(scrape) <= times.duration {
        let at = poll.min(scrape);
        let joules = curve.joules(at);
        let reading = [Some(register.shows(joules))];
        if at == poll {
            ours.poll(at, &reading);
            peak = peak.max(curve.watts(at));
            (ended.0, poll) = (at, poll + times.poll);
        }
        if at == scrape {
            for scraper in &mut scrapers {
                scraper.look(at, &reading, &[register.wraps(joules)]);
            }
            (ended.1, scrape) = (at, scrape + times.scrape);
        }
    }
    let peak = if times.duration >= curve.period() { curve.peak() } else { peak };
    let truth = Some(Truth { curve, register, peak });
    Ok(Observed { times, truth, ours, scrapers: scrapers.into(), ended })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::register::{AMD_PACKAGE, MICROJOULES_IN_32_BITS};

    const USUAL: Times = Times {
        poll: Duration::from_millis(100),
        scrape: Duration::from_secs(15),
        duration: Duration::from_secs(600),
    };

    fn errors(observed: &Observed) -> Vec<f64> {
        let truth = observed.reference(observed.ended.1);
        #[expect(clippy::cast_precision_loss, reason = "test")]
        let error = |total: u64| 100.0 * (total as f64 / 1e6 / truth - 1.0);
        observed.scrapers.iter().map(|scraper| error(scraper.total())).collect()
    }

    /// 390 W wraps 65536 J at 168.04, 336.08 and 504.12 s: the reset rule loses what was used from the
    /// scrapes at 165, 330 and 495 s up to there (3.04, 6.08 and 9.12 s), leaving a fall out loses all
    /// three intervals of 15 s, and one range is a unit too short per wrap and 52 ppm too small in all.
    #[test]
    fn a_register_of_hardware_costs_scrapers_a_little_and_us_nothing() {
        let observed = simulate(Curve::Constant(390.0), AMD_PACKAGE, USUAL).unwrap();
        assert_eq!(observed.wraps(USUAL.duration), 3);
        assert_eq!(observed.ours.wraps(), [3]);
        let ours = observed.ours.total().as_joules();
        assert!((ours - 234_000.0).abs() < 4e-5, "{ours}");
        let expected = [-100.0 * 18.24 / 600.0, -100.0 * 45.0 / 600.0, -0.0052];
        for (found, expected) in errors(&observed).into_iter().zip(expected) {
            assert!((found - expected).abs() < 0.02, "{found} and {expected}");
        }
    }

    /// 390 W passes 4295 J in 11.01 s, so that each interval of 15 s holds one wrap or two. Its 5850 J
    /// less one range are 1555 J, which is what one who adds at most one range counts (104 W).
    #[test]
    fn a_register_that_wraps_within_an_interval_hides_most_of_the_energy() {
        let observed = simulate(Curve::Constant(390.0), MICROJOULES_IN_32_BITS, USUAL).unwrap();
        assert_eq!(observed.wraps(USUAL.duration), 54);
        assert_eq!(observed.ours.wraps(), [54]);
        assert!((observed.ours.total().as_joules() - 234_000.0).abs() < 1e-3);
        let single = errors(&observed)[2];
        assert!((single - 100.0 * (1555.03 / 5850.0 - 1.0)).abs() < 0.01, "{single}");
        assert_eq!(observed.scrapers[2].wrong(), 40);
        assert_eq!((observed.ours.gaps, observed.ours.polls), (0, 6001));
    }

    /// What the slow meter cannot prove, ours does not claim either: it says so.
    #[test]
    fn polls_that_are_too_rare_for_the_range_are_gaps() {
        let times = Times { poll: Duration::from_secs(5), ..USUAL };
        let observed = simulate(Curve::Constant(390.0), MICROJOULES_IN_32_BITS, times).unwrap();
        assert_eq!(observed.ours.gaps, 120);
        assert!(observed.ours.total().as_joules() < 234_000.0);
    }

    #[test]
    fn peaks_between_scrapes_are_seen_by_the_fast_meter_alone() {
        let curve = Curve::Square { high: 600.0, low: 180.0, period: Duration::from_secs(5) };
        let observed = simulate(curve, AMD_PACKAGE, USUAL).unwrap();
        let ours = observed.ours.power.iter().map(|s| s.watts).fold(0.0, f64::max);
        assert!((ours - 600.0).abs() < 0.01, "{ours}");
        for interval in &observed.scrapers[2].intervals {
            let watts = Microjoules::new(interval.energy.unwrap()).as_joules() / 15.0;
            assert!((watts - 390.0).abs() < 0.1, "{watts}");
        }
    }

    #[test]
    fn times_that_show_nothing_are_refused() {
        let ms = Duration::from_millis;
        for (poll, scrape, duration) in
            [(0, 100, 1000), (100, 50, 1000), (100, 1000, 500), (1, 1000, 10_000_000)]
        {
            let times = Times { poll: ms(poll), scrape: ms(scrape), duration: ms(duration) };
            assert!(times.check().is_err(), "{times:?}");
        }
    }
}
