//! Tables that are compiled in: comments with source and licence, a heading, and a row a line; and names that
//! resemble one that is in none of them.
//!
//! Out of scope: what the rows mean.

/// Rows of a table without comments and its heading.
pub(crate) fn rows(table: &'static str) -> impl Iterator<Item = &'static str> {
    table.lines().filter(|line| !line.starts_with('#') && !line.is_empty()).skip(1)
}

/// The first fields of each row, the last of them with all that follows it; a row of fewer fields is left out.
pub fn fields<const N: usize>(table: &'static str) -> impl Iterator<Item = [&'static str; N]> {
    rows(table).filter_map(|line| {
        let (mut fields, mut found) = (line.splitn(N, ','), [""; N]);
        for field in &mut found {
            *field = fields.next()?;
        }
        Some(found)
    })
}

/// How similar two names are (Jaro–Winkler, which favours a common beginning); 1 for equal ones.
pub fn similarity(name: &str, wanted: &str) -> f64 {
    strsim::jaro_winkler(name, wanted)
}

/// The names of at least that similarity, the most similar first.
pub fn nearest(
    names: impl Iterator<Item = (f64, String)>,
    least: f64,
) -> impl Iterator<Item = String> {
    let mut near: Vec<_> = names.filter(|(similarity, _)| *similarity >= least).collect();
    near.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
    near.into_iter().map(|(_, name)| name)
}

/// How an error names them; nothing, where there are none.
pub fn did_you_mean(near: &[String]) -> String {
    if near.is_empty() { String::new() } else { format!("; did you mean {}?", near.join(", ")) }
}
