//! Tables for the terminal, which fit its width, and tab-separated values for pipes.

use comfy_table::presets::{ASCII_FULL_CONDENSED, UTF8_FULL_CONDENSED};
use comfy_table::{Attribute, Cell, CellAlignment, Color, ContentArrangement, Table};
use gam_model::metric::{CATALOGUE, Metric};
use serde_json::Value;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use crate::export_rows::NumberColumn;
use crate::format::integer;
use crate::terminal::OutputStyle;
use crate::terminal_text::escaped;

/// The totals of an organization, in the order of the API.
const TOTALS: [(&str, &str); 2] = [("total_repos", "repos"), ("total_members", "members")];
/// The most columns that the name of a repository or member takes.
const MAX_NAME_COLUMNS: usize = 40;
/// The metrics of a listing next to the one it is sorted by, the most important one first.
const LISTED_METRICS: [&str; 9] = [
    "commits",
    "prs_merged",
    "reviews",
    "lines_changed",
    "prs_opened",
    "issues_opened",
    "issues_closed",
    "deploys",
    "cycle_time_hours",
];

/// A row of the table of metrics.
struct MetricRow {
    name: String,
    value: String,
    unit: String,
    /// The other statistics of a distribution.
    detail: String,
}

/// Formats the metrics of an answer: those of the catalogue in its order, then the totals. Columns that do
/// not fit the width are left out.
pub(crate) fn metrics_table(values: &Value, style: OutputStyle) -> String {
    let rows = metric_rows(values, style);
    let with_columns = |columns: usize| {
        let mut table = empty_table(style);
        table.set_header(["metric", "value", "unit", "detail"][..columns].iter().map(|text| header(text)));
        for row in &rows {
            let cells = [
                Cell::new(&row.name),
                right_aligned(&row.value),
                Cell::new(&row.unit),
                Cell::new(&row.detail),
            ];
            table.add_row(cells.into_iter().take(columns));
        }
        table.trim_fmt()
    };
    let plain = || {
        let lines = rows.iter().map(|row| truncated(&format!("{} {}", row.name, row.value), style.width));
        lines.collect::<Vec<_>>().join("\n")
    };
    let fitting = [4, 3, 2].into_iter().map(|columns| (columns, with_columns(columns)));
    let (columns, mut text) =
        fitting.into_iter().find(|(_, table)| fits(table, style.width)).unwrap_or_else(|| (2, plain()));
    if columns < 3 && rows.iter().any(|row| !row.detail.is_empty()) {
        text.push_str("\nhours are medians");
    }
    text
}

/// Formats the metrics of an answer as tab-separated values with a header, for other programs.
pub(crate) fn metrics_tsv(values: &Value) -> String {
    let mut text = "metric\tvalue\tunit\tcount\tmean\tp90\n".to_owned();
    for metric in CATALOGUE {
        let Some(value) = values.get(metric.name) else { continue };
        let [shown, count, mean, p90] = match value {
            Value::Object(_) => ["p50", "count", "mean", "p90"].map(|name| number_text(&value[name])),
            count => [number_text(count), String::new(), String::new(), String::new()],
        };
        let unit = unit(metric);
        text.push_str(&format!("{}\t{shown}\t{unit}\t{count}\t{mean}\t{p90}\n", metric.name));
    }
    for (name, unit) in TOTALS {
        if let Some(value) = values.get(name) {
            text.push_str(&format!("{name}\t{}\t{unit}\t\t\t\n", number_text(value)));
        }
    }
    text
}

/// Formats the entries of a listing, a row each. `name` is the field with the entry's name, and `sort` the
/// metric that the listing is sorted by. As many metrics are shown as fit the width.
pub(crate) fn listing_table(
    entries: &[Value],
    name: &str,
    sort: &'static Metric,
    style: OutputStyle,
) -> String {
    let others = LISTED_METRICS.iter().filter_map(|name| Metric::named(name));
    let metrics: Vec<&Metric> =
        std::iter::once(sort).chain(others.filter(|metric| metric.name != sort.name)).collect();
    let name_columns = MAX_NAME_COLUMNS.min((style.width / 2).max(8));
    let labels: Vec<String> = entries.iter().map(|entry| entry_label(entry, name, entries)).collect();
    let with_metrics = |count: usize| {
        let mut table = empty_table(style);
        let names = metrics.iter().take(count).map(|metric| metric.name);
        table.set_header(std::iter::once(name).chain(names).map(header));
        for (entry, label) in entries.iter().zip(&labels) {
            let label = truncated(label, name_columns);
            let values = metrics.iter().take(count).map(|metric| &entry["metrics"][metric.name]);
            let values = values.map(|value| right_aligned(&value_text(value, style)));
            table.add_row(std::iter::once(Cell::new(label)).chain(values));
        }
        table.trim_fmt()
    };
    let tables = (1..=metrics.len()).rev().map(with_metrics);
    let fitting = tables.into_iter().find(|table| fits(table, style.width));
    fitting.unwrap_or_else(|| {
        let lines = entries.iter().zip(&labels).map(|(entry, label)| {
            let value = value_text(&entry["metrics"][sort.name], style);
            truncated(&format!("{value} {label}"), style.width)
        });
        lines.collect::<Vec<_>>().join("\n")
    })
}

