//! `backup` and `restore`: a copy of a lake in a directory and a store in SQLite.
//!
//! A backup is a data directory, so every command reads it with `--data-dir`. It can be made while other commands run:
//!
//! * The store is copied first. Its checkpoints are then older than the lake, so a collection after a restore reads some
//!   pages again. If they were newer, what they cover could be missing.
//! * Batches are copied before snapshots: one that is merged meanwhile is in the snapshot that is copied later.

use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Args;
use gam_lake::{Events, Sessions, Table as _};
use gam_store_sql::SqliteStore;
use serde_json::json;

use crate::error::{failure, usage_error};
use crate::exit::Exit;
use crate::format::{bytes, count};
use crate::location::{LAKE_DIR, LakeLocation, STORE_FILE, StoreLocation};
use crate::replace_file::sync_directory;
use crate::session::CliSession;
use crate::terminal_text::quoted;

const BACKUP_EXAMPLES: &str = "\
Examples:
  github-metrics backup /backups/acme-2026-11-28
  github-metrics show acme --data-dir /backups/acme-2026-11-28

Copies a lake in a directory and a store in SQLite, also while other commands run. The backup is
a data directory. Buckets and databases have backups of their own: see docs/OPERATIONS.md.";

const RESTORE_EXAMPLES: &str = "\
Examples:
  github-metrics restore /backups/acme-2026-11-28
  github-metrics restore /backups/acme-2026-11-28 --data-dir ./restored

Replaces nothing: move an existing lake and store away first.";

/// The folders of a lake in the order in which they are copied. Inboxes come before the snapshots that their batches are
/// merged into, so that no batch is missing in both. Other folders follow.
const FOLDERS: [&str; 5] = ["config", Events::INBOX, Sessions::INBOX, Events::SNAPSHOTS, Sessions::SNAPSHOTS];

/// Arguments of `backup`.
#[derive(Args)]
#[command(after_help = BACKUP_EXAMPLES)]
pub(crate) struct BackupArgs {
    /// Directory to create
    #[arg(value_name = "DIR")]
    directory: PathBuf,
}

/// Arguments of `restore`.
#[derive(Args)]
#[command(after_help = RESTORE_EXAMPLES)]
pub(crate) struct RestoreArgs {
    /// Directory that `backup` created
    #[arg(value_name = "DIR")]
    directory: PathBuf,
}

/// What was copied.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Copied {
    files: usize,
    bytes: u64,
}

/// Copies the lake and the store into a new directory.
pub(crate) async fn back_up(session: &CliSession, args: BackupArgs) -> anyhow::Result<Exit> {
    let (lake, store) = local_data(session)?;
    let directory = args.directory;
    refuse_existing(&directory)?;
    if !store.exists() {
        return Err(failure(format!(
            "there is no store at {}: run `github-metrics up ORG` first, or name another directory with --data-dir",
            store.display()
        )));
    }
    let parent = parent_of(&directory);
    fs::create_dir_all(parent).with_context(|| cannot_write(parent))?;
    // It gets its name when it is complete, so no part of a backup looks complete.
    let partial = tempfile::Builder::new().prefix(".github-metrics-backup-").tempdir_in(parent);
    let partial = partial.with_context(|| cannot_write(parent))?;
    let opened = SqliteStore::open(store).await?;
    let copied = opened.back_up(&partial.path().join(STORE_FILE)).await;
    opened.close().await;
    copied?;
    let copied = copy_in_background(lake.to_owned(), partial.path().join(LAKE_DIR)).await?;
    publish(partial.path(), &directory)?;
    // What the name stood for has moved.
    let _ = partial.keep();
    let size = fs::metadata(directory.join(STORE_FILE)).map_or(0, |file| file.len());
    report(session, ("backup", "backed up to"), &directory, copied, size)
}

/// Copies the lake and the store of a backup into the data directory.
pub(crate) async fn restore(session: &CliSession, args: RestoreArgs) -> anyhow::Result<Exit> {
    let (lake, store) = local_data(session)?;
    let source = args.directory;
    let (source_lake, source_store) = (source.join(LAKE_DIR), source.join(STORE_FILE));
    if !source_store.is_file() {
        return Err(usage_error(format!(
            "{} is no backup: it has no {STORE_FILE}; name a directory that `github-metrics backup` created",
            quoted(&source.to_string_lossy())
        )));
    }
    refuse_existing(store)?;
    refuse_existing(lake)?;
    // A damaged store, and one of a newer version, is reported before anything is written.
    SqliteStore::open_read_only(&source_store).await?.close().await;
    let [lake_parent, store_parent] = [lake, store].map(parent_of);
    for parent in [lake_parent, store_parent] {
        fs::create_dir_all(parent).with_context(|| cannot_write(parent))?;
    }
    let partial = |parent: &Path| {
        tempfile::Builder::new()
            .prefix(".github-metrics-restore-")
            .tempdir_in(parent)
            .with_context(|| cannot_write(parent))
    };
    let (lake_copy, store_copy) = (partial(lake_parent)?, partial(store_parent)?);
    let copied = copy_in_background(source_lake, lake_copy.path().join(LAKE_DIR)).await?;
    let size = copy_file(&source_store, &store_copy.path().join(STORE_FILE))?.unwrap_or_default();
    publish(&lake_copy.path().join(LAKE_DIR), lake)?;
    publish(&store_copy.path().join(STORE_FILE), store)?;
    report(session, ("restore", "restored to"), &session.settings.data_dir, copied, size)
}

