//! Reading rollups that count, and turning them into values.

use std::borrow::Cow;
use std::collections::HashMap;

use chrono::{DateTime, NaiveDate, Utc};
use futures::future::try_join_all;
use gam_model::metric::{Aggregation, CATALOGUE, Metric};
use gam_model::{Grain, Month, Range, RollupKey, Subject, SubjectKind};
use gam_rollup::{Distribution, Rollup, Tally};
use gam_store::keys::{CheckpointKey, org_key};
use gam_store::{Marker, NameKind, StoredRollup};

use crate::QueryPorts;
use crate::answer::{BotFilter, MetricValues, QueryError, SubjectRef, Value};
use gam_store::{Checkpoint, OrgCheckpoint, RepoCoverage};

/// From when on, and up to when, as far as it is known.
pub(crate) type ReadSpan = (Option<DateTime<Utc>>, Option<DateTime<Utc>>);

/// An organization that exists, with its markers.
pub(crate) struct Org<'a> {
    ports: &'a QueryPorts,
    key: String,
    pub(crate) name: String,
    markers: HashMap<Month, Marker>,
}

/// Whom a question is about, as the store knows it.
pub(crate) struct Asked {
    pub(crate) subject: Subject,
    pub(crate) repo: Option<String>,
    pub(crate) member: Option<String>,
}

impl Asked {
    pub(crate) fn org() -> Self {
        Asked { subject: Subject::Org, repo: None, member: None }
    }
}

impl<'a> Org<'a> {
    pub(crate) async fn open(ports: &'a QueryPorts, org: &str) -> Result<Self, QueryError> {
        let key = org_key(org);
        let (names, markers) = tokio::try_join!(ports.names.orgs(), ports.rollups.markers(&key))?;
        let name = names.into_iter().find(|name| org_key(name) == key).ok_or_else(|| {
            QueryError::NotFound(format!(
                "organization {org:?} was never collected: check the spelling, or run `github-metrics up {org}`, \
                 or `github-metrics collect {org}` and then `aggregate`"
            ))
        })?;
        let markers = markers.into_iter().map(|m| (m.month, m)).collect();
        Ok(Org { ports, key, name, markers })
    }

    /// Finds the subject; whether a member was ever seen shows only later, in [`Org::name_member`].
    pub(crate) async fn resolve(&self, subject: &SubjectRef) -> Result<Asked, QueryError> {
        match subject {
            SubjectRef::Org => Ok(Asked::org()),
            SubjectRef::Repo(name) => {
                let names = self.ports.names.names(&self.key, NameKind::Repo).await?;
                let found =
                    names.into_iter().filter(|entry| entry.name.to_lowercase() == name.to_lowercase());
                // A deleted repository's name can be given to a new one.
                let entry = found.max_by_key(|entry| entry.as_of).ok_or_else(|| {
                    QueryError::NotFound(format!(
                        "no repository is called {name:?} in {}: check the spelling (a renamed one is found \
                         under its new name)",
                        self.name
                    ))
                })?;
                Ok(Asked { subject: Subject::Repo(entry.id), repo: Some(entry.name), member: None })
            }
            SubjectRef::Member(name) => {
                let name = self.ports.identity.name(name).to_owned();
                Ok(Asked { subject: Subject::member(&name), repo: None, member: Some(name) })
            }
        }
    }

    /// Spells the member as GitHub does; `known` is what was read of it.
    pub(crate) async fn name_member(&self, asked: &mut Asked, known: &Rollup) -> Result<(), QueryError> {
        let Some(name) = &mut asked.member else { return Ok(()) };
        if let Some((spelled, _)) = &known.member {
            spelled.clone_into(name);
            return Ok(());
        }
        let listed = self.ports.names.names(&self.key, NameKind::Member).await?;
        match listed.into_iter().find(|entry| entry.name.to_lowercase() == name.to_lowercase()) {
            Some(entry) => *name = entry.name,
            None => {
                return Err(QueryError::NotFound(format!(
                    "no member is called {name:?} in {}: check the spelling (what was collected before a login \
                     was changed has the old one, unless an alias joins them)",
                    self.name
                )));
            }
        }
        Ok(())
    }

    /// From when on and up to when GitHub has been read for the subject. The day that an organization is
    /// read from is kept before anything is read, so it counts only once everything was read.
    pub(crate) async fn completeness(&self, subject: &Subject) -> Result<ReadSpan, QueryError> {
        let key = CheckpointKey::Org(self.key.clone());
        let org: Checkpoint<OrgCheckpoint> = Checkpoint::load(&*self.ports.checkpoints, &key).await?;
        let (since, until) = match subject {
            Subject::Repo(id) => (self.repo_since(*id).await?, org.value.repo_complete_until(*id)),
            _ => (org.value.since, org.value.org_complete_until()),
        };
        Ok((since.filter(|_| until.is_some()), until))
    }

    /// From when on a repository has been read: it may have been asked for by itself, from another day on.
    async fn repo_since(&self, id: i64) -> Result<Option<DateTime<Utc>>, QueryError> {
        let key = CheckpointKey::Repo(self.key.clone(), id);
        let repo: Checkpoint<RepoCoverage> = Checkpoint::load(&*self.ports.checkpoints, &key).await?;
        Ok(repo.value.complete_since())
    }

    pub(crate) async fn repo_names(&self) -> Result<HashMap<i64, String>, QueryError> {
        let names = self.ports.names.names(&self.key, NameKind::Repo).await?;
        Ok(names.into_iter().map(|entry| (entry.id, entry.name)).collect())
    }

