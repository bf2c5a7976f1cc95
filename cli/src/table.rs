//! Tables for the terminal, which fit its width, and tab-separated values for pipes.

use chrono::NaiveDate;
use comfy_table::presets::{ASCII_FULL_CONDENSED, UTF8_FULL_CONDENSED};
use comfy_table::{Attribute, Cell, CellAlignment, Color, ContentArrangement, Table};
use gam_model::metric::{CATALOGUE, Metric};
use gam_query::{
    ListAnswer, ListEntry, ListKind, MetricChange, MetricChanges, MetricValue, MetricValues, MetricsAnswer,
    PreviousRange,
};
use serde_json::json;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use crate::export_rows::{ColumnValues, NumberColumn};
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

/// A column of the table of metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum MetricColumn {
    Metric,
    Value,
    /// The change since the range before.
    Change,
    Unit,
    /// The other statistics of a distribution.
    Detail,
}

impl MetricColumn {
    /// The columns of a table, of which the first ones that fit the width are shown.
    const CHOICES: [&[MetricColumn]; 7] = {
        use MetricColumn::{Change, Detail, Metric, Unit, Value};
        [
            &[Metric, Value, Change, Unit, Detail],
            &[Metric, Value, Change, Detail],
            &[Metric, Value, Unit, Detail],
            &[Metric, Value, Change, Unit],
            &[Metric, Value, Change],
            &[Metric, Value, Unit],
            &[Metric, Value],
        ]
    };

    fn title(self) -> &'static str {
        match self {
            MetricColumn::Metric => "metric",
            MetricColumn::Value => "value",
            MetricColumn::Change => "change",
            MetricColumn::Unit => "unit",
            MetricColumn::Detail => "detail",
        }
    }

    fn cell(self, row: &MetricRow) -> Cell {
        match self {
            MetricColumn::Metric => Cell::new(&row.name),
            MetricColumn::Value => right_aligned(&row.value),
            MetricColumn::Change => right_aligned(&row.change),
            MetricColumn::Unit => Cell::new(&row.unit),
            MetricColumn::Detail => Cell::new(&row.detail),
        }
    }
}

/// A row of the table of metrics.
struct MetricRow {
    name: String,
    value: String,
    change: String,
    unit: String,
    detail: String,
}

/// Formats the metrics of an answer: those of the catalogue in its order, then the totals, and their changes since the
/// range before if it begins on `comparable_since` or later. Columns that do not fit the width are left out.
pub(crate) fn metrics_table(
    answer: &MetricsAnswer,
    comparable_since: Option<NaiveDate>,
    style: OutputStyle,
) -> String {
    let is_comparable = is_comparable(answer, comparable_since);
    let rows = metric_rows(answer, style);
    let with_columns = |columns: &'static [MetricColumn]| {
        let mut table = empty_table(style);
        table.set_header(columns.iter().map(|column| header_cell(column.title())));
        for row in &rows {
            table.add_row(columns.iter().map(|column| column.cell(row)));
        }
        table.trim_fmt()
    };
    let plain = || {
        let lines = rows.iter().map(|row| truncated(&format!("{} {}", row.name, row.value), style.width));
        lines.collect::<Vec<_>>().join("\n")
    };
    let is_possible = |columns: &&&[MetricColumn]| is_comparable || !columns.contains(&MetricColumn::Change);
    let choices = MetricColumn::CHOICES.iter().filter(is_possible);
    let fitting =
        choices.map(|columns| (*columns, with_columns(columns))).find(|(_, table)| fits(table, style.width));
    let (columns, mut text) = fitting.unwrap_or_else(|| (&[], plain()));
    if !columns.contains(&MetricColumn::Unit) && rows.iter().any(|row| !row.detail.is_empty()) {
        text.push_str("\nhours are medians");
    }
    if let (true, Some(Some(before))) = (columns.contains(&MetricColumn::Change), &answer.previous) {
        text.push_str(&format!("\nchange since {} to {}", before.range.since, before.range.until));
    }
    text
}

