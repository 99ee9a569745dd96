//! What a page shows of a finding, as HTML: written by who makes the page, and again by who checks it, who compares.
//!
//! Rule: all that is shown comes from the finding and the question, so that a page with another word in it is not
//! the page of its records.
//!
//! Out of scope: the page around it (`page`), and the verdict, which is its reader's.

use std::fmt::Write as _;

use carbon_ops_proof::pack::PackReport;
use carbon_ops_record::totals::{Amount, GroupBy, Totals};
use carbon_ops_record::{Measurement, Record};
use carbon_ops_units::si;

use crate::chart::{self, DAYS, Point};
use carbon_ops_record::reading::Read;

use crate::figures::{Course, Figures, Flow, Row, chosen};
use crate::html::{drawer, escaped, table};
use crate::judge::Finding;
use crate::question::Question;

/// How many groups and parts of a flow are drawn.
const DRAWN_MAX: usize = 12;
const FLOWS_MAX: usize = 4;
const PARTS_MAX: usize = 5;

fn grams(value: f64) -> String {
    si(value, "g")
}

fn energy(kwh: f64) -> String {
    si(kwh * 1e3, "Wh")
}

fn between(low: f64, high: f64) -> String {
    format!("{} to {}", grams(low), grams(high))
}

/// A number of things: `1 record`, `2 entries`.
fn counted(count: u64, one: &str) -> String {
    match one.strip_suffix('y') {
        _ if count == 1 => format!("1 {one}"),
        Some(stem) => format!("{count} {stem}ies"),
        None => format!("{count} {one}s"),
    }
}

/// The HTML of a finding; empty where the records come to no figures.
#[must_use]
pub fn body(finding: &Finding, question: &Question) -> String {
    let Some(figures) = &finding.figures else { return String::new() };
    let mut html = String::from("<h1>Energy and carbon</h1>");
    let _ = write!(html, "<p class=\"period\">{}</p>", escaped(&chosen(&question.choice)));
    if finding.is_part() {
        let here: u64 = finding.packs.iter().map(|report| report.entries).sum();
        let all: u64 = finding.packs.iter().filter_map(|report| report.size).sum();
        let _ = write!(
            html,
            "<p><b>Of a part: {} of {all} are in this file, and all sums here are of these.</b></p>",
            counted(here, "entry")
        );
    }
    html += &of_all(figures);
    if let Some(course) = &figures.course {
        html += &in_time(course, question);
    }
    html += &sums(&groups(figures), question);
    if let Some(course) = &figures.course {
        html += &where_it_went(course);
    }
    html += &grounds(&finding.read, figures);
    if let Some(course) = &figures.course {
        html += &records(course, finding);
    }
    html + &proof(&finding.packs)
}

/// A pack of all lines of a ledger, which lies beside a page.
#[cfg(not(target_family = "wasm"))]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Beside {
    /// The name of its file.
    pub file: String,
    /// How long it is.
    pub bytes: u64,
    /// Its SHA-256, in hex.
    pub sha256: String,
}

/// Figures that whoever writes a page states, of more records than are in it.
#[cfg(not(target_family = "wasm"))]
#[must_use]
pub fn stated(figures: &Figures, read: &Read, question: &Question, packs: &[Beside]) -> String {
    let mut html = String::from("<h1>Energy and carbon, as stated</h1>");
    let _ = write!(html, "<p class=\"period\">{}</p>", escaped(&chosen(&question.choice)));
    let _ = write!(
        html,
        "<p>These sums are of {}, as whoever made this page verified and added them. <b>This file does not prove \
         them</b>: it has the records with the largest emissions, which it proves one by one below. What proves the \
         sums has every entry and lies beside it:</p>",
        counted(read.records, "record")
    );
    let packs =
        packs.iter().map(|pack| vec![pack.file.clone(), si_bytes(pack.bytes), pack.sha256.clone()]);
    html += &table("audit packs", &["file", "length", "SHA-256"], packs);
    html += &of_all(figures);
    html += &sums(&groups(figures), question);
    html + &grounds(read, figures)
}

#[cfg(not(target_family = "wasm"))]
#[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
fn si_bytes(bytes: u64) -> String {
    si(bytes as f64, "B")
}

/// The groups, and all of them where there are several.
fn groups(figures: &Figures) -> Vec<(&str, &Totals)> {
    let sums = &figures.sums;
    let all = sums.all.as_ref().filter(|_| sums.groups.len() != 1);
    let groups = sums.groups.iter().map(|(name, totals)| (name.as_str(), totals));
    groups.chain(all.map(|all| ("all", all))).collect()
}

