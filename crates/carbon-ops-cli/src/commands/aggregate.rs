//! `carbon-ops aggregate`: sums over records of ledgers and files, each with its interval: operation, and
//! apart from it the embodied carbon.
//!
//! Out of scope: what is added to what (`carbon_ops::record::totals::Adder`), and how errors are shared
//! (`carbon_ops::estimate::aggregate`).

use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Result, bail};
use carbon_ops::estimate::market::Claims;
use carbon_ops::estimate::uncertainty::{GENERATOR, MonteCarlo, TRIALS, Trials};
use carbon_ops::record::Record;
use carbon_ops::record::totals::{Addend, Adder, Load, Place, Sums};
use carbon_ops::records::{self, Counts};
use carbon_ops::sources::claims;
use serde_json::{Value, json};

use crate::args::{Aggregate, AggregateMethod};
use crate::context::Context;
use crate::layout::Page;
use crate::render::{add, counted};
use carbon_ops::env::Env;
use carbon_ops_words::sums::{by_market, csv, operation, remarks, told};

/// Most records times trials: ten thousand records by 200,000 trials are minutes of a core. For so many
/// the moments are as good.
const DRAWS_MAX: u64 = 2_000_000_000;

/// Exit code 1 when there is nothing to add up.
pub(crate) fn run(args: &Aggregate, context: &mut Context<'_>) -> Result<u8> {
    let sampling = sampling(args)?;
    // For the draws, as long as there are not too many.
    let (most, records) = (DRAWS_MAX / trials(args).max(1), AtomicU64::new(0));
    let drawn = || sampling.is_some() && records.fetch_add(1, Ordering::Relaxed) < most;
    let claims = context.settings.market.value.as_deref().map(claims).transpose()?;
    let instruments = claims.as_ref().map(|claims| &claims.instruments);
    let addend = |record: Record, text: &[u8], place: Place| {
        if place == Place::OtherTime {
            return Ok(Addend::of(record, text, &args.by, false)?.beside());
        }
        let load = instruments.map(|of| Load::of(&record, of)).transpose()?;
        Ok(Addend::of(record, text, &args.by, drawn())?.with_load(load))
    };
    let mut known = None;
    let (read, adder) = loop {
        records.store(0, Ordering::Relaxed);
        let mut adder = Adder::new(&records::scratch).knowing(known.take());
        let accept = &mut |addend| Ok(adder.add(addend)?);
        let read = context.records(&args.records, args.by.has_parts(), true, &addend, accept)?;
        known = adder.accounts();
        if known.is_none() {
            break (read, adder);
        }
    };
    if sampling.is_some() {
        affordable(read.entries.records, trials(args))?;
    }
    let mut sums = adder.finish(sampling.as_ref(), instruments)?;
    if let Some(level) = args.level.level {
        sums = sums.at_level(level);
    }
    let code = u8::from(read.entries.records == 0);
    if args.csv {
        csv(&args.by, &sums.groups, &mut context.out)?;
        return Ok(code);
    }
    let mut report = report(args, &read, &sums, sampling.as_ref())?;
    if let Some(Claims { factor, gases, sha256, .. }) = &claims {
        let of = json!({ "factor": factor, "gases": gases, "sha256": sha256.to_string() });
        add(&mut report, [("instruments", of)]);
    }
    let mut page = Page::default();
    if let Some(MonteCarlo { seed, .. }) = sampling {
        let trials = trials(args);
        page.title(&format!("intervals by monte_carlo: {trials} trials, seed {seed}, {GENERATOR}"));
    }
    remarks(&read, &mut page);
    told(&sums, &mut page);
    let all = sums.all.filter(|_| sums.groups.len() != 1).map(|all| ("all".to_owned(), all));
    let rows: Vec<_> = sums.groups.into_iter().chain(all).collect();
    let mut text = operation(&rows);
    let told = rows.iter().find_map(|(_, totals)| totals.market.as_ref());
    if let Some(market) = told {
        let of_file =
            claims.as_ref().map(|Claims { factor, gases, .. }| format!("{factor} {gases}"));
        let counts = of_file.unwrap_or_else(|| market.counts.join(", "));
        text = format!("{text}\nscope 2 by the market ({counts}), no part of the figures above:\n");
        text += &by_market(&rows);
        let others = rows.iter().filter_map(|(_, totals)| totals.market.as_ref());
        if let Some(others @ 1..) = others.map(|market| market.records_of_other_scopes).max() {
            let others = counted(others, "record");
            page.title(&format!("{others} of other scopes, which have no figure by the market"));
        }
    }
    context.answer(&args.output, report, &(text + page.text()))?;
    Ok(code)
}

/// The settings of sampling, where it was asked for.
fn sampling(args: &Aggregate) -> Result<Option<MonteCarlo>> {
    if args.level.level.is_some() && args.method == AggregateMethod::MonteCarlo {
        bail!("trials give intervals of 95 %\nhint: leave out --method monte_carlo");
    }
    if args.method == AggregateMethod::LognormalMoments {
        if args.sampling.trials.is_some() || args.sampling.seed.is_some() {
            bail!("--trials and --seed are for sampling\nhint: add --method monte_carlo");
        }
        return Ok(None);
    }
    let seed = args.sampling.seed.map_or_else(|| Env::random().map(u64::from_be_bytes), Ok)?;
    let (trials, threads) = (Trials::Fixed(trials(args)), Env::threads());
    Ok(Some(MonteCarlo { trials, threads, ..MonteCarlo::seeded(seed) }))
}

fn trials(args: &Aggregate) -> u64 {
    args.sampling.trials.unwrap_or(TRIALS)
}

fn affordable(records: u64, trials: u64) -> Result<()> {
    if records.saturating_mul(trials) > DRAWS_MAX {
        bail!(
            "{trials} trials of {records} records are more than {DRAWS_MAX} draws of a record\nhint: give fewer \
             --trials, or use the default method, which for so many records is as good"
        );
    }
    Ok(())
}

fn report(
    args: &Aggregate,
    read: &Counts,
    sums: &Sums,
    sampling: Option<&MonteCarlo>,
) -> Result<Value> {
    let mut groups = json!({});
    for (key, totals) in &sums.groups {
        add(&mut groups, [(key, serde_json::to_value(totals)?)]);
    }
    let mut report = json!({
        "by": args.by.to_string(), "groups": groups, "all": sums.all, "counts": sums.counts,
        "method": if sampling.is_some() { "monte_carlo" } else { "lognormal_moments" },
        "ledgers_verified": read.ledgers, "unsigned_records": read.entries.unsigned,
        "superseded_records": read.entries.superseded, "unread_entries": read.entries.unread,
        "records_of_other_times": read.entries.other_times, "records_not_chosen": read.entries.others,
        "simulated_records_left_out": read.entries.simulated, "suspect_records_left_out": read.entries.suspect,
    });
    if let Some(settings) = sampling {
        // A seed may be beyond what JSON readers keep exactly.
        let seed = settings.seed.to_string();
        let drawn = json!({ "generator": GENERATOR, "seed": seed, "trials": trials(args) });
        add(&mut report, [("monte_carlo", drawn)]);
    }
    Ok(report)
}
