//! Answers as CSV.

use chrono::{DateTime, NaiveDate, SecondsFormat, Utc};
use gam_model::csv_cell;
use gam_model::metric::{CATALOGUE, Metric};
use gam_query::{
    AnswerContext, Change, HistogramAnswer, ListAnswer, ListKind, MetricChange, MetricChanges, MetricValue,
    MetricValues, MetricsAnswer, OrgsAnswer, SeriesAnswer, SeriesOfMetricsAnswer,
};
use serde::Serialize;

/// The numbers of a distribution, each a column.
const STATISTICS: [&str; 4] = ["count", "mean", "p50", "p90"];
/// The columns of a bucket of a series.
pub(super) const BUCKET_COLUMNS: [&str; 3] = ["start", "end", "partial"];

/// An answer that has a CSV form.
pub(crate) trait ToCsv {
    /// Returns the table.
    fn to_csv(&self) -> CsvTable;
}

/// A header and records with as many cells each.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct CsvTable {
    pub(super) header: Vec<String>,
    pub(super) records: Vec<Vec<String>>,
}

impl CsvTable {
    /// Writes the table by RFC 4180, with `\n` at the end of each line. Text that a spreadsheet would run as a formula
    /// gets an apostrophe in front.
    pub(super) fn into_text(self) -> Result<String, csv::Error> {
        let mut writer = csv::Writer::from_writer(Vec::new());
        writer.write_record(&self.header)?;
        for record in &self.records {
            writer.write_record(record.iter().map(|cell| csv_cell(cell).into_owned()))?;
        }
        let bytes = writer.into_inner().map_err(|error| error.into_error())?;
        Ok(String::from_utf8(bytes).expect("the cells are UTF-8"))
    }
}

impl ToCsv for OrgsAnswer {
    fn to_csv(&self) -> CsvTable {
        let records = self.orgs.iter().map(|summary| {
            vec![
                summary.org.clone(),
                optional(summary.repos),
                optional(summary.members),
                time(summary.first_event),
                time(summary.last_event),
            ]
        });
        CsvTable {
            header: texts(["org", "repos", "members", "first_event", "last_event"]),
            records: records.collect(),
        }
    }
}

impl ToCsv for MetricsAnswer {
    fn to_csv(&self) -> CsvTable {
        let (mut header, mut record) = context_cells(&self.context);
        header.extend(texts(["complete_since", "complete_until", "gap_count"]));
        record.push(time(self.coverage.complete_since));
        record.push(time(self.coverage.complete_until));
        record.push(self.coverage.gap_count.to_string());
        header.extend(columns(CATALOGUE));
        // The totals of an organization follow the metrics of the catalogue.
        header.extend(self.metrics.0.iter().skip(CATALOGUE.len()).map(|(name, _)| (*name).to_owned()));
        record.extend(cells(&self.metrics));
        if let Some(previous) = &self.previous {
            header.extend(texts(["previous_since", "previous_until"]));
            record.push(optional(previous.as_ref().map(|previous| previous.range.since)));
            record.push(optional(previous.as_ref().map(|previous| previous.range.until)));
            header.extend(comparison_columns());
            let values = previous.as_ref().map(|previous| &previous.values.metrics);
            record.extend(comparison_cells(values, self.change.as_ref().and_then(Option::as_ref)));
        }
        CsvTable { header, records: vec![record] }
    }
}

impl ToCsv for SeriesAnswer {
    fn to_csv(&self) -> CsvTable {
        let records = self.points.iter().map(|point| {
            [bucket_cells(point.start, point.end, point.partial), value_cells(&point.value)].concat()
        });
        CsvTable { header: series_header(&[self.metric]), records: records.collect() }
    }
}

impl ToCsv for SeriesOfMetricsAnswer {
    fn to_csv(&self) -> CsvTable {
        let records = self.points.iter().map(|point| {
            [bucket_cells(point.start, point.end, point.partial), cells(&point.values)].concat()
        });
        CsvTable { header: series_header(&self.metrics), records: records.collect() }
    }
}