/// Formats rows as a table. All columns but the first ones are numbers. A table that does not fit the width is cut.
pub(crate) fn text_table(
    (columns, records): &(Vec<String>, Vec<Vec<String>>),
    text_columns: usize,
    style: OutputStyle,
) -> String {
    let table_of = |count: usize| {
        let mut table = empty_table(style);
        table.set_header(columns[..count].iter().map(|column| header_cell(column)));
        for record in records {
            let cells = record[..count].iter().enumerate();
            table.add_row(cells.map(|(index, text)| {
                if index < text_columns { Cell::new(text) } else { right_aligned(text) }
            }));
        }
        table.trim_fmt()
    };
    let counts = (text_columns.min(columns.len())..=columns.len()).rev();
    let mut tables = counts.map(|count| (count, table_of(count)));
    let fitting = tables.find(|(_, table)| fits(table, style.width));
    let (count, table) = fitting.unwrap_or_else(|| (columns.len(), table_of(columns.len())));
    match columns.len() - count {
        0 => table,
        hidden => format!("{table}\n{hidden} columns do not fit the terminal: --format csv has all"),
    }
}

/// Returns whether the range before was collected from its beginning, so that numbers can be compared with it. Days that
/// were collected in part would look like growth.
fn is_comparable(answer: &MetricsAnswer, since: Option<NaiveDate>) -> bool {
    answer.previous.as_ref().and_then(Option::as_ref).is_some_and(|it| begins_after(it.range, since))
}

/// Returns whether the range before begins on the day or later.
pub(crate) fn begins_after(previous: PreviousRange, comparable_since: Option<NaiveDate>) -> bool {
    comparable_since.is_some_and(|day| day <= previous.since)
}

/// Formats the metrics of an answer as tab-separated values with a header, for other programs. `change` is the
/// difference to `previous`; both are empty if the range before is not complete.
pub(crate) fn metrics_tsv(answer: &MetricsAnswer, comparable_since: Option<NaiveDate>) -> String {
    let main = |value: MetricValue| match value {
        MetricValue::Count(count) => count.to_string(),
        MetricValue::Distribution { p50, .. } => exact_hours(p50),
    };
    let mut text = "metric\tvalue\tunit\tcount\tmean\tp90\tprevious\tchange\n".to_owned();
    let is_comparable = is_comparable(answer, comparable_since);
    let before = answer.previous.as_ref().and_then(Option::as_ref).filter(|_| is_comparable);
    for metric in CATALOGUE {
        let Some(value) = answer.metrics.get(metric.name) else { continue };
        let [count, mean, p90] = match value {
            MetricValue::Count(_) => [const { String::new() }; 3],
            MetricValue::Distribution { count, mean, p90, .. } => {
                [count.to_string(), exact_hours(mean), exact_hours(p90)]
            }
        };
        let previous = before.and_then(|before| before.values.metrics.get(metric.name));
        let change = change_of(answer, metric.name).filter(|_| is_comparable).map(exact_change);
        let [shown, unit] = [&main(value), unit(metric)];
        let [previous, change] = [previous.map(main), change].map(Option::unwrap_or_default);
        text.push_str(&format!(
            "{}\t{shown}\t{unit}\t{count}\t{mean}\t{p90}\t{previous}\t{change}\n",
            metric.name
        ));
    }
    for (name, unit) in TOTALS {
        if let Some(MetricValue::Count(count)) = answer.metrics.get(name) {
            text.push_str(&format!("{name}\t{count}\t{unit}\t\t\t\t\t\n"));
        }
    }
    text
}

/// Returns the change of a count, or of a median in hours, as other programs read it.
fn exact_change(change: MetricChange) -> String {
    match change {
        MetricChange::Count(change) => change.difference.to_string(),
        MetricChange::Distribution { p50, .. } => exact_hours(p50.difference),
    }
}

fn exact_hours(hours: Option<f64>) -> String {
    hours.map_or_else(String::new, |hours| json!(hours).to_string())
}

fn change_of(answer: &MetricsAnswer, name: &str) -> Option<MetricChange> {
    change_in(answer.change.as_ref()?.as_ref()?, name)
}

