//! Windows measured with a governor's totals, against a governor whose every snapshot is written by
//! hand.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixListener;
use std::time::Duration;

use carbon_ops_meter::accumulator::GapReason;
use carbon_ops_meter::client::{ClientError, Governor};
use carbon_ops_meter::clock::{EpochStart, Moment, UnixTime};
use carbon_ops_meter::governed::{GovernedWindow, Unserved};
use carbon_ops_meter::protocol::snapshot_line;
use carbon_ops_meter::sensor::{Excluded, Exclusion, Kind};
use carbon_ops_meter::snapshot::{DomainTotal, Snapshot, Source, Text};
use carbon_ops_meter::window::{Counted, Domain};
use carbon_ops_units::{Microjoules, Watts};

const PERIOD: u64 = 100;

fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

fn domain(name: &str, microjoules: u64) -> DomainTotal {
    let kind = if name == "psys" { Kind::Psys } else { Kind::Package };
    DomainTotal {
        name: Text::new(name),
        key: Text::new(&format!("{name}:intel-rapl:0")),
        kind,
        source: Source::Sysfs,
        excluded: (name == "psys").then_some(Exclusion::OverlapsPackage),
        total: Microjoules::new(microjoules),
        delta: Microjoules::ZERO,
        epoch: EpochStart::from_millis(500),
        wraps: 0,
        gaps: 0,
        gap_most: Microjoules::ZERO,
        gap_time: Duration::ZERO,
        skipped: 0,
        read_at: Moment::default(),
        stale: false,
        stuck: false,
        exact: true,
        lattice: true,
        ceiling: Watts::new(2000.0).unwrap(),
        likely: Watts::new(260.0).unwrap(),
    }
}

/// A sample at a time in ms, of a package with so many µJ and a platform with twice as many. The
/// machine was suspended for a second before.
fn sample(at: u64, microjoules: u64) -> Snapshot {
    Snapshot {
        boot_id: [1; 16],
        seq: at / PERIOD,
        at: Moment::from_nanos((at + 1000) * 1_000_000),
        monotonic: ms(at),
        unix: UnixTime::new(Duration::from_secs(1_800_000_000) + ms(at)),
        interval: ms(PERIOD),
        quantum: Microjoules::new(10_000),
        domains: vec![domain("package-0", microjoules), domain("psys", 2 * microjoules)],
        ..Snapshot::default()
    }
}

/// What it says that it could not read.
const NOT_COUNTED: &str = r#"{"status":"ok","topology":{"not_counted":[
    {"name":"psys","zone":"intel-rapl:2","reason":"overlaps_package"},
    {"name":"package-1","zone":"intel-rapl:1","reason":"permission_denied"}]}}"#;

/// A governor that answers with these, one per request, and then hangs up.
fn governor(snapshots: Vec<Snapshot>) -> (tempfile::TempDir, Governor, Snapshot) {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("socket");
    let listener = UnixListener::bind(&socket).unwrap();
    std::thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        let mut requests = BufReader::new(stream.try_clone().unwrap()).lines();
        for snapshot in snapshots {
            let mut request = requests.next();
            if matches!(&request, Some(Ok(line)) if line.contains("topology")) {
                let line = NOT_COUNTED.replace('\n', "") + "\n";
                (&stream).write_all(line.as_bytes()).unwrap();
                request = requests.next();
            }
            if request.is_none() {
                return;
            }
            (&stream).write_all(&snapshot_line(&snapshot, None)).unwrap();
        }
    });
    let (governor, first) = Governor::connect(&socket, Duration::from_secs(5)).unwrap();
    (dir, governor, first)
}

/// Measures from `start` to `end` (ms) with a governor that shows `before` first, then `first` when
/// it is looked at in between, `last` at the end, and `after` from then on.
fn measure(start: u64, end: u64, snapshots: &[Snapshot; 4]) -> Result<Counted, Vec<Excluded>> {
    let (_dir, governor, before) = governor(snapshots.to_vec());
    let mut window = GovernedWindow::open(governor, before, ms(start)).unwrap();
    assert!(window.due().unwrap() > ms(start));
    window.sample(ms(start + PERIOD));
    window.end(ms(end)).unwrap();
    window.close(&mut |_| {})
}

fn package(counted: &Counted) -> &Domain {
    assert_eq!(counted.domains.len(), 1, "psys must not be summed");
    &counted.domains[0]
}

