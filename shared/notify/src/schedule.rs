//! When a channel may send, and when digests are due.

use chrono::{DateTime, Datelike, Days, NaiveDate, TimeDelta, Utc, Weekday};
use gam_model::TimeZone;
use gam_model::notify::{DigestPeriod, DigestSettings, QuietHours};

/// How far quiet hours can reach: a day, and the hour by which clocks change.
const MAX_QUIET_MINUTES: i64 = 26 * 60;

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
}