impl ToCsv for HistogramAnswer {
    fn to_csv(&self) -> CsvTable {
        let records = self.bins.iter().map(|bin| {
            vec![
                format!("{:?}", bin.from),
                bin.to.map(|to| format!("{to:?}")).unwrap_or_default(),
                bin.count.to_string(),
            ]
        });
        CsvTable { header: texts(["from", "to", "count"]), records: records.collect() }
    }
}

impl ToCsv for ListAnswer {
    fn to_csv(&self) -> CsvTable {
        let mut header = match self.kind {
            ListKind::Members => texts(["member", "kind"]),
            ListKind::Repos => texts(["repo", "id"]),
        };
        header.extend(columns(CATALOGUE));
        if self.previous.is_some() {
            header.extend(comparison_columns());
        }
        let records = self.entries.iter().map(|entry| {
            let mut record = match self.kind {
                ListKind::Members => {
                    let kind = entry.kind.map(|kind| kind.as_str().to_owned());
                    vec![entry.member.clone().unwrap_or_default(), kind.unwrap_or_default()]
                }
                ListKind::Repos => vec![entry.repo.clone().unwrap_or_default(), optional(entry.id)],
            };
            record.extend(cells(&entry.metrics));
            if self.previous.is_some() {
                let previous = entry.previous.as_ref().map(|previous| &previous.metrics);
                record.extend(comparison_cells(previous, entry.change.as_ref()));
            }
            record
        });
        CsvTable { header, records: records.collect() }
    }
}

fn series_header(metrics: &[&str]) -> Vec<String> {
    [texts(BUCKET_COLUMNS), columns(metrics.iter().filter_map(|name| Metric::named(name)))].concat()
}

/// Returns the columns and the cells of what an answer is about.
pub(super) fn context_cells(context: &AnswerContext) -> (Vec<String>, Vec<String>) {
    let columns = texts(["org", "repo", "id", "member", "since", "until", "timezone", "bots"]);
    let cells = vec![
        context.org.clone(),
        context.repo.clone().unwrap_or_default(),
        optional(context.id),
        context.member.clone().unwrap_or_default(),
        context.since.to_string(),
        context.until.to_string(),
        context.timezone.to_owned(),
        as_json_text(&context.bots),
    ];
    (columns, cells)
}

/// Returns the cells of [`BUCKET_COLUMNS`].
pub(super) fn bucket_cells(start: NaiveDate, end: NaiveDate, is_partial: bool) -> Vec<String> {
    vec![start.to_string(), end.to_string(), is_partial.to_string()]
}

pub(super) fn texts<const N: usize>(texts: [&str; N]) -> Vec<String> {
    texts.map(str::to_owned).to_vec()
}

/// Returns the columns of metrics: `commits`, or `cycle_time_hours_p50`.
pub(crate) fn columns<'a>(metrics: impl IntoIterator<Item = &'a Metric>) -> Vec<String> {
    metrics.into_iter().flat_map(|metric| metric_columns(metric.name, metric.is_distribution())).collect()
}

/// Returns the columns of one metric.
pub(super) fn metric_columns(name: &str, is_distribution: bool) -> Vec<String> {
    match is_distribution {
        true => STATISTICS.map(|statistic| format!("{name}_{statistic}")).to_vec(),
        false => vec![name.to_owned()],
    }
}

/// Returns the columns of a comparison.
fn comparison_columns() -> Vec<String> {
    compared_columns(columns(CATALOGUE))
}

/// Returns the columns of a comparison, three for each number.
pub(super) fn compared_columns(columns: Vec<String>) -> Vec<String> {
    let of_column = |column| ["previous", "difference", "relative"].map(|kind| format!("{column}_{kind}"));
    columns.into_iter().flat_map(of_column).collect()
}

fn cells(values: &MetricValues) -> Vec<String> {
    values.0.iter().flat_map(|(_, value)| value_cells(value)).collect()
}

