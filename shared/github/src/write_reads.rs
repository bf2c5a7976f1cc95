//! What is read from GitHub to decide about writing there.

use chrono::{DateTime, SecondsFormat, Utc};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::json;

use crate::client::Client;
use crate::error::Error;
use crate::queries::{BRANCHES, OPEN_PULL_REQUESTS, PULL_REQUEST_STATE};
use crate::rest::{App, User};
use crate::wire::{Connection, Nodes, TotalCount};
use crate::write::{LabelName, MergeProgress, MergeRequestAnswer};

/// How many entries one request lists.
const ENTRIES_PER_REQUEST: usize = 100;
/// The most pages of a list. A list that is longer is cut.
const MAX_PAGES: usize = 100;

/// A repository that is to be written to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WritableRepo {
    /// The login of the owner, as GitHub writes it now.
    pub owner: String,
    /// The present name.
    pub name: String,
    /// The name of the default branch.
    pub default_branch: String,
    /// Whether it is read-only.
    pub is_archived: bool,
    /// Whether it has issues.
    pub has_issues: bool,
}

/// A branch and its newest commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Branch {
    /// The name.
    pub name: String,
    /// The newest commit.
    pub sha: String,
    /// When it was committed, UTC, by the committer's clock.
    pub committed_at: DateTime<Utc>,
    /// Whether an open pull request is to merge it.
    pub has_open_pull: bool,
}

/// A pull request as it is now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PullRequestState {
    /// The number.
    pub number: i64,
    /// GitHub's node id.
    pub node_id: String,
    /// The address of its page.
    pub url: String,
    /// The title.
    pub title: String,
    /// The description.
    pub body: String,
    /// The login of the author, with `[bot]` for an app; `None` for a deleted account.
    pub author: Option<String>,
    /// `OPEN`, `CLOSED` or `MERGED`.
    pub state: String,
    /// Whether it is a draft.
    pub is_draft: bool,
    /// Whether its branch is in another repository.
    pub is_fork: bool,
    /// The branch to merge.
    pub head: String,
    /// The head commit.
    pub head_sha: String,
    /// The branch to merge into.
    pub base: String,
    /// The commit on the base branch, if it is merged.
    pub merge_sha: Option<String>,
    /// Whether it is in a merge queue.
    pub is_queued: bool,
    /// Whether it can be merged without conflicts; `None` while GitHub computes that.
    pub is_mergeable: Option<bool>,
}

/// An issue or a comment of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedText {
    /// The number of an issue; 0 for a comment.
    pub number: i64,
    /// GitHub's id.
    pub id: i64,
    /// The address of its page.
    pub url: String,
    /// The text.
    pub body: String,
    /// The login of the author.
    pub author: Option<String>,
    /// The names of the labels of an issue.
    pub labels: Vec<String>,
    /// The logins of the assignees of an issue.
    pub assignees: Vec<String>,
    /// Whether an issue has a milestone.
    pub has_milestone: bool,
}

/// A review of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedReview {
    /// GitHub's id.
    pub id: i64,
    /// The address.
    pub url: String,
    /// The login of the reviewer.
    pub author: Option<String>,
    /// Whether it approves.
    pub is_approval: bool,
    /// The commit that it is about.
    pub commit_id: String,
}

#[derive(Deserialize)]
struct RestRepo {
    name: String,
    owner: User,
    default_branch: String,
    #[serde(default)]
    archived: bool,
    #[serde(default = "yes")]
    has_issues: bool,
}

fn yes() -> bool {
    true
}

#[derive(Deserialize)]
struct RestText {
    #[serde(default)]
    number: i64,
    id: i64,
    html_url: String,
    body: Option<String>,
    user: Option<User>,
    #[serde(default)]
    labels: Vec<LabelName>,
    #[serde(default)]
    assignees: Vec<User>,
    milestone: Option<serde_json::Value>,
    pull_request: Option<serde_json::Value>,
}

impl From<RestText> for ListedText {
    fn from(text: RestText) -> Self {
        ListedText {
            number: text.number,
            id: text.id,
            url: text.html_url,
            body: text.body.unwrap_or_default(),
            author: text.user.map(|user| user.login),
            labels: text.labels.into_iter().map(|label| label.name).collect(),
            assignees: text.assignees.into_iter().map(|user| user.login).collect(),
            has_milestone: text.milestone.is_some_and(|milestone| !milestone.is_null()),
        }
    }
}

#[derive(Deserialize)]
struct RestReview {
    id: i64,
    #[serde(default)]
    html_url: String,
    user: Option<User>,
    state: String,
    commit_id: Option<String>,
}

