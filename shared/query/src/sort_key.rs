//! The sort key of an entry in a listing, which is also its cursor.

use std::cmp::Ordering;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::QueryError;
use crate::answers::SortDirection;
use crate::org_reader::quoted;

/// Sorts entries by value, then by name. Entries without a value are last in both directions.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct SortKey {
    pub(crate) value: Option<f64>,
    pub(crate) name: String,
}

impl SortKey {
    pub(crate) fn cmp(&self, other: &SortKey, direction: SortDirection) -> Ordering {
        let by_value = match (self.value, other.value) {
            (Some(a), Some(b)) if direction == SortDirection::Desc => b.total_cmp(&a),
            (Some(a), Some(b)) => a.total_cmp(&b),
            (a, b) => b.is_some().cmp(&a.is_some()),
        };
        let folded = |name: &str| name.to_lowercase();
        by_value
            .then_with(|| folded(&self.name).cmp(&folded(&other.name)))
            .then_with(|| self.name.cmp(&other.name))
    }

    /// Encodes the key. The value is encoded by its bits, because a number parsed from decimals may
    /// differ from the original.
    pub(crate) fn to_cursor(&self) -> String {
        let key = (self.value.map(f64::to_bits), &self.name);
        URL_SAFE_NO_PAD.encode(serde_json::to_vec(&key).expect("a number and a text"))
    }

    pub(crate) fn parse_cursor(cursor: &str) -> Result<Self, QueryError> {
        let bytes = URL_SAFE_NO_PAD.decode(cursor).ok();
        let key = bytes.and_then(|bytes| serde_json::from_slice::<(Option<u64>, String)>(&bytes).ok());
        key.map(|(bits, name)| SortKey { value: bits.map(f64::from_bits), name }).ok_or_else(|| {
            QueryError::Invalid(format!(
                "invalid cursor {}: use the `next` value of the previous page, or leave it out to get the first \
                 page",
                quoted(cursor)
            ))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_decodes_to_the_same_key() {
        let thirds = (1..2_000).map(|seconds| Some(f64::from(seconds) / 3600.0));
        for value in thirds.chain([None, Some(0.0)]) {
            let key = SortKey { value, name: "Ann[bot]".to_owned() };
            assert_eq!(SortKey::parse_cursor(&key.to_cursor()).unwrap(), key);
        }
        for bad in ["", "nonsense", "e30", "WzEsMl0"] {
            assert!(SortKey::parse_cursor(bad).is_err(), "{bad}");
        }
    }
}
