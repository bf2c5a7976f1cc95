//! Pages, and how large to ask for them.

use serde::{Deserialize, Serialize};

/// A page of a list.
#[derive(Debug, Clone, PartialEq)]
pub struct Page<T> {
    /// The entries.
    pub entries: Vec<T>,
    /// Where the next page starts, if there is one.
    pub next: Option<String>,
}

/// How many good pages it takes to dare again what was too heavy before.
const PAGES_TO_DARE: u32 = 8;

/// How many entries to ask for: halved when the server finds a page too heavy, doubled after a good page,
/// and only after some of them to a size that was too heavy before.
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

    /// Goes on with what was found to be good before, where something was.
    pub fn resume(remembered: Option<Self>, best: u32) -> Self {
        remembered.map_or(Self::new(best), |size| PageSize { now: size.now.clamp(1, best), best, ..size })
    }

    /// What is worth remembering: nothing as long as no page was too heavy.
    pub fn to_remember(self) -> Option<Self> {
        (self.too_heavy != u32::MAX).then_some(self)
    }

    /// How many entries to ask for now.
    pub fn get(self) -> u32 {
        self.now
    }

    /// Takes note that a page came whole.
    pub(crate) fn succeeded(&mut self) {
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
        size.succeeded();
        assert_eq!(size.get(), 24);
        size.succeeded();
        size.succeeded();
        assert_eq!((size.get(), size.to_remember()), (50, None));
    }

    #[test]
    fn a_size_halves_to_one_and_grows_back_slowly() {
        let mut size = PageSize::new(50);
        assert!(size.shrink() && size.shrink() && size.shrink());
        assert_eq!(size.get(), 6);
        for _ in 0..8 {
            assert_eq!(size.get(), 6, "twelve were too heavy");
            size.succeeded();
        }
        assert_eq!(size.get(), 12);
        while size.shrink() {}
        assert_eq!(size.get(), 1);
        for _ in 0..100 {
            size.succeeded();
        }
        assert_eq!(size.get(), 50);
    }
}
