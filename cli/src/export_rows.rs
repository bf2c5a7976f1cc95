//! The rows of an export, written as CSV, JSON or Parquet.

use std::marker::PhantomData;
use std::sync::Arc;

use anyhow::Context as _;
use arrow_array::{ArrayRef, Date32Array, Float64Array, Int64Array, RecordBatch, StringArray};
use chrono::NaiveDate;
use gam_model::AgentMetric;
use gam_model::agent_metric::AgentAggregation;
use gam_model::metric::{CATALOGUE, Metric};
use gam_query::{AgentMetricValue, AgentMetricValues, ExportRow, MetricValues};
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::file::properties::WriterProperties;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Number;

use crate::args::OutputFormat;
use crate::format::csv_text;

/// Number of rows in a row group of a Parquet file, so that the memory does not follow the length of the file.
const MAX_ROW_GROUP_ROWS: usize = 65_536;

/// The numbers of a distribution, each a column.
const STATISTICS: [&str; 4] = ["count", "mean", "p50", "p90"];

/// A column of numbers: a metric, or one statistic of a distribution.
pub(crate) struct NumberColumn {
    metric: &'static str,
    statistic: Option<&'static str>,
    is_integer: bool,
}

/// The values of a row, which columns take their numbers from.
pub(crate) trait ColumnValues: Serialize + DeserializeOwned {
    /// Returns the columns of all metrics, in the catalogue's order.
    fn columns() -> Vec<NumberColumn>;

    /// Returns the value of a metric; `None` if there is none.
    fn value(&self, metric: &str) -> Option<AgentMetricValue>;
}

impl ColumnValues for MetricValues {
    fn columns() -> Vec<NumberColumn> {
        let of_metric = |metric: &Metric| NumberColumn::of(metric.name, metric.is_distribution(), true);
        CATALOGUE.iter().flat_map(of_metric).collect()
    }

    fn value(&self, metric: &str) -> Option<AgentMetricValue> {
        self.get(metric).map(AgentMetricValue::from)
    }
}

impl ColumnValues for AgentMetricValues {
    fn columns() -> Vec<NumberColumn> {
        NumberColumn::of_sessions(AgentMetric::divided_by(None))
    }

    fn value(&self, metric: &str) -> Option<AgentMetricValue> {
        self.get(metric)
    }
}

impl NumberColumn {
    fn of(metric: &'static str, is_distribution: bool, is_integer: bool) -> Vec<NumberColumn> {
        if is_distribution {
            let column = |statistic| NumberColumn {
                metric,
                statistic: Some(statistic),
                is_integer: statistic == "count",
            };
            return STATISTICS.map(column).into();
        }
        vec![NumberColumn { metric, statistic: None, is_integer }]
    }

    /// Returns the columns of metrics of sessions.
    pub(crate) fn of_sessions(metrics: impl Iterator<Item = &'static AgentMetric>) -> Vec<NumberColumn> {
        let of_metric = |metric: &AgentMetric| {
            let is_integer =
                matches!(metric.aggregation, AgentAggregation::Count(_) | AgentAggregation::DistinctMembers);
            NumberColumn::of(metric.name, metric.is_distribution(), is_integer)
        };
        metrics.flat_map(of_metric).collect()
    }

    /// Returns the name of the column: `commits`, or `cycle_time_hours_p50`.
    pub(crate) fn name(&self) -> String {
        match self.statistic {
            Some(statistic) => format!("{}_{statistic}", self.metric),
            None => self.metric.to_owned(),
        }
    }

    /// Returns the statistic of a distribution; `None` if the metric is none.
    pub(crate) fn statistic(&self) -> Option<&'static str> {
        self.statistic
    }

    /// Returns the number as text, which is empty if there is none.
    pub(crate) fn text_in(&self, metrics: &impl ColumnValues) -> String {
        metrics.value(self.metric).map_or_else(String::new, |value| self.text_of(value))
    }

    /// Returns the number of a value of the metric as text, which is empty if there is none.
    pub(crate) fn text_of(&self, value: AgentMetricValue) -> String {
        self.number_of(value).map_or_else(String::new, |number| number.to_string())
    }

    /// Returns the number of the column in the metrics of an answer, or `None` if they have none.
    pub(crate) fn value_in(&self, metrics: &impl ColumnValues) -> Option<Number> {
        self.number_of(metrics.value(self.metric)?)
    }

    fn number_of(&self, value: AgentMetricValue) -> Option<Number> {
        match (value, self.statistic) {
            (AgentMetricValue::Count(count), None) => Some(count.into()),
            (AgentMetricValue::Number(number), None) => Number::from_f64(number?),
            (AgentMetricValue::Distribution { count, .. }, Some("count")) => Some(count.into()),
            (AgentMetricValue::Distribution { mean, .. }, Some("mean")) => Number::from_f64(mean?),
            (AgentMetricValue::Distribution { p50, .. }, Some("p50")) => Number::from_f64(p50?),
            (AgentMetricValue::Distribution { p90, .. }, Some("p90")) => Number::from_f64(p90?),
            _ => None,
        }
    }
}

