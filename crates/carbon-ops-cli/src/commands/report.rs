//! `carbon-ops report`: what records come to, under which key, and a page that proves it.
//!
//! Out of scope: what records come to and how a page shows it (`carbon_ops_report`).

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;

use anyhow::{Context as _, Result, anyhow, bail};
use carbon_ops::env::Env;
use carbon_ops::pack::of_ledger;
use carbon_ops::record::Record;
use carbon_ops::record::totals::{Choice, GroupBy, Load, Place, Totals};
use carbon_ops::records::{self, Counts, Verified};
use carbon_ops::sources::claims;
use carbon_ops_report::figures::{Collector, Figures, For, Grounds, chosen};
use carbon_ops_report::forms::{About, Form, FormError, Proof, Stated};
use carbon_ops_report::page::{MODULE_SHA256, Page as Html, judge_page};
use carbon_ops_report::{Colour, Question, judge};
use serde_json::{Value, json};

use super::aggregate;
use super::ledger::write_whole;
use crate::args::Report;
use crate::context::{Context, add};
use crate::layout::Page;
use crate::progress::Progress;
use crate::render::{counted, plain, si};

/// Most entries that a page holds: a browser takes half a minute to judge them.
const ENTRIES_MAX: u64 = 100_000;

/// Exit code 1 when there are no such records.
pub(crate) fn run(args: &Report, context: &mut Context<'_>) -> Result<u8> {
    if let Some(file) = &args.judge {
        write_whole(file, |to| Ok(to.write_all(judge_page().as_bytes())?))?;
        let report = json!({ "file": file, "module_sha256": MODULE_SHA256 });
        let text = format!("{}: a judge of reports, module {MODULE_SHA256}", file.display());
        return context.answer(&args.output, report, &text);
    }
    let question = question(args)?;
    let about = about(&args.about)?;
    let claims = context.settings.market.value.as_deref().map(claims).transpose()?;
    let instruments = claims.as_ref().map(|claims| &claims.instruments);
    let prepare = |record: Record, text: &[u8], place: Place| {
        let load = instruments.map(|of| Load::of(&record, of)).transpose()?;
        Ok(question.prepare(record, text, place, For::Sums, load)?)
    };
    let mut collector = Collector::new(&question, For::Sums, &records::scratch);
    let accept = &mut |prepared| Ok(collector.add(prepared, (0, 0))?);
    let read = context.records(&args.records, args.by.has_parts(), true, &prepare, accept)?;
    let figures = collector.finish(instruments)?;
    let written = match &args.html {
        Some(file) => Some(page(file, &shown(&question, &figures), &read)?),
        None => None,
    };
    let code = u8::from(read.records == 0);
    if let Some(form) = args.form {
        if code == 1 {
            writeln!(context.err, "carbon-ops: {}", FormError::Empty)?;
            return Ok(code);
        }
        let stated = in_form(form, &about, &question, &read, &figures)?;
        writeln!(context.out, "{stated:#}")?;
        return Ok(code);
    }
    if args.csv {
        aggregate::csv(&args.by, &figures.sums.groups, &mut context.out)?;
        return Ok(code);
    }
    if args.md {
        context.out.write_all(markdown(&question, &read, &figures).as_bytes())?;
        return Ok(code);
    }
    let mut report = report(&question, &read, &figures)?;
    let mut text = text(&question, &read, &figures);
    if let (Some(file), Some(Written { bytes, records, above })) = (&args.html, written) {
        let page =
            json!({ "file": file, "bytes": bytes, "records": records, "entries_above": above });
        add(&mut report, [("page", page)]);
        let file = file.display();
        let _ = writeln!(text, "{file}: a page of {}, {bytes} bytes", counted(records, "record"));
        if above > 0 {
            let above = counted(above, "entry");
            let _ = writeln!(text, "not on it: {above} above the last checkpoint");
        }
    }
    context.answer(&args.output, report, &text)?;
    Ok(code)
}

fn question(args: &Report) -> Result<Question> {
    let choice = args.records.chosen.choice();
    let by = args.form.map_or_else(|| args.by.clone(), |form| form.by(args.by.clone()));
    if args.by != by && args.by != GroupBy::All {
        bail!("--by {}: the sums of this form are by {by}\nhint: leave out --by", args.by);
    }
    Ok(Question {
        by,
        over: Question::over(&choice),
        choice,
        include_simulated: args.records.include_simulated,
    })
}

fn about(facts: &[String]) -> Result<About> {
    let fact = |text: &String| match text.split_once('=') {
        Some((name, value)) => Ok((name.to_owned(), value.to_owned())),
        None => bail!("--about {text:?} is not of the form NAME=VALUE"),
    };
    Ok(About::of(facts.iter().map(fact).collect::<Result<Vec<_>>>()?))
}