#[test]
fn energy_is_taken_at_the_very_ends_of_the_window() {
    // 50 W; samples at 1000, 1100, 2900 and 3000 ms; the window is 1030 to 2970 ms.
    let at = |ms: u64| sample(ms, 7_000_000 + ms * 50_000);
    let counted = measure(1030, 2970, &[at(1000), at(1100), at(2900), at(3000)]).unwrap();
    let package = package(&counted);
    assert_eq!(counted.elapsed, ms(1940));
    assert_eq!(package.energy.energy, Microjoules::new(97_000_000));
    // Between the inner two samples and the outer two, and a quantum.
    assert_eq!(package.energy.low, Microjoules::new(90_000_000 - 10_000));
    assert_eq!(package.energy.high, Microjoules::new(100_000_000 + 10_000));
    assert_eq!(package.energy.start, Microjoules::new(57_000_000));
    assert_eq!(package.energy.end, Microjoules::new(152_000_000));
    assert!(!package.energy.estimated && package.energy.gaps.is_empty());
    assert_eq!((package.backend, package.zone.as_str()), ("sysfs", "intel-rapl:0"));
    // What no sample has is missing all the same.
    let reasons: Vec<_> = counted.excluded.iter().map(|zone| zone.reason).collect();
    assert_eq!(reasons, [Exclusion::Denied, Exclusion::OverlapsPackage]);
    assert!(!counted.is_measured());
}

/// A second package that stands still is missing, or from some time on a gap.
#[test]
fn a_counter_of_the_governors_that_is_stuck_is_missing() {
    for moved in [0, 5_000_000] {
        let at = |ms: u64| {
            let mut sample = sample(ms, 7_000_000 + ms * 50_000);
            let mut second = domain("package-1", if ms > 1100 { moved } else { 0 });
            second.key = Text::new("package-1:intel-rapl:1");
            second.stuck = ms > 2000;
            sample.domains.push(second);
            sample
        };
        let counted = measure(1030, 4970, &[at(1000), at(1100), at(4900), at(5000)]).unwrap();
        let stuck = counted.excluded.iter().filter(|zone| zone.reason == Exclusion::Stuck).count();
        assert_eq!((stuck, counted.domains.len()), if moved == 0 { (1, 1) } else { (0, 2) });
        if moved > 0 {
            let energy = &counted.domains[1].energy;
            assert_eq!(energy.gaps[0].reason, GapReason::Stuck);
            assert!(energy.estimated && energy.high.as_joules() > 260.0, "{energy:?}");
        }
    }
}

/// Whether two dies are one is known when they have moved.
#[test]
fn a_twin_counts_as_the_last_sample_has_it() {
    for (before, after) in [(true, false), (false, true), (true, true)] {
        let at = |ms: u64| {
            let mut sample = sample(ms, 7_000_000 + ms * 50_000);
            let mut second = domain("package-0-die-1", 7_000_000 + ms * 50_000);
            second.key = Text::new("package-0-die-1:intel-rapl:1");
            let is_counted = if ms < 4000 { before } else { after };
            second.excluded = (!is_counted).then_some(Exclusion::MirroredDie);
            sample.domains.push(second);
            sample
        };
        let counted = measure(1030, 4970, &[at(1000), at(1100), at(4900), at(5000)]).unwrap();
        assert_eq!(counted.domains.len(), if after { 2 } else { 1 });
    }
}

#[test]
fn a_window_between_two_samples_is_interpolated_and_says_so() {
    let (before, after) = (sample(1000, 0), sample(1100, 5_000_000));
    let (_dir, governor, first) = governor(vec![before.clone(), before, after]);
    let mut window = GovernedWindow::open(governor, first, ms(1020)).unwrap();
    window.end(ms(1050)).unwrap();
    let counted = window.close(&mut |_| {}).unwrap();
    let energy = &package(&counted).energy;
    assert_eq!(energy.energy, Microjoules::new(1_500_000));
    assert!(energy.estimated);
    assert_eq!((energy.low, energy.high), (Microjoules::ZERO, Microjoules::new(5_010_000)));
}

#[test]
fn filtering_is_told_when_a_sample_says_yes_and_only_then() {
    for (at_start, at_end, expected) in [
        (Some(true), Some(true), true),
        // Software may set the register meanwhile.
        (Some(false), Some(true), true),
        (Some(false), Some(false), false),
        (None, None, false),
    ] {
        let before = Snapshot { filtering: at_start, ..sample(1000, 0) };
        let last = Snapshot { filtering: at_end, ..sample(1100, 5_000_000) };
        let (_dir, governor, first) = governor(vec![before, last]);
        let mut window = GovernedWindow::open(governor, first, ms(1020)).unwrap();
        assert_eq!(window.is_filtered(), at_start == Some(true));
        window.end(ms(1150)).unwrap();
        assert_eq!(window.is_filtered(), expected, "{at_start:?} {at_end:?}");
    }
}

