//! Claims about the counter, against counters built from a true energy curve.

#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "test data: joules of a few hours"
)]

use super::*;
use proptest::prelude::*;

const TICKS: u64 = 1 << 32;

const RANGE_ESU14: u64 = 262_143_328_850;
const RANGE_ESU14_OLD: u64 = 262_143_999_938;
const RANGE_ESU16: u64 = 65_532_610_987;
const RANGE_DRAM: u64 = 65_712_999_613;

/// A register of 32 bits that counts 2^−esu J, printed as the kernel prints it.
#[derive(Debug, Clone, Copy)]
struct Register {
    esu: u32,
    num: u64,
    den: u64,
    start: u64,
}

impl Register {
    fn ticks(self, joules: f64) -> u64 {
        let ticks = (joules * (1u64 << self.esu) as f64).floor() as u64;
        self.start + ticks
    }
    fn print(self, joules: f64) -> u64 {
        let count = self.ticks(joules) % TICKS;
        let printed = u128::from(count) * u128::from(self.num) / u128::from(self.den);
        u64::try_from(printed).unwrap()
    }
    fn range(self) -> u64 {
        let printed = u128::from(TICKS - 1) * u128::from(self.num) / u128::from(self.den);
        u64::try_from(printed).unwrap()
    }
}

fn esu14(start: u64) -> Register {
    Register { esu: 14, num: 61_035, den: 1000, start }
}

fn watts(w: f64) -> Watts {
    Watts::new(w).unwrap()
}

fn uj(n: u64) -> Microjoules {
    Microjoules::new(n)
}

fn at(base: Moment, ms: u64) -> Moment {
    base.after(Duration::from_millis(ms))
}

/// Some time after the boot.
const BASE: Moment = Moment::from_nanos(3_600_000_000_000);

/// A counter of readings in µJ, as the kernel prints them.
fn counter(range: u64, ceiling: f64) -> Counter {
    Counter::new(Scale::printed(uj(range)).unwrap(), watts(ceiling))
}

#[test]
fn published_ranges_reveal_their_units() {
    for (range, printed, esu) in [
        (RANGE_ESU14, (61_035, 1000), 14),
        (RANGE_ESU14_OLD, (1_000_000, 1 << 14), 14),
        (RANGE_ESU16, (15_258, 1000), 16),
        (RANGE_DRAM, (15_300, 1000), 16),
        (4_294_967_295_000_000, (1_000_000, 1), 0),
    ] {
        let scale = Scale::printed(uj(range)).unwrap();
        let (num, den) = printed;
        assert_eq!(scale.printed, Some(Ratio { num, den }), "{range}");
        assert_eq!(scale.unit, Ratio::of_esu(esu), "{range}");
        assert_eq!(scale.modulus, 1 << 32, "{range}");
    }
    assert_eq!(Scale::printed(uj(65_000_000)), Some(Scale::reported(65_000_000)));
    assert_eq!(Scale::printed(uj(0)), None);
}

#[test]
fn every_count_survives_printing() {
    for range in [RANGE_ESU14, RANGE_ESU14_OLD, RANGE_ESU16, RANGE_DRAM] {
        let scale = Scale::printed(uj(range)).unwrap();
        let Ratio { num, den } = scale.printed.unwrap();
        for n in (0..TICKS).step_by(99_999_989).chain([0, 1, 2, TICKS - 2, TICKS - 1]) {
            let printed = u128::from(n) * u128::from(num) / u128::from(den);
            assert_eq!(scale.count(u64::try_from(printed).unwrap()), Some(n));
        }
    }
}

#[test]
fn total_is_not_masked_to_32_bits() {
    // 100 W at 1 Hz for an hour: the Python predecessor reported nothing at all here.
    let register = esu14(0);
    let base = BASE;
    let mut counter = counter(register.range(), 400.0);
    for second in 0..=3600u32 {
        let at = base.after(Duration::from_secs(second.into()));
        counter.observe(register.print(100.0 * f64::from(second)), at);
    }
    assert_eq!(counter.total().as_microjoules() / 1_000_000, 360_000);
    assert_eq!(counter.wraps(), 1);
    assert_eq!(counter.generation.get(), 1);
}

