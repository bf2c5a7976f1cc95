//! The change probe: one cheap query a hundred repositories tells what there is to read.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::client::Client;
use crate::envelope::GraphQlError;
use crate::error::Error;
use crate::page::PageSize;
use crate::permissions::missing_for;
use crate::queries::{PROBE, PROBE_BY_ID};
use crate::wire::{Connection, Nodes};

/// The newest entry of a list, and how long the list is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Newest {
    /// How many entries there are.
    pub total: i64,
    /// The newest entry's numeric id, where the list is ordered by creation.
    pub id: Option<i64>,
    /// When the newest entry was changed (or created, where the list is ordered so), UTC.
    pub at: Option<DateTime<Utc>>,
}

/// Why nothing new may come from a repository, though it is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RepoState {
    /// Its owner has archived it: it can be read only.
    Archived,
    /// GitHub has disabled it.
    Disabled,
    /// It is locked, as while it is moved.
    Locked,
    /// GitHub blocks access to it, for instance for a copyright claim.
    Blocked,
    /// GitHub does not show it any more: it was deleted, moved away or hidden.
    Gone,
}

/// What tells whether a repository has changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RepoProbe {
    /// The GraphQL node id.
    pub node_id: String,
    /// The numeric id: the repository's identity.
    pub id: i64,
    /// The name.
    pub name: String,
    /// Why nothing new may come from it.
    pub state: Option<RepoState>,
    /// When anything was last pushed, UTC.
    pub pushed_at: Option<DateTime<Utc>>,
    /// The tip of the default branch; an empty repository has none.
    pub tip: Option<String>,
    /// Pull requests, by change.
    pub pulls: Newest,
    /// Issues, by change.
    pub issues: Newest,
    /// Releases, by creation; `at` is when the newest was last changed.
    pub releases: Newest,
    /// Deployments, by creation.
    pub deployments: Newest,
}

/// A member of the organization.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MemberListed {
    /// The login.
    pub login: String,
    /// The numeric account id.
    pub database_id: Option<i64>,
}

/// An organization at a moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrgProbe {
    /// The login, as GitHub spells it.
    pub login: String,
    /// Its repositories that the token can see, by name; forks are left out unless they are asked for.
    pub repos: Vec<RepoProbe>,
    /// Its first 100 members, as far as the token may see them.
    pub members: Vec<MemberListed>,
    /// Repositories that could not be read at all, each with why: the token may not see all of it.
    pub unreadable: Vec<(String, String)>,
    /// When GitHub began to answer, by its own clock, UTC.
    pub read_at: Option<DateTime<Utc>>,
}

/// Where the repositories are in the answer.
const REPOSITORIES: &[&str] = &["organization", "repositories", "nodes"];

/// A page of the organization, and what GitHub says of entries that it does not tell.
struct PageOfOrg {
    organization: Organization,
    errors: Vec<GraphQlError>,
    date: Option<DateTime<Utc>>,
}

impl PageOfOrg {
    /// What GitHub says of an entry that it does not tell.
    fn error_at(&self, at: usize) -> Option<&GraphQlError> {
        self.errors.iter().find(|error| error.entry_below(REPOSITORIES) == Some(at))
    }
}

/// A repository that a page lists and does not tell.
#[derive(Debug, Clone, Deserialize)]
struct Named {
    id: String,
    name: String,
}

