//! The merged pull requests of a month by what is known of sessions that led to them.

use crate::distribution::Distribution;
use crate::totals::Side;

/// The version of the rules that decide the class. Increment it and the `LOGIC_VERSION` of the crate `fold` if they
/// change.
pub const PR_CLASS_RULES: u32 = 1;

/// What is known of the sessions of a merged pull request.
///
/// The variants' order is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum PrClass {
    /// A session names the pull request, or made the commit that was merged.
    Linked,
    /// A session worked on its branch before the merge.
    Probable,
    /// No session is known. That does not say that there was none.
    Unknown,
}

impl PrClass {
    /// All classes, in declaration order.
    pub const ALL: [PrClass; 3] = [PrClass::Linked, PrClass::Probable, PrClass::Unknown];

    /// Returns the name in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            PrClass::Linked => "linked",
            PrClass::Probable => "probable",
            PrClass::Unknown => "unknown",
        }
    }
}

/// The pull requests of one side and class that were merged on a day.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PrClassTotals {
    /// The time from creation to merge of each, in seconds.
    pub cycle_times: Distribution,
    /// The list price of the responses of each that has some with a price, in micro-dollars.
    pub costs: Distribution,
    /// Tokens of those responses that have no price.
    pub unpriced_tokens: u64,
}

impl PrClassTotals {
    /// Adds other pull requests.
    pub fn merge(&mut self, other: &PrClassTotals) {
        self.cycle_times.merge(&other.cycle_times);
        self.costs.merge(&other.costs);
        self.unpriced_tokens = self.unpriced_tokens.saturating_add(other.unpriced_tokens);
    }
}

/// What was merged on a day: at most one entry of a side and class, ascending.
pub type PrClassDay = Vec<((Side, PrClass), PrClassTotals)>;

/// The merged pull requests of all repositories of a month.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PrClassItem {
    /// The generations of the snapshots that it derives from: of the table `events`, of the table `sessions`, and of that
    /// of the month before. 0 if there is none.
    pub generations: [u64; 3],
    /// The repositories with merged pull requests, by GitHub's numeric id, ascending, with their days, ascending by the
    /// number of the [`DayOfMonth`](gam_model::DayOfMonth).
    pub repos: Vec<(i64, Vec<(u8, PrClassDay)>)>,
}
