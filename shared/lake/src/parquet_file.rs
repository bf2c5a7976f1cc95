//! Writes tables as Parquet files, and reads them without trusting their bytes.

mod read;
#[cfg(test)]
mod tests;
mod write;

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use parquet::file::metadata::{FooterTail, ParquetMetaData, ParquetMetaDataReader};

use crate::error::{Error, Result};

pub(crate) use read::ParquetFile;
#[cfg(test)]
pub(crate) use write::write_with_schema_version;
pub(crate) use write::{
    CREATED_BY, EncodedGroup, FileWriter, GroupEncoder, RowOrder, with_properties, write,
};

/// The maximum number of rows in a row group and in a batch. A merge decodes and encodes complete row groups, so memory
/// and the time for a few events grow with it, and the size of files shrinks.
pub(crate) const ROW_GROUP_ROWS: usize = 65_536;

/// The format that this version writes, and the newest that it reads.
pub(crate) const FORMAT_VERSION: u32 = 1;
pub(crate) const FORMAT_KEY: &str = "gam.format";
pub(crate) const SCHEMA_VERSION_KEY: &str = "gam.schema_version";
/// The schema version of files that do not name one.
const FIRST_SCHEMA_VERSION: u32 = 1;

/// What is said of a file on which the Parquet reader panics.
const READER_CRASHED: &str = "the Parquet reader crashed";

const FOOTER_TAIL_BYTES: usize = 8;

/// Larger footers are rejected. The footer of a file with 100,000 row groups is smaller.
const MAX_FOOTER_BYTES: usize = 256 << 20;

/// Files with more rows are rejected, because they were made to exhaust memory: every row has a distinct id,
/// and a byte cannot hold more ids than this.
const MAX_ROWS_PER_BYTE: u64 = 8;

/// The `gam.*` keys of a Parquet footer and their values.
pub(crate) type FooterProperties = BTreeMap<String, String>;

/// The outcome of [`read_footer`].
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum FooterRead {
    Complete(FooterProperties),
    /// The footer is larger than the given bytes. Call again with this many of the object's last bytes.
    NeedsBytes(usize),
}

/// Reads the footer from the last bytes of the object at `path`. `is_complete` means that the bytes are the
/// entire object.
///
/// # Errors
/// As [`ParquetFile::open`].
pub(crate) fn read_footer(path: &str, bytes: &[u8], is_complete: bool) -> Result<FooterRead> {
    catch_panic(path, || {
        let Some((rest, tail)) = bytes.split_last_chunk::<FOOTER_TAIL_BYTES>() else {
            return Err(Error::damaged(path, format!("it has only {} bytes", bytes.len())));
        };
        let tail = FooterTail::try_new(tail).map_err(|error| invalid_parquet(path, error))?;
        let length = tail.metadata_length();
        if tail.is_encrypted_footer() || length > MAX_FOOTER_BYTES || (is_complete && length > rest.len()) {
            return Err(Error::damaged(path, "its footer is corrupt"));
        }
        if length > rest.len() {
            return Ok(FooterRead::NeedsBytes(length + FOOTER_TAIL_BYTES));
        }
        let metadata = ParquetMetaDataReader::decode_metadata(&rest[rest.len() - length..])
            .map_err(|error| invalid_parquet(path, error))?;
        footer_properties(path, &metadata).map(FooterRead::Complete)
    })
}

fn invalid_parquet(path: &str, error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::damaged_by(path, "it is not valid Parquet", error)
}

/// Runs a Parquet reader, which may panic on malformed bytes. Turns a panic into [`Error::Damaged`].
fn catch_panic<T>(path: &str, read: impl FnOnce() -> Result<T>) -> Result<T> {
    // Unwind safe, because the closure drops everything that it could have left inconsistent.
    catch_unwind(AssertUnwindSafe(read)).unwrap_or_else(|_| Err(Error::damaged(path, READER_CRASHED)))
}

fn footer_properties(path: &str, metadata: &ParquetMetaData) -> Result<FooterProperties> {
    let key_values = metadata.file_metadata().key_value_metadata().map(Vec::as_slice).unwrap_or_default();
    let properties: FooterProperties = key_values
        .iter()
        .filter(|pair| pair.key.starts_with("gam."))
        .filter_map(|pair| Some((pair.key.clone(), pair.value.clone()?)))
        .collect();
    let format = property::<u32>(path, &properties, FORMAT_KEY)?;
    if format > FORMAT_VERSION {
        return Err(Error::NewerFormat {
            path: path.to_owned(),
            actual: format!("format {format}"),
            supported: format!("formats up to {FORMAT_VERSION}"),
        });
    }
    Ok(properties)
}

/// Parses the footer property with this key.
///
/// # Errors
/// [`Error::Damaged`] if the property is missing or invalid.
pub(crate) fn property<T: std::str::FromStr>(
    path: &str,
    properties: &FooterProperties,
    key: &str,
) -> Result<T> {
    optional_property(path, properties, key)?
        .ok_or_else(|| Error::damaged(path, format!("its footer has no {key}")))
}

/// Parses a property of a footer; `None` if it is missing.
///
/// # Errors
/// [`Error::Damaged`] if the property is invalid.
pub(crate) fn optional_property<T: std::str::FromStr>(
    path: &str,
    properties: &FooterProperties,
    key: &str,
) -> Result<Option<T>> {
    let Some(value) = properties.get(key) else { return Ok(None) };
    let invalid = |_| Error::damaged(path, format!("its footer has an invalid {key}: {value:?}"));
    value.parse().map(Some).map_err(invalid)
}

/// Returns the version of the schema that a file was written with. A newer one than
/// [`Table::SCHEMA_VERSION`](crate::Table::SCHEMA_VERSION) has columns that this program does not know.
///
/// # Errors
/// [`Error::Damaged`] if the property is invalid.
pub(crate) fn schema_version(path: &str, properties: &FooterProperties) -> Result<u32> {
    if properties.contains_key(SCHEMA_VERSION_KEY) {
        property(path, properties, SCHEMA_VERSION_KEY)
    } else {
        Ok(FIRST_SCHEMA_VERSION)
    }
}

fn check_rows(path: &str, metadata: &ParquetMetaData, size: u64) -> Result<()> {
    let rows = metadata
        .row_groups()
        .iter()
        .try_fold(0u64, |sum, group| sum.checked_add(u64::try_from(group.num_rows()).ok()?));
    match rows {
        Some(rows) if rows <= size.saturating_mul(MAX_ROWS_PER_BYTE) => Ok(()),
        Some(rows) => Err(Error::damaged(path, format!("it claims {rows} rows in {size} bytes"))),
        None => Err(Error::damaged(path, "its row count is corrupt")),
    }
}

/// Runs an operation that takes long or blocks on a thread for blocking work.
///
/// # Errors
/// Those of the operation; [`Error::Unavailable`] if the program is shutting down.
pub(crate) async fn spawn_blocking<T: Send + 'static>(
    operation: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    match tokio::task::spawn_blocking(operation).await {
        Ok(result) => result,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(error) => Err(Error::unavailable("the program is shutting down", error)),
        },
    }
}
