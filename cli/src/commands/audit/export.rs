//! `audit export`: writes the rows of the audit log.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use arrow_array::{ArrayRef, RecordBatch, UInt64Array};
use arrow_schema::{DataType, Field, Schema};
use clap::Args;
use gam_lake::audit::{self, Segment, column};
use gam_lake::{ObjectStore, registry};
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::file::properties::WriterProperties;
use serde_json::{Map, Value, json};

use super::LogSelection;
use crate::args::OutputFormat;
use crate::commands::export::{ExportTarget, export_format, file_exists, parquet_needs_file};
use crate::error::usage_error;
use crate::exit::Exit;
use crate::format::{count, csv_text};
use crate::open::open_lake_for_reading;
use crate::session::CliSession;

/// Columns that say where a row is in the log.
const POSITION_COLUMNS: [&str; 3] = ["log", "segment", "row"];

/// Arguments of `audit export`.
#[derive(Args)]
pub(super) struct ExportArgs {
    #[command(flatten)]
    logs: LogSelection,
    /// File to write; its ending names the format: .csv, .json, .ndjson or .parquet [default: stdout]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Replace the file of --out if it exists
    #[arg(long)]
    overwrite: bool,
}

pub(super) async fn run(session: &CliSession, args: ExportArgs) -> anyhow::Result<Exit> {
    let out = args.out.as_deref().filter(|path| *path != Path::new("-"));
    let is_ndjson = out.and_then(Path::extension).is_some_and(|ending| ending.eq_ignore_ascii_case("ndjson"));
    let format = match (session.settings.format, is_ndjson) {
        (None | Some(OutputFormat::Json), true) => OutputFormat::Json,
        (option, _) => export_format(option, out)?,
    };
    if let Some(path) = out.filter(|path| path.is_file() && !args.overwrite) {
        return Err(usage_error(file_exists(path)));
    }
    parquet_needs_file(format, out)?;
    let objects = open_lake_for_reading(&session.settings.lake).await?;
    let is_terminal = session.console.output().is_terminal && format != OutputFormat::Parquet;
    let mut target = match out {
        Some(path) => ExportTarget::file(path, args.overwrite)?,
        None => ExportTarget::Stdout { is_terminal, is_json: format == OutputFormat::Json },
    };
    let mut encoder = LogEncoder::new(format, is_ndjson)?;
    let mut rows = 0;
    for log in args.logs.in_lake(&*objects, &registry::read(&*objects).await?).await? {
        rows += write_log(session, &*objects, &log, &mut encoder, &mut target).await?;
    }
    target.write(session, &encoder.finish()?)?;
    target.finish()?;
    if let Some(path) = out {
        session.console.print_info(format!("wrote {} to {}", count(rows, "row", "rows"), path.display()));
    }
    Ok(Exit::Success)
}

/// Writes all segments of a log. Returns the number of rows.
async fn write_log(
    session: &CliSession,
    objects: &dyn ObjectStore,
    log: &str,
    encoder: &mut LogEncoder,
    target: &mut ExportTarget,
) -> anyhow::Result<usize> {
    let mut rows = 0;
    for number in audit::numbers(objects, log).await? {
        let Some(segment) = audit::read(objects, log, number).await? else { continue };
        rows += segment.entries.len();
        target.write(session, &encoder.encode(&segment)?)?;
    }
    Ok(rows)
}

/// Writes segments in one format.
enum LogEncoder {
    Csv { has_header: bool },
    Json { has_rows: bool },
    Ndjson,
    Parquet(Box<ArrowWriter<Vec<u8>>>),
}

impl LogEncoder {
    fn new(format: OutputFormat, is_ndjson: bool) -> anyhow::Result<Self> {
        Ok(match format {
            OutputFormat::Json if is_ndjson => LogEncoder::Ndjson,
            OutputFormat::Json => LogEncoder::Json { has_rows: false },
            OutputFormat::Csv | OutputFormat::Table => LogEncoder::Csv { has_header: false },
            OutputFormat::Parquet => {
                let properties =
                    WriterProperties::builder().set_compression(Compression::ZSTD(Default::default()));
                let writer = ArrowWriter::try_new(Vec::new(), table_schema(), Some(properties.build()));
                LogEncoder::Parquet(Box::new(writer.context("cannot start the Parquet file")?))
            }
        })
    }

