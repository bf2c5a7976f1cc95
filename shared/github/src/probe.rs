//! The probe: one cheap query for up to a hundred repositories that shows what there is to read.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::client::Client;
use crate::envelope::GraphQlError;
use crate::error::Error;
use crate::page::PageSize;
use crate::permissions::required_permission;
use crate::queries::{MEMBERS, PROBE, PROBE_BY_ID};
use crate::wire::{Connection, Nodes};

/// The length of a list, and its newest entry.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ListSummary {
    /// The number of entries.
    pub total: i64,
    /// The newest entry's numeric id, if the list is ordered by creation.
    pub id: Option<i64>,
    /// When the newest entry last changed, UTC. For deployments, when it was created.
    pub at: Option<DateTime<Utc>>,
}

/// Why a repository is not expected to have anything new.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RepoState {
    /// The owner has archived it, so it is read-only.
    Archived,
    /// GitHub has disabled it.
    Disabled,
    /// It is locked, for example during a migration.
    Locked,
    /// GitHub blocks access to it, for example because of a copyright claim.
    Blocked,
    /// GitHub no longer lists it: it was deleted, transferred, or hidden from the token.
    Gone,
}

/// What shows whether a repository has changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RepoProbe {
    /// The GraphQL node id.
    pub node_id: String,
    /// The numeric id, which identifies the repository.
    pub id: i64,
    /// The name without the owner.
    pub name: String,
    /// Why the repository is not expected to have anything new; `None` if it is active.
    pub state: Option<RepoState>,
    /// When anything was last pushed, UTC.
    pub pushed_at: Option<DateTime<Utc>>,
    /// The name of the default branch; `None` if the repository is empty.
    pub default_branch: Option<String>,
    /// The object id of the default branch's tip; `None` if the repository is empty.
    pub tip: Option<String>,
    /// Pull requests, by last change.
    pub pulls: ListSummary,
    /// Issues, by last change.
    pub issues: ListSummary,
    /// Releases, by creation; `at` is the last change of the newest one.
    pub releases: ListSummary,
    /// Deployments, by creation.
    pub deployments: ListSummary,
}

/// A member of the organization on GitHub.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OrgMember {
    /// The login.
    pub login: String,
    /// The numeric account id.
    pub database_id: Option<i64>,
}

/// The state of an organization at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrgProbe {
    /// The login, in GitHub's capitalization.
    pub login: String,
    /// The numeric id, which stays the same if the organization is renamed; `None` if GitHub did not send it.
    pub id: Option<i64>,
    /// The repositories that the token can see, by name; without forks, unless the client includes them.
    pub repos: Vec<RepoProbe>,
    /// The first 100 members, as far as the token can see them.
    pub members: Vec<OrgMember>,
    /// The number of members that the token can see; `None` if it may not list them.
    pub members_total: Option<i64>,
    /// The cursor of the following members; `None` if there are none.
    pub members_after: Option<String>,
    /// The names of repositories that could not be read, for example for lack of permission, and why.
    pub unreadable: Vec<(String, String)>,
    /// When GitHub answered the first page, by its own clock, UTC.
    pub read_at: Option<DateTime<Utc>>,
}

/// The path of the repositories in the response.
const REPOSITORIES_PATH: &[&str] = &["organization", "repositories", "nodes"];

/// A page of the organization's repositories, and the errors for those that GitHub could not return.
struct OrgPage {
    organization: ProbedOrganization,
    errors: Vec<GraphQlError>,
    date: Option<DateTime<Utc>>,
}

impl OrgPage {
    /// The error for the repository at that position, if any.
    fn error_at(&self, at: usize) -> Option<&GraphQlError> {
        self.errors.iter().find(|error| error.entry_below(REPOSITORIES_PATH) == Some(at))
    }
}

#[derive(Debug, Clone, Deserialize)]
struct RepoName {
    id: String,
    name: String,
}

