//! Signatures of deliveries: HMAC-SHA256 over the body as it was sent.

use std::fmt;
use std::sync::Arc;

use axum::http::HeaderMap;
use ring::hmac;

use super::SIGNATURE;

/// Length of a signature in bytes.
const SIGNATURE_BYTES: usize = 32;

/// The secrets that sign deliveries: the present one, and the one before while it is exchanged.
#[derive(Clone)]
pub struct WebhookSecrets(Arc<[hmac::Key]>);

impl WebhookSecrets {
    /// Takes the secrets. White space around them is removed, as it comes from files. `None` if there is none, or one
    /// is empty.
    pub fn new(secrets: impl IntoIterator<Item = String>) -> Option<Self> {
        let secrets: Vec<String> = secrets.into_iter().map(|secret| secret.trim().to_owned()).collect();
        if secrets.is_empty() || secrets.iter().any(String::is_empty) {
            return None;
        }
        let keys = secrets.iter().map(|secret| hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes()));
        Some(WebhookSecrets(keys.collect()))
    }

    /// Returns the header `X-Hub-Signature-256` of a body that the first secret signs.
    pub fn sign(&self, body: &[u8]) -> String {
        let signature = self.0.first().map(|key| hmac::sign(key, body));
        format!("sha256={}", signature.map(hex::encode).unwrap_or_default())
    }
}

impl fmt::Debug for WebhookSecrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WebhookSecrets({} secret)", self.0.len())
    }
}

/// Returns the signature of a request. `None` if there is none, or more than one, or it has another form.
pub(super) fn parse(headers: &HeaderMap) -> Option<[u8; SIGNATURE_BYTES]> {
    let mut values = headers.get_all(SIGNATURE).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return None };
    let digits = value.to_str().ok()?.strip_prefix("sha256=")?;
    hex::decode(digits).ok()?.try_into().ok()
}

/// Returns whether one of the secrets signed the body. The comparison takes the same time wherever they differ.
pub(super) fn is_signed(secrets: &WebhookSecrets, body: &[u8], signature: &[u8]) -> bool {
    secrets.0.iter().any(|key| hmac::verify(key, body, signature).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secrets(secrets: &[&str]) -> WebhookSecrets {
        WebhookSecrets::new(secrets.iter().map(|it| (*it).to_owned())).expect("they are valid")
    }

    fn signature(text: &str) -> Option<[u8; SIGNATURE_BYTES]> {
        parse(&HeaderMap::from_iter([(SIGNATURE.parse().unwrap(), text.parse().unwrap())]))
    }

    /// The example of GitHub's documentation, "Validating webhook deliveries".
    #[test]
    fn githubs_example_is_signed() {
        let text = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
        let signature = signature(text).unwrap();
        let secret = "It's a Secret to Everybody";
        for secrets in
            [secrets(&[secret]), secrets(&["new", secret]), secrets(&[" It's a Secret to Everybody\n"])]
        {
            assert!(is_signed(&secrets, b"Hello, World!", &signature));
            assert!(!is_signed(&secrets, b"Hello, World?", &signature));
        }
        assert!(!is_signed(&secrets(&["other"]), b"Hello, World!", &signature));
    }

    #[test]
    fn other_forms_are_no_signature() {
        for text in
            ["", "sha256=", "sha1=757107ea", "757107ea", "sha256=zz", &format!("sha256={}", "0".repeat(63))]
        {
            assert_eq!(signature(text), None, "{text}");
        }
        assert!(WebhookSecrets::new([]).is_none() && WebhookSecrets::new([" ".to_owned()]).is_none());
        assert_eq!(format!("{:?}", secrets(&["hunter2"])), "WebhookSecrets(1 secret)");
    }
}
