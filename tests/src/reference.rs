//! The reference: computes every metric from the world, by its definition alone.
//!
//! A credit is one thing that a member did at a time in a repository. A metric is a sum over the credits of a
//! subject in a range. The code is slow and simple on purpose.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{NaiveDate, TimeDelta};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::github::world::{Account, AccountKind, Actor, PullRequest, Repo, Signature, Thread, Time, World};

/// A member that something is credited to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Member {
    /// Login, or the name of an unlinked author.
    pub name: String,
    /// Whether the member is a bot.
    pub is_bot: bool,
}

/// Name of nobody: the author of a release or a deployment that has none. No login has a space.
const NOBODY: &str = "no author";

impl Member {
    fn bot(name: &str) -> Self {
        Member { name: name.to_owned(), is_bot: true }
    }

    fn person(name: &str) -> Self {
        Member { name: name.to_owned(), is_bot: false }
    }

    pub(crate) fn is_nobody(&self) -> bool {
        self.name == NOBODY
    }
}

/// What a member did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Activity {
    /// A commit with at most one parent: lines added and deleted, files changed.
    Commit([i64; 3]),
    /// A commit with more than one parent.
    MergeCommit,
    /// A commit with at most one parent names the member as co-author. A member with nothing
    /// else is neither active nor listed.
    CoAuthored,
    /// A pull request was opened.
    PrOpened,
    /// A pull request was merged: seconds from its creation to the merge, and to the first review.
    PrMerged(i64, Option<i64>),
    /// A pull request was closed without a merge.
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
    /// A deployment failed and never succeeded.
    DeployFailure,
}

impl Activity {
    /// Returns whether it counts by default whoever did it.
    fn is_delivery(&self) -> bool {
        matches!(self, Activity::Release | Activity::Deploy | Activity::DeployFailure)
    }
}

/// One thing that a member did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credit {
    /// Time, UTC.
    pub at: Time,
    /// Id of the repository.
    pub repo: i64,
    /// The credited member.
    pub member: Member,
    /// What the member did.
    pub activity: Activity,
    /// Whether it counts in its repository only: the commit lies in another repository, too, where it counts
    /// for the organization and its author.
    pub is_repeat: bool,
}

/// What a query is about.
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
    /// People's, and everybody's releases and deployments.
    Auto,
    /// People's.
    Exclude,
    /// Everybody's.
    Include,
    /// Bots'.
    Only,
}

