//! A frame of a model: what the machine uses and emits, how sure that is, and whose it is.
//!
//! Power, carbon, quality and idle are on every frame, however small. What does not fit goes in this order: charts,
//! what explains a figure, intervals of rows, the number of a process, memory.
//!
//! Out of scope: the terminal.

use carbon_ops::record::Quality;
use carbon_ops::watch::{Domain, Sample};
use carbon_ops_words::render::{plain, si};
use jiff::Timestamp;
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Borders, Cell, Clear, Paragraph, Row, Table};

use crate::glyphs::Glyphs;
use crate::history::bars;
use crate::model::{Key, Model, Order, PerHour, Shown, seconds, watts};

/// Narrower than this, a line of the head is said in fewer words.
const NARROW: u16 = 60;

/// Columns of a domain: its name, power and chart.
const DOMAIN: usize = 26;

/// What the mouse can be on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hit {
    /// The heading of a column that rows can be sorted by.
    Heading(Order),
    /// A row.
    Row(Key),
}

/// Draws a frame.
pub fn draw(frame: &mut Frame<'_>, model: &Model) {
    let area = frame.area();
    let Some(sample) = model.sample() else {
        frame.render_widget(Paragraph::new("carbon-ops: the first sample is on its way"), area);
        return;
    };
    let parts = Parts::of(model, sample, area);
    frame.render_widget(title(model, sample, parts.title.width), parts.title);
    frame.render_widget(Paragraph::new(head(model, sample, parts.head.width)), parts.head);
    let domains = domains(model, sample, parts.domains.width, parts.domains.height);
    frame.render_widget(Paragraph::new(domains), parts.domains);
    draw_rows(frame, model, sample, parts.rows);
    frame.render_widget(foot(model, parts.foot.width), parts.foot);
    if model.help {
        draw_help(frame, model, area);
    }
}

/// What lies at a place of a frame of this size.
pub fn hit(model: &Model, area: Rect, column: u16, line: u16) -> Option<Hit> {
    let sample = model.sample()?;
    let rows = Parts::of(model, sample, area).rows;
    if model.help || !rows.contains((column, line).into()) {
        return None;
    }
    if line == rows.y {
        let columns = Column::of(sample, rows.width);
        let areas = Layout::horizontal(columns.iter().map(|it| it.width())).spacing(1).split(rows);
        let at = areas.iter().position(|area| area.contains((column, line).into()))?;
        return columns.get(at)?.order().map(Hit::Heading);
    }
    let shown = model.shown();
    let first = first_row(model, &shown, rows);
    let place = first + usize::from(line - rows.y - 1);
    shown.into_iter().nth(place).map(|row| Hit::Row(row.key))
}

/// Where things are.
struct Parts {
    title: Rect,
    head: Rect,
    domains: Rect,
    rows: Rect,
    foot: Rect,
}

impl Parts {
    fn of(model: &Model, sample: &Sample, area: Rect) -> Self {
        let head = u16::try_from(head(model, sample, area.width).len()).unwrap_or(0);
        let head = head.min(area.height.saturating_sub(2));
        let across = (usize::from(area.width) / DOMAIN).max(1);
        let lines = sample.host.domains.len().div_ceil(across);
        // A sixth of all lines at most: a machine of eight sockets still shows rows.
        let lines = u16::try_from(lines).unwrap_or(u16::MAX).min(area.height / 6);
        let heights = [
            Constraint::Length(1),
            Constraint::Length(head),
            Constraint::Length(lines),
            Constraint::Min(0),
            Constraint::Length(1),
        ];
        let [title, head, domains, rows, foot] = Layout::vertical(heights).areas(area);
        Self { title, head, domains, rows, foot }
    }
}

/// The weakest of energy and place, as a word.
fn quality(sample: &Sample) -> Quality {
    sample.price.as_ref().map_or(sample.quality, |price| price.quality.max(sample.quality))
}

