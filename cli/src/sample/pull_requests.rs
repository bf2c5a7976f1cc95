//! Pull requests of the sample.
//!
//! Everything that ever happens to a pull request is drawn on the day it is opened. Events after the end
//! of the sample are left out afterwards. So tomorrow's sample continues today's.

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use gam_model::period::midnight;
use gam_model::{Event, EventId, EventKind, Facts, FirstReview, Member, MemberKind};

use super::deployments_and_releases::SampleDeployment;
use super::people::{bot_member, pick_contractor, pick_person};
use super::random::SampleRng;
use super::repositories::{IdSequence, MergeStyle, SampleRepo};
use super::sessions::branch;

struct PlannedReview {
    id: i64,
    member: Member,
    at: DateTime<Utc>,
    state: &'static str,
}

struct PlannedCommit {
    sha: String,
    member: Member,
    at: DateTime<Utc>,
    parents: i32,
    co_authors: Vec<String>,
    additions: i64,
    deletions: i64,
    files: i64,
}

/// When a pull request is closed, reopened or merged, UTC.
#[derive(Default)]
struct PullRequestEnd {
    closed: Option<DateTime<Utc>>,
    reopened: Option<DateTime<Utc>>,
    merged: Option<DateTime<Utc>>,
}

/// A pull request with everything that ever happens to it.
pub(super) struct SamplePullRequest {
    number: i64,
    author: Member,
    created: DateTime<Utc>,
    draft: bool,
    labels: Vec<String>,
    reviews: Vec<PlannedReview>,
    end: PullRequestEnd,
    commits: Vec<PlannedCommit>,
    deployment: Option<SampleDeployment>,
}

impl SamplePullRequest {
    /// Draws a pull request that a person opens on the day, and what happens to it later.
    pub(super) fn by_person(
        repo: &SampleRepo,
        day: NaiveDate,
        ids: &mut IdSequence,
        rng: &mut SampleRng,
    ) -> Self {
        let person = pick_person(repo.seed, repo.index, day, &[], rng);
        let created = person.working_time(day, rng);
        let author = person.member();
        let labels = ["bug", "feature", "refactoring", "tests"];
        let mut pull = SamplePullRequest {
            number: ids.next_thread_number(),
            draft: rng.chance(0.12),
            labels: if rng.chance(0.6) { vec![(*rng.pick(&labels)).to_owned()] } else { Vec::new() },
            reviews: Vec::new(),
            end: PullRequestEnd::default(),
            commits: Vec::new(),
            deployment: None,
            author,
            created,
        };
        let last_review = pull.plan_reviews(repo, day, ids, rng);
        let end = rng.time_after(last_review, 3.0, 1.2);
        pull.end = match rng.between(0, 100) {
            0..84 => PullRequestEnd { merged: Some(end), ..PullRequestEnd::default() },
            84..92 => PullRequestEnd { closed: Some(end), ..PullRequestEnd::default() },
            92..96 => {
                let reopened = rng.time_after(end, 20.0, 0.8);
                let merged = Some(rng.time_after(reopened, 10.0, 1.0));
                PullRequestEnd { closed: Some(end), reopened: Some(reopened), merged }
            }
            _ => PullRequestEnd::default(),
        };
        pull.plan_merge(repo, ids, rng);
        pull
    }

    /// Draws an update of dependencies that a bot opens on the day.
    pub(super) fn by_bot(
        repo: &SampleRepo,
        login: &str,
        day: NaiveDate,
        ids: &mut IdSequence,
        rng: &mut SampleRng,
    ) -> Self {
        let created = midnight(day) + TimeDelta::seconds(rng.between(4 * 3600, 6 * 3600));
        let mut pull = SamplePullRequest {
            number: ids.next_thread_number(),
            author: bot_member(login),
            created,
            draft: false,
            labels: vec!["dependencies".to_owned()],
            reviews: Vec::new(),
            end: PullRequestEnd::default(),
            commits: Vec::new(),
            deployment: None,
        };
        let decided = rng.time_after(created, 20.0, 1.0);
        match rng.between(0, 10) {
            0..7 => {
                pull.plan_review(repo, day, decided, "approved", ids, rng);
                pull.end.merged = Some(decided + TimeDelta::seconds(rng.between(20, 600)));
            }
            7..9 => pull.end.closed = Some(decided),
            _ => {}
        }
        pull.plan_merge(repo, ids, rng);
        pull
    }

    /// Draws the reviews. Returns the time of the last one, or when the pull request was opened.
    fn plan_reviews(
        &mut self,
        repo: &SampleRepo,
        day: NaiveDate,
        ids: &mut IdSequence,
        rng: &mut SampleRng,
    ) -> DateTime<Utc> {
        let mut at = self.created;
        // Some are merged without a review.
        if rng.chance(0.12) {
            return at;
        }
        if rng.chance(0.3) {
            at = rng.time_after(at, 4.0, 1.1);
            let state = if rng.chance(0.5) { "changes_requested" } else { "commented" };
            self.plan_review(repo, day, at, state, ids, rng);
        }
        for _ in 0..1 + rng.poisson(0.4) {
            at = rng.time_after(at, 5.0, 1.2);
            self.plan_review(repo, day, at, "approved", ids, rng);
        }
        at
    }

    fn plan_review(
        &mut self,
        repo: &SampleRepo,
        day: NaiveDate,
        at: DateTime<Utc>,
        state: &'static str,
        ids: &mut IdSequence,
        rng: &mut SampleRng,
    ) {
        let reviewer = pick_person(repo.seed, repo.index, day, std::slice::from_ref(&self.author), rng);
        let member = if rng.chance(0.004) { Member::ghost() } else { reviewer.member() };
        self.reviews.push(PlannedReview { id: ids.next_review_id(), member, at, state });
    }

