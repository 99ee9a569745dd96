//! The same as a picture: power as each meter sees it, and the energy that its total lacks.
//!
//! Out of scope: fonts and bitmaps. An SVG names a family and leaves the letters to the viewer.

use std::time::Duration;

use anyhow::{Result, anyhow};
use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use crate::curve::Stretch;
use crate::meters::Observed;
use crate::scraper::Scraper;
use crate::text::span;

const SIZE: (u32, u32) = (1000, 760);
const HEAD: u32 = 84;

/// Where the legend stands.
const ROW: i32 = 60;
const FONT: &str = "sans-serif";
const INK: RGBColor = RGBColor(0x33, 0x33, 0x33);
const FAINT: RGBColor = RGBColor(0xe6, 0xe6, 0xe6);

/// Our own meter: the blue of Okabe and Ito's palette, which readers who see few colours can tell from
/// the other three (Color Universal Design, 2008).
const OURS: RGBColor = RGBColor(0x00, 0x72, 0xb2);

/// The scrapers, in the order of their rules: vermilion, orange, bluish green; the widest line below,
/// so that lines that coincide stay visible.
const THEIRS: [(RGBColor, u32); 3] = [
    (RGBColor(0xd5, 0x5e, 0x00), 2),
    (RGBColor(0xe6, 0x9f, 0x00), 5),
    (RGBColor(0x00, 0x9e, 0x73), 8),
];

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// The whole picture.
///
/// # Errors
/// Only if the drawing crate fails on a string.
pub(crate) fn picture(observed: &Observed, title: &str) -> Result<String> {
    let mut text = String::new();
    {
        let root = SVGBackend::with_string(&mut text, SIZE).into_drawing_area();
        let drawn = draw(observed, title, &root);
        drawn.and_then(|()| Ok(root.present()?)).map_err(|error| anyhow!("drawing: {error}"))?;
    }
    Ok(text)
}

type Drawn = std::result::Result<(), Box<dyn std::error::Error>>;

fn draw(observed: &Observed, title: &str, root: &Area<'_>) -> Drawn {
    root.fill(&WHITE)?;
    let (head, body) = root.split_vertically(HEAD);
    heading(observed, title, &head)?;
    let (upper, lower) = body.split_evenly((2, 1)).into_iter().fold((None, None), |two, area| {
        if two.0.is_none() { (Some(area), None) } else { (two.0, Some(area)) }
    });
    if let (Some(upper), Some(lower)) = (upper, lower) {
        power(observed, &upper)?;
        missing(observed, &lower)?;
    }
    Ok(())
}

fn heading(observed: &Observed, title: &str, area: &Area<'_>) -> Drawn {
    let text = |size: u32| (FONT, size).into_font().color(&INK);
    // 890 pixels, at about half an em per letter.
    let size = if title.chars().count() > 85 { 15 } else { 20 };
    area.draw(&Text::new(title.to_owned(), (80, 16), text(size)))?;
    let left = text(14).pos(Pos::new(HPos::Left, VPos::Center));
    let write = |entry: String, x: i32| area.draw(&Text::new(entry, (x, ROW), left.clone()));
    let line = |x: i32, colour: RGBColor, width: u32| {
        area.draw(&PathElement::new(vec![(x, ROW), (x + 24, ROW)], colour.stroke_width(width)))
    };
    line(80, OURS, 2)?;
    write(format!("carbon-ops, every {}", span(observed.times.poll)), 112)?;
    write(format!("every {}, a fall taken as", span(observed.times.scrape)), 320)?;
    let places = [500, 620, 780];
    let words = ["reset to 0", "nothing, left out", "one range to add"];
    for ((x, word), (colour, width)) in places.into_iter().zip(words).zip(THEIRS) {
        line(x, colour, width)?;
        write(word.to_owned(), x + 32)?;
    }
    Ok(())
}

/// The corners of a step function.
fn steps(stretches: &[Stretch]) -> Vec<(f64, f64)> {
    let corners = |s: &Stretch| [(s.from.as_secs_f64(), s.watts), (s.to.as_secs_f64(), s.watts)];
    stretches.iter().flat_map(corners).collect()
}

