//! `ledger sample`: records drawn for an audit.
//!
//! Out of scope: drawing ([`carbon_ops::sample`]).

use anyhow::{Context as _, Result, bail};
use carbon_ops::records::How;
use carbon_ops::sample::{self, MAX_DRAWS};
use serde_json::json;

use crate::args::LedgerSample;
use crate::context::Context;
use crate::layout::{Page, Table};
use crate::progress::Progress;
use crate::render::{counted, si};

pub(super) fn draw(args: &LedgerSample, context: &mut Context<'_>) -> Result<u8> {
    let ledger = args.at.path.clone().or_else(|| context.settings.ledger.value.clone());
    let ledger = ledger.context("no ledger was named")?;
    let draws = match args.draws {
        Some(draws) => draws,
        None => sample::draws(args.misstated, args.confidence).unwrap_or_default(),
    };
    if draws > MAX_DRAWS {
        bail!(
            "{draws} draws are more than {MAX_DRAWS}\nhint: give a larger --misstated, or less --confidence"
        );
    }
    let progress = Progress::start("reading", None);
    let how = How {
        tell: &|bytes| progress.tell(bytes, None),
        trust: args.trusted.trust.as_deref(),
        include_simulated: args.include_simulated,
        parts: false,
        choice: &args.chosen.choice(),
        other_times: false,
        settings: &context.settings,
        env: &context.env,
    };
    let sample = sample::draw(&ledger, &how, &args.nonce, draws)?;
    drop(progress);
    let mut table = Table::new(&["entry", "energy", "draws"]);
    for drawn in &sample.drawn {
        let by = drawn.corrected_by.map_or(String::new(), |by| format!(" by #{by}"));
        let energy = si(joules(drawn.energy_uj), "J");
        table.row([format!("#{}{by}", drawn.seq), energy, drawn.hits.to_string()]);
    }
    let mut page = Page::default();
    let (records, total) = (counted(sample.records, "record"), si(joules(sample.energy_uj), "J"));
    page.title(&format!(
        "{} of {records} with {total}, in {}",
        counted(draws, "draw"),
        counted(sample.ledger.entries, "line")
    ));
    page.item(&format!("ledger {}, root {}", sample.ledger.ledger_id, sample.ledger.root));
    if args.draws.is_none() {
        let (share, sure) = (100.0 * args.misstated, 100.0 * args.confidence);
        page.item(&format!("where {share} % of the energy or more is misstated, some of it is among these with {sure} %"));
    }
    if sample.ledger.covered < sample.ledger.entries {
        page.item("no checkpoint covers all of it: sign one before the nonce is known, and keep it elsewhere");
    }
    let mut entries: Vec<u64> = sample
        .drawn
        .iter()
        .flat_map(|drawn| [Some(drawn.seq), drawn.corrected_by])
        .flatten()
        .collect();
    entries.sort_unstable();
    entries.dedup();
    let list = entries.iter().map(u64::to_string).collect::<Vec<_>>().join(",");
    let command = format!(
        "carbon-ops ledger audit-pack {} --records {list} --out sample.pack",
        ledger.display()
    );
    let drawn: Vec<_> = sample.drawn.iter().map(|drawn| {
        json!({ "seq": drawn.seq, "corrected_by": drawn.corrected_by, "energy_uj": drawn.energy_uj, "hits": drawn.hits })
    }).collect();
    let report = json!({ "ledger": ledger.display().to_string(), "ledger_id": sample.ledger.ledger_id,
        "size": sample.ledger.entries, "root": sample.ledger.root, "covered": sample.ledger.covered,
        "nonce": args.nonce, "draws": draws, "misstated": args.draws.is_none().then_some(args.misstated),
        "confidence": args.draws.is_none().then_some(args.confidence), "records": sample.records,
        "energy_uj": sample.energy_uj.to_string(), "drawn": drawn, "entries": entries });
    let text = format!("{}{}hint: {command}\n", page.text(), table.text());
    context.answer(&args.at.output, report, &text)
}

fn joules(microjoules: u64) -> f64 {
    carbon_ops::units::Microjoules::new(microjoules).as_joules()
}
