//! The slots of a zone, their sources and quality: as text, as JSON, and as a [`picture`].
//!
//! Out of scope: which slots are meant, and who is asked.

use std::time::Duration;

use carbon_ops::grid::cache::Stats;
use carbon_ops::grid::fetch::FetchCounts;
use carbon_ops::grid::line::{Figures, Line, Point, cv, figures};
use carbon_ops::grid::zones::{Place, cloud_pue, cloud_water};
use carbon_ops::grid::{Found, GapReason, Kind, Meta, Mix, Row, Timeliness, UncertaintyClass};
use carbon_ops::sources::Remote;
use serde_json::{Value, json};

use crate::layout::Page;
use crate::render::{add, plain};

pub mod picture;

/// Up to so many slots are listed one by one; then days, then months.
const ROWS_MAX: usize = 48;

/// So many gaps are listed.
const GAPS_MAX: usize = 12;

/// Half of a 95 % interval of a normal, in standard deviations.
const COVERAGE_95: f64 = 1.96;

/// Longest bar, in characters.
const BAR: f64 = 24.0;

/// For people: the slots, or days or months of many, gaps, sources, and what the site adds.
#[must_use]
pub fn text(place: &Place, found: &Found, line: &Line, stats: Option<&Remote>) -> String {
    let mut page = Page::default();
    let (from, to) = (minute(line.interval.start()), minute(line.interval.end()));
    page.title(&format!("{}, {from} to {to} (UTC)", title(found)));
    if !place.asked.eq_ignore_ascii_case(&found.zone) {
        page.title(&format!("asked for: {}", plain(&place.asked)));
    }
    for moved in &found.substitutions {
        let reason = plain(&moved.reason.replace('\n', "; "));
        let hint = crate::hints::for_reason(&moved.cause).map(|hint| format!("; hint: {hint}"));
        let hint = hint.unwrap_or_default();
        page.title(&format!("instead of {}: {reason}{hint}", moved.from));
        if moved.signal_wanted != moved.signal_used {
            page.title(&format!("  counts {}, not {}", moved.signal_used, moved.signal_wanted));
        }
    }
    if let Some(Figures { mean, low, high }) = line.figures() {
        let (covered, slots) = (100.0 * line.coverage, slots(line.slots.len()));
        page.title(&format!(
            "mean {mean:.1} g/kWh, from {low:.1} to {high:.1}; {slots} {covered:.1} %"
        ));
        if line.slots.len() > 1 {
            page.title(&line.spark());
        }
    }
    page.title("");
    rows(line, &mut page);
    let gaps = found.series.gaps();
    for gap in gaps.iter().take(GAPS_MAX) {
        let (from, to) = (minute(gap.interval.start()), minute(gap.interval.end()));
        page.title(&format!("no value from {from} to {to}: {}", reason(gap.reason)));
    }
    if let more @ 1.. = gaps.len().saturating_sub(GAPS_MAX) {
        page.title(&format!("and {more} more times without a value; --json lists all"));
    }
    page.title("");
    provenance(line, &mut page);
    if let Some((source, _)) = line.sources().first() {
        page.title(&format!("signal: {}; {}", source.signal, purpose(source.signal.kind)));
    }
    if let (Some((pue, year)), Some((cloud, region))) = (cloud_pue(place), &place.cloud) {
        let pue = pue.as_ratio();
        page.title(&format!(
            "PUE that {cloud} published for {region}: {pue} ({year}); not in these values"
        ));
    }
    if let (Some((litres, year)), Some((cloud, region))) = (cloud_water(place), &place.cloud) {
        page.title(&format!(
            "water that {cloud} published for {region}: {litres} L/kWh of its computers ({year})"
        ));
    }
    if let Some((country, mix)) = mix(place) {
        let Mix { year, fossil_pct, nuclear_pct, renewable_pct } = mix;
        page.title(&format!(
            "generated in {country} in {year}: {fossil_pct:.0} % fossil, {nuclear_pct:.0} % nuclear, \
             {renewable_pct:.0} % renewable"
        ));
    }
    if let Some(remote) = stats {
        counters(&remote.store.stats(), &remote.fetcher.counts(), &mut page);
    }
    page.text().to_owned()
}

