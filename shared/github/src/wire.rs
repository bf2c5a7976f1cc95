//! The fields of GraphQL responses that the queries select. Any actor or author may be null, and any list may
//! contain null entries.

use chrono::{DateTime, Utc};
use gam_model::Member;
use serde::Deserialize;

/// Where a page ends, and whether another follows.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PageInfo {
    /// Whether another page follows.
    pub has_next_page: bool,
    /// The cursor of the page's last entry.
    pub end_cursor: Option<String>,
}

impl PageInfo {
    /// Returns the cursor of the next page; `None` on the last page.
    pub fn next(self) -> Option<String> {
        self.end_cursor.filter(|_| self.has_next_page)
    }
}

/// A page of a list that is a field of an object.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Connection<T> {
    /// Where the page ends. The default if the query does not select it.
    #[serde(default)]
    pub page_info: PageInfo,
    /// The page's entries; null for each one that GitHub could not return.
    pub nodes: Option<Vec<Option<T>>>,
}

impl<T> Default for Connection<T> {
    fn default() -> Self {
        Connection { page_info: PageInfo::default(), nodes: None }
    }
}

impl<T> Connection<T> {
    /// Returns the entries that are not null.
    pub fn entries(self) -> Vec<T> {
        self.nodes.unwrap_or_default().into_iter().flatten().collect()
    }
}

/// Appends the following page to a list. Returns the cursor of the page after it, if there is one.
pub(crate) fn append_page<T>(
    list: Option<&mut Connection<T>>,
    page: Option<Connection<T>>,
) -> Option<String> {
    let (list, page) = (list?, page?);
    list.nodes.get_or_insert_default().extend(page.nodes.unwrap_or_default());
    list.page_info = PageInfo::default();
    page.page_info.next()
}

/// A user, bot, mannequin or organization.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Actor {
    /// The GraphQL type: `User`, `Bot`, `Mannequin` or `Organization`.
    #[serde(rename = "__typename")]
    pub kind: Option<String>,
    /// The login. A bot's has no `[bot]` suffix here.
    pub login: String,
    /// The numeric account id.
    pub database_id: Option<i64>,
}

impl Actor {
    /// Returns the member that made a release or a deployment; the unknown member if GitHub shows nobody.
    pub fn delivery_member(actor: Option<&Actor>) -> Member {
        actor.map_or_else(Member::unknown, |actor| Actor::member(Some(actor)))
    }

    /// Returns the member that an actor is; the ghost if the account was deleted.
    pub fn member(actor: Option<&Actor>) -> Member {
        match actor {
            None => Member::ghost(),
            Some(actor) => {
                Member::account(&actor.login, actor.database_id, actor.kind.as_deref() == Some("Bot"))
            }
        }
    }
}

/// An author of a commit.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct GitActor {
    /// The name that the commit states.
    pub name: Option<String>,
    /// The e-mail address that the commit states. It distinguishes authors without an account; only its hash
    /// is stored.
    pub email: Option<String>,
    /// The account to which GitHub links the address.
    pub user: Option<UserAccount>,
}

/// A user's account.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct UserAccount {
    /// The login.
    pub login: String,
    /// The numeric account id.
    #[serde(alias = "databaseId")]
    pub id: Option<i64>,
}

impl GitActor {
    /// Returns the member credited with the commit.
    pub fn member(&self) -> Member {
        match &self.user {
            Some(user) => Member::account(&user.login, user.id, false),
            None => Member::commit_author(self.name.as_deref(), self.email.as_deref()),
        }
    }
}

/// The length of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TotalCount {
    /// The number of entries in the entire list.
    pub total_count: i64,
}

/// A commit.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Commit {
    /// The object id.
    pub oid: String,
    /// The committer date, UTC.
    pub committed_date: DateTime<Utc>,
    /// Lines added; `None` if GitHub refused to count.
    pub additions: Option<i64>,
    /// Lines deleted; `None` if GitHub refused to count.
    pub deletions: Option<i64>,
    /// Files changed; `None` if GitHub did not count them.
    #[serde(rename = "changedFilesIfAvailable")]
    pub changed_files: Option<i64>,
    /// The number of parents.
    pub parents: TotalCount,
    /// The author.
    pub author: Option<GitActor>,
    /// The author, followed by the co-authors named in trailers.
    pub authors: Option<Connection<GitActor>>,
    /// What GitHub answered instead of the commit's line counts, for people. `None` if it did not fail.
    #[serde(skip)]
    pub unanswered: Option<String>,
}

impl Commit {
    /// Whether GitHub counted the commit's lines.
    pub fn has_line_counts(&self) -> bool {
        self.additions.is_some()
    }
}