#[test]
fn a_reset_yields_no_energy_and_a_new_generation() {
    let base = BASE;
    let mut counter = counter(1_000_000_000, 100.0);
    let mut see = |ms, value| counter.observe(value, at(base, ms));
    assert_eq!(see(0, 500_000_000), Step::Baseline);
    assert_eq!(see(100, 505_000_000), Step::Advance { delta: uj(5_000_000) });
    assert_eq!(see(200, 0), Step::Skipped);
    let lost = Duration::from_millis(100);
    // 100 W for 0.1 s, and a tick.
    let most = uj(10_000_001);
    assert_eq!(see(300, 5_000_000), Step::Rebased { why: Break::Reset, lost, most, shown: uj(0) });
    assert_eq!(see(400, 10_000_000), Step::Advance { delta: uj(5_000_000) });
    assert_eq!(counter.total(), uj(515_000_000));
    assert_eq!(counter.generation.get(), 2);
    assert_eq!(counter.wraps(), 0);
}

#[test]
fn a_transient_zero_loses_nothing() {
    let base = BASE;
    let mut counter = counter(1_000_000_000, 100.0);
    counter.observe(500_000_000, base);
    assert_eq!(counter.observe(0, at(base, 100)), Step::Skipped);
    let step = counter.observe(510_000_000, at(base, 200));
    assert_eq!(step, Step::Advance { delta: uj(10_000_000) });
    assert_eq!(counter.generation.get(), 1);
}

#[test]
fn a_counter_that_steps_rarely_may_step_far() {
    // 65 W in steps of half a second, read every ms.
    let base = BASE;
    let mut counter = counter(1_000_000_000, 260.0);
    for ms in 0..=1200 {
        let step = counter.observe((ms + 480) / 500 * 32_500_000, at(base, ms));
        assert!(!matches!(step, Step::Skipped | Step::Rebased { .. }), "{ms} {step:?}");
    }
    assert_eq!(counter.total(), uj(97_500_000));
}

#[test]
fn a_gap_that_can_hide_two_wraps_is_not_bridged() {
    let base = BASE;
    let mut counter = counter(65_000_000, 260.0);
    counter.observe(1_000_000, base);
    let step = counter.observe(2_000_000, at(base, 1000));
    let lost = Duration::from_secs(1);
    // 260 W for 1 s, and for the quarter of it that the first value may have stood there.
    let most = uj(276_250_001);
    assert_eq!(step, Step::Rebased { why: Break::AmbiguousWrap, lost, most, shown: uj(0) });
    assert_eq!(counter.total(), uj(1_000_000));
}

#[test]
fn a_bad_reading_that_passes_every_test_invents_nothing() {
    // 20 W; at 300 ms a value that is on the lattice and within the ceiling, but wrong by 7 J.
    let register = esu14(0);
    let mut counter = counter(register.range(), 400.0);
    let truth = |ms: u64| 1000.0 + 0.02 * ms as f64;
    let mut before = Microjoules::ZERO;
    for ms in (0..=2000).step_by(100) {
        let wrong = if ms == 300 { 7.0 } else { 0.0 };
        counter.observe(register.print(truth(ms) + wrong), at(BASE, ms));
        assert!(counter.total() >= before);
        before = counter.total();
    }
    assert!((counter.total().as_joules() - truth(2000)).abs() < 1e-3, "{:?}", counter.total());
    assert_eq!((counter.generation.get(), counter.wraps()), (1, 0));
}

#[test]
fn a_zero_near_the_end_of_the_range_is_not_a_wrap() {
    let register = esu14(TICKS - 50_000);
    let mut counter = counter(register.range(), 400.0);
    counter.observe(register.print(0.0), BASE);
    let first = counter.total();
    counter.observe(register.print(1.0), at(BASE, 100));
    counter.observe(0, at(BASE, 200));
    counter.observe(register.print(2.0), at(BASE, 300));
    let total = counter.total().checked_sub(first).unwrap();
    assert_eq!((total.as_microjoules(), counter.wraps()), (2_000_000, 0));
}

