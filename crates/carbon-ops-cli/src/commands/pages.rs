//! `carbon-ops completions` and `carbon-ops man`: what shells and `man` know of the arguments.
//!
//! Out of scope: the arguments themselves and their words, which are those of `--help`.

use std::fs;
use std::io::Write;

use anyhow::{Context as _, Result};
use clap::CommandFactory as _;

use crate::args::{Cli, Completions, Man};

/// The name under which shells know the command.
const NAME: &str = "carbon-ops";

/// Prints a shell's completions.
pub(crate) fn completions(args: &Completions, out: &mut dyn Write) -> Result<u8> {
    // At once, because the generator gives up where nobody reads any more.
    let mut text = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), NAME, &mut text);
    out.write_all(&text)?;
    Ok(0)
}

/// Writes the manual pages into a folder.
pub(crate) fn man(args: &Man) -> Result<u8> {
    let folder = &args.folder;
    fs::create_dir_all(folder)
        .and_then(|()| clap_mangen::generate_to(Cli::command(), folder))
        .with_context(|| format!("cannot write manual pages into {}", folder.display()))?;
    Ok(0)
}
