//! The address of a database: what a URL says, and how to show it without its password.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use gam_store::{Error, Result};
use sqlx::ConnectOptions;
use sqlx::postgres::{PgConnectOptions, PgSslMode};
use url::Url;

/// The default port, which is not shown for a socket.
const DEFAULT_PORT: u16 = 5432;

/// The name of the connections in the server's list, unless the URL says another one.
const APPLICATION_NAME: &str = "github-metrics";

/// The parameters that the driver reads. It ignores others, and logs them with their values.
const PARAMETERS: [&str; 14] = [
    "sslmode",
    "sslrootcert",
    "sslcert",
    "sslkey",
    "ssl-mode",
    "ssl-root-cert",
    "host",
    "hostaddr",
    "port",
    "dbname",
    "user",
    "password",
    "application_name",
    "statement-cache-capacity",
];

/// The address of a PostgreSQL database, with the user's password. `Display` and `Debug` leave out the password.
#[derive(Clone)]
pub struct PostgresAddress {
    url: String,
    options: PgConnectOptions,
}

impl PostgresAddress {
    /// Parses `postgres://USER:PASSWORD@HOST:PORT/DATABASE`, or the same with `postgresql:`. What the URL leaves out
    /// comes from the variables and the password file of PostgreSQL's own programs (`PGHOST`, `PGPASSWORD`,
    /// `~/.pgpass`).
    ///
    /// A connection to another machine is encrypted and the server's certificate checked, unless `sslmode` or
    /// `PGSSLMODE` says otherwise.
    ///
    /// # Errors
    /// `Unusable` if the URL is invalid. The message repeats no part of it that can hold a password.
    pub fn parse(url: &str) -> Result<Self> {
        let url = &with_host(url);
        let parsed = Url::parse(url).map_err(|_| invalid("it is no URL"))?;
        if !matches!(parsed.scheme(), "postgres" | "postgresql") {
            return Err(invalid("it does not begin with postgres://"));
        }
        if !url[parsed.scheme().len()..].starts_with("://") {
            return Err(invalid("there is no // after the colon"));
        }
        for (name, _) in parsed.query_pairs() {
            let is_option = name == "options" || (name.starts_with("options[") && name.ends_with(']'));
            if !is_option && !PARAMETERS.contains(&&*name) {
                return Err(invalid(&format!("the parameter {name:?} is unknown")));
            }
        }
        let names_mode = parsed.query_pairs().any(|(name, _)| matches!(&*name, "sslmode" | "ssl-mode"));
        let mut options = PgConnectOptions::from_str(url)
            .map_err(|_| invalid("the value of a parameter is invalid"))?
            .disable_statement_logging();
        // Without a mode, the driver sends the password unencrypted if the server or somebody in between says so.
        if !names_mode && matches!(options.get_ssl_mode(), PgSslMode::Prefer) && !is_local(&options) {
            options = options.ssl_mode(PgSslMode::VerifyFull);
        }
        if options.get_application_name().is_none() {
            options = options.application_name(APPLICATION_NAME);
        }
        Ok(PostgresAddress { url: url.to_owned(), options })
    }

    /// Returns the options of every connection.
    pub(super) fn options(&self) -> &PgConnectOptions {
        &self.options
    }
}

impl PartialEq for PostgresAddress {
    fn eq(&self, other: &Self) -> bool {
        self.url == other.url
    }
}

impl Eq for PostgresAddress {}

/// User, host, port and database.
impl fmt::Display for PostgresAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let user = self.options.get_username();
        let database = self.options.get_database().unwrap_or(user);
        let port = self.options.get_port();
        match socket_directory(&self.options) {
            Some(directory) if port == DEFAULT_PORT => {
                write!(f, "postgres://{user}@/{database}?host={directory}")
            }
            Some(directory) => write!(f, "postgres://{user}@/{database}?host={directory}&port={port}"),
            None => write!(f, "postgres://{user}@{}:{port}/{database}", self.options.get_host()),
        }
    }
}