/// Writes rows, batch by batch, in one format.
pub(crate) struct ExportEncoder<V> {
    encoding: Encoding,
    values: PhantomData<V>,
}

/// A format, and how far it is written.
enum Encoding {
    /// With a header.
    Csv {
        /// Whether the header was written.
        has_header: bool,
    },
    /// An array with a row on each line.
    Json {
        /// Whether a row was written.
        has_rows: bool,
    },
    /// The columns of the CSV, with types.
    Parquet(Box<ArrowWriter<Vec<u8>>>),
}

impl<V: ColumnValues> ExportEncoder<V> {
    /// Creates the encoder of a format.
    ///
    /// # Errors
    /// If the Parquet file cannot be started.
    pub(crate) fn new(format: OutputFormat) -> anyhow::Result<Self> {
        let encoding = match format {
            OutputFormat::Json => Encoding::Json { has_rows: false },
            OutputFormat::Csv | OutputFormat::Table => Encoding::Csv { has_header: false },
            OutputFormat::Parquet => {
                let properties = WriterProperties::builder()
                    .set_compression(Compression::ZSTD(Default::default()))
                    .set_max_row_group_row_count(Some(MAX_ROW_GROUP_ROWS));
                let schema = to_record_batch::<V>(&[])?.schema();
                let writer = ArrowWriter::try_new(Vec::new(), schema, Some(properties.build()));
                Encoding::Parquet(Box::new(writer.context("cannot start the Parquet file")?))
            }
        };
        Ok(ExportEncoder { encoding, values: PhantomData })
    }

    /// Returns the bytes of some rows. Of Parquet, they may come later.
    ///
    /// # Errors
    /// If a row cannot be written.
    pub(crate) fn encode(&mut self, rows: &[ExportRow<V>]) -> anyhow::Result<Vec<u8>> {
        match &mut self.encoding {
            Encoding::Csv { has_header } => {
                let columns = V::columns();
                let records = rows.iter().map(|row| csv_record(row, &columns));
                let text = csv_text(&csv_header(&columns), records)?;
                let after_header = text.find('\n').map_or(0, |end| end + 1);
                let text = if *has_header { &text[after_header..] } else { &text };
                *has_header = true;
                Ok(text.as_bytes().to_vec())
            }
            Encoding::Json { has_rows } => {
                let mut text = String::new();
                for row in rows {
                    text.push_str(if *has_rows { ",\n" } else { "[" });
                    *has_rows = true;
                    text.push_str(&serde_json::to_string(row)?);
                }
                Ok(text.into_bytes())
            }
            Encoding::Parquet(writer) => {
                writer.write(&to_record_batch(rows)?).context("cannot write the Parquet file")?;
                Ok(std::mem::take(writer.inner_mut()))
            }
        }
    }

    /// Returns the bytes at the end.
    ///
    /// # Errors
    /// If they cannot be written.
    pub(crate) fn finish(mut self) -> anyhow::Result<Vec<u8>> {
        match self.encoding {
            Encoding::Csv { has_header: true } => Ok(Vec::new()),
            Encoding::Csv { has_header: false } => self.encode(&[]),
            Encoding::Json { has_rows: true } => Ok(b"]\n".to_vec()),
            Encoding::Json { has_rows: false } => Ok(b"[]\n".to_vec()),
            Encoding::Parquet(writer) => writer.into_inner().context("cannot finish the Parquet file"),
        }
    }
}

/// Returns the names of the columns.
fn csv_header(columns: &[NumberColumn]) -> Vec<String> {
    let mut header = ["level", "name", "id", "start", "end"].map(str::to_owned).to_vec();
    header.extend(columns.iter().map(NumberColumn::name));
    header
}