/// Returns the name of an entry, with its id if another entry has the same name.
fn entry_label(entry: &Value, name: &str, entries: &[Value]) -> String {
    let label = escaped(entry[name].as_str().unwrap_or_default());
    let is_shared = entries.iter().filter(|other| other[name] == entry[name]).count() > 1;
    match entry["id"].as_i64() {
        Some(id) if is_shared => format!("{label} (id {id})"),
        _ => label,
    }
}

/// Returns the header and the records of a listing with all metrics, for CSV and tab-separated values.
pub(crate) fn listing_records(entries: &[Value], name: &str) -> (Vec<String>, Vec<Vec<String>>) {
    let columns = NumberColumn::all();
    // Members have a kind, and repositories an id, which distinguishes two of one name.
    let extra = ["id", "kind"].into_iter().find(|extra| entries.iter().any(|entry| !entry[extra].is_null()));
    let mut header = vec![name.to_owned()];
    header.extend(extra.map(str::to_owned));
    header.extend(columns.iter().map(NumberColumn::name));
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let records = entries.iter().map(|entry| {
        let mut record = vec![text(&entry[name])];
        record.extend(extra.map(|extra| text(&entry[extra])));
        let metrics = entry["metrics"].as_object();
        record.extend(columns.iter().map(|column| {
            let value = metrics.and_then(|metrics| column.value_in(metrics));
            value.map_or_else(String::new, Value::to_string)
        }));
        record
    });
    (header, records.collect())
}

fn metric_rows(values: &Value, style: OutputStyle) -> Vec<MetricRow> {
    let of_catalogue = CATALOGUE.iter().filter_map(|metric| {
        let value = values.get(metric.name)?;
        Some(MetricRow {
            name: metric.name.to_owned(),
            value: value_text(value, style),
            unit: if metric.is_distribution() { "median hours" } else { metric.unit }.to_owned(),
            detail: detail(value),
        })
    });
    let totals = TOTALS.iter().filter_map(|(name, unit)| {
        let value = value_text(values.get(*name)?, style);
        let (name, unit) = ((*name).to_owned(), (*unit).to_owned());
        Some(MetricRow { name, value, unit, detail: String::new() })
    });
    of_catalogue.chain(totals).collect()
}

fn empty_table(style: OutputStyle) -> Table {
    let mut table = Table::new();
    let lines = if style.has_unicode { UTF8_FULL_CONDENSED } else { ASCII_FULL_CONDENSED };
    table.load_style(lines).set_content_arrangement(ContentArrangement::Disabled);
    if style.has_color {
        table.enforce_styling();
    } else {
        table.force_no_tty();
    }
    table
}

fn header(text: &str) -> Cell {
    Cell::new(text).add_attribute(Attribute::Bold).fg(Color::Cyan)
}

fn right_aligned(text: &str) -> Cell {
    Cell::new(text).set_alignment(CellAlignment::Right)
}

/// Returns whether every line of a table fits the width. Colours take no width.
fn fits(table: &str, width: usize) -> bool {
    table.lines().all(|line| visible_width(line) <= width)
}

/// Returns how many columns a line takes. The only escape sequences in a table are its colours.
fn visible_width(line: &str) -> usize {
    let mut parts = line.split('\u{1b}');
    let first = parts.next().map_or(0, UnicodeWidthStr::width);
    let rest = parts.map(|part| part.split_once('m').map_or(0, |(_, text)| UnicodeWidthStr::width(text)));
    first + rest.sum::<usize>()
}

/// Cuts a text that takes more than `max` columns.
fn truncated(text: &str, max: usize) -> String {
    if UnicodeWidthStr::width(text) <= max {
        return text.to_owned();
    }
    let mut out = String::new();
    let mut columns = 0;
    for c in text.chars() {
        columns += c.width().unwrap_or(0);
        if columns + 1 > max {
            break;
        }
        out.push(c);
    }
    out + "~"
}

/// Formats a count, or the median of a distribution.
fn value_text(value: &Value, style: OutputStyle) -> String {
    match value {
        Value::Number(count) => count.as_u64().map_or_else(|| count.to_string(), integer),
        Value::Object(_) if value["p50"].is_number() => hours(&value["p50"]),
        _ if style.has_unicode => "–".to_owned(),
        _ => "-".to_owned(),
    }
}

