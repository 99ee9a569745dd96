//! The cache: what is asked again and what is not, what survives, and what is told.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use carbon_ops_grid::cache::{Cached, Limits, Mode, Store};
use carbon_ops_grid::{Error, GapReason, Interval, Provider as _, Want};
use serde_json::json;

use crate::fake::api::{electricity_maps, em_row};
use crate::fake::{Reply, World, inventory, shown, span, values};

const DAY: Duration = Duration::from_secs(24 * 3600);

fn world() -> World {
    World::new("2026-06-15T12:00:00Z", electricity_maps)
}

fn old_day() -> Interval {
    span("2026-03-01T00:00Z", "2026-03-02T00:00Z")
}

fn cached(world: &World, store: &Arc<Store>) -> Cached {
    world.cached(world.electricity_maps(), store)
}

/// A file of one hour, 2026-03-01T00:00Z, with a value.
fn one_hour(value: i64, updated: &str) -> Reply {
    let mut row = em_row("DE", 1_772_323_200, &value.into(), "lifecycle");
    row["updatedAt"] = json!(updated);
    Reply::json(200, &json!({ "data": [row] }))
}

fn files(folder: &Path, ending: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path, ending));
        } else if path.extension().is_some_and(|of| of == ending) {
            found.push(path);
        }
    }
    found
}

#[test]
fn what_has_settled_is_never_asked_again() {
    let world = world();
    let first = cached(&world, &world.store(Mode::Online));
    let fetched = first.slots("DE", old_day(), &Want::AVERAGE).unwrap();
    assert_eq!(world.asked().len(), 1);
    world.clock.advance(DAY * 3650);
    // Another process, ten years later.
    let store = world.store(Mode::Online);
    let again = cached(&world, &store).slots("DE", old_day(), &Want::AVERAGE).unwrap();
    assert_eq!(world.asked().len(), 1);
    assert_eq!(again, fetched);
    assert_eq!((store.stats().hits, store.stats().misses), (1, 0));
}

#[test]
fn what_may_change_is_asked_again_after_its_time() {
    let world = world();
    let store = world.store(Mode::Online);
    let provider = cached(&world, &store);
    let yesterday = span("2026-06-14T13:00Z", "2026-06-14T20:00Z");
    for (wait, expected) in [(0, 1), (299, 1), (1, 2)] {
        world.clock.advance(Duration::from_secs(wait));
        provider.slots("DE", yesterday, &Want::AVERAGE).unwrap();
        assert_eq!(world.asked().len(), expected, "after {wait} s");
    }
    let stats = store.stats();
    assert_eq!((stats.hits, stats.misses), (1, 2));
    assert_eq!(stats.age_max, Duration::from_secs(299));
}

#[test]
fn only_what_is_missing_is_asked_for() {
    let world = world();
    let provider = cached(&world, &world.store(Mode::Online));
    provider.slots("DE", span("2026-03-03T00:00Z", "2026-03-04T00:00Z"), &Want::AVERAGE).unwrap();
    let wide = span("2026-03-01T00:00Z", "2026-03-04T00:00Z");
    let series = provider.slots("DE", wide, &Want::AVERAGE).unwrap();
    assert_eq!(values(&series).len(), 72);
    let asked = world.asked().pop().unwrap();
    assert_eq!(asked.query("start"), "2026-03-01T00:00:00Z");
    assert_eq!(asked.query("end"), "2026-03-03T00:00:00Z");
}

#[test]
fn another_zone_or_signal_is_another_entry() {
    let world = world();
    let provider = cached(&world, &world.store(Mode::Online));
    let direct = Want { factor: Some(carbon_ops_grid::Factor::Direct), ..Want::AVERAGE };
    for (zone, want) in [("DE", Want::AVERAGE), ("FR", Want::AVERAGE), ("DE", direct)] {
        let series = provider.slots(zone, old_day(), &want).unwrap();
        assert_eq!(series.metas()[0].zone_returned, zone);
    }
    assert_eq!(world.asked().len(), 3);
}

#[test]
fn eight_threads_and_two_processes_ask_once() {
    let world = world();
    let stores = [world.store(Mode::Online), world.store(Mode::Online)];
    let providers = stores.each_ref().map(|store| cached(&world, store));
    std::thread::scope(|scope| {
        for n in 0..8 {
            let provider = &providers[n % 2];
            scope.spawn(move || provider.slots("DE", old_day(), &Want::AVERAGE).unwrap());
        }
    });
    assert_eq!(world.asked().len(), 1);
    let total = |count: fn(&Store) -> u64| stores.iter().map(|store| count(store)).sum::<u64>();
    assert_eq!(total(|store| store.stats().misses), 1);
    assert_eq!(total(|store| store.stats().hits + store.stats().joined), 7);
}