/// The sum of all, or why there is none.
fn of_all(figures: &Figures) -> String {
    let mut html = String::new();
    if figures.sums.groups.is_empty() {
        html += "<p>There are no such records.</p>";
    }
    match &figures.sums.all {
        Some(all) if all.count > 0 => html += &headline(all, figures.before.as_ref()),
        Some(_) => {}
        None => {
            let counts = figures.sums.counts.join(", ");
            let _ = write!(
                html,
                "<p>There is no sum of all: they count different things: {}.</p>",
                escaped(&counts)
            );
        }
    }
    html
}

fn card(name: &str, value: &str, more: &[String]) -> String {
    let mut html =
        format!("<div class=\"card\"><dt>{}</dt><dd><b>{}</b>", escaped(name), escaped(value));
    for more in more.iter().filter(|more| !more.is_empty()) {
        let _ = write!(html, "<br><span>{}</span>", escaped(more));
    }
    html + "</dd></div>"
}

fn headline(all: &Totals, before: Option<&Totals>) -> String {
    let change = |now: f64, then: fn(&Totals) -> f64| {
        let then = before.map(then).filter(|then| *then > 0.0);
        then.map_or(String::new(), |then| {
            format!("{:+.1} % against the period before", 100.0 * (now - then) / then)
        })
    };
    let mut html = String::from("<dl class=\"cards\">");
    let emissions = [
        format!("95 % between {} and {}", grams(all.ci_lower_g), grams(all.ci_upper_g)),
        "operation, by the grid where it ran (scope 2 by location, where the records are of scope 2)".to_owned(),
        change(all.total_grams, |then| then.total_grams),
    ];
    html += &card("CO2e of operation", &grams(all.total_grams), &emissions);
    let site =
        format!("{} with the site's cooling and supply", energy(all.total_energy_with_pue_kwh));
    let more = [site, change(all.total_energy_kwh, |then| then.total_energy_kwh)];
    html += &card("Energy", &energy(all.total_energy_kwh), &more);
    if let Some(market) = &all.market {
        let more = match &market.figure {
            Some(of) => {
                format!("95 % between {} and {}", grams(of.ci_lower_g), grams(of.ci_upper_g))
            }
            None => format!("{} without a factor", energy(market.unpriced_kwh)),
        };
        let value = market.figure.as_ref().map_or("none".to_owned(), |of| grams(of.total_grams));
        let matched = format!("{:.1} % matched; beside the figure by location", market.matched_pct);
        html += &card("CO2e by the market (scope 2)", &value, &[more, matched]);
    }
    if let Some(hardware) = &all.embodied {
        let more = [
            format!(
                "95 % between {} and {}",
                grams(hardware.ci_lower_g),
                grams(hardware.ci_upper_g)
            ),
            format!(
                "of {} of {}, apart from operation",
                hardware.records_with_hardware,
                counted(all.count, "record")
            ),
        ];
        html += &card("Embodied carbon", &grams(hardware.total_grams), &more);
    }
    let more = [counted(all.count, "record"), format!("weakest quality: {}", all.quality_flag)];
    html +=
        &card("Covered by counters and grid data", &format!("{:.1} %", all.coverage_pct), &more);
    html + "</dl>"
}

