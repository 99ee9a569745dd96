//! What is done to a governor and to its counters: kills, stops, faults, resets, changing power. One
//! at a time on each host, so that what must follow from each can be said.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

use super::host::{Governor, INTERVAL, Plan, Sim, boottime_ns};
use super::random::Random;
use super::seen::Snapshot;
use super::{Metronome, Violations};

/// Margins on what is provable: nothing is demanded of a stop that comes so close to the limit.
const SURELY_LONGER: f64 = 1.05;
const SURELY_SHORTER: f64 = 0.9;

/// A domain without a good reading is stale after a second, and one that does not move stuck after
/// one and a half; each with some samples on top.
const STALE_BY: Duration = Duration::from_millis(1500);
const STUCK_BY: Duration = Duration::from_millis(2100);

/// What was done.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Tally {
    pub(crate) kills: u64,
    pub(crate) stops: u64,
    pub(crate) unprovable: u64,
    pub(crate) faults: u64,
    pub(crate) resets: u64,
    pub(crate) powers: u64,
    /// Samples that the stops explain.
    pub(crate) missed_most: u64,
}

/// Chaos on one host.
#[derive(Debug)]
pub(crate) struct Chaos<'c> {
    pub(crate) plan: &'static Plan,
    pub(crate) sim: &'c Sim,
    pub(crate) governor: &'c mut Governor,
    pub(crate) random: &'c mut Random,
    pub(crate) violations: &'c Violations,
    pub(crate) tally: &'c mut Tally,
    pub(crate) beat: &'c Metronome,
}

