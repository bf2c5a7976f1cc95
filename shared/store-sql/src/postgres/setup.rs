//! Connects to the server, creates or migrates the tables, and checks whether they are a store of this program.

use gam_store::{Error, Result};
use sqlx::postgres::{PgConnection, PgPool, PgPoolOptions};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection};

use super::address::PostgresAddress;
use super::error::failed;
use super::schema::{self, SCHEMA_VERSION, SchemaState, schema_state};
use super::{CONNECTION_TIMEOUT, MAX_CONNECTIONS};

const ACTION: &str = "opening the store";

/// What every connection sets, whatever the server's, the database's or the user's defaults are.
///
/// * Timeouts: a program that hangs must not keep the locks that others wait for.
/// * Isolation: writes are correct at this level. A higher one only makes them fail.
/// * Plans: a statement is planned for its arrays each time it runs. The tables are small when it first runs, so a plan
///   that is kept would read them completely. Compiling a plan takes longer than running it.
/// * Durability: a batch is deleted from the lake only after what was computed from it has been saved.
const SESSION_SETTINGS: &str = "
    SET statement_timeout = '120s';
    SET lock_timeout = '30s';
    SET idle_in_transaction_session_timeout = '60s';
    SET default_transaction_isolation = 'read committed';
    SET plan_cache_mode = force_custom_plan;
    SET jit = off;
    SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off';
";

/// What connections that only read set too.
const READ_ONLY_SETTINGS: &str = "SET default_transaction_read_only = on;";

/// Creates or migrates the tables if needed.
pub(super) async fn prepare(address: &PostgresAddress) -> Result<()> {
    let database = address.to_string();
    let mut connection = connect(address, false).await?;
    check_encoding(&mut connection, &database).await?;
    let mut state = schema_state(&mut connection).await.map_err(failed(&database, ACTION))?;
    // Another process may be creating or migrating the tables, so this checks again while holding the lock.
    if matches!(state, SchemaState::Missing | SchemaState::Older(_)) {
        state = schema::make_current(&mut connection).await.map_err(failed(&database, ACTION))?;
    }
    // The connection may be lost by now.
    let _ = connection.close().await;
    match state {
        SchemaState::Newer(version) => Err(newer_version(&database, version)),
        SchemaState::Unknown => Err(unknown_schema(&database)),
        SchemaState::Current | SchemaState::Older(_) | SchemaState::Missing => Ok(()),
    }
}

/// Checks that the tables can be read by this version.
pub(super) async fn check_readable(address: &PostgresAddress) -> Result<()> {
    let database = address.to_string();
    match state(address).await? {
        SchemaState::Current => Ok(()),
        SchemaState::Newer(version) => Err(newer_version(&database, version)),
        SchemaState::Older(version) => Err(older_version(&database, version)),
        SchemaState::Unknown => Err(unknown_schema(&database)),
        SchemaState::Missing => Err(missing_schema(&database)),
    }
}

/// Returns whether there is a store, or something in its place.
pub(super) async fn exists(address: &PostgresAddress) -> Result<bool> {
    Ok(state(address).await? != SchemaState::Missing)
}

async fn state(address: &PostgresAddress) -> Result<SchemaState> {
    let mut connection = connect(address, true).await?;
    let state = schema_state(&mut connection).await.map_err(failed(&address.to_string(), ACTION))?;
    let _ = connection.close().await;
    Ok(state)
}

async fn connect(address: &PostgresAddress, is_read_only: bool) -> Result<PgConnection> {
    let connect = async {
        let mut connection = address.options().connect().await?;
        apply_settings(&mut connection, is_read_only).await?;
        Ok(connection)
    };
    let database = address.to_string();
    match tokio::time::timeout(CONNECTION_TIMEOUT, connect).await {
        Ok(connected) => connected.map_err(failed(&database, ACTION)),
        Err(elapsed) => Err(Error::unavailable(format!("{ACTION}: {database} does not respond"), elapsed)),
    }
}

async fn apply_settings(connection: &mut PgConnection, is_read_only: bool) -> sqlx::Result<()> {
    let read_only = if is_read_only { READ_ONLY_SETTINGS } else { "" };
    let settings = AssertSqlSafe(format!("{SESSION_SETTINGS} {read_only}"));
    sqlx::raw_sql(settings).execute(connection).await.map(drop)
}

/// Returns the connections of a store. They are opened when they are needed, and again when they are lost.
pub(super) fn pool(address: &PostgresAddress, is_read_only: bool) -> PgPool {
    PgPoolOptions::new()
        .max_connections(MAX_CONNECTIONS)
        .acquire_timeout(CONNECTION_TIMEOUT)
        // Waiting is normal under load: the server limits how many requests wait, and reports it once.
        .acquire_slow_threshold(CONNECTION_TIMEOUT)
        .after_connect(move |connection, _| Box::pin(apply_settings(connection, is_read_only)))
        .connect_lazy_with(address.options().clone())
}

/// Checks that the database stores names in any language.
async fn check_encoding(connection: &mut PgConnection, database: &str) -> Result<()> {
    let encoding: String = sqlx::query_scalar("SELECT current_setting('server_encoding')")
        .fetch_one(connection)
        .await
        .map_err(failed(database, ACTION))?;
    if encoding == "UTF8" {
        return Ok(());
    }
    let what = format!(
        "{database} stores text as {encoding}, which has no characters for many names: create a database with \
         `createdb --encoding=UTF8 --template=template0 NAME`"
    );
    Err(Error::Unusable { what, source: None })
}

fn newer_version(database: &str, version: i32) -> Error {
    let what = format!(
        "{database} was written by a newer version of github-metrics (its tables have version {version}, this program \
         supports {SCHEMA_VERSION}): upgrade github-metrics"
    );
    Error::Unusable { what, source: None }
}

fn older_version(database: &str, version: i32) -> Error {
    let what = format!(
        "{database} was written by an older version of github-metrics (its tables have version {version}, this program \
         reads {SCHEMA_VERSION}): run `github-metrics aggregate`, which migrates the tables"
    );
    Error::Unusable { what, source: None }
}

fn unknown_schema(database: &str) -> Error {
    let what = format!(
        "the schema github_metrics in {database} belongs to another program: choose another database with `--store \
         postgres://...`"
    );
    Error::Unusable { what, source: None }
}

fn missing_schema(database: &str) -> Error {
    let what = format!("there is no store in {database} yet: run `github-metrics up ORG` first");
    Error::Unusable { what, source: None }
}
