//! Conditions: what lasts, unlike a row of the audit log. They are reported when they begin, again after some time, and
//! when they end.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use gam_model::{NotificationKind, Severity};

use crate::health::{MIN_LEFT_PERCENT, RunHealth};
use crate::notification::Notification;
use crate::state::ActiveCondition;

/// Something that is the case now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condition {
    /// Identifies it as long as it lasts, such as `data_late`.
    pub key: String,
    /// What it is about.
    pub kind: NotificationKind,
    /// What it is the case for.
    pub subject: String,
    /// Why or how.
    pub detail: Option<String>,
    /// The path of the page that shows it.
    pub link: Option<String>,
}

/// What is the case for an organization now.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct OrgFacts {
    /// Until when GitHub has been read completely, UTC. `None` if nothing was read yet.
    pub complete_until: Option<DateTime<Utc>>,
    /// Number of gaps, and the first of them for people.
    pub gaps: Option<(usize, String)>,
    /// The number of the last segment of the audit log, and its hash.
    pub audit_head: Option<(u64, String)>,
}

impl OrgFacts {
    /// Returns the conditions that follow from the facts. `late_hours` says after how many hours data is late.
    pub(crate) fn conditions(&self, org: &str, late_hours: u32, now: DateTime<Utc>) -> Vec<Condition> {
        let link = Some(format!("/orgs/{org}"));
        let late = self.complete_until.filter(|until| now - *until > TimeDelta::hours(i64::from(late_hours)));
        let late = late.map(|until| Condition {
            key: "data_late".to_owned(),
            kind: NotificationKind::DataLate,
            subject: org.to_owned(),
            detail: Some(format!("complete until {}", until.format("%Y-%m-%d %H:%M UTC"))),
            link: link.clone(),
        });
        let gaps = self.gaps.as_ref().map(|(count, first)| Condition {
            key: "data_incomplete".to_owned(),
            kind: NotificationKind::DataIncomplete,
            subject: org.to_owned(),
            detail: Some(if *count > 1 { format!("{count} gaps, such as {first}") } else { first.clone() }),
            link: link.clone(),
        });
        late.into_iter().chain(gaps).collect()
    }
}

/// Returns the conditions that follow from how the last runs of jobs went.
pub(crate) fn health_conditions(
    org: &str,
    jobs: &[(String, RunHealth)],
    now: DateTime<Utc>,
) -> Vec<Condition> {
    let mut conditions = Vec::new();
    for (job, health) in jobs {
        if health.is_failing() {
            conditions.push(Condition {
                key: format!("ingest_failed:{job}"),
                kind: NotificationKind::IngestFailed,
                subject: format!("{job} {org}"),
                detail: health.last_error.clone(),
                link: Some(format!("/orgs/{org}")),
            });
        }
        if let Some(limit) = &health.limit
            && limit.is_low(now)
        {
            conditions.push(Condition {
                key: format!("budget_low:{job}"),
                kind: NotificationKind::BudgetLow,
                subject: limit.name.clone(),
                detail: Some(format!(
                    "{} of {} left, less than {MIN_LEFT_PERCENT} %, until {}",
                    limit.remaining,
                    limit.limit,
                    limit.resets_at.format("%H:%M UTC")
                )),
                link: None,
            });
        }
    }
    conditions
}

/// Compares what is the case with what was reported. Returns what to report, and changes what is known.
pub(crate) fn follow(
    known: &mut BTreeMap<String, ActiveCondition>,
    conditions: &[Condition],
    repeat: TimeDelta,
    now: DateTime<Utc>,
) -> Vec<Notification> {
    let mut reports = Vec::new();
    for condition in conditions {
        let report = |since: DateTime<Utc>| {
            let id = format!("{}:{}", condition.key, since.timestamp_millis());
            let mut report = Notification::new(id, condition.kind, now, &condition.subject);
            report.detail.clone_from(&condition.detail);
            report.link.clone_from(&condition.link);
            report
        };
        match known.get_mut(&condition.key) {
            None => {
                let active = ActiveCondition {
                    kind: condition.kind,
                    subject: condition.subject.clone(),
                    since: now,
                    reported_at: now,
                };
                known.insert(condition.key.clone(), active);
                reports.push(report(now));
            }
            Some(active) if now - active.reported_at >= repeat => {
                active.reported_at = now;
                reports.push(report(active.since));
            }
            Some(_) => {}
        }
    }
    let is_over = |key: &String| !conditions.iter().any(|condition| condition.key == *key);
    let over: Vec<String> = known.keys().filter(|key| is_over(key)).cloned().collect();
    for key in over {
        let Some(active) = known.remove(&key) else { continue };
        let id = format!("{key}:{}:over", active.since.timestamp_millis());
        let mut report = Notification::new(id, active.kind, now, active.subject);
        // Whoever was sent the beginning is sent the end, but not in quiet hours.
        report.severity = active.kind.severity().min(Severity::Warning);
        report.is_over = true;
        reports.push(report);
    }
    reports
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(hour: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_772_000_000 + hour * 3_600, 0).unwrap()
    }

    #[test]
    fn a_condition_is_reported_again_after_some_time_and_when_it_ends() {
        let facts = OrgFacts { complete_until: Some(at(-30)), ..OrgFacts::default() };
        let mut known = BTreeMap::new();
        let mut reports = Vec::new();
        for hour in 0..50 {
            let conditions = if hour < 40 { facts.conditions("acme", 26, at(hour)) } else { Vec::new() };
            let found = follow(&mut known, &conditions, TimeDelta::hours(24), at(hour));
            reports.extend(found.into_iter().map(|report| (hour, report.is_over, report.id)));
        }
        let times: Vec<_> = reports.iter().map(|(hour, is_over, _)| (*hour, *is_over)).collect();
        assert_eq!(times, [(0, false), (24, false), (40, true)]);
        assert_eq!(reports[0].2, reports[1].2, "it is the same condition");
        assert!(known.is_empty());
    }

    #[test]
    fn fresh_and_complete_data_is_no_condition() {
        let fresh = OrgFacts { complete_until: Some(at(-26)), ..OrgFacts::default() };
        assert!(fresh.conditions("acme", 26, at(0)).is_empty());
        assert!(OrgFacts::default().conditions("acme", 26, at(0)).is_empty(), "nothing was ever read");
        let gaps = OrgFacts { gaps: Some((2, "site: no permission".to_owned())), ..fresh };
        assert_eq!(
            gaps.conditions("acme", 26, at(0))[0].detail.as_deref(),
            Some("2 gaps, such as site: no permission")
        );
    }
}
