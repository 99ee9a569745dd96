//! Claims about totals, in virtual time, against registers whose every tick is known.

use super::*;

/// splitmix64 (Steele, Lea, Flood, OOPSLA 2014): tests need numbers, not surprises.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }
    fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }
}

/// How a register shows its count.
#[derive(Debug, Clone, Copy)]
enum Shown {
    /// As it is.
    Raw,
    /// In µJ, by a unit in nJ that the kernel truncated.
    Nanojoules(u64),
}

/// A register of the hardware: every tick that it ever counted.
#[derive(Debug, Clone, Copy)]
struct Register {
    esu: u32,
    modulus: u64,
    shown: Shown,
    ticks: u128,
}

impl Register {
    fn random(random: &mut Random) -> (Self, Scale) {
        let esu = [14, 16][usize::try_from(random.below(2)).unwrap()];
        let nanojoules = 1_000_000_000u64 >> esu;
        let start = random.next();
        let (modulus, shown, scale) = match random.below(3) {
            0 => {
                let bits = 16 + u32::try_from(random.below(9)).unwrap();
                (1 << bits, Shown::Raw, Scale::register(esu, bits))
            }
            1 => {
                let range = 10_000_000 + random.below(200_000_000);
                // The modulus in ticks as the simulated host has it: the range in units, and one more.
                let modulus = (range * 1000 + nanojoules / 2) / nanojoules + 1;
                let scale = Scale::printed_in_units(Microjoules::new(range), esu).unwrap();
                (modulus, Shown::Nanojoules(nanojoules), scale)
            }
            _ => {
                let range = ((1u64 << 32) - 1) * nanojoules / 1000;
                let scale = Scale::printed(Microjoules::new(range)).unwrap();
                (1 << 32, Shown::Nanojoules(nanojoules), scale)
            }
        };
        (Self { esu, modulus, shown, ticks: u128::from(start % modulus) }, scale)
    }

    fn read(&self) -> u64 {
        let count = u64::try_from(self.ticks % u128::from(self.modulus)).unwrap();
        match self.shown {
            Shown::Raw => count,
            Shown::Nanojoules(unit) => count * unit / 1000,
        }
    }

    /// All that it counted, in µJ of the true unit.
    fn truth(&self) -> u64 {
        u64::try_from((self.ticks * 1_000_000) >> self.esu).unwrap()
    }
}

fn domain(name: &str, scale: Scale, watts: f64) -> Domain {
    Domain {
        name: name.into(),
        key: format!("{name}:test"),
        kind: Kind::Package,
        source: "test".into(),
        scale,
        ceiling: Watts::new(watts).unwrap(),
        likely: Watts::new(watts).unwrap(),
        excluded: None,
    }
}

const BOOT: Host = Host {
    boot_id: [7; 16],
    started: Moment::from_nanos(1),
    filtering: Some(false),
    simulated: true,
};

/// A simulated host whose clocks and registers are moved by hand.
struct Simulation {
    totals: Totals,
    registers: Vec<Register>,
    now: u64,
    slept: u64,
}

const CEILING: u64 = 500;

impl Simulation {
    fn new(random: &mut Random, domains: usize) -> Self {
        let mut totals = Totals::new(BOOT, None);
        let mut registers = Vec::new();
        for index in 0..domains {
            let (register, scale) = Register::random(random);
            let name = format!("package-{index}");
            totals.add(Source::Sysfs, domain(&name, scale, 500.0)).unwrap();
            registers.push(register);
        }
        Self { totals, registers, now: 5_000_000_000, slept: 0 }
    }

    /// Lets time pass at a power in mW per domain.
    fn pass(&mut self, nanoseconds: u64, milliwatts: impl Fn(usize) -> u64) {
        self.now += nanoseconds;
        for (index, register) in self.registers.iter_mut().enumerate() {
            // mW · ns = pJ; ticks of 2^-esu J.
            let picojoules = u128::from(milliwatts(index)) * u128::from(nanoseconds);
            register.ticks += (picojoules << register.esu) / 1_000_000_000_000;
        }
    }

    fn sample(&mut self, mut alter: impl FnMut(usize, u64) -> Result<u64, ReadFault>) {
        let at = Moment::from_nanos(self.now);
        let monotonic = Duration::from_nanos(self.now - self.slept);
        self.totals.begin(Times { at, monotonic, unix: UnixTime::default() });
        for (index, register) in self.registers.iter().enumerate() {
            self.totals.observe(index, alter(index, register.read()), at);
        }
        self.totals.end(Duration::from_millis(100), 0);
    }

    fn total(&self, index: usize) -> DomainTotal {
        self.totals.snapshot().domains[index]
    }

    /// Of the total at the first sample, which is the register's own value then.
    fn first(&self) -> Vec<(u64, u64)> {
        let totals = self.totals.snapshot().domains.iter();
        totals.zip(&self.registers).map(|(d, r)| (d.total.as_microjoules(), r.truth())).collect()
    }

