//! Rollups as rows, written as CSV, JSON or Parquet.

use std::sync::Arc;

use anyhow::Context as _;
use arrow_array::{ArrayRef, Date32Array, Float64Array, Int64Array, RecordBatch, StringArray};
use chrono::NaiveDate;
use gam_model::metric::{CATALOGUE, Metric};
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::file::properties::WriterProperties;
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::{Map, Value};

/// Whose work a row counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Level {
    /// The organization's.
    Org,
    /// A repository's.
    Repo,
    /// A member's.
    Member,
}

impl Level {
    fn as_str(self) -> &'static str {
        match self {
            Level::Org => "org",
            Level::Repo => "repo",
            Level::Member => "member",
        }
    }
}

/// One subject's metrics in one bucket.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Row {
    /// Whose work it counts.
    pub(crate) level: Level,
    /// The name of the organization, the repository or the member.
    pub(crate) name: String,
    /// The bucket's first day.
    pub(crate) start: NaiveDate,
    /// The day after the bucket's last.
    pub(crate) end: NaiveDate,
    /// The metrics by name, as the API gives them.
    pub(crate) metrics: Map<String, Value>,
}

/// A column of numbers: a metric, or a part of a distribution.
struct Column {
    metric: &'static Metric,
    part: Option<&'static str>,
}

impl Column {
    fn all() -> Vec<Column> {
        let parts = |metric: &'static Metric| -> Vec<Column> {
            let parts: &[Option<&'static str>] = if metric.is_distribution() {
                &[Some("count"), Some("mean"), Some("p50"), Some("p90")]
            } else {
                &[None]
            };
            parts.iter().map(|part| Column { metric, part: *part }).collect()
        };
        CATALOGUE.iter().flat_map(parts).collect()
    }

    fn name(&self) -> String {
        match self.part {
            Some(part) => format!("{}_{part}", self.metric.name),
            None => self.metric.name.to_owned(),
        }
    }

    fn is_whole(&self) -> bool {
        matches!(self.part, None | Some("count"))
    }

    fn value<'a>(&self, row: &'a Row) -> Option<&'a Value> {
        let value = row.metrics.get(self.metric.name)?;
        self.part.map_or(Some(value), |part| value.get(part)).filter(|value| !value.is_null())
    }
}

/// The rows as CSV with a header.
pub(crate) fn csv(rows: &[Row]) -> String {
    let columns = Column::all();
    let names: Vec<String> = columns.iter().map(Column::name).collect();
    let mut text = format!("level,name,start,end,{}\n", names.join(","));
    for row in rows {
        let fixed =
            [row.level.as_str().to_owned(), field(&row.name), row.start.to_string(), row.end.to_string()];
        let numbers =
            columns.iter().map(|column| column.value(row).map_or_else(String::new, Value::to_string));
        text.push_str(&fixed.into_iter().chain(numbers).collect::<Vec<_>>().join(","));
        text.push('\n');
    }
    text
}

/// A text as a field of CSV by RFC 4180.
fn field(text: &str) -> String {
    if text.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text.to_owned()
    }
}

impl Serialize for Row {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("level", self.level.as_str())?;
        map.serialize_entry("name", &self.name)?;
        map.serialize_entry("start", &self.start)?;
        map.serialize_entry("end", &self.end)?;
        for metric in CATALOGUE {
            map.serialize_entry(metric.name, self.metrics.get(metric.name).unwrap_or(&Value::Null))?;
        }
        map.end()
    }
}

/// The rows as a JSON array, a row on each line.
///
/// # Errors
/// Where a row cannot be written.
pub(crate) fn json(rows: &[Row]) -> anyhow::Result<String> {
    let rows: Vec<String> = rows.iter().map(serde_json::to_string).collect::<Result<_, _>>()?;
    Ok(format!("[{}]\n", rows.join(",\n")))
}

