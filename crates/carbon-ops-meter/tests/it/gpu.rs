//! GPUs over a window, on a fake of NVIDIA's library and with a clock that the test holds: energies and
//! shares are those that the script of the test adds up to.

use std::cell::Cell;
use std::time::{Duration, Instant};

use carbon_ops_meter::accumulator::GapReason;
use carbon_ops_meter::attribution::GpuUse;
use carbon_ops_meter::gpu::{GpuEnergy, GpuWindow, Whose};
use carbon_ops_meter::sensor::Exclusion;
use carbon_ops_meter::window::Domain;
use carbon_ops_units::Microjoules;

use crate::boot;
use crate::nvml::Fake;

const OURS: u32 = 100;
const THEIRS: u32 = 200;
const UNSEEN: u32 = 300;

fn who(pid: u32) -> Option<Whose> {
    match pid {
        OURS => Some(Whose::Workload),
        THEIRS => Some(Whose::Other),
        _ => None,
    }
}

/// A GPU that was measured.
#[derive(Debug)]
struct Played {
    domain: Domain,
    used: GpuUse,
}

impl From<GpuEnergy<Whose>> for Played {
    fn from(gpu: GpuEnergy<Whose>) -> Self {
        Self { used: GpuUse::from(&gpu.used), domain: gpu.domain.unwrap() }
    }
}

/// What one GPU answers, in steps of 100 ms.
struct Script {
    /// Power in W and what follows `0.samples` and `0.processes`; `@` is the time in µs.
    steps: Vec<(u64, String)>,
}

impl Script {
    fn new() -> Self {
        Self { steps: Vec::new() }
    }

    /// For so many steps of 100 ms.
    fn then(mut self, steps: usize, watts: u64, answers: &str) -> Self {
        self.steps.extend(vec![(watts, answers.to_owned()); steps]);
        self
    }

    /// Plays it as a window, with one step more after the end, in which nobody uses the GPU.
    fn play(&self) -> Played {
        self.play_then("0.samples -\n0.processes -\n")
    }

    /// The same, with these answers after the end.
    fn play_then(&self, after: &str) -> Played {
        let fake = Fake::new(&answers(0, 0, self.steps.first().map_or("", |step| &step.1)));
        let base = Instant::now();
        let now = Cell::new(Duration::from_secs(1));
        let clock = || base + now.get();
        let mut window =
            GpuWindow::open(fake.present(), None, &clock, boot, &mut |pid| match pid {
                // Nothing of the workload's is there before it starts.
                OURS => None,
                pid => who(pid),
            });
        let mut energy = 0;
        for (step, (watts, told)) in (1u64..).zip(&self.steps) {
            energy += watts * 100;
            now.set(now.get() + Duration::from_millis(100));
            fake.passes(Duration::from_millis(100));
            fake.answers(&answers(energy, step * 100_000, told));
            if window.due() <= clock() {
                window.sample(&clock, &mut who);
            }
        }
        // A process of the workload's is gone by now, and all others may be.
        window.end(&clock, &mut |_| None);
        let elapsed = now.get().saturating_sub(Duration::from_secs(1));
        let last = self.steps.last().map_or(0, |(watts, _)| *watts);
        let mut slept = Duration::ZERO;
        let mut sleep = |pause| {
            slept += pause;
            now.set(now.get() + pause);
            if slept >= Duration::from_millis(100) {
                fake.answers(&answers(energy + last * 100, u64::MAX, after));
            }
        };
        let (mut gpus, excluded) = window.close(elapsed, &clock, &mut sleep, &mut |_| None);
        assert!(excluded.is_empty(), "{excluded:?}");
        gpus.pop().unwrap().into()
    }
}

fn answers(energy: u64, microseconds: u64, told: &str) -> String {
    let told = told.replace('@', &microseconds.to_string());
    format!("count 1\n0.uuid GPU-1\n0.energy {}\n0.limit 700000\n{told}", 7_000_000 + energy)
}

fn joules(energy: Microjoules) -> f64 {
    energy.as_joules()
}