fn title(model: &Model, sample: &Sample, width: u16) -> Paragraph<'static> {
    let time = sample.timestamp.get(11..19).unwrap_or(&sample.timestamp);
    let pace = model.interval.as_secs_f64();
    let paused = if model.is_paused() { " PAUSED" } else { "" };
    let simulated = if sample.simulated { "SIMULATED " } else { "" };
    let quality = quality(sample).as_str().to_uppercase();
    let left = [
        format!(" carbon-ops top  {time}Z  every {pace} s{paused}"),
        format!(" top {time}Z{paused}"),
        paused.to_owned(),
    ];
    let right = format!("{simulated}{quality} ");
    let room = usize::from(width).saturating_sub(right.len() + 1);
    let left = left.into_iter().find(|left| left.len() <= room).unwrap_or_default();
    let gap = usize::from(width).saturating_sub(left.len() + right.len());
    let text = format!("{left}{}{right}", " ".repeat(gap));
    Paragraph::new(text).style(Style::new().add_modifier(Modifier::REVERSED | Modifier::BOLD))
}

/// Power, carbon, idle, grid, and what stands behind them.
fn head(model: &Model, sample: &Sample, width: u16) -> Vec<Line<'static>> {
    let glyphs = model.glyphs;
    let narrow = width < NARROW;
    let columns = usize::from(width);
    let charted = |text: String, history: &crate::history::History| {
        let text = glyphs.text(&text);
        let room = columns.saturating_sub(text.chars().count() + 2);
        let chart =
            if room < 4 { String::new() } else { history.chart(room, model.behind(), glyphs) };
        Line::from(vec![Span::raw(format!("{text} ")), Span::styled(chart, glyphs.chart())])
    };
    let level = sample.price.as_ref().map_or(95.0, |price| 100.0 * price.confidence_level);
    let host = &sample.host;
    let power = si(host.power_w, "W");
    let within = match (host.power_ci_lower_w, host.power_ci_upper_w) {
        (Some(low), Some(high)) => interval(low, high, "W", level, narrow),
        _ => String::new(),
    };
    let mut lines = vec![charted(format!(" power  {power}{within}"), &model.host)];
    if let Some(carbon) = &host.carbon {
        let per_hour = 3600.0 / seconds(sample);
        let grams = si(carbon.grams * per_hour, "g");
        let (low, high) = (carbon.ci_lower_g * per_hour, carbon.ci_upper_g * per_hour);
        let within = interval(low, high, "g", level, narrow);
        lines.push(charted(format!(" carbon {grams}/h{within}"), &model.carbon));
    }
    let residuals = residuals(sample, narrow);
    lines.push(Line::from(Span::styled(
        cut(&glyphs.text(&residuals), columns, glyphs),
        Style::new().add_modifier(Modifier::BOLD),
    )));
    let text = |words: String| Line::from(cut(&glyphs.text(&words), columns, glyphs));
    lines.extend(grid(model, sample, narrow).into_iter().map(text));
    let why = cut(&glyphs.text(&why(sample)), columns, glyphs);
    let style = if quality(sample) == Quality::Measured { Style::new() } else { glyphs.warning() };
    lines.push(Line::from(Span::styled(why, style)));
    lines
}

fn interval(low: f64, high: f64, unit: &str, level: f64, narrow: bool) -> String {
    let (low, high) = (si(low, unit), si(high, unit));
    if narrow { format!(" ({low} to {high})") } else { format!("  {level:.0} %: {low} to {high}") }
}

/// The price of energy now, and in the hours to come where its source tells them.
fn grid(model: &Model, sample: &Sample, narrow: bool) -> Vec<String> {
    let Some(price) = &sample.price else { return vec![" grid   energy is not priced".into()] };
    let (region, now) = (plain(&price.region), price.intensity_g_per_kwh);
    let pue = format!("PUE {:.2}", price.pue_used);
    let mut lines = vec![if narrow {
        format!(" grid   {region} {now:.0} g/kWh, {pue}")
    } else {
        format!(" grid   {region} {now:.0} g/kWh by {}, {pue}", plain(&price.source))
    }];
    let ahead = model.ahead();
    if ahead.len() > 1 {
        let values: Vec<f64> = ahead.iter().map(|(_, value)| *value).collect();
        let least = ahead.iter().min_by(|(_, a), (_, b)| a.total_cmp(b));
        let least = least.map(|(at, value)| format!(" least {value:.0} at {}", clock(*at)));
        let bars = bars(&values, model.glyphs);
        lines.push(format!(" ahead  {bars}{}", least.unwrap_or_default()));
    }
    lines
}

fn clock(at: Timestamp) -> String {
    at.strftime("%H:%MZ").to_string()
}

