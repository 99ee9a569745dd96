//! One value of each of many records, in the order of their times, in bounded memory.
//!
//! Out of scope: what is made of the values.

use std::fmt;
use std::io::{self, SeekFrom};

use carbon_ops_record::rows::{NewScratch, Rows, Scratch, joined, number, ordered, split};
use carbon_ops_record::{Error, Record, timestamp};
use jiff::Timestamp;

/// Start, end and number of a record; then its value, and where its name is.
const ROW_BYTES: usize = 5 * 8 + 2;

/// How many bytes of names are held before they are laid down.
const NAMES_HELD: usize = 1 << 16;

/// A value of a record.
#[derive(Debug, Clone, PartialEq)]
pub struct Point {
    /// Start and end of the span, in microseconds since 1970.
    span: (i64, i64),
    /// The value.
    pub value: f64,
    /// The program that was run, or the caller's name of the span.
    name: Option<String>,
}

impl Point {
    /// Of a record in order.
    ///
    /// # Errors
    /// When its span is none.
    pub fn of(record: &Record, value: f64) -> Result<Self, Error> {
        let span = record.interval()?;
        let span = (span.start().as_microsecond(), span.end().as_microsecond());
        Ok(Self { span, value, name: record.name().map(str::to_owned) })
    }

    /// Start and end of the span, as records have them.
    #[must_use]
    pub fn span(&self) -> [String; 2] {
        let text = |time| Timestamp::from_microsecond(time).map(timestamp).unwrap_or_default();
        [self.span.0, self.span.1].map(text)
    }
}

/// Values as they come; those of one span stay in that order.
pub struct Series<'s> {
    rows: Rows<'s, ROW_BYTES, 0>,
    points: u64,
    /// The names that are held, behind those that were laid down.
    names: Vec<u8>,
    laid_down: u64,
    new_scratch: NewScratch<'s>,
    scratch: Option<Box<dyn Scratch>>,
}

impl fmt::Debug for Series<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Series").field("points", &self.points).finish_non_exhaustive()
    }
}

/// Tells the name of the value that was handed on last.
pub type Name<'n> = &'n mut dyn FnMut() -> io::Result<Option<String>>;

impl<'s> Series<'s> {
    /// Nothing yet.
    pub fn new(new_scratch: NewScratch<'s>) -> Self {
        let (rows, names) = (Rows::new(new_scratch), Vec::new());
        Self { rows, points: 0, names, laid_down: 0, new_scratch, scratch: None }
    }

    /// Adds a value.
    ///
    /// # Errors
    /// [`Error::Scratch`].
    pub fn add(&mut self, point: &Point) -> Result<(), Error> {
        let name = point.name.as_deref().map(str::as_bytes);
        let at = name.map_or(u64::MAX, |_| self.laid_down + self.names.len() as u64);
        let name = name.unwrap_or_default();
        let len = u16::try_from(name.len()).unwrap_or(u16::MAX);
        self.rows.add(joined(&[
            &ordered(point.span.0),
            &ordered(point.span.1),
            &self.points.to_be_bytes(),
            &point.value.to_be_bytes(),
            &at.to_be_bytes(),
            &len.to_be_bytes(),
        ]))?;
        self.points += 1;
        self.names.extend(name.iter().take(len.into()));
        if self.names.len() >= NAMES_HELD {
            self.lay_down()?;
        }
        Ok(())
    }

    fn lay_down(&mut self) -> io::Result<()> {
        let scratch = match &mut self.scratch {
            Some(scratch) => scratch,
            none => none.insert((self.new_scratch)()?),
        };
        scratch.seek(SeekFrom::Start(self.laid_down))?;
        scratch.write_all(&self.names)?;
        self.laid_down += self.names.len() as u64;
        self.names.clear();
        Ok(())
    }

    /// All values in the order of their times: of their starts, then of their ends.
    ///
    /// # Errors
    /// What `each` returns; [`Error::Scratch`].
    pub fn in_order(
        mut self,
        each: &mut dyn FnMut(&Point, Name<'_>) -> io::Result<()>,
    ) -> Result<(), Error> {
        if self.laid_down > 0 {
            self.lay_down()?;
        }
        let (names, mut scratch) = (self.names, self.scratch);
        self.rows.in_order(|row| {
            let mut rest = &row[..];
            let span = (number(split(&mut rest)), number(split(&mut rest)));
            let _number: [u8; 8] = split(&mut rest);
            let value = f64::from_be_bytes(split(&mut rest));
            let (at, len) = (split(&mut rest), split(&mut rest));
            let (at, len) = (u64::from_be_bytes(at), usize::from(u16::from_be_bytes(len)));
            let mut name = || {
                if at == u64::MAX {
                    return Ok(None);
                }
                let mut name = vec![0; len];
                if let Some(scratch) = &mut scratch {
                    scratch.seek(SeekFrom::Start(at))?;
                    scratch.read_exact(&mut name)?;
                } else {
                    let held = usize::try_from(at).ok().and_then(|at| names.get(at..));
                    name.iter_mut()
                        .zip(held.unwrap_or_default())
                        .for_each(|(to, from)| *to = *from);
                }
                Ok(Some(String::from_utf8_lossy(&name).into_owned()))
            };
            Ok(each(&Point { span, value, name: None }, &mut name)?)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::records::scratch;

    #[test]
    fn values_come_by_their_times_with_their_names_however_many_there_are() {
        for many in [0_i64, 3, 100_000] {
            let mut series = Series::new(&scratch);
            let point = |number: i64| {
                // Two and two have one span, and every third has no name.
                let start = (number / 2 * 7919) % many;
                let name = (number % 3 > 0).then(|| format!("job {number}"));
                #[expect(clippy::cast_precision_loss, reason = "few digits")]
                let value = number as f64;
                Point { span: (start, start + 1), value, name }
            };
            let mut expected: Vec<_> = (0..many).map(point).collect();
            for point in &expected {
                series.add(point).unwrap();
            }
            expected.sort_by_key(|point| point.span);
            let mut found = Vec::new();
            let mut take = |point: &Point, name: Name<'_>| {
                found.push(Point { name: name()?, ..point.clone() });
                Ok(())
            };
            series.in_order(&mut take).unwrap();
            assert_eq!(found.len(), expected.len());
            assert!(found == expected);
        }
    }
}
