//! The world behind the double: an organization's repositories with their complete history, and methods that
//! return its state at a time. A commit exists once it has landed on the default branch, whatever its date.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, TimeDelta, Utc};

/// A time, UTC.
pub type Time = DateTime<Utc>;
/// The account that did something. `None` if it was deleted.
pub type Actor = Option<Account>;

/// Parses a time written as `YYYY-MM-DDTHH:MM:SSZ`, or a day's midnight written as `YYYY-MM-DD`.
///
/// # Panics
/// If it is neither.
pub fn at(text: &str) -> Time {
    let timestamp = if text.len() == 10 { format!("{text}T00:00:00Z") } else { text.to_owned() };
    timestamp.parse().unwrap_or_else(|_| panic!("{text} is not a time"))
}

/// Kind of an account, GraphQL's `__typename`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AccountKind {
    /// A person's account.
    User,
    /// An app's account.
    Bot,
}

/// An account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// Login, without the suffix `[bot]`.
    pub login: String,
    /// GitHub's numeric id.
    pub id: i64,
    /// User or bot.
    pub kind: AccountKind,
}

impl Account {
    /// A person's account.
    pub fn user(login: &str, id: i64) -> Self {
        Account { login: login.to_owned(), id, kind: AccountKind::User }
    }

    /// An app's account.
    pub fn bot(login: &str, id: i64) -> Self {
        Account { login: login.to_owned(), id, kind: AccountKind::Bot }
    }
}

/// An author or co-author as a commit names them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signature {
    /// Name in the commit.
    pub name: String,
    /// E-mail address in the commit.
    pub email: String,
    /// Account that the address is linked to.
    pub account: Actor,
}

impl Signature {
    /// Creates a signature whose address is linked to `account`.
    pub fn new(name: &str, email: &str, account: Actor) -> Self {
        Signature { name: name.to_owned(), email: email.to_owned(), account }
    }
}

/// A commit.
#[derive(Debug, Clone)]
pub struct Commit {
    /// Object id.
    pub sha: String,
    /// Object ids of the parents.
    pub parents: Vec<String>,
    /// Committer date.
    pub committed_at: Time,
    /// Author.
    pub author: Signature,
    /// Co-authors, named by its trailers.
    pub co_authors: Vec<Signature>,
    /// Lines added, lines deleted and files changed. `None` if GitHub never counts them.
    pub lines: Option<[i64; 3]>,
    /// Time before which GitHub does not count the lines.
    pub uncounted_until: Option<Time>,
}

impl Commit {
    /// Returns the line counts that GitHub reports at a time.
    pub fn line_counts(&self, now: Time) -> Option<[i64; 3]> {
        self.lines.filter(|_| self.uncounted_until.is_none_or(|until| until <= now))
    }
}

/// A change of a pull request or an issue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ThreadChange {
    /// It is closed.
    Closed {
        /// Seconds from the closing to its event in the timeline. `None` if the timeline has no event.
        event_offset_s: Option<i64>,
    },
    /// It is reopened.
    Reopened,
    /// It is merged.
    Merged,
    /// Something else changes.
    Edited,
}

/// Why an issue is no longer in its repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Removal {
    /// It was deleted.
    Deleted,
    /// It was transferred to another repository, where it has another number.
    Transferred {
        /// GitHub's id of that repository.
        repo_id: i64,
        /// The number there.
        number: i64,
    },
}

/// A pull request or an issue, without reviews.
#[derive(Debug, Clone)]
pub struct Thread {
    /// Number within the repository.
    pub number: i64,
    /// Account that opened it.
    pub author: Actor,
    /// Time at which it was opened.
    pub created_at: Time,
    /// Changes, oldest first.
    pub changes: Vec<(Time, ThreadChange)>,
    /// When and why it left the repository. `None` if it stays.
    pub removal: Option<(Time, Removal)>,
}

impl Thread {
    /// Creates a thread without changes.
    pub fn new(number: i64, author: Actor, created_at: Time) -> Self {
        Thread { number, author, created_at, changes: Vec::new(), removal: None }
    }

    /// Adds a change.
    pub fn with_change(mut self, when: Time, change: ThreadChange) -> Self {
        self.changes.push((when, change));
        self
    }

    fn changes_until(&self, now: Time) -> impl Iterator<Item = (Time, ThreadChange)> {
        self.changes.iter().copied().filter(move |(when, _)| *when <= now)
    }

    /// Removes it from its repository.
    pub fn with_removal(mut self, when: Time, removal: Removal) -> Self {
        self.removal = Some((when, removal));
        self
    }