fn in_time(course: &Course, question: &Question) -> String {
    if course.over.is_empty() {
        return String::new();
    }
    let points =
        |value: fn(&Totals) -> f64, band: fn(&Totals) -> Option<(f64, f64)>| -> Vec<Point<'_>> {
            let point = |(name, totals): &'_ (String, Totals)| -> (usize, f64, Option<(f64, f64)>) {
                (name.len(), value(totals), band(totals))
            };
            course
                .over
                .iter()
                .map(|of| {
                    let (_, value, between) = point(of);
                    Point { name: &of.0, value, between }
                })
                .collect()
        };
    let carbon = points(|of| of.total_grams, |of| Some((of.ci_lower_g, of.ci_upper_g)));
    let used = points(|of| of.total_energy_kwh * 1e3, |_| None);
    let rows = course.over.iter().map(|(name, of)| {
        vec![
            name.clone(),
            of.count.to_string(),
            energy(of.total_energy_kwh),
            grams(of.total_grams),
            between(of.ci_lower_g, of.ci_upper_g),
        ]
    });
    let over = question.over.to_string();
    let headings = [&*over, "records", "energy", "CO2e", "95 % between"];
    let numbers = table(&format!("{over} by {over}, in UTC"), &headings, rows);
    let week: Vec<Vec<String>> = DAYS
        .iter()
        .zip(&course.week)
        .map(|(day, hours)| {
            [(*day).to_owned()].into_iter().chain(hours.iter().map(|kwh| energy(*kwh))).collect()
        })
        .collect();
    let hours: Vec<String> = (0..24).map(|hour| format!("{hour:02}")).collect();
    let headings: Vec<&str> = [""].into_iter().chain(hours.iter().map(String::as_str)).collect();
    format!(
        "<section><h2>In the course of time</h2>\
         <figure><figcaption>CO2e of operation by {over}, with the 95 % interval of each</figcaption>{}</figure>\
         <figure><figcaption>Energy by {over}</figcaption>{}</figure>{}\
         <figure><figcaption>Energy by weekday and hour, in UTC, each record spread evenly over its time</figcaption>\
         {}</figure>{}</section>",
        chart::course("carbon", "CO2e in the course of time", &carbon, "g"),
        chart::course("energy", "Energy in the course of time", &used, "Wh"),
        drawer("These numbers as a table", &numbers),
        chart::week("week", "Energy by weekday and hour", &scaled(&course.week), "Wh"),
        drawer("These numbers as a table", &table("energy by weekday and hour", &headings, week)),
    )
}

/// kWh as Wh.
fn scaled(week: &[[f64; 24]; 7]) -> [[f64; 24]; 7] {
    week.map(|day| day.map(|kwh| kwh * 1e3))
}

fn sums(rows: &[(&str, &Totals)], question: &Question) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let most = rows.iter().filter(|(name, _)| *name != "all" || rows.len() == 1);
    let most = most.map(|(_, of)| of.ci_upper_g).fold(0.0, f64::max);
    let mut html = format!("<section><h2>By {}</h2>", escaped(&question.by.to_string()));
    if question.by != GroupBy::All {
        html += "<div class=\"breakdown\" aria-hidden=\"true\">";
        let drawn = rows.iter().filter(|(name, _)| *name != "all").take(DRAWN_MAX);
        for (name, of) in drawn {
            let part = |value: f64| if most > 0.0 { 100.0 * value / most } else { 0.0 };
            let _ = write!(
                html,
                "<div><span>{}</span><svg viewBox=\"0 0 100 10\" preserveAspectRatio=\"none\">\
                 <rect class=\"bar\" width=\"{:.1}\" height=\"10\"></rect>\
                 <rect class=\"band\" x=\"{:.1}\" width=\"{:.1}\" height=\"10\"></rect></svg></div>",
                escaped(name),
                part(of.total_grams),
                part(of.ci_lower_g),
                part(of.ci_upper_g - of.ci_lower_g)
            );
        }
        html += "</div>";
    }
    let cells = |(name, of): &(&str, &Totals)| {
        vec![
            (*name).to_owned(),
            of.count.to_string(),
            energy(of.total_energy_kwh),
            grams(of.total_grams),
            between(of.ci_lower_g, of.ci_upper_g),
            of.embodied.as_ref().map_or("none stated".to_owned(), |of| grams(of.total_grams)),
            format!("{:.1} %", of.coverage_pct),
            of.quality_flag.to_owned(),
        ]
    };
    let by = question.by.to_string();
    let headings =
        [&*by, "records", "energy", "CO2e", "95 % between", "embodied", "covered", "quality"];
    html += &table(
        "operation, and apart from it the embodied carbon",
        &headings,
        rows.iter().map(cells),
    );
    let shared = rows.last().map(|(_, all)| &all.shared).filter(|shared| !shared.is_empty());
    if let Some(shared) = shared {
        let rows = shared.iter().map(|of| vec![of.key.clone(), format!("{:.1} %", of.pct)]);
        let caption = "errors that records share, and their part of the variance of the sum";
        html += &drawer("What the interval is made of", &table(caption, &["error", "part"], rows));
    }
    html + "</section>"
}

