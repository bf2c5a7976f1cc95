//! Keeping to GitHub's limits: the primary ones of REST and GraphQL, each with its own points and
//! reset, and the secondary one, which stops both.
//!
//! No call starts while a limit is known to be hit, or while the points at hand are reserved by
//! calls in flight. GitHub's clock tells when a limit is reset, as the difference between the reset
//! time and the response's `Date`; where a server has no limits (Enterprise Server by default), none
//! are kept. See <https://docs.github.com/en/rest/using-the-rest-api/rate-limits-for-the-rest-api>.

use std::sync::Mutex;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use http::HeaderMap;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use crate::client::Wait;
use crate::error::Error;

/// Which of GitHub's budgets a call draws on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Resource {
    Rest,
    GraphQl,
}

#[derive(Debug, Default)]
struct Budget {
    /// Points left, as last told; unknown at first and after a reset.
    remaining: Option<u64>,
    /// Points that are not to be used: those past the share that the run may use up.
    kept: u64,
    reset: Option<(Instant, DateTime<Utc>)>,
    reserved: u64,
    /// GitHub has refused a call until then.
    blocked: Option<(Instant, DateTime<Utc>)>,
    why: String,
}

impl Budget {
    /// Whether a call of that cost would use points that are to be kept.
    fn is_past_share(&self, cost: u64) -> bool {
        self.kept > 0 && self.remaining.is_some_and(|left| left < self.kept + self.reserved + cost)
    }

    /// Until when no call of that cost may start; `None` where it may start now.
    fn hold(&mut self, cost: u64, now: Instant) -> Option<(Instant, DateTime<Utc>)> {
        self.blocked = self.blocked.filter(|(at, _)| *at > now);
        if self.reset.is_some_and(|(at, _)| at <= now) {
            (self.reset, self.remaining) = (None, None);
        }
        let short = self.remaining.is_some_and(|left| left < self.kept + self.reserved + cost);
        self.blocked.or(if short { self.reset } else { None })
    }
}

#[derive(Debug, Default)]
struct State {
    rest: Budget,
    graphql: Budget,
    /// Both are stopped by a secondary limit until then.
    secondary: Option<(Instant, DateTime<Utc>)>,
}

impl State {
    fn budget(&mut self, resource: Resource) -> &mut Budget {
        match resource {
            Resource::Rest => &mut self.rest,
            Resource::GraphQl => &mut self.graphql,
        }
    }
}

/// The limits of one token.
pub(crate) struct Limits {
    state: Mutex<State>,
    released: Notify,
    max_wait: Duration,
    budget: Option<f64>,
    waits: watch::Sender<Option<Wait>>,
}

/// Points reserved for a call in flight; given back when it is dropped.
pub(crate) struct Reservation<'a> {
    limits: &'a Limits,
    resource: Resource,
    cost: u64,
}

impl Drop for Reservation<'_> {
    fn drop(&mut self) {
        self.limits.lock().budget(self.resource).reserved -= self.cost;
        self.limits.released.notify_waiters();
    }
}

/// What a response's headers say of the limits.
#[derive(Debug, Clone, Default)]
pub(crate) struct Told {
    pub(crate) date: Option<DateTime<Utc>>,
    limit: Option<u64>,
    remaining: Option<u64>,
    reset: Option<DateTime<Utc>>,
    retry_after: Option<u64>,
}

impl Told {
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let number = |name: &str| text(name).and_then(|value| value.trim().parse::<u64>().ok());
        Told {
            date: text("date").and_then(|d| DateTime::parse_from_rfc2822(d).ok()).map(|d| d.to_utc()),
            limit: number("x-ratelimit-limit"),
            remaining: number("x-ratelimit-remaining"),
            reset: number("x-ratelimit-reset").and_then(|at| DateTime::from_timestamp(at as i64, 0)),
            retry_after: number("retry-after"),
        }
    }

    /// When the limit is reset; a second is added because GitHub tells whole seconds.
    fn reset_at(&self) -> Option<(Instant, DateTime<Utc>)> {
        let (date, reset) = (self.date?, self.reset?);
        let wait = (reset - date).max(TimeDelta::zero()) + TimeDelta::seconds(1);
        Some((Instant::now() + wait.to_std().unwrap_or_default(), reset))
    }

    fn after(&self, wait: Duration) -> (Instant, DateTime<Utc>) {
        let date = self.date.unwrap_or(DateTime::UNIX_EPOCH);
        (Instant::now() + wait, date + TimeDelta::from_std(wait).unwrap_or_default())
    }
}

