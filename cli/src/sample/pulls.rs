//! Pull requests of the sample: first what will happen to each, then what of it has happened.
//!
//! Drawing a pull request's whole fate when it is opened, and only then cutting at the present, makes
//! tomorrow's sample continue today's.

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use gam_model::{Event, EventId, EventKind, Facts, FirstReview, Member};

use super::cast::{self, MergeStyle};
use super::dice::Dice;
use super::{Deployment, Numbers, Stage};

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

#[derive(Default)]
struct Fate {
    closed: Option<DateTime<Utc>>,
    reopened: Option<DateTime<Utc>>,
    merged: Option<DateTime<Utc>>,
}

/// A pull request with everything that will ever happen to it.
pub(super) struct Pull {
    number: i64,
    author: Member,
    created: DateTime<Utc>,
    draft: bool,
    labels: Vec<String>,
    reviews: Vec<PlannedReview>,
    fate: Fate,
    commits: Vec<PlannedCommit>,
    deployment: Option<Deployment>,
}

impl Pull {
    /// A person's pull request of that day.
    pub(super) fn by_person(stage: &Stage, day: NaiveDate, numbers: &mut Numbers, dice: &mut Dice) -> Self {
        let person = cast::somebody(stage.seed, stage.place, day, &[], dice);
        let created = person.at_work(day, dice);
        let author = person.member();
        let labels = ["bug", "feature", "refactoring", "tests"];
        let mut pull = Pull {
            number: numbers.thread(),
            draft: dice.chance(0.12),
            labels: if dice.chance(0.6) { vec![(*dice.pick(&labels)).to_owned()] } else { Vec::new() },
            reviews: Vec::new(),
            fate: Fate::default(),
            commits: Vec::new(),
            deployment: None,
            author,
            created,
        };
        let last_review = pull.plan_reviews(stage, day, numbers, dice);
        let end = dice.later(last_review, 3.0, 1.2);
        pull.fate = match dice.between(0, 100) {
            0..84 => Fate { merged: Some(end), ..Fate::default() },
            84..92 => Fate { closed: Some(end), ..Fate::default() },
            92..96 => {
                let reopened = dice.later(end, 20.0, 0.8);
                let merged = Some(dice.later(reopened, 10.0, 1.0));
                Fate { closed: Some(end), reopened: Some(reopened), merged }
            }
            _ => Fate::default(),
        };
        pull.plan_landing(stage, numbers, dice);
        pull
    }

    /// An update of dependencies by a bot.
    pub(super) fn by_bot(
        stage: &Stage,
        login: &str,
        day: NaiveDate,
        numbers: &mut Numbers,
        dice: &mut Dice,
    ) -> Self {
        let created = gam_model::period::midnight(day) + TimeDelta::seconds(dice.between(4 * 3600, 6 * 3600));
        let mut pull = Pull {
            number: numbers.thread(),
            author: cast::bot(login),
            created,
            draft: false,
            labels: vec!["dependencies".to_owned()],
            reviews: Vec::new(),
            fate: Fate::default(),
            commits: Vec::new(),
            deployment: None,
        };
        let decided = dice.later(created, 20.0, 1.0);
        match dice.between(0, 10) {
            0..7 => {
                pull.plan_review(stage, day, decided, "approved", numbers, dice);
                pull.fate.merged = Some(decided + TimeDelta::seconds(dice.between(20, 600)));
            }
            7..9 => pull.fate.closed = Some(decided),
            _ => {}
        }
        pull.plan_landing(stage, numbers, dice);
        pull
    }

    fn plan_reviews(
        &mut self,
        stage: &Stage,
        day: NaiveDate,
        numbers: &mut Numbers,
        dice: &mut Dice,
    ) -> DateTime<Utc> {
        let mut at = self.created;
        // Some land without anybody looking.
        if dice.chance(0.12) {
            return at;
        }
        if dice.chance(0.3) {
            at = dice.later(at, 4.0, 1.1);
            let state = if dice.chance(0.5) { "changes_requested" } else { "commented" };
            self.plan_review(stage, day, at, state, numbers, dice);
        }
        for _ in 0..1 + dice.poisson(0.4) {
            at = dice.later(at, 5.0, 1.2);
            self.plan_review(stage, day, at, "approved", numbers, dice);
        }
        at
    }

    fn plan_review(
        &mut self,
        stage: &Stage,
        day: NaiveDate,
        at: DateTime<Utc>,
        state: &'static str,
        numbers: &mut Numbers,
        dice: &mut Dice,
    ) {
        let reviewer = cast::somebody(stage.seed, stage.place, day, std::slice::from_ref(&self.author), dice);
        let member = if dice.chance(0.004) { Member::ghost() } else { reviewer.member() };
        self.reviews.push(PlannedReview { id: numbers.review(), member, at, state });
    }

