//! Metrics as a table, and a series as a chart, for the terminal.

use chrono::NaiveDate;
use comfy_table::presets::UTF8_FULL_CONDENSED;
use comfy_table::{Attribute, Cell, CellAlignment, Color, ContentArrangement, Table};
use gam_model::Grain;
use gam_model::metric::{CATALOGUE, Metric};
use serde_json::Value;
use textplots::{AxisBuilder, Chart, LabelBuilder, LabelFormat, LineStyle, Plot, Shape};

use crate::format::number;

/// The chart's size in dots of braille, of which a character holds 2 x 4.
const WIDTH: u32 = 144;
const HEIGHT: u32 = 48;
const CYAN: &str = "\x1b[36m";
const PLAIN: &str = "\x1b[0m";

/// A point of a series.
pub(crate) struct Point {
    /// The bucket's first day.
    pub(crate) start: NaiveDate,
    /// The day after the bucket's last.
    pub(crate) end: NaiveDate,
    /// The value as the API gives it.
    pub(crate) value: Value,
}

/// All metrics of an answer, in the catalogue's order and then what else the answer holds.
pub(crate) fn metrics(values: &Value, color: bool) -> String {
    let mut table = Table::new();
    table.load_style(UTF8_FULL_CONDENSED).set_content_arrangement(ContentArrangement::Disabled);
    if color {
        table.enforce_styling();
    } else {
        table.force_no_tty();
    }
    let head = |text: &str| Cell::new(text).add_attribute(Attribute::Bold).fg(Color::Cyan);
    table.set_header(["metric", "value", "unit"].map(head));
    for metric in CATALOGUE {
        if let Some(value) = values.get(metric.name) {
            table.add_row([
                Cell::new(metric.name),
                right(&value_text(value)),
                Cell::new(unit(metric, value)),
            ]);
        }
    }
    let others = values.as_object().into_iter().flatten().filter(|(name, _)| Metric::named(name).is_none());
    for (name, value) in others {
        let unit = name.strip_prefix("total_").unwrap_or_default();
        table.add_row([Cell::new(name), right(&value_text(value)), Cell::new(unit)]);
    }
    table.trim_fmt()
}

fn right(text: &str) -> Cell {
    Cell::new(text).set_alignment(CellAlignment::Right)
}

/// What a value is at a glance: a count, or a distribution's median.
fn value_text(value: &Value) -> String {
    match value {
        Value::Number(count) => count.as_u64().map_or_else(|| count.to_string(), number),
        Value::Object(_) => hours(&value["p50"]),
        _ => "–".to_owned(),
    }
}

fn unit(metric: &Metric, value: &Value) -> String {
    if !metric.is_distribution() {
        return metric.unit.to_owned();
    }
    match value["count"].as_u64() {
        None | Some(0) => "hours, none measured".to_owned(),
        Some(count) => format!(
            "hours, the median of {}; mean {}, 90th percentile {}",
            number(count),
            hours(&value["mean"]),
            hours(&value["p90"])
        ),
    }
}

fn hours(value: &Value) -> String {
    value.as_f64().map_or_else(|| "–".to_owned(), |hours| format!("{hours:.1}"))
}

/// The series as a chart with a title.
pub(crate) fn chart(metric: &Metric, grain: Grain, points: &[Point], color: bool) -> String {
    let value = |point: &Point| match &point.value {
        Value::Object(distribution) => distribution.get("p50").and_then(Value::as_f64).unwrap_or_default(),
        value => value.as_f64().unwrap_or_default(),
    };
    let median = if metric.is_distribution() { "median " } else { "" };
    let title = format!("{median}{} by {}", metric.name, grain.as_str());
    let heights: Vec<f64> = points.iter().map(value).collect();
    let highest = heights.iter().copied().fold(0.0, f64::max);
    let (Some(first), Some(last)) = (points.first(), points.last()) else { return title };
    if highest == 0.0 {
        return format!("{title}: none in this range");
    }
    format!("{title}\n{}", plot(&columns(&heights), highest as f32, [first.start, last.start], color))
}

/// The height of every column of dots: buckets share the chart's width, and of those that share a
/// column the highest is shown.
fn columns(heights: &[f64]) -> Vec<(f32, f32)> {
    let share = |dot: u32| dot as usize * heights.len() / WIDTH as usize;
    let height = |dot: u32| {
        let (from, to) = (share(dot), share(dot + 1));
        heights[from..to.max(from + 1)].iter().copied().fold(0.0, f64::max)
    };
    (0..WIDTH).map(|dot| (dot as f32, height(dot) as f32)).collect()
}