/// Energy that no row has; what is idle is told even when it is nothing.
fn residuals(sample: &Sample, narrow: bool) -> String {
    let residuals = &sample.residuals;
    let power = |energy: u64| si(watts(energy, sample), "W");
    #[expect(clippy::cast_precision_loss, reason = "percents are shown")]
    let percent = 100.0 * residuals.idle_uj as f64 / (sample.host.energy_uj.max(1)) as f64;
    let mut text = format!(" idle   {} ({percent:.0} %)", power(residuals.idle_uj));
    let unattributed = residuals.unattributed_uj + residuals.gpu_unattributed_uj;
    for (name, energy) in [
        ("kernel", residuals.kernel_uj),
        ("ended", residuals.ended_uj),
        ("others", residuals.others_uj),
        ("unattributed", unattributed),
    ] {
        if energy > 0 && !narrow {
            text = format!("{text}  {name} {}", power(energy));
        }
    }
    format!("{text}  CPU {:.0} % of {}", 100.0 * sample.cpu.utilisation, sample.cpu.count)
}

/// What stands behind the figures, and why nothing better does.
fn why(sample: &Sample) -> String {
    let host = &sample.host;
    let source = match host.source {
        "model" => "modelled, no counter",
        "governor" => "counted by the governor",
        _ => "counted",
    };
    let mut text = format!(" energy {}: {source}", sample.quality.as_str());
    if let Some(price) = &sample.price {
        text = format!("{text}; grid {}", price.quality.as_str());
    }
    let reasons = [&host.reason, &host.gpu_reason].into_iter().flatten().cloned();
    let missing = host.missing.iter();
    let missing = missing.map(|it| format!("MISSING {}: {}", it.name, it.reason.replace('_', " ")));
    let gaps = sample.gaps.iter().map(|gap| format!("gap in {}: {}", gap.domain, gap.reason));
    let coverage = sample.coverage_pct;
    let covered =
        (coverage < 99.95).then(|| format!("counters covered {coverage:.1} % of the time"));
    for reason in covered.into_iter().chain(missing).chain(gaps).chain(reasons) {
        text = format!("{text}; {}", plain(&reason));
    }
    text
}

/// The power of each domain, with its chart.
fn domains(model: &Model, sample: &Sample, width: u16, height: u16) -> Vec<Line<'static>> {
    let across = (usize::from(width) / DOMAIN).max(1);
    let room = across * usize::from(height);
    let all = &sample.host.domains;
    let more = if all.len() > room { all.len() + 1 - room.max(1) } else { 0 };
    let shown = all.get(..all.len() - more).unwrap_or_default();
    let mut cells: Vec<Vec<Span<'static>>> =
        shown.iter().map(|domain| of_domain(model, sample, domain)).collect();
    if more > 0 && room > 0 {
        cells.push(vec![Span::raw(format!(" and {more} more"))]);
    }
    cells.chunks(across).map(|cells| Line::from(cells.concat())).collect()
}

fn of_domain(model: &Model, sample: &Sample, domain: &Domain) -> Vec<Span<'static>> {
    let glyphs = model.glyphs;
    let power = glyphs.text(&si(watts(domain.energy_uj, sample), "W"));
    let devices = sample.gpu.as_ref().map_or(&[][..], |gpu| &gpu.devices);
    let load = devices.iter().find(|it| it.name == domain.name);
    let load = load.and_then(|it| it.utilisation_percent).map(|it| format!(" {it} %"));
    let name = cut(&glyphs.text(&plain(&domain.name)), 10, glyphs);
    let text = format!(" {name:<10} {power:>7}{}", load.unwrap_or_default());
    let room = DOMAIN.saturating_sub(text.chars().count() + 1);
    let history = model.domains.get(&domain.name);
    let chart = history.map_or_else(String::new, |it| it.chart(room, model.behind(), glyphs));
    vec![Span::raw(text), Span::styled(format!(" {chart:<room$}"), glyphs.chart())]
}

/// A column of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Column {
    Pid,
    Name,
    Cpu,
    Memory,
    Power,
    Gpu,
    Carbon,
    Interval,
    History(u16),
}

