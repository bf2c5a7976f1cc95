//! A short text without spaces, for fields that must not hold content.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, de};
use sha2::{Digest, Sha256};

/// The most bytes of a [`FieldText`]. A longer text is stored as its hash.
pub const MAX_FIELD_BYTES: usize = 200;

/// An id or a name. It cannot hold a sentence, a path or an address: a text with a space or a control character,
/// with more than [`MAX_FIELD_BYTES`] bytes, that looks like an absolute path or contains an e-mail address is
/// replaced by its hash.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct FieldText(String);

impl FieldText {
    /// Returns the text, or its hash if a field must not hold it.
    pub fn new(text: &str) -> Self {
        if is_allowed(text) { FieldText(text.to_owned()) } else { Self::hashed(text) }
    }

    /// Returns `~` and the first 12 hex digits of the SHA-256 of the text.
    pub fn hashed(text: &str) -> Self {
        FieldText(format!("~{}", &hex::encode(Sha256::digest(text.as_bytes()))[..12]))
    }

    /// Returns whether it is a hash.
    pub fn is_hashed(&self) -> bool {
        self.0.starts_with('~')
    }

    /// Returns the text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Refuses what a field must not hold: who sends it must not send it.
impl<'de> Deserialize<'de> for FieldText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        if is_allowed(&text) {
            return Ok(FieldText(text));
        }
        // Without the text, which may be content.
        Err(de::Error::custom(format!(
            "a text is no id or name: expected 1 to {MAX_FIELD_BYTES} bytes without spaces, paths and addresses"
        )))
    }
}

impl fmt::Display for FieldText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn is_allowed(text: &str) -> bool {
    let is_plain = !text.is_empty()
        && text.len() <= MAX_FIELD_BYTES
        && !text.chars().any(|c| c.is_whitespace() || c.is_control() || c == '\\');
    is_plain && (is_own_hash(text) || !text.starts_with(['/', '~'])) && !contains_address(text)
}

/// Returns whether the text is what [`FieldText::hashed`] returns, so that a stored field stays as it is.
fn is_own_hash(text: &str) -> bool {
    text.strip_prefix('~').is_some_and(|hex| hex.len() == 12 && hex.chars().all(|c| c.is_ascii_hexdigit()))
}

/// Returns whether the text has a part such as `name@example.org`. `model@20250101` is none.
fn contains_address(text: &str) -> bool {
    text.match_indices('@').any(|(at, _)| {
        let has_name = text[..at].ends_with(|c: char| c.is_alphanumeric());
        let end = text[at + 1..]
            .find(|c: char| !c.is_alphanumeric() && !matches!(c, '-' | '.'))
            .map_or(text.len(), |length| at + 1 + length);
        let top_level = text[at + 1..end].rsplit_once('.').map(|(_, top_level)| top_level);
        has_name && top_level.is_some_and(|top| top.len() >= 2 && top.chars().all(char::is_alphabetic))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_and_names_stay_as_they_are() {
        for text in [
            "msg_01Ab",
            "claude-opus-4-6",
            "feature/a@b",
            "claude@20250101",
            "mcp__x",
            "日本",
            "~0123456789ab",
        ] {
            assert_eq!(FieldText::new(text).as_str(), text);
        }
    }

    #[test]
    fn content_becomes_a_hash() {
        let long = "x".repeat(MAX_FIELD_BYTES + 1);
        let texts = [
            "",
            "two words",
            "a\nb",
            "/home/ann/x",
            "~/x",
            "C:\\x",
            "ann@example.org",
            "fix/ann@example.org/1",
            &long,
        ];
        for text in texts {
            let field = FieldText::new(text);
            assert!(field.is_hashed() && field.as_str().len() == 13, "{text:?}: {field}");
            assert_eq!(FieldText::new(field.as_str()), field, "a hash stays as it is");
        }
    }
}
