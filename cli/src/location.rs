//! Where the lake and the store are.

use std::fmt;
use std::path::{Path, PathBuf};

use secrecy::ExposeSecret as _;

use crate::args::{GlobalOptions, Variables};
use crate::aws;
use crate::error::usage_error;
use crate::format::redacted;
use crate::postgres::PostgresLocation;

/// The file of the store within the data directory.
pub(crate) const STORE_FILE: &str = "store.sqlite";
/// The directory of the lake within the data directory.
pub(crate) const LAKE_DIR: &str = "lake";

/// The location of the lake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum LakeLocation {
    /// A local directory.
    Dir(PathBuf),
    /// A prefix of an S3 bucket.
    S3 {
        /// The lake.
        lake: S3Location,
        /// The audit log, if it is not in the lake.
        audit_log: Option<S3Location>,
    },
}

/// A prefix of an S3 bucket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct S3Location {
    /// The name of the bucket.
    pub(crate) bucket: String,
    /// The prefix, without slashes at its ends. Empty for the complete bucket.
    pub(crate) prefix: String,
}

impl S3Location {
    /// Parses an address. `None` if it is not one of S3.
    fn parse(text: &str) -> Option<Self> {
        let address = text.strip_prefix("s3://")?;
        let (bucket, prefix) = address.split_once('/').unwrap_or((address, ""));
        let location = S3Location { bucket: bucket.to_owned(), prefix: prefix.trim_matches('/').to_owned() };
        Some(location).filter(|location| !location.bucket.is_empty())
    }
}

impl fmt::Display for S3Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let S3Location { bucket, prefix } = self;
        let separator = if prefix.is_empty() { "" } else { "/" };
        write!(f, "s3://{bucket}{separator}{prefix}")
    }
}

/// The location of the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum StoreLocation {
    /// A local SQLite file.
    Sqlite(PathBuf),
    /// A PostgreSQL database.
    Postgres(PostgresLocation),
    /// The name of a DynamoDB table.
    Dynamo(String),
}

impl fmt::Display for LakeLocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LakeLocation::Dir(dir) => dir.display().fmt(f),
            LakeLocation::S3 { lake, .. } => lake.fmt(f),
        }
    }
}

impl fmt::Display for StoreLocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StoreLocation::Sqlite(file) => file.display().fmt(f),
            StoreLocation::Postgres(database) => database.fmt(f),
            StoreLocation::Dynamo(table) => write!(f, "dynamodb:{table}"),
        }
    }
}

/// Parses `--lake` and `--audit-log`. Returns the lake in the data directory if the former is not set.
///
/// # Errors
/// If the value is invalid, or this build does not support it.
pub(crate) fn lake(
    option: Option<&str>,
    audit_log: Option<&str>,
    data_dir: &Path,
) -> anyhow::Result<LakeLocation> {
    let location = match option {
        Some(text) => lake_of_option(text)?,
        None => LakeLocation::Dir(data_dir.join(LAKE_DIR)),
    };
    let Some(text) = audit_log else { return Ok(location) };
    let LakeLocation::S3 { lake, .. } = location else {
        return Err(usage_error(format!(
            "unsupported --audit-log {text:?}: a lake in a directory has its audit log in the folder audit; name a lake \
             on S3 with --lake, or leave the option out"
        )));
    };
    let audit_log = S3Location::parse(text)
        .ok_or_else(|| usage_error(format!("invalid --audit-log {text:?}: expected s3://BUCKET/PREFIX")))?;
    Ok(LakeLocation::S3 { lake, audit_log: Some(audit_log) })
}

fn lake_of_option(text: &str) -> anyhow::Result<LakeLocation> {
    let invalid = || usage_error(format!("invalid --lake {text:?}: expected file:DIR or s3://BUCKET/PREFIX"));
    if let Some(lake) = S3Location::parse(text) {
        if !aws::IS_ENABLED {
            return Err(usage_error(format!("unsupported --lake {text:?}: {}", aws::HOW_TO_ENABLE)));
        }
        return Ok(LakeLocation::S3 { lake, audit_log: None });
    }
    match text.split_once(':') {
        Some(("file", dir)) if !dir.is_empty() => {
            Ok(LakeLocation::Dir(dir.strip_prefix("//").unwrap_or(dir).into()))
        }
        _ => Err(invalid()),
    }
}

/// Parses `--store`, or the legacy variables if it is not set. Returns the store in the data directory
/// if none of them is set. Messages do not repeat an invalid address, because it may contain a password.
///
/// # Errors
/// If the value is invalid, or this build does not support it.
pub(crate) fn store(
    globals: &GlobalOptions,
    variables: &Variables,
    data_dir: &Path,
) -> anyhow::Result<StoreLocation> {
    match &globals.store {
        Some(store) => store_of_option(store),
        None => store_of_variables(variables, data_dir),
    }
}

fn store_of_option(text: &str) -> anyhow::Result<StoreLocation> {
    match text.split_once(':') {
        Some(("dynamodb", table)) if !table.is_empty() && !aws::IS_ENABLED => {
            Err(usage_error(format!("unsupported --store \"dynamodb:{table}\": {}", aws::HOW_TO_ENABLE)))
        }
        Some(("dynamodb", table)) if !table.is_empty() => Ok(StoreLocation::Dynamo(table.to_owned())),
        Some(("sqlite", file)) if !file.is_empty() => {
            Ok(StoreLocation::Sqlite(file.strip_prefix("//").unwrap_or(file).into()))
        }
        Some(("postgres" | "postgresql", _)) => {
            Ok(StoreLocation::Postgres(PostgresLocation::parse("--store", text)?))
        }
        _ => Err(usage_error(format!(
            "invalid --store {:?}: expected sqlite:FILE, postgres://USER@HOST/DATABASE or dynamodb:TABLE",
            redacted(text)
        ))),
    }
}

fn store_of_variables(variables: &Variables, data_dir: &Path) -> anyhow::Result<StoreLocation> {
    match variables.storage_type.as_deref().map(str::to_ascii_lowercase).as_deref() {
        None | Some("sqlite") => {}
        Some("dynamodb") => {
            return Err(usage_error(
                "unsupported STORAGE_TYPE \"dynamodb\": use --store dynamodb:TABLE, which names the table",
            ));
        }
        Some("postgres") => {
            let Some(url) = &variables.postgres_url else {
                return Err(usage_error(
                    "STORAGE_TYPE is \"postgres\" and POSTGRES_URL is not set: set it to \
                     postgres://USER:PASSWORD@HOST/DATABASE, or use --store",
                ));
            };
            let location = PostgresLocation::parse("POSTGRES_URL", url.expose_secret())?;
            return Ok(StoreLocation::Postgres(location));
        }
        Some(other) => {
            return Err(usage_error(format!(
                "invalid STORAGE_TYPE {other:?}: set it to sqlite or postgres, or unset it"
            )));
        }
    }
    if variables.postgres_url.is_some() {
        tracing::warn!("POSTGRES_URL is ignored: set STORAGE_TYPE to postgres");
    }
    Ok(StoreLocation::Sqlite(variables.sqlite_path.clone().unwrap_or_else(|| default_store_file(data_dir))))
}

/// Returns the file of the store within the data directory.
pub(crate) fn default_store_file(data_dir: &Path) -> PathBuf {
    data_dir.join(STORE_FILE)
}