#[test]
fn a_failure_is_repeated_only_after_a_time_that_doubles() {
    let world = world();
    let store = world.store(Mode::Online);
    let provider = cached(&world, &store);
    let ask = |wait: u64| {
        world.clock.advance(Duration::from_secs(wait));
        let before = world.asked().len();
        for _ in 0..4 {
            world.then(Reply { status: 500, ..Reply::default() });
        }
        let error = provider.slots("DE", old_day(), &Want::AVERAGE).unwrap_err();
        world.script.lock().unwrap().clear();
        (world.asked().len() - before, shown(&error))
    };
    assert_eq!(ask(0).0, 4);
    let (asked, text) = ask(29);
    assert_eq!(asked, 0);
    assert!(text.contains("not asked again before") && text.contains("status 500"), "{text}");
    assert_eq!(ask(1).0, 4);
    assert_eq!(ask(59).0, 0);
    assert_eq!(ask(1).0, 4);
    assert_eq!((store.stats().failures, store.stats().held_back), (3, 2));
    world.clock.advance(DAY);
    assert_eq!(values(&provider.slots("DE", old_day(), &Want::AVERAGE).unwrap()).len(), 24);
    assert!(files(world.dir.path(), "json").iter().all(|path| !path.ends_with("failed.json")));
}

#[test]
fn a_token_that_is_refused_is_no_failure_of_the_provider() {
    let world = world();
    let store = world.store(Mode::Online);
    world.then(Reply { status: 401, ..Reply::default() });
    let provider = cached(&world, &store);
    let error = provider.slots("DE", old_day(), &Want::AVERAGE).unwrap_err();
    assert!(matches!(error, Error::Credentials { .. }), "{}", shown(&error));
    assert!(provider.slots("DE", old_day(), &Want::AVERAGE).is_ok());
}

#[test]
fn values_that_are_not_fresh_are_better_than_none_and_are_counted() {
    let world = world();
    let store = world.store(Mode::Online);
    let provider = cached(&world, &store);
    let yesterday = span("2026-06-14T13:00Z", "2026-06-14T20:00Z");
    let fetched = provider.slots("DE", yesterday, &Want::AVERAGE).unwrap();
    world.clock.advance(Duration::from_secs(600));
    for _ in 0..4 {
        world.then(Reply { status: 503, ..Reply::default() });
    }
    assert_eq!(provider.slots("DE", yesterday, &Want::AVERAGE).unwrap(), fetched);
    assert_eq!((store.stats().stale, store.stats().failures), (1, 1));
}

#[test]
fn offline_uses_what_is_there_and_asks_nobody() {
    let world = world();
    cached(&world, &world.store(Mode::Online)).slots("DE", old_day(), &Want::AVERAGE).unwrap();
    let before = world.asked().len();
    let store = world.store(Mode::Offline);
    let provider = cached(&world, &store);
    let wide = span("2026-03-01T12:00Z", "2026-03-02T12:00Z");
    let series = provider.slots("DE", wide, &Want::AVERAGE).unwrap();
    assert_eq!(values(&series).len(), 12);
    assert_eq!(
        series.gaps().iter().map(|gap| gap.reason).collect::<Vec<_>>(),
        [GapReason::Offline]
    );
    let nothing = provider.slots("FR", wide, &Want::AVERAGE).unwrap();
    assert!(nothing.coverage().abs() < 1e-12);
    assert_eq!(world.asked().len(), before);
}

#[test]
fn a_revision_keeps_both_values_and_the_newer_counts() {
    // Two days old: it may still change.
    let world = World::new("2026-03-03T00:00:00Z", electricity_maps);
    let store = world.store(Mode::Online);
    let provider = cached(&world, &store);
    let hour = span("2026-03-01T00:00Z", "2026-03-01T01:00Z");
    world.then(one_hour(400, "2026-03-01T00:05:00Z"));
    let first = provider.slots("DE", hour, &Want::AVERAGE).unwrap();
    world.clock.advance(DAY);
    world.then(one_hour(380, "2026-03-03T09:00:00Z"));
    let second = provider.slots("DE", hour, &Want::AVERAGE).unwrap();
    assert_eq!((values(&first), values(&second)), (vec![400.0], vec![380.0]));
    assert_eq!(store.stats().revisions, 1);
    // Each value can be derived again from the answer that it came in.
    for series in [&first, &second] {
        assert_eq!(&store.answers().rederive(&series.metas()[0], hour).unwrap(), series);
    }
}

