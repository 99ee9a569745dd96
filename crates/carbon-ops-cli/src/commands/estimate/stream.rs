//! Spans from standard input, one by one: to compact rows, full records, or a ledger.
//!
//! Out of scope: what a line means (`row`), and what it costs (`pricer`).

use std::collections::VecDeque;
use std::io::{self, BufRead, IsTerminal as _, Read as _, Write};

use anyhow::{Context as _, Result, anyhow};
use carbon_ops::ledger::append::pipeline::{Pipeline, Submitter, Ticket};
use carbon_ops::proof::canonical::{Object, Value, parse};
use carbon_ops::record::Record;
use carbon_ops::record::timestamp;
use carbon_ops_words::said::{Level, Say};
use jiff::Timestamp;

use crate::args::{Estimate, InputFormat, OnError};
use crate::context::Context;
use crate::progress::{Counted, Progress};
use crate::render::{counted, describe};
use carbon_ops::price::{Pricer, Span};
use carbon_ops::row::{Columns, LINE_BYTES_MAX, Row};
use carbon_ops::{brief, bytes};

/// Bad lines that are named one by one.
const NAMED_MAX: u64 = 20;

/// U+FEFF in UTF-8.
const BOM: &[u8] = b"\xef\xbb\xbf";

/// What is gathered before it is written.
const OUT_BYTES: usize = 1 << 18;

/// What is read at once.
const IN_BYTES: usize = 1 << 18;

/// Reads spans to the end. Exit code 0, or 1 when lines were skipped or there are none.
pub(super) fn run(
    args: &Estimate,
    pricer: &mut Pricer<'_>,
    context: &mut Context<'_>,
) -> Result<u8> {
    if io::stdin().is_terminal() {
        context.err.say(Level::Info, "reading spans from the terminal; ctrl-D ends");
    }
    // Rows go to a terminal themselves.
    let progress = Progress::start("storing", None).only(args.ledger.is_some());
    let stdin = Counted::new(io::stdin().lock(), &progress);
    let mut input = io::BufReader::with_capacity(IN_BYTES, stdin);
    // A byte order mark, which some programs begin a file with.
    if input.fill_buf()?.starts_with(BOM) {
        input.consume(BOM.len());
    }
    let format = match args.format {
        InputFormat::Auto => sniffed(&mut input)?,
        given => given,
    };
    let sink = match &args.ledger {
        Some(ledger) => {
            let pipeline = context.pipeline(&context.store(Some(ledger))?)?;
            let (submitter, tickets) = (pipeline.submitter(), VecDeque::new());
            Sink::Ledger(Box::new(Signing { pipeline, submitter, tickets }))
        }
        None if args.records => Sink::Records,
        None => Sink::Rows,
    };
    let mut stream = Stream {
        pricer,
        out: context.out.stream(),
        err: &mut *context.err,
        sink,
        on_error: args.on_error,
        buffer: Vec::with_capacity(2 * OUT_BYTES),
        times: Times::default(),
        spans: 0,
        bad: 0,
    };
    let result = match format {
        InputFormat::Csv => stream.csv(input),
        InputFormat::Ndjson | InputFormat::Auto => stream.ndjson(input),
    };
    // What was priced before a bad line is valid, and goes out.
    stream.finish(result)
}

/// A brace begins JSON; a heading begins CSV.
fn sniffed(input: &mut impl BufRead) -> Result<InputFormat> {
    let first = input.fill_buf()?.iter().copied().find(|byte| !byte.is_ascii_whitespace());
    // A list is no CSV either, and the error tells what is expected.
    Ok(if first.is_none_or(|byte| byte == b'{' || byte == b'[') {
        InputFormat::Ndjson
    } else {
        InputFormat::Csv
    })
}

