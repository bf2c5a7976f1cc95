//! The world behind the double: an organization's repositories with everything that ever happened in
//! them, and what of it is to be seen at a moment. A commit is there once it has landed on the
//! default branch, whatever its date says.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, TimeDelta, Utc};

/// A moment.
pub type Time = DateTime<Utc>;
/// Who did something; nobody where the account was deleted.
pub type Actor = Option<Account>;

/// A moment written as `YYYY-MM-DDTHH:MM:SSZ`, or a day's midnight written as `YYYY-MM-DD`.
pub fn at(text: &str) -> Time {
    let whole = if text.len() == 10 { format!("{text}T00:00:00Z") } else { text.to_owned() };
    whole.parse().unwrap_or_else(|_| panic!("{text} is no moment"))
}

/// What sort of account it is, as GraphQL's `__typename`.
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
    /// The login; a bot's without its suffix.
    pub login: String,
    /// The numeric id.
    pub id: i64,
    /// What sort it is of.
    pub sort: AccountKind,
}

impl Account {
    /// A person's account.
    pub fn user(login: &str, id: i64) -> Self {
        Account { login: login.to_owned(), id, sort: AccountKind::User }
    }

    /// An app's account.
    pub fn bot(login: &str, id: i64) -> Self {
        Account { login: login.to_owned(), id, sort: AccountKind::Bot }
    }
}

/// Who a commit names as its author.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signature {
    /// The name in the commit.
    pub name: String,
    /// The address in the commit.
    pub email: String,
    /// The account the address is linked to.
    pub account: Actor,
}

impl Signature {
    /// A signature; `account` is who the address is linked to.
    pub fn new(name: &str, email: &str, account: Actor) -> Self {
        Signature { name: name.to_owned(), email: email.to_owned(), account }
    }
}

/// A commit.
#[derive(Debug, Clone)]
pub struct Commit {
    /// The object id.
    pub sha: String,
    /// The object ids of its parents.
    pub parents: Vec<String>,
    /// The committer date.
    pub committed_at: Time,
    /// Who wrote it.
    pub author: Signature,
    /// Whom its trailers name.
    pub co_authors: Vec<Signature>,
    /// Lines added and deleted, files changed; nothing where GitHub refuses to count them.
    pub lines: Option<[i64; 3]>,
    /// Until when GitHub refuses to count them, where it does for a while only.
    pub uncounted_until: Option<Time>,
}

impl Commit {
    /// The lines, where GitHub counts them.
    pub fn line_counts(&self, now: Time) -> Option<[i64; 3]> {
        self.lines.filter(|_| self.uncounted_until.is_none_or(|until| until <= now))
    }
}

/// What happens to a pull request or an issue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ThreadChange {
    /// It is closed; the timeline's event is so many seconds off, or missing.
    Closed {
        /// The event's distance in seconds.
        event: Option<i64>,
    },
    /// It is opened again.
    Reopened,
    /// It is merged.
    Merged,
    /// Something else about it changes.
    Edited,
}

/// What pull requests and issues have in common.
#[derive(Debug, Clone)]
pub struct Thread {
    /// The number within the repository.
    pub number: i64,
    /// Who opened it.
    pub author: Actor,
    /// When it was opened.
    pub created_at: Time,
    /// What happened to it, in order of time.
    pub changes: Vec<(Time, ThreadChange)>,
}

impl Thread {
    /// A thread that nothing has happened to yet.
    pub fn new(number: i64, author: Actor, created_at: Time) -> Self {
        Thread { number, author, created_at, changes: Vec::new() }
    }

    /// The same thread, to which something more happens.
    pub fn with_change(mut self, when: Time, change: ThreadChange) -> Self {
        self.changes.push((when, change));
        self
    }

    fn changes_until(&self, now: Time) -> impl Iterator<Item = (Time, ThreadChange)> {
        self.changes.iter().copied().filter(move |(when, _)| *when <= now)
    }

    /// Whether it was opened.
    pub fn exists(&self, now: Time) -> bool {
        self.created_at <= now
    }

    /// When it was merged.
    pub fn merged_at(&self, now: Time) -> Option<Time> {
        self.changes_until(now).find(|(_, change)| *change == ThreadChange::Merged).map(|(when, _)| when)
    }

    /// The closing that holds: its time, and its event's distance.
    pub fn closing(&self, now: Time) -> Option<(Time, Option<i64>)> {
        self.changes_until(now).fold(None, |held, (when, change)| match change {
            ThreadChange::Closed { event } => Some((when, event)),
            ThreadChange::Merged => Some((when, Some(0))),
            ThreadChange::Reopened => None,
            ThreadChange::Edited => held,
        })
    }