#[derive(Deserialize)]
struct RestPull {
    number: i64,
    node_id: String,
    html_url: String,
    title: String,
    body: Option<String>,
    user: Option<User>,
    state: String,
    #[serde(default)]
    draft: bool,
    merged_at: Option<DateTime<Utc>>,
    merge_commit_sha: Option<String>,
    head: RestHead,
    base: RestHead,
}

#[derive(Deserialize)]
struct RestHead {
    #[serde(rename = "ref")]
    name: String,
    sha: String,
}

impl From<RestPull> for PullRequestState {
    fn from(pull: RestPull) -> Self {
        let is_merged = pull.merged_at.is_some();
        PullRequestState {
            number: pull.number,
            node_id: pull.node_id,
            url: pull.html_url,
            title: pull.title,
            body: pull.body.unwrap_or_default(),
            author: pull.user.map(|user| user.login),
            state: if is_merged { "MERGED".to_owned() } else { pull.state.to_uppercase() },
            is_draft: pull.draft,
            // The list is one of branches of the repository itself.
            is_fork: false,
            head: pull.head.name,
            head_sha: pull.head.sha,
            base: pull.base.name,
            merge_sha: pull.merge_commit_sha.filter(|_| is_merged),
            is_queued: false,
            is_mergeable: None,
        }
    }
}

#[derive(Deserialize)]
struct RestRef {
    object: RestObject,
}

#[derive(Deserialize)]
struct RestObject {
    sha: String,
}

#[derive(Deserialize)]
struct RestComparison {
    ahead_by: u64,
}

