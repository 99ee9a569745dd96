//! A document, with what its commands print and its tables made anew. It reads and writes text only.
//!
//! Commands of one section (up to the next heading of level two) run in one shell, so that a later one can
//! use what an earlier one defined. A command whose line ends with a backslash goes on in the next one.

use anyhow::{Context as _, Result, bail};

const FENCE: &str = "```";
const PROMPT: &str = "$ ";
const BEGIN: &str = "<!-- figure: ";
const END: &str = "<!-- end -->";

/// Runs the commands of a section; what each printed, or nothing at all where they cannot run here.
type Session<'a> = &'a mut dyn FnMut(&[String]) -> Result<Vec<String>>;

/// The lines of a figure, by its name.
type Named<'a> = &'a mut dyn FnMut(&str) -> Result<String>;

/// A command as it is written, with its further lines, and what stands below it.
#[derive(Debug, Default, PartialEq, Eq)]
struct Step {
    command: String,
    printed: Vec<String>,
}

/// Pieces of a document.
#[derive(Debug, PartialEq, Eq)]
enum Piece {
    Line(String),
    /// A fence and the commands in it.
    Console(String, Vec<Step>),
    Figure(String),
}

pub(super) fn renew(text: &str, session: Session<'_>, named: Named<'_>) -> Result<String> {
    let pieces = pieces(text)?;
    let mut page = String::new();
    let heading = |piece: &Piece| matches!(piece, Piece::Line(line) if line.starts_with("## "));
    for section in pieces.chunk_by(|_, next| !heading(next)) {
        let commands: Vec<String> = steps(section).map(|step| step.command.clone()).collect();
        let printed = if commands.is_empty() { Vec::new() } else { session(&commands)? };
        let kept = printed.is_empty();
        let mut printed = printed.into_iter();
        for piece in section {
            write(piece, &mut page, named, &mut || if kept { None } else { printed.next() })?;
        }
    }
    Ok(page)
}

fn steps(section: &[Piece]) -> impl Iterator<Item = &Step> {
    section.iter().flat_map(|piece| match piece {
        Piece::Console(_, steps) => steps.as_slice(),
        _ => &[],
    })
}

fn write(
    piece: &Piece,
    page: &mut String,
    named: Named<'_>,
    printed: &mut dyn FnMut() -> Option<String>,
) -> Result<()> {
    let mut line = |line: &str| {
        page.push_str(line);
        page.push('\n');
    };
    match piece {
        Piece::Line(text) => line(text),
        Piece::Figure(name) => {
            line(&format!("{BEGIN}{name} -->"));
            line(named(name).with_context(|| format!("figure {name}"))?.trim_end());
            line(END);
        }
        Piece::Console(fence, steps) => {
            line(fence);
            for step in steps {
                line(&format!("{PROMPT}{}", step.command));
                match printed() {
                    Some(text) => text.lines().for_each(&mut line),
                    None => step.printed.iter().for_each(|old| line(old)),
                }
            }
            line(FENCE);
        }
    }
    Ok(())
}

fn pieces(text: &str) -> Result<Vec<Piece>> {
    let mut pieces = Vec::new();
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        if let Some(name) = line.strip_prefix(BEGIN).and_then(|rest| rest.strip_suffix(" -->")) {
            if !lines.any(|line| line == END) {
                bail!("figure {name} has no {END}");
            }
            pieces.push(Piece::Figure(name.to_owned()));
        } else if line.starts_with(FENCE) {
            let mut block: Vec<&str> = Vec::new();
            loop {
                match lines.next() {
                    Some(FENCE) => break,
                    Some(line) => block.push(line),
                    None => bail!("a block that begins with {line:?} has no end"),
                }
            }
            if block.first().is_some_and(|line| line.starts_with(PROMPT)) {
                pieces.push(Piece::Console(line.to_owned(), console(&block)));
            } else {
                let all = [&[line], &block[..], &[FENCE]].concat();
                pieces.extend(all.into_iter().map(|line| Piece::Line(line.to_owned())));
            }
        } else {
            pieces.push(Piece::Line(line.to_owned()));
        }
    }
    Ok(pieces)
}

fn console(block: &[&str]) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    for line in block {
        match (line.strip_prefix(PROMPT), steps.last_mut()) {
            (Some(command), _) => {
                steps.push(Step { command: command.to_owned(), printed: Vec::new() });
            }
            (None, Some(step)) if step.printed.is_empty() && step.command.ends_with('\\') => {
                step.command = format!("{}\n{line}", step.command);
            }
            (None, Some(step)) => step.printed.push((*line).to_owned()),
            (None, None) => {}
        }
    }
    steps
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = "\
# Title
```
$ one \\
    more
old
$ two
```
## Next
```
no command
```
```console
$ three
old 3
```
<!-- figure: table -->
old table
<!-- end -->
last
";

    fn renewed(answer: &dyn Fn(&str) -> Option<String>) -> (String, Vec<Vec<String>>) {
        let mut sections = Vec::new();
        let mut session = |commands: &[String]| {
            sections.push(commands.to_vec());
            Ok(commands.iter().filter_map(|command| answer(command)).collect())
        };
        let page = renew(PAGE, &mut session, &mut |name| Ok(format!("| {name} |\n"))).unwrap();
        (page, sections)
    }

    #[test]
    fn outputs_and_tables_are_replaced_and_nothing_else() {
        let (page, sections) =
            renewed(&|command| Some(format!("{} lines", command.lines().count())));
        let expected = PAGE
            .replace("more\nold\n$ two\n", "more\n2 lines\n$ two\n1 lines\n")
            .replace("old 3", "1 lines")
            .replace("old table", "| table |");
        assert_eq!(page, expected);
        assert_eq!(sections, [vec!["one \\\n    more", "two"], vec!["three"]]);
    }

    #[test]
    fn what_cannot_run_here_stays_as_it_is() {
        let (page, _) = renewed(&|_| None);
        assert_eq!(page, PAGE.replace("old table", "| table |"));
    }

    #[test]
    fn a_block_or_a_figure_without_an_end_is_refused() {
        for page in ["```\n$ x\n", "<!-- figure: a -->\n"] {
            assert!(
                renew(page, &mut |_| Ok(vec![]), &mut |_| Ok(String::new())).is_err(),
                "{page}"
            );
        }
    }
}