/// What the electricity of the place's country is made of.
fn mix(place: &Place) -> Option<(&str, Mix)> {
    let country = place.country.as_deref()?;
    Some((country, Mix::of(country)?))
}

/// How many slots are of which quality, and whose they are.
fn provenance(line: &Line, page: &mut Page) {
    let mut owners: Vec<String> = Vec::new();
    for (source, count) in line.sources() {
        let off = match (Row::of(source), cv(source)) {
            (_, None) => "how far they may be off nobody has measured".to_owned(),
            (Some(row), _) => {
                let whole = row.whole(line.interval);
                let [low, high] = [0.025, 0.975].map(|p| whole.quantile(p));
                format!("{low:.0} to {high:.0} g/kWh (95 %)")
            }
            (None, Some(cv)) => format!("± {:.0} % (95 %, a prior)", 100.0 * COVERAGE_95 * cv),
        };
        page.title(&format!("{count:>6} × {}: {off}", quality(source)));
        let (licence, attribution) = (plain(&source.licence), plain(&source.attribution));
        let owner = format!("data: {attribution}; licence: {licence}");
        if !owners.contains(&owner) {
            owners.push(owner);
        }
    }
    for owner in owners {
        page.title(&owner);
    }
}

/// Slots, else days, else months.
fn rows(line: &Line, page: &mut Page) {
    let high = line.figures().map_or(1.0, |figures| figures.high).max(f64::MIN_POSITIVE);
    if line.slots.len() <= ROWS_MAX {
        for slot in &line.slots {
            let (from, value, mark) = (minute(slot.slot.start()), slot.g_per_kwh, mark(slot));
            page.figures(&format!("{from}  {value:>8.1} g/kWh {mark:<9}  {}", bar(value / high)));
        }
        return;
    }
    let long = line.interval.as_seconds() > 62.0 * 86_400.0;
    let form = if long { "%Y-%m" } else { "%Y-%m-%d" };
    let name = |slot: &Point| slot.shown.start().strftime(form).to_string();
    for group in line.slots.chunk_by(|a, b| name(a) == name(b)) {
        if let (Some(first), Some(Figures { mean, low, high: most })) =
            (group.first(), figures(group))
        {
            let (name, bar) = (name(first), bar(mean / high));
            page.figures(&format!("{name}  {mean:>8.1} g/kWh  {low:>7.1} to {most:<7.1} {bar}"));
        }
    }
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
        (Timeliness::Forecast, _) => "forecast",
        (_, UncertaintyClass::Estimated) => "estimated",
        (_, UncertaintyClass::Yearly) => "yearly",
        (_, UncertaintyClass::Declared) => "declared",
        _ => "",
    }
}

fn quality(source: &Meta) -> String {
    let class = match source.uncertainty {
        UncertaintyClass::Metered => "from measured generation",
        UncertaintyClass::Estimated => "estimated by the provider",
        UncertaintyClass::Forecast => "forecast",
        UncertaintyClass::Yearly => "the average of a year",
        UncertaintyClass::Declared => "declared by a user",
    };
    let mut text = class.to_owned();
    let told = [
        ("by", &source.estimation_method),
        ("version", &source.model_version),
        ("which warns:", &source.warning),
    ];
    for (name, value) in told {
        if let Some(value) = value {
            text = format!("{text}, {name} {}", plain(value));
        }
    }
    text
}

fn reason(reason: GapReason) -> &'static str {
    match reason {
        GapReason::Contradictory => "the provider gives two values for this time",
        GapReason::Null => "the provider names this time and gives no value",
        GapReason::Failed => "the provider did not answer",
        GapReason::Offline => "not in the cache, and --offline asks nobody",
        GapReason::Missing => "the provider says nothing of this time",
    }
}

fn minute(at: jiff::Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M").to_string()
}