impl Chaos<'_> {
    /// Until the time is over; leaves every counter whole and a governor that runs.
    pub(crate) fn run(&mut self, until: Instant) {
        while Instant::now() < until {
            std::thread::sleep(self.random.ms(100, 800));
            let done = match self.random.below(100) {
                0..20 => self.kill(),
                20..40 => self.stop(),
                40..45 => self.restarts_in_fault(),
                45..70 => self.fault(),
                70..80 => self.reset(),
                _ => self.power(),
            };
            if let Err(error) = done {
                self.violations.add(self.plan.name, &format!("chaos: {error:#}"));
                let _ = self.governor.kill();
                if let Err(error) = self.governor.run() {
                    self.violations.add(self.plan.name, &format!("no restart: {error:#}"));
                    return;
                }
            }
        }
    }

    /// Mostly short, so that counting can go on; sometimes longer than some counters can bridge.
    fn length(&mut self) -> Duration {
        if self.random.percent(30) { self.random.ms(1800, 4000) } else { self.random.ms(20, 900) }
    }

    fn kill(&mut self) -> Result<()> {
        let before = self.governor.snapshot_after(boottime_ns()?)?;
        let down = self.length();
        self.tally.kills += 1;
        self.governor.kill()?;
        std::thread::sleep(down);
        self.governor.run()?;
        self.judge("a restart", &before, down)
    }

    fn stop(&mut self) -> Result<()> {
        let before = self.governor.snapshot_after(boottime_ns()?)?;
        let length = self.length();
        self.tally.stops += 1;
        let start = Instant::now();
        self.governor.stop(length)?;
        let intervals = start.elapsed().as_nanos() / INTERVAL.as_nanos();
        self.tally.missed_most += u64::try_from(intervals)? + 1;
        self.judge("a stop", &before, length)
    }

    /// Whether what happened to a governor that was blind for so long is said as it should be.
    fn judge(&mut self, what: &str, before: &Snapshot, blind: Duration) -> Result<()> {
        let after = self.governor.snapshot_after(boottime_ns()?)?;
        let mut unprovable = false;
        for (key, new) in &after.domains {
            let Some(old) = before.domains.get(key) else {
                self.blame(&format!("{key} appeared with {what}"));
                continue;
            };
            let provable = self.plan.range_j / new.ceiling_w.max(1.0);
            let between = Duration::from_nanos(new.read_ns.saturating_sub(old.read_ns));
            let longer = blind.as_secs_f64() > SURELY_LONGER * provable;
            unprovable |= longer;
            let gaps = new.gaps - old.gaps;
            if longer && gaps == 0 {
                self.blame(&format!("{key}: {what} of {blind:?} hid wraps and is no gap"));
            }
            if between.as_secs_f64() < SURELY_SHORTER * provable && gaps > 0 {
                self.blame(&format!(
                    "{key}: {what} of {blind:?} became {gaps} gaps, {provable:.2} s are provable"
                ));
            }
        }
        if after.domains.len() < before.domains.len() {
            self.blame(&format!("domains vanished with {what}"));
        }
        self.tally.unprovable += u64::from(unprovable);
        Ok(())
    }

    /// A counter that cannot be read, or shows nonsense, or stands still for a while.
    fn fault(&mut self) -> Result<()> {
        let kinds = ["eio", "enodata", "garbage", "empty", "stuck"];
        let kind = self.random.one_of(&kinds).copied().unwrap_or("eio");
        let zone = self.zone()?;
        let length = self.length();
        self.tally.faults += 1;
        let start_ns = boottime_ns()?;
        let before = self.governor.snapshot_after(start_ns)?;
        self.sim.ctl(&format!("fail intel-rapl:{zone} {kind}"))?;
        std::thread::sleep(length);
        let during = self.governor.snapshot()?;
        self.sim.ctl(&format!("fail intel-rapl:{zone} ok"))?;
        let suffix = format!(":intel-rapl:{zone}");
        let of = |snapshot: &Snapshot| {
            let found = snapshot.domains.iter().find(|(key, _)| key.ends_with(&suffix));
            found.map(|(key, domain)| (key.clone(), *domain))
        };
        let (key, during) = of(&during).with_context(|| format!("{zone} is gone"))?;
        let quiet = self.beat.was_quiet_since(start_ns);
        let never_rests = key.starts_with("package") || key.starts_with("dram");
        if kind == "stuck" {
            if length > STUCK_BY && never_rests && !during.stuck && quiet {
                self.blame(&format!("{key} stood still for {length:?} and is not called stuck"));
            }
        } else if length > STALE_BY && !during.stale && quiet {
            self.blame(&format!("{key}: {kind} for {length:?} and not called stale"));
        }
        let after = self.governor.snapshot_after(boottime_ns()?)?;
        let (Some((_, old)), Some((_, new))) = (of(&before), of(&after)) else {
            return Err(anyhow::anyhow!("{zone} is gone"));
        };
        let provable = self.plan.range_j / new.ceiling_w.max(1.0);
        if length.as_secs_f64() > SURELY_LONGER * provable && new.gaps == old.gaps {
            self.blame(&format!("{key}: {kind} for {length:?} hid wraps and is no gap"));
        }
        for (other, domain) in &after.domains {
            let gaps = before.domains.get(other).map_or(0, |old| domain.gaps - old.gaps);
            if *other != key && gaps > 0 && self.beat.was_quiet_since(start_ns) {
                self.blame(&format!("{other} has a gap because of {kind} in {key}"));
            }
        }
        Ok(())
    }

    /// A governor that is restarted, twice, while a counter cannot be opened at all: what was counted
    /// stays to be seen, and goes on when the counter is back.
    fn restarts_in_fault(&mut self) -> Result<()> {
        let zone = self.zone()?;
        if self.plan.zones.first().is_some_and(|(first, _)| *first == zone) {
            // Without any package it does not start.
            return Ok(());
        }
        self.governor.snapshot_after(boottime_ns()?)?;
        self.tally.faults += 1;
        self.sim.ctl(&format!("fail intel-rapl:{zone} eio"))?;
        for _ in 0..2 {
            self.tally.kills += 1;
            self.governor.kill()?;
            self.governor.run()?;
            let during = self.governor.snapshot()?;
            let mut domains = during.domains.iter();
            let found = domains.find(|(key, _)| key.ends_with(&format!(":intel-rapl:{zone}")));
            match found {
                None => {
                    self.blame(&format!("{zone} is forgotten when it cannot be read at a start"));
                }
                Some((key, domain)) if !domain.stale => {
                    self.blame(&format!(
                        "{key} was not read since the start and is not called stale"
                    ));
                }
                Some(_) => {}
            }
        }
        self.sim.ctl(&format!("fail intel-rapl:{zone} ok"))?;
        // It is looked for every five seconds, and must be there again.
        self.governor.snapshot_after(boottime_ns()?).map(drop)
    }

    /// To where neither a wrap nor a power explains it.
    fn reset(&mut self) -> Result<()> {
        let zone = self.zone()?;
        self.tally.resets += 1;
        let start_ns = boottime_ns()?;
        let before = self.governor.snapshot_after(start_ns)?;
        let (_, reading) = self.sim.now(&zone)?;
        #[expect(clippy::cast_precision_loss, reason = "half a range, to some digits")]
        let target = (reading as f64 + self.plan.range_j * 5e5) % (self.plan.range_j * 1e6);
        self.sim.ctl(&format!("reset intel-rapl:{zone} {target:.0}"))?;
        // It is believed at the second reading.
        std::thread::sleep(4 * INTERVAL);
        let after = self.governor.snapshot_after(boottime_ns()?)?;
        for (key, new) in &after.domains {
            let gaps = before.domains.get(key).map_or(0, |old| new.gaps - old.gaps);
            let expected = u64::from(key.ends_with(&format!(":intel-rapl:{zone}")));
            if gaps != expected && self.beat.was_quiet_since(start_ns) {
                self.blame(&format!("{key}: {gaps} gaps with a reset of {zone} to {target:.0}"));
            }
        }
        Ok(())
    }

    /// Another power, never above the one that the limits were published for.
    fn power(&mut self) -> Result<()> {
        let zone = self.zone()?;
        let peak = self.plan.peak(&zone);
        let some = |random: &mut Random| 1 + random.below(peak);
        let power = match self.random.below(3) {
            0 => some(self.random).to_string(),
            1 => {
                let period = self.random.ms(100, 5000).as_secs_f64();
                format!("sine:{}:{}:{}", peak / 2, peak / 3, period)
            }
            _ => {
                let (high, low) = (some(self.random), some(self.random));
                let period = self.random.ms(100, 3000).as_secs_f64();
                format!("square:{high}:{low}:{period}")
            }
        };
        self.tally.powers += 1;
        self.sim.ctl(&format!("watts intel-rapl:{zone} {power}"))
    }

    fn zone(&mut self) -> Result<String> {
        let zone = self.random.one_of(self.plan.zones).context("a host without zones")?;
        Ok(zone.0.to_owned())
    }

    fn blame(&self, what: &str) {
        self.violations.add(self.plan.name, what);
    }
}