fn where_it_went(course: &Course) -> String {
    let flows: Vec<&Flow> = course.flows.iter().filter(|flow| whole(flow) > 0).collect();
    if flows.is_empty() {
        return String::new();
    }
    let mut html = String::from(
        "<section><h2>Where the energy of the hosts went</h2><p>In the windows of the records, \
         each with its host; what several windows have in common is in each of them.</p>",
    );
    for (n, flow) in flows.iter().take(FLOWS_MAX).enumerate() {
        let parts = parts(flow);
        let host = if flow.host.is_empty() { "host" } else { &flow.host };
        let short: String = host.chars().take(16).collect();
        let picture =
            chart::flow(&format!("flow{n}"), &format!("energy of {host}"), &short, &parts, "J");
        let rows = parts.iter().map(|(name, joules, _)| vec![name.clone(), si(*joules, "J")]);
        let table = table(&format!("energy of {host}"), &["what", "energy"], rows);
        let _ = write!(
            html,
            "<figure>{picture}</figure>{}",
            drawer("These numbers as a table", &table)
        );
    }
    if let Some(more @ 1..) = flows.len().checked_sub(FLOWS_MAX) {
        let _ = write!(html, "<p>{} more.</p>", counted(more as u64, "host"));
    }
    html + "</section>"
}

fn whole(flow: &Flow) -> u64 {
    let workloads = flow.workloads.iter().map(|(_, uj)| *uj);
    workloads.chain([flow.others_uj, flow.idle_uj]).fold(0, u64::saturating_add)
}

fn parts(flow: &Flow) -> Vec<(String, f64, &'static str)> {
    #[expect(clippy::cast_precision_loss, reason = "shown with three digits")]
    let joules = |uj: u64| uj as f64 / 1e6;
    let named =
        |name: &str| if name.is_empty() { "(no program)".to_owned() } else { name.to_owned() };
    let mut parts: Vec<_> = flow
        .workloads
        .iter()
        .take(PARTS_MAX)
        .map(|(name, uj)| (named(name), joules(*uj), "work"))
        .collect();
    let more =
        flow.workloads.iter().skip(PARTS_MAX).map(|(_, uj)| *uj).fold(0, u64::saturating_add);
    if more > 0 {
        parts.push(("other programs with records".to_owned(), joules(more), "work"));
    }
    parts.push(("all other processes".to_owned(), joules(flow.others_uj), "others"));
    parts.push(("idle".to_owned(), joules(flow.idle_uj), "idle"));
    parts
}

fn grounds(read: &Read, figures: &Figures) -> String {
    let grounds = &figures.grounds;
    let mut rows: Vec<Vec<String>> = Vec::new();
    let mut add = |what: String, count: u64| {
        if count > 0 {
            rows.push(vec![what, counted(count, "record")]);
        }
    };
    add("measured by this program".to_owned(), grounds.measured);
    for (quality, count) in &grounds.quality {
        add(format!("quality: {quality}"), *count);
    }
    for (source, count) in &grounds.sources {
        add(format!("intensity from: {source}"), *count);
    }
    for (why, count) in &grounds.stand_ins {
        add(format!("something stands in: {}", why.replace('_', " ")), *count);
    }
    for (note, count) in &grounds.notes {
        add(format!("note: {}", note.replace('_', " ")), *count);
    }
    add(format!("gaps of counters ({} in all)", grounds.gaps), grounds.records_with_gaps);
    let mut html = String::from("<section><h2>What stands behind it</h2>");
    html +=
        &table("of the records that are meant", &["what", "how many"], std::mem::take(&mut rows));
    let mut add = |what: &str, count: u64, of: &str| {
        if count > 0 {
            rows.push(vec![what.to_owned(), counted(count, of)]);
        }
    };
    add("began before the period, or at its end or later", read.other_times, "record");
    add("of other groups than is meant", read.others, "record");
    add("of simulated sensors", read.simulated, "record");
    add("replaced or retracted by corrections", read.superseded, "record");
    add("signed by a key that was in other hands then", read.suspect, "record");
    add("of other programs or versions", read.unread, "entry");
    let all: Vec<&Totals> = match &figures.sums.all {
        Some(all) => vec![all],
        None => figures.sums.groups.iter().map(|(_, of)| of).collect(),
    };
    let of = |amount: fn(&Totals) -> Option<Amount>| {
        all.iter().filter_map(|of| amount(of)).map(|of| of.records).sum()
    };
    add(
        "further copies of records that are counted",
        of(|of| of.left_out.map(|out| out.copies)),
        "record",
    );
    add(
        "parts of other records, whose energy includes theirs",
        of(|of| of.left_out.map(|out| out.nested)),
        "record",
    );
    if !rows.is_empty() {
        html +=
            &table("what is not counted, and why", &["why", "how many"], std::mem::take(&mut rows));
    }
    let overlaps: u64 = of(|of| of.overlaps);
    if overlaps > 0 {
        let _ = write!(
            html,
            "<p>{} overlap in time with another one of their host.</p>",
            counted(overlaps, "record")
        );
    }
    html + "</section>"
}

