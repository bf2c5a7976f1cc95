//! The numbers of digests, from the same queries as the answers of the API.

use async_trait::async_trait;
use chrono::{DateTime, Days, NaiveDate, Utc};
use gam_model::{Range, TimeZone};
use gam_notify::{DigestNote, DigestNumber, DigestRequest, DigestSource, NoteRule, NotifyError};
use gam_query::{
    BotFilter, MetricValue, MetricValues, MetricsAnswer, QueryPorts, SubjectRef, compared_metrics, metrics,
};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// What is encoded in a part of a path.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');
/// The metrics of a digest, in its order.
const METRICS: [&str; 9] = [
    "commits",
    "prs_opened",
    "prs_merged",
    "reviews",
    "issues_closed",
    "deploys",
    "deploy_failures",
    "cycle_time_hours",
    "first_review_hours",
];
/// How many periods before are the usual range of a distribution.
const USUAL_PERIODS: u64 = 4;
/// How many durations a period must have, and the periods before.
const MIN_DURATIONS: (u64, u64) = (3, 10);
/// How many merged pull requests a period must have for the number of reviews to stand out.
const MIN_MERGED: u64 = 5;

/// Computes digests by queries.
pub struct QueryDigests {
    ports: QueryPorts,
}

impl QueryDigests {
    /// Connects to the ports of queries.
    pub fn new(ports: QueryPorts) -> Self {
        QueryDigests { ports }
    }

    async fn notes(
        &self,
        request: &DigestRequest,
        (name, subject): (Option<&str>, &SubjectRef),
        answer: &MetricsAnswer,
        range: Range,
    ) -> Result<Vec<DigestNote>, NotifyError> {
        let link = link(request, subject);
        let note = |rule, metric: &str, value: f64, compared_with: f64| DigestNote {
            rule,
            subject: name.map(str::to_owned),
            metric: metric.to_owned(),
            value,
            compared_with,
            link: link.clone(),
        };
        let count = |metric: &str| as_count(&answer.metrics, metric);
        let mut notes = Vec::new();
        let (failed, deployed) = (count("deploy_failures"), count("deploys"));
        if failed > 0 {
            let all = failed + deployed;
            notes.push(note(NoteRule::DeploysFailed, "deploy_failures", failed as f64, all as f64));
        }
        let (reviews, merged) = (count("reviews"), count("prs_merged"));
        if merged >= MIN_MERGED && reviews < merged {
            notes.push(note(NoteRule::FewReviews, "reviews", reviews as f64, merged as f64));
        }
        let days = Days::new(u64::from(request.every.days()) * USUAL_PERIODS);
        let before = range.since().checked_sub_days(days).and_then(|since| Range::new(since, range.since()));
        if let Some(before) = before {
            let usual = metrics(&self.ports, &request.org, subject, before, BotFilter::Auto)
                .await
                .map_err(failed_query)?;
            for metric in ["cycle_time_hours", "first_review_hours"] {
                if let (Some((now, value)), Some((then, median))) =
                    (durations(&answer.metrics, metric), durations(&usual.metrics, metric))
                    && now >= MIN_DURATIONS.0
                    && then >= MIN_DURATIONS.1
                    && value > 2.0 * median
                {
                    notes.push(note(NoteRule::SlowerThanUsual, metric, value, median));
                }
            }
        }
        Ok(notes)
    }
}