impl Limits {
    pub(crate) fn new(max_wait: Duration, budget: Option<f64>) -> Self {
        Limits {
            state: Mutex::default(),
            released: Notify::new(),
            max_wait,
            budget,
            waits: watch::Sender::new(None),
        }
    }

    pub(crate) fn waits(&self) -> watch::Receiver<Option<Wait>> {
        self.waits.subscribe()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Waits until a call of that cost may start, and reserves its points.
    pub(crate) async fn reserve(&self, resource: Resource, cost: u64) -> Result<Reservation<'_>, Error> {
        let mut waited = false;
        loop {
            let released = self.released.notified();
            let (until, why, in_flight, past_share) = {
                let mut state = self.lock();
                let now = Instant::now();
                state.secondary = state.secondary.filter(|(at, _)| *at > now);
                let secondary = state.secondary;
                let budget = state.budget(resource);
                match secondary.or_else(|| budget.hold(cost, now)) {
                    None => {
                        budget.reserved += cost;
                        if waited {
                            self.waits.send_replace(None);
                        }
                        return Ok(Reservation { limits: self, resource, cost });
                    }
                    Some(until) => {
                        (until, budget.why.clone(), budget.reserved > 0, budget.is_past_share(cost))
                    }
                }
            };
            let wait = until.0.saturating_duration_since(Instant::now());
            if past_share {
                let why = "the share of it that this run may use".to_owned();
                return Err(Error::Limited { until: Some(until.1), why });
            }
            if wait > self.max_wait {
                return Err(Error::Limited { until: Some(until.1), why });
            }
            waited = true;
            self.waits.send_replace(Some(Wait { until: until.1, why }));
            tokio::select! {
                () = tokio::time::sleep_until(until.0) => {}
                // A call in flight may give points back.
                () = released, if in_flight => {}
            }
        }
    }

    /// Takes note of what a response says. Of answers that overtake each other the smaller remainder
    /// of one window is the later.
    pub(crate) fn note(&self, resource: Resource, told: &Told) {
        let mut state = self.lock();
        let budget = state.budget(resource);
        let limit = told.limit.unwrap_or(0);
        if limit == 0 {
            return;
        }
        budget.kept = self.budget.map_or(0, |share| (limit as f64 * (1.0 - share)).round() as u64);
        let Some(reset) = told.reset_at() else { return };
        let same_window = budget.reset.is_some_and(|(_, at)| at == reset.1);
        budget.remaining = match (budget.remaining, told.remaining) {
            (Some(old), Some(new)) if same_window => Some(old.min(new)),
            (_, new) => new,
        };
        budget.reset = Some(reset);
        budget.why = "the hourly limit is used up".to_owned();
    }

    /// GitHub has refused a call because the primary limit is used up.
    pub(crate) fn block(&self, resource: Resource, told: &Told, why: &str) {
        let until = told.reset_at().unwrap_or_else(|| told.after(Duration::from_secs(60)));
        let mut state = self.lock();
        let budget = state.budget(resource);
        budget.blocked = Some(until);
        budget.why = why.to_owned();
    }

    /// GitHub has refused a call because of a secondary limit, for the `tries`-th time in a row.
    pub(crate) fn block_all(&self, told: &Told, tries: u32, why: &str) {
        let wait = told.retry_after.unwrap_or_else(|| 60 << tries.min(4));
        let until = told.after(Duration::from_secs(wait));
        let mut state = self.lock();
        state.secondary = Some(until);
        why.clone_into(&mut state.rest.why);
        why.clone_into(&mut state.graphql.why);
    }
}
