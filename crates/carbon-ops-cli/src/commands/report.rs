//! `carbon-ops report`: what records come to, under which key, and a page that proves it.
//!
//! Out of scope: what records come to and how a page shows it (`carbon_ops_report`).

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fmt::Write as _;
use std::io::{self, Write};
use std::path::Path;

use anyhow::{Context as _, Result, anyhow, bail};
use carbon_ops::env::Env;
use carbon_ops::pack::{Selection, write_of_ledger};
use carbon_ops::record::Record;
use carbon_ops::record::totals::{Choice, GroupBy, Load, Place, Totals};
use carbon_ops::records::{self, At, Counts, Verified};
use carbon_ops::sources::claims;
use carbon_ops_report::figures::{Collector, Figures, For, Grounds, Prepared, chosen};
use carbon_ops_report::forms::{About, Form, FormError, Proof, Stated};
use carbon_ops_report::page::{MODULE_SHA256, Page as Html, judge_page};
use carbon_ops_report::{Beside, Colour, Question, judge, stated as html_of_stated};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::ledger::write_whole;
use crate::args::Report;
use crate::context::Context;
use crate::layout::Page;
use crate::progress::Progress;
use crate::render::add;
use crate::render::{counted, plain, si};
use carbon_ops_words::sums;

/// Most entries that a page holds: a browser takes half a minute to judge them.
const ENTRIES_MAX: u64 = 100_000;

/// Records of an excerpt: with the judge, a page of less than a megabyte.
const EXCERPT_ROWS: usize = 50;

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
        let grams = record.grams;
        Ok((question.prepare(record, text, place, For::Sums, load)?, grams))
    };
    let mut known = None;
    let (read, collector, largest) = loop {
        let collector = Collector::new(&question, For::Sums, &records::scratch);
        let (mut collector, mut largest) = (collector.knowing(known.take()), Largest::default());
        let accept = &mut |(prepared, grams): (Prepared, f64), at: At| {
            if args.html.is_some() && prepared.is_chosen() {
                largest.add(grams, at);
            }
            Ok(collector.add(prepared, (at.ledger, at.seq))?)
        };
        let read =
            context.records_at(&args.records, args.by.has_parts(), true, &prepare, accept)?;
        known = collector.known();
        if known.is_none() {
            break (read, collector, largest);
        }
    };
    let figures = collector.finish(instruments)?;
    let written = match &args.html {
        Some(file) => {
            let entries: u64 = read.verified.iter().map(|of| of.entries).sum();
            let excerpt = args.excerpt || entries > ENTRIES_MAX;
            let stated = excerpt.then_some((&figures, largest));
            Some(page(file, &shown(&question, &figures), &read, stated)?)
        }
        None => None,
    };
    let code = u8::from(read.entries.records == 0);
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
        sums::csv(&args.by, &figures.sums.groups, &mut context.out)?;
        return Ok(code);
    }
    if args.md {
        context.out.write_all(markdown(&question, &read, &figures).as_bytes())?;
        return Ok(code);
    }
    let mut report = report(&question, &read, &figures)?;
    let mut text = text(&question, &read, &figures);
    if let (Some(file), Some(written)) = (&args.html, written) {
        written.tell(file, &mut report, &mut text);
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
    /// What lies beside an excerpt.
    packs: Vec<Beside>,
}

impl Written {
    fn tell(&self, file: &Path, report: &mut Value, text: &mut String) {
        let Self { bytes, records, above, packs } = self;
        let mut page =
            json!({ "file": file, "bytes": bytes, "records": records, "entries_above": above });
        let of = |pack: &Beside| json!({ "file": pack.file, "bytes": pack.bytes, "sha256": pack.sha256 });
        if !packs.is_empty() {
            add(&mut page, [("packs", packs.iter().map(of).collect())]);
        }
        add(report, [("page", page)]);
        let file = file.display();
        let _ = writeln!(text, "{file}: a page of {}, {bytes} bytes", counted(*records, "record"));
        for Beside { file, bytes, .. } in packs {
            let _ = writeln!(text, "{file}: all entries, {bytes} bytes, which prove the sums");
        }
        if *above > 0 {
            let above = counted(*above, "entry");
            let _ = writeln!(text, "not on it: {above} above the last checkpoint");
        }
    }
}

/// The records with the largest emissions.
#[derive(Debug, Default)]
struct Largest(BinaryHeap<Reverse<(u64, Reverse<At>)>>);

impl Largest {
    fn add(&mut self, grams: f64, at: At) {
        // Doubles that are not negative are ordered as their bits are.
        self.0.push(Reverse((grams.to_bits(), Reverse(at))));
        if self.0.len() > EXCERPT_ROWS {
            self.0.pop();
        }
    }

