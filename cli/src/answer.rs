//! Reads what `show` and `export` need out of answers of the HTTP API.

use chrono::{DateTime, NaiveDate, Utc};
use gam_model::{Range, TimeZone};
use serde_json::Value;

use crate::args;

/// A point of a series.
pub(crate) struct SeriesPoint {
    /// The first day of the bucket, UTC.
    pub(crate) start: NaiveDate,
    /// The day after the last one of the bucket, UTC.
    pub(crate) end: NaiveDate,
    /// The value in the shape of the API: a number, or a distribution.
    pub(crate) value: Value,
    /// Whether the range cuts the bucket. Servers of an earlier version do not say it.
    pub(crate) is_partial: bool,
}

/// Returns the points of a time series, or `None` if the answer has another shape.
pub(crate) fn points(answer: &Value) -> Option<Vec<SeriesPoint>> {
    let point = |point: &Value| {
        Some(SeriesPoint {
            start: day(&point["start"])?,
            end: day(&point["end"])?,
            value: point["value"].clone(),
            is_partial: point["partial"] == true,
        })
    };
    answer["points"].as_array()?.iter().map(point).collect()
}

/// Returns the range that the answer covers, or `None` if the answer has another shape.
pub(crate) fn range(answer: &Value) -> Option<Range> {
    Range::new(day(&answer["since"])?, day(&answer["until"])?)
}

fn day(value: &Value) -> Option<NaiveDate> {
    value.as_str()?.parse().ok()
}

/// Returns the first day with complete data, or `None` if the answer does not contain it.
pub(crate) fn complete_since(answer: &Value) -> Option<NaiveDate> {
    let at: DateTime<Utc> = answer["complete_since"].as_str()?.parse().ok()?;
    let zone = time_zone(answer);
    let day = zone.day(at);
    // A day that was read from its middle on is not complete.
    if zone.start_of_day(day) < at { day.succ_opt() } else { Some(day) }
}

/// Returns the time zone whose days an answer has.
pub(crate) fn time_zone(answer: &Value) -> TimeZone {
    answer["timezone"].as_str().and_then(TimeZone::parse).unwrap_or(TimeZone::UTC)
}

/// Returns a warning, with the command that helps, if data is incomplete at the beginning of a range that
/// begins with `since`.
pub(crate) fn incomplete_warning(answer: &Value, since: NaiveDate) -> Option<String> {
    let complete = complete_since(answer).filter(|complete| since < *complete)?;
    let org = answer["org"].as_str()?;
    let repo = answer["repo"].as_str();
    let mut warning = format!("numbers before {complete} are incomplete");
    // The names come from a server, and commands are pasted into shells.
    if args::org(org).is_ok() && repo.is_none_or(|repo| args::repo(repo).is_ok()) {
        let repo = repo.map(|repo| format!(" --repo {repo}")).unwrap_or_default();
        warning.push_str(&format!(
            ": run `github-metrics collect {org} --since {since}{repo}` to complete them"
        ));
    }
    Some(warning)
}

/// Says from when until when data is complete, or returns `None` if the answer does not contain it.
pub(crate) fn coverage(answer: &Value) -> Option<String> {
    let until = answer["complete_until"].as_str()?;
    Some(match complete_since(answer) {
        Some(since) => format!("Data is complete from {since} to {until}"),
        None => format!("Data is complete up to {until}"),
    })
}

/// Returns a line for each gap in the data, and one for those that the answer does not list.
pub(crate) fn gap_lines(answer: &Value) -> Vec<String> {
    let gaps = answer["gaps"].as_array().map(Vec::as_slice).unwrap_or_default();
    let mut lines: Vec<String> = gaps.iter().map(|gap| format!("missing: {}", gap_text(gap))).collect();
    let more = answer["gap_count"].as_u64().unwrap_or_default().saturating_sub(gaps.len() as u64);
    if more > 0 {
        lines.push(format!("missing: {more} more; run `github-metrics doctor` or query the API"));
    }
    lines
}

