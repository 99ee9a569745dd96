//! The slots of a record again, from the answers that it names by their digests.
//!
//! An answer is bytes of a provider, kept in the cache. What it gives is put together as on the day that
//! it came, and what the record says of its grid is held against it byte by byte.
//!
//! Out of scope: asking a provider. That it has changed its mind since is told as far as the cache
//! knows.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, anyhow, bail};
use carbon_ops_estimate::span::Tariff;
use carbon_ops_grid::cache::{Answers, Mode};
use carbon_ops_grid::parse_kind_and_factor;
use carbon_ops_grid::zones;
use carbon_ops_grid::{
    Accounting, Digest, Factor, Gases, Interval, InventoryIntensity, Meta, Signal, Slot,
    Timeliness, Want,
};
use carbon_ops_record::upstream;
use carbon_ops_record::{Record, Source, grid_of};
use jiff::Timestamp;

use crate::settings::Settings;
use crate::sources::{Grid, Name};
use crate::{bytes, price};

/// What became of the answers of a record.
pub(super) enum Verdict {
    /// It names none: its grid data came with this program, from a user, or from a user's file.
    None,
    /// All are kept and give the same; what the provider changed since, one text for each slot.
    Same { revised: Vec<String> },
    /// One is not kept any more, or is damaged.
    NotKept(String),
}

/// Derives the slots of a record again.
///
/// # Errors
/// When the answers give something else.
pub(super) fn check(record: &Record, settings: &Settings) -> Result<Verdict> {
    let remote = |source: &&Source| Name::parse(&source.provider).is_ok_and(Name::is_remote);
    let sources: Vec<&Source> = record.grid.sources.iter().filter(remote).collect();
    if sources.is_empty() {
        return Ok(Verdict::None);
    }
    let signal = signal(record)?;
    let Some(root) = settings.grid.cache.value.as_deref() else {
        return Ok(Verdict::NotKept("there is no cache on this machine".to_owned()));
    };
    let answers = Answers::new(&root.join("answers"));
    // An upstream part is what two answers differ in; a row says which of both it is.
    let factors: &[Factor] = match signal.factor {
        Factor::Upstream => &[Factor::Lifecycle, Factor::Direct],
        _ => std::slice::from_ref(&signal.factor),
    };
    let mut by_factor = vec![Slots::new(); factors.len()];
    for source in &sources {
        if source.raw_sha256.is_empty() {
            return Ok(Verdict::NotKept(format!("{} is named without one", source.provider)));
        }
        for name in &source.raw_sha256 {
            let digest = Digest::from_hex(name).with_context(|| format!("digest {name}"))?;
            if let Err(error) = answers.read(digest) {
                return Ok(Verdict::NotKept(format!("{name} of {}: {error}", source.provider)));
            }
            let mut read = Err(anyhow!("an answer that is of no factor"));
            for (factor, slots) in factors.iter().zip(&mut by_factor) {
                let signal = Signal { factor: *factor, ..signal };
                let meta = Meta {
                    raw_digest: Some(digest),
                    ..Meta::new(&source.provider, &source.zone_requested, signal)
                };
                read = answers.rederive(&meta, record.interval()?).map_err(Into::into);
                if let Ok(series) = &read {
                    series.inventory()?.slots().iter().for_each(|slot| add(slots, slot));
                    break;
                }
            }
            read?;
        }
    }
    let mut by_factor = by_factor.into_iter().map(|slots| slots.into_values().collect::<Vec<_>>());
    let (first, second) = (by_factor.next().unwrap_or_default(), by_factor.next());
    let direct = second.unwrap_or_default();
    let slots = if factors.len() > 1 { upstream::slots(&first, &direct)? } else { first };
    compare(record, &slots, &direct)?;
    let provider = sources.first().context("no source")?;
    Ok(Verdict::Same { revised: revised(provider, signal, record.interval()?, &slots, settings) })
}

/// By their starts.
type Slots = BTreeMap<Timestamp, Slot<InventoryIntensity>>;

