//! What GitHub shows, as far as it is asked for. Actors and authors may be null anywhere, and lists
//! may hold null entries.

use chrono::{DateTime, Utc};
use gam_model::Member;
use serde::Deserialize;

/// A page's place in a list.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PageInfo {
    /// Whether there is more.
    pub has_next_page: bool,
    /// Where it starts.
    pub end_cursor: Option<String>,
}

impl PageInfo {
    /// Where the next page starts, if there is one.
    pub fn next(self) -> Option<String> {
        self.end_cursor.filter(|_| self.has_next_page)
    }
}

/// A list within an object, with the page that came.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Connection<T> {
    /// The page's place; absent where it was not asked for.
    #[serde(default)]
    pub page_info: PageInfo,
    /// The entries; null where GitHub could not tell one.
    pub nodes: Option<Vec<Option<T>>>,
}

impl<T> Connection<T> {
    /// The entries that are there.
    pub fn entries(self) -> Vec<T> {
        self.nodes.unwrap_or_default().into_iter().flatten().collect()
    }
}

/// A user, bot, mannequin or organization.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Actor {
    /// The GraphQL type.
    #[serde(rename = "__typename")]
    pub kind: Option<String>,
    /// The login; a bot's without its `[bot]` suffix.
    pub login: String,
    /// The numeric account id.
    pub database_id: Option<i64>,
}

impl Actor {
    /// The member behind an actor that may have been deleted.
    pub fn member(actor: Option<&Actor>) -> Member {
        match actor {
            None => Member::ghost(),
            Some(actor) => {
                Member::account(&actor.login, actor.database_id, actor.kind.as_deref() == Some("Bot"))
            }
        }
    }
}

/// Who a commit names as an author.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct GitActor {
    /// The name in the commit.
    pub name: Option<String>,
    /// The address in the commit: used to tell authors without an account apart, and never stored.
    pub email: Option<String>,
    /// The account that GitHub links the address to.
    pub user: Option<Account>,
}

/// An account that is a user.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Account {
    /// The login.
    pub login: String,
    /// The numeric account id.
    #[serde(alias = "databaseId")]
    pub id: Option<i64>,
}

impl GitActor {
    /// The member that the commit is credited to.
    pub fn member(&self) -> Member {
        match &self.user {
            Some(user) => Member::account(&user.login, user.id, false),
            None => Member::commit_author(self.name.as_deref(), self.email.as_deref()),
        }
    }
}

/// A count of a list's entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Total {
    /// How many entries there are.
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
    /// Lines added; absent where GitHub refuses to count.
    pub additions: Option<i64>,
    /// Lines deleted.
    pub deletions: Option<i64>,
    /// Files changed.
    #[serde(rename = "changedFilesIfAvailable")]
    pub changed_files: Option<i64>,
    /// How many parents it has.
    pub parents: Total,
    /// Who wrote it.
    pub author: Option<GitActor>,
    /// Who wrote it, and whom its trailers name as co-authors.
    pub authors: Option<Connection<GitActor>>,
}

impl Commit {
    /// Whether GitHub told its lines.
    pub fn is_counted(&self) -> bool {
        self.additions.is_some()
    }
}

/// A review.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Review {
    /// The numeric id, as text.
    pub full_database_id: Option<String>,
    /// The verdict.
    pub state: String,
    /// When it was submitted, UTC; a pending review was not.
    pub submitted_at: Option<DateTime<Utc>>,
    /// When it was last changed, UTC.
    pub updated_at: DateTime<Utc>,
    /// Who reviewed.
    pub author: Option<Actor>,
}

/// A closing in a timeline.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Closing {
    /// When it was, UTC.
    pub created_at: Option<DateTime<Utc>>,
}

/// A label.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Label {
    /// Its name.
    pub name: String,
}

/// A pull request.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PullRequest {
    /// The GraphQL node id.
    pub id: String,
    /// Its number.
    pub number: i64,
    /// `OPEN`, `CLOSED` or `MERGED`.
    pub state: String,
    /// Whether it is a draft.
    pub is_draft: bool,
    /// When it was opened, UTC.
    pub created_at: DateTime<Utc>,
    /// When it last changed, UTC.
    pub updated_at: DateTime<Utc>,
    /// When it was closed, if it is closed now, UTC.
    pub closed_at: Option<DateTime<Utc>>,
    /// When it was merged, UTC.
    pub merged_at: Option<DateTime<Utc>>,
    /// Who opened it.
    pub author: Option<Actor>,
    /// Its labels.
    pub labels: Option<Connection<Label>>,
    /// Its reviews, oldest first.
    pub reviews: Option<Connection<Review>>,
    /// Its closings.
    pub timeline_items: Connection<Closing>,
}

/// An issue.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Issue {
    /// The GraphQL node id.
    pub id: String,
    /// Its number.
    pub number: i64,
    /// `OPEN` or `CLOSED`.
    pub state: String,
    /// When it was opened, UTC.
    pub created_at: DateTime<Utc>,
    /// When it last changed, UTC.
    pub updated_at: DateTime<Utc>,
    /// When it was closed, if it is closed now, UTC.
    pub closed_at: Option<DateTime<Utc>>,
    /// Who opened it.
    pub author: Option<Actor>,
    /// Its labels.
    pub labels: Option<Connection<Label>>,
    /// Its closings.
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
    /// The tag.
    pub tag_name: String,
    /// Whether it is not published.
    pub is_draft: bool,
    /// When it was created, UTC: sometimes the date of the tagged commit.
    pub created_at: DateTime<Utc>,
    /// When it was published, UTC.
    pub published_at: Option<DateTime<Utc>>,
    /// When it last changed, UTC.
    pub updated_at: DateTime<Utc>,
    /// Who published it.
    pub author: Option<Actor>,
}

/// A deployment's status.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DeploymentStatus {
    /// `SUCCESS`, `FAILURE`, `ERROR`, and others.
    pub state: String,
    /// When it was set, UTC.
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
    /// The environment.
    pub environment: Option<String>,
    /// The commit.
    pub commit_oid: Option<String>,
    /// When it was started, UTC.
    pub created_at: DateTime<Utc>,
    /// Who started it.
    pub creator: Option<Actor>,
    /// Its statuses, in no order to rely on.
    pub statuses: Option<Connection<DeploymentStatus>>,
}

/// The repository behind a node id; null where there is none.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(bound(deserialize = "T: Deserialize<'de>"))]
pub(crate) struct Node<T> {
    pub(crate) node: Option<T>,
}

/// The objects behind node ids; null where there is none.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(crate) struct Nodes<T> {
    pub(crate) nodes: Vec<Option<T>>,
}