    /// Returns the bytes of the rows of a segment. Of Parquet, they may come later.
    fn encode(&mut self, segment: &Segment) -> anyhow::Result<Vec<u8>> {
        let lines = || json_rows(segment).map(|row| Value::Object(row).to_string());
        Ok(match self {
            LogEncoder::Csv { has_header } => {
                let header = header();
                let text = csv_text(&header, json_rows(segment).map(|row| csv_record(&header, &row)))?;
                let after_header = text.find('\n').map_or(0, |end| end + 1);
                let text = if *has_header { &text[after_header..] } else { &text };
                *has_header = true;
                text.as_bytes().to_vec()
            }
            LogEncoder::Json { has_rows } => {
                let mut text = String::new();
                for line in lines() {
                    text.push_str(if *has_rows { ",\n" } else { "[" });
                    *has_rows = true;
                    text.push_str(&line);
                }
                text.into_bytes()
            }
            LogEncoder::Ndjson => lines().flat_map(|line| format!("{line}\n").into_bytes()).collect(),
            LogEncoder::Parquet(writer) => {
                writer.write(&to_table(segment)?).context("cannot write the Parquet file")?;
                std::mem::take(writer.inner_mut())
            }
        })
    }

    /// Returns the bytes at the end.
    fn finish(self) -> anyhow::Result<Vec<u8>> {
        match self {
            LogEncoder::Csv { has_header: true } | LogEncoder::Ndjson => Ok(Vec::new()),
            LogEncoder::Csv { has_header: false } => {
                Ok(csv_text(&header(), std::iter::empty())?.into_bytes())
            }
            LogEncoder::Json { has_rows: true } => Ok(b"]\n".to_vec()),
            LogEncoder::Json { has_rows: false } => Ok(b"[]\n".to_vec()),
            LogEncoder::Parquet(writer) => writer.into_inner().context("cannot finish the Parquet file"),
        }
    }
}

/// Returns the names of the columns.
fn header() -> Vec<String> {
    let of_rows = audit::schema().fields().iter().map(|field| field.name().clone()).collect::<Vec<_>>();
    POSITION_COLUMNS.map(str::to_owned).into_iter().chain(of_rows).collect()
}

/// Returns the rows of a segment as objects. `detail` is an object, too.
fn json_rows(segment: &Segment) -> impl Iterator<Item = Map<String, Value>> {
    (1u64..).zip(&segment.entries).map(|(number, entry)| {
        let mut row = Map::new();
        row.insert("log".to_owned(), json!(segment.log));
        row.insert("segment".to_owned(), json!(segment.number));
        row.insert("row".to_owned(), json!(number));
        if let Ok(Value::Object(fields)) = serde_json::to_value(entry) {
            row.extend(fields);
        }
        let detail = entry.detail.as_deref().and_then(|detail| serde_json::from_str(detail).ok());
        row.insert(column::DETAIL.to_owned(), detail.unwrap_or(Value::Null));
        row
    })
}

fn csv_record(header: &[String], row: &Map<String, Value>) -> Vec<String> {
    let text = |name: &String| match row.get(name) {
        Some(Value::String(text)) => text.clone(),
        None | Some(Value::Null) => String::new(),
        Some(other) => other.to_string(),
    };
    header.iter().map(text).collect()
}

fn table_schema() -> Arc<Schema> {
    let [log, segment, row] = POSITION_COLUMNS;
    let mut fields = vec![
        Arc::new(Field::new(log, DataType::Utf8, false)),
        Arc::new(Field::new(segment, DataType::UInt64, false)),
        Arc::new(Field::new(row, DataType::UInt64, false)),
    ];
    fields.extend(audit::schema().fields().iter().cloned());
    Arc::new(Schema::new(fields))
}

fn to_table(segment: &Segment) -> anyhow::Result<RecordBatch> {
    let rows = segment.entries.len();
    let mut columns: Vec<ArrayRef> = vec![
        Arc::new(arrow_array::StringArray::from_iter_values(std::iter::repeat_n(&segment.log, rows))),
        Arc::new(UInt64Array::from_value(segment.number, rows)),
        Arc::new(UInt64Array::from_iter_values(1..=rows as u64)),
    ];
    columns.extend(audit::encode_rows(&segment.entries)?.columns().iter().cloned());
    RecordBatch::try_new(table_schema(), columns).context("cannot build the Parquet table")
}
