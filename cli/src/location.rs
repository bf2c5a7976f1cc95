//! Where the lake and the store are.

use std::fmt;
use std::path::PathBuf;

use crate::args::{Globals, Variables};
use crate::aws;
use crate::exit::usage;

/// The store's file in the data directory.
const STORE_FILE: &str = "store.sqlite";

/// Where the lake is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum LakeLocation {
    /// A directory of this machine.
    Dir(PathBuf),
    /// A bucket of S3, below a prefix.
    S3 {
        /// The bucket.
        bucket: String,
        /// The prefix; empty for the whole bucket.
        prefix: String,
    },
}

/// Where the store is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum StoreLocation {
    /// A file of this machine.
    Sqlite(PathBuf),
    /// A table of DynamoDB.
    Dynamo(String),
}

impl fmt::Display for LakeLocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LakeLocation::Dir(dir) => dir.display().fmt(f),
            LakeLocation::S3 { bucket, prefix } if prefix.is_empty() => write!(f, "s3://{bucket}"),
            LakeLocation::S3 { bucket, prefix } => write!(f, "s3://{bucket}/{prefix}"),
        }
    }
}

impl fmt::Display for StoreLocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StoreLocation::Sqlite(file) => file.display().fmt(f),
            StoreLocation::Dynamo(table) => write!(f, "dynamodb:{table}"),
        }
    }
}

/// The lake that was named, or the one in the data directory.
///
/// # Errors
/// Where what was named is no lake.
pub(crate) fn lake(named: Option<&str>, data_dir: &std::path::Path) -> anyhow::Result<LakeLocation> {
    let Some(text) = named else { return Ok(LakeLocation::Dir(data_dir.join("lake"))) };
    if let Some(address) = text.strip_prefix("s3://") {
        let (bucket, prefix) = address.split_once('/').unwrap_or((address, ""));
        if bucket.is_empty() {
            return Err(invalid_lake(text));
        }
        if !aws::IS_ENABLED {
            return Err(usage(format!("--lake {text}: {}", aws::HOW_TO_ENABLE)));
        }
        return Ok(LakeLocation::S3 {
            bucket: bucket.to_owned(),
            prefix: prefix.trim_matches('/').to_owned(),
        });
    }
    match text.split_once(':') {
        Some(("file", dir)) if !dir.is_empty() => {
            Ok(LakeLocation::Dir(dir.strip_prefix("//").unwrap_or(dir).into()))
        }
        _ => Err(invalid_lake(text)),
    }
}

fn invalid_lake(text: &str) -> anyhow::Error {
    usage(format!("--lake {text} is no lake: give file:DIR, such as file:./lake, or s3://BUCKET/PREFIX"))
}

/// The store that was named, by the flag or by the variables, or the one in the data directory. What is
/// no store is not repeated, because an address may hold a password.
///
/// # Errors
/// Where what was named is no store, or none of this build.
pub(crate) fn store(
    globals: &Globals,
    variables: &Variables,
    data_dir: &std::path::Path,
) -> anyhow::Result<StoreLocation> {
    const KNOWN: &str = "this build keeps its store in SQLite or DynamoDB";
    if let Some(store) = &globals.store {
        return match store.split_once(':') {
            Some(("dynamodb", table)) if !table.is_empty() && !aws::IS_ENABLED => {
                Err(usage(format!("--store dynamodb:{table}: {}", aws::HOW_TO_ENABLE)))
            }
            Some(("dynamodb", table)) if !table.is_empty() => Ok(StoreLocation::Dynamo(table.to_owned())),
            Some(("sqlite", file)) if !file.is_empty() => {
                Ok(StoreLocation::Sqlite(file.strip_prefix("//").unwrap_or(file).into()))
            }
            Some((kind @ ("postgres" | "postgresql"), _)) => {
                Err(usage(format!("--store {kind}:...: {KNOWN}, give sqlite:FILE or dynamodb:TABLE")))
            }
            _ => Err(usage(
                "--store names no store: give sqlite:FILE, such as sqlite:./store.sqlite, or dynamodb:TABLE",
            )),
        };
    }
    match variables.storage_type.as_deref().map(str::to_ascii_lowercase).as_deref() {
        None | Some("sqlite") => {}
        Some("dynamodb") => {
            return Err(usage("STORAGE_TYPE dynamodb: name the table with --store dynamodb:TABLE"));
        }
        Some("postgres") => {
            return Err(usage(format!(
                "STORAGE_TYPE postgres: {KNOWN}, set STORAGE_TYPE to sqlite or unset it"
            )));
        }
        Some(other) => {
            return Err(usage(format!("STORAGE_TYPE {other} is not known: set it to sqlite or unset it")));
        }
    }
    if variables.postgres_url.is_some() {
        tracing::warn!("POSTGRES_URL is set but not used: {KNOWN}");
    }
    Ok(StoreLocation::Sqlite(variables.sqlite_path.clone().unwrap_or_else(|| in_dir(data_dir))))
}

/// The store's file in the data directory.
pub(crate) fn in_dir(data_dir: &std::path::Path) -> PathBuf {
    data_dir.join(STORE_FILE)
}