    /// The process dies and another one goes on from what it had kept.
    fn restart(&mut self) {
        let counters: Vec<_> = self.totals.counters().collect();
        let snapshot = self.totals.snapshot().clone();
        let saved = snapshot.domains.iter().zip(counters);
        let saved =
            saved.map(|(total, (counter, scale))| SavedDomain { total: *total, counter, scale });
        let saved: Vec<_> = saved.collect();
        let domains: Vec<_> = self.totals.domains().cloned().collect();
        self.totals = Totals::new(BOOT, Some((snapshot, saved)));
        for domain in domains {
            self.totals.add(Source::Sysfs, domain).unwrap();
        }
    }
}

#[expect(clippy::unnecessary_wraps, reason = "as the readings that fail")]
fn good(_: usize, reading: u64) -> Result<u64, ReadFault> {
    Ok(reading)
}

#[test]
fn a_million_wraps_over_random_hosts_lose_not_one_microjoule() {
    let mut random = Random(1);
    let mut wraps = 0u64;
    while wraps < 1_000_000 {
        let domains = 1 + usize::try_from(random.below(6)).unwrap();
        let mut host = Simulation::new(&mut random, domains);
        host.sample(good);
        let first = host.first();
        let longest = host.totals.longest_interval().as_nanos();
        let longest = u64::try_from(longest).unwrap().min(20_000_000_000);
        for _ in 0..2_000 {
            // Jitter from nothing to the longest interval, and now and then a restart in between.
            let gap = 1 + random.below(longest);
            let salt = random.next();
            host.pass(gap, |index| (salt >> index) % (CEILING * 1000));
            if random.one_in(50) {
                host.restart();
            }
            host.sample(good);
        }
        // A zero waits for the reading after it.
        host.pass(1, |_| 0);
        host.sample(good);
        for (index, register) in host.registers.iter().enumerate() {
            let total = host.total(index);
            let (first_total, first_truth) = first[index];
            let counted = total.total.as_microjoules() - first_total;
            let truth = register.truth() - first_truth;
            assert!(counted.abs_diff(truth) <= 1, "{register:?} {counted} {truth} {total:?}");
            assert_eq!((total.gaps, total.stale), (0, false));
            wraps += total.wraps;
        }
    }
}

#[test]
fn corrupt_failing_and_zero_readings_invent_nothing() {
    let mut random = Random(2);
    for _ in 0..200 {
        let mut host = Simulation::new(&mut random, 3);
        if host.totals.longest_interval() < Duration::from_millis(200) {
            continue;
        }
        host.sample(good);
        let first = host.first();
        // A lattice tells corrupt values, so that even several in a row do no harm; a raw register
        // gets them one at a time.
        for round in 0..500 {
            let power = random.below(CEILING * 200);
            host.pass(100_000_000, |_| power);
            let (kind, value, hit) = (random.below(6), random.next(), round % 3 == 1);
            host.sample(|_, reading| match kind {
                0 if hit => Ok(0),
                1 if hit => Ok(value % 300_000_000_000),
                2 if hit => Err(ReadFault::Retry),
                3 if hit => Err(ReadFault::Gone),
                4 if hit => Ok(reading ^ (1 << (value % 38))),
                _ => Ok(reading),
            });
        }
        for _ in 0..3 {
            host.pass(100_000_000, |_| CEILING * 100);
            host.sample(good);
        }
        for (index, register) in host.registers.iter().enumerate() {
            let total = host.total(index);
            let counted = total.total.as_microjoules() - first[index].0;
            let truth = register.truth() - first[index].1;
            let most = total.gap_most.as_microjoules();
            assert!(counted <= truth + 1, "invented: {total:?} {counted} {truth}");
            assert!(
                counted + most + 1 >= truth,
                "lost without a word: {total:?} {counted} {truth}"
            );
        }
    }
}

#[test]
fn every_gap_that_may_hide_a_wrap_is_flagged_and_bounded() {
    let mut random = Random(3);
    let mut flagged = 0;
    for _ in 0..2_000 {
        let mut host = Simulation::new(&mut random, 2);
        host.sample(good);
        let first = host.first();
        let epochs = [host.total(0).epoch, host.total(1).epoch];
        host.pass(100_000_000, |_| CEILING * 500);
        host.sample(good);
        let gap = 1 + random.below(400_000_000_000);
        let power = random.below(CEILING * 1000);
        host.pass(gap, |_| power);
        if random.one_in(2) {
            host.restart();
        }
        host.sample(good);
        for (index, register) in host.registers.iter().enumerate() {
            let total = host.total(index);
            let range = (u128::from(register.modulus) * 1_000_000) >> register.esu;
            let provable = u128::from(CEILING) * u128::from(gap) / 1000 + 2_000_000 < range;
            let counted = total.total.as_microjoules() - first[index].0;
            let truth = register.truth() - first[index].1;
            if provable {
                assert_eq!(total.gaps, 0);
            }
            if total.gaps == 0 {
                assert!(counted.abs_diff(truth) <= 1);
                assert_eq!(total.epoch, epochs[index]);
            } else {
                flagged += 1;
                assert!(total.epoch > epochs[index]);
                assert!(counted <= truth + 1);
                assert!(counted + total.gap_most.as_microjoules() + 1 >= truth);
            }
        }
    }
    assert!(flagged > 500, "{flagged}");
}