    /// Draws the commits that a merge adds to the default branch, and its deployment.
    fn plan_merge(&mut self, repo: &SampleRepo, ids: &mut IdSequence, rng: &mut SampleRng) {
        let Some(merged) = self.end.merged else { return };
        match repo.profile.merge_style {
            MergeStyle::Squash => self.plan_commit(merged, 1, rng),
            MergeStyle::MergeCommit => {
                let seconds = (merged - self.created).num_seconds();
                for _ in 0..1 + rng.poisson(1.6) {
                    let before = TimeDelta::seconds(rng.between(0, seconds.max(1)));
                    self.plan_commit(merged - before, 1, rng);
                }
                self.plan_commit(merged, 2, rng);
            }
        }
        let tip = self.commits.last().map(|commit| commit.sha.clone());
        if let (Some(environment), Some(sha)) = (repo.profile.environment, tip) {
            let creator = self.reviews.last().map_or(&self.author, |review| &review.member).clone();
            self.deployment = Some(SampleDeployment::plan(environment, sha, creator, merged, ids, rng));
        }
    }

    fn plan_commit(&mut self, at: DateTime<Utc>, parents: i32, rng: &mut SampleRng) {
        let is_bot = self.author.kind == MemberKind::Bot;
        let scale = if is_bot { 0.2 } else { 1.0 };
        let contractor = pick_contractor(rng);
        let member =
            if !is_bot && parents == 1 && rng.chance(0.02) { contractor } else { self.author.clone() };
        let has_co_author = rng.chance(0.08);
        let co_author =
            self.reviews.first().filter(|_| has_co_author).map(|review| review.member.name.clone());
        self.commits.push(PlannedCommit {
            sha: rng.sha(),
            member,
            at,
            parents,
            co_authors: co_author.into_iter().collect(),
            additions: (rng.log_normal(42.0, 1.3) * scale) as i64 + 1,
            deletions: (rng.log_normal(16.0, 1.4) * scale) as i64,
            files: (rng.log_normal(3.5, 0.9) * scale) as i64 + 1,
        });
    }

    /// Returns when the pull request was opened, UTC.
    pub(super) fn created(&self) -> DateTime<Utc> {
        self.created
    }

    /// Appends the events that happen before the end of the sample.
    pub(super) fn events(&self, repo: &SampleRepo, out: &mut Vec<Event>) {
        let (closed, reopened, merged) =
            (repo.if_past(self.end.closed), repo.if_past(self.end.reopened), repo.if_past(self.end.merged));
        let state = match (merged, closed, reopened) {
            (Some(_), ..) => "merged",
            (None, Some(_), None) => "closed",
            _ => "open",
        };
        let reviews: Vec<_> = self.reviews.iter().filter(|review| review.at < repo.now).collect();
        let changes = [Some(self.created), closed, reopened, merged].into_iter().flatten();
        let updated = changes.chain(reviews.iter().map(|review| review.at)).max().unwrap_or(self.created);
        let version = updated.timestamp();
        let facts = Facts {
            number: Some(self.number),
            state: Some(state.to_owned()),
            draft: Some(self.draft && merged.is_none()),
            created_at: Some(self.created),
            merged_at: merged,
            labels: Some(self.labels.clone()),
            head_ref: Some(branch(self.number)),
            head_repo_id: Some(repo.repo_id),
            ..Facts::default()
        };
        let mut push = |id, kind, at, retracted, facts| {
            out.push(Event { version, retracted, ..repo.event(id, kind, &self.author, at, facts) });
        };
        let id = EventId::pr_opened(repo.repo_id, self.number);
        push(id, EventKind::PrOpened, self.created, false, facts.clone());
        if let Some(at) = closed {
            let id = EventId::pr_closed(repo.repo_id, self.number, at);
            push(id, EventKind::PrClosed, at, reopened.is_some(), facts.clone());
        }
        if let Some(at) = merged {
            let facts = Facts { first_reviews: Some(self.first_reviews(at)), ..facts };
            push(EventId::pr_merged(repo.repo_id, self.number), EventKind::PrMerged, at, false, facts);
            self.merge_events(repo, out);
        }
        for review in reviews {
            let facts = Facts {
                number: Some(self.number),
                pr_member: Some(self.author.name.clone()),
                review_state: Some(review.state.to_owned()),
                ..Facts::default()
            };
            let id = EventId::review(review.id);
            out.push(repo.event(id, EventKind::Review, &review.member, review.at, facts));
        }
    }

    fn merge_events(&self, repo: &SampleRepo, out: &mut Vec<Event>) {
        for commit in &self.commits {
            let facts = Facts {
                sha: Some(commit.sha.clone()),
                parents: Some(commit.parents),
                additions: Some(commit.additions),
                deletions: Some(commit.deletions),
                files_changed: Some(commit.files),
                co_authors: Some(commit.co_authors.clone()),
                ..Facts::default()
            };
            let id = EventId::commit(repo.repo_id, &commit.sha);
            out.push(repo.event(id, EventKind::Commit, &commit.member, commit.at, facts));
        }
        if let Some(deployment) = &self.deployment {
            deployment.events(repo, out);
        }
    }

    /// Returns the first review of each reviewer before the merge.
    fn first_reviews(&self, merged: DateTime<Utc>) -> Vec<FirstReview> {
        let mut first: Vec<FirstReview> = Vec::new();
        for review in self.reviews.iter().filter(|review| review.at <= merged) {
            if first.iter().all(|earlier| earlier.member != review.member.name) {
                first.push(FirstReview {
                    member: review.member.name.clone(),
                    member_kind: review.member.kind,
                    at: review.at,
                });
            }
        }
        first.sort();
        first
    }
}
