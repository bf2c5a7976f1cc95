//! Pull requests with their reviews, and issues.

use super::{FactSort, OrgModel, pick_between, pick_end};
use crate::calendar::SECONDS_PER_DAY;
use crate::random::{RandomStream, Sha};
use crate::shape::MonthPlan;

/// The most reviews of a pull request.
pub(crate) const MAX_REVIEWS: usize = 5;

const FIRST_REVIEW_ID: i64 = 2_000_000_000;
const LABELS: [&str; 6] = ["bug", "feature", "refactoring", "tests", "security", "performance"];

/// A review of a pull request.
#[derive(Clone, Copy, Default)]
pub(crate) struct GeneratedReview {
    pub(crate) id: i64,
    pub(crate) member: u32,
    /// Epoch seconds.
    pub(crate) at: i64,
    pub(crate) state: &'static str,
}

/// A pull request with everything that ever happens to it. Times are epoch seconds.
#[derive(Clone, Copy)]
pub(crate) struct GeneratedPull {
    pub(crate) number: i64,
    pub(crate) repo: u32,
    pub(crate) author: u32,
    pub(crate) created: i64,
    pub(crate) merged: Option<i64>,
    pub(crate) closed: Option<i64>,
    /// Whether it was opened again after it was closed.
    pub(crate) is_reopened: bool,
    pub(crate) is_draft: bool,
    /// Whether its branch is in a fork that was deleted.
    pub(crate) is_fork_deleted: bool,
    pub(crate) label: Option<&'static str>,
    pub(crate) merge_sha: Sha,
    reviews: [GeneratedReview; MAX_REVIEWS],
    review_count: u8,
}

impl GeneratedPull {
    /// Returns the pull request of a month with this number.
    pub(crate) fn generate(model: &OrgModel, month: usize, number: u64) -> Self {
        let random = &mut model.stream(FactSort::Pull, month, number);
        let plan = &model.plans[month];
        let (earlier, population) = (plan.facts_before, &model.population);
        let repo = population.pick_repo(random);
        let author = population.pick_account(random);
        let created = model.pick_time(month, author, random);
        let end = pick_end(created, random);
        let past_end = model.if_past(end);
        let (closed, is_reopened, merged) = match random.below(100) {
            0..84 => (None, false, past_end),
            84..91 => (past_end, false, None),
            91..93 => (model.if_past(created + (end - created) / 2), true, past_end),
            _ => (None, false, None),
        };
        let mut pull = GeneratedPull {
            // Numbers grow with time, and no two of the organization are equal. GitHub counts in each
            // repository.
            number: (earlier.pulls + earlier.issues + number + 1) as i64,
            repo,
            author,
            created,
            merged,
            closed,
            is_reopened,
            is_draft: random.chance(0.1),
            is_fork_deleted: random.chance(0.02),
            label: random.chance(0.6).then(|| random.pick(&LABELS)),
            merge_sha: random.sha(),
            reviews: [GeneratedReview::default(); MAX_REVIEWS],
            review_count: 0,
        };
        let first_id = FIRST_REVIEW_ID + (earlier.pulls + number) as i64 * MAX_REVIEWS as i64;
        pull.add_reviews(model, first_id, end, random);
        pull
    }

    fn add_reviews(&mut self, model: &OrgModel, first_id: i64, end: i64, random: &mut RandomStream) {
        let unit = random.unit();
        let count = if random.chance(0.12) { 0 } else { 1 + (unit * unit * MAX_REVIEWS as f64) as usize };
        for index in 0..count {
            let is_late = random.chance(0.05);
            let at = if is_late {
                pick_between(end, end + SECONDS_PER_DAY, random)
            } else {
                pick_between(self.created, end, random)
            };
            let state = match random.below(100) {
                0..55 => "approved",
                55..68 => "changes_requested",
                68..98 => "commented",
                _ => "dismissed",
            };
            let member = model.population.pick_account(random);
            if let Some(at) = model.if_past(at) {
                let review = GeneratedReview { id: first_id + index as i64, member, at, state };
                self.reviews[usize::from(self.review_count)] = review;
                self.review_count += 1;
            }
        }
    }

    /// Returns its reviews.
    pub(crate) fn reviews(&self) -> &[GeneratedReview] {
        &self.reviews[..usize::from(self.review_count)]
    }

    /// Returns the first review of each reviewer up to the merge.
    pub(crate) fn first_reviews(&self) -> impl Iterator<Item = &GeneratedReview> {
        let merged = self.merged.unwrap_or(i64::MIN);
        let is_first = move |review: &&GeneratedReview| {
            let others = self.reviews().iter().filter(|other| other.member == review.member);
            review.at <= merged
                && others.map(|other| (other.at, other.id)).min() == Some((review.at, review.id))
        };
        self.reviews().iter().filter(is_first)
    }

    /// Returns the state that GitHub shows at the end of the lake.
    pub(crate) fn state(&self) -> &'static str {
        match (self.merged, self.closed) {
            (Some(_), _) => "merged",
            (None, Some(_)) if !self.is_reopened => "closed",
            _ => "open",
        }
    }

    /// Returns when it was last changed.
    pub(crate) fn updated(&self) -> i64 {
        let changes = [Some(self.created), self.merged, self.closed].into_iter().flatten();
        changes.chain(self.reviews().iter().map(|review| review.at)).max().unwrap_or(self.created)
    }
}

/// An issue with everything that ever happens to it. Times are epoch seconds.
#[derive(Clone, Copy)]
pub(crate) struct GeneratedIssue {
    pub(crate) number: i64,
    pub(crate) repo: u32,
    pub(crate) author: u32,
    pub(crate) created: i64,
    pub(crate) closed: Option<i64>,
    /// Whether it was opened again after it was closed.
    pub(crate) is_reopened: bool,
    pub(crate) label: Option<&'static str>,
}

impl GeneratedIssue {
    /// Returns the issue of a month with this number.
    pub(crate) fn generate(model: &OrgModel, month: usize, number: u64) -> Self {
        let random = &mut model.stream(FactSort::Issue, month, number);
        let MonthPlan { facts, facts_before: earlier, .. } = model.plans[month];
        let repo = model.population.pick_repo(random);
        let author = model.population.pick_account(random);
        let created = model.pick_time(month, author, random);
        let end = pick_end(created, random);
        let is_closed = random.chance(0.75);
        GeneratedIssue {
            number: (earlier.pulls + earlier.issues + facts.pulls + number + 1) as i64,
            repo,
            author,
            created,
            closed: model.if_past(end).filter(|_| is_closed),
            is_reopened: random.chance(0.03),
            label: random.chance(0.7).then(|| random.pick(&LABELS)),
        }
    }

    /// Returns the state that GitHub shows at the end of the lake.
    pub(crate) fn state(&self) -> &'static str {
        if self.closed.is_some() && !self.is_reopened { "closed" } else { "open" }
    }

    /// Returns when it was last changed.
    pub(crate) fn updated(&self) -> i64 {
        self.closed.unwrap_or(self.created)
    }
}