#[derive(Deserialize)]
struct RepositoryData<T> {
    repository: Option<T>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PullData {
    pull_request: Option<PullNode>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PullsData {
    pull_requests: Nodes<PullNode>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PullNode {
    number: i64,
    id: String,
    url: String,
    title: String,
    body: String,
    author: Option<ActorNode>,
    state: String,
    is_draft: bool,
    is_cross_repository: bool,
    head_ref_name: String,
    head_ref_oid: String,
    base_ref_name: String,
    merge_commit: Option<Oid>,
    is_in_merge_queue: bool,
    mergeable: String,
}

#[derive(Deserialize)]
struct ActorNode {
    #[serde(rename = "__typename")]
    kind: String,
    login: String,
}

#[derive(Deserialize)]
struct Oid {
    oid: String,
}

impl From<PullNode> for PullRequestState {
    fn from(pull: PullNode) -> Self {
        // GraphQL leaves out the suffix that REST shows.
        let login = |actor: ActorNode| match actor.kind == "Bot" && !actor.login.ends_with("[bot]") {
            true => format!("{}[bot]", actor.login),
            false => actor.login,
        };
        PullRequestState {
            number: pull.number,
            node_id: pull.id,
            url: pull.url,
            title: pull.title,
            body: pull.body,
            author: pull.author.map(login),
            state: pull.state,
            is_draft: pull.is_draft,
            is_fork: pull.is_cross_repository,
            head: pull.head_ref_name,
            head_sha: pull.head_ref_oid,
            base: pull.base_ref_name,
            merge_sha: pull.merge_commit.map(|commit| commit.oid),
            is_queued: pull.is_in_merge_queue,
            is_mergeable: match pull.mergeable.as_str() {
                "MERGEABLE" => Some(true),
                "CONFLICTING" => Some(false),
                _ => None,
            },
        }
    }
}

#[derive(Deserialize)]
struct RefsData {
    refs: Option<Connection<RefNode>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RefNode {
    name: String,
    target: Option<RefTarget>,
    associated_pull_requests: TotalCount,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RefTarget {
    oid: String,
    committed_date: Option<DateTime<Utc>>,
}

fn no_such_repo(owner: &str, repo: &str) -> Error {
    Error::NotFound(format!(
        "there is no repository {owner}/{repo}, or the token for writing may not see it: check the name and the token's \
         access"
    ))
}

fn query_text(text: &str) -> String {
    url::form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

/// Encodes a branch for a path. Slashes separate parts there, too.
fn path_text(text: &str) -> String {
    query_text(text).replace('+', "%20").replace("%2F", "/")
}

impl Client {
    /// Returns the login under which GitHub shows what this client writes. An app writes as `NAME[bot]`.
    ///
    /// # Errors
    /// If GitHub cannot be read.
    pub async fn writing_login(&self) -> Result<String, Error> {
        if self.is_app() {
            let (app, _) = self.get::<App>("the app", "/app").await?;
            return app.slug.map(|slug| format!("{slug}[bot]")).ok_or_else(|| {
                Error::Invalid("GitHub does not say the name of the app: please report this".to_owned())
            });
        }
        let (user, _) = self.get::<User>("the owner of the token", "/user").await?;
        Ok(user.login)
    }

    /// Reads a repository. A renamed one is found under its old name.
    ///
    /// # Errors
    /// [`Error::NotFound`] if it is not there; other errors if GitHub cannot be read.
    pub async fn writable_repo(&self, owner: &str, repo: &str) -> Result<WritableRepo, Error> {
        let read = self.get::<RestRepo>("the repository", &format!("/repos/{owner}/{repo}")).await;
        let (rest, _) = read.map_err(|error| match error {
            Error::NotFound(_) => no_such_repo(owner, repo),
            error => error,
        })?;
        Ok(WritableRepo {
            owner: rest.owner.login,
            name: rest.name,
            default_branch: rest.default_branch,
            is_archived: rest.archived,
            has_issues: rest.has_issues,
        })
    }

    /// Reads all branches, a hundred for one point.
    ///
    /// # Errors
    /// As [`Client::writable_repo`].
    pub async fn branches(&self, owner: &str, repo: &str) -> Result<Vec<Branch>, Error> {
        let (mut branches, mut cursor) = (Vec::new(), None::<String>);
        for _ in 0..MAX_PAGES {
            let variables = json!({ "owner": owner, "name": repo, "cursor": cursor });
            let reply = self
                .query::<RepositoryData<RefsData>>(&BRANCHES, variables, None, |_| false)
                .await
                .map_err(|error| not_found_as(error, owner, repo))?;
            let data = reply.data.repository.ok_or_else(|| no_such_repo(owner, repo))?;
            let Some(mut page) = data.refs else { break };
            cursor = std::mem::take(&mut page.page_info).next();
            branches.extend(page.entries().into_iter().filter_map(|node| {
                let target = node.target?;
                Some(Branch {
                    name: node.name,
                    sha: target.oid,
                    committed_at: target.committed_date?,
                    has_open_pull: node.associated_pull_requests.total_count > 0,
                })
            }));
            if cursor.is_none() {
                break;
            }
        }
        Ok(branches)
    }

    /// Returns the newest commit of a branch, or `None` if there is no such branch.
    ///
    /// # Errors
    /// If GitHub cannot be read.
    pub async fn branch_tip(&self, owner: &str, repo: &str, branch: &str) -> Result<Option<String>, Error> {
        let path = format!("/repos/{owner}/{repo}/git/ref/heads/{}", path_text(branch));
        match self.get::<RestRef>("the branch", &path).await {
            Ok((reference, _)) => Ok(Some(reference.object.sha)),
            Err(Error::NotFound(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Returns how many commits `head` has that `base` has not.
    ///
    /// # Errors
    /// If one of the branches is gone, or GitHub cannot be read.
    pub async fn commits_ahead(&self, owner: &str, repo: &str, base: &str, head: &str) -> Result<u64, Error> {
        let (base, head) = (path_text(base), path_text(head));
        let path = format!("/repos/{owner}/{repo}/compare/{base}...{head}?per_page=1");
        Ok(self.get::<RestComparison>("the comparison of branches", &path).await?.0.ahead_by)
    }

    /// Reads a pull request, or returns `None` if there is none.
    ///
    /// # Errors
    /// As [`Client::writable_repo`].
    pub async fn pull_state(
        &self,
        owner: &str,
        repo: &str,
        number: i64,
    ) -> Result<Option<PullRequestState>, Error> {
        let variables = json!({ "owner": owner, "name": repo, "number": number });
        let is_missing =
            |error: &crate::envelope::GraphQlError| error.is_not_found() && error.is_below(&["repository"]);
        let reply = self
            .query::<RepositoryData<PullData>>(&PULL_REQUEST_STATE, variables, None, is_missing)
            .await
            .map_err(|error| not_found_as(error, owner, repo))?;
        let data = reply.data.repository.ok_or_else(|| no_such_repo(owner, repo))?;
        Ok(data.pull_request.map(PullRequestState::from))
    }

    /// Lists the 100 newest open pull requests, the newest first.
    ///
    /// # Errors
    /// As [`Client::writable_repo`].
    pub async fn open_pulls(&self, owner: &str, repo: &str) -> Result<Vec<PullRequestState>, Error> {
        let variables = json!({ "owner": owner, "name": repo });
        let reply = self
            .query::<RepositoryData<PullsData>>(&OPEN_PULL_REQUESTS, variables, None, |_| false)
            .await
            .map_err(|error| not_found_as(error, owner, repo))?;
        let data = reply.data.repository.ok_or_else(|| no_such_repo(owner, repo))?;
        Ok(data.pull_requests.nodes.into_iter().flatten().map(PullRequestState::from).collect())
    }

    /// Lists the pull requests of a branch into another one, in any state, the newest first.
    ///
    /// # Errors
    /// If GitHub cannot be read.
    pub async fn pulls_of_branch(
        &self,
        owner: &str,
        repo: &str,
        head: &str,
        base: &str,
    ) -> Result<Vec<PullRequestState>, Error> {
        let (head_query, base_query) = (query_text(&format!("{owner}:{head}")), query_text(base));
        let path = format!(
            "/repos/{owner}/{repo}/pulls?state=all&sort=created&direction=desc&head={head_query}&base={base_query}"
        );
        let pulls = self.list_pages::<RestPull>("pull requests", &path).await?;
        // GitHub ignores a filter that it does not understand.
        let is_of_branch = |pull: &PullRequestState| pull.head == head && pull.base == base;
        Ok(pulls.into_iter().map(PullRequestState::from).filter(is_of_branch).collect())
    }

    /// Lists the issues that changed at or after `since`, the newest first, without pull requests.
    ///
    /// # Errors
    /// If GitHub cannot be read.
    pub async fn texts_of_issues(
        &self,
        owner: &str,
        repo: &str,
        since: DateTime<Utc>,
    ) -> Result<Vec<ListedText>, Error> {
        let since = since.to_rfc3339_opts(SecondsFormat::Secs, true);
        let path =
            format!("/repos/{owner}/{repo}/issues?state=all&sort=created&direction=desc&since={since}");
        let issues = self.list_pages::<RestText>("issues", &path).await?;
        Ok(issues.into_iter().filter(|it| it.pull_request.is_none()).map(ListedText::from).collect())
    }

    /// Lists the comments of an issue or pull request that changed at or after `since`.
    ///
    /// # Errors
    /// If GitHub cannot be read.
    pub async fn texts_of_comments(
        &self,
        owner: &str,
        repo: &str,
        number: i64,
        since: DateTime<Utc>,
    ) -> Result<Vec<ListedText>, Error> {
        let since = since.to_rfc3339_opts(SecondsFormat::Secs, true);
        let path = format!("/repos/{owner}/{repo}/issues/{number}/comments?since={since}");
        let comments = self.list_pages::<RestText>("comments", &path).await?;
        Ok(comments.into_iter().map(ListedText::from).collect())
    }

    /// Lists the reviews of a pull request.
    ///
    /// # Errors
    /// If GitHub cannot be read.
    pub async fn listed_reviews(
        &self,
        owner: &str,
        repo: &str,
        number: i64,
    ) -> Result<Vec<ListedReview>, Error> {
        let path = format!("/repos/{owner}/{repo}/pulls/{number}/reviews?");
        let reviews = self.list_pages::<RestReview>("reviews", &path).await?;
        Ok(reviews
            .into_iter()
            .map(|review| ListedReview {
                id: review.id,
                url: review.html_url,
                author: review.user.map(|user| user.login),
                is_approval: review.state == "APPROVED",
                commit_id: review.commit_id.unwrap_or_default(),
            })
            .collect())
    }

    /// Returns how far a merge request is, or `None` if GitHub does not know it.
    ///
    /// # Errors
    /// If GitHub cannot be read.
    pub async fn merge_progress(
        &self,
        owner: &str,
        repo: &str,
        number: i64,
        uuid: &str,
    ) -> Result<Option<MergeProgress>, Error> {
        let path = format!("/repos/{owner}/{repo}/pulls/{number}/merge-async/{}", path_text(uuid));
        match self.get::<MergeRequestAnswer>("the merge", &path).await {
            Ok((answer, _)) => Ok(answer.progress()),
            Err(Error::NotFound(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Reads all pages of a list. `path` has a query already.
    async fn list_pages<T: DeserializeOwned>(&self, what: &str, path: &str) -> Result<Vec<T>, Error> {
        let mut entries = Vec::new();
        for page in 1..=MAX_PAGES {
            let path = format!("{path}&per_page={ENTRIES_PER_REQUEST}&page={page}").replace("?&", "?");
            let (listed, _) = self.get::<Vec<T>>(what, &path).await?;
            let is_last = listed.len() < ENTRIES_PER_REQUEST;
            entries.extend(listed);
            if is_last {
                break;
            }
        }
        Ok(entries)
    }
}

fn not_found_as(error: Error, owner: &str, repo: &str) -> Error {
    match error {
        Error::NotFound(_) => no_such_repo(owner, repo),
        error => error,
    }
}