#[test]
fn a_file_that_is_not_whole_is_discarded_told_of_and_fetched_again() {
    let world = world();
    let provider = cached(&world, &world.store(Mode::Online));
    let fetched = provider.slots("DE", old_day(), &Want::AVERAGE).unwrap();
    let [path] = <[_; 1]>::try_from(files(world.dir.path(), "slots")).unwrap();
    let mut bytes = std::fs::read(&path).unwrap();
    bytes.truncate(bytes.len() - 7);
    std::fs::write(&path, &bytes).unwrap();
    let store = world.store(Mode::Online);
    let again = cached(&world, &store).slots("DE", old_day(), &Want::AVERAGE).unwrap();
    assert_eq!(inventory(&again).slots().len(), inventory(&fetched).slots().len());
    assert_eq!(store.stats().corrupted, 1);
    let [warning] = <[_; 1]>::try_from(store.take_warnings()).unwrap();
    assert!(warning.contains("not whole"), "{warning}");
    assert_eq!(world.asked().len(), 2);
}

#[test]
fn an_answer_is_kept_by_its_digest_with_its_terms_and_gives_the_same_slots() {
    let world = world();
    let store = world.store(Mode::Online);
    let series = cached(&world, &store).slots("DE", old_day(), &Want::AVERAGE).unwrap();
    let meta = series.metas()[0].clone();
    let (answer, kept) = store.answers().read(meta.raw_digest.unwrap()).unwrap();
    assert!(kept.request.starts_with("/carbon-intensity/past-range?zone=DE"), "{kept:?}");
    assert!(kept.terms.contains("Electricity Maps"));
    assert!(answer.body.starts_with(b"{\"data\":"));
    assert_eq!(store.answers().rederive(&meta, old_day()).unwrap(), series);
    // A kept answer that was changed is no evidence.
    let [path] = <[_; 1]>::try_from(files(world.dir.path(), "gz")).unwrap();
    let mut other = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    std::io::Write::write_all(&mut other, b"{\"data\":[]}").unwrap();
    std::fs::write(&path, other.finish().unwrap()).unwrap();
    let error = store.answers().rederive(&meta, old_day()).unwrap_err();
    assert!(matches!(error, Error::File { .. }), "{}", shown(&error));
    assert!(shown(&error).contains("not the bytes that its name says"));
    std::fs::remove_file(&path).unwrap();
}

#[test]
fn the_folder_stays_within_its_limits() {
    let world = world();
    let limits = Limits { bytes: 20_000, entries: 10 };
    for n in 0..20_u64 {
        // Each a process of its own, which measures at its first write.
        let store = Store::new(world.dir.path(), limits, Duration::from_secs(300), Mode::Online);
        let start = old_day().start() + DAY * u32::try_from(n * 30).unwrap();
        let day = Interval::new(start, start + DAY).unwrap();
        world
            .cached(world.electricity_maps(), &Arc::new(store))
            .slots("DE", day, &Want::AVERAGE)
            .unwrap();
    }
    let bytes = |path: &PathBuf| std::fs::metadata(path).unwrap().len();
    let all: Vec<PathBuf> =
        ["slots", "gz", "json"].iter().flat_map(|of| files(world.dir.path(), of)).collect();
    assert!(all.len() <= 10, "{}", all.len());
    assert!(all.iter().map(bytes).sum::<u64>() <= 20_000);
}

#[test]
fn a_wrong_zone_leaves_nothing_behind() {
    let world = world();
    let store = world.store(Mode::Online);
    let row = em_row("FR", 1_772_323_200, &1.into(), "lifecycle");
    world.then(Reply::json(200, &json!({ "data": [row] })));
    let error = cached(&world, &store).slots("DE", old_day(), &Want::AVERAGE).unwrap_err();
    assert!(matches!(error, Error::WrongZone { .. }), "{}", shown(&error));
    assert!(files(world.dir.path(), "slots").is_empty());
}

#[test]
fn a_month_stays_in_memory_once_it_was_read_twice() {
    let world = world();
    cached(&world, &world.store(Mode::Online)).slots("DE", old_day(), &Want::AVERAGE).unwrap();
    let store = world.store(Mode::Offline);
    let provider = cached(&world, &store);
    for expected in [1, 2, 2, 2] {
        provider.slots("DE", old_day(), &Want::AVERAGE).unwrap();
        assert_eq!(store.stats().loads, expected);
    }
}
