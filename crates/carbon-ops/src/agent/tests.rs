//! Schedules of ticks, kills, clock steps and ledgers that fail, held against the truth.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use carbon_ops_record::{
    AttributionMode, Decimal, Domain, Input, Part, Quality, Sensor, SensorStatus, Unit,
};
use proptest::prelude::*;

use super::*;
use crate::env::Env;
use crate::host::Host;
use crate::price::{self, Ids, Shared};
use crate::settings::{Overrides, Settings};
use crate::sources::Name;

const MINUTE: i64 = 60_000_000;

/// 2026-03-01T00:00Z.
const START: i64 = 1_772_323_200_000_000;

#[expect(clippy::unnecessary_wraps, reason = "as the randomness of a system")]
fn random() -> Result<[u8; 16]> {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let mut id = [0; 16];
    id[..8].copy_from_slice(&NEXT.fetch_add(1, Ordering::Relaxed).to_be_bytes());
    Ok(id)
}

fn machine() -> Host {
    let boot_id = Some("b0".to_owned());
    Host { id: "00".into(), id_from_name: false, boot_id, personal: false, cloud: None }
}

fn options() -> Options {
    let interval = Duration::from_secs(900);
    let idle_policy = IdlePolicy::Residual;
    Options { interval, min_share: 0.01, idle_policy, records: true }
}

/// A ledger in memory, which fails after so many appends: what it was appending is stored, or not.
#[derive(Default)]
struct Memory {
    records: Vec<Record>,
    fails: Option<(usize, bool)>,
}

impl Book for Memory {
    fn known(&mut self, ids: &BTreeSet<&str>) -> Result<BTreeSet<String>> {
        let known = self.records.iter().map(|record| record.record_id.clone());
        Ok(known.filter(|id| ids.contains(id.as_str())).collect())
    }

    fn append(&mut self, record: &Record) -> Result<()> {
        if let Some((after, stored)) = &mut self.fails {
            if *after == 0 {
                if *stored {
                    self.records.push(record.clone());
                }
                self.fails = None;
                anyhow::bail!("no room");
            }
            *after -= 1;
        }
        self.records.push(record.clone());
        Ok(())
    }
}

/// A host with a counter that never falls, and a clock.
struct World {
    now_us: i64,
    total_uj: u64,
    /// The total at which the agent last looked.
    seen_uj: u64,
    /// The counter began anew since then.
    is_anew: bool,
    epoch: u64,
    backend: &'static str,
    settings: Settings,
}

/// What happens.
#[derive(Debug, Clone)]
enum Event {
    /// So many seconds in which units use so much.
    Tick(i64, Vec<(u8, u64)>, u64, u64),
    /// The agent is killed and started again; meanwhile so much is used.
    Kill(u64),
    /// The agent is killed in a tick, after what waits was saved and before what is open was.
    Torn(i64),
    /// The records of intervals are written; the ledger fails after so many, having stored the last one or not; and
    /// the agent is killed in the midst of it, or not.
    Write(Option<(usize, bool)>, bool),
    /// The clock is set.
    Step(i64),
    /// The counter begins anew.
    Epoch,
}

impl World {
    fn new() -> Self {
        let settings = Settings::resolve(&Env::fake(&[]), None, &Overrides::default()).unwrap();
        Self {
            now_us: START,
            total_uj: 0,
            seen_uj: 0,
            is_anew: false,
            epoch: 1,
            backend: "governor",
            settings,
        }
    }

