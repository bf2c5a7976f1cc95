//! Pages of lists, and how many entries to request for one.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// A page of a list.
#[derive(Debug, Clone, PartialEq)]
pub struct Page<T> {
    /// The page's entries, in the list's order.
    pub entries: Vec<T>,
    /// Entries of the page that GitHub lists but does not return, whatever is requested with them.
    pub unanswered: Vec<UnansweredEntry<T>>,
    /// The cursor of the next page; `None` on the last page.
    pub next: Option<String>,
}

/// An entry that GitHub lists, but fails to return.
#[derive(Debug, Clone, PartialEq)]
pub struct UnansweredEntry<T> {
    /// The entry as far as a basic query shows it: without reviews, closings, statuses, labels.
    pub entry: T,
    /// What GitHub answered, for people.
    pub why: String,
}

impl<T> Page<T> {
    /// Returns all entries that GitHub lists, whether it returned them completely or not.
    pub fn listed(&self) -> impl Iterator<Item = &T> {
        self.entries.iter().chain(self.unanswered.iter().map(|unanswered| &unanswered.entry))
    }

    /// Converts the entries that GitHub returned, and those that it did not, each with a function of its own.
    pub fn map<U>(self, full: impl Fn(T) -> U, basic: impl Fn(T) -> U) -> Page<U> {
        Page {
            entries: self.entries.into_iter().map(full).collect(),
            unanswered: self
                .unanswered
                .into_iter()
                .map(|unanswered| UnansweredEntry { entry: basic(unanswered.entry), why: unanswered.why })
                .collect(),
            next: self.next,
        }
    }
}

/// The order in which pull requests or issues are listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ListOrder {
    /// By last change, newest first.
    LastChanged,
    /// By creation, newest first.
    Newest,
    /// By creation, oldest first.
    Oldest,
}

impl ListOrder {
    /// The GraphQL variable, an `IssueOrder`. GitHub sorts pull requests by the same type.
    pub(crate) fn variable(self) -> Value {
        match self {
            ListOrder::LastChanged => json!({ "field": "UPDATED_AT", "direction": "DESC" }),
            ListOrder::Newest => json!({ "field": "CREATED_AT", "direction": "DESC" }),
            ListOrder::Oldest => json!({ "field": "CREATED_AT", "direction": "ASC" }),
        }
    }
}

/// After how many quick pages a size that was too heavy is tried again.
const PAGES_BEFORE_HEAVY_SIZE: u32 = 8;
/// The size grows only after a response within this time: GitHub gives up after 10 s.
const QUICK_RESPONSE_TIME: Duration = Duration::from_secs(3);

/// How many entries to request for a page. Halved when GitHub finds a page too heavy, and doubled after a
/// quick page; a size that was too heavy before is tried again only after several quick pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PageSize {
    #[serde(rename = "now")]
    current: u32,
    #[serde(rename = "best")]
    max: u32,
    /// The size that was last too heavy; `u32::MAX` if none was.
    too_heavy: u32,
    /// Quick pages since the size last changed.
    #[serde(rename = "good_pages")]
    quick_pages: u32,
}

impl PageSize {
    /// Starts at `max` entries and never requests more.
    pub fn new(max: u32) -> Self {
        PageSize { current: max, max, too_heavy: u32::MAX, quick_pages: 0 }
    }

    /// Keeps the current size and raises the maximum to `max`.
    pub fn up_to(self, max: u32) -> Self {
        PageSize { max, ..self }
    }

    /// Continues with a size that [`PageSize::to_save`] returned, within this one's maximum.
    pub fn resume(self, saved: Option<Self>) -> Self {
        let max = self.max;
        saved.map_or(self, |size| PageSize { current: size.current.clamp(1, max), max, ..size })
    }

    /// The size to save for the next run; `None` if no page was too heavy.
    pub fn to_save(self) -> Option<Self> {
        (self.too_heavy != u32::MAX).then_some(self)
    }

    /// How many entries to request now.
    pub fn get(self) -> u32 {
        self.current
    }

    /// Records that a complete page arrived, and how long it took.
    pub(crate) fn record_success(&mut self, response_time: Duration) {
        if response_time > QUICK_RESPONSE_TIME {
            return;
        }
        let next = (self.current * 2).min(self.max);
        let needed = if next >= self.too_heavy { PAGES_BEFORE_HEAVY_SIZE } else { 1 };
        self.quick_pages += 1;
        if self.quick_pages >= needed {
            self.current = next;
            self.quick_pages = 0;
            if next >= self.too_heavy && next == self.max {
                // The size works again, so it no longer counts as too heavy.
                self.too_heavy = u32::MAX;
            }
        }
    }

    /// Halves the size and remembers the old one as too heavy. Returns false if it cannot get smaller.
    pub(crate) fn shrink(&mut self) -> bool {
        self.too_heavy = self.current;
        self.shrink_for_now()
    }

    /// Halves the size without remembering the old size as too heavy. Returns false if it cannot get smaller.
    pub(crate) fn shrink_for_now(&mut self) -> bool {
        self.quick_pages = 0;
        let smaller = (self.current / 2).max(1);
        let has_shrunk = smaller < self.current;
        self.current = smaller;
        has_shrunk
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_that_is_not_blamed_is_tried_again_soon() {
        let mut size = PageSize::new(50);
        assert!(size.shrink_for_now() && size.shrink_for_now());
        assert_eq!(size.get(), 12);
        size.record_success(QUICK_RESPONSE_TIME);
        assert_eq!(size.get(), 24);
        size.record_success(QUICK_RESPONSE_TIME);
        size.record_success(QUICK_RESPONSE_TIME);
        assert_eq!((size.get(), size.to_save()), (50, None));
    }

    #[test]
    fn a_size_halves_to_one_and_grows_back_slowly() {
        let mut size = PageSize::new(50);
        assert!(size.shrink() && size.shrink() && size.shrink());
        assert_eq!(size.get(), 6);
        for _ in 0..8 {
            assert_eq!(size.get(), 6, "twelve entries were too heavy");
            size.record_success(QUICK_RESPONSE_TIME);
        }
        assert_eq!(size.get(), 12);
        while size.shrink() {}
        assert_eq!(size.get(), 1);
        for _ in 0..100 {
            size.record_success(QUICK_RESPONSE_TIME);
        }
        assert_eq!(size.get(), 50);
    }

    #[test]
    fn the_size_grows_beyond_the_first_one_after_quick_pages() {
        let mut size = PageSize::new(50).up_to(100);
        assert_eq!(size.get(), 50);
        size.record_success(QUICK_RESPONSE_TIME * 2);
        assert_eq!(size.get(), 50, "the page was slow");
        size.record_success(QUICK_RESPONSE_TIME / 2);
        assert_eq!((size.get(), size.to_save()), (100, None));
        assert!(size.shrink());
        assert_eq!(PageSize::new(50).up_to(100).resume(size.to_save()).get(), 50);
    }

    #[test]
    fn stored_field_names_stay_the_same() {
        let stored = r#"{"now":12,"best":50,"too_heavy":25,"good_pages":3}"#;
        let size: PageSize = serde_json::from_str(stored).unwrap();
        assert_eq!(serde_json::to_string(&size).unwrap(), stored);
        assert_eq!(serde_json::to_string(&ListOrder::LastChanged).unwrap(), r#""last_changed""#);
    }
}