#[test]
fn a_counter_resumes_where_it_stopped_when_the_gap_is_provable() {
    let register = esu14(TICKS - 50_000);
    let mut first = counter(register.range(), 400.0);
    first.observe(register.print(0.0), BASE);
    first.observe(register.print(1.0), at(BASE, 100));
    let saved = first.save().unwrap();
    // 262 kJ at 400 W are 655 s.
    for (ms, joules, generation) in [(10_000, 5.0, 1), (700_000, 6.0, 2)] {
        let mut second = Counter::resume(first.scale(), watts(400.0), &saved).unwrap();
        assert_eq!(second.total(), first.total());
        second.observe(register.print(joules), at(BASE, ms));
        assert_eq!(second.generation.get(), generation, "{ms}");
        let grown = second.total().checked_sub(first.total()).unwrap().as_microjoules();
        assert_eq!(grown, if generation == 1 { 4_000_000 } else { 0 });
    }
}

#[test]
fn a_register_tells_the_unit_that_an_odd_range_does_not() {
    // As the simulated host prints it: 65 J of ESU 16, truncated to 15.258 µJ.
    let scale = Scale::printed_in_units(uj(65_000_000), 16).unwrap();
    assert!(scale.is_exact() && scale.has_lattice());
    assert_eq!(scale.modulus, 4_260_061); // 65 000 000 / 15.258 = 4 260 060.3
    assert_eq!(scale.energy(1 << 16), uj(1_000_000));
    assert_eq!(Scale::printed_in_units(uj(RANGE_ESU14), 16), Scale::printed(uj(RANGE_ESU14)));
}

#[test]
fn a_register_of_64_bits_counts_beyond_64_bits() {
    let mut counter = Counter::new(Scale::register(32, 64), watts(500.0));
    counter.observe(u64::MAX - 10, BASE);
    counter.observe((1 << 32) - 11, at(BASE, 10_000));
    assert_eq!((counter.wraps(), counter.generation.get()), (1, 1));
    assert_eq!(counter.total().as_microjoules(), 4_294_967_297_000_000 - 1_000_000 + 1_000_000 - 1);
}

#[test]
fn a_reading_off_the_lattice_is_skipped_and_its_energy_carried() {
    let register = esu14(0);
    let base = BASE;
    let mut counter = counter(register.range(), 400.0);
    counter.observe(register.print(1000.0), base);
    let good = register.print(1010.0);
    let corrupt = good - 3;
    assert_eq!(counter.observe(corrupt, at(base, 100)), Step::Skipped);
    counter.observe(register.print(1020.0), at(base, 200));
    assert_eq!(counter.total().as_microjoules() / 1_000_000, 1020);
}

#[test]
fn hardware_off_the_inferred_lattice_is_counted_as_printed() {
    let base = BASE;
    let mut counter = counter(RANGE_ESU14, 400.0);
    for (ms, printed) in [(0, 1_000_003), (100, 2_000_003), (200, 3_000_003), (300, 4_000_003)] {
        counter.observe(printed, at(base, ms));
    }
    assert_eq!(counter.total(), uj(4_000_003));
}

/// A memory's lattice is 0.27 % off its energies: a reading of 40 kJ that lies on it by chance must
/// not become another one when the lattice is given up.
#[test]
fn giving_up_the_lattice_loses_and_invents_nothing() {
    let base = BASE;
    let mut counter = counter(RANGE_DRAM, 2000.0);
    let on_lattice = 2_600_000_000 * 153 / 10;
    counter.observe(on_lattice, base);
    let first = counter.total();
    // Ten ticks of 15.3 µJ are 153 µJ, and none of them ends at 7 µJ.
    for (ms, tens) in [(100, 13_072), (200, 26_144), (300, 39_216), (400, 52_288)] {
        counter.observe(on_lattice + 153 * tens + 7, at(base, ms));
    }
    assert!(!counter.scale().has_lattice());
    assert_eq!(
        (counter.total().checked_sub(first), counter.generation.get()),
        (Some(uj(8_000_071)), 1)
    );
}

