//! `carbon-ops ledger append`: records from standard input, one JSON object a line, into a ledger.
//!
//! One thread reads and submits; this one waits for what is acknowledged and tells it, in the order of
//! the lines, so that whoever writes the lines can wait for each. Left out: ledgers of version 0.1,
//! which are `legacy.rs`.

use std::io::{BufRead, Read as _, Write};
use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use anyhow::{Context as _, Result};
use carbon_ops::ledger::Error as LedgerError;
use carbon_ops::ledger::append::pipeline::{Acknowledged, Submitter, Ticket};
use carbon_ops::proof::canonical::{Value, parse};
use carbon_ops::proof::entry::MAX_LINE_BYTES;
use carbon_ops_words::said::{Level, Say as _};
use serde_json::json;

use super::witnessed::notices;
use crate::args::LedgerAppend;
use crate::commands::verdict::COULD_NOT;
use crate::context::Context;
use crate::progress::Progress;
use crate::render::{counted, describe};
use carbon_ops::verify::{Owner, check_object};
use carbon_ops::witnessing::{Witnesses, Witnessing};

/// As many lines may be under way as one submitter may have.
const UNDER_WAY: usize = 1024;

/// The longest line that is read: JSON with blanks and escapes is longer than the canonical form, but
/// not a hundred times.
const MAX_INPUT_BYTES: u64 = 100 * MAX_LINE_BYTES as u64;

const NO_CHECKPOINT: &str = "the records are stored, and no checkpoint was signed or logged";

/// What became of a line when it was submitted, with its number from 1 and its length.
type Submitted = (u64, u64, Result<Ticket, String>);

pub(super) fn append(args: &LedgerAppend, context: &mut Context<'_>) -> Result<u8> {
    let store = context.store(args.path.as_deref())?;
    let pipeline = context.pipeline(&store)?;
    let Context { settings, out, err, manner, .. } = context;
    let witnesses = Some(Witnesses::of(settings)).filter(|witnesses| !witnesses.is_empty());
    let manner = *manner;
    let tell_refusals = move |asked| {
        for notice in notices(&asked) {
            manner.stderr().say(Level::Warning, &notice);
        }
    };
    let witnessing = witnesses.map(|asked| Witnessing::start(&store, asked, tell_refusals));
    let witnessing = witnessing.transpose()?;
    let (tell, lines) = sync_channel(UNDER_WAY);
    let submitter = pipeline.submitter();
    // Not waited for: it may be waiting for a line that never comes when this thread has to stop.
    std::thread::Builder::new()
        .name("reader".to_owned())
        .spawn(move || submit_all(&submitter, &tell))
        .context("cannot start a thread")?;
    let mut told = Told { json: args.json, ..Told::default() };
    let all = told.all(&lines, out, err);
    let closed = pipeline.close();
    // What is stored is told, whatever failed behind it.
    told.sum_up(&store.ledger, out)?;
    all?;
    if let Some(error) = closed?.no_checkpoint {
        let error = anyhow::Error::new(error);
        let _ = writeln!(err, "carbon-ops: {NO_CHECKPOINT}: {}", describe(&error));
    }
    if let Some(witnessing) = witnessing {
        // All is stored and signed for; a witness that takes its time keeps nobody waiting but this.
        witnessing.finish();
    }
    Ok(if told.refused > 0 { COULD_NOT } else { 0 })
}

/// Reads lines to the end and submits each; a line that is refused does not stop it.
fn submit_all(submitter: &Submitter, tell: &SyncSender<Result<Submitted>>) {
    let mut input = std::io::stdin().lock();
    for number in 1.. {
        let mut line = Vec::new();
        let read = input.by_ref().take(MAX_INPUT_BYTES).read_until(b'\n', &mut line);
        let submitted = match read.context("cannot read standard input") {
            Ok(0) => return,
            Ok(read) => submit(submitter, &line).map(|done| (number, read as u64, done)),
            Err(error) => Err(error),
        };
        let stop = submitted.is_err();
        if tell.send(submitted).is_err() || stop {
            return;
        }
    }
}

/// Why a line is refused, or why nothing can be submitted any more.
fn submit(submitter: &Submitter, line: &[u8]) -> Result<Result<Ticket, String>> {
    let payload = match parse(line.trim_ascii()) {
        Ok(Value::Object(payload)) => payload,
        Ok(_) => return Ok(Err("it is not an object".to_owned())),
        Err(error) => return Ok(Err(error.to_string())),
    };
    match check_object(&payload, false) {
        Ok(Owner::Us | Owner::Foreign) => {}
        Ok(Owner::Newer) => {
            let reason = "it is of a schema that this version does not know and cannot check";
            return Ok(Err(reason.to_owned()));
        }
        Err(reason) => return Ok(Err(reason.to_string())),
    }
    match submitter.submit(&payload) {
        Ok(ticket) => Ok(Ok(ticket)),
        Err(error @ LedgerError::InvalidEntry(_)) => Ok(Err(error.to_string())),
        Err(error) => Err(error.into()),
    }
}

/// What was told so far.
#[derive(Default)]
struct Told {
    json: bool,
    appended: u64,
    refused: u64,
    /// The numbers of the first and the last entry.
    seqs: Option<(u64, u64)>,
}

impl Told {
    /// Tells what becomes of each line, in order, until there are no more.
    fn all(
        &mut self,
        lines: &Receiver<Result<Submitted>>,
        out: &mut impl Write,
        err: &mut impl Write,
    ) -> Result<()> {
        let progress = Progress::start("appending", None);
        let mut bytes = 0;
        loop {
            let next = if let Ok(next) = lines.try_recv() {
                next
            } else {
                // Whoever waits for an acknowledgement before the next line gets it.
                out.flush()?;
                let Ok(next) = lines.recv() else { return Ok(()) };
                next
            };
            let (number, length, submitted) = next?;
            match submitted.map(Ticket::wait) {
                Ok(Ok(acknowledged)) => self.acknowledge(number, acknowledged, out)?,
                Ok(Err(error @ (LedgerError::InvalidEntry(_) | LedgerError::Busy { .. }))) => {
                    self.refuse(number, &describe(&error.into()), err);
                }
                Ok(Err(error)) => {
                    out.flush()?;
                    return Err(error).with_context(|| format!("line {number}"));
                }
                Err(reason) => self.refuse(number, &reason, err),
            }
            bytes += length;
            progress.tell(bytes, Some(number));
        }
    }

    fn acknowledge(
        &mut self,
        number: u64,
        acknowledged: Acknowledged,
        out: &mut impl Write,
    ) -> Result<()> {
        let Acknowledged { seq, hash, .. } = acknowledged;
        self.appended += 1;
        self.seqs = Some((self.seqs.map_or(seq, |(first, _)| first), seq));
        if self.json {
            let hash = hash.to_string();
            let line = json!({ "schema_version": 1, "line": number, "seq": seq, "hash": hash });
            writeln!(out, "{line}")?;
        }
        Ok(())
    }

    fn refuse(&mut self, number: u64, reason: &str, err: &mut impl Write) {
        self.refused += 1;
        let _ = writeln!(err, "carbon-ops: line {number} was not appended: {reason}");
    }

    fn sum_up(&self, ledger: &Path, out: &mut impl Write) -> Result<()> {
        let (ledger, records) = (ledger.display(), counted(self.appended, "record"));
        match self.seqs {
            _ if self.json => {}
            Some((first, last)) => {
                writeln!(out, "appended {records} to {ledger}, seq {first} to {last}")?;
            }
            None => writeln!(out, "appended nothing to {ledger}")?,
        }
        Ok(())
    }
}