fn csv_record<V: ColumnValues>(row: &ExportRow<V>, columns: &[NumberColumn]) -> Vec<String> {
    let id = row.id.map(|id| id.to_string()).unwrap_or_default();
    let level = row.level.as_str().to_owned();
    let mut record = vec![level, row.name.clone(), id, row.start.to_string(), row.end.to_string()];
    record.extend(columns.iter().map(|column| column.text_in(&row.metrics)));
    record
}

/// Returns the rows as a table with the columns of the CSV.
fn to_record_batch<V: ColumnValues>(rows: &[ExportRow<V>]) -> anyhow::Result<RecordBatch> {
    let days = |day: fn(&ExportRow<V>) -> NaiveDate| -> ArrayRef {
        let epoch = gam_model::period::FIRST_DAY;
        Arc::new(Date32Array::from_iter_values(rows.iter().map(|row| (day(row) - epoch).num_days() as i32)))
    };
    let texts = |text: fn(&ExportRow<V>) -> &str| -> ArrayRef {
        Arc::new(StringArray::from_iter_values(rows.iter().map(text)))
    };
    let mut columns: Vec<(String, ArrayRef, bool)> = vec![
        ("level".into(), texts(|row| row.level.as_str()), false),
        ("name".into(), texts(|row| &row.name), false),
        ("id".into(), Arc::new(rows.iter().map(|row| row.id).collect::<Int64Array>()), true),
        ("start".into(), days(|row| row.start), false),
        ("end".into(), days(|row| row.end), false),
    ];
    for column in V::columns() {
        let array: ArrayRef = if column.is_integer {
            let values =
                rows.iter().map(|row| column.value_in(&row.metrics).and_then(|number| number.as_i64()));
            Arc::new(values.collect::<Int64Array>())
        } else {
            let values =
                rows.iter().map(|row| column.value_in(&row.metrics).and_then(|number| number.as_f64()));
            Arc::new(values.collect::<Float64Array>())
        };
        columns.push((column.name(), array, true));
    }
    RecordBatch::try_from_iter_with_nullable(columns).context("cannot build the Parquet table")
}

#[cfg(test)]
mod tests {
    use gam_query::RowSubject;
    use serde_json::Value;

    use super::*;

    /// Writes the rows in one or two batches, which must make no difference.
    fn encode<V: ColumnValues>(format: OutputFormat, rows: &[ExportRow<V>]) -> Vec<u8> {
        let write = |batches: &[&[ExportRow<V>]]| {
            let mut encoder = ExportEncoder::new(format).unwrap();
            let mut bytes: Vec<u8> = batches.iter().flat_map(|rows| encoder.encode(rows).unwrap()).collect();
            bytes.extend(encoder.finish().unwrap());
            bytes
        };
        if rows.is_empty() {
            return write(&[]);
        }
        let (one, two) = (write(&[rows]), write(&[&rows[..1], &rows[1..]]));
        if format != OutputFormat::Parquet {
            assert_eq!(one, two);
        }
        two
    }

    fn to_csv<V: ColumnValues>(rows: &[ExportRow<V>]) -> String {
        String::from_utf8(encode(OutputFormat::Csv, rows)).unwrap()
    }

    fn to_json<V: ColumnValues>(rows: &[ExportRow<V>]) -> String {
        String::from_utf8(encode(OutputFormat::Json, rows)).unwrap()
    }

    fn to_parquet<V: ColumnValues>(rows: &[ExportRow<V>]) -> Vec<u8> {
        encode(OutputFormat::Parquet, rows)
    }

