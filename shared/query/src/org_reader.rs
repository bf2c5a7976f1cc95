//! Reading one organization's names, coverage and rollups.

use std::collections::HashMap;

use chrono::{DateTime, NaiveDate, Utc};
use futures::future::try_join_all;
use gam_model::{Grain, Month, OrgRegistry, Range, RollupKey, Subject, SubjectKind};
use gam_rollup::Rollup;
use gam_store::keys::{CheckpointKey, org_key};
use gam_store::{Checkpoint, Marker, NameKind, OrgCheckpoint, RepoCoverage, StoredRollup};

use crate::answers::{CoverageAnswer, SubjectRef};
use crate::{QueryError, QueryPorts};

/// The most characters of an input that an error quotes.
const MAX_QUOTED_CHARS: usize = 80;
/// The most characters of a login. GitHub allows 39, and a suffix for managed accounts.
const MAX_LOGIN_CHARS: usize = 100;

/// Quotes an input for an error: escaped, and cut if it is long.
pub(crate) fn quoted(text: &str) -> String {
    match text.char_indices().nth(MAX_QUOTED_CHARS) {
        Some((end, _)) => format!("{:?}...", &text[..end]),
        None => format!("{text:?}"),
    }
}

/// Says that there is nothing of an organization. Commands are offered only for a valid login: they are
/// pasted into shells.
fn never_collected(org: &str) -> String {
    let is_login = !org.is_empty()
        && org.len() <= MAX_LOGIN_CHARS
        && !org.starts_with('-')
        && org.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
    if is_login {
        format!(
            "organization {org:?} was never collected: check the spelling, or run `github-metrics up {org}`, or \
             `github-metrics collect {org}` and then `github-metrics aggregate {org}`"
        )
    } else {
        format!(
            "organization {} was never collected: it is no login of GitHub, check the spelling",
            quoted(org)
        )
    }
}

/// Returns the current name of an organization. The store's name of it is its storage key, as GitHub wrote the
/// name that the key comes from.
fn current_name(registry: &OrgRegistry, stored: String) -> String {
    registry.name_of_key(&org_key(&stored)).map_or(stored, str::to_owned)
}

/// Reads an organization that exists.
pub(crate) struct OrgReader<'a> {
    ports: &'a QueryPorts,
    /// The storage key.
    pub(crate) key: String,
    /// The current login as GitHub writes it.
    pub(crate) name: String,
    markers: HashMap<Month, Marker>,
}

/// A subject as the store knows it, with the name to display.
pub(crate) struct ResolvedSubject {
    pub(crate) subject: Subject,
    /// The repository's name, if the subject is one.
    pub(crate) repo: Option<String>,
    /// The member's name, if the subject is one.
    pub(crate) member: Option<String>,
}

impl ResolvedSubject {
    pub(crate) fn org() -> Self {
        ResolvedSubject { subject: Subject::Org, repo: None, member: None }
    }

    /// Returns the repository's id, if the subject is one.
    pub(crate) fn repo_id(&self) -> Option<i64> {
        if let Subject::Repo(id) = self.subject { Some(id) } else { None }
    }
}

impl<'a> OrgReader<'a> {
    /// Opens an organization by its current or a former name.
    pub(crate) async fn open(ports: &'a QueryPorts, org: &str) -> Result<Self, QueryError> {
        let registry = ports.registry.registry().await.map_err(QueryError::Registry)?;
        let key = registry.key_of(org);
        let (name, markers) = tokio::try_join!(ports.names.org(&key), ports.rollups.markers(&key))?;
        let name = name.ok_or_else(|| QueryError::NotFound(never_collected(org)))?;
        let name = current_name(&registry, name);
        let markers = markers.into_iter().map(|m| (m.month, m)).collect();
        Ok(OrgReader { ports, key, name, markers })
    }

    /// Opens an organization by the name that the store has returned.
    pub(crate) async fn open_known(
        ports: &'a QueryPorts,
        registry: &OrgRegistry,
        name: String,
    ) -> Result<Self, QueryError> {
        let key = org_key(&name);
        let markers = ports.rollups.markers(&key).await?.into_iter().map(|m| (m.month, m)).collect();
        Ok(OrgReader { ports, key, name: current_name(registry, name), markers })
    }

