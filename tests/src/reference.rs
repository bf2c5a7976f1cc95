//! What every metric is, computed from the world by its definition and by nothing else.
//!
//! A credit is one thing somebody did at a moment in a repository; a metric is a sum over the credits
//! of a subject that lie in a range. Slow and plain on purpose.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{NaiveDate, TimeDelta};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::github::world::{Account, AccountKind, Actor, PullRequest, Repo, Signature, Thread, Time, World};

/// Whom something is credited to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Member {
    /// The name.
    pub name: String,
    /// Whether it is a bot.
    pub bot: bool,
}

/// What somebody did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Activity {
    /// A commit with at most one parent: lines added and deleted, files changed.
    Commit([i64; 3]),
    /// Another commit.
    MergeCommit,
    /// A commit with at most one parent names somebody as a co-author. Who is nothing else is neither
    /// active nor listed.
    CoAuthored,
    /// A pull request was opened.
    PrOpened,
    /// A pull request was merged: how many seconds after its creation, and the first review's.
    PrMerged(i64, Option<i64>),
    /// A pull request was closed.
    PrClosed,
    /// A review was submitted.
    Review,
    /// An issue was opened.
    IssueOpened,
    /// An issue was closed.
    IssueClosed,
    /// A release was published.
    Release,
    /// A deployment succeeded.
    Deploy,
    /// A deployment failed for good.
    DeployFailure,
}

/// One thing somebody did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credit {
    /// When.
    pub at: Time,
    /// In which repository.
    pub repo: i64,
    /// Who.
    pub member: Member,
    /// What.
    pub activity: Activity,
}

/// Whom or what a question is about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Subject {
    /// The organization.
    Org,
    /// A repository, by id.
    Repo(i64),
    /// A member, by name.
    Member(String),
}

/// Whose work counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bots {
    /// People's.
    Exclude,
    /// Everybody's.
    Include,
    /// Bots'.
    Only,
}