    /// The commits that a merge brings to the default branch, and its deployment.
    fn plan_landing(&mut self, stage: &Stage, numbers: &mut Numbers, dice: &mut Dice) {
        let Some(merged) = self.fate.merged else { return };
        match stage.role.style {
            MergeStyle::Squash => self.plan_commit(merged, 1, dice),
            MergeStyle::MergeCommit => {
                let seconds = (merged - self.created).num_seconds();
                for _ in 0..1 + dice.poisson(1.6) {
                    let before = TimeDelta::seconds(dice.between(0, seconds.max(1)));
                    self.plan_commit(merged - before, 1, dice);
                }
                self.plan_commit(merged, 2, dice);
            }
        }
        let tip = self.commits.last().map(|commit| commit.sha.clone());
        if let (Some(environment), Some(sha)) = (stage.role.environment, tip) {
            let creator = self.reviews.last().map_or(&self.author, |review| &review.member).clone();
            self.deployment = Some(Deployment::plan(environment, sha, creator, merged, numbers, dice));
        }
    }

    fn plan_commit(&mut self, at: DateTime<Utc>, parents: i32, dice: &mut Dice) {
        let by_bot = self.author.kind == gam_model::MemberKind::Bot;
        let scale = if by_bot { 0.2 } else { 1.0 };
        let contractor = cast::contractor(dice);
        let member =
            if !by_bot && parents == 1 && dice.chance(0.02) { contractor } else { self.author.clone() };
        let helper = dice.chance(0.08);
        let co_author = self.reviews.first().filter(|_| helper).map(|review| review.member.name.clone());
        self.commits.push(PlannedCommit {
            sha: dice.sha(),
            member,
            at,
            parents,
            co_authors: co_author.into_iter().collect(),
            additions: (dice.log_normal(42.0, 1.3) * scale) as i64 + 1,
            deletions: (dice.log_normal(16.0, 1.4) * scale) as i64,
            files: (dice.log_normal(3.5, 0.9) * scale) as i64 + 1,
        });
    }

    /// When it was opened.
    pub(super) fn created(&self) -> DateTime<Utc> {
        self.created
    }

    /// The events that GitHub shows at the stage's present.
    pub(super) fn events(&self, stage: &Stage, out: &mut Vec<Event>) {
        let (closed, reopened, merged) =
            (stage.past(self.fate.closed), stage.past(self.fate.reopened), stage.past(self.fate.merged));
        let state = match (merged, closed, reopened) {
            (Some(_), ..) => "merged",
            (None, Some(_), None) => "closed",
            _ => "open",
        };
        let reviews: Vec<_> = self.reviews.iter().filter(|review| review.at < stage.now).collect();
        let touched = [Some(self.created), closed, reopened, merged].into_iter().flatten();
        let updated = touched.chain(reviews.iter().map(|review| review.at)).max().unwrap_or(self.created);
        let version = updated.timestamp();
        let facts = Facts {
            number: Some(self.number),
            state: Some(state.to_owned()),
            draft: Some(self.draft && merged.is_none()),
            created_at: Some(self.created),
            merged_at: merged,
            labels: Some(self.labels.clone()),
            ..Facts::default()
        };
        let mut tell = |id, kind, at, retracted, facts| {
            out.push(Event { version, retracted, ..stage.event(id, kind, &self.author, at, facts) });
        };
        let id = EventId::pr_opened(stage.repo_id, self.number);
        tell(id, EventKind::PrOpened, self.created, false, facts.clone());
        if let Some(at) = closed {
            let id = EventId::pr_closed(stage.repo_id, self.number, at);
            tell(id, EventKind::PrClosed, at, reopened.is_some(), facts.clone());
        }
        if let Some(at) = merged {
            let facts = Facts { first_reviews: Some(self.first_reviews(at)), ..facts };
            tell(EventId::pr_merged(stage.repo_id, self.number), EventKind::PrMerged, at, false, facts);
            self.landing_events(stage, out);
        }
        for review in reviews {
            let facts = Facts {
                number: Some(self.number),
                pr_member: Some(self.author.name.clone()),
                review_state: Some(review.state.to_owned()),
                ..Facts::default()
            };
            let id = EventId::review(review.id);
            out.push(stage.event(id, EventKind::Review, &review.member, review.at, facts));
        }
    }

    fn landing_events(&self, stage: &Stage, out: &mut Vec<Event>) {
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
            let id = EventId::commit(stage.repo_id, &commit.sha);
            out.push(stage.event(id, EventKind::Commit, &commit.member, commit.at, facts));
        }
        if let Some(deployment) = &self.deployment {
            deployment.events(stage, out);
        }
    }

    fn first_reviews(&self, merged: DateTime<Utc>) -> Vec<FirstReview> {
        let mut first: Vec<FirstReview> = Vec::new();
        for review in self.reviews.iter().filter(|review| review.at <= merged) {
            if first.iter().all(|seen| seen.member != review.member.name) {
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
