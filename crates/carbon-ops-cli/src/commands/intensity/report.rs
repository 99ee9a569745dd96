//! The report as text and as JSON.

use std::io::{self, Write};
use std::time::Duration;

use carbon_ops::estimate::span::{noise_cv, shared_cv};
use carbon_ops::grid::cache::Stats;
use carbon_ops::grid::fetch::FetchCounts;
use carbon_ops::grid::zones::{Place, cloud_pue};
use carbon_ops::grid::{Found, GapReason, Timeliness, UncertaintyClass};
use jiff::tz::TimeZone;
use serde_json::{Value, json};

use super::line::{Line, Point, Source, figures};
use super::{purpose, title};
use crate::render::plain;
use carbon_ops::sources::Remote;

/// Up to so many slots are listed one by one; then days, then months.
const ROWS_MAX: usize = 48;

/// So many gaps are listed.
const GAPS_MAX: usize = 12;

/// Longest bar, in characters.
const BAR: f64 = 24.0;

pub(super) fn text(
    place: &Place,
    found: &Found,
    line: &Line,
    stats: Option<&Remote>,
    out: &mut impl Write,
) -> io::Result<()> {
    writeln!(
        out,
        "{}, {} to {} (UTC)",
        title(found),
        minute(line.interval.start()),
        minute(line.interval.end())
    )?;
    if !place.asked.eq_ignore_ascii_case(&found.zone) {
        writeln!(out, "asked for: {}", plain(&place.asked))?;
    }
    for moved in &found.substitutions {
        let reason = plain(&moved.reason.replace('\n', "; "));
        let hint = crate::hints::for_reason(&moved.cause).map(|hint| format!("; hint: {hint}"));
        writeln!(out, "instead of {}: {reason}{}", moved.from, hint.unwrap_or_default())?;
        if moved.signal_wanted != moved.signal_used {
            writeln!(out, "  counts {}, not {}", moved.signal_used, moved.signal_wanted)?;
        }
    }
    if let Some(figures) = line.figures() {
        writeln!(
            out,
            "mean {:.1} g/kWh, from {:.1} to {:.1}; {} {:.1} %",
            figures.mean,
            figures.low,
            figures.high,
            slots(line.slots.len()),
            100.0 * line.coverage
        )?;
        if line.slots.len() > 1 {
            writeln!(out, "{}", line.spark())?;
        }
    }
    writeln!(out)?;
    rows(line, out)?;
    let gaps = found.series.gaps();
    for gap in gaps.iter().take(GAPS_MAX) {
        let (from, to) = (minute(gap.interval.start()), minute(gap.interval.end()));
        writeln!(out, "no value from {from} to {to}: {}", reason(gap.reason))?;
    }
    if let more @ 1.. = gaps.len().saturating_sub(GAPS_MAX) {
        writeln!(out, "and {more} more times without a value; --json lists all")?;
    }
    writeln!(out)?;
    provenance(line, out)?;
    if let Some((source, _)) = line.sources().first() {
        writeln!(out, "signal: {}; {}", source.signal, purpose(source.signal.kind))?;
    }
    if let (Some((pue, year)), Some((cloud, region))) = (cloud_pue(place), &place.cloud) {
        let pue = pue.as_ratio();
        writeln!(
            out,
            "PUE that {cloud} published for {region}: {pue} ({year}); not in these values"
        )?;
    }
    if let Some(remote) = stats {
        counters(&remote.store.stats(), &remote.fetcher.counts(), out)?;
    }
    Ok(())
}

/// How many slots are of which quality, and whose they are.
fn provenance(line: &Line, out: &mut impl Write) -> io::Result<()> {
    let mut owners: Vec<String> = Vec::new();
    for (source, count) in line.sources() {
        let (shared, own) = (shared_cv(source.uncertainty), noise_cv(source.uncertainty));
        let percent = 100.0 * shared.hypot(own);
        writeln!(out, "{count:>6} × {}: ± {percent:.0} % (k = 1, a prior)", quality(&source))?;
        let (licence, attribution) = (plain(&source.licence), plain(&source.attribution));
        let owner = format!("{attribution}; licence: {licence}");
        if !owners.contains(&owner) {
            owners.push(owner);
        }
    }
    owners.iter().try_for_each(|owner| writeln!(out, "data: {owner}"))
}

/// Slots, else days, else months.
fn rows(line: &Line, out: &mut impl Write) -> io::Result<()> {
    let high = line.figures().map_or(1.0, |figures| figures.high).max(f64::MIN_POSITIVE);
    if line.slots.len() <= ROWS_MAX {
        for slot in &line.slots {
            let mark = mark(slot);
            let (from, value) = (minute(slot.slot.start()), slot.g_per_kwh);
            writeln!(out, "{from}  {value:>8.1} g/kWh{mark}  {}", bar(value / high))?;
        }
        return Ok(());
    }
    let long = line.interval.as_seconds() > 62.0 * 86_400.0;
    let name = |slot: &Point| {
        let date = TimeZone::UTC.to_datetime(slot.shown.start()).date().to_string();
        if long { date.get(..7).unwrap_or(&date).to_owned() } else { date }
    };
    for group in line.slots.chunk_by(|a, b| name(a) == name(b)) {
        if let (Some(first), Some(of_group)) = (group.first(), figures(group)) {
            let (low, high_here) = (of_group.low, of_group.high);
            let (name, mean) = (name(first), of_group.mean);
            writeln!(
                out,
                "{name}  {mean:>8.1} g/kWh  {low:>7.1} to {high_here:<7.1} {}",
                bar(mean / high)
            )?;
        }
    }
    Ok(())
}

fn slots(count: usize) -> String {
    if count == 1 { "1 slot covers".to_owned() } else { format!("{count} slots cover") }
}

