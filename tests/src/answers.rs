//! Answers of the API: compares them with the reference, or with other answers.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{Datelike, Days, NaiveDate};
use serde_json::Value;

use crate::github::World;
use crate::github::world::Time;
use crate::http::{encode_segment, get};
use crate::reference::{self, Bots, COUNTS, Credit, DISTRIBUTIONS, Subject};

/// Parses a day written as `YYYY-MM-DD`.
///
/// # Panics
/// If it is not a day.
pub fn day(text: &str) -> NaiveDate {
    text.parse().unwrap_or_else(|_| panic!("{text} is not a day"))
}

/// Returns the path of a subject's metrics.
pub fn metrics_path(world: &World, now: Time, subject: &Subject) -> String {
    let org = encode_segment(&world.org);
    match subject {
        Subject::Org => format!("/api/v1/orgs/{org}/metrics"),
        Subject::Repo(id) => {
            let repo = world.repos.iter().find(|repo| repo.id == *id).expect("a repository of the world");
            format!("/api/v1/orgs/{org}/repos/{}/metrics", encode_segment(repo.name(now)))
        }
        Subject::Member(name) => format!("/api/v1/orgs/{org}/members/{}/metrics", encode_segment(name)),
    }
}

/// Returns every subject that has a credit.
pub fn credited_subjects(credits: &[Credit]) -> BTreeSet<Subject> {
    let repos = credits.iter().map(|credit| Subject::Repo(credit.repo));
    let members = credits.iter().filter(|credit| !credit.member.is_nobody());
    let members = members.map(|credit| Subject::Member(credit.member.name.clone()));
    std::iter::once(Subject::Org).chain(repos).chain(members).collect()
}

/// Compares the API's answers with the reference: every metric of every subject over every range and bot
/// filter, and the organization's series by day, week and month.
///
/// # Panics
/// If an answer differs.
pub fn assert_matches_reference(address: &str, world: &World, now: Time, ranges: &[(NaiveDate, NaiveDate)]) {
    let credits = reference::credits(world, now);
    let mut differences = Vec::new();
    for subject in credited_subjects(&credits) {
        let path = metrics_path(world, now, &subject);
        for (since, until) in ranges {
            for (bots, name) in Bots::ALL {
                let target = format!("{path}?since={since}&until={until}&bots={name}");
                let answer = get(address, &target).json();
                let selected = reference::select(&credits, &subject, *since, *until, bots);
                let expected = reference::metrics(&selected, &subject, bots);
                for (metric, expected) in &expected {
                    let comparison = reference::compare(metric, expected, &answer["metrics"][metric]);
                    differences.extend(comparison.err().map(|why| format!("{target}: {why}")));
                }
                if subject == Subject::Org {
                    differences.extend(
                        totals_difference(&credits, bots, &answer["metrics"])
                            .map(|why| format!("{target}: {why}")),
                    );
                }
            }
        }
    }
    for (since, until) in ranges {
        differences.extend(series_differences(address, world, &credits, *since, *until));
    }
    assert!(
        differences.is_empty(),
        "at {now}, {} differences:\n{}",
        differences.len(),
        differences.join("\n")
    );
}

fn totals_difference(credits: &[Credit], bots: Bots, answer: &Value) -> Option<String> {
    let all_credits = reference::select(credits, &Subject::Org, NaiveDate::MIN, NaiveDate::MAX, bots);
    let of_repos = credits.iter().filter(|credit| bots.includes(credit));
    let repos: BTreeSet<i64> = of_repos.map(|credit| credit.repo).collect();
    let members = reference::active_members(all_credits.iter().copied(), &Subject::Org, bots);
    let expected = (Some(repos.len() as u64), Some(members.len() as u64));
    let actual = (answer["total_repos"].as_u64(), answer["total_members"].as_u64());
    (actual != expected).then(|| format!("totals are {actual:?}, not {expected:?}"))
}

/// Returns the first day of a day's bucket, and the day after its last.
pub fn bucket_bounds(granularity: &str, day: NaiveDate) -> (NaiveDate, NaiveDate) {
    match granularity {
        "week" => {
            let monday = day - Days::new(u64::from(day.weekday().num_days_from_monday()));
            (monday, monday + Days::new(7))
        }
        "month" => {
            let first = day.with_day(1).expect("a first day");
            (first, (first + Days::new(31)).with_day(1).expect("a first day"))
        }
        _ => (day, day + Days::new(1)),
    }
}

