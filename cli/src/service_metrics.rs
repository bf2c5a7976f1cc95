//! Numbers about the service itself, for `/metrics`.

use std::sync::Arc;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use gam_http::{Gauge, ServiceMetrics};
use gam_lake::ObjectStore;
use gam_model::Clock;
use gam_notify::{FactSource, NotifyOrg, RunHealth, channel_status, load_health};
use gam_store::keys::CheckpointKey;
use gam_store::{Checkpoint, OrgCheckpoint, Record, RecordKey, RecordKind, RecordRange, RecordStore};
use gam_work::order::WebhookOrder;

use crate::notify;
use crate::open::OpenStore;

/// How many records of a kind are counted.
const MAX_COUNTED: usize = 1_000;

/// Gauges of the store.
pub(crate) struct StoreMetrics {
    records: Arc<dyn RecordStore>,
    checkpoints: Arc<dyn gam_store::CheckpointStore>,
    lake: Arc<dyn ObjectStore>,
    names: Arc<dyn gam_store::NameStore>,
    facts: Arc<dyn FactSource>,
    clock: Arc<dyn Clock>,
}

impl StoreMetrics {
    /// Connects to a store.
    pub(crate) fn new(store: &OpenStore) -> Self {
        let query = store.query_ports();
        let records = store.audit_ports_for_reading().records;
        let facts = Arc::new(notify::facts(store, records.clone()));
        StoreMetrics {
            records,
            checkpoints: query.checkpoints,
            lake: store.lake(),
            names: query.names,
            facts,
            clock: query.clock,
        }
    }

    async fn keys(&self) -> Option<Vec<String>> {
        let registry = gam_lake::registry::read(&*self.lake).await.ok()?;
        let mut keys: Vec<String> = registry.keys().map(str::to_owned).collect();
        keys.extend(self.names.orgs().await.ok()?.iter().map(|org| registry.key_of(org)));
        keys.sort();
        keys.dedup();
        Some(keys)
    }

    /// Returns the first records of a kind, at most [`MAX_COUNTED`].
    async fn first(
        &self,
        org: Option<&str>,
        kind: RecordKind,
        now: DateTime<Utc>,
    ) -> Option<Vec<(RecordKey, Record)>> {
        let range = RecordRange::new(org, kind, &[]).ok()?;
        self.records.range(&range, MAX_COUNTED, now).await.ok()
    }

    /// Returns the number of records of a kind, at most [`MAX_COUNTED`].
    async fn count(&self, org: Option<&str>, kind: RecordKind, now: DateTime<Utc>) -> Option<f64> {
        Some(self.first(org, kind, now).await?.len() as f64)
    }

