//! A series as a bar chart for the terminal.

use chrono::NaiveDate;
use gam_model::Grain;
use gam_model::metric::Metric;
use gam_query::{MetricValue, SeriesPoint};

use crate::format::integer;
use crate::terminal::OutputStyle;

/// The height of the chart in lines.
const HEIGHT_LINES: usize = 10;
/// The least width of the bars, in columns. A narrower chart shows nothing.
const MIN_PLOT_COLUMNS: usize = 8;
/// The greatest width of one bar, in columns.
const MAX_BAR_COLUMNS: usize = 12;
/// The width of a day, in columns.
const DAY_COLUMNS: usize = 10;
const ANSI_CYAN: &str = "\x1b[36m";
const ANSI_RESET: &str = "\x1b[0m";

/// The characters that a chart is drawn with.
struct ChartCharacters {
    /// A bar's cell by how many eighths of it are filled, from one to eight.
    fill: [char; 8],
    /// A filled cell of a bar whose bucket the range cuts.
    partial: char,
    axis: char,
    tick: char,
    corner: char,
    floor: char,
}

const UNICODE: ChartCharacters = ChartCharacters {
    fill: ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'],
    partial: '░',
    axis: '│',
    tick: '┤',
    corner: '└',
    floor: '─',
};
const ASCII: ChartCharacters =
    ChartCharacters { fill: ['#'; 8], partial: ':', axis: '|', tick: '+', corner: '+', floor: '-' };

/// One bar: its value, and whether the range cuts a bucket of it.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Bar {
    value: f64,
    is_partial: bool,
}

/// Draws the series, with a title above it. The bars of a distribution are its medians.
pub(crate) fn series_chart(
    metric: &Metric,
    grain: Grain,
    points: &[SeriesPoint],
    style: OutputStyle,
) -> String {
    let median = if metric.is_distribution() { "median " } else { "" };
    let title = format!("{median}{} by {}", metric.name, grain.as_str());
    let bars: Vec<Bar> = points.iter().map(bar).collect();
    let highest = bars.iter().map(|bar| bar.value).fold(0.0, f64::max);
    let (Some(first), Some(last)) = (points.first(), points.last()) else { return title };
    if highest == 0.0 {
        return format!("{title}: none in this range");
    }
    let labels = [highest, highest / 2.0, 0.0].map(value_label);
    let label_columns = labels.iter().map(String::len).max().unwrap_or_default();
    let plot_columns = style.width.saturating_sub(label_columns + 2);
    if plot_columns < MIN_PLOT_COLUMNS {
        return format!("{title}: at most {}; the terminal is too narrow for a chart", labels[0]);
    }
    let per_bar = bars.len().div_ceil(plot_columns);
    let bars = merge_bars(&bars, per_bar);
    let mut lines = vec![title];
    lines.extend(plot(&bars, highest, plot_columns, &labels, style));
    let bars_columns = bars.len() * bar_pitch(bars.len(), plot_columns);
    lines.push(day_labels([first.start, last.start], label_columns + 2, bars_columns));
    if per_bar > 1 {
        lines.push(format!("each bar: the highest of {per_bar} {}s", grain.as_str()));
    }
    if bars.iter().any(|bar| bar.is_partial) {
        let partial = characters(style).partial;
        lines.push(format!("{partial} partial: the range cuts the {}", grain.as_str()));
    }
    lines.join("\n")
}

fn characters(style: OutputStyle) -> &'static ChartCharacters {
    if style.has_unicode { &UNICODE } else { &ASCII }
}

fn bar(point: &SeriesPoint) -> Bar {
    let value = match point.value {
        MetricValue::Distribution { p50, .. } => p50.unwrap_or_default(),
        MetricValue::Count(count) => count as f64,
    };
    Bar { value, is_partial: point.partial }
}

