//! By which names a server may be addressed.
//!
//! A web page elsewhere can have a name resolve to this machine, and the browser then treats the server as
//! a part of that page (DNS rebinding). Such a request names the foreign host in its `Host` header.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use axum::http::header;
use axum::http::request::Parts;
use axum::http::uri::Authority;

use crate::error::ApiError;

/// The names by which clients may address a server: `localhost`, every IP address, and the given ones.
#[derive(Debug, Clone, Default)]
pub struct AllowedHosts(Arc<[String]>);

impl AllowedHosts {
    /// Allows these names too, in any case. A port is ignored.
    pub fn new(names: impl IntoIterator<Item = String>) -> Self {
        AllowedHosts(names.into_iter().map(|name| host_name(&name)).collect())
    }

    /// Checks that all of the names are allowed.
    ///
    /// # Errors
    /// If one of them is not.
    pub(crate) fn check(&self, hosts: &[String]) -> Result<(), ApiError> {
        match hosts.iter().find(|host| !self.contains(host)) {
            None => Ok(()),
            Some(foreign) => Err(ApiError::foreign_host(foreign)),
        }
    }

    fn contains(&self, authority: &str) -> bool {
        let Ok(authority) = authority.parse::<Authority>() else { return false };
        let host = authority.host();
        let without_brackets = host.trim_start_matches('[').trim_end_matches(']');
        if host.parse::<Ipv4Addr>().is_ok() || without_brackets.parse::<Ipv6Addr>().is_ok() {
            return true;
        }
        let name = host_name(host);
        name == "localhost" || self.0.contains(&name)
    }
}

/// Returns the name in lower case, without a port and without the dot at the end of a complete name.
fn host_name(host: &str) -> String {
    let name = host.parse::<Authority>().map_or_else(|_| host.to_owned(), |it| it.host().to_owned());
    name.trim_end_matches('.').to_ascii_lowercase()
}

/// Returns the names by which a request addresses the server: that of the header, and that of an absolute target, which
/// wins over the header (RFC 9112, section 3.2.2).
///
/// # Errors
/// If there is not exactly one header.
pub(crate) fn named_hosts(parts: &Parts) -> Result<Vec<String>, ApiError> {
    let mut hosts = parts.headers.get_all(header::HOST).iter();
    let (Some(host), None) = (hosts.next(), hosts.next()) else {
        return Err(ApiError::invalid("expected exactly one Host header"));
    };
    let target = parts.uri.authority().map(|authority| authority.as_str().to_owned());
    Ok([Some(host.to_str().unwrap_or_default().to_owned()), target].into_iter().flatten().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_localhost_and_given_names_are_allowed() {
        let allowed = AllowedHosts::new(["Metrics.example.com:443".to_owned(), "box".to_owned()]);
        for host in [
            "localhost",
            "LOCALHOST:8080",
            "localhost.",
            "127.0.0.1:1",
            "192.0.2.7",
            "[::1]:8080",
            "metrics.example.com",
            "METRICS.example.com.:80",
            "box:9",
        ] {
            assert!(allowed.contains(host), "{host}");
        }
        for host in [
            "",
            "evil.example",
            "evil.example:8080",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "metrics.example.com.evil.example",
            "user@localhost.evil",
            "::1",
            "a b",
        ] {
            assert!(!allowed.contains(host), "{host}");
        }
    }
}
