//! The slots as a picture: steps over time with the 95 % interval of each, forecasts apart from what was known, gaps left
//! open. What is longer than two months is drawn as days, with their lowest and highest slots.
//!
//! Out of scope: fonts and bitmaps. An SVG names a family and leaves the letters to the viewer.

use anyhow::{Result, anyhow};
use carbon_ops::grid::line::{Line, Point, figures};
use carbon_ops::grid::zones::Place;
use carbon_ops::grid::{Found, Interval, Timeliness};
use jiff::Timestamp;
use plotters::coord::Shift;
use plotters::coord::ranged1d::{DefaultFormatting, KeyPointHint};
use plotters::coord::types::RangedCoordf64;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::title;

const SIZE: (u32, u32) = (1000, 440);
/// Above the plane: what it shows. Below: whose data it is.
const HEAD: u32 = 64;
const FOOT: u32 = 30;
const FONT: &str = "sans-serif";
const INK: RGBColor = RGBColor(0x33, 0x33, 0x33);
const FAINT: RGBColor = RGBColor(0xe6, 0xe6, 0xe6);

/// Blue and vermilion of Okabe and Ito's palette, which readers who see few colours can tell apart (Color
/// Universal Design, 2008); the forecast is a thinner line too.
const KNOWN: RGBColor = RGBColor(0x00, 0x72, 0xb2);
const FORECAST: RGBColor = RGBColor(0xd5, 0x5e, 0x00);
/// Between the lowest and the highest slot of a day.
const BAND: RGBColor = RGBColor(0xb8, 0xd9, 0xec);
/// Where a value may lie.
const UNSURE: RGBColor = RGBColor(0xe4, 0xee, 0xf4);
/// A time without a value.
const GAP: RGBColor = RGBColor(0xf4, 0xf0, 0xe8);

const DAY: f64 = 86_400.0;

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Drawn = std::result::Result<(), Box<dyn std::error::Error>>;

/// # Errors
/// Only if the drawing crate fails on a string.
pub fn svg(place: &Place, found: &Found, line: &Line) -> Result<String> {
    let mut text = String::new();
    {
        let root = SVGBackend::with_string(&mut text, SIZE).into_drawing_area();
        let drawn = draw(place, found, line, &root);
        drawn.and_then(|()| Ok(root.present()?)).map_err(|error| anyhow!("drawing: {error}"))?;
    }
    Ok(text)
}

fn draw(place: &Place, found: &Found, line: &Line, root: &Area<'_>) -> Drawn {
    root.fill(&WHITE)?;
    let (head, rest) = root.split_vertically(HEAD);
    let (plane, foot) = rest.split_vertically(SIZE.1 - HEAD - FOOT);
    heading(place, found, line, &head)?;
    footing(line, &foot)?;
    plane_of(found, line, &plane)
}

fn heading(place: &Place, found: &Found, line: &Line, area: &Area<'_>) -> Drawn {
    let asked =
        if place.asked == found.zone { String::new() } else { format!(" ({})", place.asked) };
    let large = (FONT, 18).into_font().color(&INK);
    let signal = line.sources().first().map(|(source, _)| source.signal.to_string());
    let signal = signal.unwrap_or_else(|| "no value".to_owned());
    area.draw_text(
        &format!("Grid intensity: {}{asked}, {signal}", title(found)),
        &large,
        (16, 10),
    )?;
    let small = (FONT, 13).into_font().color(&INK);
    let day = |at: Timestamp| at.strftime("%Y-%m-%d %H:%M").to_string();
    let mut text = format!("{} to {} UTC", day(line.interval.start()), day(line.interval.end()));
    if let Some(figures) = line.figures() {
        text = format!(
            "{text} · mean {:.1} g/kWh · {:.1} % covered",
            figures.mean,
            100.0 * line.coverage
        );
    }
    area.draw_text(&text, &small, (16, 40))?;
    let forecast = line.slots.iter().any(is_forecast);
    let days = is_long(line);
    let mut x = i32::try_from(SIZE.0)? - 16;
    for (name, colour, width, room, is_shown) in [
        ("no value", GAP, 10, 84, !found.series.gaps().is_empty()),
        ("forecast", FORECAST, 1, 84, forecast && !days),
        ("lowest to highest", BAND, 10, 138, days),
        ("95 % interval", UNSURE, 10, 114, line.slots.iter().any(|slot| slot.ends().is_some())),
        (if days { "mean of a day" } else { "known" }, KNOWN, 2, if days { 118 } else { 70 }, true),
    ] {
        if is_shown {
            x -= room;
            area.draw(&PathElement::new([(x, 46), (x + 18, 46)], colour.stroke_width(width)))?;
            area.draw_text(name, &small, (x + 23, 40))?;
        }
    }
    Ok(())
}