    /// Only rollups of the marker's logic, at or above its floor, count.
    fn counted(&self, found: Vec<(RollupKey, StoredRollup)>) -> Result<Vec<(RollupKey, Rollup)>, QueryError> {
        found
            .into_iter()
            .filter(|(key, stored)| self.markers.get(&key.month).is_some_and(|marker| marker.counts(stored)))
            .map(|(key, stored)| match Rollup::from_json(&stored.body) {
                Ok(rollup) => Ok((key, rollup)),
                Err(source) => Err(QueryError::Unreadable { key: format!("{key:?}"), source }),
            })
            .collect()
    }

    /// One range read of one subject.
    pub(crate) async fn read(
        &self,
        asked: &Asked,
        grain: Grain,
        from: NaiveDate,
        to: NaiveDate,
    ) -> Result<Vec<(RollupKey, Rollup)>, QueryError> {
        let found = self.ports.rollups.range(&self.key, &asked.subject, grain, from, to).await?;
        self.counted(found)
    }

    /// Range reads of one subject, side by side: each tells of another grain and span.
    pub(crate) async fn read_all(
        &self,
        asked: &Asked,
        spans: impl IntoIterator<Item = (Option<Range>, Grain)>,
    ) -> Result<Vec<(RollupKey, Rollup)>, QueryError> {
        let spans = spans.into_iter().filter_map(|(span, grain)| Some((span?, grain)));
        let reads = spans.map(|(span, grain)| self.read(asked, grain, span.since(), span.until()));
        Ok(try_join_all(reads).await?.into_iter().flatten().collect())
    }

    /// The range from whole buckets of the grain and the days around them: three range reads at most.
    pub(crate) async fn cover(
        &self,
        asked: &Asked,
        grain: Grain,
        range: Range,
    ) -> Result<Vec<(RollupKey, Rollup)>, QueryError> {
        let cover = range.split_by(grain);
        let spans = [(cover.head, Grain::Day), (cover.aligned, grain), (cover.tail, Grain::Day)];
        self.read_all(asked, spans).await
    }

    /// The part of the range in which anything was folded: a store may look for all subjects month by month.
    fn folded(&self, range: Range) -> Option<Range> {
        let first = self.markers.keys().min()?.first_day();
        let end = self.markers.keys().max()?.end();
        Range::new(range.since().max(first), range.until().min(end))
    }

    /// The range of every subject of a kind, from whole months and the days around them.
    pub(crate) async fn cover_all(
        &self,
        kind: SubjectKind,
        range: Range,
    ) -> Result<Vec<(RollupKey, Rollup)>, QueryError> {
        let Some(range) = self.folded(range) else { return Ok(Vec::new()) };
        let cover = range.split_by(Grain::Month);
        let spans = [(cover.head, Grain::Day), (cover.aligned, Grain::Month), (cover.tail, Grain::Day)];
        let spans = spans.into_iter().filter_map(|(span, grain)| Some((span?, grain)));
        let store = &self.ports.rollups;
        let reads = spans
            .map(|(span, grain)| store.range_of_kind(&self.key, kind, grain, span.since(), span.until()));
        self.counted(try_join_all(reads).await?.into_iter().flatten().collect())
    }
}

impl BotFilter {
    /// What counts of a rollup.
    pub(crate) fn of(self, rollup: &Rollup) -> Cow<'_, Tally> {
        match self {
            BotFilter::Exclude => Cow::Borrowed(&rollup.people),
            BotFilter::Only => Cow::Borrowed(&rollup.bots),
            BotFilter::Include => {
                let mut both = rollup.people.clone();
                both.merge(&rollup.bots);
                Cow::Owned(both)
            }
        }
    }
}

/// What counts of the subject's rollup: a bot asked for by name answers its own numbers.
fn counted_part<'a>(subject: &Subject, rollup: &'a Rollup, bots: BotFilter) -> Cow<'a, Tally> {
    match (subject, bots) {
        (Subject::Member(_), BotFilter::Exclude) => BotFilter::Include.of(rollup),
        _ => bots.of(rollup),
    }
}

/// The values of all metrics of a subject's rollup.
pub(crate) fn values(subject: &Subject, rollup: &Rollup, bots: BotFilter) -> MetricValues {
    let part = counted_part(subject, rollup, bots);
    MetricValues(CATALOGUE.iter().map(|metric| (metric.name, of_part(metric, subject, &part))).collect())
}

/// The value of one metric of a subject's rollup.
pub(crate) fn value(metric: &Metric, subject: &Subject, rollup: &Rollup, bots: BotFilter) -> Value {
    of_part(metric, subject, &counted_part(subject, rollup, bots))
}

fn of_part(metric: &Metric, subject: &Subject, part: &Tally) -> Value {
    match metric.aggregation {
        Aggregation::Count(counter) => Value::Count(part.counts[counter as usize]),
        Aggregation::Sum(counters) => {
            Value::Count(counters.iter().map(|&counter| part.counts[counter as usize]).sum())
        }
        Aggregation::DistinctMembers => Value::Count(match subject {
            Subject::Org | Subject::Repo(_) => part.members.len() as u64,
            Subject::Member(_) => u64::from(part.has_credited_events()),
        }),
        Aggregation::Distribution(duration) => distribution(&part.durations[duration as usize]),
    }
}

fn distribution(durations: &Distribution) -> Value {
    let hours = |seconds: f64| seconds / 3600.0;
    Value::Distribution {
        count: durations.count(),
        mean: durations.mean().map(hours),
        p50: durations.percentile(50).map(|seconds| hours(seconds as f64)),
        p90: durations.percentile(90).map(|seconds| hours(seconds as f64)),
    }
}
