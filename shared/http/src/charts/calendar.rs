//! A calendar of contributions: one column for each week from Monday to Sunday, one cell for each day.

use charts_rs::{HeatmapChart, TextConfig};
use chrono::{Datelike, Days, NaiveDate};

use super::drawing::{HEADER_HEIGHT, LABEL_SIZE, Legend, NOTE_HEIGHT, format_value, set_up, write_over};
use super::finish::{Shapes, Svg, finish};
use super::palette::{HEAT, MUTED, SURFACE};
use super::time::format_day;
use super::words::Words;
use super::{Frame, Unit};

/// The most weeks of a calendar. Older days are left out.
pub(crate) const MAX_WEEKS: usize = 106;
/// The widths of the names of days, and the height of the names of months, in pixels.
const DAY_NAMES_WIDTH: f32 = 32.0;
const MONTH_NAMES_HEIGHT: f32 = 18.0;
/// The largest cell, in pixels.
const MAX_CELL: f32 = 20.0;

/// Draws a value for each day, in a stronger colour for more. The days are in order, without holes; `None` is a day without data.
/// Width and number of weeks decide the height.
pub(crate) fn calendar(frame: &Frame, first_day: NaiveDate, values: &[Option<u64>]) -> Svg {
    let words = Words::new(frame.language);
    let weeks = Weeks::new(first_day, values.len());
    let greatest = values.iter().flatten().copied().max().unwrap_or_default();
    let mut cells = vec![NO_DATA; 7 * weeks.count];
    for (at, value) in values.iter().enumerate() {
        if let (Some((week, weekday)), Some(value)) = (weeks.cell(at), value) {
            // The rows of the crate's heat map start at the bottom.
            cells[(6 - weekday) * weeks.count + week] = f32::from(level(*value, greatest));
        }
    }
    let data = cells.into_iter().enumerate().collect();
    let (columns, rows) = (vec![String::new(); weeks.count], vec![String::new(); 7]);
    let mut chart = HeatmapChart::new_with_theme(data, columns, rows, charts_rs::THEME_LIGHT);
    set_up(&mut chart.base, frame, Legend::None, &[words.darker.to_owned()]);
    let added = if frame.is_standalone() { HEADER_HEIGHT + NOTE_HEIGHT + 2.0 } else { 0.0 };
    let room = chart.width - chart.margin.left - chart.margin.right - DAY_NAMES_WIDTH;
    let cell = (room / weeks.count as f32).min(MAX_CELL);
    chart.margin.left += DAY_NAMES_WIDTH;
    chart.margin.right += room - cell * weeks.count as f32;
    chart.margin.top += MONTH_NAMES_HEIGHT;
    chart.height = 7.0 * cell + 1.0 + added + chart.margin.top + chart.margin.bottom;
    chart.x_axis.hidden = true;
    chart.y_axis_hidden = true;
    chart.heatmap_series.max = 5.0;
    // A cell without data looks like none.
    let colors = std::iter::once(SURFACE).chain(HEAT);
    chart.heatmap_series.colors = colors.map(|token| frame.color(token)).collect();
    chart.heatmap_series.thresholds = vec![0.5, 1.5, 2.5, 3.5, 4.5];
    chart.series.label.font.size = 0.0;
    label_axes(&mut chart, frame, &weeks, cell, words);
    if greatest == 0 {
        write_over(&mut chart.base, frame, words.nothing);
    }
    let shapes = Shapes { gap: Some(SURFACE), ..Shapes::default() };
    finish(frame, chart.svg(), shapes, None, &describe(frame, first_day, values, greatest, words))
}

/// The weeks of a calendar.
struct Weeks {
    first_monday: NaiveDate,
    /// Number of days of the first week before the first day.
    before: usize,
    /// Number of weeks at the start that are left out.
    skipped: usize,
    count: usize,
}

impl Weeks {
    fn new(first_day: NaiveDate, days: usize) -> Self {
        let before = first_day.weekday().num_days_from_monday() as usize;
        let all = (before + days).div_ceil(7).max(1);
        let skipped = all.saturating_sub(MAX_WEEKS);
        let first_monday = first_day.checked_sub_days(Days::new(before as u64)).unwrap_or(first_day);
        Weeks { first_monday, before, skipped, count: all - skipped }
    }

