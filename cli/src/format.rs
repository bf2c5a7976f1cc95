//! Numbers and times as people read them.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

/// A whole number with commas between its thousands.
pub(crate) fn number(value: u64) -> String {
    let digits = value.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// So many of something: `1 batch`, `1,200 batches`.
pub(crate) fn count(value: usize, one: &str, many: &str) -> String {
    format!("{} {}", number(value as u64), if value == 1 { one } else { many })
}

/// A number of bytes: `900 B`, `2.6 MB`.
pub(crate) fn bytes(bytes: u64) -> String {
    match bytes {
        0..1_000 => format!("{bytes} B"),
        1_000..1_000_000 => format!("{:.1} kB", bytes as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1} MB", bytes as f64 / 1e6),
        _ => format!("{:.1} GB", bytes as f64 / 1e9),
    }
}

/// A span of time, rounded to what matters of it.
pub(crate) fn span(span: Duration) -> String {
    let rounded = match span.as_millis() {
        0..1000 => Duration::from_millis(span.as_millis() as u64),
        1000..10_000 => Duration::from_millis((span.as_millis() / 100 * 100) as u64),
        _ => Duration::from_secs(span.as_secs()),
    };
    humantime::format_duration(rounded).to_string()
}

/// A moment, UTC.
pub(crate) fn moment(at: DateTime<Utc>) -> String {
    at.format("%Y-%m-%d %H:%M:%S UTC").to_string()
}

/// A moment, and how far off it is.
pub(crate) fn moment_from(now: DateTime<Utc>, at: DateTime<Utc>) -> String {
    match (at - now).to_std() {
        Ok(ahead) if at - now >= TimeDelta::seconds(1) => {
            format!("{} (in {})", moment(at), span(Duration::from_secs(ahead.as_secs())))
        }
        _ => moment(at),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped() {
        for (value, text) in [(0, "0"), (999, "999"), (1000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(number(value), text);
        }
        assert_eq!(count(1, "batch", "batches"), "1 batch");
        assert_eq!(count(0, "batch", "batches"), "0 batches");
    }

    #[test]
    fn spans_are_rounded() {
        for (millis, text) in [(7, "7ms"), (1_234, "1s 200ms"), (12_345, "12s"), (3_661_000, "1h 1m 1s")] {
            assert_eq!(span(Duration::from_millis(millis)), text);
        }
    }

    #[test]
    fn moments_say_how_far_off_they_are() {
        let now = DateTime::from_timestamp(1_700_000_000, 0).unwrap();
        assert_eq!(moment_from(now, now + TimeDelta::minutes(5)), "2023-11-14 22:18:20 UTC (in 5m)");
        assert_eq!(moment_from(now, now), "2023-11-14 22:13:20 UTC");
    }
}
