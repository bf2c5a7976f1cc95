//! Where the lake and the store are.

use std::fmt;
use std::path::PathBuf;

use crate::args::{Globals, Variables};
use crate::exit::usage;

/// The store's file in the data directory.
const STORE_FILE: &str = "store.sqlite";

/// Where the lake is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum LakePlace {
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
pub(crate) enum StorePlace {
    /// A file of this machine.
    Sqlite(PathBuf),
    /// A table of DynamoDB.
    Dynamo(String),
}

impl fmt::Display for LakePlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LakePlace::Dir(dir) => dir.display().fmt(f),
            LakePlace::S3 { bucket, prefix } if prefix.is_empty() => write!(f, "s3://{bucket}"),
            LakePlace::S3 { bucket, prefix } => write!(f, "s3://{bucket}/{prefix}"),
        }
    }
}

impl fmt::Display for StorePlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StorePlace::Sqlite(file) => file.display().fmt(f),
            StorePlace::Dynamo(table) => write!(f, "dynamodb:{table}"),
        }
    }
}

/// The lake that was named, or the one in the data directory.
///
/// # Errors
/// Where what was named is no lake.
pub(crate) fn lake(named: Option<&str>, data_dir: &std::path::Path) -> anyhow::Result<LakePlace> {
    let Some(text) = named else { return Ok(LakePlace::Dir(data_dir.join("lake"))) };
    if let Some((bucket, prefix)) = gam_aws::s3::parse(text) {
        return Ok(LakePlace::S3 { bucket: bucket.to_owned(), prefix: prefix.trim_matches('/').to_owned() });
    }
    match text.split_once(':') {
        Some(("file", dir)) if !dir.is_empty() => {
            Ok(LakePlace::Dir(dir.strip_prefix("//").unwrap_or(dir).into()))
        }
        _ => Err(usage(format!(
            "--lake {text} is no lake: give file:DIR, such as file:./lake, or s3://BUCKET/PREFIX"
        ))),
    }
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
) -> anyhow::Result<StorePlace> {
    const KNOWN: &str = "this build keeps its store in SQLite or DynamoDB";
    if let Some(store) = &globals.store {
        if let Some(table) = gam_aws::dynamo::parse(store) {
            return Ok(StorePlace::Dynamo(table.to_owned()));
        }
        return match store.split_once(':') {
            Some(("sqlite", file)) if !file.is_empty() => {
                Ok(StorePlace::Sqlite(file.strip_prefix("//").unwrap_or(file).into()))
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
    Ok(StorePlace::Sqlite(variables.sqlite_path.clone().unwrap_or_else(|| in_dir(data_dir))))
}

/// The store's file in the data directory.
pub(crate) fn in_dir(data_dir: &std::path::Path) -> PathBuf {
    data_dir.join(STORE_FILE)
}