/// Of two rows for one slot, what was known goes before a forecast, then what was updated last, then what
/// came last.
fn add(slots: &mut Slots, slot: &Slot<InventoryIntensity>) {
    let rank = |slot: &Slot<InventoryIntensity>| {
        (slot.meta.timeliness == Timeliness::Actual, slot.updated_at, slot.meta.fetched_at)
    };
    let at = slot.interval.start();
    if slots.get(&at).is_none_or(|known| rank(known) <= rank(slot)) {
        slots.insert(at, slot.clone());
    }
}

/// Kind and factor as the record says; the rest is the provider's and changes no slot.
fn signal(record: &Record) -> Result<Signal> {
    let (kind, factor) = parse_kind_and_factor(&record.signal)?;
    let factor = factor.unwrap_or(Factor::Lifecycle);
    Ok(Signal { kind, factor, accounting: Accounting::Unstated, gases: Gases::Co2e })
}

/// Prices the span with the slots, and writes what the record then says of its grid.
fn compare(
    record: &Record,
    slots: &[Slot<InventoryIntensity>],
    direct: &[Slot<InventoryIntensity>],
) -> Result<()> {
    let missing = record.grid.missing_policy.parse()?;
    let load = record.energy_over_time()?.ok_or_else(|| {
        anyhow!("the parts of the energy are not listed, and no slot has a price without them")
    })?;
    let span = record.interval()?;
    let priced = Tariff::of(slots)?
        .price(span, &load, missing)
        .context("the kept answers do not price the span")?;
    record.check_price(&priced).context("priced by the kept answers")?;
    let mut again = grid_of(span, &priced, slots, missing);
    upstream::cite(&mut again, direct, span);
    let mut again = price::listed(again)?;
    for (source, recorded) in again.sources.iter_mut().zip(&record.grid.sources) {
        // The same bytes may have come more than once, and are kept as of the first time.
        source.fetched_at.clone_from(&recorded.fetched_at);
    }
    let canonical = |grid| -> Result<Vec<u8>> {
        let mut line = Vec::new();
        bytes::canonical(grid, &mut line)?;
        Ok(line)
    };
    if canonical(&again)? == canonical(&record.grid)? {
        return Ok(());
    }
    let (list, recorded) = (again.slots.list.as_ref(), record.grid.slots.list.as_ref());
    let differs = list.zip(recorded).and_then(|(list, recorded)| {
        let mut both = list.iter().zip(recorded);
        both.find(|(slot, recorded)| slot != recorded)
    });
    match differs {
        Some((slot, recorded)) => bail!(
            "the slot at {}: {} g/kWh in the kept answer, {} in the record, or another class or time",
            recorded.start,
            slot.g_per_kwh,
            recorded.g_per_kwh
        ),
        None => bail!("the kept answers give other grid data than the record holds"),
    }
}

/// Slots that have another value in the cache by now.
fn revised(
    source: &Source,
    signal: Signal,
    span: Interval,
    slots: &[Slot<InventoryIntensity>],
    settings: &Settings,
) -> Vec<String> {
    let now = || -> Result<Vec<Slot<InventoryIntensity>>> {
        let name = Name::parse(&source.provider)?;
        let grid = Grid::new(&settings.grid, &[name], Mode::Offline)?;
        let place = zones::Place::parse(&format!("{name}:{}", source.zone_requested))?;
        let want = Want { kind: signal.kind, factor: Some(signal.factor), ..Want::AVERAGE };
        Ok(grid.chain.slots(&place, span, &want)?.series.inventory()?.slots().to_vec())
    };
    // A cache that knows nothing of them knows of no revision.
    let now = now().unwrap_or_default();
    let mut revised = Vec::new();
    for slot in slots {
        let same = now.iter().find(|other| other.interval == slot.interval);
        let values = same
            .map(|other| (slot.as_grams_per_kilowatt_hour(), other.as_grams_per_kilowatt_hour()));
        if let Some((then, now)) = values.filter(|(then, now)| then.to_bits() != now.to_bits()) {
            revised.push(format!("{}: {then} g/kWh, now {now}", slot.interval.start()));
        }
    }
    revised
}
