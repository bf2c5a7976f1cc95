//! The stored form of items: compact, deterministic bytes with a version.

use crate::items::{BreakdownItem, DaysItem, ListItem};

/// Why stored bytes are no item.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the stored item is damaged: {0}")]
pub struct DecodeError(pub(crate) String);

/// An item that can be stored.
pub trait StoredForm: Sized {
    /// Returns the stored form. Equal items have equal bytes. An item without entries is empty.
    fn encode(&self) -> Vec<u8>;

    /// Decodes a stored form. Returns an item whose indexes are all within its dictionaries.
    ///
    /// # Errors
    /// If the bytes are not what [`StoredForm::encode`] returned.
    fn decode(bytes: &[u8]) -> Result<Self, DecodeError>;
}

macro_rules! json_form {
    ($($item:ty),*) => {$(
        impl StoredForm for $item {
            fn encode(&self) -> Vec<u8> {
                if *self == Self::default() { return Vec::new(); }
                serde_json::to_vec(self).expect("all keys of an item are text")
            }

            fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
                if bytes.is_empty() { return Ok(Self::default()); }
                serde_json::from_slice(bytes).map_err(|error| DecodeError(error.to_string()))
            }
        }
    )*};
}

json_form!(DaysItem, ListItem, BreakdownItem);
