//! The last values of a figure, and a small chart of them in letters.
//!
//! Out of scope: times; a value is one sample.

use std::collections::VecDeque;

use crate::glyphs::Glyphs;

/// Values that are kept: more columns than most terminals have.
const KEPT: usize = 256;

/// Values, the newest last.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct History(VecDeque<f64>);

impl History {
    /// Adds the newest.
    pub fn push(&mut self, value: f64) {
        if self.0.len() == KEPT {
            self.0.pop_front();
        }
        self.0.push_back(value);
    }

    /// A chart of the last `width` values but the `behind` newest, from 0 to the largest of them; blank before
    /// the first.
    pub(crate) fn chart(&self, width: usize, behind: usize, glyphs: Glyphs) -> String {
        let end = self.0.len().saturating_sub(behind);
        let start = end.saturating_sub(width);
        let values: Vec<f64> = self.0.range(start..end).copied().collect();
        let blank = width - values.len();
        " ".repeat(blank) + &bars(&values, glyphs)
    }
}

/// A letter for each value, from 0 to the largest; what is above 0 is never blank.
pub(crate) fn bars(values: &[f64], glyphs: Glyphs) -> String {
    let most = values.iter().copied().fold(0.0, f64::max);
    let steps = glyphs.steps();
    let bar = |value: &f64| {
        if *value <= 0.0 || most <= 0.0 {
            return ' ';
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "a part of a handful of steps"
        )]
        let step = (value / most * (steps.len() - 1) as f64).ceil() as usize;
        steps.get(step).copied().unwrap_or(' ')
    };
    values.iter().map(bar).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: Glyphs = Glyphs { ascii: true, colour: false };

    #[test]
    fn a_chart_ends_with_the_newest_and_keeps_its_width() {
        let mut history = History::default();
        for value in [0.0, 1.0, 4.0, 8.0] {
            history.push(value);
        }
        assert_eq!(history.chart(6, 0, PLAIN), "   .=@");
        assert_eq!(history.chart(2, 0, PLAIN), "=@");
        // Paused two samples ago: 1 is the most that is shown.
        assert_eq!(history.chart(3, 2, PLAIN), "  @");
        assert_eq!(history.chart(2, 9, PLAIN), "  ");
    }

    #[test]
    fn no_more_is_kept_than_is_shown() {
        let mut history = History::default();
        (0..2000).for_each(|value| history.push(f64::from(value)));
        assert_eq!(history.0.len(), KEPT);
        assert_eq!(history.0.back(), Some(&1999.0));
    }
}