    fn rows() -> Vec<ExportRow> {
        // As text, because the order of names counts.
        let metrics = r#"{
            "commits": 12,
            "additions": 3,
            "cycle_time_hours": {"count": 2, "mean": 3.5, "p50": 1.0, "p90": 6.0},
            "first_review_hours": {"count": 0, "mean": null, "p50": null, "p90": null}
        }"#;
        let row = |level, name: &str, id| ExportRow {
            level,
            name: name.to_owned(),
            id,
            start: "2026-01-05".parse().unwrap(),
            end: "2026-01-12".parse().unwrap(),
            metrics: serde_json::from_str(metrics).unwrap(),
        };
        vec![
            row(RowSubject::Org, "acme", None),
            row(RowSubject::Repo, "site", Some(7)),
            row(RowSubject::Member, "odd,\"name\"", None),
        ]
    }

    #[test]
    fn csv_has_a_column_for_every_number() {
        let text = to_csv(&rows());
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[0].starts_with("level,name,id,start,end,commits,merge_commits,"));
        assert!(lines[0].ends_with(
            ",first_review_hours_count,first_review_hours_mean,first_review_hours_p50,first_review_hours_p90"
        ));
        assert!(lines[1].starts_with("org,acme,,2026-01-05,2026-01-12,12,,"));
        assert!(lines[1].ends_with(",2,3.5,1.0,6.0,0,,,"));
        assert!(lines[2].starts_with("repo,site,7,2026-01-05,"));
        assert!(lines[3].starts_with("member,\"odd,\"\"name\"\"\",,2026-01-05,"));
        assert_eq!(lines[0].split(',').count(), lines[1].split(',').count());
    }

    #[test]
    fn json_keeps_the_shape_of_the_api() {
        let text = to_json(&rows());
        let parsed: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(parsed[0]["level"], "org");
        assert_eq!(parsed[0]["commits"], 12);
        assert_eq!(parsed[1]["id"], 7);
        assert_eq!(parsed[2]["cycle_time_hours"]["p90"], 6.0);
        assert!(text.find("\"commits\"").unwrap() < text.find("\"additions\"").unwrap());
        assert_eq!(to_json::<MetricValues>(&[]), "[]\n");
    }

    /// Returns the names and types of the columns of a Parquet file, and checks the number of its rows.
    fn parquet_columns(bytes: &[u8], rows: i64) -> Vec<(String, parquet::basic::Type)> {
        use parquet::file::reader::FileReader;
        assert_eq!(&bytes[..4], b"PAR1");
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.parquet");
        std::fs::write(&path, bytes).unwrap();
        let file = std::fs::File::open(&path).unwrap();
        let reader = parquet::file::serialized_reader::SerializedFileReader::new(file).unwrap();
        let metadata = reader.metadata().file_metadata();
        assert_eq!(metadata.num_rows(), rows);
        let columns = metadata.schema_descr().columns().iter();
        columns.map(|column| (column.name().to_owned(), column.physical_type())).collect()
    }

    #[test]
    fn parquet_has_the_same_columns_with_types() {
        let columns = parquet_columns(&to_parquet(&rows()), 3);
        let names: Vec<&str> = columns.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names.join(","), to_csv::<MetricValues>(&[]).trim_end());
        assert_eq!(&to_parquet::<MetricValues>(&[])[..4], b"PAR1");
    }

    #[test]
    fn rows_of_sessions_have_columns_of_their_own() {
        let row = r#"{
            "level": "member", "name": "ann", "id": null, "start": "2026-01-05", "end": "2026-01-12",
            "agent_sessions": 2, "agent_active_hours": 1.25, "agent_cost_usd": 0.1234567,
            "agent_session_hours": {"count": 2, "mean": 0.5, "p50": 0.25, "p90": 0.75},
            "agent_tool_error_rate": null
        }"#;
        let rows: Vec<ExportRow<AgentMetricValues>> = vec![serde_json::from_str(row).unwrap()];
        let csv = to_csv(&rows);
        let lines: Vec<Vec<&str>> = csv.lines().map(|line| line.split(',').collect()).collect();
        let cell = |name: &str| lines[1][lines[0].iter().position(|column| *column == name).unwrap()];
        assert_eq!([cell("name"), cell("agent_sessions"), cell("agent_cost_usd")], ["ann", "2", "0.1234567"]);
        assert_eq!([cell("agent_session_hours_p90"), cell("agent_tool_error_rate")], ["0.75", ""]);
        let parsed: Value = serde_json::from_str(&to_json(&rows)).unwrap();
        assert_eq!(parsed[0]["agent_session_hours"]["p90"], 0.75);
        let columns = parquet_columns(&to_parquet(&rows), 1);
        let names: Vec<&str> = columns.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, lines[0]);
        let kind = |name: &str| columns.iter().find(|(column, _)| column == name).map(|(_, kind)| *kind);
        assert_eq!(kind("agent_prompts"), Some(parquet::basic::Type::INT64));
        assert_eq!(kind("agent_cost_usd"), Some(parquet::basic::Type::DOUBLE));
    }
}