impl Bots {
    /// Every filter, with its name in the API.
    pub const ALL: [(Bots, &'static str); 3] =
        [(Bots::Exclude, "exclude"), (Bots::Include, "include"), (Bots::Only, "only")];

    fn counts(self, credit: &Credit) -> bool {
        match self {
            Bots::Exclude => !credit.member.bot,
            Bots::Include => true,
            Bots::Only => credit.member.bot,
        }
    }
}

/// The metrics that are counts, in the API's words.
pub const COUNTS: [&str; 17] = [
    "commits",
    "merge_commits",
    "additions",
    "deletions",
    "files_changed",
    "lines_changed",
    "prs_opened",
    "prs_merged",
    "prs_closed",
    "reviews",
    "issues_opened",
    "issues_closed",
    "releases",
    "deploys",
    "deploy_failures",
    "active_members",
    "co_authored_commits",
];

/// The metrics that are distributions.
pub const DISTRIBUTIONS: [&str; 2] = ["cycle_time_hours", "first_review_hours"];

fn account(actor: &Actor) -> Member {
    match actor {
        None => Member { name: "ghost".to_owned(), bot: false },
        Some(Account { login, sort: AccountKind::Bot, .. }) => {
            Member { name: format!("{login}[bot]"), bot: true }
        }
        Some(Account { login, .. }) => Member { name: login.clone(), bot: false },
    }
}

/// The author of a commit: the account, a bot by its name or its noreply address, or a hash.
pub fn author(signature: &Signature) -> Member {
    if let Some(Account { sort: AccountKind::User, .. }) = signature.account {
        return account(&signature.account);
    }
    let noreply = signature.email.split_once("@users.noreply.github.com").map(|(local, _)| local);
    let by_email =
        noreply.and_then(|local| local.split('+').next_back()).filter(|login| login.ends_with("[bot]"));
    let by_name = Some(signature.name.as_str()).filter(|name| name.ends_with("[bot]"));
    match by_name.or(by_email) {
        Some(bot) => Member { name: bot.to_owned(), bot: true },
        None => {
            let hash = hex::encode(Sha256::digest(signature.email.to_lowercase().as_bytes()));
            Member { name: format!("~{}", &hash[..12]), bot: false }
        }
    }
}

/// Everything that is true at the moment.
pub fn credits(world: &World, now: Time) -> Vec<Credit> {
    let mut all = Vec::new();
    for repo in world.repos.iter().filter(|repo| repo.exists(now)) {
        let mut add = |at: Time, member: Member, activity: Activity| {
            all.push(Credit { at, repo: repo.id, member, activity })
        };
        for commit in repo.landed(now) {
            let activity = match commit.parents.len() {
                0 | 1 => Activity::Commit(commit.line_counts(now).unwrap_or_default()),
                _ => Activity::MergeCommit,
            };
            let by = author(&commit.author);
            if matches!(activity, Activity::Commit(_)) {
                let named: BTreeSet<Member> = commit.co_authors.iter().map(author).collect();
                for other in named.into_iter().filter(|other| *other != by) {
                    add(commit.committed_at, other, Activity::CoAuthored);
                }
            }
            add(commit.committed_at, by, activity);
        }
        for pull in repo.pulls.iter().filter(|pull| pull.thread.created_at <= now) {
            add_pull(pull, now, &mut add);
        }
        for issue in repo.issues.iter().filter(|issue| issue.created_at <= now) {
            add(issue.created_at, account(&issue.author), Activity::IssueOpened);
            if let Some(at) = closed_at(issue, now) {
                add(at, account(&issue.author), Activity::IssueClosed);
            }
        }
        add_upkeep(repo, now, &mut add);
    }
    all
}

fn add_upkeep(repo: &Repo, now: Time, add: &mut impl FnMut(Time, Member, Activity)) {
    for release in repo.releases.iter().filter(|release| release.exists(now) && !release.is_draft(now)) {
        add(release.published_at(now).expect("it is published"), account(&release.author), Activity::Release);
    }
    for deployment in &repo.deployments {
        let first = |states: &[&str]| {
            let statuses =
                deployment.statuses.iter().filter(|(when, state)| *when <= now && states.contains(state));
            statuses.map(|(when, _)| *when).min()
        };
        match (first(&["SUCCESS"]), first(&["FAILURE", "ERROR"])) {
            (Some(at), _) => add(at, account(&deployment.creator), Activity::Deploy),
            (None, Some(at)) => add(at, account(&deployment.creator), Activity::DeployFailure),
            (None, None) => {}
        }
    }
}

fn closed_at(thread: &Thread, now: Time) -> Option<Time> {
    thread.closing(now).map(|(when, event)| when + TimeDelta::seconds(event.unwrap_or(0)))
}

fn add_pull(pull: &PullRequest, now: Time, add: &mut impl FnMut(Time, Member, Activity)) {
    let thread = &pull.thread;
    let by = account(&thread.author);
    add(thread.created_at, by.clone(), Activity::PrOpened);
    let submitted = || {
        let reviews =
            pull.reviews.iter().filter_map(|review| Some((review.submitted(now)?, account(&review.author))));
        reviews.filter(|(_, reviewer)| *reviewer != by)
    };
    if let Some(merged_at) = thread.merged_at(now) {
        let since_creation = |at: Time| (at - thread.created_at).num_seconds();
        let first =
            submitted().filter(|(at, reviewer)| *at <= merged_at && !reviewer.bot).map(|(at, _)| at).min();
        add(merged_at, by.clone(), Activity::PrMerged(since_creation(merged_at), first.map(since_creation)));
    } else if let Some(at) = closed_at(thread, now) {
        add(at, by.clone(), Activity::PrClosed);
    }
    for (at, reviewer) in submitted() {
        add(at, reviewer, Activity::Review);
    }
}

/// The credits of a subject in `[since, until)`.
pub fn select<'a>(
    credits: &'a [Credit],
    subject: &Subject,
    since: NaiveDate,
    until: NaiveDate,
    bots: Bots,
) -> Vec<&'a Credit> {
    let is_it = |credit: &&Credit| match subject {
        Subject::Org => bots.counts(credit),
        Subject::Repo(id) => credit.repo == *id && bots.counts(credit),
        // Who is asked for by name answers its own numbers.
        Subject::Member(name) => {
            credit.member.name == *name && (bots == Bots::Exclude || bots.counts(credit))
        }
    };
    let lies_in = |credit: &&Credit| (since..until).contains(&credit.at.date_naive());
    credits.iter().filter(is_it).filter(lies_in).collect()
}