#[async_trait]
impl DigestSource for QueryDigests {
    async fn numbers(
        &self,
        request: &DigestRequest,
    ) -> Result<(Vec<DigestNumber>, Vec<DigestNote>), NotifyError> {
        let range = Range::new(request.since, request.until)
            .ok_or_else(|| NotifyError::Facts { what: "the days of a digest are no range".to_owned() })?;
        let (mut numbers, mut notes) = (Vec::new(), Vec::new());
        for (name, subject) in subjects(request) {
            let answer = compared_metrics(&self.ports, &request.org, &subject, range, BotFilter::Auto).await;
            let answer = match answer {
                Ok(answer) => answer,
                // A repository or member that was never seen stops no digest.
                Err(gam_query::QueryError::NotFound { .. }) if name.is_some() => continue,
                Err(error) => return Err(failed_query(error)),
            };
            let is_member = matches!(subject, SubjectRef::Member(_));
            // Nothing stands out about a person.
            if !is_member {
                notes.extend(self.notes(request, (name.as_deref(), &subject), &answer, range).await?);
            }
            let previous = answer.previous.flatten();
            for metric in METRICS {
                let value = |values: &MetricValues| value_of(values, metric);
                let Some((value_now, is_hours)) = value(&answer.metrics) else { continue };
                numbers.push(DigestNumber {
                    metric: metric.to_owned(),
                    subject: name.clone(),
                    value: value_now,
                    previous: previous.as_ref().and_then(|before| value(&before.values.metrics)?.0),
                    is_hours,
                    link: link(request, &subject),
                });
            }
            let zone = TimeZone::parse(answer.context.timezone).unwrap_or_default();
            if name.is_none() && !reaches(answer.coverage.complete_until, request.until, zone) {
                notes.push(DigestNote {
                    rule: NoteRule::Incomplete,
                    subject: None,
                    metric: "complete_until".to_owned(),
                    value: 0.0,
                    compared_with: 0.0,
                    link: link(request, &subject),
                });
            }
        }
        Ok((numbers, notes))
    }
}

fn failed_query(error: gam_query::QueryError) -> NotifyError {
    NotifyError::Facts { what: gam_model::error_chain(&error).to_string() }
}

/// Returns what the digest has numbers of, with their names: the repositories and members that it names, or the
/// organization.
fn subjects(request: &DigestRequest) -> Vec<(Option<String>, SubjectRef)> {
    let repos = request
        .repositories
        .iter()
        .map(|repo| (Some(repo.clone()), SubjectRef::Repo { name: repo.clone(), id: None }));
    let members =
        request.members.iter().map(|member| (Some(member.clone()), SubjectRef::Member(member.clone())));
    let named: Vec<_> = repos.chain(members).collect();
    if named.is_empty() { vec![(None, SubjectRef::Org)] } else { named }
}

/// Returns the path of the page with the same numbers.
fn link(request: &DigestRequest, subject: &SubjectRef) -> String {
    let encode = |text: &str| utf8_percent_encode(text, SEGMENT).to_string();
    let DigestRequest { org, since, until, .. } = request;
    let path = match subject {
        SubjectRef::Org => String::new(),
        SubjectRef::Repo { name, .. } => format!("/repos/{}", encode(name)),
        SubjectRef::Member(member) => format!("/members/{}", encode(member)),
    };
    format!("/orgs/{}{path}?since={since}&until={until}", encode(org))
}

/// Returns the value of a metric: the count, or the median of a distribution; and whether it is hours.
fn value_of(values: &MetricValues, metric: &str) -> Option<(Option<f64>, bool)> {
    match values.get(metric)? {
        MetricValue::Count(count) => Some((Some(count as f64), false)),
        MetricValue::Distribution { p50, .. } => Some((p50, true)),
    }
}

fn as_count(values: &MetricValues, metric: &str) -> u64 {
    match values.get(metric) {
        Some(MetricValue::Count(count)) => count,
        _ => 0,
    }
}

/// Returns whether complete data reaches the beginning of a day of the organization's time zone.
fn reaches(complete_until: Option<DateTime<Utc>>, day: NaiveDate, zone: TimeZone) -> bool {
    complete_until.is_some_and(|until| until >= zone.start_of_day(day))
}

/// Returns the number of durations and their median.
fn durations(values: &MetricValues, metric: &str) -> Option<(u64, f64)> {
    match values.get(metric)? {
        MetricValue::Distribution { count, p50, .. } => Some((count, p50?)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_reaches_a_day_when_the_day_begins_in_the_time_zone_of_the_organization() {
        let day: NaiveDate = "2026-03-04".parse().unwrap();
        for (name, start) in [
            ("UTC", "2026-03-04T00:00:00Z"),
            ("Asia/Tokyo", "2026-03-03T15:00:00Z"),
            ("America/Los_Angeles", "2026-03-04T08:00:00Z"),
        ] {
            let zone = TimeZone::parse(name).unwrap();
            let start: DateTime<Utc> = start.parse().unwrap();
            assert!(reaches(Some(start), day, zone), "{name}");
            assert!(!reaches(Some(start - chrono::TimeDelta::seconds(1)), day, zone), "{name}");
        }
        assert!(!reaches(None, day, TimeZone::UTC));
    }
}