    async fn org_gauges(&self, org: &str, now: DateTime<Utc>) -> Vec<Gauge> {
        let of_org = vec![("org", org.to_owned())];
        let mut gauges = Vec::new();
        let mut add = |name, help, labels: &[(&'static str, String)], value: Option<f64>| {
            gauges.extend(value.map(|value| Gauge { name, help, labels: labels.to_vec(), value }));
        };
        let key = CheckpointKey::Org(org.to_owned());
        if let Ok(checkpoint) = Checkpoint::<OrgCheckpoint>::load(&*self.checkpoints, &key).await {
            let until = checkpoint.value.org_complete_until();
            let lag = until.map(|until| (now - until).num_seconds() as f64);
            add("gam_collection_lag_seconds", "How far complete data is behind the present.", &of_org, lag);
            let gaps = checkpoint.value.list_gaps(None).1 as f64;
            add("gam_gaps", "Number of gaps: what could not be read from GitHub.", &of_org, Some(gaps));
        }
        if let Ok(batches) = gam_lake::inbox::list::<gam_lake::Events>(&*self.lake, org).await {
            let oldest = batches.iter().filter_map(|batch| batch.modified_at).min();
            for (name, help, value) in [
                (
                    "gam_inbox_batches",
                    "Number of batches that wait for an aggregation.",
                    batches.len() as f64,
                ),
                (
                    "gam_inbox_age_seconds",
                    "Age of the oldest batch that waits for an aggregation; 0 if none waits.",
                    age_or_zero(oldest, now),
                ),
            ] {
                add(name, help, &of_org, Some(value));
            }
        }
        for (name, help, kind) in [
            (
                "gam_audit_undrained_rows",
                "Rows of the audit log that no segment has yet, at most 1000.",
                RecordKind::AuditRow,
            ),
            ("gam_leases", "Claims of tasks that somebody holds, at most 1000.", RecordKind::Lease),
            (
                "gam_ready_issues",
                "Entries of the index of assignable issues, at most 1000.",
                RecordKind::ReadyIssue,
            ),
            ("gam_dirty_repos", "Repositories that webhooks marked, at most 1000.", RecordKind::DirtyRepo),
        ] {
            add(name, help, &of_org, self.count(Some(org), kind, now).await);
        }
        for (job, health) in load_health(&*self.records, org, now).await.unwrap_or_default() {
            let labels = [("org", org.to_owned()), ("job", job)];
            for (name, help, value) in health_numbers(&health, now) {
                add(name, help, &labels, value);
            }
        }
        gauges
    }

    async fn channel_gauges(&self, org: &NotifyOrg, now: DateTime<Utc>) -> Vec<Gauge> {
        let mut gauges = Vec::new();
        for channel in &org.settings.channels {
            let name = (org.key.as_str(), channel.name.as_str());
            let Ok(status) = channel_status(&*self.records, name, now).await else { continue };
            let labels = vec![("org", org.key.clone()), ("channel", channel.name.clone())];
            for (name, help, value) in [
                ("gam_notify_waiting", "Notifications that wait for a channel.", status.waiting as f64),
                (
                    "gam_notify_breaker_open",
                    "1 if the circuit breaker of a channel is open.",
                    f64::from(u8::from(status.is_broken)),
                ),
            ] {
                gauges.push(Gauge { name, help, labels: labels.clone(), value });
            }
        }
        gauges
    }
}

/// Returns the age of what waits, in seconds; 0 if nothing does.
fn age_or_zero(oldest: Option<DateTime<Utc>>, now: DateTime<Utc>) -> f64 {
    oldest.map_or(0.0, |oldest| (now - oldest).num_seconds().max(0) as f64)
}

/// Returns when the oldest of some orders of webhooks was made. One that cannot be read has no age.
fn oldest_order(records: &[(RecordKey, Record)]) -> Option<DateTime<Utc>> {
    let parse = |(_, record): &(RecordKey, Record)| serde_json::from_str::<WebhookOrder>(&record.body).ok();
    records.iter().filter_map(parse).map(|order| order.received_at).min()
}

/// A gauge without labels.
type HealthNumber = (&'static str, &'static str, Option<f64>);

fn health_numbers(health: &RunHealth, now: DateTime<Utc>) -> [HealthNumber; 5] {
    let age = |at: Option<DateTime<Utc>>| at.map(|at| (now - at).num_seconds() as f64);
    let limit = health.limit.as_ref().filter(|limit| limit.resets_at > now);
    [
        (
            "gam_run_failures_in_a_row",
            "Runs of a job that failed since the last one that succeeded.",
            Some(f64::from(health.failures_in_a_row)),
        ),
        (
            "gam_run_success_age_seconds",
            "Time since the last run of a job that succeeded.",
            age(health.last_success),
        ),
        (
            "gam_run_seconds",
            "How long the last run of a job took that had work to do: of the job aggregate, the fold.",
            health.seconds,
        ),
        (
            "gam_github_limit_remaining",
            "Points left of GitHub's limit of GraphQL, after the last run.",
            limit.map(|limit| limit.remaining as f64),
        ),
        (
            "gam_github_limit",
            "Points an hour of GitHub's limit of GraphQL.",
            limit.map(|limit| limit.limit as f64),
        ),
    ]
}

#[async_trait]
impl ServiceMetrics for StoreMetrics {
    async fn gauges(&self) -> Vec<Gauge> {
        let now = self.clock.now();
        let mut gauges = Vec::new();
        let mut add = |name, help, value| gauges.push(Gauge { name, help, labels: Vec::new(), value });
        if let Some(orders) = self.first(None, RecordKind::WebhookOrder, now).await {
            add("gam_webhook_orders", "Orders of webhooks that wait, at most 1000.", orders.len() as f64);
            add(
                "gam_webhook_order_age_seconds",
                "Age of the oldest order of a webhook that waits; 0 if none waits.",
                age_or_zero(oldest_order(&orders), now),
            );
        }
        if let Some(count) = self.count(None, RecordKind::ActionDue, now).await {
            add("gam_actions_due", "Actions that have work to do, at most 1000.", count);
        }
        for key in self.keys().await.unwrap_or_default() {
            gauges.extend(self.org_gauges(&key, now).await);
        }
        for org in self.facts.orgs().await.unwrap_or_default() {
            gauges.extend(self.channel_gauges(&org, now).await);
        }
        gauges
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waits_has_the_age_of_the_oldest() {
        let now: DateTime<Utc> = "2026-03-01T10:00:00Z".parse().unwrap();
        assert_eq!(age_or_zero(None, now), 0.0);
        assert_eq!(age_or_zero(Some(now - chrono::TimeDelta::minutes(2)), now), 120.0);
        assert_eq!(age_or_zero(Some(now + chrono::TimeDelta::minutes(2)), now), 0.0, "another clock");
    }
}