fn change_in(changes: &MetricChanges, name: &str) -> Option<MetricChange> {
    changes.0.iter().find(|(other, _)| *other == name).map(|(_, change)| *change)
}

/// The entries of a listing, the metric that they are sorted by, and the range before if both ranges are complete.
pub(crate) struct ListedEntries<'a> {
    kind: ListKind,
    sort: &'static Metric,
    entries: &'a [ListEntry],
    previous: Option<PreviousRange>,
}

impl<'a> ListedEntries<'a> {
    /// Creates it from an answer. It is compared with a range before that begins on `comparable_since` or later.
    pub(crate) fn new(
        answer: &'a ListAnswer,
        sort: &'static Metric,
        comparable_since: Option<NaiveDate>,
    ) -> Self {
        let previous = answer.previous.flatten().filter(|it| begins_after(*it, comparable_since));
        ListedEntries { kind: answer.kind, sort, entries: &answer.entries, previous }
    }

    /// Returns the change of the metric that the listing is sorted by.
    fn change(&self, entry: &ListEntry) -> Option<MetricChange> {
        self.previous?;
        change_in(entry.change.as_ref()?, self.sort.name)
    }

    /// Formats the entries, a row each. As many metrics are shown as fit the width, and the change of the first one
    /// follows it.
    pub(crate) fn table(&self, style: OutputStyle) -> String {
        let others = LISTED_METRICS.iter().filter_map(|name| Metric::named(name));
        let metrics: Vec<&Metric> =
            std::iter::once(self.sort).chain(others.filter(|metric| metric.name != self.sort.name)).collect();
        let labels: Vec<String> = self.entries.iter().map(|entry| entry_label(entry, self.entries)).collect();
        let counts = || (1..=metrics.len()).rev();
        let with_change = counts().filter(|_| self.previous.is_some()).map(|count| (count, true));
        let mut choices = with_change.chain(counts().map(|count| (count, false)));
        let fitting = choices.find_map(|(count, has_change)| {
            let table = self.table_of(&metrics[..count], &labels, has_change, style);
            fits(&table, style.width).then_some((table, has_change))
        });
        match (fitting, self.previous) {
            (Some((table, true)), Some(before)) => {
                format!("{table}\nchange since {} to {}", before.since, before.until)
            }
            (Some((table, _)), _) => table,
            (None, _) => {
                let lines = self.entries.iter().zip(&labels).map(|(entry, label)| {
                    let value = value_text(entry.metrics.get(self.sort.name), style);
                    truncated(&format!("{value} {label}"), style.width)
                });
                lines.collect::<Vec<_>>().join("\n")
            }
        }
    }

    fn table_of(
        &self,
        metrics: &[&Metric],
        labels: &[String],
        has_change: bool,
        style: OutputStyle,
    ) -> String {
        let name_columns = MAX_NAME_COLUMNS.min((style.width / 2).max(8));
        let mut table = empty_table(style);
        let mut titles: Vec<&str> = metrics.iter().map(|metric| metric.name).collect();
        if has_change {
            titles.insert(1, "change");
        }
        table.set_header(std::iter::once(name_column(self.kind)).chain(titles).map(header_cell));
        for (entry, label) in self.entries.iter().zip(labels) {
            let values = metrics.iter().map(|metric| value_text(entry.metrics.get(metric.name), style));
            let mut cells: Vec<Cell> = values.map(|text| right_aligned(&text)).collect();
            if has_change {
                cells.insert(1, right_aligned(&self.change(entry).map_or_else(String::new, change_text)));
            }
            table.add_row(std::iter::once(Cell::new(truncated(label, name_columns))).chain(cells));
        }
        table.trim_fmt()
    }

