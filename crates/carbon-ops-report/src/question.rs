//! What a report is asked: which records, by what, over which groups of time.
//!
//! Out of scope: reading records, and whom to trust.

use carbon_ops_record::totals::{Choice, Common, GroupBy};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// What a report is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// One sum for each of these.
    pub by: GroupBy,
    /// One sum for each of these in the course of time: hours, days or months.
    pub over: GroupBy,
    /// Which records are meant.
    pub choice: Choice,
    /// Whether records of simulated sensors count.
    pub include_simulated: bool,
}

impl Default for Question {
    /// All records, day by day.
    fn default() -> Self {
        Self {
            by: GroupBy::All,
            over: GroupBy::Day,
            choice: Choice::default(),
            include_simulated: false,
        }
    }
}

/// A question as a page carries it.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    by: String,
    over: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    from: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    to: Option<String>,
    #[serde(rename = "where")]
    common: Vec<String>,
    include_simulated: bool,
}

/// That a text is no question.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a question of a report")]
pub struct NoQuestion;

/// Up to so many days a report shows hours; and up to so many it shows days.
const DAYS_BY_HOUR: i64 = 3;
const DAYS_BY_DAY: i64 = 400;

impl Question {
    /// By what the course of time is shown best: hours of few days, months of more than a year.
    #[must_use]
    pub fn over(choice: &Choice) -> GroupBy {
        let days =
            choice.from.zip(choice.to).map(|(from, to)| to.duration_since(from).as_hours() / 24);
        match days {
            Some(..=DAYS_BY_HOUR) => GroupBy::Hour,
            None | Some(..=DAYS_BY_DAY) => GroupBy::Day,
            Some(_) => GroupBy::Month,
        }
    }

    /// As one line of JSON, in the spelling that [`parse`](Self::parse) takes alone.
    #[must_use]
    pub fn to_text(&self) -> String {
        let time = |at: Timestamp| at.to_string();
        let written = Written {
            by: self.by.to_string(),
            over: self.over.to_string(),
            from: self.choice.from.map(time),
            to: self.choice.to.map(time),
            common: self.choice.common.iter().map(Common::to_string).collect(),
            include_simulated: self.include_simulated,
        };
        // In a page, where it stands, a tag would end it.
        serde_json::to_string(&written).unwrap_or_default().replace('<', "\\u003c")
    }

    /// Reads what [`to_text`](Self::to_text) wrote.
    ///
    /// # Errors
    /// When it did not: a question has one spelling.
    pub fn parse(text: &str) -> Result<Self, NoQuestion> {
        let written: Written = serde_json::from_str(text).map_err(|_| NoQuestion)?;
        let time = |text: Option<String>| {
            text.map(|text| text.parse()).transpose().map_err(|_| NoQuestion)
        };
        let common = written.common.iter().map(|text| text.parse().map_err(|_| NoQuestion));
        let question = Self {
            by: written.by.parse().map_err(|_| NoQuestion)?,
            over: written.over.parse().map_err(|_| NoQuestion)?,
            choice: Choice {
                from: time(written.from)?,
                to: time(written.to)?,
                common: common.collect::<Result<_, _>>()?,
            },
            include_simulated: written.include_simulated,
        };
        if question.to_text() == text { Ok(question) } else { Err(NoQuestion) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_has_one_spelling() {
        let question = Question {
            by: GroupBy::Label("team".into()),
            choice: Choice {
                from: Some("2026-03-01T00:00Z".parse().unwrap()),
                to: None,
                common: vec!["zone=DE".parse().unwrap()],
            },
            ..Question::default()
        };
        let text = question.to_text();
        assert_eq!(Question::parse(&text), Ok(question));
        for other in
            [text.replace("region=", "zone="), text.replace(':', ": "), text.replace("day", "days")]
        {
            assert_eq!(Question::parse(&other), Err(NoQuestion), "{other}");
        }
    }
}
