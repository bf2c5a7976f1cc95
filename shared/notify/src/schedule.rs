//! When a channel may send, and when digests are due.

use chrono::{DateTime, Datelike, Days, NaiveDate, TimeDelta, Utc, Weekday};
use gam_model::notify::{DigestPeriod, DigestSettings, QuietHours};
use gam_model::{Breaker, BreakerRules, TimeZone};

/// How far quiet hours can reach: a day, and the hour by which clocks change.
const MAX_QUIET_MINUTES: i64 = 26 * 60;
/// When digests that could not be made are tried again.
const RETRIES: BreakerRules =
    BreakerRules { max_failures: 1, first_pause: TimeDelta::minutes(1), max_pause: TimeDelta::minutes(64) };

/// Returns whether a channel is quiet at a time. Local times that come twice are quiet both times.
pub(crate) fn is_quiet(hours: Option<QuietHours>, zone: TimeZone, at: DateTime<Utc>) -> bool {
    hours.is_some_and(|hours| hours.contains(zone.time_of_day(at)))
}

/// Returns the first full minute from `at` on that is not quiet.
pub(crate) fn end_of_quiet(hours: Option<QuietHours>, zone: TimeZone, at: DateTime<Utc>) -> DateTime<Utc> {
    if !is_quiet(hours, zone, at) {
        return at;
    }
    let minute = at - TimeDelta::nanoseconds(at.timestamp_nanos_opt().unwrap_or_default() % 60_000_000_000);
    let minutes = (1..=MAX_QUIET_MINUTES).map(|minutes| minute + TimeDelta::minutes(minutes));
    minutes.into_iter().find(|at| !is_quiet(hours, zone, *at)).unwrap_or(at)
}

/// Returns the days that a digest is about, `[since, until)`, if one is due. `sent_for` is the last `until` that was
/// sent. `None` says that the digest was never looked at: it begins with the next period.
pub(crate) fn due_days(
    digest: &DigestSettings,
    zone: TimeZone,
    now: DateTime<Utc>,
    sent_for: Option<NaiveDate>,
) -> Option<(NaiveDate, NaiveDate)> {
    let until = last_slot(digest, zone, now)?;
    let is_new = sent_for.is_some_and(|sent| sent < until);
    is_new.then(|| (until - Days::new(u64::from(digest.every.days())), until))
}

/// Returns the day of the last time at which the digest was to be sent.
pub(crate) fn last_slot(digest: &DigestSettings, zone: TimeZone, now: DateTime<Utc>) -> Option<NaiveDate> {
    let today = zone.day(now);
    let has_come = zone.time_of_day(now) >= digest.at.unwrap_or_default().0;
    let last = if has_come { today } else { today.pred_opt()? };
    match digest.every {
        DigestPeriod::Day => Some(last),
        DigestPeriod::Week => {
            let weekday = digest.weekday.unwrap_or(Weekday::Mon);
            last.checked_sub_days(Days::new(u64::from(last.weekday().days_since(weekday))))
        }
    }
}

/// Returns the next time at which the digest is to be sent.
fn next_time(digest: &DigestSettings, zone: TimeZone, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
    let next = last_slot(digest, zone, now)?.checked_add_days(Days::new(u64::from(digest.every.days())))?;
    Some(zone.first_at(next, digest.at.unwrap_or_default().0))
}

/// When an organization's digests have to be looked at again. Until then no record is compared and no number is read.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct DigestPlan {
    /// The configuration that it is about. With another one, the digests are looked at at once.
    digests: Vec<DigestSettings>,
    zone: TimeZone,
    /// `None` if there are no digests.
    next: Option<DateTime<Utc>>,
    /// Open while digests that could not be made wait.
    retries: Breaker,
}