impl fmt::Debug for PostgresAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PostgresAddress({self})")
    }
}

/// Returns the URL with a host, if it names a user and no host. PostgreSQL's own programs accept such a URL, which names
/// the directory of a socket in a parameter.
fn with_host(url: &str) -> String {
    let end = url
        .split_once("://")
        .map(|(scheme, rest)| scheme.len() + "://".len() + rest.find(['/', '?']).unwrap_or(rest.len()));
    match end {
        Some(end) if url[..end].ends_with('@') => format!("{}localhost{}", &url[..end], &url[end..]),
        _ => url.to_owned(),
    }
}

/// Returns the directory of the server's socket, or `None` if the address is a host.
fn socket_directory(options: &PgConnectOptions) -> Option<String> {
    let host = options.get_host();
    let socket = options.get_socket().map(|directory| directory.display().to_string());
    socket.or_else(|| host.starts_with('/').then(|| host.to_owned()))
}

/// Returns whether the connection stays on this machine.
fn is_local(options: &PgConnectOptions) -> bool {
    let host = options.get_host().trim_start_matches('[').trim_end_matches(']');
    socket_directory(options).is_some()
        || host.eq_ignore_ascii_case("localhost")
        || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

fn invalid(why: &str) -> Error {
    let what = format!(
        "{why}: expected postgres://USER:PASSWORD@HOST:PORT/DATABASE, with special characters percent-encoded"
    );
    Error::Unusable { what, source: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(url: &str) -> PostgresAddress {
        PostgresAddress::parse(url).unwrap()
    }

    #[test]
    fn passwords_are_never_shown() {
        for (url, shown) in [
            (
                "postgres://me:hunter2@db.example.com:6543/metrics",
                "postgres://me@db.example.com:6543/metrics",
            ),
            ("postgresql://me:hunter2@[::1]/x", "postgres://me@[::1]:5432/x"),
            ("postgres://h:6543/x?user=me&password=hunter2", "postgres://me@h:6543/x"),
            ("postgres://me:hunter2@/x?host=/run/pg", "postgres://me@/x?host=/run/pg"),
            ("postgres://me:hunter2@/x?host=/run/pg&port=7", "postgres://me@/x?host=/run/pg&port=7"),
        ] {
            let address = parse(url);
            assert_eq!(address.to_string(), shown);
            assert!(!format!("{address:?}").contains("hunter2"));
        }
    }

    #[test]
    fn errors_repeat_no_password() {
        for url in [
            "me:hunter2@host",
            "postgres:me:hunter2@host",
            "mysql://me:hunter2@host/db",
            "postgres://me:hunter2@host:port/db",
            "postgres://host/db?passwd=hunter2",
            "postgres://host/db?sslmode=hunter2",
            "postgres://me:hunter2#2@host/db",
        ] {
            let text = PostgresAddress::parse(url).unwrap_err().to_string();
            assert!(text.contains("postgres://USER:PASSWORD@HOST") && !text.contains("hunter2"), "{text}");
        }
    }

    #[test]
    fn other_machines_are_reached_encrypted_unless_the_url_says_otherwise() {
        let mode = |url: &str| format!("{:?}", parse(url).options.get_ssl_mode());
        for local in ["localhost", "127.0.0.1", "127.9.9.9", "[::1]", "%2Frun%2Fpg"] {
            assert_eq!(mode(&format!("postgres://me@{local}/x")), "Prefer", "{local}");
        }
        for remote in ["db.example.com", "10.0.0.1", "[fd00::1]", "localhost.example.com"] {
            assert_eq!(mode(&format!("postgres://me@{remote}/x")), "VerifyFull", "{remote}");
        }
        assert_eq!(mode("postgres://me@db/x?sslmode=disable"), "Disable");
        assert_eq!(mode("postgres://me@db/x?sslmode=prefer"), "Prefer");
        assert_eq!(mode("postgres://me@127.0.0.1/x?sslmode=verify-full"), "VerifyFull");
    }
}