fn footing(line: &Line, area: &Area<'_>) -> Drawn {
    let mut said: Vec<String> = Vec::new();
    for (source, _) in line.sources() {
        let text = format!("{} ({})", source.attribution, source.licence);
        if !said.contains(&text) {
            said.push(text);
        }
    }
    let small = (FONT, 11).into_font().color(&INK);
    Ok(area.draw_text(&format!("Data: {}", said.join("; ")), &small, (16, 6))?)
}

/// Where the axis counts from, and in which unit: midnight, and hours or days, so that round numbers of
/// the axis are round times.
struct Axis {
    midnight: Timestamp,
    unit: f64,
}

impl Axis {
    fn of(line: &Line) -> Self {
        let second = line.interval.start().as_second();
        let midnight = Timestamp::from_second(second - second.rem_euclid(86_400));
        let unit = if line.interval.as_seconds() <= 4.0 * DAY { 3600.0 } else { DAY };
        Self { midnight: midnight.unwrap_or(line.interval.start()), unit }
    }

    fn at(&self, at: Timestamp) -> f64 {
        Interval::new(self.midnight, at).map_or(0.0, |since| since.as_seconds()) / self.unit
    }

    /// Round times from `left` to `right`, ten at most: parts of a day that divide it, or whole days.
    fn ticks(&self, left: f64, right: f64) -> Vec<f64> {
        const HOURS: [f64; 9] = [1.0 / 12.0, 0.25, 0.5, 1.0, 2.0, 3.0, 6.0, 12.0, 24.0];
        const DAYS: [f64; 7] = [1.0, 2.0, 7.0, 14.0, 28.0, 56.0, 112.0];
        let steps = if self.unit < DAY { &HOURS[..] } else { &DAYS };
        let fits = |step: &&f64| (right - left) / **step <= 9.0;
        let step = steps.iter().find(fits).copied().unwrap_or((right - left) / 9.0).max(1e-3);
        let first = (left / step).ceil();
        let tick = |n: u32| (first + f64::from(n)) * step;
        (0..10).map(tick).take_while(|at| *at <= right).collect()
    }

    fn label(&self, at: f64) -> String {
        #[expect(clippy::cast_possible_truncation, reason = "within the interval")]
        let second = self.midnight.as_second() + (at * self.unit).round() as i64;
        let form = if self.unit < DAY { "%m-%d %H:%M" } else { "%Y-%m-%d" };
        let at = Timestamp::from_second(second);
        at.map_or_else(|_| String::new(), |at| at.strftime(form).to_string())
    }
}

/// An axis with ticks of our choice: the drawing crate's own are round in numbers, not in times.
struct Times {
    within: RangedCoordf64,
    ticks: Vec<f64>,
}

impl Ranged for Times {
    type FormatOption = DefaultFormatting;
    type ValueType = f64;

    fn map(&self, at: &f64, limit: (i32, i32)) -> i32 {
        self.within.map(at, limit)
    }

    fn key_points<Hint: KeyPointHint>(&self, _: Hint) -> Vec<f64> {
        self.ticks.clone()
    }

    fn range(&self) -> std::ops::Range<f64> {
        self.within.range()
    }
}

/// Whether days are drawn instead of slots, which are shorter then.
fn is_long(line: &Line) -> bool {
    let shorter = |slot: &Point| slot.slot.as_seconds() < DAY;
    line.interval.as_seconds() > 62.0 * DAY && line.slots.iter().all(shorter)
}

fn day(slot: &Point) -> i64 {
    slot.shown.start().as_second().div_euclid(86_400)
}

fn plane_of(found: &Found, line: &Line, area: &Area<'_>) -> Drawn {
    // An interval of many times the value would leave no room for the line.
    let high = line.figures().map_or(1.0, |figures| figures.high).max(1.0);
    let ends = line.slots.iter().filter_map(Point::ends).map(|(_, high)| high).fold(high, f64::max);
    let top = ends.min(2.0 * high) * 1.08;
    let axis = Axis::of(line);
    let (left, right) = (axis.at(line.interval.start()), axis.at(line.interval.end()));
    let mut chart = ChartBuilder::on(area)
        .margin_right(40)
        .margin_left(10)
        .x_label_area_size(28)
        .y_label_area_size(60)
        .build_cartesian_2d(
            Times { within: (left..right).into(), ticks: axis.ticks(left, right) },
            0.0..top,
        )?;
    chart
        .configure_mesh()
        .disable_x_mesh()
        .light_line_style(TRANSPARENT)
        .bold_line_style(FAINT)
        .axis_style(INK)
        .x_label_formatter(&|at| axis.label(*at))
        .y_labels(6)
        .y_label_formatter(&|value| format!("{value:.0}"))
        .y_desc("g/kWh")
        .label_style((FONT, 12).into_font().color(&INK))
        .draw()?;
    for gap in found.series.gaps() {
        let (from, to) = (axis.at(gap.interval.start()), axis.at(gap.interval.end()));
        chart.draw_series([Rectangle::new([(from, 0.0), (to, top)], GAP.filled())])?;
    }
    let unsure = unsure(line, &axis).into_iter().map(|[(from, low), (to, high)]| {
        Rectangle::new([(from, low), (to, high.min(top))], UNSURE.filled())
    });
    chart.draw_series(unsure)?;
    let (bands, runs) =
        if is_long(line) { days(line, &axis) } else { (vec![], steps(line, &axis)) };
    chart.draw_series(bands.into_iter().map(|band| Rectangle::new(band, BAND.filled())))?;
    for (points, is_forecast) in runs {
        let style = if is_forecast { FORECAST.stroke_width(1) } else { KNOWN.stroke_width(2) };
        chart.draw_series(LineSeries::new(points, style))?;
    }
    if line.slots.is_empty() {
        let style = (FONT, 16).into_font().color(&INK).pos(Pos::new(HPos::Center, VPos::Center));
        let (x, y) = area.dim_in_pixel();
        let middle = (i32::try_from(x)? / 2, i32::try_from(y)? / 2);
        area.draw_text("no value in this time", &style, middle)?;
    }
    Ok(())
}