    /// An account of the time since the last look.
    fn account(&mut self, seconds: i64, units: &[(u8, u64)], idle: u64, rest: u64) -> Account {
        let start = self.now_us;
        self.now_us += seconds * 1_000_000;
        let host_uj = units.iter().map(|(_, energy)| energy).sum::<u64>() + idle + rest;
        let start_uj = self.total_uj;
        self.total_uj += host_uj;
        (self.seen_uj, self.is_anew) = (self.total_uj, false);
        let at = |us| Timestamp::from_microsecond(us).unwrap();
        let used = |energy_uj, name: &str| Used {
            energy_uj,
            cpu: Duration::from_millis(energy_uj % 1000),
            factors: vec![
                Input::factor("meter", 0.05, "prior").shared("meter:00:x"),
                Input::factor(name, 0.2, "prior"),
            ],
            carbon: None,
        };
        let mut merged = BTreeMap::new();
        for (unit, energy) in units {
            *merged.entry(unit).or_insert(0) += energy;
        }
        let unit = |number: &u8| {
            let ids = BTreeMap::from([("job".to_owned(), number.to_string())]);
            Arc::new(Unit { ids, kind: "slurm".into() })
        };
        Account {
            start: at(start),
            end: at(self.now_us),
            elapsed: Duration::from_secs(seconds.unsigned_abs()),
            host_uj,
            units: merged
                .iter()
                .map(|(number, energy)| (unit(number), used(*energy, "ends")))
                .collect(),
            idle: used(idle, "idle"),
            rest: used(rest, "attribution"),
            attribution_mode: AttributionMode::GovernorCpuTime,
            domains: vec![Domain {
                adjust_uj: None,
                backend: self.backend.into(),
                delta_uj: host_uj,
                end_uj: Some(Decimal(self.total_uj)),
                epoch: Some(Decimal(self.epoch)),
                name: "package-0".into(),
                start_uj: Some(Decimal(start_uj)),
                wraps: Some(0),
            }],
            busy: Duration::from_secs(20),
            unnamed: Duration::from_millis(3),
            cpus: 4,
            coverage_pct: 100.0,
            excluded: Vec::new(),
            gaps: Vec::new(),
            sensors: vec![Sensor {
                name: "governor".into(),
                reason: None,
                status: SensorStatus::Used,
            }],
            notes: Vec::new(),
            quality: Quality::Measured,
            simulated: false,
        }
    }

    fn agent(folder: &Path) -> Agent {
        let folder = Folder::take(folder).unwrap();
        let (agent, notices) = Agent::open(folder, options(), &machine(), random).unwrap();
        assert!(notices.is_empty(), "{notices:?}");
        agent
    }

    fn write(&self, agent: &mut Agent, book: &mut Memory) -> Result<u64> {
        let mut price = |measured: &[Measured], id| {
            let (shared, ids) = (Shared::default(), Ids::new(id));
            let names = [Name::Static];
            let settings = &self.settings;
            let priced =
                price::measured_together(measured, shared, settings, &names, machine(), ids)?;
            Ok(priced.0)
        };
        agent.write(&mut price, book)
    }
}

/// The records by their intervals: start, end, and the totals there.
fn by_interval(records: &[Record]) -> BTreeMap<(u64, u64, u64), Vec<&Record>> {
    let mut all: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for record in records {
        let domain = &record.measurement.as_ref().unwrap().domains[0];
        let [epoch, start, end] =
            [domain.epoch, domain.start_uj, domain.end_uj].map(|total| total.unwrap().0);
        all.entry((epoch, start, end)).or_default().push(record);
    }
    all
}

/// Records of an interval sum to the host, one ends where the next starts, and none is there twice.
fn adds_up(records: &[Record], world: &World, lost_uj: u64) {
    let ids: BTreeSet<_> = records.iter().map(|record| &record.record_id).collect();
    assert_eq!(ids.len(), records.len(), "each once");
    let (mut at, mut sum) = (None, 0);
    for ((epoch, start, end), parts) in by_interval(records) {
        let measured = |record: &&Record| record.measurement.clone().unwrap();
        let host_uj = measured(&parts[0]).energy.host_uj;
        let of_parts: u64 = parts.iter().map(|record| measured(record).part_uj()).sum();
        assert_eq!((of_parts, end - start), (host_uj, host_uj));
        let continues = at.is_none_or(|before| before == (epoch, start));
        let gap = parts[0].notes.contains(&Note::GapBefore);
        assert!(continues || gap, "{at:?} {epoch} {start}");
        (at, sum) = (Some((epoch, end)), sum + host_uj);
        for record in parts {
            record.check().unwrap();
        }
    }
    assert_eq!(sum + lost_uj, world.total_uj);
}