/// Returns the directory of the lake and the file of the store.
///
/// # Errors
/// If they are elsewhere: with what to do there.
fn local_data(session: &CliSession) -> anyhow::Result<(&Path, &Path)> {
    let settings = &session.settings;
    let remote = |what: String, instead: &str| {
        usage_error(format!(
            "{what} is not copied by this command: use {instead} (docs/OPERATIONS.md, \"Back up and restore\")"
        ))
    };
    match (&settings.lake, &settings.store) {
        (LakeLocation::Dir(lake), StoreLocation::Sqlite(store)) => Ok((lake, store)),
        (lake @ LakeLocation::S3 { .. }, _) => Err(remote(lake.to_string(), "the versioning of the bucket")),
        (_, store @ StoreLocation::Postgres(_)) => {
            Err(remote(store.to_string(), "pg_dump for it, and a copy of the lake's directory"))
        }
        (_, store @ StoreLocation::Dynamo(_)) => Err(remote(
            store.to_string(),
            "point-in-time recovery for it, and a copy of the lake's directory",
        )),
    }
}

/// Refuses a path that exists, unless it is an empty directory.
fn refuse_existing(path: &Path) -> anyhow::Result<()> {
    let is_empty = fs::read_dir(path).is_ok_and(|mut entries| entries.next().is_none());
    if is_empty || fs::symlink_metadata(path).is_err() {
        return Ok(());
    }
    Err(usage_error(format!(
        "{} exists, and nothing is overwritten: move it away, or name another directory",
        quoted(&path.to_string_lossy())
    )))
}

fn parent_of(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn cannot_write(path: &Path) -> String {
    format!("cannot write {}", path.display())
}

/// Gives a complete copy its name.
fn publish(copy: &Path, target: &Path) -> anyhow::Result<()> {
    refuse_existing(target)?;
    if target.is_dir() {
        fs::remove_dir(target).with_context(|| cannot_write(target))?;
    }
    fs::rename(copy, target).with_context(|| cannot_write(target))?;
    sync_directory(parent_of(target)).with_context(|| cannot_write(target))
}

async fn copy_in_background(from: PathBuf, to: PathBuf) -> anyhow::Result<Copied> {
    tokio::task::spawn_blocking(move || copy_lake(&from, &to)).await.context("the copy was not waited for")?
}

/// Copies a lake: the known folders in their order, then the rest.
fn copy_lake(from: &Path, to: &Path) -> anyhow::Result<Copied> {
    let mut copied = Copied::default();
    fs::create_dir_all(to).with_context(|| cannot_write(to))?;
    for folder in FOLDERS {
        if from.join(folder).is_dir() {
            copy_directory(&from.join(folder), &to.join(folder), &[], &mut copied)?;
        }
    }
    if from.is_dir() {
        copy_directory(from, to, &FOLDERS, &mut copied)?;
    }
    Ok(copied)
}

/// Copies a directory without the entries of these names. Names that begin with a dot are no objects.
fn copy_directory(from: &Path, to: &Path, without: &[&str], copied: &mut Copied) -> anyhow::Result<()> {
    let read = || format!("cannot read {}", from.display());
    fs::create_dir_all(to).with_context(|| cannot_write(to))?;
    for entry in fs::read_dir(from).with_context(read)? {
        let entry = entry.with_context(read)?;
        let (name, target) = (entry.file_name(), to.join(entry.file_name()));
        let name = name.to_string_lossy();
        if name.starts_with('.') || without.contains(&&*name) {
            continue;
        }
        if entry.path().is_dir() {
            copy_directory(&entry.path(), &target, &[], copied)?;
        } else if let Some(bytes) = copy_file(&entry.path(), &target)? {
            copied.files += 1;
            copied.bytes += bytes;
        }
    }
    sync_directory(to).with_context(|| cannot_write(to))
}

/// Copies a file durably. Returns its size, or `None` if it does not exist any more: a batch that was merged meanwhile.
fn copy_file(from: &Path, to: &Path) -> anyhow::Result<Option<u64>> {
    let mut source = match File::open(from) {
        Ok(source) => source,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).with_context(|| format!("cannot read {}", from.display())),
    };
    let mut write = || -> io::Result<u64> {
        let mut target = File::create_new(to)?;
        let bytes = io::copy(&mut source, &mut target)?;
        // A segment of the audit log stays read-only.
        let permissions = source.metadata()?.permissions();
        if permissions.readonly() {
            target.set_permissions(permissions)?;
        }
        target.sync_all()?;
        Ok(bytes)
    };
    write().map(Some).with_context(|| format!("cannot copy {} to {}", from.display(), to.display()))
}

fn report(
    session: &CliSession,
    (command, done): (&str, &str),
    directory: &Path,
    lake: Copied,
    store_bytes: u64,
) -> anyhow::Result<Exit> {
    let path = directory.display().to_string();
    if session.wants_json() {
        let document = json!({
            "command": command,
            "directory": path,
            "files": lake.files,
            "lake_bytes": lake.bytes,
            "store_bytes": store_bytes,
        });
        session.console.write_result(document.to_string())?;
    } else {
        session.console.write_summary(format!(
            "{done} {}: {} of the lake ({}), and the store ({})",
            quoted(&path),
            count(lake.files, "file", "files"),
            bytes(lake.bytes),
            bytes(store_bytes)
        ))?;
    }
    Ok(Exit::Success)
}
