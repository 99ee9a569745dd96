//! Help within the width of a terminal: what the parser breaks itself is left to it, and the rest is broken here.
//!
//! Rule: no line is longer than the terminal but for one that is pasted (an example) and one word that is longer alone.
//!
//! Out of scope: the words.

use clap::Command;

use crate::layout::within;

/// From so many columns on, what was broken by hand stands as it is.
const BY_HAND: usize = 80;

/// With fewer columns than that, what is said of an option stands below it.
const BESIDE: usize = 60;

/// The command and all below it, for so many columns.
pub(crate) fn fitted(command: Command, columns: usize) -> Command {
    let mut command = command.term_width(columns).next_line_help(columns < BESIDE);
    command.build();
    each(command, columns)
}

fn each(mut command: Command, columns: usize) -> Command {
    let usage = command.render_usage().to_string();
    if longest(&usage) > columns {
        let usage = self::usage(&usage, columns);
        command = command.override_usage(usage.trim_start_matches(USAGE).to_owned());
    }
    if columns < BY_HAND
        && let Some(text) = command.get_after_help()
    {
        let text = paragraphs(&text.to_string(), columns);
        command = command.after_help(text);
    }
    command.mut_subcommands(|below| each(below, columns))
}

fn longest(text: &str) -> usize {
    text.lines().map(|line| line.chars().count()).max().unwrap_or(0)
}

const USAGE: &str = "Usage: ";

/// A line of usage, which goes on below its own beginning: before an option or an argument, and where there is not room
/// for a choice, within it.
pub(crate) fn usage(line: &str, columns: usize) -> String {
    let (mut words, mut depth) = (String::new(), 0_u32);
    for letter in line.trim_start_matches(USAGE).chars() {
        match letter {
            '<' | '[' => depth += 1,
            '>' | ']' => depth = depth.saturating_sub(1),
            _ => {}
        }
        // A blank that nothing may be broken at.
        let is_within = letter == ' ' && depth > 0;
        words.push(if is_within { KEPT } else { letter });
    }
    let words = words.split(' ').map(|word| {
        let is_wide = word.chars().count() + USAGE.len() > columns;
        if is_wide { word.replace('|', "| ") } else { word.to_owned() }
    });
    let words = words.collect::<Vec<_>>().join(" ");
    within(columns, USAGE, &words).trim_end().replace(KEPT, " ")
}

/// Stands for a blank meanwhile: it is no white space, and in no usage.
const KEPT: char = '\0';

/// Lines that begin at the margin as prose of so many columns, and the others as they stand.
fn paragraphs(text: &str, columns: usize) -> String {
    let (mut broken, mut prose) = (String::new(), String::new());
    for line in text.lines().chain([""]) {
        let is_prose = !line.is_empty() && !line.starts_with(' ');
        if !is_prose && !prose.is_empty() {
            broken += &within(columns, "", &prose);
            prose.clear();
        }
        if is_prose {
            prose = prose + " " + line;
        } else {
            broken = broken + line + "\n";
        }
    }
    broken.trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;
    use crate::args::Cli;

    /// What `-h` and `--help` say of a command and of all below it.
    fn all(mut command: Command, said: &mut Vec<String>) {
        said.extend([command.render_help(), command.render_long_help()].map(|it| it.to_string()));
        for below in command.get_subcommands().filter(|below| below.get_name() != "help") {
            all(below.clone(), said);
        }
    }

    #[test]
    fn every_help_fits_a_terminal_of_40_80_and_120_columns() {
        for columns in [40, 80, 120] {
            let mut said = Vec::new();
            all(fitted(Cli::command(), columns), &mut said);
            assert!(said.len() > 80, "{}", said.len());
            let is_whole = |line: &str| {
                let line = line.trim_start();
                // Pasted, an option with its value, one word.
                columns < BY_HAND && (line.starts_with("--") || line.contains("carbon-ops "))
                    || !line.contains(' ')
            };
            let lines = said.iter().flat_map(|text| text.lines());
            let longer: Vec<_> =
                lines.filter(|line| line.chars().count() > columns && !is_whole(line)).collect();
            assert_eq!(longer, [""; 0], "{columns}");
        }
    }

    #[test]
    fn a_usage_is_broken_before_what_belongs_together() {
        let line =
            "Usage: carbon-ops watch [OPTIONS] --from <TIME> <--pid <N>|--unit <NAME>> [PATH]";
        assert_eq!(usage(line, 100), line);
        assert_eq!(
            usage(line, 50),
            "Usage: carbon-ops watch [OPTIONS] --from <TIME>\n       <--pid <N>|--unit <NAME>> [PATH]"
        );
        assert_eq!(
            usage(line, 29),
            "Usage: carbon-ops watch\n       [OPTIONS]\n       --from <TIME>\n       <--pid <N>|\n       \
             --unit <NAME>> [PATH]"
        );
    }

    #[test]
    fn prose_is_broken_and_what_is_pasted_is_not() {
        let text = "Example:\n  carbon-ops one\nthen, by somebody else,\n  carbon-ops two\n\nExit code: 0 yes; 2\nno.";
        assert_eq!(
            paragraphs(text, 16),
            "Example:\n  carbon-ops one\nthen, by\nsomebody else,\n  carbon-ops two\n\nExit code:\n0 yes; 2 no."
        );
    }
}