/// Stopped after the reading and before the clock, a sampler has an old reading with a new time. Where a wrap fits
/// in between, that is a reading of no known moment: what is lost is told once, and by what can have passed.
#[test]
fn a_stop_between_reading_and_clock_is_one_gap_at_most() {
    let mut random = Random(5);
    let mut flagged = 0;
    for _ in 0..2_000 {
        let mut host = Simulation::new(&mut random, 1);
        host.sample(good);
        let first = host.first()[0];
        let power = random.below(CEILING * 1000);
        let pace = u64::try_from(host.totals.longest_interval().as_nanos()).unwrap();
        // A first reading may stand for as long as a step takes, or half of the longest interval.
        let (age, pace) = ((pace / 2).min(1_000_000_000), pace.min(100_000_000));
        host.pass(pace, |_| power);
        let (read, from) = (host.registers[0].read(), Moment::from_nanos(host.now));
        let longest = if random.one_in(2) { 100_000_000 } else { 60_000_000_000 };
        let stop = 1 + random.below(longest);
        host.pass(stop, |_| power);
        let at = Moment::from_nanos(host.now);
        let monotonic = Duration::from_nanos(host.now);
        host.totals.begin(Times { at, monotonic, unix: UnixTime::default() });
        host.totals.observe_between(0, Ok(read), from, at);
        host.totals.end(Duration::from_millis(100), 0);
        for _ in 0..2 {
            host.pass(pace, |_| power);
            host.sample(good);
        }
        let total = host.total(0);
        let counted = total.total.as_microjoules() - first.0;
        let (truth, most) = (host.registers[0].truth() - first.1, total.gap_most.as_microjoules());
        assert!(total.gaps <= 1, "{total:?}");
        if total.gaps == 0 {
            assert!(counted.abs_diff(truth) <= 1, "{counted} of {truth}");
        } else {
            flagged += 1;
            assert!(counted <= truth + 1 && truth <= counted + most + 1, "{total:?}");
            // From the reading before the stop to the one after it, and a tick.
            let passed = CEILING * (stop + 2 * pace + age) / 1000 + 62;
            assert!(most <= passed, "{most} in {passed}");
        }
    }
    assert!(flagged > 500, "{flagged}");
}

#[test]
fn a_stuck_counter_is_told_and_its_energy_carried_when_it_moves_again() {
    let mut host = Simulation::new(&mut Random(4), 1);
    host.registers[0] = Register { esu: 14, modulus: 1 << 32, shown: Shown::Raw, ticks: 77 };
    host.totals = Totals::new(BOOT, None);
    host.totals.add(Source::Msr, domain("package-0", Scale::register(14, 32), 500.0));
    host.sample(good);
    let frozen = host.registers[0].read();
    for _ in 0..40 {
        host.pass(100_000_000, |_| 65_000);
        host.sample(|_, _| Ok(frozen));
    }
    assert!(host.total(0).stuck);
    host.pass(100_000_000, |_| 65_000);
    host.sample(good);
    let total = host.total(0);
    assert!(!total.stuck);
    // 65 W for 4.1 s.
    assert!(total.total.as_joules() > 266.4 && total.gaps == 0, "{total:?}");
    let events = host.totals.take_events();
    assert_eq!(events[0].what, Happened::Stuck);
    assert!(matches!(events[1].what, Happened::Bridged { reason: GapReason::Stuck, .. }));
}

#[test]
fn graphics_that_were_off_for_an_hour_lost_nothing_and_a_package_may_have() {
    for (kind, gaps) in [(Kind::Uncore, 0), (Kind::Package, 1)] {
        let mut host = Simulation::new(&mut Random(10), 1);
        host.registers[0] = Register { esu: 14, modulus: 1 << 32, shown: Shown::Raw, ticks: 77 };
        host.totals = Totals::new(BOOT, None);
        let domain = Domain { kind, ..domain("x", Scale::register(14, 32), 500.0) };
        host.totals.add(Source::Msr, domain);
        for _ in 0..3600 {
            host.pass(1_000_000_000, |_| 0);
            host.sample(good);
        }
        host.pass(1_000_000_000, |_| 20_000);
        host.sample(good);
        assert_eq!(host.total(0).gaps, gaps, "{kind:?}");
        assert_eq!(host.total(0).total.as_joules() > 20.0, gaps == 0);
    }
}