fn series_differences(
    address: &str,
    world: &World,
    credits: &[Credit],
    since: NaiveDate,
    until: NaiveDate,
) -> Vec<String> {
    let mut differences = Vec::new();
    for granularity in ["day", "week", "month"] {
        let mut expected = Vec::new();
        let mut at = since;
        while at < until {
            let (start, end) = bucket_bounds(granularity, at);
            let clipped = (start.max(since), end.min(until));
            let credits = reference::select(credits, &Subject::Org, clipped.0, clipped.1, Bots::Auto);
            expected.push((start, end, reference::metrics(&credits, &Subject::Org, Bots::Auto)));
            at = end;
        }
        for metric in COUNTS.iter().chain(&DISTRIBUTIONS) {
            let target = format!(
                "/api/v1/orgs/{}/metrics/timeseries?metric={metric}&granularity={granularity}&since={since}&until={until}",
                world.org
            );
            let answer = get(address, &target).json();
            let points = answer["points"].as_array().cloned().unwrap_or_default();
            if points.len() != expected.len() {
                differences.push(format!("{target}: {} points, not {}", points.len(), expected.len()));
            }
            for (point, (start, end, expected)) in points.iter().zip(&expected) {
                if point["start"] != start.to_string() || point["end"] != end.to_string() {
                    differences.push(format!("{target}: {point} is not from {start} to {end}"));
                }
                let comparison = reference::compare(metric, &expected[metric], &point["value"]);
                differences.extend(comparison.err().map(|why| format!("{target}: {start}: {why}")));
            }
        }
    }
    differences
}

/// Returns request targets that cover every subject and metric of the world.
pub fn sample_targets(world: &World, now: Time, ranges: &[(NaiveDate, NaiveDate)]) -> Vec<String> {
    let credits = reference::credits(world, now);
    let org = &world.org;
    let mut targets = vec!["/api/v1/orgs".to_owned()];
    for (since, until) in ranges {
        let range = format!("since={since}&until={until}");
        for subject in credited_subjects(&credits) {
            let path = metrics_path(world, now, &subject);
            targets.extend(Bots::ALL.map(|(_, bots)| format!("{path}?{range}&bots={bots}")));
            for metric in ["commits", "active_members", "cycle_time_hours", "reviews", "prs_closed"] {
                targets.push(format!("{path}/timeseries?metric={metric}&granularity=week&{range}"));
            }
        }
        for metric in COUNTS.iter().chain(&DISTRIBUTIONS) {
            for granularity in ["day", "month"] {
                targets.push(format!(
                    "/api/v1/orgs/{org}/metrics/timeseries?metric={metric}&granularity={granularity}&{range}&bots=include"
                ));
            }
        }
        for (list, sort) in [("members", "commits"), ("members", "reviews"), ("repos", "cycle_time_hours")] {
            targets.push(format!("/api/v1/orgs/{org}/{list}?sort={sort}&{range}&bots=include&limit=1000"));
        }
    }
    targets
}

/// Fetches the answers to the sample requests, by target. The values that describe the coverage are removed: they
/// depend on when the program collected, not on what it collected.
pub fn fetch_all(
    address: &str,
    world: &World,
    now: Time,
    ranges: &[(NaiveDate, NaiveDate)],
) -> BTreeMap<String, String> {
    let answers = sample_targets(world, now, ranges).into_iter().map(|target| {
        let answer = get(address, &target);
        assert_eq!(answer.status, 200, "{target}: {}", answer.text());
        let text = without_coverage(&answer.text());
        (target, text)
    });
    answers.collect()
}

/// Removes the values of `complete_since`, `complete_until`, `gaps` and `gap_count` from an answer.
pub fn without_coverage(text: &str) -> String {
    let names = ["\"complete_since\":", "\"complete_until\":", "\"gaps\":", "\"gap_count\":"];
    names.iter().fold(text.to_owned(), |text, name| remove_value(&text, name))
}

/// Removes the value that follows the name.
fn remove_value(text: &str, name: &str) -> String {
    match text.split_once(name) {
        Some((before, after)) => format!("{before}{name}{}", &after[value_length(after)..]),
        None => text.to_owned(),
    }
}

/// Returns the length of the JSON value at the beginning of the text.
fn value_length(text: &str) -> usize {
    let (mut depth, mut in_string, mut escaped) = (0, false, false);
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' if in_string => escaped = true,
            '"' => in_string = !in_string,
            _ if in_string => {}
            ',' | '}' | ']' if depth == 0 => return at,
            '[' | '{' => depth += 1,
            ']' | '}' => depth -= 1,
            _ => {}
        }
    }
    text.len()
}

/// Asserts that the answers are the same, and prints those that differ.
#[track_caller]
pub fn assert_same_answers(expected: &BTreeMap<String, String>, actual: &BTreeMap<String, String>) {
    assert_eq!(expected.len(), actual.len(), "the number of answers");
    let differ = expected.iter().filter(|(target, text)| actual.get(*target) != Some(text));
    let differ: Vec<String> =
        differ.map(|(target, text)| format!("{target}\n  {text}\n  {:?}", actual.get(target))).collect();
    assert!(differ.is_empty(), "{} answers differ:\n{}", differ.len(), differ.join("\n"));
}
