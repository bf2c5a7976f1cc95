//! Lists of models, tools, branches, repositories and members, with what was done with or by each.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use gam_model::{AgentCounter, AgentDimension, AgentMetric, MemberKind, Range, Subject, SubjectKind};
use gam_rollup::ListedSubject;
use gam_rollup::agents::{AgentCounts, add_counts, parse_branch_key};

use super::answers::{AgentListAnswer, AgentListEntry, AgentPartName};
use super::reading::{SessionReader, days_in};
use super::sums::AgentSum;
use crate::answers::{BotFilter, SortDirection, SubjectRef};
use crate::org_reader::{OrgQuery, OrgReader, read_org};
use crate::values::counts_in_subject;
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
        let mut resolved = org.resolve_subject(&request.subject).await?;
        let sessions = SessionReader::open(org).await?;
        let mut entries = match request.listing {
            AgentListing::Parts(dimension) => {
                let days = sessions.read_days(&resolved.subject, request.range).await?;
                sessions.set_display_name(&mut resolved, &days, request.range).await?;
                let kind = resolved.subject.kind();
                let mut parts: BTreeMap<&str, AgentCounts> = BTreeMap::new();
                for month in &days {
                    for (_, sides) in month.days(request.range) {
                        for (_, side) in
                            sides.iter().filter(|(side, _)| counts_in_subject(kind, request.bots, *side))
                        {
                            for (index, counts) in &side.parts[dimension as usize] {
                                let name = &month.item.names[dimension as usize][*index as usize];
                                let part = parts.entry(name).or_insert([0; AgentCounter::COUNT]);
                                add_counts(part, counts);
                            }
                        }
                    }
                }
                let names = PartNames::read(org, dimension).await?;
                let entry =
                    |(name, counts)| (names.name(name), AgentSum::of_counts(counts), SubjectKind::Org);
                parts.into_iter().map(entry).collect()
            }
            AgentListing::Repos => read_subjects(org, &sessions, request, SubjectKind::Repo).await?,
            AgentListing::Members => read_subjects(org, &sessions, request, SubjectKind::Member).await?,
        };
        let value = |sum: &AgentSum, kind| sum.value(request.sort, kind).number();
        entries.sort_by(|(a_name, a, a_kind), (b_name, b, b_kind)| {
            let order = compare(value(a, *a_kind), value(b, *b_kind), request.direction);
            order.then_with(|| (a_name.label(), a_name.id).cmp(&(b_name.label(), b_name.id)))
        });
        let count = entries.len() as u64;
        entries.truncate(request.limit.clamp(1, MAX_LIMIT));
        let dimension = request.listing.dimension();
        let entries = entries
            .into_iter()
            .map(|(name, sum, kind)| AgentListEntry { name, metrics: sum.values(dimension, kind) });
        Ok(AgentListAnswer {
            entries: entries.collect(),
            by: request.listing.as_str().to_owned(),
            sort: request.sort.name.to_owned(),
            count,
            context: org.context(resolved, request.range, request.bots),
        })
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
    repos: std::collections::HashMap<i64, String>,
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

type Entries = Vec<(AgentPartName, AgentSum, SubjectKind)>;

async fn read_subjects(
    org: &OrgReader<'_>,
    sessions: &SessionReader<'_>,
    request: &AgentListRequest,
    kind: SubjectKind,
) -> Result<Entries, QueryError> {
    let lists = sessions.read_lists(kind, request.range).await?;
    let repos = if kind == SubjectKind::Repo { org.repo_names().await? } else { Default::default() };
    let mut sums: BTreeMap<Subject, AgentSum> = BTreeMap::new();
    // Later months have later names.
    let mut names: BTreeMap<Subject, (String, MemberKind)> = BTreeMap::new();
    for list in &lists {
        for entry in &list.item.entries {
            for (_, sides) in days_in(list.key.month, &entry.days, request.range) {
                let is_listed = |side| match kind {
                    SubjectKind::Member => request.bots.counts_members(side),
                    SubjectKind::Org | SubjectKind::Repo => request.bots.counts(side),
                };
                if sides.iter().any(|(side, _)| is_listed(*side)) {
                    let sum = sums.entry(entry.subject.subject()).or_default();
                    sum.add(sides, &list.item.members, kind, request.bots);
                    if let ListedSubject::Member(_, name) = &entry.subject {
                        names.insert(entry.subject.subject(), (name.name.clone(), name.kind));
                    }
                }
            }
        }
    }
    let mut named = names;
    let entry = |(subject, sum): (Subject, AgentSum)| {
        let mut name = AgentPartName::default();
        match &subject {
            Subject::Repo(id) => {
                name.repo = Some(repos.get(id).cloned().unwrap_or_else(|| id.to_string()));
                name.id = Some(*id);
            }
            Subject::Org | Subject::Member(_) => {
                let (member, kind) = named.remove(&subject).unzip();
                (name.member, name.kind) = (member, kind);
            }
        }
        (name, sum, kind)
    };
    Ok(sums.into_iter().map(entry).collect())
}