/// The figures in a form of others.
fn in_form(
    form: Form,
    about: &About,
    question: &Question,
    read: &Counts,
    figures: &Figures,
) -> Result<Value> {
    let proof = |of: &Verified| {
        let (ledger_id, root, key) = (of.ledger_id.clone(), of.root.clone(), of.key.clone());
        Proof { ledger_id, entries: of.entries, root, key }
    };
    let proofs: Vec<_> = read.verified.iter().map(proof).collect();
    let Choice { from, to, .. } = question.choice;
    let (sums, period, at) = (&figures.sums, (from, to), Env::now());
    let stated = Stated { sums, period, proofs: &proofs, about, at };
    stated.form(form).map_err(|error| match &error {
        FormError::Missing { name, .. } => anyhow!("{error}\nhint: --about '{name}=…'"),
        FormError::Activity { .. } => anyhow!("{error}\nhint: --about activity=…, or --by label:NAME"),
        FormError::Differ(_) | FormError::Co2Alone(_) => {
            anyhow!("{error}\nhint: `carbon-ops report --by scope` shows what they count; --where takes some")
        }
        _ => error.into(),
    })
}

/// The question as a page asks it: its course of time is that of the records where no period was named.
fn shown(question: &Question, figures: &Figures) -> Question {
    let time = |at: &str| at.parse::<jiff::Timestamp>().ok();
    let all = figures.sums.all.as_ref();
    let Choice { from, to, .. } = question.choice;
    let from = from.or_else(|| all.and_then(|all| time(&all.start_ts)));
    let to = to.or_else(|| all.and_then(|all| time(&all.end_ts)));
    let over = Question::over(&Choice { from, to, ..Choice::default() });
    Question { over, ..question.clone() }
}

/// A page that was written.
struct Written {
    bytes: u64,
    records: u64,
    /// How many entries no checkpoint covers, which are not on it.
    above: u64,
}

/// Writes a page of the ledgers.
fn page(file: &Path, question: &Question, read: &Counts) -> Result<Written> {
    if read.unsigned > 0 {
        bail!("records of files have no proof\nhint: give ledgers alone, or leave out --html");
    }
    let entries: u64 = read.verified.iter().map(|of| of.entries).sum();
    if entries > ENTRIES_MAX {
        bail!(
            "{entries} entries are more than the {ENTRIES_MAX} that a page holds\nhint: `carbon-ops ledger \
             audit-pack` writes a file of them, which `carbon-ops report --judge` opens"
        );
    }
    let progress = Progress::start("packing", None);
    let packs = read.verified.iter().map(|of| of_ledger(&of.path)).collect::<Result<Vec<_>>>()?;
    let packs: Vec<&[u8]> = packs.iter().map(Vec::as_slice).collect();
    let finding = judge(&packs, question, &|bytes| progress.tell(bytes, None));
    let keys: Vec<_> = read.verified.iter().map(|of| of.key.as_str()).collect();
    let verdict = finding.verdict(&keys.join("\n"));
    if verdict.colour == Colour::Red {
        bail!("no page is written, as it would not hold: {}", verdict.words);
    }
    drop(progress);
    let html = Html { question, finding: &finding, packs: &packs }.html()?;
    write_whole(file, |to| Ok(to.write_all(html.as_bytes())?))
        .with_context(|| format!("no page was written to {}", file.display()))?;
    let covered: u64 = finding.packs.iter().filter_map(|of| of.size).sum();
    let above = entries.saturating_sub(covered);
    Ok(Written { bytes: html.len() as u64, records: finding.read.records, above })
}

fn report(question: &Question, read: &Counts, figures: &Figures) -> Result<Value> {
    let mut groups = json!({});
    for (key, totals) in &figures.sums.groups {
        add(&mut groups, [(key, serde_json::to_value(totals)?)]);
    }
    let time = |at: Option<jiff::Timestamp>| at.map(|at| at.to_string());
    let common: Vec<_> = question.choice.common.iter().map(ToString::to_string).collect();
    let verified = |of: &Verified| {
        json!({ "path": of.path, "ledger_id": of.ledger_id, "entries": of.entries, "root": of.root,
            "genesis_key": of.key, "covered_by_checkpoint": of.covered })
    };
    Ok(json!({
        "from": time(question.choice.from), "to": time(question.choice.to), "where": common,
        "by": question.by.to_string(), "groups": groups, "all": figures.sums.all,
        "counts": figures.sums.counts, "before": figures.before, "grounds": figures.grounds,
        "verified": read.verified.iter().map(verified).collect::<Vec<_>>(),
        "records": read.records, "unsigned_records": read.unsigned,
        "not_counted": { "other_times": read.other_times, "not_chosen": read.others,
            "superseded": read.superseded, "suspect": read.suspect, "simulated": read.simulated,
            "unread": read.unread },
    }))
}

