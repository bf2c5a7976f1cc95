//! Time zones, which decide where an organization's days begin.

use chrono::{DateTime, NaiveDate, NaiveTime, Offset, TimeDelta, TimeZone as _, Utc};
use chrono_tz::{IANA_TZDB_VERSION, Tz};

/// How far a zone's local time can be from UTC, at most. Zones were never further away.
const MAX_OFFSET: TimeDelta = TimeDelta::hours(26);

/// The steps in which changes of a zone's offset are looked for. No zone changed twice within it.
const STEP_SECONDS: i64 = 6 * 3600;

/// A time zone of the IANA database (<https://www.iana.org/time-zones>).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TimeZone(Tz);

/// UTC.
impl Default for TimeZone {
    fn default() -> Self {
        TimeZone::UTC
    }
}

/// A stretch of time in which a zone's offset from UTC is constant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OffsetSpan {
    /// The start, in epoch seconds.
    pub start: i64,
    /// What local time is ahead of UTC, in seconds.
    pub offset: i64,
}

impl TimeZone {
    /// Coordinated Universal Time.
    pub const UTC: TimeZone = TimeZone(Tz::UTC);

    /// The version of the IANA database that this program contains, such as `2025b`. Versions sort as text.
    pub const DATABASE_VERSION: &str = IANA_TZDB_VERSION;

    /// Returns the zone with this name, such as `Asia/Tokyo`; `None` if there is none.
    pub fn parse(name: &str) -> Option<Self> {
        name.parse().ok().map(TimeZone)
    }

    /// Returns the name in the IANA database.
    pub fn name(self) -> &'static str {
        self.0.name()
    }

    /// Returns the local day at a time.
    pub fn day(self, at: DateTime<Utc>) -> NaiveDate {
        at.with_timezone(&self.0).date_naive()
    }

    /// Returns the local time of day at a time.
    pub fn time_of_day(self, at: DateTime<Utc>) -> NaiveTime {
        at.with_timezone(&self.0).time()
    }

    /// Returns the first time at which the local day is this one or a later one. Usually that is midnight, but
    /// a zone may skip midnight or the complete day.
    pub fn start_of_day(self, day: NaiveDate) -> DateTime<Utc> {
        self.first_at(day, NaiveTime::MIN)
    }

    /// Returns the first time at which the local day and time of day are these or later ones. A zone may skip them, or
    /// have them twice.
    pub fn first_at(self, day: NaiveDate, time: NaiveTime) -> DateTime<Utc> {
        let local = day.and_time(time).and_utc();
        let (from, until) = (local - MAX_OFFSET, local + MAX_OFFSET);
        let seconds = first_in(&self.offsets(from, until), local.timestamp());
        DateTime::from_timestamp(seconds.unwrap_or(from.timestamp()), 0).unwrap_or(local)
    }

    /// Returns the offsets of the zone in `[from, until)`, in order. The first span starts at `from`.
    pub fn offsets(self, from: DateTime<Utc>, until: DateTime<Utc>) -> Vec<OffsetSpan> {
        let (start, end) = (from.timestamp(), until.timestamp());
        let mut spans = vec![OffsetSpan { start, offset: self.offset_at(start) }];
        let mut at = start;
        while at < end {
            let next = (at + STEP_SECONDS).min(end);
            let offset = self.offset_at(next);
            if Some(offset) != spans.last().map(|span| span.offset) {
                spans.push(OffsetSpan { start: self.change_between(at, next), offset });
            }
            at = next;
        }
        spans.retain(|span| span.start < end.max(start + 1));
        spans
    }

    /// Returns the first second after `before` and up to `after` with the offset of `after`.
    fn change_between(self, mut before: i64, mut after: i64) -> i64 {
        let offset = self.offset_at(after);
        while after - before > 1 {
            let middle = before + (after - before) / 2;
            if self.offset_at(middle) == offset {
                after = middle;
            } else {
                before = middle;
            }
        }
        after
    }

    fn offset_at(self, epoch_seconds: i64) -> i64 {
        let at = DateTime::from_timestamp(epoch_seconds, 0).unwrap_or_default().naive_utc();
        i64::from(self.0.offset_from_utc_datetime(&at).fix().local_minus_utc())
    }
}

/// Returns the first time of the spans, in epoch seconds, at which the local time is `local` or later; local times
/// count as if they were UTC.
fn first_in(spans: &[OffsetSpan], local: i64) -> Option<i64> {
    spans.iter().enumerate().find_map(|(index, span)| {
        let start = span.start.max(local - span.offset);
        let is_inside = spans.get(index + 1).is_none_or(|next| start < next.start);
        is_inside.then_some(start)
    })
}

#[cfg(test)]
mod tests {
    use chrono::Days;

    use super::*;

    fn zone(name: &str) -> TimeZone {
        TimeZone::parse(name).unwrap()
    }

