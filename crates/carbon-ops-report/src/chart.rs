//! Charts as SVG, without a script: each has a name and a description for who does not see it, and its numbers stand
//! in a table beside it.
//!
//! Colours are classes, so that a page can be light, dark or printed.
//!
//! Out of scope: which figures are drawn.

use std::fmt::Write as _;

use carbon_ops_units::si;

use crate::html::escaped;

/// Size of a chart, and where its axes are.
const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 220.0;
const LEFT: f64 = 70.0;
const TOP: f64 = 14.0;
const BOTTOM: f64 = 190.0;

/// Most bars that can be told from each other; more are drawn as a line.
const BARS_MAX: usize = 62;

/// A point in the course of time.
#[derive(Debug)]
pub(crate) struct Point<'p> {
    pub(crate) name: &'p str,
    pub(crate) value: f64,
    /// The ends of its interval.
    pub(crate) between: Option<(f64, f64)>,
}

/// A picture with its name and description.
fn picture(id: &str, name: &str, description: &str, height: f64, inside: &str) -> String {
    format!(
        "<svg viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" aria-labelledby=\"{id}-t {id}-d\">\
         <title id=\"{id}-t\">{}</title><desc id=\"{id}-d\">{}</desc>{inside}</svg>",
        escaped(name),
        escaped(description)
    )
}

/// A number of a picture: a tenth of a unit is less than a pixel.
fn at(value: f64) -> String {
    let text = format!("{value:.1}");
    text.strip_suffix(".0").map(str::to_owned).unwrap_or(text)
}

#[expect(clippy::cast_precision_loss, reason = "places in a picture")]
fn number(count: usize) -> f64 {
    count as f64
}