#[track_caller]
fn assert_used(gpu: &Played, [workload, others, unknown]: [f64; 3]) {
    let found = [gpu.used.workload, gpu.used.others, gpu.used.unknown];
    let near = found.iter().zip([workload, others, unknown]).all(|(a, b)| (a - b).abs() < 1e-6);
    assert!(near, "{found:?}");
}

#[test]
fn energy_is_exact_and_bounded_by_the_steps_around_the_window() {
    let gpu = Script::new().then(20, 300, "0.samples 100:@:100\n0.processes 100\n").play();
    assert_eq!(gpu.domain.energy.energy, Microjoules::new(600_000_000));
    assert!(!gpu.domain.energy.estimated, "{gpu:?}");
    // The first step was seen at 100 ms, the one after the end 100 ms after it.
    assert_eq!(gpu.domain.energy.low, Microjoules::new(570_000_000));
    assert_eq!(gpu.domain.energy.high, Microjoules::new(630_000_000));
    assert_used(&gpu, [1.0, 0.0, 0.0]);
    assert!(gpu.used.by_time && !gpu.used.by_process);
    assert_eq!((gpu.domain.name.as_str(), gpu.domain.backend), ("gpu-0", "nvml"));
}

/// 10 s at 60 W without use, 10 s at 400 W with full use: 4000 J of 4600 J, and not half of them.
#[test]
fn energy_is_given_to_those_who_used_the_gpu_while_it_passed() {
    let gpu = Script::new()
        .then(100, 60, "0.samples -\n0.processes 100\n")
        .then(100, 400, "0.samples 100:@:100\n0.processes 100\n")
        .play();
    assert_eq!(gpu.domain.energy.energy, Microjoules::new(4_600_000_000));
    // Nobody was named in the last two seconds of rest at most, which may be given to who came then.
    let joules = gpu.used.workload * 4600.0;
    assert!((4000.0..=4120.0).contains(&joules), "{joules} J of 4000 J");
    assert!(gpu.used.others.abs() + gpu.used.unknown.abs() < 1e-9, "{gpu:?}");
}

#[test]
fn time_of_others_is_theirs_and_time_of_nobody_is_idle() {
    let both = "0.samples 100:@:60,200:@:15\n0.processes 100,200\n";
    assert_used(&Script::new().then(30, 300, both).play(), [0.6, 0.15, 0.0]);
    // Two that ran at once have no more than all of the time.
    let busy = "0.samples 100:@:90,200:@:60\n0.processes 100,200\n";
    assert_used(&Script::new().then(30, 300, busy).play(), [0.6, 0.4, 0.0]);
    assert_used(&Script::new().then(30, 60, "0.samples -\n0.processes -\n").play(), [0.0; 3]);
}

#[test]
fn a_process_that_nobody_saw_alive_is_nobodys_to_name() {
    let gone = format!("0.samples 100:@:50,{UNSEEN}:@:25\n0.processes 100\n");
    assert_used(&Script::new().then(30, 300, &gone).play(), [0.5, 0.0, 0.25]);
}

#[test]
fn without_times_all_is_theirs_who_alone_were_there() {
    for (holders, expected, whole) in [
        ("100", [1.0, 0.0, 0.0], true),
        ("200", [0.0, 1.0, 0.0], true),
        ("100,200", [0.0, 0.0, 1.0], false),
        ("100,300", [0.0, 0.0, 1.0], false),
        ("-", [0.0; 3], false),
    ] {
        let told = format!("0.samples !3\n0.processes {holders}\n");
        let gpu = Script::new().then(30, 300, &told).play();
        assert_used(&gpu, expected);
        assert!(!gpu.used.by_time);
        assert_eq!(gpu.used.by_process, whole, "{holders}");
    }
}

/// Half a second, in which the driver has not sampled yet.
#[test]
fn a_driver_that_refuses_to_name_processes_does_not_say_that_nobody_is_there() {
    let refuses = "0.samples -\n0.processes !4\n";
    assert_used(&Script::new().then(5, 300, refuses).play_then(refuses), [0.0, 0.0, 1.0]);
    let nobody = "0.samples -\n0.processes -\n";
    assert_used(&Script::new().then(5, 300, nobody).play(), [0.0; 3]);
}