impl Bots {
    /// Every filter and its value in the API.
    pub const ALL: [(Bots, &'static str); 4] =
        [(Bots::Auto, "auto"), (Bots::Exclude, "exclude"), (Bots::Include, "include"), (Bots::Only, "only")];

    pub(crate) fn includes(self, credit: &Credit) -> bool {
        let is_person = !credit.member.is_bot && !credit.member.is_nobody();
        match self {
            Bots::Auto => is_person || credit.activity.is_delivery(),
            Bots::Exclude => is_person,
            Bots::Include => true,
            Bots::Only => credit.member.is_bot,
        }
    }
}

/// API names of the metrics that are counts.
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

/// API names of the metrics that are distributions.
pub const DISTRIBUTIONS: [&str; 2] = ["cycle_time_hours", "first_review_hours"];

/// Ids of the accounts of GitHub's Copilot.
const COPILOT_IDS: [i64; 3] = [198_982_749, 175_728_472, 223_556_219];
/// Logins of GitHub's Copilot, in lower case and without `[bot]`.
const COPILOT_LOGINS: [&str; 3] = ["copilot", "copilot-swe-agent", "copilot-pull-request-reviewer"];

fn is_copilot(login: &str) -> bool {
    COPILOT_LOGINS.contains(&login.to_lowercase().trim_end_matches("[bot]"))
}

fn account_member(actor: &Actor) -> Member {
    match actor {
        None => Member::person("ghost"),
        Some(Account { login, id, .. }) if COPILOT_IDS.contains(id) || is_copilot(login) => {
            Member::bot("Copilot[bot]")
        }
        Some(Account { login, kind: AccountKind::Bot, .. }) => Member::bot(&format!("{login}[bot]")),
        Some(Account { login, .. }) => Member::person(login),
    }
}

/// Returns who made a release or a deployment.
fn delivery_member(actor: &Actor) -> Member {
    if actor.is_none() { Member::person(NOBODY) } else { account_member(actor) }
}

/// Returns the credited author of a commit: the linked account, a bot recognized by its name or noreply
/// address, or a hash of the e-mail address, or of the name if the address is empty.
pub fn commit_author(signature: &Signature) -> Member {
    if let Some(Account { kind: AccountKind::User, .. }) = signature.account {
        return account_member(&signature.account);
    }
    let email = signature.email.to_lowercase();
    let noreply = email.split_once("@users.noreply.github.com").map(|(local, _)| local);
    let id_and_login = noreply.map(|local| local.split_once('+').unwrap_or(("", local)));
    let is_copilot_address = id_and_login.is_some_and(|(id, login)| {
        is_copilot(login) || COPILOT_IDS.iter().any(|copilot| copilot.to_string() == id)
    });
    if is_copilot_address || email == "copilot@github.com" {
        return Member::bot("Copilot[bot]");
    }
    let by_email = id_and_login.map(|(_, login)| login).filter(|login| login.ends_with("[bot]"));
    let by_name = Some(signature.name.as_str()).filter(|name| name.ends_with("[bot]"));
    match by_name.or(by_email) {
        Some(bot) if is_copilot(bot) => Member::bot("Copilot[bot]"),
        Some(bot) => Member::bot(bot),
        None => {
            let identity = if email.is_empty() { signature.name.to_lowercase() } else { email };
            let hash = hex::encode(Sha256::digest(identity.as_bytes()));
            Member::person(&format!("~{}", &hash[..12]))
        }
    }
}

/// Returns the repository in which each commit counts for the organization: of those in which it landed, the
/// one with the smallest id in which its lines are counted, or else the one with the smallest id.
fn counting_repos(world: &World, now: Time) -> BTreeMap<&str, i64> {
    let mut counting: BTreeMap<&str, (bool, i64)> = BTreeMap::new();
    for repo in world.repos.iter().filter(|repo| repo.exists(now)) {
        for commit in repo.landed(now) {
            let candidate = (commit.line_counts(now).is_none(), repo.id);
            let best = counting.entry(&commit.sha).or_insert(candidate);
            *best = candidate.min(*best);
        }
    }
    counting.into_iter().map(|(sha, (_, repo))| (sha, repo)).collect()
}

/// Returns every credit that GitHub's data justifies at a time.
pub fn credits(world: &World, now: Time) -> Vec<Credit> {
    let mut credits = Vec::new();
    let counting_repos = counting_repos(world, now);
    for repo in world.repos.iter().filter(|repo| repo.exists(now)) {
        let mut add = |at: Time, member: Member, activity: Activity| {
            credits.push(Credit { at, repo: repo.id, member, activity, is_repeat: false })
        };
        for pull in repo.pulls.iter().filter(|pull| pull.thread.created_at <= now) {
            add_pull(pull, now, &mut add);
        }
        for issue in repo.issues.iter().filter(|issue| issue.created_at <= now) {
            add(issue.created_at, account_member(&issue.author), Activity::IssueOpened);
            if let Some(at) = closed_at(issue, now) {
                add(at, account_member(&issue.author), Activity::IssueClosed);
            }
        }
        add_releases_and_deployments(repo, now, &mut add);
        for commit in repo.landed(now) {
            let is_repeat = counting_repos[commit.sha.as_str()] != repo.id;
            let mut add = |at: Time, member: Member, activity: Activity| {
                credits.push(Credit { at, repo: repo.id, member, activity, is_repeat })
            };
            let activity = match commit.parents.len() {
                0 | 1 => Activity::Commit(commit.line_counts(now).unwrap_or_default()),
                _ => Activity::MergeCommit,
            };
            let author = commit_author(&commit.author);
            if matches!(activity, Activity::Commit(_)) {
                let co_authors: BTreeSet<Member> = commit.co_authors.iter().map(commit_author).collect();
                for co_author in co_authors.into_iter().filter(|co_author| *co_author != author) {
                    add(commit.committed_at, co_author, Activity::CoAuthored);
                }
            }
            add(commit.committed_at, author, activity);
        }
    }
    credits
}

fn add_releases_and_deployments(repo: &Repo, now: Time, add: &mut impl FnMut(Time, Member, Activity)) {
    // A release that was deleted after it was read stays counted. GitHub's data do not show that one.
    for release in repo.releases.iter().filter(|release| release.exists(now) && !release.is_draft(now)) {
        add(
            release.published_at(now).expect("it is published"),
            delivery_member(&release.author),
            Activity::Release,
        );
    }
    for deployment in &repo.deployments {
        // What comes more than 90 days after the creation does not count.
        let end = now.min(deployment.created_at + TimeDelta::days(90));
        let first_time = |states: &[&str]| {
            let statuses =
                deployment.statuses.iter().filter(|(when, state)| *when <= end && states.contains(state));
            statuses.map(|(when, _)| *when).min()
        };
        match (first_time(&["SUCCESS"]), first_time(&["FAILURE", "ERROR"])) {
            (Some(at), _) => add(at, delivery_member(&deployment.creator), Activity::Deploy),
            (None, Some(at)) => add(at, delivery_member(&deployment.creator), Activity::DeployFailure),
            (None, None) => {}
        }
    }
}

fn closed_at(thread: &Thread, now: Time) -> Option<Time> {
    thread.closing(now).map(|(when, event_offset_s)| when + TimeDelta::seconds(event_offset_s.unwrap_or(0)))
}

fn add_pull(pull: &PullRequest, now: Time, add: &mut impl FnMut(Time, Member, Activity)) {
    let thread = &pull.thread;
    let author = account_member(&thread.author);
    add(thread.created_at, author.clone(), Activity::PrOpened);
    let reviews_of_others = || {
        let reviews = pull
            .reviews
            .iter()
            .filter_map(|review| Some((review.submitted(now)?, account_member(&review.author))));
        reviews.filter(|(_, reviewer)| *reviewer != author)
    };
    if let Some(merged_at) = thread.merged_at(now) {
        let since_creation = |at: Time| (at - thread.created_at).num_seconds();
        let first_review = reviews_of_others()
            .filter(|(at, reviewer)| *at <= merged_at && !reviewer.is_bot)
            .map(|(at, _)| at)
            .min();
        add(
            merged_at,
            author.clone(),
            Activity::PrMerged(since_creation(merged_at), first_review.map(since_creation)),
        );
    } else if let Some(at) = closed_at(thread, now) {
        add(at, author.clone(), Activity::PrClosed);
    }
    for (at, reviewer) in reviews_of_others() {
        add(at, reviewer, Activity::Review);
    }
}

/// Selects the credits of a subject in `[since, until)`.
pub fn select<'a>(
    credits: &'a [Credit],
    subject: &Subject,
    since: NaiveDate,
    until: NaiveDate,
    bots: Bots,
) -> Vec<&'a Credit> {
    let is_of_subject = |credit: &&Credit| match subject {
        Subject::Org => !credit.is_repeat && bots.includes(credit),
        Subject::Repo(id) => credit.repo == *id && bots.includes(credit),
        // A bot that is queried by name returns its own numbers. A person is no bot.
        Subject::Member(name) => {
            let is_member = credit.member.name == *name && !credit.is_repeat;
            is_member && (bots != Bots::Only || credit.member.is_bot)
        }
    };
    let is_in_range = |credit: &&Credit| (since..until).contains(&credit.at.date_naive());
    credits.iter().filter(is_of_subject).filter(is_in_range).collect()
}

