//! Lists of models, tools, branches, repositories and members, with what was done with or by each.

use std::cmp::Ordering;
use std::collections::{BTreeMap, HashMap};

use gam_model::{AgentCounter, AgentDimension, AgentMetric, Range, SubjectKind};
use gam_rollup::agents::{AgentCounts, add_counts, parse_branch_key};
use gam_rollup::{AgentListItem, ListedSubject};

use super::answers::{AgentListAnswer, AgentListEntry, AgentPartName};
use super::comparison::{AgentMetricChanges, PreviousAgentValues};
use super::reading::{SessionReader, SubjectSessions, days_in};
use super::sums::AgentSum;
use crate::answers::{AnswerContext, BotFilter, SortDirection, SubjectRef};
use crate::comparison::{PreviousRange, previous_range};
use crate::org_reader::{OrgQuery, OrgReader, read_org};
use crate::read_items::ReadItem;
use crate::{MAX_LIMIT, QueryError, QueryPorts};

/// What a list contains.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AgentListing {
    /// The models, tools or branches of a subject.
    Parts(AgentDimension),
    /// The repositories of an organization.
    Repos,
    /// The members of an organization.
    Members,
}

impl AgentListing {
    /// All lists, in the order of the documentation.
    pub const ALL: [AgentListing; 5] = [
        AgentListing::Parts(AgentDimension::Model),
        AgentListing::Parts(AgentDimension::Tool),
        AgentListing::Parts(AgentDimension::Branch),
        AgentListing::Repos,
        AgentListing::Members,
    ];

    /// Returns the name in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            AgentListing::Parts(dimension) => dimension.as_str(),
            AgentListing::Repos => "repo",
            AgentListing::Members => "member",
        }
    }

    /// Returns the list with this name; `None` if there is none.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|listing| listing.as_str() == name)
    }

    /// Returns the dimension of the parts; `None` for repositories and members.
    pub fn dimension(self) -> Option<AgentDimension> {
        if let AgentListing::Parts(dimension) = self { Some(dimension) } else { None }
    }

    /// Returns the metric that sorts the list if none is requested.
    pub fn default_sort(self) -> &'static str {
        default_agent_metric(self.dimension())
    }
}

/// Returns the name of the metric of a list or a series if none is requested. Every dimension divides its own.
pub fn default_agent_metric(dimension: Option<AgentDimension>) -> &'static str {
    match dimension {
        Some(AgentDimension::Tool) => "agent_tool_calls",
        _ => "agent_cost_usd",
    }
}

/// A request for a list.
#[derive(Debug, Clone)]
pub struct AgentListRequest {
    /// The subject. Lists of repositories and members are of the organization only.
    pub subject: SubjectRef,
    /// What the list contains.
    pub listing: AgentListing,
    /// The days whose events count.
    pub range: Range,
    /// Whose work counts.
    pub bots: BotFilter,
    /// The metric to sort by; one that can be divided like the list.
    pub sort: &'static AgentMetric,
    /// The sort direction. Entries with equal values are in order of their names.
    pub direction: SortDirection,
    /// The most entries, 1 to [`MAX_LIMIT`].
    pub limit: usize,
    /// Whether to compare the range with the same number of days before it.
    pub compare: bool,
}

/// Returns the models, tools, branches, repositories or members of a subject.
///
/// # Errors
/// If the metric cannot be divided like the list, repositories or members of another subject than an organization are
/// requested, there is no such subject, the store fails, or a stored item cannot be read.
pub async fn agent_list(
    ports: &QueryPorts,
    org: &str,
    request: &AgentListRequest,
) -> Result<AgentListAnswer, QueryError> {
    read_org(ports, org, &AgentListQuery { request }).await
}

/// Returns the error for a metric that is not divided by the dimension. It names those that are.
pub(super) fn not_known_by(metric: &AgentMetric, dimension: AgentDimension) -> QueryError {
    let metrics: Vec<&str> = AgentMetric::divided_by(Some(dimension)).map(|metric| metric.name).collect();
    QueryError::Invalid(format!(
        "{} is not known by {}: expected {}",
        metric.name,
        dimension.as_str(),
        metrics.join(", ")
    ))
}

/// Checks that the list can have the metric, and that the subject can have the list.
fn check(request: &AgentListRequest) -> Result<(), QueryError> {
    let AgentListRequest { listing, sort, subject, .. } = request;
    if let Some(dimension) = listing.dimension()
        && !sort.dimensions.contains(&dimension)
    {
        return Err(not_known_by(sort, dimension));
    }
    if listing.dimension().is_none() && *subject != SubjectRef::Org {
        return Err(QueryError::Invalid(format!(
            "a list by {} is of an organization: expected by=model, tool or branch",
            listing.as_str()
        )));
    }
    Ok(())
}