/// The workload's process has gone before the last look: what passed since the one before is still its.
#[test]
fn without_times_a_process_that_has_ended_had_its_last_second() {
    let gpu = Script::new()
        .then(28, 300, "0.samples !3\n0.processes 100\n")
        .then(2, 300, "0.samples !3\n0.processes -\n")
        .play();
    assert_used(&gpu, [1.0, 0.0, 0.0]);
}

#[test]
fn a_driver_that_refuses_to_tell_leaves_everything_unknown() {
    let gpu = Script::new().then(30, 300, "0.samples !4\n0.processes !4\n").play();
    assert_eq!(gpu.used, GpuUse::UNKNOWN);
}

/// Half a second is shorter than the driver's time between samples.
#[test]
fn a_window_without_any_sample_goes_by_who_was_there() {
    let gpu = Script::new().then(5, 300, "0.samples -\n0.processes 100\n").play();
    assert_used(&gpu, [1.0, 0.0, 0.0]);
    assert!(gpu.used.by_process);
    let long = Script::new().then(60, 60, "0.samples -\n0.processes 100\n").play();
    assert_used(&long, [0.0; 3]);
}

#[test]
fn a_counter_that_fails_to_the_end_is_a_gap_that_is_filled() {
    let fake = Fake::new(&answers(0, 0, ""));
    let base = Instant::now();
    let now = Cell::new(Duration::ZERO);
    let clock = || base + now.get();
    let mut window = GpuWindow::open(fake.present(), None, &clock, boot, &mut who);
    for step in 1..=40u64 {
        now.set(Duration::from_millis(step * 100));
        // 200 W for two seconds, and then the GPU falls off the bus.
        let energy = format!("0.energy {}", 7_000_000 + step * 20_000);
        let lost = step > 20;
        let energy = if lost { "0.energy !15".to_owned() } else { energy };
        fake.answers(&format!("count 1\n0.uuid GPU-1\n{energy}\n0.samples -\n"));
        window.sample(&clock, &mut who);
    }
    window.end(&clock, &mut who);
    let mut sleep = |pause| now.set(now.get() + pause);
    let (gpus, _) = window.close(Duration::from_secs(4), &clock, &mut sleep, &mut who);
    let energy = &gpus[0].domain.as_ref().unwrap().energy;
    assert!(energy.estimated && (joules(energy.energy) - 800.0).abs() < 1e-3, "{energy:?}");
    assert_eq!((energy.gaps[0].reason, energy.gaps[0].bridged), (GapReason::Vanished, false));
    assert_eq!(energy.gaps[0].duration, Duration::from_secs(2));
    assert!(joules(energy.high) >= 1199.9, "{energy:?}");
    assert!(now.get() <= Duration::from_millis(4260), "waited too long: {:?}", now.get());
}

