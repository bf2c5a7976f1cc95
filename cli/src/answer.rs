//! Reads what `show` and `export` need out of answers of the HTTP API.

use chrono::{DateTime, NaiveDate, SecondsFormat, Utc};
use gam_model::{Range, TimeZone};
use gam_query::{AnswerContext, CoverageAnswer, Gap};

use crate::args;

/// Returns the range that an answer covers, or `None` if it is empty.
pub(crate) fn range(context: &AnswerContext) -> Option<Range> {
    Range::new(context.since, context.until)
}

/// Returns the first day with complete data, or `None` if the answer does not contain it.
pub(crate) fn complete_since(context: &AnswerContext, coverage: &CoverageAnswer) -> Option<NaiveDate> {
    let at = coverage.complete_since?;
    let zone = time_zone(context);
    let day = zone.day(at);
    // A day that was read from its middle on is not complete.
    if zone.start_of_day(day) < at { day.succ_opt() } else { Some(day) }
}

/// Returns the time zone whose days an answer has.
pub(crate) fn time_zone(context: &AnswerContext) -> TimeZone {
    TimeZone::parse(context.timezone).unwrap_or(TimeZone::UTC)
}

/// Returns a warning, with the command that helps, if data is incomplete at the beginning of a range that
/// begins with `since`.
pub(crate) fn incomplete_warning(
    context: &AnswerContext,
    coverage: &CoverageAnswer,
    since: NaiveDate,
) -> Option<String> {
    let complete = complete_since(context, coverage).filter(|complete| since < *complete)?;
    let org = context.org.as_str();
    let repo = context.repo.as_deref();
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
pub(crate) fn coverage_text(context: &AnswerContext, coverage: &CoverageAnswer) -> Option<String> {
    let until = coverage.complete_until?.to_rfc3339_opts(SecondsFormat::AutoSi, true);
    Some(match complete_since(context, coverage) {
        Some(since) => format!("Data is complete from {since} to {until}"),
        None => format!("Data is complete up to {until}"),
    })
}

/// Returns a line for each gap in the data, and one for those that the answer does not list.
pub(crate) fn gap_lines(coverage: &CoverageAnswer) -> Vec<String> {
    let gaps = &coverage.gaps;
    let mut lines: Vec<String> = gaps.iter().map(|gap| format!("missing: {}", gap_text(gap))).collect();
    let more = coverage.gap_count.saturating_sub(gaps.len() as u64);
    if more > 0 {
        lines.push(format!("missing: {more} more; run `github-metrics doctor` or query the API"));
    }
    lines
}

/// Describes a gap: `site, pull request #7 (from 2026-01-02): GitHub does not return it`.
pub(crate) fn gap_text(gap: &Gap) -> String {
    let what = match (gap.kind.as_str(), gap.number) {
        ("repository" | "blocked", _) => "everything".to_owned(),
        ("line_counts", _) => "changed lines".to_owned(),
        ("pull_requests", Some(number)) => format!("pull request #{number}"),
        ("issues", Some(number)) => format!("issue #{number}"),
        (kind, Some(id)) => format!("{} with id {id}", kind.trim_end_matches('s')),
        (kind, None) => kind.replace('_', " "),
    };
    let day = |at: Option<DateTime<Utc>>| at.map(|at| at.date_naive());
    let span = match (day(gap.from), day(gap.until)) {
        (Some(from), Some(until)) if from == until => format!(" of {from}"),
        (Some(from), Some(until)) => format!(" from {from} to {until}"),
        (Some(from), None) => format!(" since {from}"),
        (None, Some(until)) => format!(" before {until}"),
        (None, None) => String::new(),
    };
    format!("{}, {what}{span}: {}", gap.repo, gap.why)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// Returns the parts of an answer about the organization `org`.
    fn answer(org: &str, coverage: Value) -> (AnswerContext, CoverageAnswer) {
        let context = json!({ "org": org, "since": "2026-05-01", "until": "2026-08-01" });
        (serde_json::from_value(context).unwrap(), serde_json::from_value(coverage).unwrap())
    }

    #[test]
    fn incomplete_numbers_are_reported() {
        let day = |text: &str| -> NaiveDate { text.parse().unwrap() };
        let until = "2026-08-01T12:00:00Z";
        let complete = json!({ "complete_since": "2026-05-03T00:00:00Z", "complete_until": until });
        let (mut context, coverage) = answer("Acme", complete.clone());
        let warning = |context: &AnswerContext, since| incomplete_warning(context, &coverage, day(since));
        assert_eq!(
            coverage_text(&context, &coverage).unwrap(),
            format!("Data is complete from 2026-05-03 to {until}")
        );
        assert_eq!(
            warning(&context, "2026-05-02").unwrap(),
            "numbers before 2026-05-03 are incomplete: run `github-metrics collect Acme --since 2026-05-02` to \
             complete them"
        );
        assert!(warning(&context, "2026-05-03").is_none());
        context.repo = Some("site".into());
        let of_repo = warning(&context, "2026-05-02").unwrap();
        assert!(of_repo.contains("--since 2026-05-02 --repo site`"), "{of_repo}");
        let (hostile, _) = answer("a; rm -rf ~", complete);
        let hostile = warning(&hostile, "2026-05-02").unwrap();
        assert!(!hostile.contains("github-metrics"), "{hostile}");
        // Servers of an earlier version return `complete_until` alone. A sample has neither.
        let (context, old) = answer("Acme", json!({ "complete_until": until }));
        assert_eq!(coverage_text(&context, &old).unwrap(), format!("Data is complete up to {until}"));
        assert!(incomplete_warning(&context, &old, day("2026-05-02")).is_none());
        let (context, sample) = answer("Acme", json!({ "complete_since": null, "complete_until": null }));
        assert!(coverage_text(&context, &sample).is_none());
    }

    #[test]
    fn gaps_name_what_is_missing_and_when() {
        let from = "2026-01-02T10:00:00Z";
        let pull = json!({"repo": "site", "kind": "pull_requests", "number": 7, "from": from, "until": from, "why": "w"});
        let releases =
            json!({"repo": "site", "kind": "releases", "from": null, "until": from, "why": "limit"});
        let secret =
            json!({"repo": "secret", "kind": "repository", "from": null, "until": null, "why": "no access"});
        let (_, coverage) = answer("Acme", json!({ "gaps": [pull, releases, secret], "gap_count": 5 }));
        assert_eq!(
            gap_lines(&coverage),
            [
                "missing: site, pull request #7 of 2026-01-02: w",
                "missing: site, releases before 2026-01-02: limit",
                "missing: secret, everything: no access",
                "missing: 2 more; run `github-metrics doctor` or query the API",
            ]
        );
        let (_, none) = answer("Acme", json!({}));
        assert!(gap_lines(&none).is_empty(), "an API of an earlier version has no gaps");
    }
}