#[derive(Deserialize)]
struct WithOrganization {
    organization: Option<ProbedOrganization>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ProbedOrganization {
    login: String,
    database_id: Option<i64>,
    members_with_role: Option<ProbedMembers>,
    repositories: Connection<ProbedRepository>,
    /// The names on the same page, which arrive even if a repository fails.
    names: Connection<RepoName>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ProbedMembers {
    total_count: i64,
    #[serde(flatten)]
    page: Connection<OrgMember>,
}

#[derive(Deserialize)]
struct WithMembers {
    organization: Option<MembersOnly>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct MembersOnly {
    members_with_role: Connection<OrgMember>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ProbedRepository {
    owner: Option<RepoOwner>,
    id: String,
    database_id: Option<i64>,
    name: String,
    #[serde(default)]
    is_archived: bool,
    #[serde(default)]
    is_disabled: bool,
    #[serde(default)]
    is_locked: bool,
    pushed_at: Option<DateTime<Utc>>,
    default_branch_ref: Option<DefaultBranch>,
    pull_requests: NewestEntry,
    issues: NewestEntry,
    releases: NewestEntry,
    deployments: NewestEntry,
}

#[derive(Deserialize)]
struct RepoOwner {
    login: String,
}

#[derive(Deserialize)]
struct DefaultBranch {
    name: Option<String>,
    target: Option<BranchTip>,
}

#[derive(Deserialize)]
struct BranchTip {
    oid: String,
}

/// A list of which the query selects the first entry only.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct NewestEntry {
    total_count: i64,
    nodes: Option<Vec<Option<EntryTimes>>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct EntryTimes {
    database_id: Option<i64>,
    created_at: Option<DateTime<Utc>>,
    updated_at: Option<DateTime<Utc>>,
}

impl From<NewestEntry> for ListSummary {
    fn from(list: NewestEntry) -> Self {
        let newest = list.nodes.unwrap_or_default().into_iter().flatten().next();
        ListSummary {
            total: list.total_count,
            id: newest.as_ref().and_then(|entry| entry.database_id),
            at: newest.and_then(|entry| entry.updated_at.or(entry.created_at)),
        }
    }
}

impl ProbedRepository {
    /// The probe of the repository; `None` if GitHub sent no numeric id.
    fn into_probe(self) -> Option<RepoProbe> {
        let states = [
            (self.is_disabled, RepoState::Disabled),
            (self.is_locked, RepoState::Locked),
            (self.is_archived, RepoState::Archived),
        ];
        Some(RepoProbe {
            state: states.into_iter().find(|(applies, _)| *applies).map(|(_, state)| state),
            id: self.database_id?,
            node_id: self.id,
            name: self.name,
            pushed_at: self.pushed_at,
            default_branch: self.default_branch_ref.as_ref().and_then(|branch| branch.name.clone()),
            tip: self.default_branch_ref.and_then(|branch| branch.target).map(|target| target.oid),
            pulls: self.pull_requests.into(),
            issues: self.issues.into(),
            releases: self.releases.into(),
            deployments: self.deployments.into(),
        })
    }
}

impl Client {
    /// Lists the organization's repositories, with what shows whether they have changed.
    ///
    /// # Errors
    /// If the organization does not exist, the token cannot see it, or GitHub cannot be read.
    pub async fn probe(&self, org: &str) -> Result<OrgProbe, Error> {
        let mut size = PageSize::new(100);
        let mut probe: Option<OrgProbe> = None;
        let mut after: Option<String> = None;
        loop {
            let mut page = self.probe_page(org, after.as_deref(), probe.is_none(), &mut size).await?;
            let nodes = page.organization.repositories.nodes.take().unwrap_or_default();
            let has_failed =
                |at: &usize| page.error_at(*at).is_some_and(|error| !error.is_permission_denied());
            if (0..nodes.len()).filter(has_failed).count() * 2 > nodes.len() && size.shrink() {
                continue;
            }
            let probe_so_far = probe.get_or_insert_with(|| OrgProbe {
                login: page.organization.login.clone(),
                id: page.organization.database_id,
                repos: Vec::new(),
                members: Vec::new(),
                members_total: None,
                members_after: None,
                unreadable: Vec::new(),
                read_at: page.date,
            });
            if let Some(ProbedMembers { total_count, page }) = page.organization.members_with_role.take() {
                probe_so_far.members_total = Some(total_count);
                probe_so_far.members_after = page.page_info.clone().next();
                probe_so_far.members.extend(page.entries());
            }
            let names = page.organization.names.nodes.take().unwrap_or_default();
            let mut missing = Vec::new();
            for (at, repo) in nodes.into_iter().enumerate() {
                let listed = names.get(at).cloned().flatten();
                match (page.error_at(at), repo) {
                    (None, Some(repo)) => probe_so_far.repos.extend(repo.into_probe()),
                    (Some(error), repo) if error.is_permission_denied() => {
                        let name = listed.map(|listed| listed.name).or(repo.map(|repo| repo.name));
                        let name = name.unwrap_or_else(|| "a repository".to_owned());
                        probe_so_far.unreadable.push((name, permission_error(error)));
                    }
                    _ => missing.extend(listed),
                }
            }
            self.probe_missing(probe_so_far, missing).await?;
            after = page.organization.repositories.page_info.next();
            if after.is_none() {
                return Ok(probe.expect("a page was read"));
            }
        }
    }

    /// Lists the members of an organization after a cursor of [`OrgProbe::members_after`].
    ///
    /// # Errors
    /// If GitHub cannot be read.
    pub async fn members_after(&self, org: &str, cursor: &str) -> Result<Vec<OrgMember>, Error> {
        let (mut members, mut size) = (Vec::new(), PageSize::new(100));
        let mut after = Some(cursor.to_owned());
        while after.is_some() {
            let variables = json!({ "org": org, "after": after });
            let reply = self.query::<WithMembers>(&MEMBERS, variables, Some(&mut size), |_| false).await?;
            let page = reply.data.organization.ok_or_else(|| Error::no_such_org(org))?.members_with_role;
            after = page.page_info.clone().next();
            members.extend(page.entries());
        }
        Ok(members)
    }

    /// Probes each repository separately that GitHub listed but did not return, so that one failing
    /// repository does not prevent the others from being read.
    async fn probe_missing(&self, probe: &mut OrgProbe, missing: Vec<RepoName>) -> Result<(), Error> {
        for RepoName { id, name } in missing {
            let why = match self.probe_repos(&probe.login, &[id]).await {
                Ok(single) if single.repos.is_empty() => {
                    "GitHub lists it but does not return it; a later run will show whether it is gone"
                        .to_owned()
                }
                Ok(single) => {
                    probe.repos.extend(single.repos);
                    continue;
                }
                Err(error @ (Error::Limited { .. } | Error::Unauthorized(_))) => return Err(error),
                Err(error) => error.to_string(),
            };
            probe.unreadable.push((name, why));
        }
        Ok(())
    }

    /// Probes up to 100 repositories by node id, without those that are gone or belong to another owner.
    ///
    /// # Errors
    /// If GitHub cannot be read.
    pub async fn probe_repos(&self, org: &str, node_ids: &[String]) -> Result<OrgProbe, Error> {
        let variables = json!({ "ids": node_ids });
        let reply = self
            .query::<Nodes<ProbedRepository>>(
                &PROBE_BY_ID,
                variables,
                None,
                GraphQlError::affects_single_node,
            )
            .await?;
        let is_in_org = |owner: &RepoOwner| owner.login.eq_ignore_ascii_case(org);
        let repos: Vec<ProbedRepository> = reply
            .data
            .nodes
            .into_iter()
            .flatten()
            .filter(|repo| repo.owner.as_ref().is_some_and(is_in_org))
            .collect();
        let login = repos.iter().find_map(|repo| Some(repo.owner.as_ref()?.login.clone()));
        Ok(OrgProbe {
            login: login.unwrap_or_else(|| org.to_owned()),
            id: None,
            repos: repos.into_iter().filter_map(ProbedRepository::into_probe).collect(),
            members: Vec::new(),
            members_total: None,
            members_after: None,
            unreadable: Vec::new(),
            read_at: reply.date,
        })
    }

    async fn probe_page(
        &self,
        org: &str,
        after: Option<&str>,
        with_members: bool,
        size: &mut PageSize,
    ) -> Result<OrgPage, Error> {
        // GitHub lists forks too if `isFork` is null.
        let is_fork = (!self.includes_forks()).then_some(false);
        let fetch = async |with_members: bool, size: &mut PageSize| {
            let variables = json!({ "org": org, "after": after, "members": with_members, "fork": is_fork });
            let affects_one_repo = |error: &GraphQlError| error.entry_below(REPOSITORIES_PATH).is_some();
            self.query::<WithOrganization>(&PROBE, variables, Some(size), affects_one_repo).await
        };
        let reply = match fetch(with_members, size).await {
            // If the token may not list the members, GitHub returns nothing at all.
            Err(Error::Forbidden(_)) if with_members => fetch(false, size).await,
            reply => reply,
        };
        let reply = reply.map_err(|error| error.with_org(org))?;
        match reply.data.organization {
            Some(organization) => Ok(OrgPage { organization, errors: reply.errors, date: reply.date }),
            None => Err(Error::no_such_org(org)),
        }
    }
}

/// Why the token may not read a repository.
fn permission_error(error: &GraphQlError) -> String {
    match required_permission(error) {
        Some(permission) => format!("the token lacks \"{permission}: read\": {}", error.message),
        None => format!("the token may not read it: {}", error.message),
    }
}
