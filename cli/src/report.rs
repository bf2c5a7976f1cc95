//! What the reports of several commands have in common.

use chrono::{DateTime, Utc};
use gam_collect::Limited;
use gam_github::Usage;
use serde_json::json;

use crate::format::{bytes, count, utc_from};

/// Returns the names without duplicates, which may differ in case. The first spelling stays.
pub(crate) fn unique_names(names: &[String]) -> Vec<&str> {
    let mut unique: Vec<&str> = Vec::new();
    for name in names {
        if !unique.iter().any(|earlier| earlier.eq_ignore_ascii_case(name)) {
            unique.push(name);
        }
    }
    unique
}

/// Formats what requests to GitHub cost, without the size of the answers: `17 requests, 21 points, 1 retry`.
pub(crate) fn request_cost(usage: &Usage) -> String {
    let mut text = format!(
        "{}, {}",
        count(usage.requests as usize, "request", "requests"),
        count(usage.points as usize, "point", "points")
    );
    if usage.retries > 0 {
        text.push_str(&format!(", {}", count(usage.retries as usize, "retry", "retries")));
    }
    text
}

/// Formats everything that requests to GitHub cost: `17 requests, 21 points, 1 retry, 2.60 MB`.
pub(crate) fn total_cost(usage: &Usage) -> String {
    format!("{}, {}", request_cost(usage), bytes(usage.bytes))
}

/// How a run continues that a rate limit stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Continuation {
    /// The user runs the command again.
    RunAgain,
    /// A later round of `up` continues.
    NextRound,
}

/// Says that a rate limit stopped the run, why, when the limit resets, and how the run continues.
pub(crate) fn limit_message(
    org: &str,
    limited: &Limited,
    now: DateTime<Utc>,
    continuation: Continuation,
) -> String {
    // GitHub's message may be several sentences on several lines.
    let words: Vec<&str> = limited.why.split_whitespace().collect();
    let why = match words.join(" ").trim_end_matches('.') {
        "" => String::new(),
        why => format!(" ({why})"),
    };
    let reset = limited.until.map(|until| format!("the limit resets at {}", utc_from(now, until)));
    let next = match (reset, continuation) {
        (Some(reset), Continuation::RunAgain) => format!("{reset}, run again then"),
        (Some(reset), Continuation::NextRound) => format!("{reset}, a later round continues after that"),
        (None, Continuation::RunAgain) => "run again in a few minutes".to_owned(),
        (None, Continuation::NextRound) => "the next round continues".to_owned(),
    };
    format!("{org}: stopped by a rate limit{why}; progress is saved; {next}")
}

/// Returns repositories with the reason why each failed, as JSON.
pub(crate) fn reasons_as_json(repos: &[(String, String)]) -> Vec<serde_json::Value> {
    repos.iter().map(|(repo, why)| json!({"repo": repo, "why": why})).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_whatever_their_case() {
        let names = ["acme", "ACME", "other"].map(str::to_owned);
        assert_eq!(unique_names(&names), ["acme", "other"]);
    }

    #[test]
    fn costs_omit_what_is_zero() {
        let usage = Usage { requests: 17, points: 1, retries: 1, bytes: 2_600_000 };
        assert_eq!(total_cost(&usage), "17 requests, 1 point, 1 retry, 2.60 MB");
        assert_eq!(request_cost(&Usage { retries: 0, ..usage }), "17 requests, 1 point");
    }

    #[test]
    fn a_rate_limit_is_reported_with_reason_and_reset() {
        let now = DateTime::from_timestamp(1_700_000_000, 0).unwrap();
        let until = Some(now + chrono::TimeDelta::minutes(5));
        let limited = |why: &str| Limited { until, why: why.into() };
        let message = |why: &str| limit_message("Acme", &limited(why), now, Continuation::RunAgain);
        let end = "; progress is saved; the limit resets at 2023-11-14 22:18:20 UTC (in 5m), run again then";
        assert_eq!(message(""), format!("Acme: stopped by a rate limit{end}"));
        assert_eq!(
            message("Too much.\nPlease wait."),
            format!("Acme: stopped by a rate limit (Too much. Please wait){end}")
        );
        let round = limit_message("Acme", &limited(""), now, Continuation::NextRound);
        assert!(round.ends_with("(in 5m), a later round continues after that"), "{round}");
        assert!(!round.contains("run again"), "{round}");
        let unknown = Limited { until: None, why: String::new() };
        assert!(limit_message("Acme", &unknown, now, Continuation::RunAgain).ends_with("in a few minutes"));
    }
}