#[test]
fn bounds_hold_whatever_the_power_does_between_samples() {
    // All of the first interval's energy falls before the window, all of the last one's after it.
    let samples = [
        sample(1000, 0),
        sample(1100, 20_000_000),
        sample(2000, 30_000_000),
        sample(2100, 55_000_000),
    ];
    let energy = package(&measure(1099, 2001, &samples).unwrap()).energy.clone();
    for truth in [10_000_000, 30_000_000, 35_000_000, 55_000_000] {
        assert!(
            (energy.low..=energy.high).contains(&Microjoules::new(truth)),
            "{truth} {energy:?}"
        );
    }
}

#[test]
fn what_the_governor_lost_is_a_gap_with_its_bound() {
    let lossy = |at: u64, microjoules: u64| {
        let mut sample = sample(at, microjoules);
        let domain = &mut sample.domains[0];
        // From 1500 to 2000 ms nothing was counted; boot time is a second ahead.
        domain.epoch = EpochStart::from_millis(3000);
        domain.gaps = 1;
        domain.gap_time = ms(500);
        domain.gap_most = Microjoules::new(130_000_000);
        sample
    };
    // 40 W for half a second before and one second after.
    let samples = [
        sample(1000, 0),
        sample(1100, 4_000_000),
        lossy(3000, 60_000_000),
        lossy(3100, 64_000_000),
    ];
    let counted = measure(1000, 3000, &samples).unwrap();
    let energy = &package(&counted).energy;
    assert_eq!(energy.energy, Microjoules::new(80_000_000));
    assert!(energy.estimated);
    assert!(
        energy.high >= Microjoules::new(190_000_000) && energy.low <= Microjoules::new(60_000_000)
    );
    let gap = energy.gaps[0];
    assert_eq!(gap.reason, GapReason::NewEpoch);
    assert_eq!((gap.offset, gap.duration, gap.bridged), (ms(500), ms(500), false));
    assert!((counted.coverage() - 0.75).abs() < 1e-9);
}

#[test]
fn a_governor_that_forgot_the_start_measures_nothing() {
    let forgot = |at| Snapshot { boot_id: [2; 16], ..sample(at, 100_000_000) };
    assert!(
        measure(1000, 3000, &[sample(950, 0), sample(1010, 1), forgot(3000), forgot(3100)])
            .is_err()
    );
    let fell = [sample(950, 5_000_000), sample(1010, 5_000_001), sample(3000, 1), sample(3100, 2)];
    assert!(measure(1000, 3000, &fell).is_err());
}

#[test]
fn a_governor_that_is_gone_at_the_end_is_told() {
    let (_dir, governor, first) = governor(vec![sample(1000, 0)]);
    let mut window = GovernedWindow::open(governor, first, ms(1020)).unwrap();
    assert!(matches!(
        window.end(ms(2000)),
        Err(ClientError::Absent { .. } | ClientError::Broken { .. })
    ));
    assert!(window.close(&mut |_| {}).is_err());
}

#[test]
fn a_governor_without_a_package_does_not_know_the_host() {
    let mut only_psys = sample(1000, 0);
    only_psys.domains.remove(0);
    let (_dir, governor, first) = governor(vec![only_psys]);
    let refused = GovernedWindow::open(governor, first, ms(1020)).unwrap_err();
    let Unserved::NoPackage(zones) = refused else { panic!("{refused}") };
    assert_eq!(zones[0].name, "psys");
}

/// On a busy machine a counter is read well after its sample was begun: its total is of the moment of the reading, of
/// which the last one may even lie beyond the end.
#[test]
fn a_total_is_of_the_moment_at_which_it_was_read() {
    // 50 W; the machine had slept for a second before.
    let at = |begun: u64, late: u64| {
        let mut sample = sample(begun, 7_000_000 + (begun + late) * 50_000);
        sample.domains[0].read_at = Moment::from_nanos((begun + late + 1000) * 1_000_000);
        sample.domains[0].delta = Microjoules::new(5_000_000);
        sample
    };
    for late in [[0, 0, 0, 0], [20, 70, 5, 30], [0, 40, 90, 0], [10, 0, 65, 80]] {
        let begun = [1000, 1100, 2900, 3000];
        let samples = [0, 1, 2, 3].map(|place| at(begun[place], late[place]));
        let counted = measure(1030, 2970, &samples).unwrap();
        let energy = &package(&counted).energy;
        assert_eq!(energy.energy, Microjoules::new(97_000_000), "{late:?}");
        assert!(energy.low <= energy.energy && energy.energy <= energy.high, "{energy:?}");
        let (_dir, governor, before) = governor(samples.to_vec());
        let mut window = GovernedWindow::open(governor, before, ms(1030)).unwrap();
        window.sample(ms(1130));
        let cuts = [2970, 3050].map(|end| window.cut(ms(end)).unwrap());
        let energies = cuts.each_ref().map(|cut| package(cut).energy.energy.as_microjoules());
        assert_eq!(energies, [97_000_000, 4_000_000], "{late:?}");
    }
}

