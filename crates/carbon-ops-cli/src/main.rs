//! The command `carbon-ops`: arguments become questions to the library [`carbon_ops`], and its answers and errors
//! become text, hints and exit codes.
//!
//! Out of scope: every decision about a figure, a place, a sensor or a key. Those are the library's.

use std::borrow::Cow;
use std::io::{self, Write};
use std::mem::replace;
use std::process::ExitCode;

use anyhow::{Result, bail};
use carbon_ops::env::Env;
use carbon_ops::settings::Settings;
use carbon_ops::unsafe_calls;
use carbon_ops_words::letters::Letters;
use carbon_ops_words::said::{Level, Manner, Say as _};
use carbon_ops_words::{hints, layout, progress, render, summary};
use clap::{CommandFactory as _, Parser as _};

use crate::args::{Cli, Command};
use crate::commands::run::FAILED;
use crate::commands::verdict::{COULD_NOT, REWRITTEN};
use crate::context::{Context, Out};
use crate::render::describe;

mod args;
mod commands;
mod context;

fn main() -> ExitCode {
    unsafe_calls::outlive_size_limit();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return usage(error),
    };
    let env = Env::real();
    let letters = Letters::of(|name| env.variable(name));
    let manner = Manner { form: cli.command.log_form(), letters };
    let (mut out, mut err) = (io::stdout().lock(), manner.stderr());
    match execute(&cli, env, manner, &mut out) {
        Ok(code) => ExitCode::from(code),
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            err.say(Level::Error, &describe(&error));
            let is_run = matches!(cli.command, Command::Run(_) | Command::Compare(_));
            ExitCode::from(if is_run { FAILED } else { exit_code(&error) })
        }
    }
}

/// Does what was asked for; the exit code is the answer.
fn execute(cli: &Cli, env: Env, manner: Manner, out: &mut dyn Write) -> Result<u8> {
    let err = &mut manner.stderr();
    let settings = Settings::resolve(&env, cli.config.as_deref(), &cli.command.overrides())?;
    for name in &settings.unknown_variables {
        let words = format!("{name} is set, and nothing reads a variable of this name");
        err.say(Level::Warning, &words);
    }
    let context = &mut Context { settings, env, out: Out::new(out), err, manner };
    let code = answer(cli, context)?;
    if let Some(error) = context.out.failure() {
        // The exit code is the answer to a question, and a no says more than that its words are lost.
        if code == 0 && !cli.command.is_question() {
            bail!("cannot write the output: {error}");
        }
        context.err.say(Level::Error, &format!("cannot write the output: {error}"));
    }
    Ok(code)
}

fn answer(cli: &Cli, context: &mut Context<'_>) -> Result<u8> {
    match &cli.command {
        Command::Run(args) => commands::run::run(args, context),
        Command::Compare(args) => commands::compare::run(args, context),
        Command::Monitor(args) => commands::monitor::run(args, context),
        Command::Top(args) => commands::top::run(args, context),
        Command::Agent(args) => commands::agent::run(args, context),
        Command::Estimate(args) => commands::estimate::run(args, context),
        Command::Aggregate(args) => commands::aggregate::run(args, context),
        Command::Report(args) => commands::report::run(args, context),
        Command::Label(args) => commands::label::run(args, context),
        Command::PowerAnalysis(args) => commands::power_analysis::run(args, context),
        Command::Anomaly(args) => commands::anomaly::run(args, context),
        Command::Ledger(command) => commands::ledger::run(command, context),
        Command::Witness(command) => commands::witness::run(command, context),
        Command::Keys(command) => commands::keys::run(command, context),
        Command::Config(command) => commands::config::run(command, context),
        Command::Schema(args) => commands::schema::run(args, context),
        Command::Intensity(args) => commands::intensity::run(args, context),
        Command::Zones(args) => commands::zones::run(args, context),
        Command::Doctor(args) => commands::doctor::run(args, context),
        Command::Calibrate(args) => commands::calibrate::run(args, context),
        Command::Completions(args) => commands::pages::completions(args, &mut context.out),
        Command::Man(args) => commands::pages::man(args),
    }
}

/// That a ledger was cut off or rewritten is an answer with a code of its own.
fn exit_code(error: &anyhow::Error) -> u8 {
    let ledger = error.downcast_ref::<carbon_ops::ledger::Error>();
    if ledger.is_some_and(carbon_ops::ledger::Error::proves_rewriting) {
        REWRITTEN
    } else {
        COULD_NOT
    }
}

/// Help and version are answers; a mistake is exit code 2, or 125 where the command's own exit code
/// would be expected. The parser's words are put as our own are.
fn usage(error: clap::Error) -> ExitCode {
    let (columns, env) = (layout::columns(), Env::real());
    let letters = Letters::of(|name| env.variable(name));
    if !error.use_stderr() {
        // The same question again, to a parser that knows how much room there is.
        let fitted = args::fitted(Cli::command(), columns).try_get_matches().err();
        let answer = fitted.unwrap_or(error);
        let text = answer.render().to_string();
        let _ = match letters.spell(&text) {
            Cow::Borrowed(_) => answer.print(),
            Cow::Owned(spelt) => io::stdout().write_all(spelt.as_bytes()),
        };
        return ExitCode::SUCCESS;
    }
    let text = error.render().to_string();
    let text = text.replacen("error: ", "carbon-ops: ", 1).replace("\n  tip: ", "\nhint: ");
    // One hint: the parser's first is its best.
    let mut is_told = false;
    let mut is_more = |line: &&str| line.starts_with("hint: ") && replace(&mut is_told, true);
    let lines = text.lines().filter(|line| !is_more(line));
    let fitted = |line: &str| {
        if line.starts_with("Usage: ") { args::usage(line, columns) } else { line.to_owned() }
    };
    let text: String = lines.map(|line| fitted(line) + "\n").collect();
    let _ = write!(Manner { letters, ..Manner::default() }.stderr(), "{text}");
    let parsed = Cli::command().ignore_errors(true).try_get_matches();
    let is_run =
        parsed.is_ok_and(|parsed| matches!(parsed.subcommand_name(), Some("run" | "compare")));
    ExitCode::from(if is_run { FAILED } else { COULD_NOT })
}

/// A reader that has seen enough is no failure.
fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let io = error.chain().find_map(|cause| cause.downcast_ref::<io::Error>());
    io.is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}