/// Merges that many neighbouring bars into one, which has the highest value of them.
fn merge_bars(bars: &[Bar], count: usize) -> Vec<Bar> {
    bars.chunks(count.max(1))
        .map(|chunk| Bar {
            value: chunk.iter().map(|bar| bar.value).fold(0.0, f64::max),
            is_partial: chunk.iter().any(|bar| bar.is_partial),
        })
        .collect()
}

/// Returns the distance between two bars, in columns. All bars have the same width.
fn bar_pitch(bars: usize, plot_columns: usize) -> usize {
    (plot_columns / bars.max(1)).clamp(1, MAX_BAR_COLUMNS)
}

/// Draws the bars and the axes, from the top line to the floor.
fn plot(bars: &[Bar], highest: f64, columns: usize, labels: &[String; 3], style: OutputStyle) -> Vec<String> {
    let characters = characters(style);
    let pitch = bar_pitch(bars.len(), columns);
    // Wide bars have a gap between them.
    let bar_columns = if pitch >= 3 { pitch - 1 } else { pitch };
    let label_columns = labels.iter().map(String::len).max().unwrap_or_default();
    let mut lines = Vec::with_capacity(HEIGHT_LINES + 1);
    for line in 0..HEIGHT_LINES {
        let cells: String = bars
            .iter()
            .flat_map(|bar| {
                let cell = cell(*bar, highest, HEIGHT_LINES - 1 - line, characters);
                std::iter::repeat_n(cell, bar_columns).chain(std::iter::repeat_n(' ', pitch - bar_columns))
            })
            .collect();
        let (label, axis) = match line {
            0 => (labels[0].as_str(), characters.tick),
            middle if middle == HEIGHT_LINES / 2 => (labels[1].as_str(), characters.tick),
            _ => ("", characters.axis),
        };
        let cells = cells.trim_end();
        let cells = if style.has_color && !cells.is_empty() {
            format!("{ANSI_CYAN}{cells}{ANSI_RESET}")
        } else {
            cells.to_owned()
        };
        lines.push(format!("{label:>label_columns$} {axis}{cells}"));
    }
    let floor: String = std::iter::repeat_n(characters.floor, bars.len() * pitch).collect();
    lines.push(format!("{:>label_columns$} {}{floor}", labels[2], characters.corner));
    lines
}

/// Returns a bar's character in a line, which is `level` lines above the floor.
fn cell(bar: Bar, highest: f64, level: usize, characters: &ChartCharacters) -> char {
    let height_eighths = (bar.value / highest * (HEIGHT_LINES * 8) as f64).round() as usize;
    // A small value is visible too.
    let height_eighths = if bar.value > 0.0 { height_eighths.max(1) } else { 0 };
    match height_eighths.saturating_sub(level * 8).min(8) {
        0 => ' ',
        _ if bar.is_partial => characters.partial,
        eighths => characters.fill[eighths - 1],
    }
}

/// Returns the line below the chart: the days on which the first and the last bucket begin.
fn day_labels([first, last]: [NaiveDate; 2], indent: usize, plot_columns: usize) -> String {
    let gap = plot_columns.saturating_sub(2 * DAY_COLUMNS);
    let last = if gap > 0 && first != last { format!("{:gap$}{last}", "") } else { String::new() };
    format!("{:indent$}{first}{last}", "")
}

fn value_label(value: f64) -> String {
    if value.fract() == 0.0 { integer(value as u64) } else { format!("{value:.1}") }
}

#[cfg(test)]
mod tests {
    use chrono::Days;
    use serde_json::{Value, json};

    use super::*;

    fn points(values: &[Value]) -> Vec<SeriesPoint> {
        let first: NaiveDate = "2026-01-01".parse().unwrap();
        let day = |n: usize| first + Days::new(n as u64);
        let point = |(n, value): (usize, &Value)| SeriesPoint {
            start: day(n),
            end: day(n + 1),
            value: serde_json::from_value(value.clone()).unwrap(),
            partial: false,
        };
        values.iter().enumerate().map(point).collect()
    }