    /// Returns the current UTC day.
    pub(crate) fn today(&self) -> NaiveDate {
        self.ports.clock.now().date_naive()
    }

    /// Finds a subject by name. For a member it does not check that there is one:
    /// [`OrgReader::set_display_name`] does, once the member's rollups are read.
    pub(crate) async fn resolve_subject(&self, subject: &SubjectRef) -> Result<ResolvedSubject, QueryError> {
        match subject {
            SubjectRef::Org => Ok(ResolvedSubject::org()),
            SubjectRef::Repo { name, id } => {
                let names = self.ports.names.names(&self.key, NameKind::Repo).await?;
                let matches = names.into_iter().filter(|entry| {
                    entry.name.to_lowercase() == name.to_lowercase() && id.is_none_or(|id| entry.id == id)
                });
                // A new repository can have the name of a deleted one.
                let latest = matches.max_by_key(|entry| (entry.as_of, entry.id)).ok_or_else(|| {
                    let with_id = id.map(|id| format!(" with id {id}")).unwrap_or_default();
                    QueryError::NotFound(format!(
                        "no repository {}{with_id} in {}: check the spelling; a renamed repository is \
                         found by its new name",
                        quoted(name),
                        self.name
                    ))
                })?;
                let subject = Subject::Repo(latest.id);
                Ok(ResolvedSubject { subject, repo: Some(latest.name), member: None })
            }
            SubjectRef::Member(name) => {
                let identity = self.ports.identities.identity(&self.key).await;
                let name = identity.map_err(QueryError::Configuration)?.find_name(name).to_owned();
                Ok(ResolvedSubject { subject: Subject::member(&name), repo: None, member: Some(name) })
            }
        }
    }

    /// Replaces the requested name of a member by its latest one. `rollup` is what was read of the
    /// member. If it is empty, the name comes from the store.
    pub(crate) async fn set_display_name(
        &self,
        subject: &mut ResolvedSubject,
        rollup: &Rollup,
    ) -> Result<(), QueryError> {
        let Some(name) = &mut subject.member else { return Ok(()) };
        if let Some((latest, _)) = &rollup.member {
            latest.clone_into(name);
            return Ok(());
        }
        let members = self.ports.names.names(&self.key, NameKind::Member).await?;
        match members.into_iter().find(|entry| entry.name.to_lowercase() == name.to_lowercase()) {
            Some(entry) => *name = entry.name,
            None => {
                return Err(QueryError::NotFound(format!(
                    "no member {} in {}: check the spelling; if the login changed, try the old one or add \
                     an alias",
                    quoted(name),
                    self.name
                )));
            }
        }
        Ok(())
    }

    /// Returns the coverage of a subject. The store has an organization's first day before anything was
    /// read, so `complete_since` is `None` unless `complete_until` is known.
    pub(crate) async fn coverage(&self, subject: &Subject) -> Result<CoverageAnswer, QueryError> {
        let key = CheckpointKey::Org(self.key.clone());
        let org: Checkpoint<OrgCheckpoint> = Checkpoint::load(&*self.ports.checkpoints, &key).await?;
        let (since, until, repo_id) = match subject {
            Subject::Repo(id) => {
                let since = org.value.after_lost_months(self.repo_complete_since(*id).await?);
                (since, org.value.repo_complete_until(*id), Some(*id))
            }
            _ => (org.value.org_complete_since(), org.value.org_complete_until(), None),
        };
        let (gaps, gap_count) = org.value.list_gaps(repo_id);
        let complete_since = since.filter(|_| until.is_some());
        Ok(CoverageAnswer { complete_since, complete_until: until, gaps, gap_count })
    }

    /// Returns the time from which on a repository has been read. A repository can be collected by
    /// itself, from another day on than its organization.
    async fn repo_complete_since(&self, id: i64) -> Result<Option<DateTime<Utc>>, QueryError> {
        let key = CheckpointKey::Repo(self.key.clone(), id);
        let repo: Checkpoint<RepoCoverage> = Checkpoint::load(&*self.ports.checkpoints, &key).await?;
        Ok(repo.value.complete_since())
    }