    /// Returns whether it was opened by then, and is still in its repository.
    pub fn exists(&self, now: Time) -> bool {
        self.created_at <= now && self.removal.is_none_or(|(when, _)| when > now)
    }

    /// Returns the time of the merge.
    pub fn merged_at(&self, now: Time) -> Option<Time> {
        self.changes_until(now).find(|(_, change)| *change == ThreadChange::Merged).map(|(when, _)| when)
    }

    /// Returns the closing that is in effect: its time, and the offset of its event in seconds.
    pub fn closing(&self, now: Time) -> Option<(Time, Option<i64>)> {
        self.changes_until(now).fold(None, |closing, (when, change)| match change {
            ThreadChange::Closed { event_offset_s } => Some((when, event_offset_s)),
            ThreadChange::Merged => Some((when, Some(0))),
            ThreadChange::Reopened => None,
            ThreadChange::Edited => closing,
        })
    }

    /// Returns the times of the closing events in the timeline.
    pub fn closed_events(&self, now: Time) -> Vec<Time> {
        self.changes_until(now)
            .filter_map(|(when, change)| match change {
                ThreadChange::Closed { event_offset_s } => {
                    event_offset_s.map(|offset| when + TimeDelta::seconds(offset))
                }
                ThreadChange::Merged => Some(when),
                ThreadChange::Reopened | ThreadChange::Edited => None,
            })
            .collect()
    }

    /// Returns the time of the last change.
    pub fn updated_at(&self, now: Time) -> Time {
        let last = self.changes_until(now).map(|(when, _)| when).chain(self.closed_events(now)).max();
        last.map_or(self.created_at, |last| last.max(self.created_at))
    }
}

/// A review.
#[derive(Debug, Clone)]
pub struct Review {
    /// GitHub's numeric id.
    pub id: i64,
    /// Reviewer.
    pub author: Actor,
    /// Time at which it was started. It is pending until it is submitted.
    pub started_at: Time,
    /// Time of the submission. `None` if it is never submitted.
    pub submitted_at: Option<Time>,
    /// State after the submission: `APPROVED`, `CHANGES_REQUESTED` or `COMMENTED`.
    pub verdict: &'static str,
    /// Time of the dismissal.
    pub dismissed_at: Option<Time>,
}

impl Review {
    /// Creates a review that is submitted when it is started.
    pub fn new(id: i64, author: Actor, when: Time) -> Self {
        Review {
            id,
            author,
            started_at: when,
            submitted_at: Some(when),
            verdict: "COMMENTED",
            dismissed_at: None,
        }
    }

    /// Returns the time of the submission, if it has happened.
    pub fn submitted(&self, now: Time) -> Option<Time> {
        self.submitted_at.filter(|when| *when <= now)
    }

    /// Returns its state.
    pub fn state(&self, now: Time) -> &'static str {
        match self.submitted(now) {
            None => "PENDING",
            Some(_) if self.dismissed_at.is_some_and(|when| when <= now) => "DISMISSED",
            Some(_) => self.verdict,
        }
    }

    /// Returns the time of the last change.
    pub fn updated_at(&self, now: Time) -> Time {
        let later = [self.submitted_at, self.dismissed_at].into_iter().flatten().filter(|when| *when <= now);
        later.max().unwrap_or(self.started_at)
    }
}

/// A pull request.
#[derive(Debug, Clone)]
pub struct PullRequest {
    /// What a pull request shares with an issue.
    pub thread: Thread,
    /// Whether it is a draft.
    pub is_draft: bool,
    /// Reviews, in the order in which they were started.
    pub reviews: Vec<Review>,
}

impl PullRequest {
    /// Creates a pull request without reviews.
    pub fn new(thread: Thread) -> Self {
        PullRequest { thread, is_draft: false, reviews: Vec::new() }
    }

    /// Returns the time of the last change. A pending review does not count: only its author sees it.
    pub fn updated_at(&self, now: Time) -> Time {
        let reviews = self.reviews.iter().filter(|review| review.submitted(now).is_some());
        let last = reviews.map(|review| review.updated_at(now)).max();
        last.map_or(self.thread.updated_at(now), |last| last.max(self.thread.updated_at(now)))
    }
}

/// A change of a release.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReleaseChange {
    /// It is published, for the first time or again.
    Published,
    /// It becomes a draft again.
    Drafted,
    /// It is deleted.
    Deleted,
}

/// A release. It is a draft until it is published.
#[derive(Debug, Clone)]
pub struct Release {
    /// GitHub's numeric id.
    pub id: i64,
    /// Tag.
    pub tag: String,
    /// Account that created it.
    pub author: Actor,
    /// Time at which it was created.
    pub created_at: Time,
    /// Changes, oldest first.
    pub changes: Vec<(Time, ReleaseChange)>,
}

