//! How many points an account has left, and why a request must wait for them.

use tokio::time::Instant;

use super::headers::{ClockTime, RateLimitHeaders};
use crate::diagnose::Quota;

/// The reason for a wait or stop if GitHub gave no message of its own.
pub(super) const HOURLY_LIMIT_USED_UP: &str = "the hourly limit is used up";

/// Which of GitHub's primary rate limits a request counts against.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RateLimitResource {
    Rest,
    GraphQl,
}

/// GitHub rejected a request because of a limit, and will reject others until a known moment.
#[derive(Debug, Clone)]
pub(super) struct Block {
    until: ClockTime,
    reason: String,
}

impl Block {
    /// Replaces the current block, unless that one lasts longer.
    pub(super) fn extend(current: &mut Option<Block>, until: ClockTime, reason: &str) {
        if current.as_ref().is_none_or(|block| block.until < until) {
            *current = Some(Block { until, reason: reason.to_owned() });
        }
    }

    fn is_active(&self, now: Instant) -> bool {
        self.until.local > now
    }
}

/// Why a request must not start yet, and when the limit resets.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum WaitReason {
    /// Enough points are left, but other requests have reserved them and may return them before the reset.
    Reserved(ClockTime),
    /// The share of the limit that the run may use is used up.
    BudgetSpent(ClockTime),
    /// GitHub would reject a request of this cost; with its message.
    Limited(ClockTime, String),
}

/// The points of one primary rate limit.
#[derive(Debug, Default)]
pub(super) struct PointsBudget {
    /// Points left, as last reported; `None` at first and after a reset.
    pub(super) remaining: Option<u64>,
    /// Points an hour, as last reported.
    limit: Option<u64>,
    /// Points that must stay unused: those beyond the share that the run may use.
    withheld: u64,
    reset: Option<ClockTime>,
    /// Points reserved by requests in flight.
    pub(super) reserved: u64,
    /// Set after GitHub has reported that the primary limit is used up.
    pub(super) block: Option<Block>,
}

impl PointsBudget {
    /// Why a request of this cost must wait; `None` if it may start now.
    fn wait_reason(&mut self, cost: u64, now: Instant) -> Option<WaitReason> {
        self.block = self.block.take().filter(|block| block.is_active(now));
        if self.reset.is_some_and(|reset| reset.local <= now) {
            (self.reset, self.remaining) = (None, None);
        }
        let known = self.remaining.zip(self.reset);
        // The reset to wait for if the points left do not cover `cost` and `reserved` points.
        let shortage = |reserved: u64| {
            known.filter(|(left, _)| *left < self.withheld + reserved + cost).map(|(_, reset)| reset)
        };
        // Checked before the block: after a rejection, too, the reason is the spent budget.
        if self.withheld > 0
            && let Some(reset) = shortage(0)
        {
            return Some(WaitReason::BudgetSpent(reset));
        }
        if let Some(Block { until, reason }) = &self.block {
            return Some(WaitReason::Limited(*until, reason.clone()));
        }
        match (shortage(0), shortage(self.reserved)) {
            (Some(reset), _) => Some(WaitReason::Limited(reset, HOURLY_LIMIT_USED_UP.to_owned())),
            (None, Some(reset)) => Some(WaitReason::Reserved(reset)),
            (None, None) => None,
        }
    }

    /// Updates the points from a response. Responses may overtake each other: within one window the smaller
    /// remainder is the later one.
    pub(super) fn record(&mut self, headers: &RateLimitHeaders, usable_share: Option<f64>) {
        let limit = headers.limit.unwrap_or(0);
        if limit == 0 {
            return;
        }
        self.limit = Some(limit);
        self.withheld = usable_share.map_or(0, |share| (limit as f64 * (1.0 - share)).round() as u64);
        let Some(reset) = headers.reset_time() else { return };
        let is_same_window = self.reset.is_some_and(|known| known.github == reset.github);
        self.remaining = match (self.remaining, headers.remaining) {
            (Some(old), Some(new)) if is_same_window => Some(old.min(new)),
            (_, new) => new,
        };
        self.reset = Some(reset);
    }

    /// What is left, as last reported; `None` if it is unknown, the limit has reset since, or there is no limit.
    pub(super) fn quota(&self, now: Instant) -> Option<Quota> {
        let reset = self.reset.filter(|reset| reset.local > now)?;
        Some(Quota { limit: self.limit?, remaining: self.remaining?, reset: reset.github })
    }

    /// The share of the limit that is left, 0 to 1; `None` if it is unknown or there is no limit.
    fn share_left(&self) -> Option<f64> {
        Some(self.remaining? as f64 / self.limit.filter(|limit| *limit > 0)? as f64)
    }
}

/// The state of an account's primary and secondary limits.
#[derive(Debug, Default)]
pub(super) struct AccountLimits {
    rest: PointsBudget,
    graphql: PointsBudget,
    /// Set after GitHub has reported a secondary limit, which stops REST and GraphQL.
    pub(super) secondary: Option<Block>,
}

impl AccountLimits {
    pub(super) fn budget(&mut self, resource: RateLimitResource) -> &mut PointsBudget {
        match resource {
            RateLimitResource::Rest => &mut self.rest,
            RateLimitResource::GraphQl => &mut self.graphql,
        }
    }

    /// Why a request of this cost must wait; `None` if it may start now.
    pub(super) fn wait_reason(
        &mut self,
        resource: RateLimitResource,
        cost: u64,
        now: Instant,
    ) -> Option<WaitReason> {
        self.secondary = self.secondary.take().filter(|block| block.is_active(now));
        let secondary =
            self.secondary.clone().map(|Block { until, reason }| WaitReason::Limited(until, reason));
        match self.budget(resource).wait_reason(cost, now) {
            spent @ Some(WaitReason::BudgetSpent(_)) => spent,
            primary => secondary.or(primary),
        }
    }

    /// The smaller of the shares that are left of both limits, 0 to 1; `None` if neither is known.
    pub(super) fn share_left(&self) -> Option<f64> {
        [&self.rest, &self.graphql].into_iter().filter_map(PointsBudget::share_left).reduce(f64::min)
    }
}