#[test]
fn an_interval_ends_by_the_clock_and_its_records_sum_to_the_host() {
    let dir = tempfile::tempdir().unwrap();
    let (mut world, mut book) = (World::new(), Memory::default());
    let mut agent = World::agent(dir.path());
    world.now_us += 5 * MINUTE;
    assert_eq!(
        agent.due(Timestamp::from_microsecond(world.now_us).unwrap()).as_microsecond(),
        START + 15 * MINUTE
    );
    // 10 minutes up to the quarter, then a whole one.
    for _ in 0..10 {
        let ended = agent.tick(&world.account(60, &[(1, 600), (2, 3), (3, 2)], 300, 95)).unwrap();
        assert_eq!(ended, world.now_us == START + 15 * MINUTE);
    }
    assert_eq!(world.write(&mut agent, &mut book).unwrap(), 4);
    // What is below a hundredth is one record of its kind, with their count.
    let units: Vec<_> =
        book.records.iter().map(|it| it.unit.as_ref().map(ToString::to_string)).collect();
    assert_eq!(units, [Some("slurm: units=2".into()), Some("slurm: job=1".into()), None, None]);
    let parts: Vec<_> =
        book.records.iter().map(|it| it.measurement.as_ref().unwrap().part).collect();
    assert_eq!(parts, [Part::Workload, Part::Workload, Part::Others, Part::Idle]);
    for _ in 0..15 {
        agent.tick(&world.account(60, &[(1, 600)], 300, 100)).unwrap();
    }
    agent.tick(&world.account(7, &[(1, 60)], 30, 10)).unwrap();
    agent.stop().unwrap();
    world.write(&mut agent, &mut book).unwrap();
    adds_up(&book.records, &world, 0);
    assert_eq!(by_interval(&book.records).len(), 3);
    assert_eq!(agent.totals().host_uj(), world.total_uj);
}

#[test]
fn what_nobody_saw_is_counted_by_the_governor_and_named() {
    let dir = tempfile::tempdir().unwrap();
    let (mut world, mut book) = (World::new(), Memory::default());
    let mut agent = World::agent(dir.path());
    agent.tick(&world.account(60, &[(1, 1000)], 300, 100)).unwrap();
    drop(agent);
    (world.total_uj, world.now_us) = (world.total_uj + 700, world.now_us + MINUTE);
    let mut agent = World::agent(dir.path());
    agent.tick(&world.account(60, &[(1, 1000)], 300, 100)).unwrap();
    agent.stop().unwrap();
    world.write(&mut agent, &mut book).unwrap();
    adds_up(&book.records, &world, 0);
    // As much of it idle as in the minute before.
    let energy = book.records[0].measurement.as_ref().unwrap().energy;
    assert_eq!((energy.idle_uj, energy.workload_uj, energy.host_uj), (900, 2000, 3500));
    assert!(book.records[0].notes.contains(&Note::Unwatched));
}

/// A counter of the process's own begins anew with it, and so does that of another boot or epoch.
#[test]
fn what_cannot_be_known_is_a_gap_that_the_next_record_tells() {
    for (backend, epoch, boot) in [("sysfs", 2, "b0"), ("msr", 2, "b0"), ("msr", 1, "b1")] {
        let dir = tempfile::tempdir().unwrap();
        let (mut world, mut book) = (World::new(), Memory::default());
        world.backend = backend;
        let mut agent = World::agent(dir.path());
        agent.tick(&world.account(60, &[(1, 1000)], 300, 100)).unwrap();
        drop(agent);
        let lost = 700;
        (world.total_uj, world.now_us) = (world.total_uj + lost, world.now_us + MINUTE);
        world.epoch = epoch;
        let host = Host { boot_id: Some(boot.into()), ..machine() };
        let folder = Folder::take(dir.path()).unwrap();
        let (mut agent, _) = Agent::open(folder, options(), &host, random).unwrap();
        agent.tick(&world.account(60, &[(1, 1000)], 300, 100)).unwrap();
        agent.stop().unwrap();
        world.write(&mut agent, &mut book).unwrap();
        adds_up(&book.records, &world, lost);
        assert_eq!(agent.totals().gaps, 1, "{backend} {epoch} {boot}");
    }
}

/// A counter that an agent reads for itself begins anew with it; the governor's beside it goes on.
#[test]
fn what_is_known_of_some_counters_is_kept_where_others_begin_anew() {
    let dir = tempfile::tempdir().unwrap();
    let (mut world, mut book) = (World::new(), Memory::default());
    let gpu = |account: &mut Account, epoch, energy_uj: u64| {
        let mut domain = account.domains[0].clone();
        (domain.name, domain.backend) = ("gpu-0".into(), "nvml".into());
        domain.epoch = Some(Decimal(epoch));
        (domain.start_uj, domain.end_uj) = (Some(Decimal(0)), Some(Decimal(energy_uj)));
        domain.delta_uj = energy_uj;
        account.domains.push(domain);
        account.host_uj += energy_uj;
        account.rest.energy_uj += energy_uj;
    };
    let mut agent = World::agent(dir.path());
    let mut first = world.account(60, &[(1, 1000)], 300, 100);
    gpu(&mut first, 7, 50);
    agent.tick(&first).unwrap();
    drop(agent);
    (world.total_uj, world.now_us) = (world.total_uj + 700, world.now_us + MINUTE);
    let mut agent = World::agent(dir.path());
    let mut second = world.account(60, &[(1, 1000)], 300, 100);
    gpu(&mut second, 8, 60);
    agent.tick(&second).unwrap();
    agent.stop().unwrap();
    world.write(&mut agent, &mut book).unwrap();
    let hosts: Vec<_> = by_interval(&book.records)
        .values()
        .map(|parts| parts[0].measurement.as_ref().unwrap().energy.host_uj)
        .collect();
    assert_eq!(hosts, [1450, 700, 1460]);
}