    fn day(text: &str) -> NaiveDate {
        text.parse().unwrap()
    }

    #[test]
    fn days_begin_where_the_zone_says() {
        for (name, date, start) in [
            ("UTC", "2024-03-10", "2024-03-10T00:00:00Z"),
            ("Asia/Tokyo", "2024-03-10", "2024-03-09T15:00:00Z"),
            ("Asia/Kathmandu", "2024-03-10", "2024-03-09T18:15:00Z"),
            ("America/New_York", "2024-03-11", "2024-03-11T04:00:00Z"),
            ("Pacific/Kiritimati", "2024-01-01", "2023-12-31T10:00:00Z"),
            ("Pacific/Pago_Pago", "2024-01-01", "2024-01-01T11:00:00Z"),
            // Midnight was skipped, and the day began at 01:00.
            ("America/Sao_Paulo", "2018-11-04", "2018-11-04T03:00:00Z"),
            // Samoa had no 30 December 2011.
            ("Pacific/Apia", "2011-12-30", "2011-12-30T10:00:00Z"),
            ("Pacific/Apia", "2011-12-31", "2011-12-30T10:00:00Z"),
            // Midnight came twice. The day begins at the first.
            ("America/Havana", "2024-11-03", "2024-11-03T04:00:00Z"),
        ] {
            let expected: DateTime<Utc> = start.parse().unwrap();
            assert_eq!(zone(name).start_of_day(day(date)), expected, "{name} {date}");
        }
        for (name, time, first) in [
            ("Asia/Tokyo", "2026-03-29 02:30", "2026-03-28T17:30:00Z"),
            // Clocks jumped from 02:00 to 03:00, and on another day back to 02:00.
            ("Europe/Berlin", "2026-03-29 02:30", "2026-03-29T01:00:00Z"),
            ("Europe/Berlin", "2026-10-25 02:30", "2026-10-25T00:30:00Z"),
        ] {
            let time = chrono::NaiveDateTime::parse_from_str(time, "%Y-%m-%d %H:%M").unwrap();
            let expected: DateTime<Utc> = first.parse().unwrap();
            assert_eq!(zone(name).first_at(time.date(), time.time()), expected, "{name} {time}");
        }
        assert_eq!(TimeZone::parse("Asia/Tokio"), None);
        assert_eq!(zone("Asia/Tokyo").name(), "Asia/Tokyo");
    }

    #[test]
    fn offsets_change_at_the_second_of_the_database() {
        let at = |text: &str| text.parse::<DateTime<Utc>>().unwrap();
        let spans = zone("Europe/Berlin").offsets(at("2024-03-01T00:00:00Z"), at("2024-04-01T00:00:00Z"));
        let expected = [("2024-03-01T00:00:00Z", 3600), ("2024-03-31T01:00:00Z", 7200)];
        let expected = expected.map(|(start, offset)| OffsetSpan { start: at(start).timestamp(), offset });
        assert_eq!(spans, expected);
        // Until 2011 the clocks of Newfoundland changed at 00:01, and went back to the day before.
        let spans = zone("America/St_Johns").offsets(at("2010-11-01T00:00:00Z"), at("2010-12-01T00:00:00Z"));
        assert_eq!(spans[1].start, at("2010-11-07T02:31:00Z").timestamp());
    }

    /// Compares with chrono, hour by hour, in zones with all kinds of offsets and changes.
    #[test]
    fn spans_give_the_days_of_chrono() {
        let names = [
            "America/St_Johns",
            "Australia/Lord_Howe",
            "Asia/Kathmandu",
            "Pacific/Apia",
            "America/Sao_Paulo",
            "Africa/Casablanca",
            "Asia/Beirut",
            "Antarctica/Troll",
            "Pacific/Chatham",
            "Europe/Dublin",
        ];
        for name in names {
            let zone = zone(name);
            for year in [1995, 2010, 2011, 2023] {
                let from = crate::period::midnight(NaiveDate::from_ymd_opt(year, 1, 1).unwrap());
                let until = from + Days::new(365);
                let spans = zone.offsets(from, until);
                for minutes in (0..365 * 24 * 60).step_by(29) {
                    let at = from + TimeDelta::minutes(minutes);
                    let span = spans.iter().rfind(|span| span.start <= at.timestamp()).unwrap();
                    let local = DateTime::from_timestamp(at.timestamp() + span.offset, 0).unwrap();
                    assert_eq!(local.date_naive(), zone.day(at), "{name} {at}");
                }
                for number in 1..360 {
                    let day = from.date_naive() + Days::new(number);
                    let start = zone.start_of_day(day);
                    assert!(
                        zone.day(start) >= day && zone.day(start - TimeDelta::seconds(1)) < day,
                        "{name} {day}"
                    );
                }
            }
        }
    }
}