/// The rows as a Parquet file.
///
/// # Errors
/// Where the file cannot be written.
pub(crate) fn parquet(rows: &[Row]) -> anyhow::Result<Vec<u8>> {
    let days = |of: fn(&Row) -> NaiveDate| -> ArrayRef {
        let epoch = gam_model::period::FIRST_DAY;
        Arc::new(Date32Array::from_iter_values(rows.iter().map(|row| (of(row) - epoch).num_days() as i32)))
    };
    let texts =
        |of: fn(&Row) -> &str| -> ArrayRef { Arc::new(StringArray::from_iter_values(rows.iter().map(of))) };
    let mut columns: Vec<(String, ArrayRef, bool)> = vec![
        ("level".into(), texts(|row| row.level.as_str()), false),
        ("name".into(), texts(|row| &row.name), false),
        ("start".into(), days(|row| row.start), false),
        ("end".into(), days(|row| row.end), false),
    ];
    for column in Column::all() {
        let array: ArrayRef = if column.is_whole() {
            let values = rows.iter().map(|row| column.value(row).and_then(Value::as_i64));
            Arc::new(values.collect::<Int64Array>())
        } else {
            let values = rows.iter().map(|row| column.value(row).and_then(Value::as_f64));
            Arc::new(values.collect::<Float64Array>())
        };
        columns.push((column.name(), array, true));
    }
    let batch = RecordBatch::try_from_iter_with_nullable(columns).context("the rows do not make a table")?;
    let properties =
        WriterProperties::builder().set_compression(Compression::ZSTD(Default::default())).build();
    let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), Some(properties))
        .context("the Parquet file cannot be begun")?;
    writer.write(&batch).context("the Parquet file cannot be written")?;
    writer.into_inner().context("the Parquet file cannot be finished")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn rows() -> Vec<Row> {
        let metrics = json!({
            "commits": 12,
            "cycle_time_hours": {"count": 2, "mean": 3.5, "p50": 1.0, "p90": 6.0},
            "first_review_hours": {"count": 0, "mean": null, "p50": null, "p90": null},
        });
        let row = |level, name: &str| Row {
            level,
            name: name.to_owned(),
            start: "2026-01-05".parse().unwrap(),
            end: "2026-01-12".parse().unwrap(),
            metrics: metrics.as_object().unwrap().clone(),
        };
        vec![row(Level::Org, "acme"), row(Level::Member, "odd,\"name\"")]
    }

    #[test]
    fn csv_has_a_column_for_every_number() {
        let text = csv(&rows());
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[0].starts_with("level,name,start,end,commits,merge_commits,"));
        assert!(lines[0].ends_with(
            ",first_review_hours_count,first_review_hours_mean,first_review_hours_p50,first_review_hours_p90"
        ));
        assert!(lines[1].starts_with("org,acme,2026-01-05,2026-01-12,12,,"));
        assert!(lines[1].ends_with(",2,3.5,1.0,6.0,0,,,"));
        assert!(lines[2].starts_with("member,\"odd,\"\"name\"\"\",2026-01-05,"));
        assert_eq!(lines[0].split(',').count(), lines[1].split(',').count());
    }

    #[test]
    fn json_keeps_the_shape_of_the_api() {
        let text = json(&rows()).unwrap();
        let parsed: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(parsed[0]["level"], "org");
        assert_eq!(parsed[0]["commits"], 12);
        assert_eq!(parsed[1]["cycle_time_hours"]["p90"], 6.0);
        assert!(text.find("\"commits\"").unwrap() < text.find("\"additions\"").unwrap());
        assert_eq!(json(&[]).unwrap(), "[]\n");
    }

    #[test]
    fn parquet_has_the_same_columns_with_types() {
        use parquet::file::reader::FileReader;
        let bytes = parquet(&rows()).unwrap();
        assert_eq!(&bytes[..4], b"PAR1");
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.parquet");
        std::fs::write(&path, &bytes).unwrap();
        let file = std::fs::File::open(&path).unwrap();
        let reader = parquet::file::serialized_reader::SerializedFileReader::new(file).unwrap();
        let metadata = reader.metadata().file_metadata();
        assert_eq!(metadata.num_rows(), 2);
        let names: Vec<&str> = metadata.schema_descr().columns().iter().map(|column| column.name()).collect();
        assert_eq!(names.join(","), csv(&[]).trim_end());
        assert_eq!(&parquet(&[]).unwrap()[..4], b"PAR1");
    }
}
