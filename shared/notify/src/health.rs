//! How the last runs of a job went, such as the collection of an organization, and what is left of GitHub's limits.

use chrono::{DateTime, TimeDelta, Utc};
use gam_store::{
    CommitOutcome, Expectation, KeyPart, RecordCommit, RecordCommitId, RecordKey, RecordKind, RecordRange,
    RecordStore, commit_until_answered,
};
use serde::{Deserialize, Serialize};

use crate::error::{NotifyError, Result};
use crate::plain_text::{cut, one_line};

/// After how many failures in a row a job is failing.
const MAX_FAILURES: u32 = 3;
/// How many of the last runs the rate of errors is computed from.
const RATED_RUNS: u32 = 20;
/// Of how many of the last runs at least half must have failed for the job to be failing.
const MIN_RATED_RUNS: u32 = 10;
/// How much of a limit must be left, in percent.
pub(crate) const MIN_LEFT_PERCENT: u64 = 10;
/// How long a record is kept that no run renews.
const LIFETIME: TimeDelta = TimeDelta::days(30);
/// The longest error in a record, in characters.
const MAX_ERROR_CHARS: usize = 300;
/// How often a change is tried if others change the same record.
const MAX_CONFLICTS: u32 = 10;
/// Number of jobs that are read at once.
const PAGE_JOBS: usize = 100;

/// What is left of one of GitHub's limits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RateLimit {
    /// What is limited, such as `GraphQL`.
    pub name: String,
    /// The points of an hour.
    pub limit: u64,
    /// The points that are left.
    pub remaining: u64,
    /// When all points are there again, UTC.
    pub resets_at: DateTime<Utc>,
}

impl RateLimit {
    /// Returns whether little is left.
    pub(crate) fn is_low(&self, now: DateTime<Utc>) -> bool {
        now < self.resets_at && self.remaining * 100 < self.limit * MIN_LEFT_PERCENT
    }
}

/// How the last runs of a job went.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct RunHealth {
    /// Failures since the last run that succeeded.
    pub failures_in_a_row: u32,
    /// The last runs, the newest in the lowest bit; 1 is a failure.
    pub last_runs: u32,
    /// Number of runs that `last_runs` has, at most 20.
    pub rated_runs: u32,
    /// When the last run ended, UTC.
    pub last_run: Option<DateTime<Utc>>,
    /// When the last run that succeeded ended, UTC.
    pub last_success: Option<DateTime<Utc>>,
    /// Why the last run that failed did so.
    pub last_error: Option<String>,
    /// What was left of GitHub's limits after the last run that knew it.
    pub limit: Option<RateLimit>,
    /// How long the last run took that had work to do, in seconds.
    pub seconds: Option<f64>,
}

/// What a run of a job did.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct RunOutcome {
    /// Why it failed, without a secret. `None` if it succeeded.
    pub error: Option<String>,
    /// What was left of GitHub's limits afterwards, if that is known.
    pub limit: Option<RateLimit>,
    /// How long it took, in seconds, if it had work to do.
    pub seconds: Option<f64>,
}

impl RunHealth {
    /// Returns whether the job failed three times in a row, or in half of its last runs.
    pub fn is_failing(&self) -> bool {
        let failed = self.last_runs.count_ones();
        self.failures_in_a_row >= MAX_FAILURES
            || (self.rated_runs >= MIN_RATED_RUNS && failed * 2 >= self.rated_runs)
    }

    fn record(&mut self, outcome: &RunOutcome, now: DateTime<Utc>) {
        let is_failure = outcome.error.is_some();
        self.failures_in_a_row = if is_failure { self.failures_in_a_row.saturating_add(1) } else { 0 };
        self.last_runs = ((self.last_runs << 1) | u32::from(is_failure)) & ((1 << RATED_RUNS) - 1);
        self.rated_runs = (self.rated_runs + 1).min(RATED_RUNS);
        self.last_run = Some(now);
        match &outcome.error {
            Some(error) => self.last_error = Some(cut(&one_line(error), MAX_ERROR_CHARS)),
            None => self.last_success = Some(now),
        }
        self.limit = outcome.limit.clone().or(self.limit.take());
        self.seconds = outcome.seconds.or(self.seconds);
    }
}

fn health_key(org: &str, job: &str) -> Result<RecordKey> {
    Ok(RecordKey::new(Some(org), RecordKind::RunHealth, &[KeyPart::Text(job)])?)
}