impl Column {
    /// The columns that fit.
    fn of(sample: &Sample, width: u16) -> Vec<Self> {
        let gpu = sample.gpu.is_some();
        let mut columns = vec![Self::Name, Self::Cpu, Self::Power, Self::Carbon];
        if width >= 50 {
            columns.insert(2, Self::Memory);
        }
        if width >= 60 {
            columns.insert(0, Self::Pid);
        }
        if gpu && width >= 54 {
            columns.push(Self::Gpu);
        }
        if width >= 72 {
            columns.push(Self::Interval);
        }
        // Half of what the others leave; names have the rest.
        let used: u16 = columns.iter().map(|it| it.columns() + 1).sum();
        let left = width.saturating_sub(used + 6);
        if left >= 7 {
            columns.push(Self::History((left / 2).clamp(7, 40)));
        }
        columns
    }

    fn columns(self) -> u16 {
        match self {
            Self::Cpu => 6,
            Self::Pid | Self::Memory | Self::Power | Self::Gpu => 7,
            Self::Carbon => 8,
            Self::Name | Self::Interval => 10,
            Self::History(width) => width,
        }
    }

    fn width(self) -> Constraint {
        match self {
            Self::Name => Constraint::Min(10),
            other => Constraint::Length(other.columns()),
        }
    }

    fn order(self) -> Option<Order> {
        match self {
            Self::Name => Some(Order::Name),
            Self::Cpu => Some(Order::Cpu),
            Self::Memory => Some(Order::Memory),
            Self::Power | Self::Carbon => Some(Order::Power),
            _ => None,
        }
    }

    fn heading(self) -> &'static str {
        match self {
            Self::Pid => "PID",
            Self::Name => "NAME",
            Self::Cpu => "CPU",
            Self::Memory => "MEMORY",
            Self::Power => "POWER",
            Self::Gpu => "GPU",
            Self::Carbon => "CO2E/H",
            Self::Interval => "95 %",
            Self::History(_) => "HISTORY",
        }
    }
}

/// The first row that is shown: the marked one is always in sight.
fn first_row(model: &Model, shown: &[Shown<'_>], area: Rect) -> usize {
    let lines = usize::from(area.height.saturating_sub(1));
    let marked = model.selected.as_ref();
    let place = marked.and_then(|key| shown.iter().position(|row| row.key == *key));
    place.map_or(0, |place| (place + 1).saturating_sub(lines))
}

fn draw_rows(frame: &mut Frame<'_>, model: &Model, sample: &Sample, area: Rect) {
    let glyphs = model.glyphs;
    let columns = Column::of(sample, area.width);
    let shown = model.shown();
    let lines = usize::from(area.height.saturating_sub(1));
    let first = first_row(model, &shown, area);
    let heading = columns.iter().map(|column| {
        let sorted = column.order() == Some(model.order) && *column != Column::Carbon;
        let mark = if sorted { glyphs.sorted() } else { "" };
        cell(*column, format!("{}{mark}", column.heading()))
    });
    let heading = Row::new(heading).style(Style::new().add_modifier(Modifier::UNDERLINED));
    let rows = shown.iter().skip(first).take(lines).map(|row| {
        let cells = columns.iter().map(|column| cell(*column, text(model, sample, row, *column)));
        let marked = model.selected.as_ref() == Some(&row.key);
        let group = row.closed.is_some();
        let style = Style::new();
        let style = if group { style.add_modifier(Modifier::BOLD) } else { style };
        Row::new(cells).style(if marked { style.add_modifier(Modifier::REVERSED) } else { style })
    });
    let table = Table::new(rows, columns.iter().map(|it| it.width())).column_spacing(1);
    frame.render_widget(table.header(heading), area);
    if shown.is_empty() && lines > 0 {
        let words =
            if model.filter.is_empty() { " no row" } else { " no row has this in its name" };
        let below = Rect { y: area.y + 1, height: 1, ..area };
        frame.render_widget(Paragraph::new(words), below);
    }
}

/// Figures end at the right, so that their digits stand below each other.
fn cell(column: Column, text: String) -> Cell<'static> {
    let line = Line::from(text);
    match column {
        Column::Name | Column::History(_) => Cell::from(line),
        _ => Cell::from(line.right_aligned()),
    }
}

