//! The audit log in the lake: numbered segments, one after the other, which never change.
//!
//! A segment is a Parquet file with rows of one log. Its footer has the number, the number of rows, the times of the
//! first and the last row, and the SHA-256 of the complete file of the segment before: so segments are a chain, and a
//! change of one shows in the next. It also has the SHA-256 of its own file, in which the digits of this hash are zeros:
//! so a change of the last one shows, too. A segment is created only if there is none with its number.
//!
//! The rows of an organization are in the log of its storage key, rows of none in the log `_`.

mod rows;
#[cfg(test)]
mod tests;

use std::fmt;

use bytes::Bytes;
use chrono::{DateTime, SecondsFormat, Utc};
use gam_model::AuditEntry;
use gam_model::audit::NO_ORG_LOG;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use sha2::{Digest, Sha256};

use crate::error::{Error, Result};
use crate::object_store::{ObjectStore, PutIfAbsent};
use crate::parquet_file::{
    CREATED_BY, FORMAT_KEY, FORMAT_VERSION, ParquetFile, SCHEMA_VERSION_KEY, property, spawn_blocking,
};
use crate::paths::{self, ObjectPath};

pub use rows::{column, encode as encode_rows, schema};

/// The version of the schema, for the footers of files. A greater one has more columns.
pub const SCHEMA_VERSION: u32 = 1;

/// Greatest number of rows of a segment. With rows of the greatest size, a segment stays below 20 MB of memory.
pub const MAX_SEGMENT_ROWS: usize = 2_000;

const LOG_KEY: &str = "gam.audit.log";
const NUMBER_KEY: &str = "gam.audit.segment";
const PREVIOUS_KEY: &str = "gam.audit.previous";
const ROWS_KEY: &str = "gam.audit.rows";
const FIRST_KEY: &str = "gam.audit.first";
const LAST_KEY: &str = "gam.audit.last";
const OWN_HASH_KEY: &str = "gam.audit.sha256";

/// In place of the file's own hash while the hash is computed.
const NO_HASH: &str = "0000000000000000000000000000000000000000000000000000000000000000";

const ZSTD_LEVEL: i32 = 3;

/// The SHA-256 of the file of a segment.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SegmentHash([u8; 32]);

impl SegmentHash {
    /// What the first segment has in place of the hash of the one before.
    pub const NONE: SegmentHash = SegmentHash([0; 32]);

    /// Returns the hash of a file.
    pub fn of(bytes: &[u8]) -> Self {
        SegmentHash(Sha256::digest(bytes).into())
    }

    /// Parses 64 hexadecimal digits in lower case. `None` if `text` is invalid.
    pub fn parse(text: &str) -> Option<Self> {
        let mut hash = [0; 32];
        hex::decode_to_slice(text, &mut hash).ok()?;
        (SegmentHash(hash).to_string() == text).then_some(SegmentHash(hash))
    }
}

/// 64 hexadecimal digits in lower case.
impl fmt::Display for SegmentHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for SegmentHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::str::FromStr for SegmentHash {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        SegmentHash::parse(text).ok_or_else(|| format!("{text:?} is no SHA-256"))
    }
}

/// A segment of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segment {
    /// The log: a storage key, or `_`.
    pub log: String,
    /// The number: 1 for the first segment of the log.
    pub number: u64,
    /// The hash of the file of the segment before, or [`SegmentHash::NONE`].
    pub previous: SegmentHash,
    /// The hash of the file.
    pub hash: SegmentHash,
    /// The rows, in the order of the log.
    pub entries: Vec<AuditEntry>,
}

/// Returns the name of the log of an organization, by its storage key, or of rows of none.
pub fn log_name(org: Option<&str>) -> String {
    org.map_or_else(|| NO_ORG_LOG.to_owned(), paths::org_component)
}

/// Returns the names of the logs that have segments, sorted.
///
/// # Errors
/// If the store fails.
pub async fn logs(objects: &dyn ObjectStore) -> Result<Vec<String>> {
    let listed = objects.list(paths::AUDIT_ROOT).await?;
    let mut logs: Vec<String> = listed
        .iter()
        .filter_map(|object| paths::parse_audit_segment(&object.path))
        .map(|(log, _)| log)
        .collect();
    // Names are not in the order of their paths.
    logs.sort_unstable();
    logs.dedup();
    Ok(logs)
}

/// Returns the numbers of the segments of a log, in order.
///
/// # Errors
/// If the store fails.
pub async fn numbers(objects: &dyn ObjectStore, log: &str) -> Result<Vec<u64>> {
    Ok(list(objects, log).await?.0)
}

/// Returns the numbers of the segments of a log, in order, and the objects in its folder that are no segments.
///
/// # Errors
/// If the store fails.
pub async fn list(objects: &dyn ObjectStore, log: &str) -> Result<(Vec<u64>, Vec<ObjectPath>)> {
    let (mut numbers, mut others) = (Vec::new(), Vec::new());
    for object in objects.list(&paths::audit_prefix(log)).await? {
        match paths::parse_audit_segment(&object.path) {
            Some((_, number)) => numbers.push(number),
            None => others.push(object.path),
        }
    }
    numbers.sort_unstable();
    Ok((numbers, others))
}

/// The outcome of [`put`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PutSegment {
    /// The segment was written, and has this hash.
    Written(SegmentHash),
    /// There is a segment with this number. Nothing was written.
    Exists,
}

