//! A series as a bar chart of braille dots for the terminal.

use chrono::NaiveDate;
use gam_model::Grain;
use gam_model::metric::Metric;
use serde_json::Value;
use textplots::{AxisBuilder, Chart, LabelBuilder, LabelFormat, LineStyle, Plot, Shape};

use crate::answer::SeriesPoint;
use crate::format::integer;

/// The size of the chart in dots. A braille character has 2 x 4 dots.
const WIDTH_DOTS: u32 = 144;
const HEIGHT_DOTS: u32 = 48;
const ANSI_CYAN: &str = "\x1b[36m";
const ANSI_RESET: &str = "\x1b[0m";

/// Draws the series, with a title above it. The bars of a distribution are its medians.
pub(crate) fn series_chart(metric: &Metric, grain: Grain, points: &[SeriesPoint], has_color: bool) -> String {
    let height = |point: &SeriesPoint| match &point.value {
        Value::Object(distribution) => distribution.get("p50").and_then(Value::as_f64).unwrap_or_default(),
        value => value.as_f64().unwrap_or_default(),
    };
    let median = if metric.is_distribution() { "median " } else { "" };
    let title = format!("{median}{} by {}", metric.name, grain.as_str());
    let heights: Vec<f64> = points.iter().map(height).collect();
    let highest = heights.iter().copied().fold(0.0, f64::max);
    let (Some(first), Some(last)) = (points.first(), points.last()) else { return title };
    if highest == 0.0 {
        return format!("{title}: none in this range");
    }
    format!("{title}\n{}", plot(&columns(&heights), highest as f32, [first.start, last.start], has_color))
}

/// Returns the height of every column of dots. The buckets share the width of the chart. If several
/// buckets share a column, the highest one counts.
fn columns(heights: &[f64]) -> Vec<(f32, f32)> {
    let bucket_at = |dot: u32| dot as usize * heights.len() / WIDTH_DOTS as usize;
    let height = |dot: u32| {
        let (from, to) = (bucket_at(dot), bucket_at(dot + 1));
        heights[from..to.max(from + 1)].iter().copied().fold(0.0, f64::max)
    };
    (0..WIDTH_DOTS).map(|dot| (dot as f32, height(dot) as f32)).collect()
}

fn plot(columns: &[(f32, f32)], highest: f32, [first, last]: [NaiveDate; 2], has_color: bool) -> String {
    let shape = Shape::Bars(columns);
    let mut chart = Chart::new_with_y_range(WIDTH_DOTS, HEIGHT_DOTS, 0.0, WIDTH_DOTS as f32, 0.0, highest);
    let day_label = move |x: f32| if x == 0.0 { first } else { last }.to_string();
    let chart = chart
        .lineplot(&shape)
        .x_axis_style(LineStyle::None)
        .y_axis_style(LineStyle::None)
        .x_label_format(LabelFormat::Custom(Box::new(day_label)))
        .y_label_format(LabelFormat::Custom(Box::new(value_label)));
    chart.figures();
    let text = chart.to_string();
    let lines: Vec<String> = text.lines().map(|line| color_dots(line.trim_end(), has_color)).collect();
    lines.join("\n")
}

/// Colours the dots at the beginning of a line, but not the label after them.
fn color_dots(line: &str, has_color: bool) -> String {
    let end = line.find(|c: char| !('\u{2800}'..='\u{28ff}').contains(&c)).unwrap_or(line.len());
    if has_color && end > 0 {
        format!("{ANSI_CYAN}{}{ANSI_RESET}{}", &line[..end], &line[end..])
    } else {
        line.to_owned()
    }
}

fn value_label(value: f32) -> String {
    if value.fract() == 0.0 { integer(value as u64) } else { format!("{value:.1}") }
}

#[cfg(test)]
mod tests {
    use chrono::Days;
    use serde_json::json;

    use super::*;

    fn points(values: &[Value]) -> Vec<SeriesPoint> {
        let first: NaiveDate = "2026-01-01".parse().unwrap();
        let day = |n: usize| first + Days::new(n as u64);
        let point = |(n, value): (usize, &Value)| SeriesPoint {
            start: day(n),
            end: day(n + 1),
            value: value.clone(),
        };
        values.iter().enumerate().map(point).collect()
    }

    #[test]
    fn the_chart_has_its_ends_and_its_height() {
        let commits = Metric::named("commits").unwrap();
        let text = series_chart(commits, Grain::Day, &points(&[json!(1), json!(0), json!(1500)]), false);
        assert!(text.starts_with("commits by day\n"), "{text}");
        for part in ["1,500", "2026-01-01", "2026-01-03"] {
            assert!(text.contains(part), "{text}");
        }
        assert!(!text.contains('\u{1b}'));
        assert!(series_chart(commits, Grain::Day, &points(&[json!(4)]), true).contains('\u{1b}'));
        let none = series_chart(commits, Grain::Week, &points(&[json!(0), json!(0)]), false);
        assert_eq!(none, "commits by week: none in this range");
        assert_eq!(series_chart(commits, Grain::Week, &[], false), "commits by week");
    }

    #[test]
    fn buckets_share_the_width_of_the_chart() {
        let two = columns(&[1.0, 2.0]);
        assert_eq!(two.iter().filter(|(_, height)| *height == 1.0).count(), 72);
        assert_eq!(two.iter().filter(|(_, height)| *height == 2.0).count(), 72);
        let mut many = vec![0.0; 1000];
        many[567] = 9.0;
        assert_eq!(columns(&many).iter().filter(|(_, height)| *height == 9.0).count(), 1);
    }

    #[test]
    fn a_distribution_is_drawn_by_its_median() {
        let cycle = Metric::named("cycle_time_hours").unwrap();
        let value = json!({"count": 1, "mean": 7.5, "p50": 7.5, "p90": 7.5});
        let empty = json!({"count": 0, "mean": null, "p50": null, "p90": null});
        let text = series_chart(cycle, Grain::Month, &points(&[value, empty]), false);
        assert!(text.starts_with("median cycle_time_hours by month\n") && text.contains("7.5"), "{text}");
    }
}
