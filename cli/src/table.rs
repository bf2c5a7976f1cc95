//! Metrics as a table for the terminal.

use comfy_table::presets::UTF8_FULL_CONDENSED;
use comfy_table::{Attribute, Cell, CellAlignment, Color, ContentArrangement, Table};
use gam_model::metric::{CATALOGUE, Metric};
use serde_json::Value;

use crate::format::integer;

/// Formats the metrics of an answer: those of the catalogue in its order, then all others.
pub(crate) fn metrics_table(values: &Value, has_color: bool) -> String {
    let mut table = Table::new();
    table.load_style(UTF8_FULL_CONDENSED).set_content_arrangement(ContentArrangement::Disabled);
    if has_color {
        table.enforce_styling();
    } else {
        table.force_no_tty();
    }
    let header = |text: &str| Cell::new(text).add_attribute(Attribute::Bold).fg(Color::Cyan);
    table.set_header(["metric", "value", "unit"].map(header));
    for metric in CATALOGUE {
        if let Some(value) = values.get(metric.name) {
            table.add_row([
                Cell::new(metric.name),
                right_aligned(&value_text(value)),
                Cell::new(unit_text(metric, value)),
            ]);
        }
    }
    let others = values.as_object().into_iter().flatten().filter(|(name, _)| Metric::named(name).is_none());
    for (name, value) in others {
        let unit = name.strip_prefix("total_").unwrap_or_default();
        table.add_row([Cell::new(name), right_aligned(&value_text(value)), Cell::new(unit)]);
    }
    table.trim_fmt()
}

fn right_aligned(text: &str) -> Cell {
    Cell::new(text).set_alignment(CellAlignment::Right)
}

/// Formats a count, or the median of a distribution.
fn value_text(value: &Value) -> String {
    match value {
        Value::Number(count) => count.as_u64().map_or_else(|| count.to_string(), integer),
        Value::Object(_) => hours(&value["p50"]),
        _ => "–".to_owned(),
    }
}

/// Formats the unit of a metric. The unit of a distribution includes its other statistics.
fn unit_text(metric: &Metric, value: &Value) -> String {
    if !metric.is_distribution() {
        return metric.unit.to_owned();
    }
    match value["count"].as_u64() {
        None | Some(0) => "hours, none measured".to_owned(),
        Some(count) => format!(
            "hours, the median of {}; mean {}, 90th percentile {}",
            integer(count),
            hours(&value["mean"]),
            hours(&value["p90"])
        ),
    }
}

fn hours(value: &Value) -> String {
    value.as_f64().map_or_else(|| "–".to_owned(), |hours| format!("{hours:.1}"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_table_shows_every_metric_in_order() {
        let values = json!({
            "total_repos": 8,
            "prs_opened": 3,
            "commits": 1234,
            "cycle_time_hours": {"count": 1200, "mean": 10.25, "p50": 5.04, "p90": 30.0},
            "first_review_hours": {"count": 0, "mean": null, "p50": null, "p90": null},
        });
        let table = metrics_table(&values, false);
        assert!(!table.contains('\u{1b}'));
        let at = |text: &str| table.find(text).unwrap_or_else(|| panic!("{text} is not in\n{table}"));
        assert!(at("1,234") < at("prs_opened") && at("prs_opened") < at("5.0"));
        assert!(at("the median of 1,200; mean 10.2, 90th percentile 30.0") < at("none measured"));
        assert!(at("none measured") < at("total_repos"));
        assert!(metrics_table(&values, true).contains('\u{1b}'));
    }
}
