//! Tables that are compiled in: comments with source and licence, a heading, and a row a line.

/// Rows of a table without comments and its heading.
pub fn rows(table: &'static str) -> impl Iterator<Item = &'static str> {
    table.lines().filter(|line| !line.starts_with('#') && !line.is_empty()).skip(1)
}