#[test]
fn no_unit_that_a_register_can_claim_breaks_a_scale() {
    for esu in [20, 31, 64, u32::MAX] {
        let range = uj(65_000_000);
        assert_eq!(Scale::printed_in_units(range, esu), Scale::printed(range), "{esu}");
    }
}

proptest! {
    /// For any power curve below the ceiling and any start, the total is the truth to one tick,
    /// however often the register wraps, as long as it is read in time.
    #[test]
    fn total_is_the_truth(
        start in 0u64..TICKS,
        shape in prop::sample::select(vec![
            (14, 61_035, 1000), (14, 1_000_000, 1 << 14), (16, 15_258, 1000), (16, 15_300, 1000),
        ]),
        steps in prop::collection::vec((0.0..1500.0f64, 0.05..0.45f64), 1..200),
    ) {
        let (esu, num, den) = shape;
        let register = Register { esu, num, den, start };
        let mut counter = counter(register.range(), 1500.0);
        let longest = counter.longest_interval();
        let mut now = BASE;
        let (mut joules, mut before) = (0.0, Microjoules::ZERO);
        counter.observe(register.print(0.0), now);
        let first = counter.total();
        for (power, share) in steps {
            let step = longest.mul_f64(share);
            now = now.after(step);
            joules += power * step.as_secs_f64();
            counter.observe(register.print(joules), now);
            prop_assert!(counter.total() >= before);
            before = counter.total();
        }
        let ticks = register.ticks(joules) - register.start;
        let truth = u64::try_from((u128::from(ticks) * 1_000_000) >> esu).unwrap();
        let total = counter.total().checked_sub(first).unwrap().as_microjoules();
        prop_assert!(total.abs_diff(truth) <= 1, "{total} {truth}");
        prop_assert_eq!(counter.generation.get(), 1);
    }

    /// No sequence of readings whatever makes the total fall or exceed what the ceiling allows.
    #[test]
    fn garbage_never_exceeds_the_ceiling(
        readings in prop::collection::vec((0u64..300_000_000_000, 1u64..5_000), 1..100),
    ) {
        let base = BASE;
        let mut counter = counter(RANGE_ESU14, 100.0);
        let (mut ms, mut first, mut before) = (0, None, Microjoules::ZERO);
        for (reading, gap) in readings {
            ms += gap;
            counter.observe(reading, at(base, ms));
            let total = counter.total();
            prop_assert!(total >= before);
            before = total;
            if counter.last_good().is_some() {
                let first = *first.get_or_insert(total);
                let most = 100.0 * (ms as f64 / 1e3 + 1.0) + 0.3 * 100.0;
                prop_assert!(total.checked_sub(first).unwrap().as_joules() <= most);
            }
        }
    }
}

/// A process that is stopped for 1.4 s between reading and looking at the clock, at 100 W: 150 J are in
/// the next reading, which no 100 ms below a ceiling of 400 W explain. They are counted all the same.
#[test]
fn a_stop_between_reading_and_clock_loses_nothing() {
    let start = Moment::from_nanos(1_000_000_000_000);
    let mut counter = Counter::new(Scale::printed(uj(650_000_000)).unwrap(), watts(400.0));
    for tenth in 0..20 {
        counter.observe(tenth * 10_000_000, at(start, tenth * 100));
    }
    let (read, woken) = (at(start, 2000), at(start, 3400));
    counter.observe_between(200_000_000, read, woken);
    counter.observe_between(350_000_000, at(start, 3499), at(start, 3500));
    assert_eq!((counter.total(), counter.generation.get()), (uj(350_000_000), 1));
}

/// The same for 5 s: how often the counter wrapped is unknown, and so much is said.
#[test]
fn a_long_stop_between_reading_and_clock_hides_no_wrap() {
    let start = Moment::from_nanos(1_000_000_000_000);
    let mut counter = Counter::new(Scale::printed(uj(650_000_000)).unwrap(), watts(400.0));
    for tenth in 0..20 {
        counter.observe(tenth * 10_000_000, at(start, tenth * 100));
    }
    let (read, woken) = (at(start, 2000), at(start, 7000));
    let step = counter.observe_between(200_000_000, read, woken);
    assert!(matches!(step, Step::Rebased { why: Break::AmbiguousWrap, .. }), "{step:?}");
    // 660 J later it shows 10 J more.
    let step = counter.observe_between(210_000_000, at(start, 7099), at(start, 7100));
    let Step::Rebased { why: Break::AmbiguousWrap, most, .. } = step else { panic!("{step:?}") };
    assert!(most >= uj(660_000_000), "{most:?}");
}

