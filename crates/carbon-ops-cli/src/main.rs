//! The command `carbon-ops`: arguments become questions to the library [`carbon_ops`], and its answers and errors
//! become text, hints and exit codes.
//!
//! Out of scope: every decision about a figure, a place, a sensor or a key. Those are the library's.

use std::ffi::OsString;
use std::io::{self, Write};
use std::process::ExitCode;

use clap::Parser as _;

use crate::args::{Cli, Command};
use crate::commands::run::FAILED;
use crate::render::describe;
use carbon_ops::env::Env;

mod args;
mod commands;
mod hints;
mod hints_grid;
mod render;
mod summary;

/// Exit code for what could not be done.
const COULD_NOT: u8 = 2;
/// Exit code for a ledger that was cut off or rewritten below a checkpoint.
const REWRITTEN: u8 = 3;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return usage(&error),
    };
    let env = Env::real();
    let config = cli.config.as_deref();
    let (mut out, mut err) = (io::stdout().lock(), io::stderr());
    let is_run = matches!(cli.command, Command::Run(_));
    let result = match &cli.command {
        Command::Run(args) => commands::run::run(args, &env, config, &mut err),
        Command::Monitor(args) => commands::monitor::run(args, &env, config, &mut out),
        Command::Estimate(args) => commands::estimate::run(args, &env, config, &mut out),
        Command::Aggregate(args) => commands::aggregate::run(args, &env, config, &mut out),
        Command::Label(args) => commands::label::run(args, &env, config, &mut out),
        Command::Anomaly(args) => commands::anomaly::run(args, &env, config, &mut out),
        Command::Ledger(command) => commands::ledger::run(command, &env, config, &mut out),
        Command::Witness(command) => commands::witness::run(command, &mut out),
        Command::Keys(command) => commands::keys::run(command, &env, config, &mut out),
        Command::Config(command) => commands::config::run(command, &env, config, &mut out),
        Command::Schema(args) => commands::schema::run(args, &mut out),
        Command::Intensity(args) => commands::intensity::run(args, &env, config, &mut out),
        Command::Zones(args) => commands::zones::run(args, &mut out),
        Command::Doctor(args) => commands::doctor::run(args, &env, config, &mut out),
    };
    match result.and_then(|code| Ok(out.flush().map(|()| code)?)) {
        Ok(code) => ExitCode::from(code),
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(err, "carbon-ops: {}", describe(&error));
            ExitCode::from(if is_run { FAILED } else { exit_code(&error) })
        }
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
/// would be expected.
fn usage(error: &clap::Error) -> ExitCode {
    let _ = error.print();
    if !error.use_stderr() {
        return ExitCode::SUCCESS;
    }
    let is_run = verb(std::env::args_os().skip(1)).is_some_and(|verb| verb == "run");
    ExitCode::from(if is_run { FAILED } else { COULD_NOT })
}

/// The first word that is neither the global option nor its value.
fn verb(mut words: impl Iterator<Item = OsString>) -> Option<OsString> {
    loop {
        let word = words.next()?;
        if word == "--config" {
            words.next();
        } else if !word.to_string_lossy().starts_with('-') {
            return Some(word);
        }
    }
}

/// A reader that has seen enough is no failure.
fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let io = error.chain().find_map(|cause| cause.downcast_ref::<io::Error>());
    io.is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}