fn bar(share: f64) -> String {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 24")]
    let length = (share.clamp(0.0, 1.0) * BAR).round() as usize;
    "█".repeat(length)
}

/// What a slot is beyond a measured value.
fn mark(slot: &Point) -> &'static str {
    match (slot.meta.timeliness, slot.meta.uncertainty) {
        (Timeliness::Forecast, _) => " forecast ",
        (_, UncertaintyClass::Estimated) => " estimated",
        (_, UncertaintyClass::Yearly) => " yearly   ",
        (_, UncertaintyClass::Declared) => " declared ",
        _ => "          ",
    }
}

fn quality(source: &Source) -> String {
    let class = match source.uncertainty {
        UncertaintyClass::Metered => "from measured generation",
        UncertaintyClass::Estimated => "estimated by the provider",
        UncertaintyClass::Forecast => "forecast",
        UncertaintyClass::Yearly => "the average of a year",
        UncertaintyClass::Declared => "declared by a user",
    };
    let mut text = class.to_owned();
    for (name, value) in [("by", &source.method), ("version", &source.version)] {
        if let Some(value) = value {
            text = format!("{text}, {name} {}", plain(value));
        }
    }
    text
}

fn reason(reason: GapReason) -> &'static str {
    match reason {
        GapReason::Null => "the provider names this time and gives no value",
        GapReason::Failed => "the provider did not answer",
        GapReason::Offline => "not in the cache, and --offline asks nobody",
        GapReason::Missing => "the provider says nothing of this time",
    }
}

fn minute(at: jiff::Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M").to_string()
}

fn counters(cache: &Stats, fetch: &FetchCounts, out: &mut impl Write) -> io::Result<()> {
    let Stats { hits, misses, stale, held_back, failures, joined, .. } = cache;
    writeln!(
        out,
        "cache: {hits} hits, {misses} misses, {stale} stale, {joined} joined, {held_back} held back, {failures} \
         failures; {} files, {} bytes, {} evicted, {} corrupted, {} revised; oldest that may change {} s",
        cache.entries,
        cache.bytes,
        cache.evicted,
        cache.corrupted,
        cache.revisions,
        cache.age_max.as_secs()
    )?;
    writeln!(
        out,
        "requests: {} sent, {} answered, {} repeated, {} bytes; {} ms in all, {} ms the longest",
        fetch.requests,
        fetch.answered,
        fetch.repeated,
        fetch.bytes,
        fetch.latency.as_millis(),
        fetch.latency_max.as_millis()
    )
}

pub(super) fn json(place: &Place, found: &Found, line: &Line, stats: Option<&Remote>) -> Value {
    let metas = found.series.metas();
    let source = |slot: &Point| metas.iter().position(|meta| **meta == *slot.meta);
    let slots: Vec<Value> = line
        .slots
        .iter()
        .map(|slot| {
            let mut row = json!({
                "start": slot.slot.start().to_string(),
                "end": slot.slot.end().to_string(),
                "g_per_kwh": slot.g_per_kwh,
                "source": source(slot),
            });
            if let (Some(updated), Some(row)) = (slot.updated_at, row.as_object_mut()) {
                row.insert("updated_at".to_owned(), updated.to_string().into());
            }
            row
        })
        .collect();
    let gaps: Vec<Value> = found
        .series
        .gaps()
        .iter()
        .map(|gap| {
            let (start, end) = (gap.interval.start().to_string(), gap.interval.end().to_string());
            json!({ "start": start, "end": end, "reason": gap.reason })
        })
        .collect();
    let substitutions: Vec<Value> = found
        .substitutions
        .iter()
        .map(|moved| {
            json!({ "from": moved.from, "to": moved.to, "reason": moved.reason,
                "signal_wanted": moved.signal_wanted, "signal_used": moved.signal_used })
        })
        .collect();
    let figures = line.figures();
    let mut report = json!({
        "schema_version": 1,
        "asked": place.asked,
        "provider": found.provider,
        "zone": found.zone,
        "start": line.interval.start().to_string(),
        "end": line.interval.end().to_string(),
        "coverage_pct": 100.0 * line.coverage,
        "mean_g_per_kwh": figures.map(|figures| figures.mean),
        "slots": slots,
        "gaps": gaps,
        "sources": metas.iter().map(|meta| json!(**meta)).collect::<Vec<_>>(),
        "substitutions": substitutions,
    });
    let Some(object) = report.as_object_mut() else { return report };
    if let Some((pue, year)) = cloud_pue(place) {
        let pue = json!({ "value": pue.as_ratio(), "year": year });
        object.insert("cloud_pue".to_owned(), pue);
    }
    if let Some(remote) = stats {
        let stats = stats_json(&remote.store.stats(), &remote.fetcher.counts());
        object.insert("stats".to_owned(), stats);
    }
    report
}

fn stats_json(cache: &Stats, fetch: &FetchCounts) -> Value {
    let ms = |time: Duration| time.as_secs_f64() * 1000.0;
    json!({
        "cache": { "hits": cache.hits, "misses": cache.misses, "stale": cache.stale,
            "joined": cache.joined, "held_back": cache.held_back, "failures": cache.failures,
            "loads": cache.loads, "corrupted": cache.corrupted, "revisions": cache.revisions,
            "evicted": cache.evicted, "bytes": cache.bytes, "entries": cache.entries,
            "latency_ms": ms(cache.latency), "latency_max_ms": ms(cache.latency_max),
            "age_max_seconds": cache.age_max.as_secs() },
        "requests": { "sent": fetch.requests, "answered": fetch.answered,
            "repeated": fetch.repeated, "bytes": fetch.bytes, "latency_ms": ms(fetch.latency),
            "latency_max_ms": ms(fetch.latency_max) },
    })
}