#[test]
fn a_suspend_in_which_the_counter_was_reset_is_told_from_a_reset() {
    for slept in [0, 3_600_000_000_000] {
        let mut host = Simulation::new(&mut Random(5), 1);
        let scale = Scale::printed(Microjoules::new(262_143_328_850)).unwrap();
        host.totals = Totals::new(BOOT, None);
        host.totals.add(Source::Sysfs, domain("package-0", scale, 500.0));
        let register = Register {
            esu: 14,
            modulus: 1 << 32,
            shown: Shown::Nanojoules(61_035),
            ticks: 1 << 31,
        };
        host.registers[0] = register;
        for _ in 0..5 {
            host.pass(100_000_000, |_| 65_000);
            host.sample(good);
        }
        host.now += slept;
        host.slept += slept;
        host.registers[0].ticks = 1000;
        for _ in 0..5 {
            host.pass(100_000_000, |_| 65_000);
            host.sample(good);
        }
        let total = host.total(0);
        assert_eq!(total.gaps, 1);
        // 131 072 J before it, 0.4 s at 65 W, and the four intervals after it.
        assert!((total.total.as_joules() - 131_072.0 - 58.5).abs() < 7.0, "{total:?}");
        let reasons: Vec<_> = host.totals.take_events().iter().map(|event| event.what).collect();
        let lost = reasons.iter().find_map(|what| match what {
            Happened::Lost { reason, .. } => Some(*reason),
            _ => None,
        });
        let suspended = reasons.iter().any(|what| matches!(what, Happened::Suspended { .. }));
        assert_eq!(lost, Some(if slept > 0 { GapReason::Suspend } else { GapReason::Reset }));
        assert_eq!(suspended, slept > 0);
        assert_eq!(host.totals.snapshot().suspends, u64::from(slept > 0));
        // Asleep for an hour it cannot have drawn what it draws at most when it works: 1.8 MJ.
        if slept > 0 {
            let most = total.gap_most.as_joules();
            assert!((90_000.0..91_000.0).contains(&most), "{most} J");
        }
    }
}

#[test]
fn a_domain_that_cannot_be_resumed_goes_on_from_its_old_total_in_a_new_epoch() {
    let mut host = Simulation::new(&mut Random(6), 1);
    host.totals = Totals::new(BOOT, None);
    host.totals.add(Source::Sysfs, domain("package-0", Scale::register(14, 32), 500.0));
    host.registers[0] = Register { esu: 14, modulus: 1 << 32, shown: Shown::Raw, ticks: 77 };
    host.sample(good);
    host.pass(1_000_000_000, |_| 65_000);
    host.sample(good);
    let before = host.total(0);
    let counters: Vec<_> = host.totals.counters().collect();
    let snapshot = host.totals.snapshot().clone();
    let saved = vec![SavedDomain { total: before, counter: counters[0].0, scale: 1 }];
    host.totals = Totals::new(BOOT, Some((snapshot, saved)));
    host.totals.add(Source::Sysfs, domain("package-0", Scale::register(10, 64), 500.0));
    host.now += 2_000_000_000;
    host.sample(|_, _| Ok(123_456));
    let after = host.total(0);
    assert_eq!((after.total, after.gaps), (before.total, 1));
    assert!(after.epoch > before.epoch);
    assert!(after.gap_most.as_joules() >= 1000.0);
    assert_eq!(host.totals.snapshot().seq, 3);
}

#[test]
fn a_counter_whose_lattice_was_given_up_is_resumed_all_the_same() {
    let mut host = Simulation::new(&mut Random(9), 1);
    let scale = Scale::printed(Microjoules::new(262_143_328_850)).unwrap();
    host.totals = Totals::new(BOOT, None);
    host.totals.add(Source::Sysfs, domain("package-0", scale, 500.0));
    // 65 W, in values that are off the lattice of 61.035 uJ more often than not.
    for round in 0..20 {
        host.now += 100_000_000;
        if round == 10 {
            assert!(!host.total(0).lattice);
            host.restart();
        }
        host.sample(|_, _| Ok(1_000_003 + round * 6_500_000));
    }
    let total = host.total(0);
    assert_eq!((total.gaps, total.total.as_microjoules()), (0, 1_000_003 + 19 * 6_500_000));
}

/// What the next process finds.
fn saved(totals: &Totals) -> (Snapshot, Vec<SavedDomain>) {
    let snapshot = totals.snapshot().clone();
    let counters = totals.counters();
    let saved = snapshot
        .domains
        .iter()
        .zip(counters)
        .map(|(total, (counter, scale))| SavedDomain { total: *total, counter, scale });
    let saved = saved.collect();
    (snapshot, saved)
}