struct AgentListQuery<'a> {
    request: &'a AgentListRequest,
}

impl OrgQuery for AgentListQuery<'_> {
    type Answer = AgentListAnswer;

    async fn answer(&self, org: &OrgReader<'_>) -> Result<AgentListAnswer, QueryError> {
        let request = self.request;
        check(request)?;
        let reader = SessionReader::open(org).await?;
        let range = request.read_range();
        match request.listing {
            AgentListing::Parts(_) => {
                let sessions = reader.read_subject(&request.subject, range).await?;
                parts_of(org, &sessions, request).await
            }
            AgentListing::Repos => list_subjects(org, &reader, request, SubjectKind::Repo).await,
            AgentListing::Members => list_subjects(org, &reader, request, SubjectKind::Member).await,
        }
    }
}

impl AgentListRequest {
    /// Returns the range before, if the list is compared with it.
    fn previous(&self) -> Option<Range> {
        previous_range(self.range).filter(|_| self.compare)
    }

    /// Returns the range with the one before, if the list is compared with it.
    fn read_range(&self) -> Range {
        let since = self.previous().map_or(self.range.since(), Range::since);
        Range::new(since, self.range.until()).unwrap_or(self.range)
    }
}

/// Returns the list of models, tools or branches of a subject whose days were read.
pub(super) async fn parts_of(
    org: &OrgReader<'_>,
    sessions: &SubjectSessions,
    request: &AgentListRequest,
) -> Result<AgentListAnswer, QueryError> {
    let Some(dimension) = request.listing.dimension() else {
        return Err(QueryError::Invalid("expected a list by model, tool or branch".to_owned()));
    };
    let names = PartNames::read(org, dimension).await?;
    let sums = |range: Range| {
        let mut sums: BTreeMap<&str, AgentCounts> = BTreeMap::new();
        for (_, name, counts) in sessions.parts(range, request.bots, dimension) {
            add_counts(sums.entry(name).or_insert([0; AgentCounter::COUNT]), counts);
        }
        sums
    };
    let mut before = request.previous().map(sums).unwrap_or_default();
    let rows = sums(request.range).into_iter().map(|(name, counts)| Row {
        name: names.name(name),
        sum: AgentSum::of_counts(counts),
        before: AgentSum::of_counts(before.remove(name).unwrap_or([0; AgentCounter::COUNT])),
        kind: SubjectKind::Org,
    });
    let context = org.context(sessions.resolved.clone(), request.range, request.bots);
    Ok(list_answer(rows.collect(), request, context))
}

/// A row of a list, before it is sorted.
struct Row<'a> {
    name: AgentPartName,
    sum: AgentSum<'a>,
    /// The sum in the range before, if the list is compared with it.
    before: AgentSum<'a>,
    /// What the metrics are of.
    kind: SubjectKind,
}

/// Sorts and cuts the list.
fn list_answer(rows: Vec<Row<'_>>, request: &AgentListRequest, context: AnswerContext) -> AgentListAnswer {
    let count = rows.len() as u64;
    let mut keyed: Vec<_> = rows
        .into_iter()
        .map(|row| (row.sum.value(request.sort, row.kind).number(), row.name.label(), row))
        .collect();
    keyed.sort_by(|(a, a_label, a_row), (b, b_label, b_row)| {
        let order = compare(*a, *b, request.direction);
        order.then_with(|| (a_label, a_row.name.id).cmp(&(b_label, b_row.name.id)))
    });
    keyed.truncate(request.limit.clamp(1, MAX_LIMIT));
    let (dimension, previous_range) = (request.listing.dimension(), request.previous());
    let entry = |(_, _, row): (_, _, Row<'_>)| {
        let metrics = row.sum.values(dimension, row.kind);
        let previous = previous_range
            .is_some()
            .then(|| PreviousAgentValues { metrics: row.before.values(dimension, row.kind) });
        let change = previous.as_ref().map(|before| AgentMetricChanges::between(&metrics, &before.metrics));
        AgentListEntry { name: row.name, metrics, previous, change }
    };
    AgentListAnswer {
        entries: keyed.into_iter().map(entry).collect(),
        by: request.listing.as_str().to_owned(),
        sort: request.sort.name.to_owned(),
        count,
        context,
        previous: request.compare.then(|| previous_range.map(PreviousRange::from)),
    }
}

