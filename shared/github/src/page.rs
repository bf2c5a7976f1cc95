//! Pages, and how large to ask for them.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// A page of a list.
#[derive(Debug, Clone, PartialEq)]
pub struct Page<T> {
    /// The entries.
    pub entries: Vec<T>,
    /// Where the next page starts, if there is one.
    pub next: Option<String>,
}

/// The order of a list of pull requests or issues.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// The one that changed last comes first.
    LastChanged,
    /// The one that was opened last comes first.
    Newest,
    /// The one that was opened first comes first.
    Oldest,
}

impl Order {
    /// GraphQL's `IssueOrder`, which pull requests are ordered by too.
    pub(crate) fn variable(self) -> Value {
        match self {
            Order::LastChanged => json!({ "field": "UPDATED_AT", "direction": "DESC" }),
            Order::Newest => json!({ "field": "CREATED_AT", "direction": "DESC" }),
            Order::Oldest => json!({ "field": "CREATED_AT", "direction": "ASC" }),
        }
    }
}

/// How many good pages it takes to dare again what was too heavy before.
const PAGES_TO_DARE: u32 = 8;
/// More is asked for only where an answer came within this time: GitHub gives up after 10 s.
const QUICK: Duration = Duration::from_secs(3);

/// How many entries to ask for: halved when the server finds a page too heavy, doubled after a good page
/// that came quickly, and only after some of them to a size that was too heavy before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PageSize {
    now: u32,
    best: u32,
    too_heavy: u32,
    good_pages: u32,
}

impl PageSize {
    /// Starts with, and never asks for more than, `best` entries.
    pub fn new(best: u32) -> Self {
        PageSize { now: best, best, too_heavy: u32::MAX, good_pages: 0 }
    }

    /// Starts with as many, and may ask for up to `best`.
    pub fn up_to(self, best: u32) -> Self {
        PageSize { best, ..self }
    }

    /// Goes on with what was found to be good before, where something was.
    pub fn resume(self, remembered: Option<Self>) -> Self {
        let best = self.best;
        remembered.map_or(self, |size| PageSize { now: size.now.clamp(1, best), best, ..size })
    }

    /// What is worth remembering: nothing as long as no page was too heavy.
    pub fn to_remember(self) -> Option<Self> {
        (self.too_heavy != u32::MAX).then_some(self)
    }

    /// How many entries to ask for now.
    pub fn get(self) -> u32 {
        self.now
    }

    /// Takes note that a page came whole, and how long it took.
    pub(crate) fn succeeded(&mut self, took: Duration) {
        if took > QUICK {
            return;
        }
        let next = (self.now * 2).min(self.best);
        let enough = if next >= self.too_heavy { PAGES_TO_DARE } else { 1 };
        self.good_pages += 1;
        if self.good_pages >= enough {
            self.now = next;
            self.good_pages = 0;
            if next >= self.too_heavy && next == self.best {
                // It was dared long ago and is not too heavy any more.
                self.too_heavy = u32::MAX;
            }
        }
    }

    /// Asks for half as many from now on; false where it cannot be less.
    pub(crate) fn shrink(&mut self) -> bool {
        self.too_heavy = self.now;
        self.try_less()
    }

    /// The same for now, where it is not known whether that was too heavy.
    pub(crate) fn try_less(&mut self) -> bool {
        self.good_pages = 0;
        let smaller = (self.now / 2).max(1);
        let shrunk = smaller < self.now;
        self.now = smaller;
        shrunk
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_perhaps_too_heavy_is_asked_for_again_soon() {
        let mut size = PageSize::new(50);
        assert!(size.try_less() && size.try_less());
        assert_eq!(size.get(), 12);
        size.succeeded(QUICK);
        assert_eq!(size.get(), 24);
        size.succeeded(QUICK);
        size.succeeded(QUICK);
        assert_eq!((size.get(), size.to_remember()), (50, None));
    }

    #[test]
    fn a_size_halves_to_one_and_grows_back_slowly() {
        let mut size = PageSize::new(50);
        assert!(size.shrink() && size.shrink() && size.shrink());
        assert_eq!(size.get(), 6);
        for _ in 0..8 {
            assert_eq!(size.get(), 6, "twelve were too heavy");
            size.succeeded(QUICK);
        }
        assert_eq!(size.get(), 12);
        while size.shrink() {}
        assert_eq!(size.get(), 1);
        for _ in 0..100 {
            size.succeeded(QUICK);
        }
        assert_eq!(size.get(), 50);
    }

    #[test]
    fn more_than_at_first_is_asked_for_where_answers_are_quick() {
        let mut size = PageSize::new(50).up_to(100);
        assert_eq!(size.get(), 50);
        size.succeeded(QUICK * 2);
        assert_eq!(size.get(), 50, "that took long");
        size.succeeded(QUICK / 2);
        assert_eq!((size.get(), size.to_remember()), (100, None));
        assert!(size.shrink());
        assert_eq!(PageSize::new(50).up_to(100).resume(size.to_remember()).get(), 50);
    }
}