fn value_cells(value: &MetricValue) -> Vec<String> {
    match value {
        MetricValue::Count(count) => vec![count.to_string()],
        MetricValue::Distribution { count, mean, p50, p90 } => statistics_cells(*count, [*mean, *p50, *p90]),
    }
}

/// Returns the cells of the numbers of a distribution, in the order of [`STATISTICS`].
pub(super) fn statistics_cells(count: u64, numbers: [Option<f64>; 3]) -> Vec<String> {
    let [mean, p50, p90] = numbers.map(float);
    vec![count.to_string(), mean, p50, p90]
}

/// Returns the cells of [`comparison_columns`]. They are empty if there is no comparison.
fn comparison_cells(previous: Option<&MetricValues>, change: Option<&MetricChanges>) -> Vec<String> {
    let (Some(previous), Some(change)) = (previous, change) else {
        return vec![String::new(); comparison_columns().len()];
    };
    compared_cells(cells(previous), change.0.iter().flat_map(|(_, change)| change_cells(change)))
}

/// Returns the cells of [`compared_columns`]: the previous numbers, with the difference and the relative change of each.
pub(super) fn compared_cells(
    previous: Vec<String>,
    changes: impl Iterator<Item = [String; 2]>,
) -> Vec<String> {
    let compared = previous.into_iter().zip(changes);
    compared.flat_map(|(previous, [difference, relative])| [previous, difference, relative]).collect()
}

/// Returns the difference and the relative change of each number of a metric.
fn change_cells(change: &MetricChange) -> Vec<[String; 2]> {
    match change {
        MetricChange::Count(change) => vec![count_change(change)],
        MetricChange::Distribution { count, mean, p50, p90 } => {
            vec![count_change(count), number_change(mean), number_change(p50), number_change(p90)]
        }
    }
}

pub(super) fn count_change(change: &Change<i64>) -> [String; 2] {
    [change.difference.to_string(), float(change.relative)]
}

pub(super) fn number_change(change: &Change<Option<f64>>) -> [String; 2] {
    [float(change.difference), float(change.relative)]
}

pub(super) fn optional<T: ToString>(value: Option<T>) -> String {
    value.map(|value| value.to_string()).unwrap_or_default()
}

/// Formats a number as JSON does.
pub(super) fn float(value: Option<f64>) -> String {
    value.map(|value| format!("{value:?}")).unwrap_or_default()
}

/// Formats a time as JSON answers do.
fn time(time: Option<DateTime<Utc>>) -> String {
    time.map(|time| time.to_rfc3339_opts(SecondsFormat::AutoSi, true)).unwrap_or_default()
}

/// Returns the text that JSON answers have for a value.
fn as_json_text<T: Serialize>(value: &T) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(text)) => text,
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use gam_query::ListEntry;

    use super::*;

    #[test]
    fn names_are_no_formulas_and_negative_numbers_stay() {
        let values = |commits| {
            MetricValues(CATALOGUE.iter().map(|metric| (metric.name, MetricValue::Count(commits))).collect())
        };
        let entry = ListEntry {
            repo: Some("-1+2".to_owned()),
            id: Some(7),
            metrics: values(3),
            ..ListEntry::default()
        };
        let list = ListAnswer {
            kind: ListKind::Repos,
            entries: vec![entry],
            next: None,
            timezone: "UTC",
            coverage: Default::default(),
            previous: None,
            is_comparable: false,
        };
        let mut table = list.to_csv();
        table.records[0][2] = "-3".to_owned();
        table.records[0].truncate(3);
        table.header.truncate(3);
        assert_eq!(table.into_text().unwrap(), "repo,id,commits\n'-1+2,7,-3\n");
    }

    #[test]
    fn an_empty_comparison_has_a_cell_for_each_column() {
        let columns = comparison_columns();
        assert_eq!(columns[..3], ["commits_previous", "commits_difference", "commits_relative"]);
        assert!(columns.contains(&"cycle_time_hours_p50_relative".to_owned()));
        assert_eq!(comparison_cells(None, None).len(), columns.len());
    }
}
