//! Listings of members and repositories, sorted by a metric or by name, page by page.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet, HashMap};

use gam_model::{Range, Subject, SubjectKind};
use gam_rollup::Rollup;

use crate::answers::{BotFilter, ListAnswer, ListEntry, ListKind, MetricValue, SortDirection, SubjectRef};
use crate::comparison::{MetricChanges, PreviousRange, PreviousValues, previous_range};
use crate::cursor::Cursor;
use crate::list_order::{ListSort, NameFilter};
use crate::org_reader::{OrgQuery, OrgReader, read_org};
use crate::sort_key::SortKey;
use crate::values::{counts_in_subject, metric_value, metric_values, subject_tally};
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
    /// Whether the caller left the first day of `range` to the default. A cursor then brings its own.
    pub has_default_since: bool,
    /// The same for the end of `range`.
    pub has_default_until: bool,
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
        let repo_names = match request.listing.kind() {
            ListKind::Repos => org.repo_names().await?,
            ListKind::Members => HashMap::new(),
        };
        let subject = listed_of.subject.clone();
        let values = EntryValues { request, listed_of: &subject, after, repo_names };
        let (totals, coverage) =
            tokio::try_join!(read_page_totals(org, &values, range), org.coverage(&listed_of.subject))?;
        if totals.is_empty() {
            // A member that was never seen has no listing.
            org.set_display_name(&mut listed_of, &[], range).await?;
        }
        let mut listed: Vec<(SortKey, Subject, Rollup)> = totals
            .into_iter()
            .filter_map(|(subject, rollup)| Some((values.key(&subject, &rollup)?, subject, rollup)))
            .collect();
        listed.sort_by(|a, b| request.cmp(&a.0, &b.0));
        let limit = request.limit.clamp(1, MAX_LIMIT);
        let next = (listed.len() > limit)
            .then(|| Cursor::new(&listed[limit - 1].0, org, &listed_of.subject, request, range).encode());
        listed.truncate(limit);
        let previous_range = previous_range(range).filter(|_| request.compare);
        let previous = match previous_range {
            Some(range) => {
                let listed: BTreeSet<&Subject> = listed.iter().map(|(_, subject, _)| subject).collect();
                Some(read_totals_of(org, &listed_of.subject, request, &listed, range).await?)
            }
            None => None,
        };
        let entries = listed.into_iter().map(|(key, subject, rollup)| {
            let entry = values.entry(key, &subject, &rollup);
            match &previous {
                Some(totals) => values.compared(entry, &subject, totals.get(&subject)),
                None => entry,
            }
        });
        let is_comparable = match previous_range {
            Some(previous) => org.is_comparable(&coverage, previous).await?,
            None => false,
        };
        Ok(ListAnswer {
            kind: request.listing.kind(),
            entries: entries.collect(),
            next,
            timezone: org.time_zone.name(),
            coverage,
            previous: request.compare.then_some(previous_range.map(PreviousRange::from)),
            is_comparable,
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

/// Returns what at least these subjects did in the range.
async fn read_totals_of(
    org: &OrgReader<'_>,
    listed_of: &Subject,
    request: &ListRequest,
    subjects: &BTreeSet<&Subject>,
    range: Range,
) -> Result<BTreeMap<Subject, Rollup>, QueryError> {
    let kind = match request.listing {
        Listing::Members => SubjectKind::Member,
        Listing::Repos => SubjectKind::Repo,
        Listing::RepoMembers { .. } | Listing::MemberRepos(_) => {
            return org.read_breakdown(listed_of, range).await;
        }
    };
    let candidates = org.read_candidates(kind, range).await?;
    org.read_rollups(&candidates, &candidates.numbers_of(subjects), range).await
}

/// The fewest and the most candidates that are read at once.
const MIN_CANDIDATES: usize = 64;
const MAX_CANDIDATES: usize = 4_096;

/// Returns what every subject that may be on the page did in the range, and at least one more if there is one.
///
/// Of listings of an organization that start with the greatest value, it reads the candidates in order of the greatest
/// value that each can have, and stops when no other one can be on the page.
async fn read_page_totals(
    org: &OrgReader<'_>,
    values: &EntryValues<'_>,
    range: Range,
) -> Result<BTreeMap<Subject, Rollup>, QueryError> {
    let request = values.request;
    let kind = match request.listing {
        Listing::Members if request.direction == SortDirection::Desc => SubjectKind::Member,
        Listing::Repos if request.direction == SortDirection::Desc => SubjectKind::Repo,
        _ => return read_totals(org, values.listed_of, request, range).await,
    };
    let candidates = org.read_candidates(kind, range).await?;
    let counts = |side| counts_in_subject(kind, request.bots, side);
    let order = match request.sort {
        ListSort::Metric(metric) => candidates.by_greatest_value(metric, counts),
        ListSort::Name => None,
    };
    let Some(order) = order else {
        return org.read_rollups(&candidates, &candidates.all(), range).await;
    };
    let limit = request.limit.clamp(1, MAX_LIMIT);
    // A filter or a cursor can leave out nearly all candidates, so the steps grow.
    let mut step = (limit + 1).max(MIN_CANDIDATES);
    let (mut totals, mut page, mut rest) = (BTreeMap::new(), Vec::new(), &order[..]);
    while let Some(&(greatest, _)) = rest.first() {
        // Equal values are in order of names, so an equal one may still be on the page.
        if page.get(limit).is_some_and(|value| *value > greatest as f64) {
            break;
        }
        let (next, later) = rest.split_at(rest.len().min(step));
        step = (step * 2).min(MAX_CANDIDATES);
        let numbers: Vec<usize> = next.iter().map(|(_, number)| *number).collect();
        let rollups = org.read_rollups(&candidates, &numbers, range).await?;
        page.extend(rollups.iter().filter_map(|(subject, rollup)| values.key(subject, rollup)?.value));
        page.sort_by(|a, b| b.total_cmp(a));
        totals.extend(rollups);
        rest = later;
    }
    Ok(totals)
}

/// Computes the values of entries.
struct EntryValues<'a> {
    request: &'a ListRequest,
    /// The subject whose members or repositories are listed.
    listed_of: &'a Subject,
    /// The last entry of the page before. `None` on the first page.
    after: Option<SortKey>,
    /// Empty in listings of members.
    repo_names: HashMap<i64, String>,
}

impl EntryValues<'_> {
    /// Returns what the entry is sorted by. `None` if it is not on this page or a later one.
    fn key(&self, subject: &Subject, rollup: &Rollup) -> Option<SortKey> {
        // `bots` filters here. A member that is left answers all that it is credited with.
        if !self.is_listed(rollup) {
            return None;
        }
        let value = self.sort_value(subject, rollup);
        let name = subject_name(subject, rollup, &self.repo_names);
        let id = if let Subject::Repo(id) = subject { *id } else { 0 };
        if self.request.name_filter.as_ref().is_some_and(|filter| !filter.accepts(&name)) {
            return None;
        }
        let key = SortKey { value, name, id };
        self.after.as_ref().is_none_or(|after| self.request.cmp(&key, after).is_gt()).then_some(key)
    }

    fn is_listed(&self, rollup: &Rollup) -> bool {
        let bots = self.request.bots;
        match self.request.listing {
            Listing::Members | Listing::RepoMembers { .. } => {
                bots.tally_of_listed(SubjectKind::Member, rollup).has_credited_events()
            }
            Listing::Repos => bots.tally_of_listed(SubjectKind::Repo, rollup).has_credited_events(),
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

/// Returns the display name of a repository or a member that is listed.
pub(crate) fn subject_name(subject: &Subject, rollup: &Rollup, repo_names: &HashMap<i64, String>) -> String {
    match (subject, &rollup.member) {
        (Subject::Repo(id), _) => repo_names.get(id).cloned().unwrap_or_else(|| id.to_string()),
        (_, Some((name, _))) => name.clone(),
        (subject, None) => subject.name(),
    }
}