/// Compares values. Entries without one are last in both directions.
fn compare(a: Option<f64>, b: Option<f64>, direction: SortDirection) -> Ordering {
    match (a, b) {
        (Some(a), Some(b)) if direction == SortDirection::Desc => b.total_cmp(&a),
        (Some(a), Some(b)) => a.total_cmp(&b),
        (a, b) => b.is_some().cmp(&a.is_some()),
    }
}

/// The names of parts, with the names of repositories if they are branches.
pub(super) struct PartNames {
    dimension: AgentDimension,
    repos: HashMap<i64, String>,
}

impl PartNames {
    pub(super) async fn read(org: &OrgReader<'_>, dimension: AgentDimension) -> Result<Self, QueryError> {
        let repos = match dimension {
            AgentDimension::Branch => org.repo_names().await?,
            AgentDimension::Model | AgentDimension::Tool => Default::default(),
        };
        Ok(PartNames { dimension, repos })
    }

    /// Returns the name of a part that an item names.
    pub(super) fn name(&self, name: &str) -> AgentPartName {
        let mut part = AgentPartName::default();
        match self.dimension {
            AgentDimension::Model => part.model = Some(name.to_owned()),
            AgentDimension::Tool => part.tool = Some(name.to_owned()),
            AgentDimension::Branch => {
                let (repo, branch) = parse_branch_key(name).unwrap_or((0, name));
                part.branch = Some(branch.to_owned());
                part.repo = Some(self.repos.get(&repo).cloned().unwrap_or_else(|| repo.to_string()));
                part.id = Some(repo);
            }
        }
        part
    }
}

/// Returns the list of repositories or members of an organization.
async fn list_subjects(
    org: &OrgReader<'_>,
    sessions: &SessionReader<'_>,
    request: &AgentListRequest,
    kind: SubjectKind,
) -> Result<AgentListAnswer, QueryError> {
    let resolved = org.resolve_subject(&request.subject).await?;
    let lists = sessions.read_lists(kind, request.read_range()).await?;
    let repos = if kind == SubjectKind::Repo { org.repo_names().await? } else { HashMap::new() };
    let sums = |range| sums_by_subject(&lists, kind, range, request.bots);
    let mut before = request.previous().map(sums).unwrap_or_default();
    let rows = sums(request.range).into_iter().map(|(key, (subject, sum))| Row {
        name: subject_name(subject, &repos),
        sum,
        before: before.remove(&key).map(|(_, sum)| sum).unwrap_or_default(),
        kind,
    });
    let context = org.context(resolved, request.range, request.bots);
    Ok(list_answer(rows.collect(), request, context))
}

/// What a subject is, as the latest list names it, and what was done there or by it.
type SubjectSum<'a> = (&'a ListedSubject, AgentSum<'a>);

/// Returns the sums of the listed subjects, by the id of the repository or the key of the member.
pub(super) fn sums_by_subject<'a>(
    lists: impl IntoIterator<Item = &'a ReadItem<AgentListItem>>,
    kind: SubjectKind,
    range: Range,
    bots: BotFilter,
) -> BTreeMap<(i64, &'a str), SubjectSum<'a>> {
    let is_listed = |side| match kind {
        SubjectKind::Member => bots.counts_members(side),
        SubjectKind::Org | SubjectKind::Repo => bots.counts(side),
    };
    let mut sums = BTreeMap::new();
    for (list, entry) in
        lists.into_iter().flat_map(|list| list.item.entries.iter().map(move |entry| (list, entry)))
    {
        let listed = days_in(list.key.month, &entry.days, range)
            .filter(|(_, sides)| sides.iter().any(|(side, _)| is_listed(*side)));
        let key = match &entry.subject {
            ListedSubject::Repo(id) => (*id, ""),
            ListedSubject::Member(key, _) => (0, key.as_str()),
        };
        for (_, sides) in listed {
            let (subject, sum) = sums.entry(key).or_insert_with(|| (&entry.subject, AgentSum::default()));
            // Later months have later names.
            *subject = &entry.subject;
            sum.add(sides, &list.item.members, kind, bots);
        }
    }
    sums
}

/// Returns the name of a listed subject. `repos` are the names of repositories.
pub(super) fn subject_name(subject: &ListedSubject, repos: &HashMap<i64, String>) -> AgentPartName {
    let mut name = AgentPartName::default();
    match subject {
        ListedSubject::Repo(id) => {
            name.repo = Some(repos.get(id).cloned().unwrap_or_else(|| id.to_string()));
            name.id = Some(*id);
        }
        ListedSubject::Member(_, display) => {
            name.member = Some(display.name.clone());
            name.kind = Some(display.kind);
        }
    }
    name
}