/// Writes a segment after the one with the hash `previous`, if there is none with its number.
///
/// # Errors
/// If the store fails. The segment may have been written.
pub async fn put(
    objects: &dyn ObjectStore,
    log: &str,
    number: u64,
    previous: SegmentHash,
    entries: &[AuditEntry],
) -> Result<PutSegment> {
    let (owned_log, entries) = (log.to_owned(), entries.to_vec());
    let (bytes, hash) = spawn_blocking(move || encode(&owned_log, number, previous, &entries)).await?;
    let metadata = [("segment", number.to_string()), ("previous-sha256", previous.to_string())];
    Ok(match objects.put_if_absent(&paths::audit_segment(log, number), bytes, &metadata).await? {
        PutIfAbsent::Written(_) => PutSegment::Written(hash),
        PutIfAbsent::Exists => PutSegment::Exists,
    })
}

/// Reads a segment; `None` if there is none with this number.
///
/// # Errors
/// As [`decode`], and if the store fails.
pub async fn read(objects: &dyn ObjectStore, log: &str, number: u64) -> Result<Option<Segment>> {
    let path = paths::audit_segment(log, number);
    let Some(object) = objects.get(&path).await? else { return Ok(None) };
    let segment = spawn_blocking(move || decode(path.as_str(), object.bytes)).await?;
    if (segment.log.as_str(), segment.number) != (log, number) {
        let what = format!("it says that it is segment {} of {}", segment.number, segment.log);
        return Err(Error::DamagedSegment { path: paths::audit_segment(log, number).to_string(), what });
    }
    Ok(Some(segment))
}

/// Encodes a segment, and returns its file and the hash of it.
///
/// # Errors
/// If this build cannot write Parquet.
pub fn encode(
    log: &str,
    number: u64,
    previous: SegmentHash,
    entries: &[AuditEntry],
) -> Result<(Bytes, SegmentHash)> {
    let unusable = |error| Error::unusable("cannot write the audit log as Parquet", error);
    let time = |entry: Option<&AuditEntry>| entry.map_or_else(String::new, |it| text_of_time(it.occurred_at));
    let key_values = [
        (FORMAT_KEY, FORMAT_VERSION.to_string()),
        (SCHEMA_VERSION_KEY, SCHEMA_VERSION.to_string()),
        (LOG_KEY, log.to_owned()),
        (NUMBER_KEY, number.to_string()),
        (PREVIOUS_KEY, previous.to_string()),
        (ROWS_KEY, entries.len().to_string()),
        (FIRST_KEY, time(entries.first())),
        (LAST_KEY, time(entries.last())),
        (OWN_HASH_KEY, NO_HASH.to_owned()),
    ];
    let properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(ZSTD_LEVEL).map_err(unusable)?))
        .set_created_by(CREATED_BY.to_owned())
        .set_key_value_metadata(Some(
            key_values.into_iter().map(|(key, value)| KeyValue::new(key.to_owned(), value)).collect(),
        ))
        .build();
    let mut writer = ArrowWriter::try_new(Vec::new(), schema(), Some(properties)).map_err(unusable)?;
    writer.write(&rows::encode(entries)?).map_err(unusable)?;
    let mut bytes = writer.into_inner().map_err(unusable)?;
    let position = hash_position(&bytes, NO_HASH).ok_or_else(|| Error::Unusable {
        what: "cannot write the audit log as Parquet: the footer has no place for its hash".to_owned(),
        source: None,
    })?;
    let own = SegmentHash::of(&bytes).to_string();
    bytes[position..position + own.len()].copy_from_slice(own.as_bytes());
    let hash = SegmentHash::of(&bytes);
    Ok((Bytes::from(bytes), hash))
}

/// Decodes the file of a segment, and checks that it is as it was written.
///
/// # Errors
/// [`Error::DamagedSegment`] if a byte of it was changed; [`Error::NewerFormat`] if a newer program wrote it.
pub fn decode(path: &str, bytes: Bytes) -> Result<Segment> {
    let damaged = |what: String| Error::DamagedSegment { path: path.to_owned(), what };
    let read = || {
        let hash = SegmentHash::of(&bytes);
        let file = ParquetFile::open(path, bytes.clone())?;
        let properties = file.properties().clone();
        let own: SegmentHash = property(path, &properties, OWN_HASH_KEY)?;
        let mut content = bytes.to_vec();
        let position = hash_position(&content, &own.to_string())
            .ok_or_else(|| damaged("its footer does not have its hash".to_owned()))?;
        content[position..position + NO_HASH.len()].copy_from_slice(NO_HASH.as_bytes());
        if SegmentHash::of(&content) != own {
            return Err(damaged("its bytes do not have the hash that it names".to_owned()));
        }
        let mut entries = Vec::new();
        for batch in file.into_batches(schema(), MAX_SEGMENT_ROWS)? {
            entries.extend(rows::decode(&batch?)?);
        }
        let rows: usize = property(path, &properties, ROWS_KEY)?;
        if rows != entries.len() {
            return Err(damaged(format!("it has {} rows, and its footer says {rows}", entries.len())));
        }
        let log = property(path, &properties, LOG_KEY)?;
        let number = property(path, &properties, NUMBER_KEY)?;
        let previous = property(path, &properties, PREVIOUS_KEY)?;
        Ok(Segment { log, number, previous, hash, entries })
    };
    read().map_err(|error| match error {
        Error::Damaged { what, .. } => damaged(what),
        other => other,
    })
}

/// Returns where the digits of the file's own hash are: after the name of the property, and the two bytes with which
/// the footer says that a text of 64 bytes follows.
fn hash_position(bytes: &[u8], hash: &str) -> Option<usize> {
    let is_key = |window: &[u8]| window == OWN_HASH_KEY.as_bytes();
    let key = bytes.windows(OWN_HASH_KEY.len()).rposition(is_key)?;
    let position = key + OWN_HASH_KEY.len() + 2;
    (bytes.get(position..position + hash.len())? == hash.as_bytes()).then_some(position)
}

fn text_of_time(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Millis, true)
}
