//! The sort key of an entry in a listing.

use std::cmp::Ordering;

use crate::answers::SortDirection;

/// Sorts entries by value, then by name, then by id. Entries without a value are last in both directions.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct SortKey {
    pub(crate) value: Option<f64>,
    pub(crate) name: String,
    /// A repository's id, because two repositories can have one name; 0 for a member.
    pub(crate) id: i64,
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
            .then_with(|| self.id.cmp(&other.id))
    }
}