/// A governor that is restarted twice while the memory's counter cannot be read at all.
#[test]
fn a_domain_that_is_absent_over_restarts_keeps_its_total() {
    let second = |number: u64| Times {
        at: Moment::from_nanos(number * 1_000_000_000),
        monotonic: Duration::from_secs(number),
        unix: UnixTime::new(Duration::from_secs(number)),
    };
    let scale = Scale::register_of_microjoules(1, 32);
    let names = ["package-0", "dram-0"];
    let mut left = None;
    // Readings of the memory by the second; 8 W all the while.
    let lives = [
        (10, Some(5_000_000)),
        (11, Some(13_000_000)),
        (12, None),
        (13, None),
        (14, Some(37_000_000)),
    ];
    for (life, (now, memory)) in lives.into_iter().enumerate() {
        let mut totals = Totals::new(BOOT, left.take());
        for name in names.into_iter().take(1 + usize::from(memory.is_some())) {
            totals.add(Source::Sysfs, domain(name, scale, 100.0));
        }
        totals.begin(second(now));
        totals.observe(0, Ok(now * 10_000_000), second(now).at);
        if let Some(reading) = memory {
            totals.observe(1, Ok(reading), second(now).at);
        }
        let snapshot = totals.end(Duration::from_secs(1), 0).clone();
        let memory = snapshot.domains.iter().find(|domain| domain.name.to_string() == "dram-0");
        let seen = memory.map(|it| (it.total.as_microjoules(), it.gaps, it.stale)).unwrap();
        let expected = [5, 13, 13, 13, 37].map(|joules| joules * 1_000_000)[life];
        assert_eq!(seen, (expected, 0, life == 2 || life == 3), "life {life}");
        left = Some(saved(&totals));
    }
}

#[test]
fn another_boot_starts_anew() {
    let mut host = Simulation::new(&mut Random(7), 1);
    host.sample(good);
    let saved = (host.totals.snapshot().clone(), Vec::new());
    let other = Host { boot_id: [8; 16], ..BOOT };
    assert_eq!(Totals::new(other, Some(saved)).snapshot().seq, 0);
}

#[test]
fn a_publication_is_rounded_down_and_telescopes() {
    let mut host = Simulation::new(&mut Random(8), 2);
    host.sample(good);
    let mut publication = Publication::default();
    let quantum = Microjoules::new(10_000);
    let first =
        publication.make(host.totals.snapshot(), quantum, Duration::from_millis(100)).clone();
    let mut deltas = 0;
    let mut last = first.clone();
    for round in 0..50 {
        host.pass(100_000_000, |index| 1000 + round * index as u64);
        host.sample(good);
        let exact = host.totals.snapshot();
        last = publication.make(exact, quantum, Duration::from_millis(100)).clone();
        for (public, exact) in last.domains.iter().zip(&exact.domains) {
            let (public, exact) = (public.total.as_microjoules(), exact.total.as_microjoules());
            assert!(public % 10_000 == 0 && public <= exact && exact - public < 10_000);
        }
        deltas += last.domains[1].delta.as_microjoules();
    }
    let coarse =
        publication.make(host.totals.snapshot(), Microjoules::new(50_000_000), Duration::ZERO);
    assert!(
        coarse.domains[1].total >= last.domains[1].total,
        "a total fell with a coarser quantum"
    );
    let grown = last.domains[1].total.checked_sub(first.domains[1].total).unwrap();
    assert_eq!(grown.as_microjoules(), deltas);
    assert_eq!(last.seq, 51);
}

/// Domains in µJ that never wrap, looked at each 100 ms; a reading is J since the start, or a failure.
struct Told {
    totals: Totals,
    now: Moment,
}

impl Told {
    fn of(names: &[&str]) -> Self {
        let mut totals = Totals::new(BOOT, None);
        for name in names {
            totals.add(Source::Sysfs, joules(name)).unwrap();
        }
        Self { totals, now: Moment::from_nanos(5_000_000_000) }
    }

    /// What is told of a look.
    fn look(&mut self, readings: &[Result<f64, ReadFault>]) -> Vec<Happened> {
        self.now = self.now.after(Duration::from_millis(100));
        let monotonic = Duration::from_nanos(self.now.as_nanos());
        self.totals.begin(Times { at: self.now, monotonic, unix: UnixTime::default() });
        for (index, reading) in readings.iter().enumerate() {
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small")]
            let reading = reading.map(|joules| (joules * 1e6).round() as u64);
            self.totals.observe(index, reading, self.now);
        }
        self.totals.end(Duration::from_millis(100), 0);
        self.totals.take_events().into_iter().map(|event| event.what).collect()
    }

    fn total(&self) -> DomainTotal {
        self.totals.snapshot().domains[0]
    }
}

fn joules(name: &str) -> Domain {
    domain(name, Scale::register_of_microjoules(1, 64), 500.0)
}

const TENTH: Duration = Duration::from_millis(100);