    /// The times of the timeline's closing events.
    pub fn closed_events(&self, now: Time) -> Vec<Time> {
        self.changes_until(now)
            .filter_map(|(when, change)| match change {
                ThreadChange::Closed { event } => event.map(|off| when + TimeDelta::seconds(off)),
                ThreadChange::Merged => Some(when),
                ThreadChange::Reopened | ThreadChange::Edited => None,
            })
            .collect()
    }

    /// When it last changed.
    pub fn updated_at(&self, now: Time) -> Time {
        let last = self.changes_until(now).map(|(when, _)| when).chain(self.closed_events(now)).max();
        last.map_or(self.created_at, |last| last.max(self.created_at))
    }
}

/// A review.
#[derive(Debug, Clone)]
pub struct Review {
    /// The numeric id.
    pub id: i64,
    /// Who reviews.
    pub author: Actor,
    /// When it was begun: it is pending from then on.
    pub started_at: Time,
    /// When it was submitted, if it ever is.
    pub submitted_at: Option<Time>,
    /// What it says: `APPROVED`, `CHANGES_REQUESTED` or `COMMENTED`.
    pub verdict: &'static str,
    /// When it was dismissed.
    pub dismissed_at: Option<Time>,
}

impl Review {
    /// A review that is submitted as soon as it is begun.
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

    /// When it was submitted, as far as that has happened.
    pub fn submitted(&self, now: Time) -> Option<Time> {
        self.submitted_at.filter(|when| *when <= now)
    }

    /// Its state.
    pub fn state(&self, now: Time) -> &'static str {
        match self.submitted(now) {
            None => "PENDING",
            Some(_) if self.dismissed_at.is_some_and(|when| when <= now) => "DISMISSED",
            Some(_) => self.verdict,
        }
    }

    /// When it last changed.
    pub fn updated_at(&self, now: Time) -> Time {
        let later = [self.submitted_at, self.dismissed_at].into_iter().flatten().filter(|when| *when <= now);
        later.max().unwrap_or(self.started_at)
    }
}

/// A pull request.
#[derive(Debug, Clone)]
pub struct PullRequest {
    /// What it shares with issues.
    pub thread: Thread,
    /// Whether it is a draft.
    pub is_draft: bool,
    /// Its reviews, in the order in which they were begun.
    pub reviews: Vec<Review>,
}

impl PullRequest {
    /// A pull request without reviews.
    pub fn new(thread: Thread) -> Self {
        PullRequest { thread, is_draft: false, reviews: Vec::new() }
    }

    /// When it last changed. A pending review is nobody's business but its author's.
    pub fn updated_at(&self, now: Time) -> Time {
        let reviews = self.reviews.iter().filter(|review| review.submitted(now).is_some());
        let last = reviews.map(|review| review.updated_at(now)).max();
        last.map_or(self.thread.updated_at(now), |last| last.max(self.thread.updated_at(now)))
    }
}

/// What happens to a release.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReleaseChange {
    /// It is published, perhaps anew.
    Published,
    /// It is taken back to a draft.
    Drafted,
    /// It is deleted.
    Deleted,
}

/// A release; a draft until it is published.
#[derive(Debug, Clone)]
pub struct Release {
    /// The numeric id.
    pub id: i64,
    /// The tag.
    pub tag: String,
    /// Who made it.
    pub author: Actor,
    /// When it was made.
    pub created_at: Time,
    /// What happened to it, in order of time.
    pub changes: Vec<(Time, ReleaseChange)>,
}

impl Release {
    fn changes_until(&self, now: Time) -> impl DoubleEndedIterator<Item = (Time, ReleaseChange)> {
        self.changes.iter().copied().filter(move |(when, _)| *when <= now)
    }

    /// Whether it is there.
    pub fn exists(&self, now: Time) -> bool {
        self.created_at <= now && self.changes_until(now).all(|(_, change)| change != ReleaseChange::Deleted)
    }

    /// When it was last published, though it may be a draft again.
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

    /// When it last changed.
    pub fn updated_at(&self, now: Time) -> Time {
        self.changes_until(now).last().map_or(self.created_at, |(when, _)| when)
    }
}