fn text(model: &Model, sample: &Sample, row: &Shown<'_>, column: Column) -> String {
    let glyphs = model.glyphs;
    #[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
    let text = match column {
        Column::Pid => match &row.key {
            Key::Process(pid) => pid.to_string(),
            Key::Unit(_) => String::new(),
        },
        Column::Name => {
            let name = plain(&row.name);
            return match row.closed {
                Some(closed) => format!("{} {}", glyphs.fold(closed), glyphs.text(&name)),
                None if row.inner => format!("  {}", glyphs.text(&name)),
                None => glyphs.text(&name),
            };
        }
        Column::Cpu => format!("{:.0} %", row.cpu_percent),
        Column::Memory => si(row.memory_bytes as f64, "B"),
        Column::Power => si(watts(row.energy_uj, sample), "W"),
        Column::Gpu => si(watts(row.gpu_uj, sample), "W"),
        Column::Carbon => row.carbon.map_or_else(|| "-".into(), |carbon| si(carbon.grams, "g")),
        Column::Interval => row.carbon.map_or_else(String::new, off_by),
        Column::History(width) => {
            let chart =
                |it: &crate::history::History| it.chart(usize::from(width), model.behind(), glyphs);
            return row.history.map_or_else(String::new, chart);
        }
    };
    glyphs.text(&text)
}

/// The ends of an interval as parts of the mean: `-31 +45`.
fn off_by(carbon: PerHour) -> String {
    if carbon.grams <= 0.0 {
        return String::new();
    }
    let percent = |end: f64| 100.0 * (end / carbon.grams - 1.0);
    format!("{:+.0} {:+.0}", percent(carbon.low), percent(carbon.high))
}

fn foot(model: &Model, width: u16) -> Paragraph<'static> {
    let text = if model.typing {
        format!(" filter: {}_  (Enter keeps it, Esc clears it)", plain(&model.filter))
    } else if !model.filter.is_empty() {
        format!(" filter: {}  Esc clears it", plain(&model.filter))
    } else {
        let sorted = format!("s sort: {}", model.order.name());
        [
            format!(" q quit  {sorted}  t tree  / filter  space pause  + - pace  ? keys"),
            format!(" q quit  {sorted}  t tree  ? keys"),
            " q quit  ? keys".to_owned(),
        ]
        .into_iter()
        .find(|text| text.len() <= usize::from(width))
        .unwrap_or_default()
    };
    let text = cut(&model.glyphs.text(&text), usize::from(width), model.glyphs);
    Paragraph::new(text).style(Style::new().add_modifier(Modifier::REVERSED))
}

/// What the keys do.
const KEYS: [&str; 14] = [
    "q, Ctrl-C  quit",
    "space      stand still, go on",
    "s          sort by the next column",
    "p c m n    by power, CPU, memory, name",
    "t          processes below their units",
    "Enter      open or close a unit",
    "/          filter by name, unit or PID",
    "Esc        no filter, no mark",
    "arrows     mark a row",
    "+ -        look more or less often",
    "mouse      click marks, headings sort",
    "95 %       interval of CO2E/H, in %,",
    "           of a unit: ends added up",
    "any key    close this",
];

fn draw_help(frame: &mut Frame<'_>, model: &Model, area: Rect) {
    let (width, height) = (42.min(area.width), 16.min(area.height));
    let over = Rect {
        x: area.x + (area.width - width) / 2,
        y: area.y + (area.height - height) / 2,
        width,
        height,
    };
    let border = if model.glyphs.ascii { ASCII_BORDER } else { ratatui::symbols::border::PLAIN };
    let block = Block::new().borders(Borders::ALL).border_set(border).title(" keys ");
    let keys = KEYS.map(Line::from).to_vec();
    frame.render_widget(Clear, over);
    frame.render_widget(Paragraph::new(keys).block(block), over);
}

const ASCII_BORDER: ratatui::symbols::border::Set<'_> = ratatui::symbols::border::Set {
    top_left: "+",
    top_right: "+",
    bottom_left: "+",
    bottom_right: "+",
    vertical_left: "|",
    vertical_right: "|",
    horizontal_top: "-",
    horizontal_bottom: "-",
};

/// At most `width` letters of a text; a mark stands for what was cut.
fn cut(text: &str, width: usize, glyphs: Glyphs) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    let mut kept: String = text.chars().take(width.saturating_sub(1)).collect();
    kept.push(glyphs.cut());
    kept
}
