//! Collects the rollups of a month, and merges days into weeks and the month.

use chrono::{Days, NaiveDate};
use gam_model::{Grain, Month, RollupKey, Subject};
use gam_rollup::Rollup;

/// The rollups of one month, in the order in which they were added.
pub(crate) struct RollupBuilder {
    month: Month,
    rollups: Vec<(RollupKey, Rollup)>,
}

impl RollupBuilder {
    pub(crate) fn new(month: Month) -> Self {
        RollupBuilder { month, rollups: Vec::new() }
    }

    /// Adds a subject's rollups of days, and the rollups of the weeks and the month that they make up.
    ///
    /// `days` gives, in order, the offset of each day from the start of the month and its rollup.
    pub(crate) fn add_subject(&mut self, subject: &Subject, days: impl Iterator<Item = (usize, Rollup)>) {
        let mut weeks: Vec<(NaiveDate, Rollup)> = Vec::new();
        let mut month: Option<Rollup> = None;
        for (day, rollup) in days {
            let date = self.month.first_day() + Days::new(day as u64);
            let week_start = Grain::Week.bucket(date).start();
            match weeks.last_mut() {
                Some((start, week)) if *start == week_start => week.merge(&rollup),
                _ => weeks.push((week_start, rollup.clone())),
            }
            self.push(subject.clone(), Grain::Day, date, rollup);
        }
        for (week_start, rollup) in weeks {
            match &mut month {
                Some(month) => month.merge(&rollup),
                None => month = Some(rollup.clone()),
            }
            self.push(subject.clone(), Grain::Week, week_start, rollup);
        }
        if let Some(rollup) = month {
            self.push(subject.clone(), Grain::Month, self.month.first_day(), rollup);
        }
    }

    fn push(&mut self, subject: Subject, grain: Grain, start: NaiveDate, rollup: Rollup) {
        self.rollups.push((RollupKey { subject, grain, start, month: self.month }, rollup));
    }

    /// Returns the rollups. Subjects must have been added in key order.
    pub(crate) fn build(self) -> Vec<(RollupKey, Rollup)> {
        debug_assert!(self.rollups.is_sorted_by(|a, b| a.0 < b.0), "subjects are added in key order");
        self.rollups
    }
}
