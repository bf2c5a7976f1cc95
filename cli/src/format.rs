//! Numbers, durations, times and tables as text.

use std::time::Duration;

use anyhow::Context as _;
use chrono::{DateTime, TimeDelta, Utc};
use gam_model::csv_cell;
use indicatif::{DecimalBytes, HumanCount};

use crate::terminal_text::escaped;

/// Formats an integer with a comma between thousands: `1,234,567`.
pub(crate) fn integer(value: u64) -> String {
    HumanCount(value).to_string()
}

/// Formats a number of things: `1 batch`, `1,200 batches`.
pub(crate) fn count(value: usize, singular: &str, plural: &str) -> String {
    format!("{} {}", integer(value as u64), if value == 1 { singular } else { plural })
}

/// Formats a number of bytes with decimal units: `900 B`, `2.60 MB`.
pub(crate) fn bytes(bytes: u64) -> String {
    DecimalBytes(bytes).to_string()
}

/// Formats a duration with the precision that matters: `90 ms`, `2.1 s`, `12 s`, `1h 1m 1s`.
pub(crate) fn duration(duration: Duration) -> String {
    match duration.as_millis() {
        0..1000 => format!("{} ms", duration.as_millis()),
        1000..10_000 => format!("{}.{} s", duration.as_secs(), duration.subsec_millis() / 100),
        10_000..60_000 => format!("{} s", duration.as_secs()),
        _ => humantime::format_duration(Duration::from_secs(duration.as_secs())).to_string(),
    }
}

/// Formats a time in UTC, to the second.
pub(crate) fn utc(at: DateTime<Utc>) -> String {
    at.format("%Y-%m-%d %H:%M:%S UTC").to_string()
}

/// Formats a time in UTC, with the distance from `now` if it lies ahead: `2026-01-01 00:05:00 UTC (in 5m)`.
pub(crate) fn utc_from(now: DateTime<Utc>, at: DateTime<Utc>) -> String {
    match (at - now).to_std() {
        Ok(ahead) if at - now >= TimeDelta::seconds(1) => {
            format!("{} (in {})", utc(at), duration(Duration::from_secs(ahead.as_secs())))
        }
        _ => utc(at),
    }
}

/// Shortens an input that may contain a password to what stands before its first colon: `mysql:...`.
pub(crate) fn redacted(input: &str) -> String {
    input.split_once(':').map_or_else(|| input.to_owned(), |(scheme, _)| format!("{scheme}:..."))
}

/// Writes a header and records as CSV by RFC 4180, with `\n` at the end of each line. Text that a spreadsheet would run
/// as a formula gets an apostrophe in front.
///
/// # Errors
/// If a record does not have as many fields as the header.
pub(crate) fn csv_text(
    header: &[String],
    records: impl IntoIterator<Item = Vec<String>>,
) -> anyhow::Result<String> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(header)?;
    for record in records {
        writer.write_record(record.iter().map(|cell| csv_cell(cell).into_owned()))?;
    }
    let bytes = writer.into_inner().context("cannot write CSV")?;
    String::from_utf8(bytes).context("cannot write CSV")
}

/// Writes a header and records as tab-separated values. Tabs and line breaks in a field become spaces.
pub(crate) fn tsv_text(header: &[String], records: &[Vec<String>]) -> String {
    let line = |fields: &[String]| {
        let fields = fields.iter().map(|field| escaped(&field.replace(['\t', '\n', '\r'], " ")));
        fields.collect::<Vec<_>>().join("\t") + "\n"
    };
    line(header) + &records.iter().map(|record| line(record)).collect::<String>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_separated() {
        for (value, text) in [(0, "0"), (999, "999"), (1000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(integer(value), text);
        }
        assert_eq!(count(1, "batch", "batches"), "1 batch");
        assert_eq!(count(0, "batch", "batches"), "0 batches");
    }

    #[test]
    fn bytes_have_decimal_units() {
        for (value, text) in [(900, "900 B"), (2_200, "2.20 kB"), (2_600_000, "2.60 MB")] {
            assert_eq!(bytes(value), text);
        }
    }

    #[test]
    fn durations_are_rounded() {
        for (millis, text) in [
            (7, "7 ms"),
            (1_234, "1.2 s"),
            (9_999, "9.9 s"),
            (12_345, "12 s"),
            (300_400, "5m"),
            (3_661_000, "1h 1m 1s"),
        ] {
            assert_eq!(duration(Duration::from_millis(millis)), text);
        }
    }

    #[test]
    fn times_include_the_distance_from_now() {
        let now = DateTime::from_timestamp(1_700_000_000, 0).unwrap();
        assert_eq!(utc_from(now, now + TimeDelta::minutes(5)), "2023-11-14 22:18:20 UTC (in 5m)");
        assert_eq!(utc_from(now, now), "2023-11-14 22:13:20 UTC");
    }

    #[test]
    fn what_follows_a_colon_is_redacted() {
        for (input, text) in [("foo", "foo"), ("mysql:hunter2", "mysql:..."), ("u:p@host:1", "u:...")] {
            assert_eq!(redacted(input), text);
        }
    }

    #[test]
    fn csv_fields_are_quoted_if_needed() {
        let header = ["a", "b"].map(str::to_owned);
        let text = csv_text(&header, [vec!["x,\"y\"".to_owned(), String::new()]]).unwrap();
        assert_eq!(text, "a,b\n\"x,\"\"y\"\"\",\n");
        assert!(csv_text(&header, [vec![String::new()]]).is_err());
        let formula = csv_text(&header, [vec!["=1+1".to_owned(), "-3".to_owned()]]).unwrap();
        assert_eq!(formula.lines().nth(1), Some("'=1+1,-3"));
    }
}