/// The slowest counters step once a second, and a step may come late.
#[test]
fn a_counter_is_stuck_once_it_was_seen_to_stand_for_a_second_and_a_half() {
    let start = Moment::from_nanos(1_000_000_000_000);
    let new = || Counter::new(Scale::register(14, 32), watts(400.0));
    let stands = |mut counter: Counter, ms: u64| {
        for tenth in 0..=ms / 100 {
            counter.observe(77, at(start, tenth * 100));
        }
        counter.is_stuck()
    };
    assert!(!new().is_stuck());
    // The second that a first value may be old is not time that it was seen to stand.
    assert_eq!([1400, 1500, 1600].map(|ms| stands(new(), ms)), [false, false, true]);
    assert!(!stands(new().that_may_rest(), 60_000));
    let mut counter = new();
    for second in 0..10 {
        for tenth in 0..11 {
            counter.observe(77 + second, at(start, second * 1100 + tenth * 100));
            assert!(!counter.is_stuck());
        }
    }
    // It was seen to stand for an instant only: nobody looked until it was read again.
    counter.observe_between(86, at(start, 11_050), at(start, 20_000));
    assert!(!counter.is_stuck());
}

#[test]
fn a_counter_that_is_resumed_is_not_stuck_before_it_is_seen_to_stand() {
    let start = Moment::from_nanos(1_000_000_000_000);
    let mut counter = Counter::new(Scale::register(14, 32), watts(400.0));
    counter.observe(77, start);
    let saved = counter.save().unwrap();
    let mut resumed = Counter::resume(counter.scale(), watts(400.0), &saved).unwrap();
    resumed.observe(77, at(start, 1400));
    assert!(!resumed.is_stuck());
    resumed.observe(77, at(start, 1600));
    assert!(resumed.is_stuck());
}

proptest! {
    /// A counter that is set back by up to three polls of its energy: what the total lacks is bounded and told. Less than
    /// what a poll adds cannot be seen, and is less than that.
    #[test]
    fn what_a_counter_that_is_set_back_loses_is_within_what_is_told(
        power in 1.0..300.0f64, poll_ms in 20u64..1000, back_polls in 1.01..3.0f64, when in 5u64..30,
    ) {
        let register = esu14(1 << 30);
        let mut counter = Counter::new(Scale::printed(uj(register.range())).unwrap(), watts(2000.0));
        let base = Moment::from_nanos(1 << 50);
        let joules = |poll: u64| power * (poll * poll_ms) as f64 / 1000.0;
        let back = power * back_polls * poll_ms as f64 / 1000.0;
        let (mut told, mut first) = (0.0, 0.0);
        for poll in 0..60 {
            let shown = joules(poll) - if poll >= when { back } else { 0.0 };
            match counter.observe(register.print(shown), at(base, poll * poll_ms)) {
                Step::Baseline => first = counter.total().as_joules(),
                Step::Rebased { most, .. } | Step::Corrected { most, .. } => told += most.as_joules(),
                Step::Advance { .. } | Step::Skipped => {}
            }
        }
        let lost = joules(59) - (counter.total().as_joules() - first);
        prop_assert!(lost <= told + 0.001, "{lost} J lost, {told} J told");
        prop_assert!(lost < 0.001 || told > 0.0);
    }
}

