//! What a listing is sorted by, and which names it contains.

use gam_model::metric::Metric;

/// What a listing is sorted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ListSort {
    /// The name, without regard to case.
    Name,
    /// The value of a metric. A distribution sorts by its median.
    Metric(&'static Metric),
}

impl ListSort {
    const NAME: &'static str = "name";

    /// Returns `name`, or the name of the metric.
    pub fn as_str(self) -> &'static str {
        match self {
            ListSort::Name => Self::NAME,
            ListSort::Metric(metric) => metric.name,
        }
    }

    /// Returns the sort with this name; `None` if there is none.
    pub fn parse(name: &str) -> Option<Self> {
        match name {
            Self::NAME => Some(ListSort::Name),
            name => Metric::named(name).map(ListSort::Metric),
        }
    }
}

/// Accepts names that contain a text, without regard to case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NameFilter {
    /// In lower case.
    text: String,
}

impl NameFilter {
    /// Creates the filter of names that contain the text.
    pub fn new(text: &str) -> Self {
        NameFilter { text: text.to_lowercase() }
    }

    /// Returns whether the name contains the text.
    pub fn accepts(&self, name: &str) -> bool {
        name.to_lowercase().contains(&self.text)
    }

    /// Returns the text, in lower case.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_filtered_without_regard_to_case() {
        let filter = NameFilter::new("ÄB");
        assert!(filter.accepts("xäBy") && filter.accepts("Äb"));
        assert!(!filter.accepts("ab") && !filter.accepts(""));
        assert!(NameFilter::new("").accepts("anything"));
    }

    #[test]
    fn a_sort_has_one_name() {
        for name in ["name", "commits", "cycle_time_hours"] {
            assert_eq!(ListSort::parse(name).map(ListSort::as_str), Some(name));
        }
        assert_eq!(ListSort::parse("Name"), None);
    }
}