/// A domain that fails is stale after a second and no sooner, which is told once, by the worst reason; the reading
/// after it carries the energy. An answer that is late is no failure.
#[test]
fn what_fails_is_told_when_it_is_stale_and_again_when_it_is_bridged() {
    use ReadFault::{Fatal, Gone, NotYet, Retry};
    for (faults, reason) in [
        ([Retry, Retry], GapReason::Unreadable),
        ([Retry, Gone], GapReason::Vanished),
        ([Gone, Retry], GapReason::Vanished),
        ([Fatal, Fatal], GapReason::Vanished),
    ] {
        let mut host = Told::of(&["package-0"]);
        assert_eq!(host.look(&[Ok(6.0)]), []);
        assert_eq!(host.look(&[Ok(12.0)]), []);
        for failed in 1..=12u32 {
            let told = host.look(&[Err(faults[usize::from(failed > 1)])]);
            let expected = (failed == 10).then_some(Happened::Failing { reason });
            assert_eq!(told, Vec::from_iter(expected), "{failed}");
            assert_eq!((host.total().stale, host.total().skipped), (failed >= 10, failed.into()));
            assert_eq!(host.total().delta, Microjoules::ZERO);
        }
        let gap = TENTH * 13;
        assert_eq!(host.look(&[Ok(90.0)]), [Happened::Bridged { reason, gap }]);
        let total = host.total();
        assert_eq!(
            (total.stale, total.gaps, total.total),
            (false, 0, Microjoules::new(90_000_000))
        );
        assert_eq!((total.delta, total.read_at), (Microjoules::new(78_000_000), host.now));
    }
    let mut host = Told::of(&["package-0"]);
    host.look(&[Ok(6.0)]);
    for _ in 0..5 {
        assert_eq!(host.look(&[Err(Retry)]), []);
    }
    assert_eq!(host.look(&[Ok(12.0)]), [], "too short to be told");
    for _ in 0..20 {
        assert_eq!(host.look(&[Err(NotYet)]), []);
    }
    assert_eq!((host.total().stale, host.total().skipped), (false, 5));
}

/// What was never read has no total, is told at once, and is none of what is shown.
#[test]
fn what_was_never_read_is_told_and_not_shown() {
    let mut host = Told::of(&["package-0", "dram-0"]);
    let told = host.look(&[Ok(6.0), Err(ReadFault::Retry)]);
    assert_eq!(told, [Happened::Failing { reason: GapReason::Unreadable }]);
    assert_eq!(host.look(&[Ok(6.0), Err(ReadFault::Retry)]), []);
    assert_eq!(host.totals.snapshot().domains.len(), 1);
    assert_eq!(host.totals.counters().count(), 1);
}

/// 800 W where 500 W were thought possible: the third step in a row is believed, and twice as much from then on.
#[test]
fn a_ceiling_that_is_raised_is_told_once_and_shown() {
    let mut host = Told::of(&["package-0"]);
    let mut told = Vec::new();
    for step in 0..8u32 {
        told.extend(host.look(&[Ok(80.0 * f64::from(step))]));
    }
    let to = Watts::new(1600.0).unwrap();
    assert_eq!(told, [Happened::CeilingRaised { to }]);
    assert_eq!((host.total().ceiling, host.total().total), (to, Microjoules::new(560_000_000)));
    assert_eq!(host.totals.domains().next().unwrap().ceiling, Watts::new(500.0).unwrap());
}

/// A reset that the readings after it confirm: one event, whose bound is what was possible meanwhile; a second one
/// adds to it.
#[test]
fn what_is_lost_is_told_and_added_up() {
    let mut host = Told::of(&["package-0"]);
    let (mut lost, mut most_of_all) = (Duration::ZERO, Microjoules::ZERO);
    for (resets, before) in [(1, [1000.0, 1005.0]), (2, [13.0, 18.0])] {
        for joules in before {
            assert_eq!(host.look(&[Ok(joules)]), []);
        }
        let epoch = host.total().epoch;
        assert_eq!(host.look(&[Ok(3.0)]), [], "one reading is not believed");
        let told = host.look(&[Ok(8.0)]);
        let [Happened::Lost { reason: GapReason::Reset, gap, most }] = told[..] else {
            panic!("{told:?}")
        };
        assert_eq!(gap, TENTH);
        // At 500 W from the step before the last reading on.
        assert!((50.0..=101.0).contains(&most.as_joules()), "{most:?}");
        (lost, most_of_all) = (lost + gap, most_of_all + most);
        let total = host.total();
        assert_eq!((total.gaps, total.gap_time, total.gap_most), (resets, lost, most_of_all));
        assert!(total.epoch > epoch && !total.stale && !total.stuck);
        if resets == 1 {
            assert_eq!(total.total, Microjoules::new(1_010_000_000));
        }
    }
}

/// Off the lattice three times in a row: told once, and kept.
#[test]
fn a_lattice_that_is_given_up_is_told_once() {
    let mut totals = Totals::new(BOOT, None);
    let scale = Scale::printed(Microjoules::new(262_143_328_850)).unwrap();
    totals.add(Source::Sysfs, domain("package-0", scale, 500.0));
    let now = Moment::from_nanos(5_000_000_000);
    let mut host = Told { totals, now };
    let mut told = Vec::new();
    for step in 0..12u32 {
        told.extend(host.look(&[Ok(1.000_003 + 6.5 * f64::from(step))]));
        assert_eq!(host.total().lattice, told.is_empty());
        assert!(host.total().exact == host.total().lattice);
    }
    assert_eq!(told, [Happened::LatticeGivenUp]);
}

