//! `cargo xtask figures`: makes anew what the documents show of the product. That is: the output of each
//! command in a block that begins with `$ `, the tables between `<!-- figure: NAME -->` and `<!-- end -->`,
//! and the pictures in `docs/`. `--check` compares only.
//!
//! Everything comes from the product's own commands, examples and tests, on frozen inputs; no formula is
//! repeated here. Out of scope: tolerances, since nothing shown depends on a machine, and what
//! `bench` measures, which does.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail, ensure};

use crate::tidy;

mod chain;
mod page;
mod table;
mod terminal;

/// Whether what is stale is told or written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    Check,
    Write,
}

/// How it ended, where nothing is stale.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Figures {
    Fine,
    /// Which commands could not be run here, and why.
    NotChecked(String),
}

/// The picture of the README: a command, and what it prints.
const SUMMARY: (&str, &str, &str) = (
    "summary.svg",
    "The summary of a run, from its signed record",
    "carbon-ops ledger show --summary --last 1 testdata/ledgers/v1/run.ndjson",
);

/// Frames of the live view, as its tests keep them: a made-up machine at two sizes.
const FRAMES: &str = "crates/carbon-ops-top/tests/it/snapshots";
const TOP: [(&str, &str, &str); 2] = [
    ("top.svg", "The live view of a made-up machine", "it__frames__tree.snap"),
    ("top-small.svg", "The same in 40 columns", "it__frames__40x20.snap"),
];

/// Programs that commands of the documents use and that a machine may lack.
const OTHERS: [&str; 2] = ["openssl", "xxd"];

pub(crate) fn run(root: &Path, mode: Mode) -> Result<Figures> {
    let room = Room::new(root)?;
    let mut missing: Vec<String> = Vec::new();
    let mut made = BTreeMap::new();
    for path in pages(root)? {
        let name = path.strip_prefix(root).unwrap_or(&path).display().to_string();
        let old = fs::read_to_string(&path).with_context(|| name.clone())?;
        let new =
            page::renew(&old, &mut |section| room.session(section, &mut missing), &mut |figure| {
                table::named(root, &room, figure)
            });
        let new = new.with_context(|| name.clone())?;
        made.insert(name, (old, new));
    }
    let (name, title, command) = SUMMARY;
    let shown = room.session(&[command.to_owned()], &mut missing)?;
    let shown = shown.first().context("no summary")?;
    fs::write(room.path.join("docs").join(name), terminal::picture(title, command, shown))?;
    let frozen = |name: &str| {
        fs::read_to_string(root.join("testdata/ledgers/v1").join(name))
            .with_context(|| name.to_owned())
    };
    let chain = chain::picture(&frozen("basic.ndjson")?, &frozen("basic.checkpoint")?)?;
    fs::write(room.path.join("docs/chain.svg"), chain)?;
    for (name, title, frame) in TOP {
        let kept =
            fs::read_to_string(root.join(FRAMES).join(frame)).with_context(|| frame.to_owned())?;
        // What a test says of itself stands above.
        let shown = kept.splitn(3, "---\n").nth(2).with_context(|| frame.to_owned())?;
        fs::write(
            room.path.join("docs").join(name),
            terminal::picture(title, "carbon-ops top", shown),
        )?;
    }
    for entry in fs::read_dir(room.path.join("docs"))? {
        let path = entry?.path();
        let name = format!("docs/{}", path.file_name().unwrap_or_default().to_string_lossy());
        let old = fs::read_to_string(root.join(&name)).unwrap_or_default();
        made.insert(name, (old, fs::read_to_string(&path)?));
    }
    let mut stale = orphans(root, &made)?;
    for (name, (old, new)) in made.iter().filter(|(_, (old, new))| old != new) {
        match mode {
            Mode::Check => stale.push(format!("{name}: {}", difference(old, new))),
            Mode::Write => {
                fs::write(root.join(name), new).with_context(|| name.clone())?;
                println!("figures: wrote {name}");
            }
        }
    }
    if !stale.is_empty() {
        bail!(
            "{} stale\n  {}\nhint: `cargo xtask figures` makes documents and pictures anew",
            stale.len(),
            stale.join("\n  ")
        );
    }
    missing.sort();
    missing.dedup();
    println!("figures: {} documents and pictures, nothing stale", made.len());
    Ok(match missing.join(", ") {
        none if none.is_empty() => Figures::Fine,
        missing => Figures::NotChecked(format!("commands that need {missing}")),
    })
}

/// The documents: Markdown at the root, in `docs` and in `docs/formats`.
fn pages(root: &Path) -> Result<Vec<PathBuf>> {
    let mut pages = Vec::new();
    for folder in ["", "docs", "docs/formats"] {
        for entry in fs::read_dir(root.join(folder)).with_context(|| folder.to_owned())? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "md") {
                pages.push(path);
            }
        }
    }
    pages.sort();
    Ok(pages)
}