    /// Returns the week and the weekday of a day, both from 0; `None` if its week is left out.
    fn cell(&self, day: usize) -> Option<(usize, usize)> {
        let at = self.before + day;
        Some(((at / 7).checked_sub(self.skipped)?, at % 7))
    }

    fn monday(&self, week: usize) -> Option<NaiveDate> {
        self.first_monday.checked_add_days(Days::new(7 * (self.skipped + week) as u64))
    }

    /// Returns the weeks with the first Monday of a month. The first week is always one, unless the next month
    /// begins so soon that the names would overlap.
    fn month_starts(&self, cell: f32) -> Vec<(usize, NaiveDate)> {
        let mut starts: Vec<(usize, NaiveDate)> = Vec::new();
        for week in 0..self.count {
            let Some(monday) = self.monday(week) else { continue };
            if starts.last().is_none_or(|(_, last)| last.month() != monday.month()) {
                starts.push((week, monday));
            }
        }
        let min_weeks = 34.0 / cell;
        let mut last_kept = f32::NEG_INFINITY;
        let overlaps_next = |starts: &[(usize, NaiveDate)]| {
            starts.len() > 1 && ((starts[1].0 - starts[0].0) as f32) < min_weeks && starts[0].1.day() > 7
        };
        if overlaps_next(&starts) {
            starts.remove(0);
        }
        starts.retain(|(week, _)| {
            let is_kept = *week as f32 - last_kept >= min_weeks;
            if is_kept {
                last_kept = *week as f32;
            }
            is_kept
        });
        starts
    }
}

/// Writes the names of months and days. The crate's own axes know English only, and centre their labels.
fn label_axes(chart: &mut HeatmapChart, frame: &Frame, weeks: &Weeks, cell: f32, words: &Words) {
    let header = if frame.is_standalone() { HEADER_HEIGHT } else { 0.0 };
    let (left, top) = (chart.margin.left, chart.margin.top + header);
    let font = frame.font(MUTED, LABEL_SIZE);
    let mut write = |text: String, x: f32, y: f32| {
        let (left, top, font) = (Some(x), Some(y), font.clone());
        chart.texts.push(TextConfig { text, left, top, font, ..TextConfig::default() });
    };
    for (week, day) in weeks.month_starts(cell) {
        write(words.month(day), left + week as f32 * cell, top - MONTH_NAMES_HEIGHT + 1.0);
    }
    // Names of days need rows that are as high.
    let step = if cell >= 7.0 { 1 } else { 3 };
    for (row, name) in words.weekdays().into_iter().enumerate().step_by(step) {
        write(
            name.to_owned(),
            left - DAY_NAMES_WIDTH,
            top + (row as f32 * 2.0 + 0.5) * cell - LABEL_SIZE / 2.0,
        );
    }
}

fn describe(
    frame: &Frame,
    first_day: NaiveDate,
    values: &[Option<u64>],
    greatest: u64,
    words: &Words,
) -> String {
    let total = values.iter().flatten().fold(0, |sum: u64, value| sum.saturating_add(*value));
    let count = |value: u64| format_value(value as f64, Unit::Count, frame.language);
    let mut text = format!("{}{}{}", words.total, words.colon, count(total));
    let busiest = values.iter().position(|value| *value == Some(greatest)).filter(|_| greatest > 0);
    if let Some(day) = busiest.and_then(|at| first_day.checked_add_days(Days::new(at as u64))) {
        let day = format_day(day, frame.language);
        text.push_str(&format!(
            "{}{}{}{} ({day})",
            words.comma,
            words.greatest,
            words.colon,
            count(greatest)
        ));
    }
    text
}

/// The step of a day without data.
const NO_DATA: f32 = 0.0;

/// Returns the step of a value: 1 for none, then 2 to 5 in quarters of the greatest.
fn level(value: u64, greatest: u64) -> u8 {
    if value == 0 || greatest == 0 {
        return 1;
    }
    // In 128 bits, because the product may be larger.
    (2 + u128::from(value - 1) * 4 / u128::from(greatest)).min(5) as u8
}