/// Describes a gap: `site, pull request #7 (from 2026-01-02): GitHub does not return it`.
pub(crate) fn gap_text(gap: &Value) -> String {
    let text = |name: &str| gap[name].as_str().unwrap_or_default();
    let kind = text("kind");
    let what = match (kind, gap["number"].as_i64()) {
        ("repository" | "blocked", _) => "everything".to_owned(),
        ("line_counts", _) => "changed lines".to_owned(),
        ("pull_requests", Some(number)) => format!("pull request #{number}"),
        ("issues", Some(number)) => format!("issue #{number}"),
        (kind, Some(id)) => format!("{} with id {id}", kind.trim_end_matches('s')),
        (kind, None) => kind.replace('_', " "),
    };
    let day = |name: &str| {
        let at: Option<DateTime<Utc>> = gap[name].as_str().and_then(|at| at.parse().ok());
        at.map(|at| at.date_naive())
    };
    let span = match (day("from"), day("until")) {
        (Some(from), Some(until)) if from == until => format!(" of {from}"),
        (Some(from), Some(until)) => format!(" from {from} to {until}"),
        (Some(from), None) => format!(" since {from}"),
        (None, Some(until)) => format!(" before {until}"),
        (None, None) => String::new(),
    };
    format!("{}, {what}{span}: {}", text("repo"), text("why"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn incomplete_numbers_are_reported() {
        let day = |text: &str| -> NaiveDate { text.parse().unwrap() };
        let until = "2026-08-01T12:00:00Z";
        let answer =
            json!({"org": "Acme", "complete_since": "2026-05-03T00:00:00Z", "complete_until": until});
        assert_eq!(coverage(&answer).unwrap(), format!("Data is complete from 2026-05-03 to {until}"));
        assert_eq!(
            incomplete_warning(&answer, day("2026-05-02")).unwrap(),
            "numbers before 2026-05-03 are incomplete: run `github-metrics collect Acme --since 2026-05-02` to \
             complete them"
        );
        assert!(incomplete_warning(&answer, day("2026-05-03")).is_none());
        let mut of_repo = answer;
        of_repo["repo"] = "site".into();
        let warning = incomplete_warning(&of_repo, day("2026-05-02")).unwrap();
        assert!(warning.contains("--since 2026-05-02 --repo site`"), "{warning}");
        let hostile = json!({
            "org": "a; rm -rf ~", "complete_since": "2026-05-03T00:00:00Z", "complete_until": until
        });
        let warning = incomplete_warning(&hostile, day("2026-05-02")).unwrap();
        assert!(!warning.contains("github-metrics"), "{warning}");
        // Servers of an earlier version return `complete_until` alone. A sample has neither.
        let old = json!({"org": "Acme", "complete_until": until});
        assert_eq!(coverage(&old).unwrap(), format!("Data is complete up to {until}"));
        assert!(incomplete_warning(&old, day("2026-05-02")).is_none());
        assert!(coverage(&json!({"complete_since": null, "complete_until": null})).is_none());
    }

    #[test]
    fn gaps_name_what_is_missing_and_when() {
        let from = "2026-01-02T10:00:00Z";
        let pull = json!({"repo": "site", "kind": "pull_requests", "number": 7, "from": from, "until": from, "why": "w"});
        let releases =
            json!({"repo": "site", "kind": "releases", "from": null, "until": from, "why": "limit"});
        let secret =
            json!({"repo": "secret", "kind": "repository", "from": null, "until": null, "why": "no access"});
        let answer = json!({"gaps": [pull, releases, secret], "gap_count": 5});
        assert_eq!(
            gap_lines(&answer),
            [
                "missing: site, pull request #7 of 2026-01-02: w",
                "missing: site, releases before 2026-01-02: limit",
                "missing: secret, everything: no access",
                "missing: 2 more; run `github-metrics doctor` or query the API",
            ]
        );
        assert!(gap_lines(&json!({})).is_empty(), "an API of an earlier version has no gaps");
    }

    #[test]
    fn an_answer_without_points_is_rejected() {
        let answer = json!({"points": [{"start": "2026-01-05", "end": "2026-01-12", "value": 3}]});
        assert_eq!(points(&answer).unwrap()[0].value, 3);
        assert!(points(&json!({})).is_none());
        assert!(points(&json!({"points": [{"start": "x"}]})).is_none());
    }
}