/// Values in the course of time, as bars or, where they are many, as a line, with the band of their intervals.
pub(crate) fn course(id: &str, name: &str, points: &[Point<'_>], unit: &str) -> String {
    let highest = points.iter().map(|point| point.between.map_or(point.value, |(_, high)| high));
    let most = highest.fold(0.0, f64::max);
    let top = if most > 0.0 { most } else { 1.0 };
    let y = |value: f64| BOTTOM - (BOTTOM - TOP) * (value / top).clamp(0.0, 1.0);
    let step = (WIDTH - LEFT) / number(points.len().max(1));
    let middle = |n: usize| LEFT + step * (number(n) + 0.5);
    let mut inside = String::new();
    for value in [0.0, top / 2.0, top] {
        let (line, text) = (at(y(value)), at(y(value) + 4.0));
        let _ = write!(
            inside,
            "<path class=\"grid\" d=\"M{LEFT} {line}H{WIDTH}\"></path>\
             <text x=\"{}\" y=\"{text}\" class=\"end\">{}</text>",
            LEFT - 6.0,
            escaped(&si(value, unit))
        );
    }
    if points.len() <= BARS_MAX {
        bars(points, step, &y, unit, &mut inside);
    } else {
        line(points, &middle, &y, &mut inside);
    }
    let last = points.len().saturating_sub(1);
    for (n, class) in [(0, "start"), (last / 2, "middle"), (last, "end")] {
        if let Some(point) = points.get(n).filter(|_| class == "start" || n > 0) {
            let x = match class {
                "start" => LEFT,
                "end" => WIDTH,
                _ => middle(n),
            };
            let _ = write!(
                inside,
                "<text x=\"{}\" y=\"{}\" class=\"{class}\">{}</text>",
                at(x),
                HEIGHT - 10.0,
                escaped(point.name)
            );
        }
    }
    let description = match (points.first(), points.last()) {
        (Some(first), Some(last)) => format!(
            "{} values from {} to {}; the highest is {}. The table below has all of them.",
            points.len(),
            first.name,
            last.name,
            si(points.iter().map(|point| point.value).fold(0.0, f64::max), unit)
        ),
        _ => "no values".to_owned(),
    };
    picture(id, name, &description, HEIGHT, &inside)
}

fn bars(points: &[Point<'_>], step: f64, y: &dyn Fn(f64) -> f64, unit: &str, inside: &mut String) {
    let width = (step * 0.8).min(48.0);
    for (n, point) in points.iter().enumerate() {
        let middle = LEFT + step * (number(n) + 0.5);
        let (x, above) = (at(middle - width / 2.0), y(point.value));
        let _ = write!(
            inside,
            "<rect class=\"bar\" x=\"{x}\" y=\"{}\" width=\"{}\" height=\"{}\"><title>{}: {}</title></rect>",
            at(above),
            at(width),
            at(BOTTOM - above),
            escaped(point.name),
            escaped(&si(point.value, unit))
        );
        if let Some((low, high)) = point.between {
            let (middle, half) = (at(middle), at((width / 2.0).min(6.0)));
            let (low, high) = (at(y(low)), at(y(high)));
            let _ = write!(
                inside,
                "<path class=\"whisker\" d=\"M{middle} {high}V{low}m-{half} 0h{half}h{half}M{middle} {high}m-{half} \
                 0h{half}h{half}\"></path>"
            );
        }
    }
}

fn line(
    points: &[Point<'_>],
    middle: &dyn Fn(usize) -> f64,
    y: &dyn Fn(f64) -> f64,
    inside: &mut String,
) {
    let path = |value: &dyn Fn(&Point<'_>) -> f64| -> Vec<String> {
        let place =
            |(n, point): (usize, &Point<'_>)| format!("{} {}", at(middle(n)), at(y(value(point))));
        points.iter().enumerate().map(place).collect()
    };
    if points.iter().any(|point| point.between.is_some()) {
        let high = path(&|point| point.between.map_or(point.value, |(_, high)| high));
        let mut low = path(&|point| point.between.map_or(point.value, |(low, _)| low));
        low.reverse();
        let _ = write!(
            inside,
            "<path class=\"band\" d=\"M{}L{}Z\"></path>",
            high.join("L"),
            low.join("L")
        );
    }
    let _ = write!(
        inside,
        "<path class=\"line\" d=\"M{}\"></path>",
        path(&|point| point.value).join("L")
    );
}

/// The hours of a week, from Monday, each as dark as its value.
pub(crate) fn week(id: &str, name: &str, values: &[[f64; 24]; 7], unit: &str) -> String {
    let most = values.iter().flatten().copied().fold(0.0, f64::max);
    let (mut inside, cell) = (String::new(), (WIDTH - LEFT) / 24.0);
    for (row, (day, hours)) in DAYS.iter().zip(values).enumerate() {
        let y = 20.0 + 24.0 * number(row);
        let _ = write!(
            inside,
            "<text x=\"{}\" y=\"{}\" class=\"end\">{day}</text>",
            LEFT - 6.0,
            y + 16.0
        );
        for (hour, value) in hours.iter().enumerate() {
            let dark = if most > 0.0 { value / most } else { 0.0 };
            let _ = write!(
                inside,
                "<rect class=\"cell\" x=\"{}\" y=\"{y}\" width=\"{}\" height=\"22\" fill-opacity=\"{dark:.2}\">\
                 <title>{day} {hour:02}:00: {}</title></rect>",
                at(LEFT + cell * number(hour)),
                at(cell - 2.0),
                escaped(&si(*value, unit))
            );
        }
    }
    for hour in (0..24_usize).step_by(6) {
        let x = at(LEFT + cell * number(hour));
        let _ = write!(inside, "<text x=\"{x}\" y=\"12\" class=\"start\">{hour:02}</text>");
    }
    let description = format!("the hours of the week in UTC; the darkest has {}", si(most, unit));
    picture(id, name, &description, 192.0, &inside)
}

/// Names of weekdays.
pub(crate) const DAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];

/// What flows out of a whole: parts with their names, which have a class each.
pub(crate) fn flow(
    id: &str,
    name: &str,
    whole: &str,
    parts: &[(String, f64, &str)],
    unit: &str,
) -> String {
    const GAP: f64 = 22.0;
    const TALL: f64 = 120.0;
    let total: f64 = parts.iter().map(|(_, value, _)| value).sum();
    let scale = if total > 0.0 { TALL / total } else { 0.0 };
    let height = TALL + GAP * number(parts.len()) + 10.0;
    let start = (height - TALL) / 2.0;
    let mut inside = format!(
        "<rect class=\"whole\" x=\"150\" y=\"{}\" width=\"14\" height=\"{}\"></rect>\
         <text x=\"142\" y=\"{}\" class=\"end\">{}</text><text x=\"142\" y=\"{}\" class=\"end\">{}</text>",
        at(start),
        at(TALL),
        at(height / 2.0 - 4.0),
        escaped(whole),
        at(height / 2.0 + 14.0),
        escaped(&si(total, unit))
    );
    let (mut from, mut to) = (start, 5.0 + GAP / 2.0);
    for (name, value, class) in parts {
        let tall = value * scale;
        let (a, b, c, d) = (at(from), at(to), at(to + tall), at(from + tall));
        let _ = write!(
            inside,
            "<path class=\"flow {class}\" d=\"M164 {a}C280 {a} 280 {b} 396 {b}V{c}C280 {c} 280 {d} 164 {d}Z\"></path>\
             <rect class=\"{class}\" x=\"396\" y=\"{b}\" width=\"14\" height=\"{}\"></rect>\
             <text x=\"418\" y=\"{}\" class=\"start\">{}: {}</text>",
            at(tall.max(0.5)),
            at(to + tall / 2.0 + 4.0),
            escaped(name),
            escaped(&si(*value, unit))
        );
        from += tall;
        to += tall + GAP;
    }
    let description = format!("{whole} splits into {} parts", parts.len());
    picture(id, name, &description, height, &inside)
}
