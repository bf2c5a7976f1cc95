//! Where a request comes from, as a keyed hash: two requests of one address have the same, and nobody learns the address.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use axum::http::request::Parts;
use ring::hmac;

/// Number of bytes of a hash that are kept: enough to tell addresses apart.
const HASH_BYTES: usize = 12;

/// The header in which a proxy appends the address of its client.
const FORWARDED_FOR: &str = "x-forwarded-for";

/// The address at the other end of the connection, as an extension of requests. A host sets it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PeerAddress(pub IpAddr);

/// Hashes addresses with a key. Clones share the key.
#[derive(Clone)]
pub struct OriginHasher(Arc<hmac::Key>);

/// Without the key.
impl fmt::Debug for OriginHasher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OriginHasher")
    }
}

impl OriginHasher {
    /// Creates a hasher. With the same secret, hashes stay comparable.
    pub fn new(secret: &[u8]) -> Self {
        OriginHasher(Arc::new(hmac::Key::new(hmac::HMAC_SHA256, secret)))
    }

    /// Returns the hash of the address that a request came from, or `None` if the host does not know it.
    pub(super) fn origin_of(&self, parts: &Parts) -> Option<String> {
        let PeerAddress(peer) = parts.extensions.get().copied()?;
        let address = client_address(parts, peer.to_canonical());
        let tag = hmac::sign(&self.0, address.to_string().as_bytes());
        tag.as_ref().get(..HASH_BYTES).map(hex::encode)
    }
}

/// Returns the address that a proxy on this machine names, or the one of the connection. Nobody else is believed: a
/// client could name any address.
fn client_address(parts: &Parts, peer: IpAddr) -> IpAddr {
    let forwarded = || {
        let values = parts.headers.get_all(FORWARDED_FOR).iter();
        let last = values.filter_map(|value| value.to_str().ok()).next_back()?.rsplit(',').next()?;
        last.trim().parse::<IpAddr>().ok()
    };
    if peer.is_loopback() { forwarded().map_or(peer, |address| address.to_canonical()) } else { peer }
}

#[cfg(test)]
mod tests {
    use axum::http::Request;

    use super::*;

    fn origin(peer: Option<&str>, forwarded: &[&str]) -> Option<String> {
        let mut request = Request::builder();
        for value in forwarded {
            request = request.header(FORWARDED_FOR, *value);
        }
        let (mut parts, ()) = request.body(()).unwrap().into_parts();
        if let Some(peer) = peer {
            parts.extensions.insert(PeerAddress(peer.parse().unwrap()));
        }
        OriginHasher::new(b"key").origin_of(&parts)
    }

    #[test]
    fn one_address_has_one_hash() {
        let one = origin(Some("203.0.113.7"), &[]).unwrap();
        assert_eq!(one.len(), 2 * HASH_BYTES);
        assert_eq!(origin(Some("::ffff:203.0.113.7"), &[]), Some(one.clone()), "one address in both forms");
        assert_ne!(origin(Some("203.0.113.8"), &[]), Some(one.clone()));
        assert_eq!(
            origin(Some("203.0.113.7"), &["198.51.100.1"]),
            Some(one.clone()),
            "a client is not believed"
        );
        assert_eq!(
            origin(Some("127.0.0.1"), &["198.51.100.1, 203.0.113.7"]),
            Some(one.clone()),
            "its proxy is"
        );
        assert_eq!(origin(Some("::1"), &["198.51.100.1", "203.0.113.7"]), Some(one));
        assert_eq!(origin(Some("127.0.0.1"), &["no address"]), origin(Some("127.0.0.1"), &[]));
        assert_eq!(origin(None, &["203.0.113.7"]), None);
    }
}
