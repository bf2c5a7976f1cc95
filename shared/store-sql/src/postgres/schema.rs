//! The tables, their versions, and how tables of older versions become those of this one.

use sqlx::Connection;
use sqlx::postgres::PgConnection;

/// The statements that turn each version of the tables into the next one. Released ones never change.
const MIGRATIONS: [&str; 3] = [
    include_str!("migrations/0001_rollups_names_checkpoints.sql"),
    include_str!("migrations/0002_records.sql"),
    include_str!("migrations/0003_save_ids.sql"),
];

/// The version of the tables. A store with a greater version is not touched.
pub(super) const SCHEMA_VERSION: i32 = MIGRATIONS.len() as i32;

/// The lock of whoever creates or migrates the tables: `gamS` in ASCII.
const MIGRATION_LOCK: i64 = 0x6761_6d53;

/// One row for each version that the tables have had.
const CREATE_VERSIONS: &str = "CREATE TABLE github_metrics.schema_versions (
    version    integer     PRIMARY KEY,
    applied_at timestamptz NOT NULL DEFAULT now()
)";

/// What a database contains.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SchemaState {
    /// A store with the tables of this version.
    Current,
    /// A store with the tables of an older version.
    Older(i32),
    /// A store with the tables of a newer version.
    Newer(i32),
    /// No schema of this name, or one without tables.
    Missing,
    /// A schema of another program.
    Unknown,
}

pub(super) async fn schema_state(connection: &mut PgConnection) -> sqlx::Result<SchemaState> {
    const RELATIONS: &str = "SELECT relname::text FROM pg_catalog.pg_class AS class
        JOIN pg_catalog.pg_namespace AS namespace ON namespace.oid = class.relnamespace
        WHERE nspname = 'github_metrics'";
    let relations: Vec<String> = sqlx::query_scalar(RELATIONS).fetch_all(&mut *connection).await?;
    if relations.is_empty() {
        return Ok(SchemaState::Missing);
    }
    if !relations.iter().any(|name| name == "schema_versions") {
        return Ok(SchemaState::Unknown);
    }
    let version: Option<i32> = sqlx::query_scalar("SELECT max(version) FROM github_metrics.schema_versions")
        .fetch_one(connection)
        .await?;
    Ok(match version {
        Some(version) if version > SCHEMA_VERSION => SchemaState::Newer(version),
        Some(SCHEMA_VERSION) => SchemaState::Current,
        Some(version) if version > 0 => SchemaState::Older(version),
        Some(_) | None => SchemaState::Unknown,
    })
}

/// Creates or migrates the tables, unless another process has done so in the meantime. Returns what the database
/// contained before. Changes nothing if that is a newer version or another program's schema.
pub(super) async fn make_current(connection: &mut PgConnection) -> sqlx::Result<SchemaState> {
    let mut transaction = connection.begin_with("BEGIN ISOLATION LEVEL READ COMMITTED").await?;
    let lock = sqlx::query("SELECT pg_advisory_xact_lock($1)").bind(MIGRATION_LOCK);
    lock.execute(&mut *transaction).await?;
    let state = schema_state(&mut transaction).await?;
    let applied = match state {
        SchemaState::Current | SchemaState::Newer(_) | SchemaState::Unknown => return Ok(state),
        SchemaState::Older(version) => version,
        SchemaState::Missing => {
            create_schema(&mut transaction).await?;
            0
        }
    };
    for (version, migration) in (1..).zip(MIGRATIONS).skip(usize::try_from(applied).unwrap_or_default()) {
        sqlx::raw_sql(migration).execute(&mut *transaction).await?;
        let insert = sqlx::query("INSERT INTO github_metrics.schema_versions (version) VALUES ($1)");
        insert.bind(version).execute(&mut *transaction).await?;
    }
    transaction.commit().await?;
    Ok(state)
}

/// Creates the schema, unless an administrator has prepared an empty one for a user who may not create schemas.
async fn create_schema(connection: &mut PgConnection) -> sqlx::Result<()> {
    let is_missing: bool = sqlx::query_scalar("SELECT to_regnamespace('github_metrics') IS NULL")
        .fetch_one(&mut *connection)
        .await?;
    if is_missing {
        sqlx::raw_sql("CREATE SCHEMA github_metrics").execute(&mut *connection).await?;
    }
    sqlx::raw_sql(CREATE_VERSIONS).execute(connection).await?;
    Ok(())
}