/// A review.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Review {
    /// The numeric id, as text.
    pub full_database_id: Option<String>,
    /// `APPROVED`, `CHANGES_REQUESTED`, `COMMENTED`, `DISMISSED` or `PENDING`.
    pub state: String,
    /// When the review was submitted, UTC; `None` if it is pending.
    pub submitted_at: Option<DateTime<Utc>>,
    /// When the review last changed, UTC.
    pub updated_at: DateTime<Utc>,
    /// The reviewer.
    pub author: Option<Actor>,
}

/// A `ClosedEvent` in the timeline of a pull request or an issue.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Closing {
    /// When it was closed, UTC.
    pub created_at: Option<DateTime<Utc>>,
}

/// A label.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Label {
    /// The label's text.
    pub name: String,
}

/// The repository of the branch that a pull request is to merge.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HeadRepository {
    /// The numeric id.
    pub database_id: Option<i64>,
}

/// The commit that the merge of a pull request made.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct MergeCommit {
    /// The object id.
    pub oid: String,
}

/// A pull request.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PullRequest {
    /// The GraphQL node id.
    pub id: String,
    /// The number within the repository.
    pub number: i64,
    /// `OPEN`, `CLOSED` or `MERGED`.
    pub state: String,
    /// Whether the pull request is a draft.
    pub is_draft: bool,
    /// When it was opened, UTC.
    pub created_at: DateTime<Utc>,
    /// When it last changed, UTC.
    pub updated_at: DateTime<Utc>,
    /// When it was closed, UTC; `None` if it is open now.
    pub closed_at: Option<DateTime<Utc>>,
    /// When it was merged, UTC; `None` if it was not.
    pub merged_at: Option<DateTime<Utc>>,
    /// The account that opened it.
    pub author: Option<Actor>,
    /// The name of the branch that is to be merged.
    pub head_ref_name: String,
    /// The repository that has that branch; `None` if it was deleted or the token cannot see it.
    pub head_repository: Option<HeadRepository>,
    /// The commit that the merge made, or a test merge before.
    pub merge_commit: Option<MergeCommit>,
    /// The labels it has now.
    pub labels: Option<Connection<Label>>,
    /// The reviews, oldest first.
    pub reviews: Option<Connection<Review>>,
    /// The times it was closed. Empty in a basic query.
    #[serde(default)]
    pub timeline_items: Connection<Closing>,
}

/// An issue.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Issue {
    /// The GraphQL node id.
    pub id: String,
    /// The number within the repository.
    pub number: i64,
    /// `OPEN` or `CLOSED`.
    pub state: String,
    /// When it was opened, UTC.
    pub created_at: DateTime<Utc>,
    /// When it last changed, UTC.
    pub updated_at: DateTime<Utc>,
    /// When it was closed, UTC; `None` if it is open now.
    pub closed_at: Option<DateTime<Utc>>,
    /// The account that opened it.
    pub author: Option<Actor>,
    /// The labels it has now.
    pub labels: Option<Connection<Label>>,
    /// The times it was closed. Empty in a basic query.
    #[serde(default)]
    pub timeline_items: Connection<Closing>,
}

/// A release.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Release {
    /// The GraphQL node id.
    pub id: String,
    /// The numeric id.
    pub database_id: Option<i64>,
    /// The name of the git tag.
    pub tag_name: String,
    /// Whether the release is an unpublished draft.
    pub is_draft: bool,
    /// When the release was created, UTC; sometimes the date of the tagged commit instead.
    pub created_at: DateTime<Utc>,
    /// When the release was published, UTC; `None` for a draft.
    pub published_at: Option<DateTime<Utc>>,
    /// When it last changed, UTC.
    pub updated_at: DateTime<Utc>,
    /// The account that published the release.
    pub author: Option<Actor>,
}

/// A status of a deployment.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DeploymentStatus {
    /// `SUCCESS`, `FAILURE`, `ERROR`, and others.
    pub state: String,
    /// When the status was set, UTC.
    pub created_at: DateTime<Utc>,
}

/// A deployment.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Deployment {
    /// The GraphQL node id.
    pub id: String,
    /// The numeric id.
    pub database_id: Option<i64>,
    /// The environment's name: `production`.
    pub environment: Option<String>,
    /// The object id of the deployed commit.
    pub commit_oid: Option<String>,
    /// When the deployment was created, UTC.
    pub created_at: DateTime<Utc>,
    /// The account that created the deployment.
    pub creator: Option<Actor>,
    /// The statuses, in unspecified order.
    pub statuses: Option<Connection<DeploymentStatus>>,
}

/// The object with a node id; null if there is none.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(bound(deserialize = "T: Deserialize<'de>"))]
pub(crate) struct Node<T> {
    pub(crate) node: Option<T>,
}

/// The objects with the given node ids; null for each one that does not exist.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(crate) struct Nodes<T> {
    pub(crate) nodes: Vec<Option<T>>,
}
