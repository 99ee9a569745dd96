//! Text within the width of a terminal: tables, and lines that go on under their own beginning.
//!
//! Out of scope: what is shown, and JSON, which is never broken.

use std::fmt::Write as _;
use std::io;

use terminal_size::{Width, terminal_size_of};

/// Columns where there is no terminal.
const USUAL: usize = 80;

/// The columns that prose may take: lines that are longer are hard to read, shorter ones hard to break.
const PROSE: (usize, usize) = (40, 100);

/// The longest name that a table takes beside figures where not all of it fits.
const NAME: usize = 24;

/// The columns of the terminal that shows the output, if one does.
fn terminal() -> Option<usize> {
    let size = terminal_size_of(io::stdout()).or_else(|| terminal_size_of(io::stderr()));
    size.map(|(Width(columns), _)| usize::from(columns))
}

/// The columns that words may take: as many as the terminal has, and 80 where there is none.
pub fn columns() -> usize {
    terminal().unwrap_or(USUAL).clamp(PROSE.0, PROSE.1)
}

/// `head` and then the words, which go on below each other where they do not fit. A word that is too long alone, such
/// as a path, stays whole.
pub fn wrapped(head: &str, words: &str) -> String {
    within(columns(), head, words)
}

/// The same for so many columns.
pub fn within(width: usize, head: &str, words: &str) -> String {
    flowing(width, (head, head.chars().count()), joined(words, is_open))
}

/// `head`, and words that go on so far from the left.
fn flowing(width: usize, (head, indent): (&str, usize), words: Vec<String>) -> String {
    let (mut text, mut length) = (head.to_owned(), head.chars().count());
    // Nothing goes before the first word but what the head ends with.
    let mut begins = head.is_empty() || head.ends_with(' ');
    for word in words {
        let more = word.chars().count();
        if !begins && length + 1 + more > width {
            let _ = write!(text, "\n{:indent$}", "");
            length = indent;
        } else if !begins {
            text.push(' ');
            length += 1;
        }
        begins = false;
        text += &word;
        length += more;
    }
    text.truncate(text.trim_end().len());
    text.push('\n');
    text
}

/// Lines for people, of which none is longer than it needs to be.
#[derive(Debug, Default)]
pub struct Page(String);

impl Page {
    /// A line that other programs may look for: it is not broken.
    pub fn title(&mut self, words: &str) {
        self.0 += words;
        self.0.push('\n');
    }

    /// A line of figures.
    pub fn figures(&mut self, line: &str) {
        self.0 += &cut(&format!("{line}\n"));
    }

    /// One thing to say of the title.
    pub fn item(&mut self, words: &str) {
        self.line("  ", words);
    }

    /// What to do about it.
    pub fn hint(&mut self, words: &str) {
        self.line("hint: ", words);
    }

    /// Words that go on beside `head`.
    pub fn line(&mut self, head: &str, words: &str) {
        self.0 += &wrapped(head, words);
    }

    /// All lines.
    pub fn text(&self) -> &str {
        &self.0
    }
}

/// Words, of which those that `is_open` keep what follows them: a number its unit, an option its value, what has
/// arguments these.
fn joined(words: &str, is_open: impl Fn(&str) -> bool) -> Vec<String> {
    let (mut all, mut rest) = (Vec::new(), words.split_whitespace());
    while let Some(word) = rest.next() {
        let mut word = word.to_owned();
        while is_open(&word)
            && let Some(next) = rest.next()
        {
            word = word + " " + next;
        }
        all.push(word);
    }
    all
}

/// Whether what follows words belongs to them.
fn is_open(words: &str) -> bool {
    let last = words.rsplit(' ').next().unwrap_or(words);
    let is_option = last.starts_with("--") && last.ends_with(char::is_alphanumeric);
    let (opened, closed) = (words.matches('(').count(), words.matches(')').count());
    let has_arguments = opened > closed && !words.starts_with('(');
    is_option || has_arguments || last == "±" || last.parse::<f64>().is_ok()
}

/// Text of others' making, and messages, at a terminal: a line that is longer than that goes on below what follows its
/// head, which is a word with a colon or with a gap behind it, or below its own beginning.
pub fn fit(text: &str) -> String {
    terminal().map_or_else(|| text.to_owned(), |columns| broken(text, columns))
}

