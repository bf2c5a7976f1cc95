//! Turns errors of PostgreSQL into errors of the store: what is wrong with which database, and how to fix it.

use gam_store::Error;

/// What to do if the server cannot be reached.
const HOW_TO_REACH: &str = "check that the server runs, and the host and port of `--store postgres://...`";

/// What to do if the connection cannot be encrypted.
const HOW_TO_ENCRYPT: &str = "add sslrootcert=FILE with the certificate of the server's authority to the URL, or \
                              sslmode=require to encrypt without checking the server, or sslmode=disable on a network \
                              that you trust";

/// What to do if the server does not know the statements of a connection, or has replaced their tables.
const HOW_TO_KEEP_STATEMENTS: &str = "run again; if a connection pooler such as PgBouncer is in between, set it to \
                                      session mode";

/// How to replace tables that are not a usable store.
const HOW_TO_REBUILD: &str = "drop the schema github_metrics and run `github-metrics aggregate --rebuild`, which \
                              computes the rollups from the lake; the next collection then starts from the \
                              beginning, and the access tokens in the store are lost";

/// Codes of errors, <https://www.postgresql.org/docs/current/errcodes-appendix.html>.
mod code {
    pub(super) const INVALID_BYTE_SEQUENCE: &str = "22021";
    pub(super) const READ_ONLY_TRANSACTION: &str = "25006";
    pub(super) const INVALID_AUTHORIZATION: &str = "28000";
    pub(super) const INVALID_PASSWORD: &str = "28P01";
    pub(super) const UNKNOWN_DATABASE: &str = "3D000";
    pub(super) const SERIALIZATION_FAILURE: &str = "40001";
    pub(super) const DEADLOCK: &str = "40P01";
    pub(super) const NO_PERMISSION: &str = "42501";
    pub(super) const DISK_FULL: &str = "53100";
    pub(super) const LOCK_NOT_AVAILABLE: &str = "55P03";
    pub(super) const QUERY_CANCELLED: &str = "57014";
    /// The server shuts down, has crashed, or is starting.
    const NOT_RUNNING: [&str; 3] = ["57P01", "57P02", "57P03"];
    /// The server has ended the session: an idle transaction, a long transaction, a dropped database, an idle session.
    const SESSION_ENDED: [&str; 4] = ["25P03", "25P04", "57P04", "57P05"];
    /// A prepared statement is unknown, or there is another one of its name.
    const STATEMENT_LOST: [&str; 2] = ["26000", "42P05"];
    const FEATURE_NOT_SUPPORTED: &str = "0A000";
    /// A table, a column or a function does not exist, or a column has another type.
    const OTHER_TABLES: [&str; 4] = ["42P01", "42703", "42804", "42883"];

    /// Failed connections.
    const CONNECTION_CLASS: &str = "08";
    /// Not enough memory, connections or disk.
    pub(super) const RESOURCES_CLASS: &str = "53";
    /// Damage, found by the server.
    pub(super) const DAMAGE_CLASS: &str = "XX";

    /// Returns whether the session has ended. Another one may succeed.
    pub(super) fn is_session_end(code: &str) -> bool {
        NOT_RUNNING.contains(&code) || SESSION_ENDED.contains(&code) || code.starts_with(CONNECTION_CLASS)
    }

    /// Returns whether the connection's prepared statements are no longer valid.
    pub(super) fn is_statement_lost(code: &str, message: &str) -> bool {
        // Other features have the same code.
        STATEMENT_LOST.contains(&code) || (code == FEATURE_NOT_SUPPORTED && message.contains("cached plan"))
    }

    /// Returns whether the tables are not those that this program creates.
    pub(super) fn is_other_tables(code: &str) -> bool {
        OTHER_TABLES.contains(&code)
    }
}

/// Returns a function that turns an error of `action`, such as "writing rollups", into an error of the store.
pub(super) fn failed(database: &str, action: &str) -> impl FnOnce(sqlx::Error) -> Error {
    move |error| match &error {
        sqlx::Error::Database(cause) => {
            let (code, why) = (cause.code().unwrap_or_default().into_owned(), cause.message().to_owned());
            server_error(database, action, &code, &why, error)
        }
        sqlx::Error::PoolTimedOut => Error::unavailable(
            format!("{action}: {database} cannot be reached, or too many readers or writers wait for it"),
            error,
        ),
        sqlx::Error::PoolClosed | sqlx::Error::WorkerCrashed => {
            Error::unavailable(format!("{action}: {database} has been closed"), error)
        }
        sqlx::Error::Io(cause) if is_tls_failure(cause) => {
            Error::unusable(format!("cannot connect to {database} by TLS: {HOW_TO_ENCRYPT}"), error)
        }
        sqlx::Error::Io(_) => {
            Error::unavailable(format!("{action}: cannot reach {database}: {HOW_TO_REACH}"), error)
        }
        sqlx::Error::Tls(_) => {
            Error::unusable(format!("cannot connect to {database} by TLS: {HOW_TO_ENCRYPT}"), error)
        }
        sqlx::Error::Configuration(_) => {
            Error::unusable(format!("cannot connect to {database}: check the URL of --store"), error)
        }
        sqlx::Error::Encode(_) => {
            Error::unusable(format!("{action}: the number is too great for {database}"), error)
        }
        sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) | sqlx::Error::RowNotFound => {
            Error::unusable(damage(database, "it contains values that this program never writes"), error)
        }
        _ => Error::unavailable(format!("{action} in {database}"), error),
    }
}

