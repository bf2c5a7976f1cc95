//! The sort key of an entry in a listing.

use std::cmp::Ordering;

use crate::answers::SortDirection;
use crate::list_order::ListSort;

/// What entries are sorted by: the value of a metric, the name, and the id.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct SortKey {
    /// The value of the metric. `None` if it has none, or the listing is sorted by name.
    pub(crate) value: Option<f64>,
    pub(crate) name: String,
    /// A repository's id, because two repositories can have one name; 0 for a member.
    pub(crate) id: i64,
}

impl SortKey {
    /// Compares by the value, then by name, then by id; or by name, then by id. Only the first of them follows the
    /// direction. Entries without a value are last in both directions.
    pub(crate) fn cmp(&self, other: &SortKey, sort: ListSort, direction: SortDirection) -> Ordering {
        let by_name = self.cmp_name(other);
        let order = match (sort, direction) {
            (ListSort::Name, SortDirection::Asc) => by_name,
            (ListSort::Name, SortDirection::Desc) => by_name.reverse(),
            (ListSort::Metric(_), _) => self.cmp_value(other, direction).then(by_name),
        };
        order.then_with(|| self.id.cmp(&other.id))
    }

    fn cmp_value(&self, other: &SortKey, direction: SortDirection) -> Ordering {
        match (self.value, other.value) {
            (Some(a), Some(b)) if direction == SortDirection::Desc => b.total_cmp(&a),
            (Some(a), Some(b)) => a.total_cmp(&b),
            (a, b) => b.is_some().cmp(&a.is_some()),
        }
    }

    fn cmp_name(&self, other: &SortKey) -> Ordering {
        let folded = |name: &str| name.to_lowercase();
        folded(&self.name).cmp(&folded(&other.name)).then_with(|| self.name.cmp(&other.name))
    }
}