#[test]
fn a_second_agent_is_refused_and_a_state_that_cannot_be_read_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    let folder = Folder::take(dir.path()).unwrap();
    let error = Folder::take(dir.path()).unwrap_err();
    assert!(matches!(error.downcast_ref(), Some(crate::fault::Fault::SecondAgent(_))), "{error:#}");
    // A process that was just forked still has the open file.
    let inherited = folder.lock.try_clone().unwrap();
    drop(folder);
    let folder = Folder::take(dir.path()).unwrap();
    drop(inherited);
    std::fs::write(dir.path().join("state.json"), "{\"version\":1,").unwrap();
    let (mut agent, notices) = Agent::open(folder, options(), &machine(), random).unwrap();
    assert!(notices[0].contains("state.json.unreadable"), "{notices:?}");
    let (mut world, mut book) = (World::new(), Memory::default());
    agent.tick(&world.account(60, &[(1, 1000)], 300, 100)).unwrap();
    agent.stop().unwrap();
    world.write(&mut agent, &mut book).unwrap();
    assert!(book.records.iter().all(|record| record.notes.contains(&Note::GapBefore)));
}

#[test]
fn a_crowd_of_units_is_bounded_and_loses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let mut world = World::new();
    let mut agent = World::agent(dir.path());
    let mut account = world.account(60, &[], 1, 1);
    let unit = |number: usize| {
        let ids = BTreeMap::from([("pod".to_owned(), number.to_string())]);
        Arc::new(Unit { ids, kind: "kubernetes".into() })
    };
    let used = |energy_uj| Used { energy_uj, ..Used::default() };
    account.units =
        (0..3 * UNITS_MAX).map(|number| (unit(number), used(1 + number as u64))).collect();
    let units: u64 = account.units.iter().map(|(_, used)| used.energy_uj).sum();
    account.host_uj += units;
    account.domains[0].delta_uj += units;
    account.domains[0].end_uj = Some(Decimal(account.host_uj));
    agent.tick(&account).unwrap();
    let open = &agent.state.open.as_ref().unwrap().interval;
    assert!(open.units.len() <= UNITS_MAX, "{}", open.units.len());
    assert_eq!(open.units_uj(), units);
    let count = &open.units[&format!("kubernetes {COUNT}")].unit.ids[COUNT];
    assert_eq!(count.parse::<usize>().unwrap() + open.units.len() - 1, 3 * UNITS_MAX);
    let totals = agent.totals();
    assert_eq!(totals.units.len(), TOTALS_MAX);
    let told: u64 = totals.units.values().map(|unit| unit.total.energy_uj).sum();
    assert_eq!(told + totals.more.energy_uj, units);
    // Those that rest for long give their room to a new one, and are told as ended.
    account.units = vec![(unit(usize::MAX), used(7))];
    let looks = 2 * FORGOTTEN_AFTER;
    let mut totals = totals.clone();
    for _ in 0..looks {
        totals.add(&account);
    }
    let sum: u64 = totals.units.values().map(|unit| unit.total.energy_uj).sum();
    assert_eq!(sum + totals.more.energy_uj + totals.ended.energy_uj, units + 7 * looks);
    assert!(totals.units.contains_key(&unit(usize::MAX).to_string()) && totals.ended.energy_uj > 0);
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let units = proptest::collection::vec((0u8..6, 0u64..5_000_000), 0..6);
    let tick = (1i64..300, units, 0u64..9_000_000, 0u64..500_000)
        .prop_map(|(seconds, units, idle, rest)| Event::Tick(seconds, units, idle, rest));
    let fails = proptest::option::of((0usize..5, any::<bool>()));
    let event = prop_oneof![
        8 => tick,
        2 => (0u64..9_000_000).prop_map(Event::Kill),
        1 => (1i64..900).prop_map(Event::Torn),
        2 => (fails, any::<bool>()).prop_map(|(fails, kill)| Event::Write(fails, kill)),
        1 => (-4000i64..4000).prop_map(Event::Step),
        1 => Just(Event::Epoch),
    ];
    proptest::collection::vec(event, 1..60)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Whatever happens: the records sum to the truth, one interval ends where the next starts, none is there twice,
    /// and the totals that are told do not fall.
    #[test]
    fn no_joule_is_lost_or_there_twice(events in events()) {
        let dir = tempfile::tempdir().unwrap();
        let (mut world, mut book, mut lost) = (World::new(), Memory::default(), 0);
        let mut agent = World::agent(dir.path());
        let (mut told, mut torn) = (0, false);
        for event in &events {
            match event {
                Event::Tick(seconds, units, idle, rest) => {
                    agent.tick(&world.account(*seconds, units, *idle, *rest)).unwrap();
                }
                Event::Kill(unwatched) => {
                    drop(agent);
                    world.total_uj += unwatched;
                    world.now_us += 1_000_000;
                    agent = World::agent(dir.path());
                    let is_first = agent.state.open.is_none() && agent.state.last.is_none();
                    if is_first || world.is_anew {
                        // Before the first look of a counter there is nothing to continue.
                        lost += unwatched;
                        world.seen_uj = world.total_uj;
                    }
                }
                Event::Torn(seconds) => {
                    // What was looked at of a counter that has just begun anew is known to nobody then.
                    let is_anew = world.is_anew;
                    let before = std::fs::read(dir.path().join("state.json"));
                    let ended = agent.tick(&world.account(*seconds, &[(1, 77)], 5, 3)).unwrap();
                    drop(agent);
                    // The tick of an interval that goes on is in the file that was not saved.
                    if let (Ok(before), true) = (before, ended && !is_anew) {
                        std::fs::write(dir.path().join("state.json"), before).unwrap();
                        torn = true;
                    }
                    agent = World::agent(dir.path());
                }
                Event::Write(fails, kill) => {
                    book.fails = *fails;
                    let written = world.write(&mut agent, &mut book);
                    book.fails = None;
                    if written.is_err() && *kill {
                        drop(agent);
                        agent = World::agent(dir.path());
                    }
                }
                Event::Step(seconds) => world.now_us += seconds * 1_000_000,
                Event::Epoch => {
                    // What came since the last look is not known to anybody then.
                    lost += world.total_uj - world.seen_uj;
                    world.seen_uj = world.total_uj;
                    world.epoch += 1;
                    world.is_anew = true;
                }
            }
            // Totals that are told may be a tick short after such a kill; records are not.
            prop_assert!(torn || agent.totals().host_uj() >= told);
            told = agent.totals().host_uj();
        }
        agent.tick(&world.account(1, &[(1, 5)], 3, 2)).unwrap();
        agent.stop().unwrap();
        world.write(&mut agent, &mut book).unwrap();
        adds_up(&book.records, &world, lost);
        prop_assert!(torn || agent.totals().host_uj() + lost == world.total_uj);
    }
}