fn broken(text: &str, columns: usize) -> String {
    let line = |line: &str| match line.trim_end().chars().count() {
        length if length > columns => broken_line(line, columns),
        _ => line.to_owned(),
    };
    text.split_inclusive('\n').map(line).collect()
}

fn broken_line(line: &str, columns: usize) -> String {
    let begins = line.len() - line.trim_start_matches(' ').len();
    let word = begins + line.get(begins..).and_then(|rest| rest.find(' ')).unwrap_or(0);
    let behind = line.get(word..).unwrap_or_default();
    let gap = behind.len() - behind.trim_start_matches(' ').len();
    let is_head = gap > 1 || line.get(..word).is_some_and(|head| head.ends_with(':'));
    let head = if is_head && 3 * (word + gap) <= columns { word + gap } else { begins };
    let (head, rest) = line.split_at_checked(head).unwrap_or(("", line));
    // What belongs together stays so where there is room, and below the head; else below the margin.
    let widest =
        |words: &[String]| words.iter().map(|word| word.chars().count()).max().unwrap_or(0);
    let low = if head.trim().is_empty() { MARGIN } else { head.trim_end() };
    for is_open in [is_open, never] {
        let words = joined(rest, is_open);
        for (indent, head) in [(head.chars().count(), head), (MARGIN.len(), low)] {
            if indent + widest(&words) <= columns {
                return flowing(columns, (head, indent), words);
            }
        }
    }
    flowing(columns, (low, MARGIN.len()), joined(rest, never))
}

fn never(_: &str) -> bool {
    false
}

/// How far lines go on from the left where there is no room below their heads.
const MARGIN: &str = "    ";

/// Lines of figures, of which one looks at many: at a terminal each ends where that does.
pub fn cut(text: &str) -> String {
    terminal().map_or_else(|| text.to_owned(), |columns| shortened(text, columns))
}

fn shortened(text: &str, columns: usize) -> String {
    // With room for what the mark is in ASCII.
    let short = |line: &str| line.chars().take(columns.saturating_sub(3)).collect::<String>() + "…";
    let fits = |line: &str| line.chars().count() <= columns;
    let lines = text.lines().map(|line| if fits(line) { line.to_owned() } else { short(line) });
    lines.map(|line| line + "\n").collect()
}

/// Rows under headings, each column as wide as its widest cell.
#[derive(Debug)]
pub struct Table {
    /// Whether a column is aligned to the right, as numbers are.
    right: Vec<bool>,
    rows: Vec<Vec<String>>,
    /// The row of headings, if there is one.
    heads: usize,
}

impl Table {
    /// One column for each heading; `>` before it aligns the column to the right.
    pub fn new(headings: &[&str]) -> Self {
        let right = headings.iter().map(|heading| heading.starts_with('>')).collect();
        let mut table = Self { right, rows: Vec::new(), heads: 0 };
        let names: Vec<_> = headings.iter().map(|name| name.trim_start_matches('>')).collect();
        if names.iter().any(|name| !name.is_empty()) {
            table.row(names);
            table.heads = 1;
        }
        table
    }

    /// The next row. The last cell of one that has fewer cells than there are columns reaches to the end.
    pub fn row<T: Into<String>>(&mut self, cells: impl IntoIterator<Item = T>) {
        self.rows.push(cells.into_iter().map(Into::into).collect());
    }

    /// Its lines, with two spaces between columns, or one where that makes them fit. Of no rows there are no
    /// headings.
    pub fn text(&self) -> String {
        if self.rows.len() <= self.heads {
            return String::new();
        }
        self.lines(terminal().unwrap_or(USUAL)).into_iter().map(|line| line + "\n").collect()
    }

    /// The same for figures, of which one looks at many.
    pub fn fitted(&self) -> String {
        cut(&self.text())
    }