/// A governor that goes on says so once, with the time between.
#[test]
fn counting_that_goes_on_is_told_once() {
    let mut host = Told::of(&["package-0"]);
    host.look(&[Ok(6.0)]);
    host.look(&[Ok(12.0)]);
    host.totals = Totals::new(BOOT, Some(saved(&host.totals)));
    host.totals.add(Source::Sysfs, joules("package-0")).unwrap();
    host.now = host.now.after(Duration::from_secs(3));
    let gap = Duration::from_millis(3100);
    assert_eq!(host.look(&[Ok(200.0)]), [Happened::Resumed { gap }]);
    assert_eq!(host.look(&[Ok(206.0)]), []);
    assert_eq!((host.total().gaps, host.total().total), (0, Microjoules::new(206_000_000)));
}

/// A domain has its place; the page has room for so many, and a power that was named holds for each.
#[test]
fn domains_have_their_places_and_their_limits() {
    let most = Watts::new(120.0).unwrap();
    let mut totals = Totals::new(BOOT, None).with_max_power(Some(most));
    assert_eq!((totals.longest_interval(), *totals.host()), (Duration::MAX, BOOT));
    for place in 0..DOMAINS_MAX {
        assert_eq!(totals.add(Source::Sysfs, joules(&format!("package-{place}"))), Some(place));
    }
    assert_eq!(totals.add(Source::Sysfs, joules("one too many")), None);
    assert!(totals.domains().all(|it| (it.ceiling, it.likely) == (most, most)));
    let names: Vec<_> = totals.domains().map(|domain| &*domain.name).take(2).collect();
    assert_eq!((names, totals.domains().count()), (vec!["package-0", "package-1"], DOMAINS_MAX));
    // Half the least range at the ceiling.
    let mut totals = Totals::new(BOOT, None);
    for bits in [40, 30, 50] {
        let scale = Scale::register_of_microjoules(1, bits);
        totals.add(Source::Sysfs, domain(&bits.to_string(), scale, 500.0)).unwrap();
    }
    let seconds = totals.longest_interval().as_secs_f64();
    assert!((seconds - f64::from(1 << 29) / 1e6 / 500.0).abs() < 1e-6, "{seconds}");
}

/// Whether it counts is another's verdict, and holds for the snapshot and for the topology.
#[test]
fn a_verdict_on_a_domain_takes_it_out_of_the_sum_and_back() {
    let mut host = Told::of(&["package-0", "package-0@1"]);
    for verdict in [Some(Exclusion::Duplicate), None] {
        host.totals.judge(1, verdict);
        host.totals.judge(7, Some(Exclusion::Stuck));
        host.look(&[Ok(6.0), Ok(6.0)]);
        let shown: Vec<_> = host.totals.snapshot().domains.iter().map(|it| it.excluded).collect();
        assert_eq!(shown, [None, verdict]);
        assert_eq!(host.totals.domains().nth(1).unwrap().excluded, verdict);
    }
}

/// Counted otherwise now, a domain that is gone is no part of the sum; else it is shown as it was, and at rest.
#[test]
fn what_is_absent_is_shown_at_rest() {
    let mut host = Told::of(&["package-0", "dram-0"]);
    host.look(&[Ok(6.0), Ok(1.0)]);
    host.look(&[Ok(12.0), Ok(2.0)]);
    let mut left = saved(&host.totals);
    // It stood still when it was last seen; what is not seen is stale instead.
    left.1.iter_mut().for_each(|saved| saved.total.stuck = true);
    let (mut of_msr, other) = (joules("package-0"), joules("psys"));
    of_msr.key = "package-0:msr".into();
    host.totals = Totals::new(BOOT, Some(left));
    for now in [of_msr, other] {
        host.totals.add(Source::Msr, now).unwrap();
    }
    host.look(&[Ok(100.0), Ok(100.0)]);
    let shown = &host.totals.snapshot().domains;
    let mut absent: Vec<_> = shown[2..].iter().collect();
    absent.sort_by_key(|domain| domain.name.to_string());
    let as_told =
        |it: &DomainTotal| (it.excluded, it.total.as_joules(), it.delta, it.stale, it.stuck);
    assert_eq!(as_told(absent[0]), (None, 2.0, Microjoules::ZERO, true, false));
    let replaced = Some(Exclusion::Duplicate);
    assert_eq!(as_told(absent[1]), (replaced, 12.0, Microjoules::ZERO, true, false));
}

