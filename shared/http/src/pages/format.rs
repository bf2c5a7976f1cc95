//! Numbers, durations and dates as each language writes them.

use chrono::{DateTime, Datelike, Days, NaiveDate, Utc};
use gam_model::Range;
use gam_query::{MetricValue, MetricValues};

use super::words::{Words, fill};
use crate::charts::{Language, format_count, format_day, format_hours};

/// What stands for a value that there is none of.
pub(super) const NONE: &str = "–";

/// Formats a count: `12,345`.
pub(super) fn count(value: u64) -> String {
    format_count(value as f64)
}

/// Formats a duration, or [`NONE`].
pub(super) fn hours(value: Option<f64>, language: Language) -> String {
    value.map_or_else(|| NONE.to_owned(), |hours| format_hours(hours, language))
}

/// Formats a share of 1: `8.8 %`, `8.8%`.
pub(super) fn percent(share: f64, language: Language) -> String {
    let space = if language == Language::English { "\u{2009}" } else { "" };
    format!("{:.1}{space}%", share * 100.0)
}

/// Formats the first and the last day of a range, without what they have in common.
pub(super) fn days(range: Range, language: Language) -> String {
    let (first, last) = (range.since(), range.until() - Days::new(1));
    let full = |day: NaiveDate| format_day(day, language);
    if first == last {
        return full(first);
    }
    match language {
        Language::English => {
            let name = first.format("%b").to_string();
            let start = if (first.year(), first.month()) == (last.year(), last.month()) {
                first.day().to_string()
            } else if first.year() == last.year() {
                format!("{} {name}", first.day())
            } else {
                full(first)
            };
            format!("{start} – {}", full(last))
        }
        Language::Japanese => {
            let end = if first.year() == last.year() {
                format!("{}月{}日", last.month(), last.day())
            } else {
                full(last)
            };
            format!("{}〜{end}", full(first))
        }
    }
}

/// Formats a range with its number of days and the time zone.
pub(super) fn range(range: Range, zone: &str, language: Language) -> String {
    let words = Words::of(language);
    let number = (range.until() - range.since()).num_days();
    let text = if number == 1 { words.days_1 } else { words.range_of };
    fill(text, &[("a", &days(range, language)), ("n", &format_count(number as f64)), ("zone", zone)])
}

/// Formats a time in UTC, to the minute.
pub(super) fn time(at: DateTime<Utc>, language: Language) -> String {
    format!("{} {} UTC", format_day(at.date_naive(), language), at.format("%H:%M"))
}

/// Returns the median, the 90th percentile and the number of durations of a distribution.
pub(super) fn distribution(values: &MetricValues, metric: &str) -> (Option<f64>, Option<f64>, u64) {
    match values.get(metric) {
        Some(MetricValue::Distribution { p50, p90, count, .. }) => (p50, p90, count),
        _ => (None, None, 0),
    }
}

/// Returns the share of deployments that failed; `None` without deployments.
pub(super) fn failed_share(values: &MetricValues) -> Option<f64> {
    let failed = values.count("deploy_failures");
    let all = failed + values.count("deploys");
    (all > 0).then(|| failed as f64 / all as f64)
}

/// Percent-encodes a name for a path segment or a query.
pub(super) fn encode(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    for byte in name.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => out.push(char::from(byte)),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    // A segment of dots would be removed by the browser, and there is no other way to write it.
    if matches!(name, "." | "..") { out.replace('.', "%2E") } else { out }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range_of(since: &str, until: &str) -> Range {
        Range::new(since.parse().unwrap(), until.parse().unwrap()).unwrap()
    }

    #[test]
    fn ranges_are_written_as_people_say_them() {
        for (since, until, english, japanese) in [
            ("2026-11-01", "2026-11-29", "1 – 28 Nov 2026", "2026年11月1日〜11月28日"),
            ("2026-10-30", "2026-11-29", "30 Oct – 28 Nov 2026", "2026年10月30日〜11月28日"),
            ("2025-12-31", "2026-01-02", "31 Dec 2025 – 1 Jan 2026", "2025年12月31日〜2026年1月1日"),
            ("2026-11-01", "2026-11-02", "1 Nov 2026", "2026年11月1日"),
        ] {
            assert_eq!(days(range_of(since, until), Language::English), english);
            assert_eq!(days(range_of(since, until), Language::Japanese), japanese);
        }
        let text = range(range_of("2026-11-01", "2026-11-29"), "UTC", Language::English);
        assert_eq!(text, "1 – 28 Nov 2026 (28 days), UTC");
    }

    #[test]
    fn names_are_encoded_for_paths() {
        assert_eq!(encode("a b/ä[bot]"), "a%20b%2F%C3%A4%5Bbot%5D");
        assert_eq!(encode(".."), "%2E%2E");
    }
}
