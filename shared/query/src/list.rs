//! Listings of members and repositories, sorted by a metric or by name, page by page.

use std::cmp::Ordering;
use std::collections::{BTreeMap, HashMap};

use gam_model::{Range, Subject, SubjectKind};
use gam_rollup::Rollup;

use crate::answers::{BotFilter, ListAnswer, ListEntry, ListKind, MetricValue, SortDirection, SubjectRef};
use crate::comparison::{MetricChanges, PreviousRange, PreviousValues, previous_range};
use crate::cursor::Cursor;
use crate::list_order::{ListSort, NameFilter};
use crate::org_reader::{OrgQuery, OrgReader, read_org};
use crate::sort_key::SortKey;
use crate::values::{metric_value, metric_values, subject_tally};
use crate::{MAX_LIMIT, QueryError, QueryPorts};

/// Which entries to list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Listing {
    /// The members of the organization.
    Members,
    /// The repositories of the organization.
    Repos,
    /// The members of one repository, with what they did in it.
    RepoMembers {
        /// The repository's name, without the owner.
        name: String,
        /// GitHub's id of the repository. Distinguishes repositories that had one name; `None` for the latest.
        id: Option<i64>,
    },
    /// The repositories of one member, with what the member did in them.
    MemberRepos(String),
}

impl Listing {
    /// Returns whether the entries are members or repositories.
    pub fn kind(&self) -> ListKind {
        match self {
            Listing::Members | Listing::RepoMembers { .. } => ListKind::Members,
            Listing::Repos | Listing::MemberRepos(_) => ListKind::Repos,
        }
    }

    fn subject(&self) -> SubjectRef {
        match self {
            Listing::Members | Listing::Repos => SubjectRef::Org,
            Listing::RepoMembers { name, id } => SubjectRef::Repo { name: name.clone(), id: *id },
            Listing::MemberRepos(name) => SubjectRef::Member(name.clone()),
        }
    }
}

/// A request for one page of a listing.
#[derive(Debug, Clone)]
pub struct ListRequest {
    /// Which entries to list.
    pub listing: Listing,
    /// The days whose events count.
    pub range: Range,
    /// Whether `range` is the default and not one that the caller chose. A cursor then brings its own range.
    pub has_default_range: bool,
    /// Whose work counts.
    pub bots: BotFilter,
    /// What to sort by.
    pub sort: ListSort,
    /// Which names to list. `None` for all.
    pub name_filter: Option<NameFilter>,
    /// The sort direction. Entries with equal values are in order of their names, then of their ids.
    pub direction: SortDirection,
    /// The most entries on the page, 1 to [`MAX_LIMIT`].
    pub limit: usize,
    /// The `next` value of the previous page. `None` for the first page.
    pub cursor: Option<String>,
    /// Whether to compare the entries with the same number of days before the range.
    pub compare: bool,
}

/// Returns one page of the members or repositories credited with events in the range.
///
/// # Errors
/// If there is no such organization, repository or member, the cursor is invalid, belongs to another query or
/// [is expired](QueryError::CursorExpired), the store fails, or a stored item cannot be read.
pub async fn list(ports: &QueryPorts, org: &str, request: &ListRequest) -> Result<ListAnswer, QueryError> {
    let cursor = request.cursor.as_deref().map(Cursor::decode).transpose()?;
    read_org(ports, org, &PageQuery { request, cursor }).await
}

struct PageQuery<'a> {
    request: &'a ListRequest,
    cursor: Option<Cursor>,
}

impl OrgQuery for PageQuery<'_> {
    type Answer = ListAnswer;

    async fn answer(&self, org: &OrgReader<'_>) -> Result<ListAnswer, QueryError> {
        let request = self.request;
        let mut listed_of = org.resolve_subject(&request.listing.subject()).await?;
        let (range, after) = match &self.cursor {
            None => (request.range, None),
            Some(cursor) => {
                let (range, after) = cursor.check(org, &listed_of.subject, request)?;
                (range, Some(after))
            }
        };
        let (totals, coverage) = tokio::try_join!(
            read_totals(org, &listed_of.subject, request, range),
            org.coverage(&listed_of.subject)
        )?;
        if totals.is_empty() {
            // A member that was never seen has no listing.
            org.set_display_name(&mut listed_of, &[], range).await?;
        }
        let repo_names = match request.listing.kind() {
            ListKind::Repos => org.repo_names().await?,
            ListKind::Members => HashMap::new(),
        };
        let values = EntryValues { request, listed_of: &listed_of.subject };
        let mut listed: Vec<(SortKey, Subject, Rollup)> = totals
            .into_iter()
            // `bots` filters here. A member that is left answers all that it is credited with.
            .filter(|(_, rollup)| values.is_listed(rollup))
            .filter_map(|(subject, rollup)| {
                let name = display_name(&subject, &rollup, &repo_names);
                if request.name_filter.as_ref().is_some_and(|filter| !filter.accepts(&name)) {
                    return None;
                }
                let value = values.sort_value(&subject, &rollup);
                let id = if let Subject::Repo(id) = subject { id } else { 0 };
                Some((SortKey { value, name, id }, subject, rollup))
            })
            .filter(|(key, ..)| after.as_ref().is_none_or(|after| request.cmp(key, after).is_gt()))
            .collect();
        listed.sort_by(|a, b| request.cmp(&a.0, &b.0));
        let limit = request.limit.clamp(1, MAX_LIMIT);
        let next = (listed.len() > limit)
            .then(|| Cursor::new(&listed[limit - 1].0, org, &listed_of.subject, request, range).encode());
        listed.truncate(limit);
        let previous_range = previous_range(range).filter(|_| request.compare);
        let previous = match previous_range {
            Some(range) => Some(read_totals(org, &listed_of.subject, request, range).await?),
            None => None,
        };
        let entries = listed.into_iter().map(|(key, subject, rollup)| {
            let entry = values.entry(key, &subject, &rollup);
            match &previous {
                Some(totals) => values.compared(entry, &subject, totals.get(&subject)),
                None => entry,
            }
        });
        Ok(ListAnswer {
            kind: request.listing.kind(),
            entries: entries.collect(),
            next,
            timezone: org.time_zone.name(),
            coverage,
            previous: request.compare.then_some(previous_range.map(PreviousRange::from)),
        })
    }
}