/// Records that a run of a job of an organization, by its storage key, ended.
///
/// # Errors
/// If the store fails.
pub async fn record_run(
    records: &dyn RecordStore,
    (org, job): (&str, &str),
    outcome: &RunOutcome,
    now: DateTime<Utc>,
) -> Result<()> {
    let key = health_key(org, job)?;
    for _ in 0..MAX_CONFLICTS {
        let stored = records.get(&key, now).await?;
        // A record that cannot be read is replaced: it only counts.
        let mut health: RunHealth =
            stored.as_ref().and_then(|record| serde_json::from_str(&record.body).ok()).unwrap_or_default();
        health.record(outcome, now);
        let body = serde_json::to_string(&health).expect("the fields have only text keys");
        let expectation = Expectation::unchanged(stored.as_ref());
        let commit = RecordCommit::new(RecordCommitId::random()).put_until(
            key.clone(),
            body,
            now + LIFETIME,
            expectation,
        );
        if commit_until_answered(records, &commit, now).await? == CommitOutcome::Committed {
            return Ok(());
        }
    }
    Err(NotifyError::Contended { org: org.to_owned() })
}

/// Returns how the last runs of all jobs of an organization went, by the job's name.
///
/// # Errors
/// If the store fails.
pub async fn load_health(
    records: &dyn RecordStore,
    org: &str,
    now: DateTime<Utc>,
) -> Result<Vec<(String, RunHealth)>> {
    let range = RecordRange::new(Some(org), RecordKind::RunHealth, &[])?;
    let page = records.range(&range, PAGE_JOBS, now).await?;
    let parsed = page
        .into_iter()
        .filter_map(|(key, record)| Some((key.sort().to_owned(), serde_json::from_str(&record.body).ok()?)));
    Ok(parsed.collect())
}

#[cfg(test)]
mod tests {
    use gam_store::MemoryStore;

    use super::*;

    fn now() -> DateTime<Utc> {
        "2026-03-01T10:00:00Z".parse().unwrap()
    }

    fn outcome(error: Option<&str>) -> RunOutcome {
        RunOutcome { error: error.map(str::to_owned), ..RunOutcome::default() }
    }

    #[test]
    fn a_run_that_does_not_know_the_limit_or_had_nothing_to_do_keeps_what_is_known() {
        let limit = RateLimit { name: "GraphQL".to_owned(), limit: 5_000, remaining: 499, resets_at: now() };
        let mut health = RunHealth::default();
        health.record(&RunOutcome { limit: Some(limit.clone()), seconds: Some(2.5), error: None }, now());
        health.record(&outcome(Some("503")), now());
        assert_eq!((health.limit, health.seconds), (Some(limit), Some(2.5)));
    }

    #[tokio::test]
    async fn three_failures_in_a_row_are_failing() {
        let store = MemoryStore::default();
        let mut failing = Vec::new();
        for error in [Some("503"), Some("503"), Some("503"), None] {
            record_run(&store, ("acme", "collect"), &outcome(error), now()).await.unwrap();
            let jobs = load_health(&store, "acme", now()).await.unwrap();
            assert_eq!((jobs.len(), jobs[0].0.as_str()), (1, "collect"));
            failing.push(jobs[0].1.is_failing());
        }
        assert_eq!(failing, [false, false, true, false]);
    }

    #[test]
    fn half_of_the_last_runs_is_failing() {
        let mut health = RunHealth::default();
        for run in 0..9 {
            health.record(&outcome((run % 2 == 0).then_some("x")), now());
        }
        assert!(!health.is_failing(), "too few runs");
        health.record(&RunOutcome::default(), now());
        assert!(health.is_failing());
        for _ in 0..11 {
            health.record(&RunOutcome::default(), now());
        }
        assert!(!health.is_failing());
    }

    #[test]
    fn a_limit_is_low_until_it_resets() {
        let limit = RateLimit { name: "GraphQL".to_owned(), limit: 5_000, remaining: 499, resets_at: now() };
        assert!(limit.is_low(now() - TimeDelta::minutes(1)) && !limit.is_low(now()));
        let enough = RateLimit { remaining: 500, ..limit };
        assert!(!enough.is_low(now() - TimeDelta::minutes(1)));
    }
}
