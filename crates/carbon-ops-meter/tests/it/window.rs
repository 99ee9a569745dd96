//! When a window reads: often at its ends, so that they are sharp, and seldom in between.

use std::cell::{Cell, RefCell};
use std::time::{Duration, Instant};

use carbon_ops_meter::window::Window;
use carbon_ops_units::Microjoules;

use crate::{FakeHost, boot};

/// 5 J.
const STEP_TICKS: u64 = 81_920;

/// A host with one package, its clock, and how far its counter has come.
struct Scene {
    host: FakeHost,
    base: Instant,
    now: Cell<Duration>,
    steps: Cell<u64>,
}

impl Scene {
    fn new() -> Self {
        let host = FakeHost::new(&[("intel-rapl:0", "package-0")]);
        Self { host, base: Instant::now(), now: Cell::default(), steps: Cell::default() }
    }

    fn at(&self, now: Duration) -> impl Fn() -> Instant {
        self.now.set(now);
        let now = self.base + now;
        move || now
    }

    fn step(&self) {
        self.steps.set(self.steps.get() + 1);
        self.host.set("intel-rapl:0", 1_000_000 + self.steps.get() * STEP_TICKS);
    }

    /// When the window wants to be read next, from now.
    fn pause(&self, window: &Window) -> Duration {
        window.due().checked_duration_since(self.base + self.now.get()).unwrap()
    }
}

/// Between readings twice as long as before, up to a quarter of a second; behind a cut so, until each counter has
/// stepped, and then as seldom as ever.
#[test]
fn pauses_double_and_after_a_cut_only_until_all_counters_have_stepped() {
    let scene = Scene::new();
    let mut window = Window::open(&scene.host.root(), &scene.at(Duration::ZERO), boot).1.unwrap();
    for expected_us in
        [500, 1000, 2000, 4000, 8000, 16_000, 32_000, 64_000, 128_000, 250_000, 250_000]
    {
        let pause = scene.pause(&window);
        assert_eq!(pause, Duration::from_micros(expected_us));
        scene.step();
        window.sample(&scene.at(scene.now.get() + pause));
    }
    let elapsed = scene.now.get();
    window.cut(elapsed, &scene.at(elapsed)).unwrap();
    for (expected_ms, steps) in [(2, false), (4, false), (8, true), (250, false), (250, true)] {
        let pause = scene.pause(&window);
        assert_eq!(pause, Duration::from_millis(expected_ms));
        if steps {
            scene.step();
        }
        window.sample(&scene.at(scene.now.get() + pause));
    }
}

/// The counter is looked at until it has stepped, at pauses of an eighth of the time waited, and not for ever: what
/// it shows then bounds what passed in the window.
#[test]
fn after_the_end_a_window_is_looked_at_until_its_counter_steps_or_will_not() {
    let ms = Duration::from_millis;
    // Steps so many ms after the end; how long is waited at least and at most; and the most energy. Two steps
    // of three were seen in the window, so that 5 J may have passed before the first of them.
    for (steps_after, least, most, high_uj) in
        [(Some(40), ms(40), ms(45), 15_000_000), (None, ms(100), ms(113), 15_000_000)]
    {
        let scene = Scene::new();
        let mut window = Window::open(&scene.host.root(), &scene.at(ms(0)), boot).1.unwrap();
        for now in [50, 100] {
            scene.step();
            window.sample(&scene.at(ms(now)));
        }
        window.end(&scene.at(ms(100)));
        let waits = RefCell::new(Vec::new());
        let mut waited = Duration::ZERO;
        let mut sleep = |pause: Duration| {
            assert_eq!(pause, (waited / 8).max(Duration::from_micros(250)));
            let before = waited;
            waited += pause;
            waits.borrow_mut().push(waited);
            scene.now.set(ms(100) + waited);
            if steps_after.map(ms).is_some_and(|at| before < at && waited >= at) {
                scene.step();
            }
        };
        let clock = || scene.base + scene.now.get();
        let counted = window.close(ms(100), &clock, &mut sleep).unwrap();
        let waited = *waits.borrow().last().unwrap();
        assert!(least <= waited && waited <= most, "{waited:?}");
        assert_eq!(counted.host(), Microjoules::new(10_000_000));
        assert_eq!(counted.bounds(), (Microjoules::new(5_000_000), Microjoules::new(high_uj)));
    }
}

/// A copy stands in for the zone of its own name alone, while that rests.
#[test]
fn a_copy_of_the_second_package_is_none_of_the_first() {
    let zones = [
        ("intel-rapl:0", "package-0"),
        ("intel-rapl:1", "package-1"),
        ("intel-rapl-mmio:1", "package-1"),
    ];
    let host = FakeHost::new(&zones);
    let counted = host.window(|tick| {
        host.set("intel-rapl:0", 1_000_000 + tick * 81_920);
        // Rests after half the window.
        host.set("intel-rapl:1", 1_000_000 + tick.min(10) * 40_960);
        host.set("intel-rapl-mmio:1", 1_000_000 + tick * 40_960);
    });
    let told: Vec<_> = counted.domains.iter().map(|domain| domain.zone.as_str()).collect();
    assert_eq!(told, ["intel-rapl:0", "intel-rapl-mmio:1"]);
    assert!(counted.is_measured(), "{counted:?}");
    assert_eq!(counted.host(), Microjoules::new(150_000_000));
}