/// More than can be kept are dropped until somebody takes them; a sleep counts from 20 ms on.
#[test]
fn events_are_kept_up_to_a_limit_and_sleeps_are_counted() {
    let mut totals = Totals::new(BOOT, None);
    let mut asleep = Duration::ZERO;
    for sample in 1..=400u64 {
        let slept = Duration::from_millis(if sample % 4 == 0 { 19 } else { 20 });
        asleep += if sample == 1 { Duration::ZERO } else { slept };
        let monotonic = Duration::from_secs(sample);
        let at = Moment::from_nanos(0).after(monotonic + asleep);
        totals.begin(Times { at, monotonic, unix: UnixTime::default() });
        totals.end(TENTH, sample % 2);
    }
    let snapshot = totals.snapshot();
    assert_eq!((snapshot.suspends, snapshot.seq, snapshot.missed), (299, 400, 200));
    assert_eq!((snapshot.interval, snapshot.monotonic), (TENTH, Duration::from_secs(400)));
    let events = totals.take_events();
    assert_eq!(events.len(), EVENTS_MAX);
    let length = Duration::from_millis(20);
    assert!(events.iter().all(|event| event.what == Happened::Suspended { length }));
    assert_eq!(totals.take_events(), []);
}

/// A publication is due when its interval is nearly over, numbers itself on, and tells what passed since the one
/// before, of the same domain.
#[test]
fn a_publication_is_due_in_time_and_tells_what_passed() {
    let mut host = Told::of(&["package-0", "dram-0"]);
    host.look(&[Ok(6.0), Ok(1.0)]);
    let (second, slack) = (Duration::from_secs(1), TENTH / 10);
    let mut publication = Publication::after(41);
    assert!(publication.is_due(Moment::from_nanos(0), second, Duration::ZERO), "the first one");
    let quantum = Microjoules::new(10_000);
    let first = publication.make(host.totals.snapshot(), quantum, TENTH / 2).clone();
    assert_eq!((first.seq, first.interval, first.quantum), (42, TENTH, quantum));
    assert_eq!(first.domains[0].delta, Microjoules::ZERO);
    for (passed, due) in [(1000, true), (990, true), (989, false), (500, false)] {
        let at = host.now.after(Duration::from_millis(passed));
        assert_eq!(publication.is_due(at, second, slack), due, "after {passed} ms");
    }
    host.look(&[Ok(12.345), Ok(2.0)]);
    let next = publication.make(host.totals.snapshot(), quantum, second).clone();
    assert_eq!((next.seq, next.interval, next.at), (43, second, host.now));
    let deltas: Vec<_> = next.domains.iter().map(|it| it.delta.as_microjoules()).collect();
    assert_eq!(deltas, [6_340_000, 1_000_000]);
    // Another domain in its place has passed nothing yet.
    let mut other = host.totals.snapshot().clone();
    other.domains.remove(0);
    let moved = publication.make(&other, Microjoules::ZERO, second).clone();
    assert_eq!((moved.domains.len(), moved.domains[0].delta), (1, Microjoules::ZERO));
    assert_eq!(
        (moved.quantum, moved.domains[0].total),
        (Microjoules::new(1), Microjoules::new(2_000_000))
    );
}

proptest::proptest! {
    #![proptest_config(proptest::test_runner::Config::with_cases(10_000))]

    /// Any power from nothing to 20 times the published limit, and outages of any length meanwhile: what the total
    /// lacks when all is judged is at most what the gaps allow, and it never has what was not there.
    #[test]
    fn what_is_lost_is_within_the_bound_of_the_gaps(
        limit in 2.0f64..500.0,
        parts in proptest::collection::vec((0.0f64..20.0, 1usize..12, proptest::bool::weighted(0.9)), 1..8),
    ) {
        let likely = Watts::new(4.0 * limit).unwrap();
        let ceiling = likely.max(Kind::Package.ceiling());
        let scale = Scale::printed(Microjoules::new(262_143_328_850)).unwrap();
        let mut totals = Totals::new(BOOT, None);
        let named = Domain { ceiling, likely, ..domain("package-0", scale, 1.0) };
        totals.add(Source::Sysfs, named).unwrap();
        let (mut truth, mut at) = (0.0f64, 1_000_000_000u64);
        let mut look = |truth: f64, at: u64, readable: bool| {
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small")]
            let reading = (truth * 16384.0) as u64 * 61_035 / 1000;
            let moment = Moment::from_nanos(at);
            let monotonic = Duration::from_nanos(at);
            totals.begin(Times { at: moment, monotonic, unix: UnixTime::default() });
            totals.observe(0, if readable { Ok(reading) } else { Err(ReadFault::Retry) }, moment);
            let snapshot = totals.end(Duration::from_millis(100), 0);
            let domain = snapshot.domains.first().copied();
            domain.map_or((0.0, 0.0), |it| (it.total.as_joules(), it.gap_most.as_joules()))
        };
        look(0.0, at, true);
        for (part, readings, readable) in parts {
            for _ in 0..readings {
                (truth, at) = (truth + part * limit * 0.1, at + 100_000_000);
                let (total, _) = look(truth, at, readable);
                proptest::prop_assert!(total <= truth + 0.01, "{total} of {truth} J");
            }
        }
        // At rest, everything is judged within a few readings.
        for _ in 0..4 {
            at += 100_000_000;
            look(truth, at, true);
        }
        let (total, most) = look(truth, at + 100_000_000, true);
        proptest::prop_assert!(truth <= total + most + 0.01, "{truth} J, {total} counted, {most} lost at most");
    }
}