/// The members that are credited with more than having been named as co-authors.
pub fn active_members<'a>(credits: impl Iterator<Item = &'a Credit>) -> BTreeSet<&'a str> {
    let own = credits.filter(|credit| credit.activity != Activity::CoAuthored);
    own.map(|credit| credit.member.name.as_str()).collect()
}

/// The values of every metric.
pub fn metrics(credits: &[&Credit]) -> BTreeMap<&'static str, Value> {
    let count =
        |is_it: fn(&Activity) -> bool| credits.iter().filter(|credit| is_it(&credit.activity)).count();
    let lines = |at: usize| -> i64 {
        let of = |credit: &&Credit| if let Activity::Commit(lines) = credit.activity { lines[at] } else { 0 };
        credits.iter().map(of).sum()
    };
    let merges = credits.iter().filter_map(|credit| match credit.activity {
        Activity::PrMerged(cycle, first) => Some((cycle, first)),
        _ => None,
    });
    let (cycles, firsts): (Vec<i64>, Vec<Option<i64>>) = merges.unzip();
    let members = active_members(credits.iter().copied());
    BTreeMap::from([
        ("commits", json!(count(|activity| matches!(activity, Activity::Commit(_))))),
        ("merge_commits", json!(count(|activity| *activity == Activity::MergeCommit))),
        ("additions", json!(lines(0))),
        ("deletions", json!(lines(1))),
        ("files_changed", json!(lines(2))),
        ("lines_changed", json!(lines(0) + lines(1))),
        ("prs_opened", json!(count(|activity| *activity == Activity::PrOpened))),
        ("prs_merged", json!(cycles.len())),
        ("prs_closed", json!(count(|activity| *activity == Activity::PrClosed))),
        ("reviews", json!(count(|activity| *activity == Activity::Review))),
        ("issues_opened", json!(count(|activity| *activity == Activity::IssueOpened))),
        ("issues_closed", json!(count(|activity| *activity == Activity::IssueClosed))),
        ("releases", json!(count(|activity| *activity == Activity::Release))),
        ("deploys", json!(count(|activity| *activity == Activity::Deploy))),
        ("deploy_failures", json!(count(|activity| *activity == Activity::DeployFailure))),
        ("active_members", json!(members.len())),
        ("co_authored_commits", json!(count(|activity| *activity == Activity::CoAuthored))),
        ("cycle_time_hours", distribution(cycles)),
        ("first_review_hours", distribution(firsts.into_iter().flatten().collect())),
    ])
}

fn distribution(mut seconds: Vec<i64>) -> Value {
    seconds.sort_unstable();
    if seconds.is_empty() {
        return json!({ "count": 0, "mean": null, "p50": null, "p90": null });
    }
    let hours = |seconds: i64| seconds as f64 / 3600.0;
    let rank = |percent: usize| hours(seconds[(seconds.len() * percent).div_ceil(100).max(1) - 1]);
    let mean = hours(seconds.iter().sum()) / seconds.len() as f64;
    json!({ "count": seconds.len(), "mean": mean, "p50": rank(50), "p90": rank(90) })
}

/// Says where two values of a metric differ: counts and means must be equal, percentiles within 2 %.
///
/// # Errors
/// Where they differ.
pub fn compare(name: &str, expected: &Value, answered: &Value) -> Result<(), String> {
    let differ = || Err(format!("{name} is {answered}, not {expected}"));
    let Some(fields) = expected.as_object() else {
        return if expected == answered { Ok(()) } else { differ() };
    };
    if answered.as_object().map(|fields| fields.len()) != Some(fields.len()) {
        return differ();
    }
    for (field, expected) in fields {
        let off = match field.as_str() {
            "p50" | "p90" => 0.02,
            _ => 1e-9,
        };
        let same = match (expected.as_f64(), answered[field].as_f64()) {
            (Some(expected), Some(answered)) => (expected - answered).abs() <= expected.abs() * off + 1e-12,
            (expected, answered) => expected.is_none() && answered.is_none(),
        };
        if !same {
            return differ();
        }
    }
    Ok(())
}
