//! The same meters on the counters of this machine, in real time.
//!
//! Out of scope: the truth, which nobody knows here; the meters are held against ours.

use std::time::Duration;

use carbon_ops_meter::counter::Counter;
use carbon_ops_meter::host_root::HostRoot;
use carbon_ops_meter::sensor::Backend;
use carbon_ops_meter::sensor::powercap::{Powercap, Topology};

use crate::meters::{Observed, Ours, Times};
use crate::scraper::{Rule, Scraper};

/// The counters that would be summed on this machine; the reason when there are none.
pub(crate) fn counters(host: &HostRoot) -> Result<Box<dyn Backend>, String> {
    use carbon_ops_meter::sensor::Availability;
    match Topology::discover(host) {
        (Availability::Present, topology) => Ok(Box::new(Powercap::new(topology))),
        (Availability::Absent(why) | Availability::Denied(why), _) => Err(why),
    }
}

/// Reads the counters until the time is over. `clock` gives the time since the start, and `pause` lets
/// some pass.
pub(crate) fn observe(
    counters: &mut dyn Backend,
    times: Times,
    clock: &dyn Fn() -> Duration,
    pause: &mut dyn FnMut(Duration),
) -> Result<Observed, String> {
    times.check()?;
    let domains = counters.domains();
    let (mut ours, ranges) = (Vec::new(), domains.iter().map(|d| d.scale.range()));
    let ranges: Vec<u64> = ranges.map(carbon_ops_units::Microjoules::as_microjoules).collect();
    ours.extend(domains.iter().map(|domain| Counter::new(domain.scale, domain.ceiling)));
    let mut ours = Ours::new(ours);
    let mut scrapers = Rule::ALL.map(|rule| Scraper::new(rule, &ranges));
    let (mut poll, mut scrape, mut ended) = (Duration::ZERO, Duration::ZERO, Default::default());
    loop {
        let at = clock();
        let readings: Vec<_> = (0..ranges.len()).map(|index| counters.read(index).ok()).collect();
        ours.poll(at, &readings);
        if at >= scrape {
            for scraper in &mut scrapers {
                scraper.look(at, &readings, &ours.wraps());
            }
            scrape += times.scrape;
            ended = (at, at);
        }
        ended.0 = at;
        poll += times.poll;
        // As late as a machine that was suspended: no storm of readings to catch up.
        poll = poll.max(clock());
        if poll > times.duration {
            return Ok(Observed { times, truth: None, ours, scrapers: scrapers.into(), ended });
        }
        pause(poll.saturating_sub(clock()));
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::fs;

    use super::*;

    /// A folder as sysfs, whose only package uses 50 W and whose register wraps after 30 s.
    #[test]
    fn counters_of_the_machine_are_read_in_real_time() {
        let dir = tempfile::tempdir().unwrap();
        let zone = dir.path().join("sys/class/powercap/intel-rapl:0");
        fs::create_dir_all(&zone).unwrap();
        let show = |now: Duration| {
            let energy = 260_643_328_850 + 50 * u64::try_from(now.as_micros()).unwrap();
            fs::write(zone.join("energy_uj"), (energy % 262_143_328_850).to_string()).unwrap();
        };
        fs::write(zone.join("name"), "package-0").unwrap();
        fs::write(zone.join("max_energy_range_uj"), "262143328850").unwrap();
        show(Duration::ZERO);
        let now = Cell::new(Duration::ZERO);
        let times = Times {
            poll: Duration::from_millis(100),
            scrape: Duration::from_secs(15),
            duration: Duration::from_secs(60),
        };
        let mut counters = counters(&HostRoot::at(dir.path())).unwrap();
        let mut pause = |time| {
            now.set(now.get() + time);
            show(now.get());
        };
        let observed = observe(&mut *counters, times, &|| now.get(), &mut pause).unwrap();
        assert_eq!(observed.ours.polls, 601);
        let total = observed.ours.total().as_joules();
        assert!((total - 3000.0).abs() < 0.1, "{total}");
        let scraped: Vec<_> = observed.scrapers.iter().map(Scraper::total).collect();
        // From 15 to 30 s it wrapped: nothing of these 750 J is left, or all of them.
        let expected = [2_250_000_000u64, 2_250_000_000, 3_000_000_000];
        for (found, expected) in scraped.iter().zip(expected) {
            assert!(found.abs_diff(expected) < 200_000, "{scraped:?}");
        }
    }

    #[test]
    fn a_machine_without_counters_says_why() {
        let dir = tempfile::tempdir().unwrap();
        assert!(counters(&HostRoot::at(dir.path())).unwrap_err().contains("powercap"));
    }
}