    /// Returns the header and the records with all metrics and the change of the one that the listing is sorted by, for
    /// CSV and tab-separated values. The change is empty if the range before is not complete.
    pub(crate) fn records(&self) -> (Vec<String>, Vec<Vec<String>>) {
        let columns = MetricValues::columns();
        // Members have a kind, and repositories an id, which distinguishes two of one name.
        let extra = match self.kind {
            ListKind::Members => "kind",
            ListKind::Repos => "id",
        };
        let mut header = vec![name_column(self.kind).to_owned(), extra.to_owned()];
        header.extend(columns.iter().map(NumberColumn::name));
        header.push(format!("{}_change", self.sort.name));
        let records = self.entries.iter().map(|entry| {
            let kind = entry.kind.map(|kind| kind.as_str().to_owned());
            let extra = entry.id.map(|id| id.to_string()).or(kind).unwrap_or_default();
            let mut record = vec![entry_name(entry).to_owned(), extra];
            record.extend(columns.iter().map(|column| column.text_in(&entry.metrics)));
            record.push(self.change(entry).map_or_else(String::new, exact_change));
            record
        });
        (header, records.collect())
    }
}

/// Returns the title of the column with the names of entries.
fn name_column(kind: ListKind) -> &'static str {
    match kind {
        ListKind::Members => "member",
        ListKind::Repos => "repo",
    }
}

/// Returns the name of an entry.
fn entry_name(entry: &ListEntry) -> &str {
    entry.repo.as_deref().or(entry.member.as_deref()).unwrap_or_default()
}

/// Returns the name of an entry, with its id if another entry has the same name.
fn entry_label(entry: &ListEntry, entries: &[ListEntry]) -> String {
    let label = escaped(entry_name(entry));
    let is_shared = entries.iter().filter(|other| entry_name(other) == entry_name(entry)).count() > 1;
    match entry.id {
        Some(id) if is_shared => format!("{label} (id {id})"),
        _ => label,
    }
}

fn metric_rows(answer: &MetricsAnswer, style: OutputStyle) -> Vec<MetricRow> {
    let of_catalogue = CATALOGUE.iter().filter_map(|metric| {
        let value = answer.metrics.get(metric.name)?;
        Some(MetricRow {
            name: metric.name.to_owned(),
            value: value_text(Some(value), style),
            change: change_of(answer, metric.name).map_or_else(String::new, change_text),
            unit: if metric.is_distribution() { "median hours" } else { metric.unit }.to_owned(),
            detail: detail(value),
        })
    });
    let totals = TOTALS.iter().filter_map(|(name, unit)| {
        let value = value_text(Some(answer.metrics.get(name)?), style);
        let (name, unit) = ((*name).to_owned(), (*unit).to_owned());
        Some(MetricRow { name, value, change: String::new(), unit, detail: String::new() })
    });
    of_catalogue.chain(totals).collect()
}

/// Formats the change of a count or of a median: in percent, or as a number if there was none before.
fn change_text(change: MetricChange) -> String {
    let (relative, difference) = match change {
        MetricChange::Count(change) => (change.relative, Some(change.difference as f64)),
        MetricChange::Distribution { p50, .. } => (p50.relative, p50.difference),
    };
    relative_change(relative, difference)
}

/// Formats a change: in percent, or as a number if there was nothing before. Empty if there is no difference.
pub(crate) fn relative_change(relative: Option<f64>, difference: Option<f64>) -> String {
    match (relative, difference) {
        (Some(relative), _) if (relative * 100.0).round() == 0.0 => "0%".to_owned(),
        (Some(relative), _) => format!("{:+.0}%", relative * 100.0),
        (None, Some(difference)) if difference != 0.0 => format!("{difference:+}"),
        (None, Some(_)) => "0".to_owned(),
        (None, None) => String::new(),
    }
}