/// Turns an error that the server reported into an error of the store, by its code.
fn server_error(database: &str, action: &str, code: &str, why: &str, error: sqlx::Error) -> Error {
    match code {
        code::INVALID_PASSWORD | code::INVALID_AUTHORIZATION => Error::unusable(
            format!(
                "cannot sign in to {database}: check the user and the password, and the server's pg_hba.conf"
            ),
            error,
        ),
        code::UNKNOWN_DATABASE => Error::unusable(
            format!("{database} does not exist: create the database, or name another one with --store"),
            error,
        ),
        code::NO_PERMISSION => Error::unusable(
            format!(
                "{action}: the user of {database} lacks a permission: grant CREATE on the database once to the user \
                 that collects, and USAGE on the schema github_metrics and SELECT on its tables to users that read"
            ),
            error,
        ),
        code::READ_ONLY_TRANSACTION => Error::unusable(
            format!("{action}: {database} is open for reading only: name the primary server in --store"),
            error,
        ),
        code::DISK_FULL => Error::unusable(
            format!(
                "the disk of {database} is full: free some space and run again; nothing that was saved is lost"
            ),
            error,
        ),
        code::INVALID_BYTE_SEQUENCE => {
            Error::unusable(format!("{action}: {database} cannot store a text with a zero byte"), error)
        }
        code::SERIALIZATION_FAILURE | code::DEADLOCK | code::LOCK_NOT_AVAILABLE | code::QUERY_CANCELLED => {
            Error::unavailable(format!("{action}: other programs keep {database} busy"), error)
        }
        _ if code::is_session_end(code) || code.starts_with(code::RESOURCES_CLASS) => {
            Error::unavailable(format!("{action} in {database}"), error)
        }
        _ if code::is_statement_lost(code, why) => Error::unavailable(
            format!("{action}: {database} has lost a prepared statement: {HOW_TO_KEEP_STATEMENTS}"),
            error,
        ),
        _ if code.starts_with(code::DAMAGE_CLASS) => Error::unusable(
            format!("{action}: {database} is damaged ({why}): restore a backup, or else {HOW_TO_REBUILD}"),
            error,
        ),
        _ if code::is_other_tables(code) => Error::unusable(damage(database, why), error),
        _ => Error::unusable(format!("{action}: {database} reports an error ({why}, code {code})"), error),
    }
}

/// Returns whether the server's certificate was refused. The driver reports that as an I/O error.
fn is_tls_failure(error: &std::io::Error) -> bool {
    error.kind() == std::io::ErrorKind::InvalidData
}

fn damage(database: &str, why: &str) -> String {
    format!("the tables in {database} are no store of github-metrics ({why}): {HOW_TO_REBUILD}")
}

/// Returns whether the same transaction can succeed if it is repeated soon.
pub(super) fn is_transient(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(cause) => !is_tls_failure(cause),
        // A class of items was deleted before its items were written.
        sqlx::Error::RowNotFound => true,
        sqlx::Error::Database(cause) => cause.code().is_some_and(|code| {
            matches!(&*code, code::SERIALIZATION_FAILURE | code::DEADLOCK)
                || code::is_session_end(&code)
                || code::is_statement_lost(&code, cause.message())
        }),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error_of(code: &str, message: &str) -> Error {
        server_error("the database", "writing rollups", code, message, sqlx::Error::WorkerCrashed)
    }

    #[test]
    fn ended_sessions_and_lost_statements_are_retryable() {
        for code in ["08006", "25P03", "25P04", "26000", "42P05", "57P01", "57P03", "57P04", "57P05"] {
            let error = error_of(code, "terminating connection");
            assert!(error.is_retryable(), "{code}: {error}");
        }
        let plan = error_of("0A000", "cached plan must not change result type");
        assert!(plan.is_retryable() && plan.to_string().contains("session mode"), "{plan}");
    }

    #[test]
    fn only_wrong_tables_and_damage_advise_to_drop_the_schema() {
        for code in ["42P01", "42703", "42804", "42883", "XX001"] {
            let error = error_of(code, "relation does not exist");
            assert!(
                !error.is_retryable() && error.to_string().contains("drop the schema"),
                "{code}: {error}"
            );
            assert!(error.to_string().contains("access tokens"), "{code}: {error}");
        }
        for code in ["0A000", "22003", "25P02", "42601", "54000", "P0001"] {
            let text = error_of(code, "no such thing").to_string();
            assert!(text.contains(code) && text.contains("no such thing"), "{text}");
            assert!(!text.contains("drop the schema"), "{text}");
        }
    }
}