    /// Returns the repositories' names by id.
    pub(crate) async fn repo_names(&self) -> Result<HashMap<i64, String>, QueryError> {
        let names = self.ports.names.names(&self.key, NameKind::Repo).await?;
        Ok(names.into_iter().map(|entry| (entry.id, entry.name)).collect())
    }

    /// Decodes the rollups that count: those of the marker's logic, at or above its floor.
    fn decode_current(
        &self,
        stored: Vec<(RollupKey, StoredRollup)>,
    ) -> Result<Vec<(RollupKey, Rollup)>, QueryError> {
        stored
            .into_iter()
            .filter(|(key, stored)| {
                self.markers.get(&key.month).is_some_and(|marker| marker.should_count(stored))
            })
            .map(|(key, stored)| match Rollup::from_json(&stored.body) {
                Ok(rollup) => Ok((key, rollup)),
                Err(source) => Err(QueryError::Unreadable { key: format!("{key:?}"), source }),
            })
            .collect()
    }

    /// Reads a subject's rollups of one grain in `[from, to)`.
    pub(crate) async fn read_buckets(
        &self,
        subject: &ResolvedSubject,
        grain: Grain,
        from: NaiveDate,
        to: NaiveDate,
    ) -> Result<Vec<(RollupKey, Rollup)>, QueryError> {
        let stored = self.ports.rollups.range(&self.key, &subject.subject, grain, from, to).await?;
        self.decode_current(stored)
    }

    /// Reads a subject's rollups of several spans in parallel, each with its grain.
    pub(crate) async fn read_spans(
        &self,
        subject: &ResolvedSubject,
        spans: impl IntoIterator<Item = (Option<Range>, Grain)>,
    ) -> Result<Vec<(RollupKey, Rollup)>, QueryError> {
        let spans = spans.into_iter().filter_map(|(span, grain)| Some((span?, grain)));
        let reads = spans.map(|(span, grain)| self.read_buckets(subject, grain, span.since(), span.until()));
        Ok(try_join_all(reads).await?.into_iter().flatten().collect())
    }

    /// Reads a subject's rollups that make up the range: complete buckets of the grain, and the days
    /// before and after them. It takes at most three range reads.
    pub(crate) async fn read_range(
        &self,
        subject: &ResolvedSubject,
        grain: Grain,
        range: Range,
    ) -> Result<Vec<(RollupKey, Rollup)>, QueryError> {
        let cover = range.split_by(grain);
        let spans = [(cover.head, Grain::Day), (cover.aligned, grain), (cover.tail, Grain::Day)];
        self.read_spans(subject, spans).await
    }

    /// Cuts the range to the span from the first to the last month with a marker, because a store may read all subjects of a kind
    /// month by month. Returns `None` if they do not overlap.
    fn clip_to_folded_months(&self, range: Range) -> Option<Range> {
        let first = self.markers.keys().min()?.first_day();
        let end = self.markers.keys().max()?.end();
        Range::new(range.since().max(first), range.until().min(end))
    }

    /// Reads the rollups of every subject of a kind that make up the range: complete months, and the days
    /// before and after them.
    pub(crate) async fn read_range_of_kind(
        &self,
        kind: SubjectKind,
        range: Range,
    ) -> Result<Vec<(RollupKey, Rollup)>, QueryError> {
        let Some(range) = self.clip_to_folded_months(range) else { return Ok(Vec::new()) };
        let cover = range.split_by(Grain::Month);
        let spans = [(cover.head, Grain::Day), (cover.aligned, Grain::Month), (cover.tail, Grain::Day)];
        let spans = spans.into_iter().filter_map(|(span, grain)| Some((span?, grain)));
        let store = &self.ports.rollups;
        let reads = spans
            .map(|(span, grain)| store.range_of_kind(&self.key, kind, grain, span.since(), span.until()));
        let stored = try_join_all(reads).await?;
        self.decode_current(stored.into_iter().flatten().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_offered_for_valid_logins_only() {
        assert!(never_collected("acme-1").contains("`github-metrics up acme-1`"));
        for org in ["a b;rm -rf", "\u{1b}[31mRED", "$(id)", "--help", ""] {
            let message = never_collected(org);
            assert!(!message.contains("github-metrics"), "{message}");
            assert!(!message.contains(char::is_control), "{message:?}");
        }
        assert!(never_collected(&"x".repeat(30_000)).len() < 200);
    }
}