#[derive(Deserialize)]
struct Data {
    organization: Option<Organization>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Organization {
    login: String,
    members_with_role: Option<Connection<MemberListed>>,
    repositories: Connection<Repository>,
    /// The same page's names, whatever becomes of the rest.
    names: Connection<Named>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Repository {
    owner: Option<Owner>,
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
    default_branch_ref: Option<Branch>,
    pull_requests: Tops,
    issues: Tops,
    releases: Tops,
    deployments: Tops,
}

#[derive(Deserialize)]
struct Owner {
    login: String,
}

#[derive(Deserialize)]
struct Branch {
    target: Option<Target>,
}

#[derive(Deserialize)]
struct Target {
    oid: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Tops {
    total_count: i64,
    nodes: Option<Vec<Option<Top>>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Top {
    database_id: Option<i64>,
    created_at: Option<DateTime<Utc>>,
    updated_at: Option<DateTime<Utc>>,
}

impl From<Tops> for Newest {
    fn from(tops: Tops) -> Self {
        let top = tops.nodes.unwrap_or_default().into_iter().flatten().next();
        Newest {
            total: tops.total_count,
            id: top.as_ref().and_then(|top| top.database_id),
            at: top.and_then(|top| top.updated_at.or(top.created_at)),
        }
    }
}

impl Repository {
    fn probe(self) -> Option<RepoProbe> {
        let states = [
            (self.is_disabled, RepoState::Disabled),
            (self.is_locked, RepoState::Locked),
            (self.is_archived, RepoState::Archived),
        ];
        Some(RepoProbe {
            state: states.into_iter().find(|(is_it, _)| *is_it).map(|(_, state)| state),
            id: self.database_id?,
            node_id: self.id,
            name: self.name,
            pushed_at: self.pushed_at,
            tip: self.default_branch_ref.and_then(|branch| branch.target).map(|target| target.oid),
            pulls: self.pull_requests.into(),
            issues: self.issues.into(),
            releases: self.releases.into(),
            deployments: self.deployments.into(),
        })
    }
}

impl Client {
    /// Lists the organization's repositories with what tells whether they have changed.
    ///
    /// # Errors
    /// Where there is no such organization, the token may not see it, or GitHub does not answer.
    pub async fn probe(&self, org: &str) -> Result<OrgProbe, Error> {
        let mut size = PageSize::new(100);
        let mut found: Option<OrgProbe> = None;
        let mut after: Option<String> = None;
        loop {
            let mut page = self.probe_page(org, after.as_deref(), found.is_none(), &mut size).await?;
            let nodes = page.organization.repositories.nodes.take().unwrap_or_default();
            let is_failed = |at: &usize| page.error_at(*at).is_some_and(|error| !error.is_refusal());
            if (0..nodes.len()).filter(is_failed).count() * 2 > nodes.len() && size.shrink() {
                continue;
            }
            let probe = found.get_or_insert_with(|| OrgProbe {
                login: page.organization.login.clone(),
                repos: Vec::new(),
                members: Vec::new(),
                unreadable: Vec::new(),
                read_at: page.date,
            });
            let members = page.organization.members_with_role.take();
            probe.members.extend(members.map(Connection::entries).unwrap_or_default());
            let names = page.organization.names.nodes.take().unwrap_or_default();
            let mut untold = Vec::new();
            for (at, repo) in nodes.into_iter().enumerate() {
                let named = names.get(at).cloned().flatten();
                match (page.error_at(at), repo) {
                    (None, Some(repo)) => probe.repos.extend(repo.probe()),
                    (Some(error), repo) if error.is_refusal() => {
                        let name = named.map(|named| named.name).or(repo.map(|repo| repo.name));
                        let name = name.unwrap_or_else(|| "a repository".to_owned());
                        probe.unreadable.push((name, refused(error)));
                    }
                    _ => untold.extend(named),
                }
            }
            self.probe_untold(probe, untold).await?;
            after = page.organization.repositories.page_info.next();
            if after.is_none() {
                return Ok(found.expect("a page was read"));
            }
        }
    }

    /// Asks by themselves for repositories that a page did not tell: one that GitHub cannot tell must not
    /// keep the others from being read.
    async fn probe_untold(&self, probe: &mut OrgProbe, untold: Vec<Named>) -> Result<(), Error> {
        for Named { id, name } in untold {
            let why = match self.probe_repos(&probe.login, &[id]).await {
                Ok(found) if found.repos.is_empty() => {
                    "GitHub lists it and does not show it; a later run will show whether it is gone"
                        .to_owned()
                }
                Ok(found) => {
                    probe.repos.extend(found.repos);
                    continue;
                }
                Err(error @ (Error::Limited { .. } | Error::Unauthorized(_))) => return Err(error),
                Err(error) => error.to_string(),
            };
            probe.unreadable.push((name, why));
        }
        Ok(())
    }

    /// What tells whether single repositories have changed, by node id, 100 at most. One that GitHub does
    /// not show any more, or not in this organization, is left out.
    ///
    /// # Errors
    /// Where GitHub does not answer.
    pub async fn probe_repos(&self, org: &str, node_ids: &[String]) -> Result<OrgProbe, Error> {
        let variables = json!({ "ids": node_ids });
        let reply = self
            .query::<Nodes<Repository>>(&PROBE_BY_ID, variables, None, GraphQlError::is_of_a_node)
            .await?;
        let is_ours = |owner: &Owner| owner.login.eq_ignore_ascii_case(org);
        let found: Vec<Repository> = reply
            .data
            .nodes
            .into_iter()
            .flatten()
            .filter(|repo| repo.owner.as_ref().is_some_and(is_ours))
            .collect();
        let spelled = found.iter().find_map(|repo| Some(repo.owner.as_ref()?.login.clone()));
        Ok(OrgProbe {
            login: spelled.unwrap_or_else(|| org.to_owned()),
            repos: found.into_iter().filter_map(Repository::probe).collect(),
            members: Vec::new(),
            unreadable: Vec::new(),
            read_at: reply.date,
        })
    }

    /// A page of the organization.
    async fn probe_page(
        &self,
        org: &str,
        after: Option<&str>,
        members: bool,
        size: &mut PageSize,
    ) -> Result<PageOfOrg, Error> {
        // Without a word about forks both are listed.
        let fork = (!self.forks()).then_some(false);
        let ask = async |members: bool, size: &mut PageSize| {
            let variables = json!({ "org": org, "after": after, "members": members, "fork": fork });
            let is_of_an_entry = |error: &GraphQlError| error.entry_below(REPOSITORIES).is_some();
            self.query::<Data>(&PROBE, variables, Some(size), is_of_an_entry).await
        };
        let reply = match ask(members, size).await {
            // Who the members are may be hidden from the token, which hides all else with it.
            Err(Error::Forbidden(_)) if members => ask(false, size).await,
            reply => reply,
        };
        let reply = reply.map_err(|error| no_such_org(org, error))?;
        match reply.data.organization {
            Some(organization) => Ok(PageOfOrg { organization, errors: reply.errors, date: reply.date }),
            None => Err(no_such_org(org, Error::NotFound(String::new()))),
        }
    }
}

/// Why the token may not read an entry.
fn refused(error: &GraphQlError) -> String {
    let lacks =
        missing_for(error).map(|permission| format!(", which needs the permission {permission} (read)"));
    format!("the token may not read it{}: {}", lacks.unwrap_or_default(), error.message)
}

pub(crate) fn no_such_org(org: &str, error: Error) -> Error {
    match error {
        Error::NotFound(_) => Error::NotFound(format!(
            "GitHub shows no organization {org:?} to this token: check the spelling, and that the token may see it"
        )),
        other => other,
    }
}