    /// Those of a ledger, below its checkpoint, with what corrects them.
    fn of(&self, ledger: usize, covered: u64) -> Selection {
        let at = self.0.iter().map(|Reverse((_, Reverse(at)))| at);
        let at = at.filter(|at| at.ledger == ledger);
        let whole = |at: &At| [Some(at.seq), at.corrected_by].into_iter().flatten().max();
        let at = at.filter(|at| whole(at) < Some(covered));
        let mut seqs: Vec<u64> =
            at.flat_map(|at| [Some(at.seq), at.corrected_by]).flatten().chain([0]).collect();
        seqs.sort_unstable();
        seqs.dedup();
        Selection::of(&seqs)
    }
}

/// Writes a page of the ledgers; of an excerpt with what is stated of all, and which records it has.
fn page(
    file: &Path,
    question: &Question,
    read: &Counts,
    stated: Option<(&Figures, Largest)>,
) -> Result<Written> {
    if read.entries.unsigned > 0 {
        bail!("records of files have no proof\nhint: give ledgers alone, or leave out --html");
    }
    let entries: u64 = read.verified.iter().map(|of| of.entries).sum();
    let progress = Progress::start("packing", None);
    let selection = |(number, of): (usize, &Verified)| match &stated {
        Some((_, largest)) => largest.of(number, of.covered),
        None => Selection::All,
    };
    let selections: Vec<Selection> = read.verified.iter().enumerate().map(selection).collect();
    let pack = |(of, selection): (&Verified, &Selection)| {
        let mut pack = Vec::new();
        write_of_ledger(&of.path, selection, &mut pack)?;
        Ok(pack)
    };
    let packs = read.verified.iter().zip(&selections).map(pack).collect::<Result<Vec<_>>>()?;
    let packs: Vec<&[u8]> = packs.iter().map(Vec::as_slice).collect();
    let finding = judge(&packs, question, &|bytes| progress.tell(bytes, None));
    let keys: Vec<_> = read.verified.iter().map(|of| of.key.as_str()).collect();
    let verdict = finding.verdict(&keys.join("\n"));
    if verdict.colour == Colour::Red {
        bail!("no page is written, as it would not hold: {}", verdict.words);
    }
    // Before the page, so that none names what is not there.
    let beside = match stated {
        Some(_) => beside(file, &read.verified)?,
        None => Vec::new(),
    };
    drop(progress);
    let stated =
        stated.map(|(figures, _)| html_of_stated(figures, &read.entries, question, &beside));
    let page = Html { question, finding: &finding, packs: &packs, stated: stated.as_deref() };
    let html = page.html()?;
    write_whole(file, |to| Ok(to.write_all(html.as_bytes())?))
        .with_context(|| format!("no page was written to {}", file.display()))?;
    let covered: u64 = finding.packs.iter().filter_map(|of| of.size).sum();
    let above = entries.saturating_sub(covered);
    let bytes = html.len() as u64;
    Ok(Written { bytes, records: finding.read.records, above, packs: beside })
}

/// Writes all entries of the ledgers beside a page: `FILE.pack`, and of several `FILE.1.pack` and so on.
fn beside(file: &Path, ledgers: &[Verified]) -> Result<Vec<Beside>> {
    let mut packs = Vec::new();
    for (number, of) in ledgers.iter().enumerate() {
        let ending = match ledgers.len() {
            1 => ".pack".to_owned(),
            _ => format!(".{}.pack", number + 1),
        };
        let mut path = file.as_os_str().to_owned();
        path.push(&ending);
        let path = Path::new(&path);
        let (bytes, sha256) = write_whole(path, |to| {
            let mut to = Hashed { to, hash: Sha256::new(), bytes: 0 };
            write_of_ledger(&of.path, &Selection::All, &mut to)?;
            Ok((to.bytes, hex(&to.hash.finalize())))
        })?;
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        packs.push(Beside { file: name, bytes, sha256 });
    }
    Ok(packs)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

/// A file that is hashed and counted on its way.
struct Hashed<'t> {
    to: &'t mut dyn Write,
    hash: Sha256,
    bytes: u64,
}

impl Write for Hashed<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.to.write(bytes)?;
        self.hash.update(bytes.get(..written).unwrap_or_default());
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
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
        "records": read.entries.records, "unsigned_records": read.entries.unsigned,
        "not_counted": { "other_times": read.entries.other_times, "not_chosen": read.entries.others,
            "superseded": read.entries.superseded, "suspect": read.entries.suspect, "simulated": read.entries.simulated,
            "unread": read.entries.unread },
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
    let mut text = page.text().to_owned() + "\n" + &sums::tables(&rows);
    let mut page = Page::default();
    if let Some(before) = before(figures) {
        page.title("");
        page.line("", &before);
    }
    page.title("");
    for (name, words) in grounds(&figures.grounds) {
        page.line(&format!("{name}: "), &plain(&words));
    }
    sums::remarks(read, &mut page);
    sums::told(&figures.sums, &mut page);
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