/// Returns the members that have a credit other than as a co-author. With [`Bots::Auto`] a bot counts only if it
/// is the subject.
pub fn active_members<'a>(
    credits: impl Iterator<Item = &'a Credit>,
    subject: &Subject,
    bots: Bots,
) -> BTreeSet<&'a str> {
    let has_people_only = bots == Bots::Auto && !matches!(subject, Subject::Member(_));
    credits
        .filter(|credit| credit.activity != Activity::CoAuthored && !credit.member.is_nobody())
        .filter(|credit| !has_people_only || !credit.member.is_bot)
        .map(|credit| credit.member.name.as_str())
        .collect()
}

/// Computes every metric.
pub fn metrics(credits: &[&Credit], subject: &Subject, bots: Bots) -> BTreeMap<&'static str, Value> {
    let count =
        |matches: fn(&Activity) -> bool| credits.iter().filter(|credit| matches(&credit.activity)).count();
    let sum_lines = |index: usize| -> i64 {
        let lines =
            |credit: &&Credit| if let Activity::Commit(counts) = credit.activity { counts[index] } else { 0 };
        credits.iter().map(lines).sum()
    };
    let merges = credits.iter().filter_map(|credit| match credit.activity {
        Activity::PrMerged(cycle, first) => Some((cycle, first)),
        _ => None,
    });
    let (cycles, firsts): (Vec<i64>, Vec<Option<i64>>) = merges.unzip();
    let members = active_members(credits.iter().copied(), subject, bots);
    BTreeMap::from([
        ("commits", json!(count(|activity| matches!(activity, Activity::Commit(_))))),
        ("merge_commits", json!(count(|activity| *activity == Activity::MergeCommit))),
        ("additions", json!(sum_lines(0))),
        ("deletions", json!(sum_lines(1))),
        ("files_changed", json!(sum_lines(2))),
        ("lines_changed", json!(sum_lines(0) + sum_lines(1))),
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

/// The greatest number of values of which percentiles must be exact.
const MAX_EXACT_VALUES: u64 = 64;

/// Compares two values of a metric. Counts and means must be equal. Percentiles of at most 64 values must be
/// equal, others must agree within 2 %.
///
/// # Errors
/// If the values differ.
pub fn compare(name: &str, expected: &Value, actual: &Value) -> Result<(), String> {
    let differ = || Err(format!("{name} is {actual}, not {expected}"));
    let Some(fields) = expected.as_object() else {
        return if expected == actual { Ok(()) } else { differ() };
    };
    if actual.as_object().map(|fields| fields.len()) != Some(fields.len()) {
        return differ();
    }
    let has_exact_percentiles = fields["count"].as_u64().is_some_and(|count| count <= MAX_EXACT_VALUES);
    for (field, expected) in fields {
        let tolerance = match field.as_str() {
            "p50" | "p90" if !has_exact_percentiles => 0.02,
            _ => 1e-9,
        };
        let same = match (expected.as_f64(), actual[field].as_f64()) {
            (Some(expected), Some(actual)) => (expected - actual).abs() <= expected.abs() * tolerance + 1e-12,
            (expected, actual) => expected.is_none() && actual.is_none(),
        };
        if !same {
            return differ();
        }
    }
    Ok(())
}