fn rows(figures: &Figures) -> Vec<(String, Totals)> {
    let all = figures.sums.all.clone().filter(|_| figures.sums.groups.len() != 1);
    figures.sums.groups.iter().cloned().chain(all.map(|all| ("all".to_owned(), all))).collect()
}

fn text(question: &Question, read: &Counts, figures: &Figures) -> String {
    let mut page = Page::default();
    page.title(&plain(&chosen(&question.choice)));
    for of in &read.verified {
        page.line("  ", &verified(of));
    }
    let rows = rows(figures);
    let mut text = page.text().to_owned() + "\n" + &aggregate::tables(&rows);
    let mut page = Page::default();
    if let Some(before) = before(figures) {
        page.title("");
        page.line("", &before);
    }
    page.title("");
    for (name, words) in grounds(&figures.grounds) {
        page.line(&format!("{name}: "), &plain(&words));
    }
    aggregate::remarks(read, &mut page);
    aggregate::told(&figures.sums, &mut page);
    text += page.text();
    text
}

fn verified(of: &Verified) -> String {
    let entries = counted(of.entries, "entry");
    let checkpoint = match of.covered {
        0 => "no checkpoint".to_owned(),
        covered => format!("checkpoint of {covered}"),
    };
    let Verified { path, ledger_id, key, .. } = of;
    format!("{}: valid, {entries}, key {key}, {checkpoint}, ledger {ledger_id}", path.display())
}

/// How the sum stands to that of the period before.
fn before(figures: &Figures) -> Option<String> {
    let (all, before) = (figures.sums.all.as_ref()?, figures.before.as_ref()?);
    let change = |now: f64, then: f64| match then {
        then if then > 0.0 => format!("{:+.1} %", 100.0 * (now - then) / then),
        _ => "from nothing".to_owned(),
    };
    Some(format!(
        "against the period before ({}, {}, {}): energy {}, CO2e {}",
        counted(before.count, "record"),
        si(before.total_energy_kwh * 1e3, "Wh"),
        si(before.total_grams, "g"),
        change(all.total_energy_kwh, before.total_energy_kwh),
        change(all.total_grams, before.total_grams),
    ))
}

/// What stands behind the figures, in lines.
fn grounds(of: &Grounds) -> Vec<(&'static str, String)> {
    let list = |counts: &mut dyn Iterator<Item = (&str, u64)>| {
        let words = counts.map(|(name, count)| format!("{} {count}", name.replace('_', " ")));
        words.collect::<Vec<_>>().join(", ")
    };
    let named = |counts: &std::collections::BTreeMap<String, u64>| {
        list(&mut counts.iter().map(|(name, count)| (name.as_str(), *count)))
    };
    let gaps = match of.gaps {
        0 => String::new(),
        gaps => format!("{gaps} in {}", counted(of.records_with_gaps, "record")),
    };
    let lines = [
        ("quality", list(&mut of.quality.iter().map(|(name, count)| (*name, *count)))),
        ("intensity from", named(&of.sources)),
        ("stand-ins", named(&of.stand_ins)),
        ("notes", named(&of.notes)),
        ("gaps of counters", gaps),
    ];
    lines.into_iter().filter(|(_, words)| !words.is_empty()).collect()
}

fn markdown(question: &Question, read: &Counts, figures: &Figures) -> String {
    // A bar would end a cell, and a line the table.
    let cell = |text: &str| plain(text).replace('|', "\\|");
    let mut text = format!("## Energy and carbon, {}\n\n", cell(&chosen(&question.choice)));
    for of in &read.verified {
        let _ = writeln!(text, "- {}", cell(&verified(of)));
    }
    let by = cell(&question.by.to_string());
    let _ = write!(
        text,
        "\n| {by} | records | energy | CO2e | 95 % between | embodied | covered | quality |\n\
         |---|--:|--:|--:|---|--:|--:|---|\n"
    );
    for (name, of) in &rows(figures) {
        let embodied = of.embodied.as_ref().map_or(String::new(), |of| si(of.total_grams, "g"));
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} | {} and {} | {embodied} | {:.1} % | {} |",
            cell(name),
            of.count,
            si(of.total_energy_kwh * 1e3, "Wh"),
            si(of.total_grams, "g"),
            si(of.ci_lower_g, "g"),
            si(of.ci_upper_g, "g"),
            of.coverage_pct,
            of.quality_flag
        );
    }
    if let Some(before) = before(figures) {
        let _ = writeln!(text, "\n{before}");
    }
    text.push('\n');
    for (name, words) in grounds(&figures.grounds) {
        let _ = writeln!(text, "- {name}: {}", cell(&words));
    }
    text
}