fn unit(metric: &Metric) -> &str {
    if metric.is_distribution() { "hours" } else { metric.unit }
}

/// Formats the other statistics of a distribution.
fn detail(value: &Value) -> String {
    match value["count"].as_u64() {
        None if !value.is_object() => String::new(),
        None | Some(0) => "none measured".to_owned(),
        Some(count) => {
            format!("of {}, mean {}, p90 {}", integer(count), hours(&value["mean"]), hours(&value["p90"]))
        }
    }
}

fn hours(value: &Value) -> String {
    value.as_f64().map_or_else(String::new, |hours| format!("{hours:.1}"))
}

fn number_text(value: &Value) -> String {
    if value.is_number() { value.to_string() } else { String::new() }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn values() -> Value {
        json!({
            "total_members": 34,
            "total_repos": 8,
            "prs_opened": 3,
            "commits": 1234,
            "cycle_time_hours": {"count": 1200, "mean": 10.25, "p50": 5.04, "p90": 30.0},
            "first_review_hours": {"count": 0, "mean": null, "p50": null, "p90": null},
        })
    }

    #[test]
    fn the_table_shows_every_metric_in_order() {
        let table = metrics_table(&values(), OutputStyle::plain(100));
        assert!(!table.contains('\u{1b}'));
        let at = |text: &str| table.find(text).unwrap_or_else(|| panic!("{text} is not in\n{table}"));
        assert!(at("1,234") < at("prs_opened") && at("prs_opened") < at("5.0"));
        assert!(at("median hours") < at("of 1,200, mean 10.2, p90 30.0"));
        assert!(at("of 1,200") < at("none measured"));
        assert!(at("none measured") < at("total_repos") && at("total_repos") < at("total_members"));
        let style = OutputStyle { has_color: true, ..OutputStyle::plain(100) };
        assert!(metrics_table(&values(), style).contains('\u{1b}'));
    }

    #[test]
    fn tables_fit_every_width() {
        let entry = json!({"repo": "a-very-long-name-of-a-repository-that-has-no-end", "metrics": values()});
        for width in [12, 20, 30, 40, 60, 80, 94, 120] {
            for has_color in [false, true] {
                let style = OutputStyle { has_color, ..OutputStyle::plain(width) };
                let table = metrics_table(&values(), style);
                assert!(table.lines().all(|line| visible_width(line) <= width.max(17)), "{width}:\n{table}");
                let listing = listing_table(
                    std::slice::from_ref(&entry),
                    "repo",
                    Metric::named("commits").unwrap(),
                    style,
                );
                assert!(listing.lines().all(|line| visible_width(line) <= width), "{width}:\n{listing}");
                assert!(listing.contains("1,234"), "{width}:\n{listing}");
            }
        }
        assert!(metrics_table(&values(), OutputStyle::plain(80)).contains("p90"));
        let narrow = metrics_table(&values(), OutputStyle::plain(60));
        assert!(!narrow.contains("p90") && narrow.contains("median hours"), "{narrow}");
        assert!(metrics_table(&values(), OutputStyle::plain(40)).ends_with("hours are medians"));
        let ascii = OutputStyle { has_unicode: false, ..OutputStyle::plain(40) };
        assert!(metrics_table(&values(), ascii).is_ascii());
    }

    #[test]
    fn tab_separated_values_are_exact() {
        let text = metrics_tsv(&values());
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "metric\tvalue\tunit\tcount\tmean\tp90");
        assert_eq!(lines[1], "commits\t1234\tcommits\t\t\t");
        assert!(lines.contains(&"cycle_time_hours\t5.04\thours\t1200\t10.25\t30.0"), "{text}");
        assert!(lines.contains(&"first_review_hours\t\thours\t0\t\t"), "{text}");
        assert_eq!(lines[lines.len() - 1], "total_members\t34\tmembers\t\t\t");
    }

    #[test]
    fn names_from_outside_cannot_control_the_terminal() {
        let entry = json!({"member": "x\u{1b}[31m\u{202e}y", "kind": "user", "metrics": values()});
        let commits = Metric::named("commits").unwrap();
        let table = listing_table(std::slice::from_ref(&entry), "member", commits, OutputStyle::plain(80));
        assert!(!table.contains('\u{1b}') && !table.contains('\u{202e}'), "{table:?}");
        let (header, records) = listing_records(&[entry], "member");
        assert_eq!((header[1].as_str(), records[0][1].as_str()), ("kind", "user"));
        assert_eq!(records[0].len(), header.len());
        let repos = [1, 2].map(|id| json!({"repo": "site", "id": id, "metrics": values()}));
        let table = listing_table(&repos, "repo", commits, OutputStyle::plain(80));
        assert!(table.contains("site (id 1)") && table.contains("site (id 2)"), "{table}");
        assert_eq!(listing_records(&repos, "repo").1[1][1], "2");
    }
}
