//! The store in a PostgreSQL database, in builds with the feature `postgres`.

#[cfg(feature = "postgres")]
pub(crate) use enabled::{PostgresLocation, exists, open, open_read_only};
#[cfg(not(feature = "postgres"))]
pub(crate) use missing::{PostgresLocation, exists, open, open_read_only};

/// What is wrong with a build without PostgreSQL support, and what to do.
#[cfg(not(feature = "postgres"))]
const HOW_TO_ENABLE: &str =
    "this build has no PostgreSQL support; use a release binary, or build with `--features postgres`";

#[cfg(feature = "postgres")]
mod enabled {
    use std::fmt;

    use gam_store_sql::{PostgresAddress, PostgresStore};

    use crate::error::usage_error;
    use crate::format::redacted;
    use crate::store::StorePorts;

    /// The address of a database. `Display` and `Debug` leave out the password.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub(crate) struct PostgresLocation(Box<PostgresAddress>);

    impl PostgresLocation {
        /// Parses the value of `option`, such as `--store`.
        ///
        /// # Errors
        /// If it is invalid. The message repeats no password. A build without PostgreSQL support always fails.
        pub(crate) fn parse(option: &str, url: &str) -> anyhow::Result<Self> {
            let invalid = |why| usage_error(format!("invalid {option} {:?}: {why}", redacted(url)));
            Ok(PostgresLocation(Box::new(PostgresAddress::parse(url).map_err(invalid)?)))
        }
    }

    impl fmt::Display for PostgresLocation {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "{}", self.0)
        }
    }

    /// Opens a store, and creates or migrates its tables if needed.
    ///
    /// # Errors
    /// If it cannot be opened.
    pub(crate) async fn open(location: &PostgresLocation) -> anyhow::Result<StorePorts> {
        Ok(StorePorts::postgres(PostgresStore::open(&location.0).await?))
    }

    /// Opens an existing store for reading, also for a user who may only read.
    ///
    /// # Errors
    /// If there is none, or it cannot be opened.
    pub(crate) async fn open_read_only(location: &PostgresLocation) -> anyhow::Result<StorePorts> {
        Ok(StorePorts::postgres(PostgresStore::open_read_only(&location.0).await?))
    }

    /// Returns whether the database holds a store.
    ///
    /// # Errors
    /// If the server cannot be reached, or refuses the user or the database.
    pub(crate) async fn exists(location: &PostgresLocation) -> anyhow::Result<bool> {
        Ok(PostgresStore::exists(&location.0).await?)
    }
}

#[cfg(not(feature = "postgres"))]
mod missing {
    use std::fmt;

    use crate::error::usage_error;
    use crate::format::redacted;
    use crate::store::StorePorts;

    /// No address: this build opens none.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub(crate) enum PostgresLocation {}

    impl PostgresLocation {
        /// Refuses the value of `option`.
        ///
        /// # Errors
        /// Always.
        pub(crate) fn parse(option: &str, url: &str) -> anyhow::Result<Self> {
            Err(usage_error(format!("unsupported {option} {:?}: {}", redacted(url), super::HOW_TO_ENABLE)))
        }
    }

    impl fmt::Display for PostgresLocation {
        fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
            match *self {}
        }
    }

    /// Is never called.
    pub(crate) async fn open(location: &PostgresLocation) -> anyhow::Result<StorePorts> {
        match *location {}
    }

    /// Is never called.
    pub(crate) async fn open_read_only(location: &PostgresLocation) -> anyhow::Result<StorePorts> {
        match *location {}
    }

    /// Is never called.
    pub(crate) async fn exists(location: &PostgresLocation) -> anyhow::Result<bool> {
        match *location {}
    }
}