fn counters(cache: &Stats, fetch: &FetchCounts, page: &mut Page) {
    let Stats { hits, misses, stale, held_back, failures, joined, .. } = cache;
    page.title(&format!(
        "cache: {hits} hits, {misses} misses, {stale} stale, {joined} joined, {held_back} held back, {failures} \
         failures; {} files, {} bytes, {} evicted, {} corrupted, {} revised; oldest that may change {} s",
        cache.entries,
        cache.bytes,
        cache.evicted,
        cache.corrupted,
        cache.revisions,
        cache.age_max.as_secs()
    ));
    let FetchCounts { requests, answered, repeated, bytes, .. } = fetch;
    let (all, longest) = (fetch.latency.as_millis(), fetch.latency_max.as_millis());
    page.title(&format!(
        "requests: {requests} sent, {answered} answered, {repeated} repeated, {bytes} bytes; {all} ms in all, \
         {longest} ms the longest"
    ));
}

/// For programs: all slots, with their sources.
#[must_use]
pub fn json(place: &Place, found: &Found, line: &Line, stats: Option<&Remote>) -> Value {
    let metas = found.series.metas();
    let source = |slot: &Point| metas.iter().position(|meta| **meta == *slot.meta);
    let slots = line.slots.iter().map(|slot| {
        let (start, end) = (slot.slot.start().to_string(), slot.slot.end().to_string());
        let mut row = json!({ "start": start, "end": end, "g_per_kwh": slot.g_per_kwh,
            "source": source(slot) });
        if let Some(updated) = slot.updated_at {
            add(&mut row, [("updated_at", updated.to_string().into())]);
        }
        row
    });
    let gaps = found.series.gaps().iter().map(|gap| {
        let (start, end) = (gap.interval.start().to_string(), gap.interval.end().to_string());
        json!({ "start": start, "end": end, "reason": gap.reason })
    });
    let substitutions = found.substitutions.iter().map(|moved| {
        json!({ "from": moved.from, "to": moved.to, "reason": moved.reason,
            "signal_wanted": moved.signal_wanted, "signal_used": moved.signal_used })
    });
    let figures = line.figures();
    let mut report = json!({
        "asked": place.asked, "provider": found.provider, "zone": found.zone,
        "start": line.interval.start().to_string(), "end": line.interval.end().to_string(),
        "coverage_pct": 100.0 * line.coverage,
        "mean_g_per_kwh": figures.map(|figures| figures.mean),
        "slots": slots.collect::<Vec<_>>(), "gaps": gaps.collect::<Vec<_>>(),
        "sources": metas.iter().map(|meta| json!(**meta)).collect::<Vec<_>>(),
        "substitutions": substitutions.collect::<Vec<_>>(),
    });
    if let Some((pue, year)) = cloud_pue(place) {
        add(&mut report, [("cloud_pue", json!({ "value": pue.as_ratio(), "year": year }))]);
    }
    if let Some((litres, year)) = cloud_water(place) {
        add(&mut report, [("cloud_water", json!({ "l_per_kwh": litres, "year": year }))]);
    }
    if let Some((country, mix)) = mix(place) {
        let mix = json!({ "country": country, "year": mix.year, "fossil_pct": mix.fossil_pct,
            "nuclear_pct": mix.nuclear_pct, "renewable_pct": mix.renewable_pct });
        add(&mut report, [("mix", mix)]);
    }
    if let Some(remote) = stats {
        let stats = stats_json(&remote.store.stats(), &remote.fetcher.counts());
        add(&mut report, [("stats", stats)]);
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

/// What a kind is good for, said beside it.
pub(crate) fn purpose(kind: Kind) -> &'static str {
    match kind {
        Kind::Marginal => "for decisions; never for an inventory figure",
        Kind::Residual => "for a market-based inventory figure",
        Kind::Average => "may price an inventory figure",
    }
}

/// The zone as it was found.
pub(crate) fn title(found: &Found) -> String {
    format!("{} of {}", found.zone, found.provider)
}
