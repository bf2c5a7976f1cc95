//! A calendar of contributions: one column for each week from Monday to Sunday, one cell for each day.

use chrono::{Datelike, Days, NaiveDate};
use charts_rs::{Color, HeatmapChart};

use super::drawing::{LABEL_SIZE, finish, format_value, set_up, write_over};
use super::palette::{HEAT, MUTED, SURFACE};
use super::time::format_day;
use super::words::Words;
use super::{Frame, Svg, Unit};

/// The most weeks of a calendar. Older days are left out.
pub(crate) const MAX_WEEKS: usize = 106;

/// Draws a value for each day, darker for more. The days are in order, without holes; `None` is a day without data.
/// The height follows from the width and the number of weeks.
pub(crate) fn calendar(frame: &Frame, first_day: NaiveDate, values: &[Option<u64>]) -> Svg {
    let words = Words::new(frame.language);
    let first_monday = first_day
        .checked_sub_days(Days::new(u64::from(first_day.weekday().num_days_from_monday())))
        .unwrap_or(first_day);
    let before = (first_day - first_monday).num_days() as usize;
    let all_weeks = (before + values.len()).div_ceil(7).max(1);
    let skipped = all_weeks.saturating_sub(MAX_WEEKS);
    let weeks = all_weeks - skipped;
    let greatest = values.iter().flatten().copied().max().unwrap_or_default();
    let cells = values.iter().enumerate().filter_map(|(at, value)| {
        let cell = before + at;
        let week = (cell / 7).checked_sub(skipped)?;
        Some((week, cell % 7, level((*value)?, greatest)))
    });
    // The rows of the crate's heat map start at the bottom.
    let data = cells.map(|(week, weekday, level)| ((6 - weekday) * weeks + week, level as f32)).collect();
    let months = words.calendar_months(first_monday, skipped, weeks);
    let mut days = words.weekdays();
    days.reverse();
    let mut chart = HeatmapChart::new_with_theme(data, months, days, charts_rs::THEME_LIGHT);
    set_up(&mut chart.base, frame, false, &[]);
    let header = if frame.is_standalone() { 28.0 } else { 0.0 };
    let cell = ((chart.width - 48.0) / weeks as f32).clamp(3.0, 20.0);
    chart.height = 7.0 * cell + 28.0 + header + chart.margin.top + chart.margin.bottom;
    chart.heatmap_series.max = 4.0;
    chart.heatmap_series.colors = HEAT.iter().map(|token| frame.color(*token)).collect();
    chart.heatmap_series.thresholds = vec![0.5, 1.5, 2.5, 3.5];
    chart.series.label.font.size = 0.0;
    chart.x_axis.height = 24.0;
    chart.x_axis.stroke_color = Color::transparent();
    chart.x_axis.font = frame.font(MUTED, LABEL_SIZE);
    if greatest == 0 {
        write_over(&mut chart.base, frame, words.nothing);
    }
    let total: u64 = values.iter().flatten().fold(0, |sum: u64, value| sum.saturating_add(*value));
    let busiest = values.iter().position(|value| *value == Some(greatest)).filter(|_| greatest > 0);
    let busiest = busiest.and_then(|at| first_day.checked_add_days(Days::new(at as u64)));
    let count = |value: u64| format_value(value as f64, Unit::Count, frame.language);
    let mut description = format!("{}{}{}", words.total, words.colon, count(total));
    if let Some(day) = busiest {
        let day = format_day(day, frame.language);
        description
            .push_str(&format!("{}{}{}{} ({day})", words.comma, words.greatest, words.colon, count(greatest)));
    }
    finish(frame, chart.svg(), None, Some(SURFACE), &description)
}

/// Returns the step of a value: 0 for none, then 1 to 4 in quarters of the greatest.
fn level(value: u64, greatest: u64) -> u8 {
    if value == 0 || greatest == 0 {
        return 0;
    }
    (1 + (value - 1).saturating_mul(4) / greatest).min(4) as u8
}
