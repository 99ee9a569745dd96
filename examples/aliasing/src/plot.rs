//! A plot for terminals: dots of Braille, so that four by two fit into one character.
//!
//! Our own hundred lines, since the crate for this (textplots) brings six more, one of them under a
//! licence that this project does not accept.
//!
//! Out of scope: colour, and more than one series per plot: without colour they could not be
//! told apart.

use std::fmt::Write as _;

use crate::curve::Stretch;
use carbon_ops_units::si;

/// Characters of a plot without its labels: with them, 80.
const WIDTH: usize = 66;
const HEIGHT: usize = 6;

/// Dots in one character (Unicode 16, section 21.1: Braille patterns).
const DOTS: (usize, usize) = (2, 4);

/// What part of the plane is shown.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Frame {
    /// Seconds.
    pub(crate) from: f64,
    pub(crate) to: f64,
    /// Watts, from zero.
    pub(crate) top: f64,
}

/// Power over time, as steps.
pub(crate) fn plot(series: &[Stretch], frame: Frame) -> String {
    let mut canvas = Canvas::new();
    let mut before: Option<(usize, usize)> = None;
    for stretch in series {
        let (from, to) = (stretch.from.as_secs_f64(), stretch.to.as_secs_f64());
        if to <= frame.from || from >= frame.to {
            continue;
        }
        let x = |at: f64| scale((at - frame.from) / (frame.to - frame.from), WIDTH * DOTS.0);
        let y = scale(stretch.watts / frame.top, HEIGHT * DOTS.1);
        let (left, right) = (x(from.max(frame.from)), x(to.min(frame.to)));
        if let Some((_, old)) = before.filter(|(end, _)| left.abs_diff(*end) <= 1) {
            (old.min(y)..=old.max(y)).for_each(|y| canvas.set(left, y));
        }
        (left..=right).for_each(|x| canvas.set(x, y));
        before = Some((right, y));
    }
    canvas.print(frame)
}

/// The nearest of `count` dots.
fn scale(fraction: f64, count: usize) -> usize {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "clamped to a few hundred dots"
    )]
    let dot = (fraction.clamp(0.0, 1.0) * (count - 1) as f64).round() as usize;
    dot
}

/// Dots, the first row at the bottom.
struct Canvas(Vec<u8>);

impl Canvas {
    fn new() -> Self {
        Self(vec![0; WIDTH * HEIGHT])
    }

    fn set(&mut self, x: usize, y: usize) {
        // Bits of a pattern: the left column is 1, 2, 3, 7 from above, the right one 4, 5, 6, 8.
        const BITS: [[u8; 4]; 2] = [[0x01, 0x02, 0x04, 0x40], [0x08, 0x10, 0x20, 0x80]];
        let from_above = (HEIGHT * DOTS.1).saturating_sub(1 + y);
        let cell = self.0.get_mut(from_above / DOTS.1 * WIDTH + x / DOTS.0);
        let bit = BITS.get(x % DOTS.0).and_then(|column| column.get(from_above % DOTS.1));
        if let (Some(cell), Some(bit)) = (cell, bit) {
            *cell |= bit;
        }
    }

    fn print(&self, frame: Frame) -> String {
        let mut text = String::new();
        for (row, cells) in self.0.chunks(WIDTH).enumerate() {
            let label = match row {
                0 => si(frame.top, "W"),
                _ if row == HEIGHT - 1 => "0 W".into(),
                _ => String::new(),
            };
            let cells = cells.iter().map(|&bits| braille(bits)).collect::<String>();
            let _ = writeln!(text, "{label:>9} ┤{}", cells.trim_end());
        }
        let _ = writeln!(text, "{:>10}└{}", "", "─".repeat(WIDTH));
        let (from, to) = (format!("{:.0} s", frame.from), format!("{:.0} s", frame.to));
        let _ = writeln!(text, "{:>11}{from}{to:>width$}", "", width = WIDTH - from.len());
        text
    }
}

fn braille(bits: u8) -> char {
    if bits == 0 { ' ' } else { char::from_u32(0x2800 + u32::from(bits)).unwrap_or(' ') }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_step_stands_where_it_should() {
        let stretch = |from, to, watts| Stretch {
            from: Duration::from_secs(from),
            to: Duration::from_secs(to),
            watts,
        };
        let text = plot(
            &[stretch(0, 5, 0.0), stretch(5, 10, 100.0)],
            Frame { from: 0.0, to: 10.0, top: 100.0 },
        );
        let rows: Vec<&str> = text.lines().collect();
        assert_eq!(rows.len(), HEIGHT + 2);
        assert!(rows[0].starts_with("    100 W ┤") && rows[0].ends_with('⠉'), "{text}");
        assert!(rows[HEIGHT - 1].starts_with("      0 W ┤⣀"), "{text}");
        assert!(rows[HEIGHT + 1].ends_with("10 s"), "{text}");
        // The low half lies below, the high half above, and a line joins them in the middle.
        assert!(rows[0].chars().nth(20) == Some(' ') && rows[0].chars().nth(60) == Some('⠉'));
        assert!(rows[2].trim_end().chars().count() <= 46, "{text}");
    }
}
