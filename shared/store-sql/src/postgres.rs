//! The store in a PostgreSQL database.
//!
//! Every read is one statement, so it sees one state of the database. Every write is one transaction, which is repeated
//! if the database rejects it for another one or the connection is lost: a repeated write has the same outcome.

mod address;
mod checkpoints;
mod error;
mod items;
mod markers;
mod names;
mod orgs;
mod records;
mod rollups;
mod schema;
mod setup;

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use gam_store::{Error, Result};
use sqlx::postgres::PgPool;

pub use self::address::PostgresAddress;
use self::error::{failed, is_transient};

/// Number of connections of a process. By default, PostgreSQL allows 100 for all its clients.
const MAX_CONNECTIONS: u32 = 8;

/// How long a reader or writer waits for a connection, also while the server restarts.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(60);

/// How long an attempt may take. It ends an attempt whose connection is lost without notice. The server ends statements
/// and waits for locks earlier.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(300);

/// How often an operation is repeated.
const MAX_RETRIES: u32 = 6;

/// The pause before the first repetition. Each further one is twice as long.
const FIRST_RETRY_DELAY: Duration = Duration::from_millis(50);

/// A store in the schema `github_metrics` of a PostgreSQL database. Clones share its connections.
#[derive(Clone)]
pub struct PostgresStore {
    /// The database, without the password.
    database: Arc<str>,
    pool: PgPool,
}

impl fmt::Debug for PostgresStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresStore").field("database", &self.database).finish_non_exhaustive()
    }
}

impl PostgresStore {
    /// Opens the store in a database. Creates its schema and tables if they do not exist, and migrates those of an older
    /// version.
    ///
    /// # Errors
    /// `Unusable` if the server refuses the user or the database, if the schema belongs to another program, if it was
    /// written by a newer version, or if the user may not create it. `Unavailable` if the server cannot be reached.
    pub async fn open(address: &PostgresAddress) -> Result<Self> {
        setup::prepare(address).await?;
        Ok(PostgresStore { database: address.to_string().into(), pool: setup::pool(address, false) })
    }

    /// Opens an existing store for reading. The user needs no permission but to read the tables.
    ///
    /// # Errors
    /// As [`PostgresStore::open`], and `Unusable` if there is no store, or if its tables have an older version.
    pub async fn open_read_only(address: &PostgresAddress) -> Result<Self> {
        setup::check_readable(address).await?;
        Ok(PostgresStore { database: address.to_string().into(), pool: setup::pool(address, true) })
    }

    /// Returns whether the database holds a store, of whatever version. Changes nothing.
    ///
    /// # Errors
    /// As [`PostgresStore::open`].
    pub async fn exists(address: &PostgresAddress) -> Result<bool> {
        setup::exists(address).await
    }

    /// Waits for running reads and writes, then closes all connections. Every later use of the store fails.
    pub async fn close(&self) {
        self.pool.close().await;
    }

    /// Runs an operation such as "writing rollups", and repeats it after errors that pass.
    async fn run<T, F>(&self, action: &str, operation: impl Fn() -> F) -> Result<T>
    where
        F: Future<Output = sqlx::Result<T>>,
    {
        let mut delay = FIRST_RETRY_DELAY;
        for _ in 0..MAX_RETRIES {
            match self.attempt(action, operation()).await? {
                Err(error) if is_transient(&error) => {
                    tokio::time::sleep(delay).await;
                    delay *= 2;
                }
                result => return result.map_err(failed(&self.database, action)),
            }
        }
        self.attempt(action, operation()).await?.map_err(failed(&self.database, action))
    }

    async fn attempt<T>(
        &self,
        action: &str,
        operation: impl Future<Output = sqlx::Result<T>>,
    ) -> Result<sqlx::Result<T>> {
        tokio::time::timeout(ATTEMPT_TIMEOUT, operation).await.map_err(|elapsed| {
            Error::unavailable(format!("{action}: {} does not respond", self.database), elapsed)
        })
    }
}

/// Converts a generation, an epoch or a revision to a signed integer, as PostgreSQL stores it. No real one is too great.
fn to_sql(number: u64) -> sqlx::Result<i64> {
    i64::try_from(number).map_err(|error| sqlx::Error::Encode(Box::new(error)))
}

/// Converts a stored generation, epoch or revision. This program stores no negative one.
fn from_sql(number: i64) -> sqlx::Result<u64> {
    u64::try_from(number).map_err(|error| sqlx::Error::Decode(Box::new(error)))
}

/// Returns the error for a stored text that this program never writes.
fn invalid(what: String) -> sqlx::Error {
    sqlx::Error::Decode(what.into())
}