impl ListRequest {
    fn cmp(&self, a: &SortKey, b: &SortKey) -> Ordering {
        a.cmp(b, self.sort, self.direction)
    }
}

/// Returns what every subject that may be listed did in the range.
async fn read_totals(
    org: &OrgReader<'_>,
    listed_of: &Subject,
    request: &ListRequest,
    range: Range,
) -> Result<BTreeMap<Subject, Rollup>, QueryError> {
    match request.listing {
        Listing::Members => org.read_totals_by_subject(SubjectKind::Member, range).await,
        Listing::Repos => org.read_totals_by_subject(SubjectKind::Repo, range).await,
        Listing::RepoMembers { .. } | Listing::MemberRepos(_) => org.read_breakdown(listed_of, range).await,
    }
}

/// Computes the values of entries.
struct EntryValues<'a> {
    request: &'a ListRequest,
    /// The subject whose members or repositories are listed.
    listed_of: &'a Subject,
}

impl EntryValues<'_> {
    fn is_listed(&self, rollup: &Rollup) -> bool {
        let bots = self.request.bots;
        match self.request.listing {
            Listing::Members | Listing::RepoMembers { .. } => bots.listed_tally(rollup).has_credited_events(),
            Listing::Repos => bots.tally(rollup).has_credited_events(),
            Listing::MemberRepos(_) => subject_tally(self.listed_of, rollup, bots).has_credited_events(),
        }
    }

    /// Returns whose numbers an entry shows: what a member did in a repository are numbers of the member.
    fn counted_subject<'a>(&'a self, listed: &'a Subject) -> &'a Subject {
        match self.request.listing {
            Listing::MemberRepos(_) => self.listed_of,
            _ => listed,
        }
    }

    fn sort_value(&self, subject: &Subject, rollup: &Rollup) -> Option<f64> {
        let ListSort::Metric(sort) = self.request.sort else { return None };
        match metric_value(sort, self.counted_subject(subject), rollup, self.request.bots) {
            MetricValue::Count(count) => Some(count as f64),
            MetricValue::Distribution { p50, .. } => p50,
        }
    }

    fn entry(&self, key: SortKey, subject: &Subject, rollup: &Rollup) -> ListEntry {
        let metrics = metric_values(self.counted_subject(subject), rollup, self.request.bots);
        match self.request.listing.kind() {
            ListKind::Repos => {
                ListEntry { repo: Some(key.name), id: Some(key.id), metrics, ..ListEntry::default() }
            }
            ListKind::Members => {
                let kind = rollup.member.as_ref().map(|(_, kind)| *kind);
                ListEntry { member: Some(key.name), kind, metrics, ..ListEntry::default() }
            }
        }
    }

    /// Adds what the entry's subject did in the range before; `None` if it did nothing.
    fn compared(&self, entry: ListEntry, subject: &Subject, previous: Option<&Rollup>) -> ListEntry {
        let empty = Rollup::default();
        let previous = previous.unwrap_or(&empty);
        let metrics = metric_values(self.counted_subject(subject), previous, self.request.bots);
        let change = MetricChanges::between(&entry.metrics, &metrics);
        ListEntry { previous: Some(PreviousValues { metrics }), change: Some(change), ..entry }
    }
}

fn display_name(subject: &Subject, rollup: &Rollup, repo_names: &HashMap<i64, String>) -> String {
    match (subject, &rollup.member) {
        (Subject::Repo(id), _) => repo_names.get(id).cloned().unwrap_or_else(|| id.to_string()),
        (_, Some((name, _))) => name.clone(),
        (subject, None) => subject.name(),
    }
}