fn power(observed: &Observed, area: &Area<'_>) -> Drawn {
    let (from, to) = observed.view();
    let inside = |s: &Stretch| s.to.as_secs_f64() > from && s.from.as_secs_f64() < to;
    let mut chart = frame(area, (from, to), (0.0, 1.06 * observed.top()), "power in W")?;
    for (scraper, (colour, width)) in observed.scrapers.iter().zip(THEIRS).rev() {
        let power = scraper.power();
        let shown: Vec<_> = power.into_iter().filter(inside).collect();
        // An interval without energy is a hole, not a line across it.
        for run in shown.chunk_by(|a, b| a.to == b.from) {
            chart.draw_series(LineSeries::new(
                clip(steps(run), from, to),
                colour.stroke_width(width),
            ))?;
        }
    }
    let ours: Vec<_> = observed.ours.power.iter().copied().filter(inside).collect();
    chart.draw_series(LineSeries::new(clip(steps(&ours), from, to), OURS.stroke_width(2)))?;
    Ok(())
}

fn clip(points: Vec<(f64, f64)>, from: f64, to: f64) -> Vec<(f64, f64)> {
    points.into_iter().map(|(x, y)| (x.clamp(from, to), y)).collect()
}

fn missing(observed: &Observed, area: &Area<'_>) -> Drawn {
    let lacks: Vec<_> = observed.scrapers.iter().map(|s| lack(observed, s)).collect();
    let ours = our_lack(observed);
    let all = lacks.iter().flatten().chain(&ours).map(|(_, joules)| *joules);
    let most = all.fold(1.0, f64::max);
    let (unit, scale) = if most >= 1000.0 { ("kJ", 1e3) } else { ("J", 1.0) };
    let label = format!("missing energy in {unit}");
    let end = observed.ended.0.as_secs_f64();
    let top = 1.08 * most / scale;
    // A little below zero, so that a total without any loss is seen.
    let mut chart = frame(area, (0.0, end), (-0.04 * top, top), &label)?;
    let scaled =
        |points: &[(f64, f64)]| points.iter().map(|(x, y)| (*x, y / scale)).collect::<Vec<_>>();
    for (points, (colour, width)) in lacks.iter().zip(THEIRS).rev() {
        chart.draw_series(LineSeries::new(scaled(points), colour.stroke_width(width)))?;
    }
    chart.draw_series(LineSeries::new(scaled(&ours), OURS.stroke_width(2)))?;
    Ok(())
}

/// True energy less the total of a scraper, over time.
fn lack(observed: &Observed, scraper: &Scraper) -> Vec<(f64, f64)> {
    let mut total = 0;
    let mut points = vec![(0.0, 0.0)];
    for interval in &scraper.intervals {
        total += interval.energy.unwrap_or(0);
        points.push(point(observed, interval.to, total));
    }
    points
}

fn our_lack(observed: &Observed) -> Vec<(f64, f64)> {
    let end = observed.ended.0;
    vec![(0.0, 0.0), point(observed, end, observed.ours.total().as_microjoules())]
}

fn point(observed: &Observed, at: Duration, total: u64) -> (f64, f64) {
    let total = carbon_ops_units::Microjoules::new(total).as_joules();
    (at.as_secs_f64(), observed.reference(at) - total)
}

type Chart<'a> = ChartContext<
    'a,
    SVGBackend<'a>,
    Cartesian2d<plotters::coord::types::RangedCoordf64, plotters::coord::types::RangedCoordf64>,
>;

/// Axes with their labels, and a faint grid.
fn frame<'a>(
    area: &Area<'a>,
    (left, right): (f64, f64),
    (bottom, top): (f64, f64),
    label: &str,
) -> std::result::Result<Chart<'a>, Box<dyn std::error::Error>> {
    let text = (FONT, 14).into_font().color(&INK);
    let mut chart = ChartBuilder::on(area)
        .margin_top(10)
        .margin_left(14)
        .margin_right(30)
        .margin_bottom(6)
        .x_label_area_size(48)
        .y_label_area_size(66)
        .build_cartesian_2d(left..right, bottom..top)?;
    chart
        .configure_mesh()
        .x_desc("time in s")
        .y_desc(label)
        .axis_desc_style(text.clone())
        .label_style(text)
        .axis_style(INK)
        .bold_line_style(FAINT)
        .light_line_style(TRANSPARENT)
        .x_labels(11)
        .y_labels(7)
        .x_label_formatter(&|x| format!("{x:.0}"))
        .y_label_formatter(&|y| if top < 10.0 { format!("{y:.1}") } else { format!("{y:.0}") })
        .draw()?;
    Ok(chart)
}
