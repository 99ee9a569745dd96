//! Counters: whatever is read, and whenever, a total never falls, and never grows by more than the
//! ceiling allows.
#![no_main]

use std::time::Duration;

use carbon_ops_meter::clock::Moment;
use carbon_ops_meter::counter::{Counter, Scale, Step};
use carbon_ops_units::{Microjoules, Watts};
use libfuzzer_sys::fuzz_target;

/// Bytes as numbers, zeros after the last.
struct Numbers<'b>(&'b [u8]);

impl Numbers<'_> {
    fn byte(&mut self) -> u8 {
        let (first, rest) = self.0.split_first().unwrap_or((&0, &[]));
        self.0 = rest;
        *first
    }

    fn wide(&mut self) -> u64 {
        (0..8).fold(0, |number, _| number << 8 | u64::from(self.byte()))
    }

    fn short(&mut self) -> u64 {
        u64::from(self.byte()) << 8 | u64::from(self.byte())
    }
}

/// What the counters of real machines look like, and everything else.
fn scale(numbers: &mut Numbers<'_>) -> Option<Scale> {
    let ranges = [262_143_328_850, 262_143_999_938, 65_532_610_987, 65_712_999_613, 65_000_000];
    let kind = numbers.byte();
    match kind {
        0..=4 => Scale::printed(Microjoules::new(ranges[usize::from(kind)])),
        5 => Scale::printed(Microjoules::new(numbers.wide())),
        6 => Scale::printed_in_units(Microjoules::new(numbers.wide()), u32::from(numbers.byte())),
        7 => Some(Scale::register_of_microjoules(numbers.short(), u32::from(numbers.byte()))),
        _ => Some(Scale::register(u32::from(numbers.byte()) % 20, u32::from(kind))),
    }
}

fuzz_target!(|bytes: &[u8]| {
    let mut numbers = Numbers(bytes);
    let Some(scale) = scale(&mut numbers) else { return };
    #[expect(clippy::cast_precision_loss, reason = "a number of two bytes")]
    let ceiling = Watts::new(numbers.short() as f64).expect("no power is negative");
    let mut highest = ceiling;
    let mut counter = Counter::new(scale, ceiling);
    let (mut at, mut reading) = (Moment::from_nanos(numbers.wide() >> 8), numbers.wide());
    let (begun, mut first) = (at, None);
    let (mut steps, mut breaks) = (0_u32, 1_u32);
    while !numbers.0.is_empty() {
        let step = numbers.byte();
        // Mostly time and readings that go on as they do, and now and then anything.
        at = at.after(match step & 3 {
            0 => Duration::ZERO,
            1 => Duration::from_micros(numbers.short()),
            2 => Duration::from_millis(numbers.short()),
            _ => Duration::from_secs(numbers.short()),
        });
        reading = match step >> 2 & 3 {
            0 => reading,
            1 => reading.wrapping_add(numbers.short()),
            2 => reading.wrapping_sub(numbers.short()),
            _ => numbers.wide(),
        };
        if step & 64 != 0 {
            reading %= scale.range().as_microjoules().saturating_add(1).max(1);
        }
        if step & 128 != 0
            && let Some(saved) = counter.save()
        {
            // Another process goes on; what it knows of the scale may be the first guess again.
            if let Some(resumed) = Counter::resume(counter.scale(), ceiling, &saved) {
                counter = resumed;
            }
        }
        let before = counter.total();
        let result = counter.observe(reading, at);
        // Readings that go on above the ceiling raise it.
        highest = highest.max(counter.ceiling());
        steps += 1;
        breaks += u32::from(matches!(result, Step::Rebased { .. }));
        if let Step::Baseline = result {
            first = Some(counter.total());
            continue;
        }
        let Some(first) = first else { continue };
        assert!(counter.total() >= before, "{before:?} and then {:?}", counter.total());
        // Each epoch may begin a second before its first reading, and each step may come 2 ms early;
        // two units and 2 µJ for what falls on either side of a tick.
        let time =
            at.since(begun) + Duration::from_secs(1) * breaks + Duration::from_millis(2) * steps;
        let rounding = f64::from(steps) * (2.0 * scale.unit_microjoules() + 2.0);
        let most = highest.as_watts() * time.as_secs_f64() * 1e6 * (1.0 + 1e-9) + rounding;
        let grown = counter.total().saturating_sub(first);
        #[expect(clippy::cast_precision_loss, reason = "a bound needs no sixteenth digit")]
        let grown = grown.as_microjoules() as f64;
        assert!(grown <= most, "{grown} uJ in {time:?} at {highest:?}");
    }
});