    fn lines(&self, columns: usize) -> Vec<String> {
        let whole = || self.rows.iter().filter(|row| row.len() == self.right.len());
        let of_column = |n: usize| whole().filter_map(move |row| row.get(n));
        let mut widths: Vec<usize> = (0..self.right.len())
            .map(|n| of_column(n).map(|cell| cell.chars().count()).max().unwrap_or(0))
            .collect();
        let gaps = widths.len().saturating_sub(1);
        let is_wide = |widths: &[usize], gap| widths.iter().sum::<usize>() + gap * gaps > columns;
        // A name that would push all figures out of sight has a line of its own above them.
        if is_wide(&widths, 1)
            && let Some(first) = widths.first_mut().filter(|first| **first > NAME)
        {
            let short =
                of_column(0).map(|cell| cell.chars().count()).filter(|width| *width <= NAME);
            *first = short.max().unwrap_or(0);
        }
        let gap = if is_wide(&widths, 2) { " " } else { "  " };
        let line = |row: &[&str]| {
            let cells = row.iter().zip(&widths).zip(&self.right).map(|((cell, width), right)| {
                if *right { format!("{cell:>width$}") } else { format!("{cell:<width$}") }
            });
            cells.collect::<Vec<_>>().join(gap).trim_end().to_owned()
        };
        let mut lines = Vec::new();
        for row in &self.rows {
            let mut row: Vec<&str> = row.iter().map(String::as_str).collect();
            let is_whole = row.len() == self.right.len();
            if let (true, Some(name), Some(width)) = (is_whole, row.first_mut(), widths.first())
                && name.chars().count() > *width
            {
                lines.push(std::mem::take(name).to_owned());
            }
            lines.push(line(&row));
        }
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_go_on_under_the_first_and_a_long_one_stays_whole() {
        assert_eq!(within(20, "  head  ", "one two three"), "  head  one two\n        three\n");
        let path = "/a/path/that/is/longer/than/that";
        assert_eq!(
            within(20, "  in  ", &format!("#7 {path}")),
            format!("  in  #7\n      {path}\n")
        );
        assert_eq!(within(20, "  in  ", path), format!("  in  {path}\n"));
        assert_eq!(within(20, "  head  ", ""), "  head\n");
        let glued = "host used 10.9 mJ, ln(4.5, 0.25)g";
        assert_eq!(within(18, "", glued), "host used 10.9 mJ,\nln(4.5, 0.25)g\n");
        assert_eq!(within(17, "", glued), "host used\n10.9 mJ,\nln(4.5, 0.25)g\n");
    }

    #[test]
    fn a_line_that_is_too_long_goes_on_below_its_head_or_at_the_margin() {
        for (line, expected) in [
            ("short\n", "short\n"),
            ("no end", "no end"),
            ("as  one two three four\n", "as  one two three\n    four\n"),
            ("hint: one two three four\n", "hint: one two three\n      four\n"),
            ("one two three four five\n", "one two three four\nfive\n"),
            ("          ln(344.14, 0.364)g/kWh\n", "    ln(344.14,\n    0.364)g/kWh\n"),
            ("  PUE      1.55         tn(1.55, 0.2)\n", "  PUE\n  1.55 tn(1.55, 0.2)\n"),
            (
                "/a/path/that/is/longer/than/that is\n",
                "    /a/path/that/is/longer/than/that\n    is\n",
            ),
        ] {
            assert_eq!(broken(line, 20), expected, "{line}");
        }
    }

    #[test]
    fn numbers_stand_below_each_other_and_a_short_row_reaches_to_the_end() {
        let mut table = Table::new(&["name", ">number", "word"]);
        table.row(["a", "1.5", "x"]);
        table.row(["longer", "22.5", "y"]);
        table.row(["b", "something else that is said of it"]);
        let wide = ["name    number  word", "a          1.5  x", "longer    22.5  y"];
        assert_eq!(table.lines(80)[..3], wide);
        assert_eq!(table.lines(80)[3], "b       something else that is said of it");
        assert_eq!(table.lines(19)[1], "a         1.5 x");
        assert!(Table::new(&["", ">"]).rows.is_empty());
        let mut table = Table::new(&["", ">number"]);
        table.row(["short", "1.5"]);
        let name = "a name that is far too long to stand beside its figures";
        table.row([name, "22.5"]);
        assert_eq!(table.lines(40), ["       number", "short     1.5", name, "         22.5"]);
        assert_eq!(table.lines(80).len(), 3);
    }
}