impl Release {
    fn changes_until(&self, now: Time) -> impl DoubleEndedIterator<Item = (Time, ReleaseChange)> {
        self.changes.iter().copied().filter(move |(when, _)| *when <= now)
    }

    /// Returns whether it exists.
    pub fn exists(&self, now: Time) -> bool {
        self.created_at <= now && self.changes_until(now).all(|(_, change)| change != ReleaseChange::Deleted)
    }

    /// Returns the time of the last publication. It may be a draft again.
    pub fn published_at(&self, now: Time) -> Option<Time> {
        self.changes_until(now)
            .rev()
            .find(|(_, change)| *change == ReleaseChange::Published)
            .map(|(when, _)| when)
    }

    /// Whether it is a draft.
    pub fn is_draft(&self, now: Time) -> bool {
        self.changes_until(now).last().is_none_or(|(_, change)| change != ReleaseChange::Published)
    }

    /// Returns the time of the last change.
    pub fn updated_at(&self, now: Time) -> Time {
        self.changes_until(now).last().map_or(self.created_at, |(when, _)| when)
    }
}

/// A deployment.
#[derive(Debug, Clone)]
pub struct Deployment {
    /// GitHub's numeric id.
    pub id: i64,
    /// Name of the environment.
    pub environment: String,
    /// Account that created it.
    pub creator: Actor,
    /// Time at which it was created.
    pub created_at: Time,
    /// Statuses, oldest first.
    pub statuses: Vec<(Time, &'static str)>,
}

/// A run of a GitHub Actions workflow.
#[derive(Debug, Clone)]
pub struct WorkflowRun {
    /// GitHub's numeric id.
    pub id: i64,
    /// Name of the workflow's file.
    pub workflow: String,
    /// Branch.
    pub branch: String,
    /// What started it: `push`, `schedule` and others.
    pub event: &'static str,
    /// Id of the repository that has the branch. Another one for a fork.
    pub head_repo: i64,
    /// Account that started it.
    pub actor: Actor,
    /// Starts of its attempts, oldest first, each with its end and conclusion. `None` if it never ends.
    pub attempts: Vec<(Time, Option<(Time, &'static str)>)>,
}

/// A repository.
#[derive(Debug, Clone)]
pub struct Repo {
    /// GitHub's numeric id.
    pub id: i64,
    /// Names, each with the time of the renaming. Oldest first.
    pub names: Vec<(Time, String)>,
    /// When it was deleted. `None` if it stays.
    pub deleted_at: Option<Time>,
    /// Every commit, by object id.
    pub commits: BTreeMap<String, Commit>,
    /// Tips of the default branch, each with the time of the push. Oldest first.
    pub tips: Vec<(Time, String)>,
    /// Its pull requests.
    pub pulls: Vec<PullRequest>,
    /// Its issues.
    pub issues: Vec<Thread>,
    /// Its releases.
    pub releases: Vec<Release>,
    /// Its deployments.
    pub deployments: Vec<Deployment>,
    /// Its workflow runs.
    pub workflow_runs: Vec<WorkflowRun>,
    /// Whether it is a fork.
    pub is_fork: bool,
    /// Whether it is archived.
    pub is_archived: bool,
    /// Whether GitHub blocks access to it. A blocked repository is still listed.
    pub is_blocked: bool,
}

fn latest<T>(list: &[(Time, T)], now: Time) -> Option<&(Time, T)> {
    list.iter().rev().find(|(when, _)| *when <= now)
}

impl Repo {
    /// Creates an empty repository.
    pub fn new(id: i64, name: &str, created_at: Time) -> Self {
        Repo {
            id,
            names: vec![(created_at, name.to_owned())],
            deleted_at: None,
            commits: BTreeMap::new(),
            tips: Vec::new(),
            pulls: Vec::new(),
            issues: Vec::new(),
            releases: Vec::new(),
            deployments: Vec::new(),
            workflow_runs: Vec::new(),
            is_fork: false,
            is_archived: false,
            is_blocked: false,
        }
    }

    /// Returns whether it exists.
    pub fn exists(&self, now: Time) -> bool {
        self.names[0].0 <= now && self.deleted_at.is_none_or(|deleted_at| deleted_at > now)
    }

    /// Returns its name.
    pub fn name(&self, now: Time) -> &str {
        latest(&self.names, now).map_or(&self.names[0].1, |(_, name)| name)
    }

    /// Returns the tip of the default branch.
    pub fn tip(&self, now: Time) -> Option<&str> {
        latest(&self.tips, now).map(|(_, sha)| sha.as_str())
    }

    /// Returns the time of the last push.
    pub fn pushed_at(&self, now: Time) -> Option<Time> {
        latest(&self.tips, now).map(|(when, _)| *when)
    }

    /// Adds a commit that is on no branch yet, and returns its object id.
    pub fn commit(
        &mut self,
        parents: &[&str],
        committed_at: Time,
        author: &Signature,
        lines: Option<[i64; 3]>,
    ) -> String {
        let sha = format!("{:08x}{:032x}", self.id, self.commits.len() + 1);
        let commit = Commit {
            sha: sha.clone(),
            parents: parents.iter().map(|sha| (*sha).to_owned()).collect(),
            committed_at,
            author: author.clone(),
            co_authors: Vec::new(),
            lines,
            uncounted_until: None,
        };
        self.commits.insert(sha.clone(), commit);
        sha
    }

    /// Moves the default branch to a commit.
    pub fn push(&mut self, when: Time, sha: &str) {
        self.tips.push((when, sha.to_owned()));
    }

    /// Returns the commit and all its ancestors.
    pub fn ancestors(&self, sha: &str) -> BTreeSet<&str> {
        self.ancestors_since(sha, Time::MIN_UTC)
    }

    /// Returns what `git log --since` lists: the commit and its ancestors, but nothing behind an older commit.
    pub fn ancestors_since(&self, sha: &str, since: Time) -> BTreeSet<&str> {
        let mut reachable = BTreeSet::new();
        let mut open: Vec<&str> =
            self.commits.get_key_value(sha).map(|(sha, _)| sha.as_str()).into_iter().collect();
        while let Some(sha) = open.pop() {
            if self.commits[sha].committed_at >= since && reachable.insert(sha) {
                open.extend(self.commits[sha].parents.iter().map(String::as_str));
            }
        }
        reachable
    }

    /// Returns the commits on the default branch.
    pub fn landed(&self, now: Time) -> Vec<&Commit> {
        let reachable = self.tip(now).map(|tip| self.ancestors(tip)).unwrap_or_default();
        reachable.into_iter().map(|sha| &self.commits[sha]).collect()
    }

    /// Returns whether the commit was pushed by then.
    pub fn was_pushed(&self, sha: &str, now: Time) -> bool {
        let pushed = self.tips.iter().filter(|(when, _)| *when <= now);
        self.commits.contains_key(sha) && pushed.into_iter().any(|(_, tip)| self.ancestors(tip).contains(sha))
    }
}

/// An organization.
#[derive(Debug, Clone)]
pub struct World {
    /// Login. It changes if the organization is renamed.
    pub org: String,
    /// GitHub's numeric id of the organization.
    pub org_id: i64,
    /// Login and id of other organizations, which have no repositories.
    pub other_orgs: Vec<(String, i64)>,
    /// Members of the organization.
    pub members: Vec<Account>,
    /// Repositories, also those that are created later.
    pub repos: Vec<Repo>,
    /// GraphQL fields that the token cannot read.
    pub forbidden_fields: Vec<&'static str>,
    /// Node ids of entries, and object ids of commits, for which GitHub fails whenever their expensive fields are
    /// requested.
    pub poisoned: BTreeSet<String>,
    /// How GitHub fails for them.
    pub poison: Poison,
    /// Number of releases after which GitHub stops to list them with status 500.
    pub release_limit: Option<usize>,
}

/// How GitHub fails for a single entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Poison {
    /// The complete request fails with status 502.
    BadGateway,
    /// The entry is null, and an error says that something went wrong.
    NullEntry,
}

impl World {
    /// Creates an empty organization.
    pub fn new(org: &str) -> Self {
        World {
            org: org.to_owned(),
            org_id: 1_000_001,
            other_orgs: Vec::new(),
            members: Vec::new(),
            repos: Vec::new(),
            forbidden_fields: Vec::new(),
            poisoned: BTreeSet::new(),
            poison: Poison::BadGateway,
            release_limit: None,
        }
    }

    /// Renames the organization. GitHub does not know the old login any more.
    pub fn rename_org(&mut self, login: &str) {
        login.clone_into(&mut self.org);
    }

    /// Makes GitHub fail for an issue or a pull request (`I` or `PR`) of a repository.
    pub fn poison_thread(&mut self, kind: &str, repo_id: i64, number: i64) {
        self.poisoned.insert(format!("{kind}_{repo_id}_{number}"));
    }

    /// Returns every e-mail address in the world.
    pub fn emails(&self) -> BTreeSet<String> {
        let commits = self.repos.iter().flat_map(|repo| repo.commits.values());
        commits
            .flat_map(|commit| std::iter::once(&commit.author).chain(&commit.co_authors))
            .map(|author| author.email.clone())
            .collect()
    }
}