#[test]
fn two_gpus_are_measured_each_for_itself_and_one_that_rests_is_left_out() {
    let state = |first: u64, at: u64| {
        format!(
            "count 3\n0.uuid GPU-a\n0.energy {first}\n0.samples 100:{at}:100\n1.uuid GPU-b\n1.energy \
             {}\n1.samples 200:{at}:50\n1.load 37\n1.memory 85899345920:3221225472\n2.uuid GPU-c\n2.energy 5\n2.samples -\n",
            2 * first
        )
    };
    let fake = Fake::new(&state(1_000, 1));
    let base = Instant::now();
    let now = Cell::new(Duration::ZERO);
    let clock = || base + now.get();
    let mut window = GpuWindow::open(fake.present(), None, &clock, boot, &mut who);
    for step in 1..=20u64 {
        now.set(Duration::from_millis(step * 100));
        fake.answers(&state(1_000 + step * 1_000, 1 + step));
        window.sample(&clock, &mut who);
    }
    window.end(&clock, &mut who);
    let mut sleep = |pause| now.set(now.get() + pause);
    let (gpus, excluded) = window.close(Duration::from_secs(2), &clock, &mut sleep, &mut who);
    let energies: Vec<_> =
        gpus.iter().flat_map(|gpu| &gpu.domain).map(|gpu| joules(gpu.energy.energy)).collect();
    assert_eq!(energies, [20.0, 40.0]);
    assert_eq!(
        gpus.iter().map(|gpu| gpu.name.as_str()).collect::<Vec<_>>(),
        ["gpu-0", "gpu-1", "gpu-2"]
    );
    assert_eq!(gpus[0].load.utilisation_percent, None, "a driver that does not tell");
    let told = gpus[1].load;
    assert_eq!((told.utilisation_percent, told.memory_used_bytes), (Some(37), Some(3 << 30)));
    assert_eq!(told.memory_total_bytes, Some(80 << 30));
    let mut gpus = gpus.into_iter().map(|gpu| gpu.used);
    assert!((gpus.next().unwrap().parts[&Whose::Workload] - 1.0).abs() < 1e-6);
    assert!((gpus.next().unwrap().parts[&Whose::Other] - 0.5).abs() < 1e-6);
    let excluded: Vec<_> = excluded.iter().map(|gpu| (gpu.name.as_str(), gpu.reason)).collect();
    assert_eq!(excluded, [("gpu-2", Exclusion::Stuck)]);
}

/// 60 W for 1.5 s while the counter rests: 90 J.
#[test]
fn a_gpu_whose_counter_rests_beside_power_is_estimated_by_its_power() {
    let state = "count 1\n0.uuid GPU-x\n0.energy 7000\n0.power 60000\n0.samples -\n";
    let fake = Fake::new(state);
    let base = Instant::now();
    let now = Cell::new(Duration::ZERO);
    let clock = || base + now.get();
    let mut window = GpuWindow::open(fake.present(), None, &clock, boot, &mut who);
    for _ in 0..15 {
        now.set(now.get() + Duration::from_millis(100));
        fake.passes(Duration::from_millis(100));
        window.sample(&clock, &mut who);
    }
    window.end(&clock, &mut who);
    let mut sleep = |pause| now.set(now.get() + pause);
    let (gpus, excluded) = window.close(Duration::from_millis(1500), &clock, &mut sleep, &mut who);
    assert_eq!(excluded, []);
    let energy = &gpus[0].domain.as_ref().unwrap().energy;
    assert!((joules(energy.energy) - 90.0).abs() < 0.01, "{energy:?}");
    assert!(energy.low <= energy.energy && energy.energy <= energy.high, "{energy:?}");
    assert!(energy.estimated);
}

/// A second from 100 W to 200 W and one back: 300 J, and 50 J more or less in each (see `nvml`).
#[test]
fn a_gpu_without_a_counter_is_estimated_within_what_its_power_leaves_open() {
    let state = |mw: u64| format!("count 1\n0.uuid GPU-old\n0.power {mw}\n0.samples -\n");
    let fake = Fake::new(&state(100_000));
    let base = Instant::now();
    let now = Cell::new(Duration::ZERO);
    let clock = || base + now.get();
    let mut window = GpuWindow::open(fake.present(), None, &clock, boot, &mut who);
    for mw in [200_000, 100_000] {
        now.set(now.get() + Duration::from_secs(1));
        fake.passes(Duration::from_secs(1));
        fake.answers(&state(mw));
        window.sample(&clock, &mut who);
    }
    window.end(&clock, &mut who);
    let mut sleep = |_| panic!("there is no step to wait for");
    let (gpus, _) = window.close(Duration::from_secs(2), &clock, &mut sleep, &mut who);
    let energy = &gpus[0].domain.as_ref().unwrap().energy;
    let found = [energy.low, energy.energy, energy.high].map(joules);
    assert_eq!((found, energy.estimated), ([200.0, 300.0, 400.0], true));
}

#[test]
fn what_comes_after_the_end_is_nobodys() {
    let script = Script::new().then(20, 300, "0.samples 100:@:100\n0.processes 100\n");
    let gpu = script.play_then("0.samples 200:@:100\n0.processes 200\n");
    assert_used(&gpu, [1.0, 0.0, 0.0]);
}