/// What a counter of a scale can show, and what a tick of it is worth.
#[test]
fn a_scale_knows_what_its_counter_can_show() {
    let lattice = Scale::printed(uj(RANGE_ESU14)).unwrap();
    let beyond = (1u64 << 32) * 61_035 / 1000;
    for (scale, unit, shown, not_shown) in [
        (Scale::register(14, 16), 61.035_156_25, vec![0, 1, 65_535], vec![65_536]),
        (Scale::register_of_microjoules(1000, 8), 1000.0, vec![0, 255], vec![256]),
        (Scale::reported(1000), 1.0, vec![0, 999, 1000], vec![1001]),
        (lattice, 61.035_156_25, vec![0, 61, 122, RANGE_ESU14], vec![62, 123, beyond]),
    ] {
        assert!((scale.unit_microjoules() - unit).abs() < 1e-9, "{scale:?}");
        assert!(shown.iter().all(|&reading| scale.can_show(reading)), "{scale:?}");
        assert!(!not_shown.iter().any(|&reading| scale.can_show(reading)), "{scale:?}");
    }
    assert_eq!((lattice.is_exact(), lattice.has_lattice()), (true, true));
    assert_eq!(
        (lattice.range(), lattice.without_lattice().range()),
        (uj(RANGE_ESU14), uj(RANGE_ESU14))
    );
    let reported = lattice.without_lattice();
    assert_eq!((reported.is_exact(), reported.has_lattice()), (false, false));
}

/// At 1 W a µJ passes in a µs, and the counter wraps after 2^20 of them: each rule up to its very edge.
#[test]
fn rules_of_what_can_have_passed_hold_to_the_edge() {
    let scale = Scale::register_of_microjoules(1, 20);
    let modulus = 1u64 << 20;
    let fresh = || Counter::new(scale, watts(1.0));
    let us = |us: u64| BASE.after(Duration::from_micros(us));
    let seen = |count: u64, at: u64| Reading::first_seen(count, us(at), us(at));
    let counter = fresh();
    assert_eq!(counter.longest_interval(), Duration::from_micros(modulus / 2));
    // One more than the energy, since a reading may fall on either side of a step; two ms for a step itself.
    assert_eq!(counter.limit(seen(0, 0), seen(0, 500)), 501);
    assert_eq!(counter.slack(), 2000);
    assert_eq!(counter.difference(seen(10, 0), seen(25, 9)), 15);
    assert_eq!(counter.difference(seen(25, 0), seen(10, 9)), u128::from(modulus) - 15);
    assert_eq!(counter.plausible(seen(0, 0), seen(2501, 500)), Some(2501));
    assert_eq!(counter.plausible(seen(0, 0), seen(2502, 500)), None);
    // Eight times as much may be power of the same machine, unless a wrap fits in.
    assert_eq!(counter.excess(seen(0, 0), seen(4000, 500)), Some(4000));
    assert_eq!(counter.excess(seen(0, 0), seen(4001, 500)), None);
    assert_eq!(counter.excess(seen(0, 0), seen(7, modulus / 8 - 1)), Some(7));
    assert_eq!(counter.excess(seen(0, 0), seen(7, modulus / 8)), None);
    for (apart, dates) in [(0, true), (modulus / 2 - 3, true), (modulus / 2 - 2, false)] {
        assert_eq!(counter.dates(us(0), us(apart)), dates, "{apart} us");
    }
    // From the same reading on: at rest, or after a wrap that nobody could tell.
    for (later, rests) in [(modulus - 2, true), (modulus - 1, false)] {
        let mut counter = fresh();
        counter.observe_between(77, us(0), us(0));
        counter.good.as_mut().unwrap().since = us(0);
        let step = counter.observe(77, us(later));
        assert_eq!(step == Step::Advance { delta: Microjoules::ZERO }, rests, "{later}: {step:?}");
        let step = |count| {
            let mut counter = fresh();
            counter.observe(77, us(0));
            counter.good.as_mut().unwrap().since = us(0);
            counter.observe(count, us(later))
        };
        assert_eq!(step(99) == Step::Advance { delta: uj(22) }, rests, "{later}: {:?}", step(99));
    }
    // A step comes late by a half at most.
    let mut counter = fresh();
    counter.observe(77, us(0));
    for (us_later, stuck) in
        [(500_000, false), (1_000_000, false), (1_500_000, false), (1_500_001, true)]
    {
        counter.observe(77, us(us_later));
        assert_eq!(counter.is_stuck(), stuck, "{us_later}");
        assert_eq!(counter.last_good(), Some(us(us_later)));
    }
    assert!(!counter.that_may_rest().is_stuck());
}

