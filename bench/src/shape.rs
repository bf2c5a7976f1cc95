//! The size of a lake, and how many facts of each sort its months have.

use anyhow::ensure;
use gam_model::Month;

/// Fewer events a month do not leave room for every kind of event.
const MIN_EVENTS_PER_MONTH: u64 = 100;

/// What to generate. Two equal shapes give the same bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LakeShape {
    /// The organization's login.
    pub org: String,
    /// The number of rows of all snapshots together.
    pub events: u64,
    /// The number of UTC months, each with a snapshot.
    pub months: usize,
    /// The last of the months.
    pub last_month: Month,
    /// The number of repositories.
    pub repos: u64,
    /// The number of members, in addition to `github-actions[bot]`, `ghost` and `unknown`.
    pub members: u64,
    /// The seed of all random numbers.
    pub seed: u64,
}

impl LakeShape {
    /// Checks that the lake can be generated.
    ///
    /// # Errors
    /// If there are no repositories, members or months, or too few events for the months.
    pub fn check(&self) -> anyhow::Result<()> {
        ensure!(self.repos > 0, "invalid --repos 0: a lake needs at least one repository");
        ensure!(self.members > 0, "invalid --members 0: a lake needs at least one member");
        ensure!(self.months > 0, "invalid --months 0: a lake needs at least one month");
        let least = MIN_EVENTS_PER_MONTH.saturating_mul(self.months as u64);
        ensure!(
            self.events >= least,
            "invalid --events {}: {} months need at least {least}",
            self.events,
            self.months
        );
        Ok(())
    }

    /// Returns the months in ascending order.
    pub fn months(&self) -> Vec<Month> {
        let mut months = vec![self.last_month];
        while months.len() < self.months {
            let first = months.last().map_or(self.last_month.first_day(), |month| month.first_day());
            let Some(day_before) = first.pred_opt() else { break };
            months.push(Month::of(day_before));
        }
        months.reverse();
        months
    }
}

/// The facts of a month, and the number of facts of all earlier months.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct MonthPlan {
    /// The month that the facts begin in.
    pub(crate) month: Month,
    /// The number of rows of the month's snapshot.
    pub(crate) rows: u64,
    /// The facts that begin in the month.
    pub(crate) facts: FactCounts,
    /// The facts that began in earlier months. Numbers and ids continue from here.
    pub(crate) facts_before: FactCounts,
}

/// The number of facts that have events in several months, or ids of their own.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct FactCounts {
    pub(crate) pulls: u64,
    pub(crate) issues: u64,
    pub(crate) deployments: u64,
    pub(crate) releases: u64,
}

impl FactCounts {
    /// Returns the facts of a month with this many rows. A pull request has four events on average, an issue and
    /// a deployment less than two. Commits are the other half of the rows.
    fn of_rows(rows: u64) -> Self {
        FactCounts {
            pulls: rows / 10,
            issues: rows / 25,
            deployments: rows * 27 / 1000,
            releases: rows * 3 / 1000,
        }
    }

    fn plus(self, other: Self) -> Self {
        FactCounts {
            pulls: self.pulls + other.pulls,
            issues: self.issues + other.issues,
            deployments: self.deployments + other.deployments,
            releases: self.releases + other.releases,
        }
    }
}

/// Distributes the events over the months, in proportion to their days.
pub(crate) fn plan_months(shape: &LakeShape) -> Vec<MonthPlan> {
    let months = shape.months();
    let days: u128 = months.iter().map(|month| month.days() as u128).sum();
    let (mut days_before, mut rows_before) = (0, 0);
    let mut facts_before = FactCounts::default();
    months
        .into_iter()
        .map(|month| {
            days_before += month.days() as u128;
            let rows_until = (u128::from(shape.events) * days_before / days) as u64;
            let rows = rows_until - rows_before;
            let facts = FactCounts::of_rows(rows);
            let plan = MonthPlan { month, rows, facts, facts_before };
            rows_before = rows_until;
            facts_before = facts_before.plus(facts);
            plan
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(events: u64, months: usize) -> LakeShape {
        let last_month = Month::parse("2025-12").unwrap();
        LakeShape { org: "acme".into(), events, months, last_month, repos: 10, members: 20, seed: 1 }
    }

    #[test]
    fn months_end_with_the_last_one_and_have_all_events() {
        let plans = plan_months(&shape(10_007, 14));
        assert_eq!(plans.iter().map(|plan| plan.rows).sum::<u64>(), 10_007);
        let months: Vec<String> = plans.iter().map(|plan| plan.month.to_string()).collect();
        assert_eq!((months.len(), months[0].as_str(), months[13].as_str()), (14, "2024-11", "2025-12"));
        assert_eq!(plans[1].facts_before, plans[0].facts);
    }

    #[test]
    fn shapes_without_room_are_errors() {
        assert!(shape(1_399, 14).check().unwrap_err().to_string().contains("at least 1400"));
        assert!(LakeShape { repos: 0, ..shape(5_000, 1) }.check().is_err());
        assert!(shape(1_400, 14).check().is_ok());
    }
}
