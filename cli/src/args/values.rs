//! Parsers of argument values.

use std::time::Duration;

use chrono::NaiveDate;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use gam_model::Grain;
use gam_model::period::{FIRST_DAY, LAST_DAY};
use gam_query::BotFilter;

/// The longest duration that an option takes.
const MAX_DURATION_DAYS: u64 = 30;
/// The longest duration that looks back.
const MAX_LONG_DURATION_DAYS: u64 = 3650;
/// The shortest interval between two rounds.
const MIN_INTERVAL: Duration = Duration::from_secs(1);
/// The longest login of an organization, in bytes.
const MAX_LOGIN_BYTES: usize = 100;

/// Parses a day of the calendar, written as `YYYY-MM-DD`.
///
/// # Errors
/// If the text is not such a day, or the day is outside the supported range.
pub(crate) fn day(text: &str) -> Result<NaiveDate, String> {
    let is_shaped = text.len() == 10 && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-');
    let day = is_shaped.then(|| NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()).flatten();
    let day = day.ok_or("expected a day of the calendar as YYYY-MM-DD, such as 2026-02-28")?;
    if (FIRST_DAY..=LAST_DAY).contains(&day) {
        Ok(day)
    } else {
        Err(format!("expected a day from {FIRST_DAY} to {LAST_DAY}"))
    }
}

/// Parses the login of an organization.
///
/// # Errors
/// If GitHub allows no such login.
pub(crate) fn org(text: &str) -> Result<String, String> {
    if let Some((org, repo)) = text.split_once('/')
        && !org.is_empty()
        && !org.contains(':')
    {
        return Err(format!("expected the organization alone, {org}; {repo} is a repository"));
    }
    let is_well_formed = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
    if is_well_formed && !text.is_empty() && text.len() <= MAX_LOGIN_BYTES {
        Ok(text.to_owned())
    } else {
        Err("expected the login of an organization, as in https://github.com/LOGIN".to_owned())
    }
}

/// Parses the login of a member.
///
/// # Errors
/// If GitHub allows no such login.
pub(crate) fn login(text: &str) -> Result<String, String> {
    org(text).map_err(|_| "expected the login of a member, as in https://github.com/LOGIN".to_owned())
}

/// Parses the name of a repository, without its owner.
///
/// # Errors
/// If GitHub allows no such name.
pub(crate) fn repo(text: &str) -> Result<String, String> {
    let is_well_formed =
        text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'));
    match text.rsplit_once('/') {
        Some((_, name)) => Err(format!("expected the name of a repository without its owner: {name}")),
        None if is_well_formed && !text.is_empty() => Ok(text.to_owned()),
        None => Err("expected the name of a repository, as in https://github.com/LOGIN/NAME".to_owned()),
    }
}

/// Parses a percentage from 1 % to 100 %, with or without the sign. Returns it as a fraction.
///
/// # Errors
/// If the text is not such a percentage.
pub(super) fn percentage(text: &str) -> Result<f64, String> {
    let percent = text.strip_suffix('%').unwrap_or(text).trim().parse::<f64>().ok();
    percent
        .filter(|percent| (1.0..=100.0).contains(percent))
        .map(|percent| percent / 100.0)
        .ok_or_else(|| "expected a percentage from 1% to 100%, such as 60%".to_owned())
}

/// Parses a duration such as `90s`, `15m` or `1h 30m`, of at most thirty days.
///
/// # Errors
/// If the text is not a duration, or the duration is too long.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    duration_up_to(text, MAX_DURATION_DAYS, "90s, 15m or 1h")
}

/// Parses a duration of at most ten years.
///
/// # Errors
/// If the text is not a duration, or the duration is too long.
pub(crate) fn long_duration(text: &str) -> Result<Duration, String> {
    duration_up_to(text, MAX_LONG_DURATION_DAYS, "30d or 12w")
}

fn duration_up_to(text: &str, max_days: u64, example: &str) -> Result<Duration, String> {
    let duration = humantime::parse_duration(text)
        .map_err(|error| format!("{error}; expected a duration such as {example}"))?;
    if duration > Duration::from_secs(max_days * 24 * 3600) {
        return Err(format!("expected at most {max_days} days"));
    }
    Ok(duration)
}

/// Parses a duration of at least a second.
///
/// # Errors
/// As [`duration`], and if the duration is too short.
pub(crate) fn interval(text: &str) -> Result<Duration, String> {
    let interval = duration(text)?;
    if interval < MIN_INTERVAL { Err("expected at least 1s".to_owned()) } else { Ok(interval) }
}

/// Returns a parser of granularities that lists them in the help.
pub(crate) fn grain_parser() -> impl TypedValueParser<Value = Grain> {
    let names = Grain::ALL.map(Grain::as_str);
    PossibleValuesParser::new(names).try_map(|name| Grain::parse(&name).ok_or("unknown granularity"))
}

/// Returns a parser of filters of bots that lists them in the help.
pub(super) fn bots_parser() -> impl TypedValueParser<Value = BotFilter> {
    PossibleValuesParser::new(BotFilter::ALL.map(BotFilter::as_str)).try_map(|name| {
        BotFilter::ALL.into_iter().find(|filter| filter.as_str() == name).ok_or("unknown filter")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentages_are_parsed_as_fractions() {
        assert_eq!(percentage("60%"), Ok(0.6));
        assert_eq!(percentage("100"), Ok(1.0));
        for invalid in ["0%", "101%", "-1", "much", "", "NaN"] {
            assert!(percentage(invalid).is_err(), "{invalid}");
        }
    }

    #[test]
    fn days_are_checked() {
        assert_eq!(day("2024-02-29").unwrap(), NaiveDate::from_ymd_opt(2024, 2, 29).unwrap());
        for invalid in ["2023-02-29", "2024-2-29", "20240229", "today", "", "1969-12-31", "+024-02-29"] {
            assert!(day(invalid).is_err(), "{invalid}");
        }
    }

    #[test]
    fn names_are_checked() {
        assert_eq!(org("Acme-1").unwrap(), "Acme-1");
        assert!(org("acme/site").unwrap_err().contains("acme; site is a repository"));
        for invalid in ["", "a b", "https://github.com/acme", "/", "a.b", "ä"] {
            assert!(org(invalid).is_err(), "{invalid}");
        }
        assert_eq!(login("ann").unwrap(), "ann");
        assert!(login("ann@example.org").unwrap_err().contains("member"));
        assert_eq!(repo("site.js").unwrap(), "site.js");
        assert!(repo("acme/site").unwrap_err().contains("without its owner: site"));
        assert!(repo("").is_err());
    }

    #[test]
    fn durations_are_bounded() {
        assert_eq!(duration("1h").unwrap().as_secs(), 3600);
        assert_eq!(duration("0s").unwrap().as_secs(), 0);
        for invalid in ["", "1", "h", "-1s", "31days", "1year"] {
            assert!(duration(invalid).is_err(), "{invalid}");
        }
        assert!(interval("0s").is_err());
        assert_eq!(long_duration("90d").unwrap().as_secs(), 90 * 24 * 3600);
        assert!(long_duration("20years").is_err() && long_duration("-1d").is_err());
    }
}
