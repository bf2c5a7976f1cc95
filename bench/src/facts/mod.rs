//! What happens in a generated organization. Each fact follows from the seed and its own number alone, so that
//! months can be generated side by side, and one that ends in a later month is the same in both.

mod commit;
mod delivery;
mod thread;

pub(crate) use commit::GeneratedCommit;
pub(crate) use delivery::{DEPLOY_WORKFLOW, GeneratedDeployment, GeneratedRelease};
pub(crate) use thread::{GeneratedIssue, GeneratedPull, GeneratedReview};

use crate::calendar::{Calendar, after_weekend};
use crate::population::Population;
use crate::random::RandomStream;
use crate::shape::{LakeShape, MonthPlan, plan_months};

/// The longest time from the creation of a pull request or an issue to its end.
const MAX_LIFETIME_SECONDS: f64 = 1000.0 * 3600.0;

/// The number of months before its own in which a fact of a month can begin. Two months are always longer than
/// the longest life and what can follow.
pub(crate) const MONTHS_BACK: usize = 2;

/// The parts of a random key that keep the facts apart.
#[derive(Debug, Clone, Copy)]
enum FactSort {
    Commit = 1,
    Pull = 2,
    Issue = 3,
    Deployment = 4,
    Release = 5,
}

/// Everything from which the facts follow.
pub(crate) struct OrgModel {
    pub(crate) seed: u64,
    pub(crate) population: Population,
    pub(crate) plans: Vec<MonthPlan>,
    pub(crate) calendars: Vec<Calendar>,
    /// The first second after the last month. What happens later is not known yet.
    pub(crate) now: i64,
}

impl OrgModel {
    /// Creates the model of a lake.
    pub(crate) fn new(shape: &LakeShape) -> Self {
        let plans = plan_months(shape);
        let calendars: Vec<Calendar> = plans.iter().map(|plan| Calendar::new(plan.month)).collect();
        let now = calendars.last().map_or(0, |calendar| calendar.end);
        OrgModel { seed: shape.seed, population: Population::new(shape), plans, calendars, now }
    }

    fn stream(&self, sort: FactSort, month: usize, number: u64) -> RandomStream {
        RandomStream::from_key(&[self.seed, sort as u64, month as u64, number])
    }

    /// Picks when a member does something in a month.
    fn pick_time(&self, month: usize, member: u32, random: &mut RandomStream) -> i64 {
        let calendar = &self.calendars[month];
        if self.population.is_bot(member) {
            calendar.any_time(random)
        } else {
            calendar.working_time(self.population.members[member as usize].utc_offset, random)
        }
    }

    /// Returns the time if it is before the end of the lake.
    fn if_past(&self, at: i64) -> Option<i64> {
        (at < self.now).then_some(at)
    }
}

/// Picks when something that began at `created` ends. Most of it ends soon, and little takes weeks.
fn pick_end(created: i64, random: &mut RandomStream) -> i64 {
    let unit = random.unit();
    let lifetime = 60 + (unit * unit * unit * MAX_LIFETIME_SECONDS) as i64;
    after_weekend(created + lifetime, random)
}

/// Picks a time in `[from, until)`.
fn pick_between(from: i64, until: i64, random: &mut RandomStream) -> i64 {
    from + random.below((until - from).max(0) as u64) as i64
}