/// Returns a table without rows whose lines the terminal can show.
pub(crate) fn empty_table(style: OutputStyle) -> Table {
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

/// Returns a cell of the header of a table.
pub(crate) fn header_cell(text: &str) -> Cell {
    Cell::new(text).add_attribute(Attribute::Bold).fg(Color::Cyan)
}

fn right_aligned(text: &str) -> Cell {
    Cell::new(text).set_alignment(CellAlignment::Right)
}

/// Returns whether every line of a table fits the width. Colours take no width.
pub(crate) fn fits(table: &str, width: usize) -> bool {
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
fn value_text(value: Option<MetricValue>, style: OutputStyle) -> String {
    match value {
        Some(MetricValue::Count(count)) => integer(count),
        Some(MetricValue::Distribution { p50: Some(p50), .. }) => hours(p50),
        _ => missing_text(style).to_owned(),
    }
}

/// Returns what stands for a value that is not known.
pub(crate) fn missing_text(style: OutputStyle) -> &'static str {
    if style.has_unicode { "–" } else { "-" }
}

fn unit(metric: &Metric) -> &str {
    if metric.is_distribution() { "hours" } else { metric.unit }
}

/// Formats the other statistics of a distribution.
fn detail(value: MetricValue) -> String {
    match value {
        MetricValue::Count(_) => String::new(),
        MetricValue::Distribution { count, mean: Some(mean), p90: Some(p90), .. } => {
            format!("of {}, mean {}, p90 {}", integer(count), hours(mean), hours(p90))
        }
        MetricValue::Distribution { .. } => "none measured".to_owned(),
    }
}

fn hours(hours: f64) -> String {
    format!("{hours:.1}")
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

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

    /// Returns an answer, and one with a comparison, in which there were 1,000 commits before.
    fn answers() -> [MetricsAnswer; 2] {
        let answer = json!({
            "org": "acme", "since": "2026-03-01", "until": "2026-03-31", "metrics": values(),
        });
        let mut compared = answer.clone();
        compared["previous"] =
            json!({ "since": "2026-01-30", "until": "2026-03-01", "metrics": { "commits": 1000 } });
        let none = json!({ "difference": null, "relative": null });
        let median = json!({ "difference": -2.52, "relative": -0.333 });
        compared["change"] = json!({
            "commits": { "difference": 234, "relative": 0.234 },
            "prs_opened": { "difference": 3, "relative": null },
            "cycle_time_hours": {
                "count": { "difference": 0, "relative": 0.0 }, "mean": none, "p50": median, "p90": none,
            },
        });
        [answer, compared].map(|answer| serde_json::from_value(answer).unwrap())
    }

    fn entry(json: Value) -> ListEntry {
        serde_json::from_value(json).unwrap()
    }

    fn before() -> Option<PreviousRange> {
        let day = |text: &str| text.parse().unwrap();
        Some(PreviousRange { since: day("2026-01-30"), until: day("2026-03-01") })
    }

    fn listed(kind: ListKind, entries: &[ListEntry], previous: Option<PreviousRange>) -> ListedEntries<'_> {
        ListedEntries { kind, sort: Metric::named("commits").unwrap(), entries, previous }
    }

    fn answer() -> MetricsAnswer {
        let [answer, _] = answers();
        answer
    }

    #[test]
    fn the_table_has_the_changes_since_the_range_before() {
        let [_, answer] = answers();
        let first_day = before().unwrap().since;
        let since = Some(first_day);
        let table = metrics_table(&answer, since, OutputStyle::plain(80));
        for text in
            ["+23%", "+3 ", "-33%", "p90", "hours are medians", "change since 2026-01-30 to 2026-03-01"]
        {
            assert!(table.contains(text), "{text} is not in\n{table}");
        }
        assert!(metrics_tsv(&answer, since).contains("commits\t1234\tcommits\t\t\t\t1000\t234\n"));
        assert!(metrics_tsv(&answer, since).contains("\t1200\t10.25\t30.0\t\t-2.52\n"));
        for since in [first_day.succ_opt(), None] {
            let table = metrics_table(&answer, since, OutputStyle::plain(80));
            assert!(!table.contains("change"), "the range before was not read completely:\n{table}");
            assert!(metrics_tsv(&answer, since).contains("commits\t1234\tcommits\t\t\t\t\t\n"));
        }
    }

    #[test]
    fn the_table_shows_every_metric_in_order() {
        let table = metrics_table(&answer(), None, OutputStyle::plain(100));
        assert!(!table.contains('\u{1b}'));
        let at = |text: &str| table.find(text).unwrap_or_else(|| panic!("{text} is not in\n{table}"));
        assert!(at("1,234") < at("prs_opened") && at("prs_opened") < at("5.0"));
        assert!(at("median hours") < at("of 1,200, mean 10.2, p90 30.0"));
        assert!(at("of 1,200") < at("none measured"));
        assert!(at("none measured") < at("total_repos") && at("total_repos") < at("total_members"));
        let style = OutputStyle { has_color: true, ..OutputStyle::plain(100) };
        assert!(metrics_table(&answer(), None, style).contains('\u{1b}'));
    }

    #[test]
    fn tables_fit_every_width() {
        let entry = entry(json!({
            "repo": "a-very-long-name-of-a-repository-that-has-no-end", "metrics": values(),
            "change": { "commits": { "difference": 234, "relative": 0.234 } },
        }));
        for width in [12, 20, 30, 40, 60, 80, 94, 120] {
            for has_color in [false, true] {
                let style = OutputStyle { has_color, ..OutputStyle::plain(width) };
                for answer in answers() {
                    let table = metrics_table(&answer, before().map(|it| it.since), style);
                    assert!(
                        table.lines().all(|line| visible_width(line) <= width.max(17)),
                        "{width}:\n{table}"
                    );
                }
                for previous in [None, before()] {
                    let listing =
                        listed(ListKind::Repos, std::slice::from_ref(&entry), previous).table(style);
                    let (table, note) = listing.split_once("\nchange since").unwrap_or((&listing, ""));
                    assert!(table.lines().all(|line| visible_width(line) <= width), "{width}:\n{listing}");
                    assert!(listing.contains("1,234"), "{width}:\n{listing}");
                    assert_eq!(note.is_empty(), !table.contains("+23%"), "{width}:\n{listing}");
                    assert!(
                        width < 60 || previous.is_some() == table.contains("+23%"),
                        "{width}:\n{listing}"
                    );
                }
            }
        }
        assert!(metrics_table(&answer(), None, OutputStyle::plain(80)).contains("p90"));
        let narrow = metrics_table(&answer(), None, OutputStyle::plain(60));
        assert!(!narrow.contains("p90") && narrow.contains("median hours"), "{narrow}");
        assert!(metrics_table(&answer(), None, OutputStyle::plain(40)).ends_with("hours are medians"));
        let ascii = OutputStyle { has_unicode: false, ..OutputStyle::plain(40) };
        assert!(metrics_table(&answer(), None, ascii).is_ascii());
    }

    #[test]
    fn tab_separated_values_are_exact() {
        let text = metrics_tsv(&answer(), None);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "metric\tvalue\tunit\tcount\tmean\tp90\tprevious\tchange");
        assert_eq!(lines[1], "commits\t1234\tcommits\t\t\t\t\t");
        assert!(lines.contains(&"cycle_time_hours\t5.04\thours\t1200\t10.25\t30.0\t\t"), "{text}");
        assert!(lines.contains(&"first_review_hours\t\thours\t0\t\t\t\t"), "{text}");
        assert_eq!(lines[lines.len() - 1], "total_members\t34\tmembers\t\t\t\t\t");
    }

    #[test]
    fn names_from_outside_cannot_control_the_terminal() {
        let entry = entry(json!({"member": "x\u{1b}[31m\u{202e}y", "kind": "user", "metrics": values()}));
        let entries = [entry];
        let table = listed(ListKind::Members, &entries, None).table(OutputStyle::plain(80));
        assert!(!table.contains('\u{1b}') && !table.contains('\u{202e}'), "{table:?}");
        let (header, records) = listed(ListKind::Members, &entries, None).records();
        assert_eq!((header[1].as_str(), records[0][1].as_str()), ("kind", "user"));
        assert_eq!(records[0].len(), header.len());
        let repos = [1, 2].map(|id| self::entry(json!({"repo": "site", "id": id, "metrics": values()})));
        let repos = listed(ListKind::Repos, &repos, before());
        let table = repos.table(OutputStyle::plain(80));
        assert!(table.contains("site (id 1)") && table.contains("site (id 2)"), "{table}");
        let (header, records) = repos.records();
        assert_eq!(records[1][1], "2");
        assert_eq!(
            (header.last().unwrap().as_str(), records[0].last().unwrap().as_str()),
            ("commits_change", "")
        );
    }
}
