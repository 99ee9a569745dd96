//! How much work a measurement was for: so many requests, tokens, training runs. It is known before, or whoever does
//! the work writes the number into a file, which is read at the end.
//!
//! Rule: a number that cannot be read costs the record its score, and nothing else.
//!
//! Out of scope: the score ([`Record::score_per`](carbon_ops_record::Record::score_per)).

use std::io::Read as _;
use std::path::PathBuf;
use std::str::FromStr;

use anyhow::{Context as _, Result};
use carbon_ops_record::{FunctionalUnit, UnknownUnit};

use carbon_ops_proof::text::plain;

/// Longest text that is a number.
const BYTES_MAX: u64 = 4096;

/// How much was done, and what it is called.
///
/// ```
/// use carbon_ops::work::Work;
///
/// let dir = tempfile::tempdir()?;
/// let file = dir.path().join("tokens");
/// std::fs::write(&file, "125000\n")?;
/// let work: Work = format!("@{}:token", file.display()).parse()?;
/// assert_eq!(work.done()?.count, 125_000.0);
/// assert_eq!("90:job".parse::<Work>()?.done()?.name, "job");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub enum Work {
    /// It is known before.
    Known(FunctionalUnit),
    /// The file tells it at the end: one number.
    Told {
        /// Where it is written.
        file: PathBuf,
        /// Of what.
        name: String,
    },
}

impl FromStr for Work {
    type Err = UnknownUnit;

    /// `90:job`, or `@FILE:token`.
    fn from_str(text: &str) -> Result<Self, UnknownUnit> {
        let Some(told) = text.strip_prefix('@') else { return Ok(Self::Known(text.parse()?)) };
        let (file, name) = told
            .rsplit_once(':')
            .filter(|(file, _)| !file.is_empty())
            .ok_or(UnknownUnit::of(text))?;
        let name = FunctionalUnit::from_str(&format!("1:{name}"))?.name;
        Ok(Self::Told { file: file.into(), name })
    }
}

impl Work {
    /// How much was done, as far as is known now.
    ///
    /// # Errors
    /// A file that cannot be read, or has no number above 0.
    pub fn done(&self) -> Result<FunctionalUnit> {
        let (file, name) = match self {
            Self::Known(unit) => return Ok(unit.clone()),
            Self::Told { file, name } => (file, name),
        };
        let named = || format!("how many {name}: {}", file.display());
        let mut bytes = Vec::new();
        std::fs::File::open(file)
            .and_then(|file| file.take(BYTES_MAX).read_to_end(&mut bytes))
            .with_context(named)?;
        let text = String::from_utf8(plain(bytes)).with_context(named)?;
        FunctionalUnit::from_str(&format!("{}:{name}", text.trim())).with_context(named)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_known_or_told_at_the_end() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("a:b");
        let work: Work = format!("@{}:k token", file.display()).parse().unwrap();
        assert_eq!(work, Work::Told { file: file.clone(), name: "k token".into() });
        assert!(work.done().is_err(), "nothing was told");
        for (text, count) in
            [("12\n", Some(12.0)), ("\u{feff}1e3\r\n", Some(1000.0)), ("0.5", Some(0.5))]
                .into_iter()
                .chain(["", "0", "-1", "many", "1 2", "inf", "NaN"].map(|text| (text, None)))
        {
            std::fs::write(&file, text).unwrap();
            assert_eq!(work.done().ok().map(|unit| unit.count), count, "{text:?}");
        }
        for wrong in ["@file", "@:token", "@file:", "0:job", "@file:\u{7}"] {
            assert!(wrong.parse::<Work>().is_err(), "{wrong}");
        }
    }
}