/// A deployment.
#[derive(Debug, Clone)]
pub struct Deployment {
    /// The numeric id.
    pub id: i64,
    /// The environment.
    pub environment: String,
    /// Who started it.
    pub creator: Actor,
    /// When it was started.
    pub created_at: Time,
    /// Its statuses, in order of time.
    pub statuses: Vec<(Time, &'static str)>,
}

/// A repository.
#[derive(Debug, Clone)]
pub struct Repo {
    /// The numeric id.
    pub id: i64,
    /// Its names, each from when on.
    pub names: Vec<(Time, String)>,
    /// Every commit that was ever made, by object id.
    pub commits: BTreeMap<String, Commit>,
    /// The tips of the default branch, each from when on.
    pub tips: Vec<(Time, String)>,
    /// Pull requests.
    pub pulls: Vec<PullRequest>,
    /// Issues.
    pub issues: Vec<Thread>,
    /// Releases.
    pub releases: Vec<Release>,
    /// Deployments.
    pub deployments: Vec<Deployment>,
    /// Whether it is a fork.
    pub is_fork: bool,
    /// Whether it is archived.
    pub is_archived: bool,
    /// Whether GitHub blocks access to it; it is listed all the same.
    pub is_blocked: bool,
}

fn latest<T>(list: &[(Time, T)], now: Time) -> Option<&(Time, T)> {
    list.iter().rev().find(|(when, _)| *when <= now)
}

impl Repo {
    /// An empty repository.
    pub fn new(id: i64, name: &str, created_at: Time) -> Self {
        Repo {
            id,
            names: vec![(created_at, name.to_owned())],
            commits: BTreeMap::new(),
            tips: Vec::new(),
            pulls: Vec::new(),
            issues: Vec::new(),
            releases: Vec::new(),
            deployments: Vec::new(),
            is_fork: false,
            is_archived: false,
            is_blocked: false,
        }
    }

    /// Whether it is there.
    pub fn exists(&self, now: Time) -> bool {
        self.names[0].0 <= now
    }

    /// Its name.
    pub fn name(&self, now: Time) -> &str {
        latest(&self.names, now).map_or(&self.names[0].1, |(_, name)| name)
    }

    /// The tip of the default branch.
    pub fn tip(&self, now: Time) -> Option<&str> {
        latest(&self.tips, now).map(|(_, sha)| sha.as_str())
    }

    /// When it was last pushed to.
    pub fn pushed_at(&self, now: Time) -> Option<Time> {
        latest(&self.tips, now).map(|(when, _)| *when)
    }

    /// Makes a commit, which is on no branch yet, and gives its object id.
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

    /// Moves the default branch.
    pub fn push(&mut self, when: Time, sha: &str) {
        self.tips.push((when, sha.to_owned()));
    }

    /// The commit and everything it descends from.
    pub fn ancestors(&self, sha: &str) -> BTreeSet<&str> {
        self.ancestors_since(sha, Time::MIN_UTC)
    }

    /// Those of the commit and its ancestors that `git log --since` comes by: it stops at one that is older.
    pub fn ancestors_since(&self, sha: &str, since: Time) -> BTreeSet<&str> {
        let mut found = BTreeSet::new();
        let mut open: Vec<&str> =
            self.commits.get_key_value(sha).map(|(sha, _)| sha.as_str()).into_iter().collect();
        while let Some(sha) = open.pop() {
            if self.commits[sha].committed_at >= since && found.insert(sha) {
                open.extend(self.commits[sha].parents.iter().map(String::as_str));
            }
        }
        found
    }

    /// The commits on the default branch.
    pub fn landed(&self, now: Time) -> Vec<&Commit> {
        let reachable = self.tip(now).map(|tip| self.ancestors(tip)).unwrap_or_default();
        reachable.into_iter().map(|sha| &self.commits[sha]).collect()
    }

    /// Whether the commit was ever pushed.
    pub fn was_pushed(&self, sha: &str, now: Time) -> bool {
        let pushed = self.tips.iter().filter(|(when, _)| *when <= now);
        self.commits.contains_key(sha) && pushed.into_iter().any(|(_, tip)| self.ancestors(tip).contains(sha))
    }
}

/// An organization.
#[derive(Debug, Clone)]
pub struct World {
    /// Its login.
    pub org: String,
    /// Its members.
    pub members: Vec<Account>,
    /// Its repositories.
    pub repos: Vec<Repo>,
    /// Fields that the token may not read.
    pub refused_fields: Vec<&'static str>,
}

impl World {
    /// An organization without anything.
    pub fn new(org: &str) -> Self {
        World { org: org.to_owned(), members: Vec::new(), repos: Vec::new(), refused_fields: Vec::new() }
    }

    /// Every e-mail address in it.
    pub fn emails(&self) -> BTreeSet<String> {
        let commits = self.repos.iter().flat_map(|repo| repo.commits.values());
        commits
            .flat_map(|commit| std::iter::once(&commit.author).chain(&commit.co_authors))
            .map(|author| author.email.clone())
            .collect()
    }
}