/// Windows one after the other, at a power that the samples show late: they sum to the totals, and what
/// no sample carries yet is within the bounds.
#[test]
fn windows_that_follow_each_other_sum_to_the_totals() {
    let at = |ms: u64, uj: u64| {
        let mut sample = sample(ms, uj);
        sample.domains[0].delta = Microjoules::new(5_000_000);
        sample
    };
    // 50 W; the samples are 50 ms old at the cuts, but for the last one, of a governor that fell silent.
    let totals = [50_000_000, 100_000_000, 150_000_000, 150_000_000];
    let mut snapshots = vec![at(950, 0)];
    snapshots.extend((1..).zip(totals).map(|(second, uj)| at(950 + 1000 * second, uj)));
    snapshots[4] = snapshots[3].clone();
    let (_dir, governor, before) = governor(snapshots);
    let mut window = GovernedWindow::open(governor, before, ms(1000)).unwrap();
    let cuts = [2000, 3000, 4000, 5000].map(|end| window.cut(ms(end)).unwrap());
    let joules = cuts.each_ref().map(|cut| package(cut).energy.energy.as_joules());
    assert!((joules[0] - 50.0).abs() < 1e-6 && (joules[1] - 50.0).abs() < 1e-6, "{joules:?}");
    assert_eq!(package(&cuts[0]).energy.low, Microjoules::new(45_000_000 - 10_000));
    assert_eq!(package(&cuts[0]).energy.high, Microjoules::new(55_000_000 + 10_000));
    assert!(!package(&cuts[0]).energy.estimated);
    let silent = &package(&cuts[3]).energy;
    assert_eq!(silent.gaps[0].reason, GapReason::Unreadable);
    assert!(silent.estimated && silent.filled > Microjoules::new(40_000_000), "{silent:?}");
    assert!((joules[3] - 50.0).abs() < 3.0, "{joules:?}");
}

/// A governor that begins anew loses the window, whose energy is filled in, and goes on.
#[test]
fn a_governor_that_begins_anew_is_a_gap_of_one_window() {
    let snapshots = [(1000, 0), (2000, 50), (3000, 10), (4000, 60)];
    let mut snapshots = snapshots.map(|(at, joules)| sample(at, joules * 1_000_000)).to_vec();
    snapshots[2].boot_id = [2; 16];
    snapshots[3].boot_id = [2; 16];
    let (_dir, governor, before) = governor(snapshots);
    let mut window = GovernedWindow::open(governor, before, ms(1000)).unwrap();
    let cuts = [2000, 3000, 4000].map(|end| window.cut(ms(end)).unwrap());
    let energies = cuts.each_ref().map(|cut| package(cut).energy.energy.as_microjoules());
    assert_eq!(energies, [50_000_000; 3]);
    assert_eq!(package(&cuts[1]).energy.gaps[0].reason, GapReason::NewEpoch);
}

/// A sampler that hangs leaves its last sample, which its governor goes on serving.
#[test]
fn a_snapshot_that_is_old_opens_no_window_whichever_way_it_came() {
    let (_dir, governor, first) = governor(vec![sample(1000, 0)]);
    let limit = first.interval * 4 + ms(500);
    assert!(!first.is_stale(ms(1000) + limit) && first.is_stale(ms(1001) + limit));
    let refused = GovernedWindow::open(governor, first, ms(60_000)).unwrap_err();
    assert_eq!(refused, Unserved::Stale(ms(59_000)));
}

/// And of a window that was open it is a gap up to the end, and not the end of the power.
#[test]
fn a_governor_that_hangs_within_a_window_leaves_a_gap() {
    let at = |ms: u64| sample(ms, 7_000_000 + ms * 50_000);
    let counted = measure(1030, 5000, &[at(1000), at(1100), at(3000), at(3000)]).unwrap();
    let energy = &package(&counted).energy;
    assert_eq!(energy.gaps[0].duration, ms(2000));
    assert!(energy.estimated && energy.low < energy.high);
    assert!(energy.high.as_joules() >= 198.5, "{energy:?}");
}