/// The driver tells of the command's first process when it has gone.
#[test]
fn a_process_that_was_announced_need_not_be_seen_alive() {
    let fake = Fake::new(&answers(0, 0, "0.samples -\n"));
    let base = Instant::now();
    let now = Cell::new(Duration::ZERO);
    let clock = || base + now.get();
    let gone = &mut |_| None;
    let mut window = GpuWindow::open(fake.present(), None, &clock, boot, gone);
    window.expect(OURS, Whose::Workload);
    now.set(Duration::from_millis(500));
    fake.answers(&answers(150_000, 1, "0.samples 100:@:100\n"));
    window.end(&clock, gone);
    let (gpus, _) = window.cut(&clock, gone);
    let used = GpuUse::from(&gpus[0].used);
    assert!((used.workload - 1.0).abs() < 1e-9, "{used:?}");
}

/// 30 ms at 300 W, of which the counter shows nothing until its step of 30 J at 80 ms.
#[test]
fn a_window_shorter_than_a_step_is_interpolated_over_the_counters_period() {
    let fake = Fake::new(&answers(0, 0, "0.samples -\n"));
    let base = Instant::now();
    let now = Cell::new(Duration::ZERO);
    let clock = || base + now.get();
    let mut window = GpuWindow::open(fake.present(), None, &clock, boot, &mut who);
    now.set(Duration::from_millis(30));
    window.end(&clock, &mut who);
    let mut sleep = |pause| {
        now.set(now.get() + pause);
        if now.get() >= Duration::from_millis(80) {
            fake.answers(&answers(30_000, 0, "0.samples -\n"));
        }
    };
    let (gpus, _) = window.close(Duration::from_millis(30), &clock, &mut sleep, &mut who);
    let energy = &gpus[0].domain.as_ref().unwrap().energy;
    assert!((joules(energy.energy) - 9.0).abs() < 1e-6 && energy.estimated, "{energy:?}");
    assert_eq!((energy.low, energy.high), (Microjoules::ZERO, Microjoules::new(30_000_000)));
}

/// Windows one after the other, each process an owner: 100 W at full use, then 300 W at half of it.
#[test]
fn windows_that_follow_each_other_sum_and_share_by_what_was_told_in_each() {
    let fake = Fake::new(&answers(0, 0, "0.samples -\n"));
    let base = Instant::now();
    let now = Cell::new(Duration::ZERO);
    let clock = || base + now.get();
    let each = &mut |pid: u32| Some(pid);
    let mut window = GpuWindow::open(fake.present(), None, &clock, boot, each);
    let mut cut = |ms: u64, energy: u64, told: &str| {
        now.set(Duration::from_millis(ms));
        fake.answers(&answers(energy, ms * 1000, told));
        let gpu = window.cut(&clock, each).0.remove(0);
        let energy = gpu.domain.map(|domain| joules(domain.energy.energy).round());
        let part = 100.0 * gpu.used.parts.get(&5).copied().unwrap_or(0.0);
        (energy, (part.round(), gpu.used.unknown))
    };
    assert_eq!(cut(500, 0, "0.samples -\n").0, None, "it has not moved yet");
    assert_eq!(cut(1000, 100_000, "0.samples 5:@:100\n"), (Some(100.0), (100.0, 0.0)));
    assert_eq!(cut(2000, 400_000, "0.samples 5:@:50\n"), (Some(300.0), (50.0, 0.0)));
    // The driver's last word holds for two seconds; then nobody was there.
    assert_eq!(cut(3900, 500_000, "0.samples -\n"), (Some(100.0), (50.0, 0.0)));
    assert_eq!(cut(4100, 550_000, "0.samples -\n"), (Some(50.0), (0.0, 0.0)));
    // Two that filled it each, at once.
    assert_eq!(cut(5000, 600_000, "0.samples 5:@:100,6:@:100\n"), (Some(50.0), (50.0, 0.0)));
}