impl DigestPlan {
    /// Returns the plan after the digests were looked at. `has_failed` says that one of them could not be made.
    pub(crate) fn after_look(
        before: Option<&DigestPlan>,
        (digests, zone): (&[DigestSettings], TimeZone),
        has_failed: bool,
        now: DateTime<Utc>,
    ) -> Self {
        let mut retries = before.map_or_else(Breaker::default, |before| before.retries.clone());
        match has_failed {
            true => retries.record_failure(&RETRIES, now),
            false => retries.record_success(),
        };
        let next = digests.iter().filter_map(|digest| next_time(digest, zone, now));
        let next = next.chain(retries.open_until()).min();
        DigestPlan { digests: digests.to_vec(), zone, next, retries }
    }

    /// Returns whether digests have to be looked at.
    pub(crate) fn is_due(&self, (digests, zone): (&[DigestSettings], TimeZone), now: DateTime<Utc>) -> bool {
        self.digests != digests || self.zone != zone || self.next.is_some_and(|next| next <= now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    fn zone(name: &str) -> TimeZone {
        TimeZone::parse(name).unwrap()
    }

    fn hours(text: &str) -> Option<QuietHours> {
        Some(QuietHours::try_from(text.to_owned()).unwrap())
    }

    #[test]
    fn quiet_hours_follow_daylight_saving() {
        let berlin = zone("Europe/Berlin");
        let night = hours("22:00-07:00");
        for (from, until) in [
            // Winter: UTC+1. Summer: UTC+2.
            ("2026-01-10T22:00:00Z", "2026-01-11T06:00:00Z"),
            ("2026-07-10T22:00:00Z", "2026-07-11T05:00:00Z"),
            // The night in which clocks go forward, and the one in which they go back.
            ("2026-03-28T21:00:00Z", "2026-03-29T05:00:00Z"),
            ("2026-10-24T20:00:30Z", "2026-10-25T06:00:00Z"),
        ] {
            assert_eq!(end_of_quiet(night, berlin, at(from)), at(until), "{from}");
        }
        // Clocks jump from 02:00 to 03:00, over the end of the quiet hours.
        let skipped = hours("01:00-02:30");
        assert_eq!(end_of_quiet(skipped, berlin, at("2026-03-29T00:30:00Z")), at("2026-03-29T01:00:00Z"));
        // 02:00 to 03:00 comes twice.
        let twice = hours("02:00-03:00");
        for quiet in ["2026-10-25T00:30:00Z", "2026-10-25T01:30:00Z"] {
            assert_eq!(end_of_quiet(twice, berlin, at(quiet)), at("2026-10-25T02:00:00Z"), "{quiet}");
        }
        assert_eq!(end_of_quiet(None, berlin, at("2026-01-01T00:00:01Z")), at("2026-01-01T00:00:01Z"));
    }

    fn digest(text: &str) -> DigestSettings {
        let text = format!("name = \"d\"\nchannels = [\"ops\"]\n{text}");
        toml_of(&text)
    }

    fn toml_of(text: &str) -> DigestSettings {
        let full = format!(
            "[[channels]]\nname = \"ops\"\ntype = \"slack\"\nurl = \"NOTIFY_A\"\n[[digests]]\n{text}"
        );
        let configuration =
            gam_model::configuration::Configuration::parse_stored(&full.replace("[[", "[[notify.")).unwrap();
        configuration.notify.digests[0].clone()
    }

    #[test]
    fn digests_are_due_once_a_period() {
        let day = |text: &str| text.parse::<NaiveDate>().unwrap();
        let tokyo = zone("Asia/Tokyo");
        let daily = digest("every = \"day\"\nat = \"09:00\"\n");
        let before = at("2026-03-03T23:59:00Z");
        let after = at("2026-03-04T00:00:00Z");
        assert_eq!(due_days(&daily, tokyo, after, None), None, "it begins with the next period");
        assert_eq!(due_days(&daily, tokyo, before, Some(day("2026-03-03"))), None);
        let due = Some((day("2026-03-03"), day("2026-03-04")));
        assert_eq!(due_days(&daily, tokyo, after, Some(day("2026-03-03"))), due);
        assert_eq!(due_days(&daily, tokyo, after, Some(day("2026-03-04"))), None);
        let weekly = digest("every = \"week\"\nweekday = \"Wed\"\n");
        let due = Some((day("2026-02-25"), day("2026-03-04")));
        assert_eq!(due_days(&weekly, tokyo, after, Some(day("2026-02-25"))), due);
        assert_eq!(last_slot(&weekly, tokyo, before), Some(day("2026-02-25")));
    }

    #[test]
    fn the_day_of_a_digest_is_that_of_its_zone() {
        let day = |text: &str| text.parse::<NaiveDate>().unwrap();
        let daily = digest("every = \"day\"\nat = \"09:00\"\n");
        let weekly = digest("every = \"week\"\nweekday = \"Mon\"\nat = \"09:00\"\n");
        // East of UTC, far east, west, and far west. Monday is 2026-03-30; clocks of Berlin changed on the day before.
        for (name, time) in [
            ("Asia/Tokyo", "2026-03-30T00:00:00Z"),
            ("Pacific/Kiritimati", "2026-03-29T19:00:00Z"),
            ("Europe/Berlin", "2026-03-30T07:00:00Z"),
            ("America/Los_Angeles", "2026-03-30T16:00:00Z"),
            ("Pacific/Pago_Pago", "2026-03-30T20:00:00Z"),
        ] {
            let (zone, now) = (zone(name), at(time));
            let just_before = now - TimeDelta::seconds(1);
            let monday = day("2026-03-30");
            for (settings, since, sent) in [
                (&daily, day("2026-03-29"), day("2026-03-29")),
                (&weekly, day("2026-03-23"), day("2026-03-23")),
            ] {
                assert_eq!(due_days(settings, zone, just_before, Some(sent)), None, "{name}");
                assert_eq!(due_days(settings, zone, now, Some(sent)), Some((since, monday)), "{name}");
                assert_eq!(next_time(settings, zone, just_before), Some(now), "{name}");
            }
        }
        // Before the change of clocks, nine o'clock in Berlin is an hour later.
        assert_eq!(
            next_time(&daily, zone("Europe/Berlin"), at("2026-03-27T08:00:01Z")),
            Some(at("2026-03-28T08:00:00Z"))
        );
    }

    #[test]
    fn a_plan_waits_for_the_next_digest_or_another_configuration() {
        let (tokyo, now) = (zone("Asia/Tokyo"), at("2026-03-04T00:00:00Z"));
        let digests = [digest("every = \"day\"\n"), digest("every = \"week\"\n")];
        let plan = DigestPlan::after_look(None, (&digests, tokyo), false, now);
        assert_eq!(plan.next, Some(at("2026-03-05T00:00:00Z")));
        assert!(!plan.is_due((&digests, tokyo), at("2026-03-04T23:59:59Z")));
        assert!(plan.is_due((&digests, tokyo), at("2026-03-05T00:00:00Z")));
        assert!(plan.is_due((&digests[..1], tokyo), now) && plan.is_due((&digests, TimeZone::UTC), now));
        let none = DigestPlan::after_look(None, (&[], tokyo), false, now);
        assert!(!none.is_due((&[], tokyo), at("2036-03-05T00:00:00Z")));
    }

    #[test]
    fn digests_that_cannot_be_made_are_tried_again_after_growing_pauses() {
        let digests = [digest("every = \"week\"\n")];
        let now = at("2026-03-04T00:00:00Z");
        let (mut plan, mut minutes) = (None, Vec::new());
        for _ in 0..9 {
            let next = DigestPlan::after_look(plan.as_ref(), (&digests, TimeZone::UTC), true, now);
            minutes.push((next.next.unwrap() - now).num_minutes());
            plan = Some(next);
        }
        assert_eq!(minutes, [1, 2, 4, 8, 16, 32, 64, 64, 64]);
        let plan = DigestPlan::after_look(plan.as_ref(), (&digests, TimeZone::UTC), false, now);
        assert_eq!(plan.next, Some(at("2026-03-09T09:00:00Z")));
    }
}