/// Kills, new epochs of the counter and clocks that are set included.
#[test]
fn no_total_falls_over_a_hundred_restarts() {
    let folder = tempfile::TempDir::new().unwrap();
    let (mut world, mut before) = (World::new(), Totals::default());
    for restart in 0..100_u8 {
        let mut agent = World::agent(folder.path());
        match restart % 5 {
            1 => world.epoch += 1,
            2 => world.now_us -= 3 * MINUTE,
            3 => world.total_uj += 12_345,
            _ => {}
        }
        for energy in 0..3 {
            let units = [(restart % 7, 1_000 + energy), (restart, energy)];
            agent.tick(&world.account(5, &units, 50, 7)).unwrap();
            let now = agent.totals().clone();
            let falls = |one: &Total, next: &Total| one.energy_uj > next.energy_uj;
            for (name, energy_uj) in &before.domains {
                assert!(now.domains[name] >= *energy_uj, "{name}");
            }
            for (name, unit) in &before.units {
                assert!(!falls(&unit.total, &now.units[name].total), "{name}");
            }
            for (one, next) in [(&before.idle, &now.idle), (&before.rest, &now.rest)] {
                assert!(!falls(one, next), "{one:?} {next:?}");
            }
            assert!(now.ticks > before.ticks && now.unnamed_ns > before.unnamed_ns);
            assert!(now.gaps >= before.gaps && (restart == 0 || now.since <= before.since));
            let units: u64 = now.units.values().map(|unit| unit.total.energy_uj).sum();
            assert_eq!(now.host_uj(), units + now.idle.energy_uj + now.rest.energy_uj);
            before = now;
        }
    }
    assert_eq!(before.units.len(), 100);
}