type Corner = (f64, f64);

/// A line without holes, and whether it is a forecast.
type Run = (Vec<Corner>, bool);

/// Each slot as a step; a gap, and the beginning of the forecast, end a line.
fn steps(line: &Line, axis: &Axis) -> Vec<Run> {
    let joined =
        |a: &Point, b: &Point| a.shown.end() == b.shown.start() && is_forecast(a) == is_forecast(b);
    let runs = line.slots.chunk_by(joined).map(|run| {
        let corners = run.iter().flat_map(|slot| {
            let (from, to) = (axis.at(slot.shown.start()), axis.at(slot.shown.end()));
            [(from, slot.g_per_kwh), (to, slot.g_per_kwh)]
        });
        (corners.collect(), run.first().is_some_and(is_forecast))
    });
    runs.collect()
}

/// Where the values may lie: of each slot, or of all slots of a day.
fn unsure(line: &Line, axis: &Axis) -> Vec<[Corner; 2]> {
    let is_long = is_long(line);
    let slots = line.slots.chunk_by(|a, b| is_long && day(a) == day(b));
    let bands = slots.filter_map(|slots| {
        let (first, last) = (slots.first()?, slots.last()?);
        let ends = || slots.iter().filter_map(Point::ends);
        let low = ends().map(|(low, _)| low).reduce(f64::min)?;
        let high = ends().map(|(_, high)| high).reduce(f64::max)?;
        Some([(axis.at(first.shown.start()), low), (axis.at(last.shown.end()), high)])
    });
    bands.collect()
}

/// Each day (UTC) as a band from its lowest to its highest slot, and the line of their means.
fn days(line: &Line, axis: &Axis) -> (Vec<[Corner; 2]>, Vec<Run>) {
    let (mut bands, mut runs): (Vec<_>, Vec<Run>) = (Vec::new(), Vec::new());
    let mut before = None;
    for slots in line.slots.chunk_by(|a, b| day(a) == day(b)) {
        let (Some(first), Some(last), Some(of_day)) = (slots.first(), slots.last(), figures(slots))
        else {
            continue;
        };
        let (from, to) = (axis.at(first.shown.start()), axis.at(last.shown.end()));
        bands.push([(from, of_day.low), (to, of_day.high)]);
        let follows = before == Some(day(first) - 1);
        before = Some(day(first));
        match runs.last_mut().filter(|_| follows) {
            Some((corners, _)) => corners.push((from.midpoint(to), of_day.mean)),
            None => runs.push((vec![(from.midpoint(to), of_day.mean)], false)),
        }
    }
    (bands, runs)
}

fn is_forecast(slot: &Point) -> bool {
    slot.meta.timeliness == Timeliness::Forecast
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_times_within_the_plane() {
        for (unit, left, right, expected) in [
            // From half past three, for a day: every third hour.
            (3600.0, 3.5, 27.5, "06:00 09:00 12:00 15:00 18:00 21:00 00:00 03:00"),
            (3600.0, 0.0, 72.0, "00:00 12:00 00:00 12:00 00:00 12:00 00:00"),
            // Twelve minutes around an hour.
            (3600.0, 2.9, 3.1, "02:55 03:00 03:05"),
            // Whole days: every four weeks.
            (
                DAY,
                0.0,
                200.0,
                "1970-01-01 1970-01-29 1970-02-26 1970-03-26 1970-04-23 1970-05-21 1970-06-18 1970-07-16",
            ),
        ] {
            let axis = Axis { midnight: Timestamp::UNIX_EPOCH, unit };
            let ticks = axis.ticks(left, right).into_iter();
            // Times without their day.
            let shown = ticks.map(|at| axis.label(at).rsplit(' ').next().unwrap().to_owned());
            assert_eq!(shown.collect::<Vec<_>>().join(" "), expected);
        }
    }
}