/// A zero is believed when it comes twice, or when there is no time to look again.
#[test]
fn a_zero_waits_for_a_second_one_while_there_is_time() {
    for (later, waits) in [((1u64 << 18) - 2, true), ((1 << 18) - 1, false)] {
        let mut counter = Counter::new(Scale::register_of_microjoules(1, 20), watts(1.0));
        let us = |us: u64| BASE.after(Duration::from_micros(us));
        counter.observe((1 << 20) - 100, us(0));
        counter.good.as_mut().unwrap().since = us(0);
        let first = counter.observe(0, us(later));
        assert_eq!(first == Step::Skipped, waits, "{later}: {first:?}");
        assert_eq!(counter.wraps(), u64::from(!waits));
        counter.observe(0, us(later + 10));
        assert_eq!((counter.wraps(), counter.total()), (1, uj(1 << 20)));
    }
}

/// What another process goes on from is what was kept, unless it cannot be of such a counter.
#[test]
fn a_counter_goes_on_from_what_fits_it() {
    let scale = Scale::register_of_microjoules(1, 20);
    let kept = Saved {
        total: 5_000_000,
        shown: 5_000_500,
        count: 1 << 20,
        at: BASE,
        since: BASE.before(Duration::from_millis(1)),
        wraps: 4,
        generation: Generation::new(2),
    };
    let resumed = Counter::resume(scale, watts(1.0), &kept).unwrap();
    assert_eq!(resumed.save(), Some(kept));
    assert_eq!((resumed.total(), resumed.wraps()), (uj(5_000_500), 4));
    assert_eq!((resumed.ceiling(), resumed.scale()), (watts(1.0), scale));
    for other in [
        Saved { count: (1 << 20) + 1, ..kept },
        Saved { generation: Generation::new(0), ..kept },
        Saved::default(),
    ] {
        assert!(Counter::resume(scale, watts(1.0), &other).is_none(), "{other:?}");
    }
    assert!(
        Counter::resume(scale, watts(1.0), &Saved { generation: Generation::FIRST, ..kept })
            .is_some()
    );
    // Of what is shown the most, and of when it was seen the earliest.
    let later = Saved { shown: 0, since: BASE.after(Duration::from_secs(1)), ..kept };
    let shown = Counter::resume(scale, watts(1.0), &later).unwrap().save().unwrap();
    assert_eq!((shown.shown, shown.since), (kept.total, BASE));
    assert_eq!(Counter::new(scale, watts(1.0)).save(), None);
    assert_eq!((kept.generation.get(), kept.generation.next().get()), (2, 3));
}

/// A reading that is not believed shows what it would be as energy, and three steps of it raise the ceiling to twice
/// what they show.
#[test]
fn steps_above_the_ceiling_raise_it_when_they_follow_each_other() {
    let mut counter = Counter::new(Scale::register_of_microjoules(1, 40), watts(100.0));
    let tenth = |n: u64| BASE.after(Duration::from_millis(100 * n));
    // 50 W, a pause in which nothing is known, and then 300 W.
    for n in 0..3 {
        counter.observe(5_000_000 * n, tenth(n));
    }
    assert_eq!(counter.suspected(), None);
    let high = |n: u64| 10_000_000 + 30_000_000 * (n - 2);
    assert_eq!(counter.observe(high(3), tenth(3)), Step::Skipped);
    assert_eq!(counter.suspected(), Some(uj(30_000_000)));
    assert_eq!(counter.observe(high(4), tenth(4)), Step::Skipped);
    assert_eq!(counter.ceiling(), watts(100.0));
    assert_eq!(counter.observe(high(5), tenth(5)), Step::Advance { delta: uj(90_000_000) });
    assert_eq!((counter.ceiling(), counter.suspected()), (watts(600.0), None));
    assert_eq!(counter.observe(high(6), tenth(6)), Step::Advance { delta: uj(30_000_000) });
}