fn plot(columns: &[(f32, f32)], highest: f32, [first, last]: [NaiveDate; 2], color: bool) -> String {
    let shape = Shape::Bars(columns);
    let mut chart = Chart::new_with_y_range(WIDTH, HEIGHT, 0.0, WIDTH as f32, 0.0, highest);
    let day = move |x: f32| if x == 0.0 { first } else { last }.to_string();
    let chart = chart
        .lineplot(&shape)
        .x_axis_style(LineStyle::None)
        .y_axis_style(LineStyle::None)
        .x_label_format(LabelFormat::Custom(Box::new(day)))
        .y_label_format(LabelFormat::Custom(Box::new(axis_label)));
    chart.figures();
    let text = chart.to_string();
    let lines: Vec<String> = text.lines().map(|line| paint(line.trim_end(), color)).collect();
    lines.join("\n")
}

/// Colours a line's dots, which reach up to its first space, but not its label.
fn paint(line: &str, color: bool) -> String {
    let dots = line.find(|c: char| !('\u{2800}'..='\u{28ff}').contains(&c)).unwrap_or(line.len());
    if color && dots > 0 {
        format!("{CYAN}{}{PLAIN}{}", &line[..dots], &line[dots..])
    } else {
        line.to_owned()
    }
}

fn axis_label(value: f32) -> String {
    if value.fract() == 0.0 { number(value as u64) } else { format!("{value:.1}") }
}

#[cfg(test)]
mod tests {
    use chrono::Days;
    use serde_json::json;

    use super::*;

    fn points(values: &[Value]) -> Vec<Point> {
        let first: NaiveDate = "2026-01-01".parse().unwrap();
        let day = |n: usize| first + Days::new(n as u64);
        let point =
            |(n, value): (usize, &Value)| Point { start: day(n), end: day(n + 1), value: value.clone() };
        values.iter().enumerate().map(point).collect()
    }

    #[test]
    fn the_table_shows_every_metric_in_order() {
        let values = json!({
            "total_repos": 8,
            "prs_opened": 3,
            "commits": 1234,
            "cycle_time_hours": {"count": 1200, "mean": 10.25, "p50": 5.04, "p90": 30.0},
            "first_review_hours": {"count": 0, "mean": null, "p50": null, "p90": null},
        });
        let table = metrics(&values, false);
        assert!(!table.contains('\u{1b}'));
        let at = |text: &str| table.find(text).unwrap_or_else(|| panic!("{text} is not in\n{table}"));
        assert!(at("1,234") < at("prs_opened") && at("prs_opened") < at("5.0"));
        assert!(at("the median of 1,200; mean 10.2, 90th percentile 30.0") < at("none measured"));
        assert!(at("none measured") < at("total_repos"));
        assert!(metrics(&values, true).contains('\u{1b}'));
    }

    #[test]
    fn the_chart_has_its_ends_and_its_height() {
        let commits = Metric::named("commits").unwrap();
        let text = chart(commits, Grain::Day, &points(&[json!(1), json!(0), json!(1500)]), false);
        assert!(text.starts_with("commits by day\n"), "{text}");
        for part in ["1,500", "2026-01-01", "2026-01-03"] {
            assert!(text.contains(part), "{text}");
        }
        assert!(!text.contains('\u{1b}'));
        assert!(chart(commits, Grain::Day, &points(&[json!(4)]), true).contains('\u{1b}'));
        let none = chart(commits, Grain::Week, &points(&[json!(0), json!(0)]), false);
        assert_eq!(none, "commits by week: none in this range");
        assert_eq!(chart(commits, Grain::Week, &[], false), "commits by week");
    }

    #[test]
    fn buckets_share_the_width_of_the_chart() {
        let of_two = columns(&[1.0, 2.0]);
        assert_eq!(of_two.iter().filter(|(_, height)| *height == 1.0).count(), 72);
        assert_eq!(of_two.iter().filter(|(_, height)| *height == 2.0).count(), 72);
        let mut many = vec![0.0; 1000];
        many[567] = 9.0;
        assert_eq!(columns(&many).iter().filter(|(_, height)| *height == 9.0).count(), 1);
    }

    #[test]
    fn a_distribution_is_drawn_by_its_median() {
        let cycle = Metric::named("cycle_time_hours").unwrap();
        let value = json!({"count": 1, "mean": 7.5, "p50": 7.5, "p90": 7.5});
        let empty = json!({"count": 0, "mean": null, "p50": null, "p90": null});
        let text = chart(cycle, Grain::Month, &points(&[value, empty]), false);
        assert!(text.starts_with("median cycle_time_hours by month\n") && text.contains("7.5"), "{text}");
    }
}