fn records(course: &Course, finding: &Finding) -> String {
    if course.rows.is_empty() {
        return String::new();
    }
    let shown = course.rows.len() as u64;
    let all = finding.read.records;
    let mut html = String::from("<section><h2>Records</h2>");
    if all > shown {
        let _ = write!(html, "<p>The {shown} with the largest emissions, of {all}.</p>");
    }
    html += "<div class=\"wide\"><table class=\"records\"><caption>records, by their times in UTC</caption><thead><tr>\
             <th scope=\"col\">record</th><th scope=\"col\">begun</th><th scope=\"col\">what</th><th scope=\"col\">energy</th>\
             <th scope=\"col\">CO2e</th><th scope=\"col\">95 % between</th><th scope=\"col\">quality</th></tr></thead><tbody>";
    for row in &course.rows {
        html += &record(row, finding.packs.len() > 1);
    }
    html + "</tbody></table></div></section>"
}

fn record(row: &Row, several: bool) -> String {
    let Row { at: (ledger, seq), record } = row;
    let place = if several { format!("{}:#{seq}", ledger + 1) } else { format!("#{seq}") };
    let name = record.name().unwrap_or("(stated)");
    let begun = record.start_ts.get(..16).unwrap_or(&record.start_ts).replace('T', " ");
    let Record { meta, .. } = &**record;
    format!(
        "<tr><th scope=\"row\">{}</th><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>\
         <tr class=\"more\"><td colspan=\"7\">{}</td></tr>",
        escaped(&place),
        escaped(&begun),
        escaped(name),
        escaped(&energy(record.energy_kwh)),
        escaped(&grams(record.grams)),
        escaped(&between(meta.ci_lower_g, meta.ci_upper_g)),
        record.quality_flag.as_str(),
        drawer(&format!("Inputs and sources of {place}"), &inside(record)),
    )
}

/// What a record was made of.
fn inside(record: &Record) -> String {
    let inputs = record.inputs.iter().map(|input| {
        let shared = input.shared.clone().unwrap_or_default();
        vec![input.name.clone(), input.dist.clone(), input.source.clone(), shared]
    });
    let mut html = table("inputs", &["input", "distribution", "source", "shared as"], inputs);
    let mut facts = vec![
        ("until", record.end_ts.clone()),
        ("zone", record.region.clone()),
        ("intensity", format!("{} g/kWh, from {}", record.intensity_g_per_kwh, record.source)),
        ("PUE", record.pue_used.to_string()),
        ("record", record.record_id.clone()),
    ];
    facts.extend(record.parent.clone().map(|parent| ("part of", parent)));
    facts.extend(record.host_id.clone().map(|host| ("host", host)));
    for (label, value) in &record.labels {
        facts.push(("label", format!("{label}={value}")));
    }
    for stand_in in &record.stand_ins {
        facts.push((
            "stand-in",
            format!("{} for {} ({})", stand_in.used, stand_in.asked, stand_in.why),
        ));
    }
    for source in &record.grid.sources {
        facts.push((
            "grid data",
            format!("{}, {} ({})", source.provider, source.attribution, source.licence),
        ));
    }
    if let Some(Measurement { energy, .. }) = &record.measurement {
        let text = format!(
            "{} µJ of {} µJ of the host; others {} µJ, idle {} µJ",
            energy.workload_uj, energy.host_uj, energy.others_uj, energy.idle_uj
        );
        facts.push(("measured", text));
    }
    html += "<dl class=\"facts\">";
    for (name, value) in facts {
        let _ = write!(html, "<dt>{name}</dt><dd>{}</dd>", escaped(&value));
    }
    html + "</dl>"
}

fn proof(packs: &[PackReport]) -> String {
    let mut html = String::from("<section><h2>What it is proven by</h2>");
    for report in packs {
        let text = |text: &Option<String>| escaped(text.as_deref().unwrap_or("none"));
        let _ = write!(
            html,
            "<dl class=\"facts\"><dt>ledger</dt><dd>{}</dd><dt>key of its first entry</dt><dd>{}</dd>\
             <dt>checkpoint</dt><dd>of {}, signed by {}</dd><dt>root</dt><dd>{}</dd><dt>in this file</dt><dd>{}</dd></dl>",
            text(&report.ledger_id),
            text(&report.genesis_key),
            escaped(&counted(report.size.unwrap_or_default(), "entry")),
            text(&report.signed_by),
            text(&report.root),
            if report.whole { "all of them".to_owned() } else { counted(report.entries, "entry") },
        );
    }
    html + "</section>"
}