    fn commits() -> &'static Metric {
        Metric::named("commits").unwrap()
    }

    fn chart(values: &[Value], width: usize) -> String {
        series_chart(commits(), Grain::Day, &points(values), OutputStyle::plain(width))
    }

    #[test]
    fn the_chart_has_its_ends_and_its_heights() {
        let text = chart(&[json!(1), json!(0), json!(1500)], 80);
        assert!(text.starts_with("commits by day\n1,500 ┤"), "{text}");
        for part in [" 750 ┤", "\n    0 └──", "2026-01-01", "2026-01-03"] {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert!(text.contains("▁▁"), "one commit of 1,500 is visible: {text}");
        assert!(!text.contains('\u{1b}'));
        let style = OutputStyle { has_color: true, ..OutputStyle::plain(80) };
        assert!(series_chart(commits(), Grain::Day, &points(&[json!(4)]), style).contains('\u{1b}'));
        assert_eq!(
            series_chart(commits(), Grain::Week, &points(&[json!(0)]), OutputStyle::plain(80)),
            "commits by week: none in this range"
        );
        assert_eq!(series_chart(commits(), Grain::Week, &[], OutputStyle::plain(80)), "commits by week");
    }

    #[test]
    fn the_chart_fits_every_width() {
        let values: Vec<Value> = (0..400).map(|n| json!(n * 7 % 1234)).collect();
        for count in [1, 2, 30, 61, 400] {
            for width in [12, 20, 40, 60, 80, 120, 200] {
                let text = chart(&values[..count], width);
                // A sentence below the chart may wrap in a very narrow terminal.
                let lines = text.lines().filter(|line| width >= 40 || !line.starts_with("each bar"));
                let longest = lines.skip(1).map(|line| line.chars().count()).max().unwrap_or_default();
                assert!(longest <= width, "{count} bars, {width} columns, {longest}:\n{text}");
            }
        }
        assert!(chart(&[json!(1_000_000)], 12).contains("too narrow"));
    }

    #[test]
    fn all_bars_are_equally_wide() {
        let values = vec![json!(3); 30];
        let text = chart(&values, 80);
        let bars = text.lines().nth(1).unwrap().split('┤').nth(1).unwrap();
        assert_eq!(bars.chars().count(), 60, "{text}");
        let values = vec![json!(3); 20];
        let bars = chart(&values, 80).lines().nth(1).unwrap().split('┤').nth(1).unwrap().to_owned();
        assert!(bars.split(' ').all(|bar| bar == "██"), "{bars}");
    }

    #[test]
    fn more_buckets_than_columns_share_bars() {
        let mut values = vec![json!(0); 1000];
        values[567] = json!(9);
        let text = chart(&values, 102);
        assert!(text.ends_with("\neach bar: the highest of 11 days"), "{text}");
        assert_eq!(text.lines().nth(1).unwrap().matches('█').count(), 1, "{text}");
    }

    #[test]
    fn partial_buckets_are_marked() {
        let mut points = points(&[json!(4), json!(8), json!(2)]);
        points[2].partial = true;
        let text = series_chart(commits(), Grain::Week, &points, OutputStyle::plain(40));
        assert!(text.contains('░') && text.ends_with("░ partial: the range cuts the week"), "{text}");
        let ascii = OutputStyle { has_unicode: false, ..OutputStyle::plain(40) };
        let text = series_chart(commits(), Grain::Week, &points, ascii);
        assert!(text.is_ascii() && text.contains('#') && text.contains(": partial"), "{text}");
    }

    #[test]
    fn a_distribution_is_drawn_by_its_median() {
        let cycle = Metric::named("cycle_time_hours").unwrap();
        let value = json!({"count": 1, "mean": 7.5, "p50": 7.5, "p90": 7.5});
        let empty = json!({"count": 0, "mean": null, "p50": null, "p90": null});
        let text = series_chart(cycle, Grain::Month, &points(&[value, empty]), OutputStyle::plain(80));
        assert!(text.starts_with("median cycle_time_hours by month\n7.5 ┤"), "{text}");
    }
}