fn object(record: &Record, buffer: &mut Vec<u8>) -> Result<Object> {
    buffer.clear();
    bytes::record(record, buffer)?;
    match parse(buffer).context("the record has no canonical form")? {
        Value::Object(object) => Ok(object),
        _ => Err(anyhow!("the record is not a JSON object")),
    }
}

/// Where records go.
enum Sink {
    /// Compact rows to standard output.
    Rows,
    /// Unsigned records to standard output.
    Records,
    /// Signed into a ledger.
    Ledger(Box<Signing>),
}

struct Stream<'a, 's> {
    pricer: &'a mut Pricer<'s>,
    out: &'a mut dyn Write,
    err: &'a mut dyn Say,
    sink: Sink,
    on_error: OnError,
    buffer: Vec<u8>,
    times: Times,
    /// Lines that were priced.
    spans: u64,
    /// Lines that were skipped.
    bad: u64,
}

impl Stream<'_, '_> {
    fn ndjson(&mut self, mut input: impl BufRead) -> Result<()> {
        let (mut line, mut number) = (Vec::with_capacity(1 << 12), 0);
        loop {
            line.clear();
            let limit = u64::try_from(LINE_BYTES_MAX + 2)?;
            if (&mut input).take(limit).read_until(b'\n', &mut line)? == 0 {
                return Ok(());
            }
            number += 1;
            while line.last().is_some_and(u8::is_ascii_whitespace) {
                line.pop();
            }
            if line.is_empty() {
                continue;
            }
            if line.len() > LINE_BYTES_MAX {
                let length = line.len();
                return Err(anyhow!("more than {length} bytes, and {LINE_BYTES_MAX} are the most"))
                    .context(at(number));
            }
            let done = Row::of_json(&line).and_then(|row| self.span(&row));
            self.judge(done, number)?;
        }
    }

    fn csv(&mut self, input: impl BufRead) -> Result<()> {
        // With an end to the last line, the reader is always at the beginning of one after a row.
        let mut reader = csv::ReaderBuilder::new()
            .trim(csv::Trim::Fields)
            .flexible(true)
            .terminator(csv::Terminator::Any(b'\n'))
            .from_reader(input.chain(&b"\n"[..]));
        let columns = Columns::of(reader.headers().context("line 1")?).context("line 1")?;
        let mut record = csv::StringRecord::new();
        loop {
            let done = match reader.read_record(&mut record) {
                Ok(false) => return Ok(()),
                // What spreadsheets leave of a line that was deleted.
                Ok(true) if record.iter().all(str::is_empty) => continue,
                Ok(true) => columns.row(&record).and_then(|row| self.span(&row)),
                Err(error) if matches!(error.kind(), csv::ErrorKind::Io(_)) => {
                    return Err(error.into());
                }
                Err(error) => Err(error.into()),
            };
            let within = record.iter().map(|field| field.matches('\n').count()).sum::<usize>();
            let number = reader.position().line().saturating_sub(1 + u64::try_from(within)?);
            self.judge(done, number)?;
        }
    }

    /// Counts a line, or refuses it as was asked for.
    fn judge(&mut self, done: Result<()>, line: u64) -> Result<()> {
        match done {
            Ok(()) => {
                self.spans += 1;
                if self.buffer.len() >= OUT_BYTES { self.flush() } else { Ok(()) }
            }
            // Not the line's fault.
            Err(error) if error.is::<Unwritable>() => Err(error),
            Err(error) if self.on_error == OnError::Skip => {
                self.bad += 1;
                if self.bad <= NAMED_MAX {
                    let text = describe(&error.context(at(line)));
                    self.err.say(Level::Warning, &text);
                }
                Ok(())
            }
            Err(error) => Err(error.context(at(line))),
        }
    }