/// Pictures that nothing makes, or that no document shows.
fn orphans(root: &Path, made: &BTreeMap<String, (String, String)>) -> Result<Vec<String>> {
    let mut orphans = Vec::new();
    let shown = |name: &str| made.values().any(|(_, text)| text.contains(&format!("{name})")));
    for entry in fs::read_dir(root.join("docs"))? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if is_picture(&name) && !made.contains_key(&format!("docs/{name}")) {
            orphans.push(format!("docs/{name}: no command of a document makes this picture"));
        }
    }
    for name in made.keys().filter(|name| is_picture(name)) {
        if !shown(name.trim_start_matches("docs/")) {
            orphans.push(format!("{name}: no document shows this picture"));
        }
    }
    Ok(orphans)
}

fn is_picture(name: &str) -> bool {
    Path::new(name).extension().is_some_and(|extension| extension == "svg")
}

/// The first line that differs.
fn difference(old: &str, new: &str) -> String {
    let (mut old, mut new) = (old.lines(), new.lines());
    for number in 1_u32.. {
        match (old.next(), new.next()) {
            (None, None) => break,
            (is, now) if is != now => {
                let or_none = |line: Option<&str>| line.unwrap_or("nothing").to_owned();
                return format!(
                    "line {number} is {:?}, and is made as {:?}",
                    or_none(is),
                    or_none(now)
                );
            }
            _ => {}
        }
    }
    "the last line end".to_owned()
}

/// What stands in for cargo in the room, so that a document can show an example as its reader runs it:
/// `cargo run -p NAME -- ARGUMENTS`. The example is built already.
const CARGO: &str = r#"#!/bin/sh
if [ "$1 $2 $4" != "run -p --" ]; then
    echo "only \`cargo run -p NAME -- ARGUMENTS\` is known here"
    exit 127
fi
program=$3
shift 4
exec "${0%/*}/$program" "$@"
"#;

/// The packages whose commands documents show, and their programs.
const SHOWN: [(&str, &str); 2] = [("carbon-ops-cli", "carbon-ops"), ("aliasing", "aliasing")];

/// A folder in which commands of documents run: with the test data, an empty `docs`, a home without
/// settings, and carbon-ops in the path.
#[derive(Debug)]
struct Room {
    path: PathBuf,
    programs: PathBuf,
}

impl Room {
    fn new(root: &Path) -> Result<Self> {
        let mut build = Command::new("cargo");
        build.args(["build", "--quiet", "--bins"]).current_dir(root);
        for (package, _) in SHOWN {
            build.args(["--package", package]);
        }
        output(&mut build)?;
        let metadata = tidy::metadata(root, &["--no-deps"])?;
        let target = tidy::string(&metadata, "target_directory").context("no target directory")?;
        let path = Path::new(target).join("figures");
        if path.exists() {
            fs::remove_dir_all(&path).context("the room of the last time")?;
        }
        for folder in ["docs", "home", "bin"] {
            fs::create_dir_all(path.join(folder))?;
        }
        output(Command::new("cp").arg("-r").arg(root.join("testdata")).arg(&path))?;
        let programs = path.join("bin");
        for (_, program) in SHOWN {
            let built = Path::new(target).join("debug").join(program);
            std::os::unix::fs::symlink(built, programs.join(program))?;
        }
        let cargo = programs.join("cargo");
        fs::write(&cargo, CARGO)?;
        fs::set_permissions(&cargo, fs::Permissions::from_mode(0o755))?;
        Ok(Self { path, programs })
    }

    /// Runs commands one after the other in one shell, and gives what each printed. Where a program is
    /// missing that they need, that is noted, and there is no output to compare.
    fn session(&self, commands: &[String], missing: &mut Vec<String>) -> Result<Vec<String>> {
        for program in OTHERS {
            let needed = commands.iter().any(|command| command.contains(program));
            if needed && self.command(program).arg("-v").stdin(Stdio::null()).output().is_err() {
                missing.push(program.to_owned());
                return Ok(Vec::new());
            }
        }
        let mut script = String::from("exec 2>&1\n");
        for command in commands {
            script.push_str(command);
            script.push_str("\nprintf '\\036%d\\036' $?\n");
        }
        let text = output(self.command("bash").args(["-c", &script]))?;
        let mut parts = text.split('\u{1e}');
        let mut printed = Vec::new();
        for command in commands {
            let (Some(text), Some(status)) = (parts.next(), parts.next()) else {
                bail!("{command}: the shell ended");
            };
            ensure!(!["126", "127"].contains(&status), "{command}: {}", text.trim_end());
            printed.push(text.trim_end().to_owned());
        }
        Ok(printed)
    }

    /// A command in the room, with nothing of this machine's settings.
    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        let path = format!("{}:/usr/local/bin:/usr/bin:/bin", self.programs.display());
        command.current_dir(&self.path).stdin(Stdio::null()).env_clear();
        command.env("PATH", path).env("HOME", self.path.join("home")).env("LC_ALL", "C.UTF-8");
        command
    }
}

/// What a command that must succeed prints.
fn output(command: &mut Command) -> Result<String> {
    let done = command.stderr(Stdio::inherit()).output();
    let done = done.with_context(|| format!("{command:?}"))?;
    ensure!(done.status.success(), "{command:?} failed");
    Ok(String::from_utf8(done.stdout)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_difference_is_named() {
        assert_eq!(difference("a\nb\nc\n", "a\nx\nc\n"), "line 2 is \"b\", and is made as \"x\"");
        assert_eq!(difference("a\n", "a\nb\n"), "line 2 is \"nothing\", and is made as \"b\"");
    }
}