    fn span(&mut self, row: &Row<'_>) -> Result<()> {
        let read = row.read()?;
        let pue = row.pue();
        let span = Span {
            interval: read.interval,
            energy: read.energy,
            measured: None,
            load: &read.load,
            energy_source: "stated",
            zone: row.zone(),
            pue: pue.as_deref(),
            id: row.id(),
            host: row.host(),
            labels: row.labels.as_ref(),
        };
        let is_rows = matches!(self.sink, Sink::Rows);
        if let Some(quote) = self.pricer.quote(&span)? {
            let times = self.times.both(&span);
            if is_rows {
                return quote.row(&span, times, &mut self.buffer);
            }
            quote.restate(times.0, times.1, span.energy.mean())?;
            quote.rename(&span)?;
            return self.sink.put(&quote.record, &mut self.buffer);
        }
        // All parts of a span, or none.
        for record in self.pricer.records(&span)? {
            self.sink.put(&record, &mut self.buffer)?;
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<()> {
        self.out.write_all(&self.buffer)?;
        self.buffer.clear();
        Ok(())
    }

    fn finish(mut self, result: Result<()>) -> Result<u8> {
        self.flush()?;
        // Also what came before a bad line is to be durable.
        if let Sink::Ledger(ledger) = self.sink {
            ledger.close()?;
        }
        result?;
        if self.spans + self.bad == 0 {
            self.err.say(Level::Warning, "there are no spans in the input");
            return Ok(1);
        }
        if self.bad == 0 {
            return Ok(0);
        }
        let (spans, bad) = (counted(self.spans, "span"), counted(self.bad, "bad line"));
        self.err.say(Level::Warning, &format!("{spans}; {bad} skipped"));
        Ok(1)
    }
}

fn at(line: u64) -> String {
    format!("line {line}")
}

/// A record that could not be stored: nothing that skipping a line would mend.
#[derive(Debug, thiserror::Error)]
#[error("the record was not stored")]
struct Unwritable;

impl Sink {
    fn put(&mut self, record: &Record, buffer: &mut Vec<u8>) -> Result<()> {
        match self {
            Self::Rows => brief::row(record, buffer),
            Self::Records => {
                bytes::record(record, buffer)?;
                buffer.push(b'\n');
                Ok(())
            }
            Self::Ledger(ledger) => {
                let object = object(record, buffer)?;
                buffer.clear();
                ledger.submit(&object)
            }
        }
    }
}

/// A ledger that takes records faster than a disk takes one.
struct Signing {
    pipeline: Pipeline,
    submitter: Submitter,
    /// Of records that may not be durable yet, oldest first.
    tickets: VecDeque<Ticket>,
}

impl Signing {
    /// Hands a record over, and hears of those that are done.
    fn submit(&mut self, object: &Object) -> Result<()> {
        while self.tickets.front().is_some_and(Ticket::is_answered) {
            self.next()?;
        }
        self.tickets.push_back(self.submitter.submit(object).context(Unwritable)?);
        Ok(())
    }

    fn next(&mut self) -> Result<()> {
        let Some(ticket) = self.tickets.pop_front() else { return Ok(()) };
        ticket.wait().context(Unwritable).map(|_| ())
    }

    /// Waits until all are on the disk.
    fn close(mut self) -> Result<()> {
        while !self.tickets.is_empty() {
            self.next()?;
        }
        self.pipeline.close().context(Unwritable).map(|_| ())
    }
}

/// Texts of times, of which one row's end is often the next one's start.
#[derive(Default)]
struct Times {
    start: (Option<Timestamp>, String),
    end: (Option<Timestamp>, String),
}

impl Times {
    /// As records hold them.
    fn both(&mut self, span: &Span<'_>) -> (&str, &str) {
        let (start, end) = (span.interval.start(), span.interval.end());
        if self.end.0 == Some(start) && self.start.0 != Some(start) {
            std::mem::swap(&mut self.start, &mut self.end);
        }
        for (kept, time) in [(&mut self.start, start), (&mut self.end, end)] {
            if kept.0 != Some(time) {
                *kept = (Some(time), timestamp(time));
            }
        }
        (&self.start.1, &self.end.1)
    }
}
