//! The query string as it was given, and the reading of single parameters.

use axum::extract::Query;
use axum::http::Uri;
use chrono::NaiveDate;
use gam_model::period::{FIRST_DAY, LAST_DAY};

use super::Parameter;
use crate::problem::Failure;

/// The longest part of an input that is repeated in a refusal.
const MAX_QUOTED: usize = 64;

/// The parameters of a request: each of them known to the route, and given once.
pub(crate) struct Given(Vec<(Parameter, String)>);

impl Given {
    /// Reads the query string of a route that takes the `accepted` parameters.
    pub(crate) fn read(uri: &Uri, accepted: &[Parameter]) -> Result<Self, Failure> {
        let Query(pairs) = Query::<Vec<(String, String)>>::try_from_uri(uri).map_err(|error| {
            Failure::invalid(format!(
                "the query string cannot be read ({error}): write it as name=value&name=value"
            ))
        })?;
        let mut given: Vec<(Parameter, String)> = Vec::with_capacity(pairs.len());
        for (name, value) in pairs {
            let parameter = accepted.iter().copied().find(|parameter| parameter.name() == name);
            let parameter = parameter.ok_or_else(|| unknown(&name, accepted))?;
            if given.iter().any(|(it, _)| *it == parameter) {
                return Err(Failure::invalid(format!("{name} is given more than once: give it once")));
            }
            given.push((parameter, value));
        }
        Ok(Given(given))
    }

    /// The value of a parameter as text.
    pub(crate) fn text(&self, parameter: Parameter) -> Option<&str> {
        self.0.iter().find(|(it, _)| *it == parameter).map(|(_, value)| value.as_str())
    }

    /// The value of a parameter with a fixed set of values.
    pub(crate) fn choice<T>(
        &self,
        parameter: Parameter,
        find: impl Fn(&str) -> Option<T>,
    ) -> Result<Option<T>, Failure> {
        let Some(text) = self.text(parameter) else { return Ok(None) };
        let refused = || {
            let values = parameter.values().unwrap_or_default().join(", ");
            Failure::invalid(format!(
                "{} {} is not known: give one of {values}",
                parameter.name(),
                quoted(text)
            ))
        };
        find(text).map(Some).ok_or_else(refused)
    }

    /// The value of a parameter that is a UTC day.
    pub(crate) fn day(&self, parameter: Parameter) -> Result<Option<NaiveDate>, Failure> {
        let Some(text) = self.text(parameter) else { return Ok(None) };
        let name = parameter.name();
        let day = parse_day(text).ok_or_else(|| {
            Failure::invalid(format!(
                "{name} {} is not a day: write a day of the calendar as YYYY-MM-DD, such as 2024-02-29",
                quoted(text)
            ))
        })?;
        if !(FIRST_DAY..=LAST_DAY).contains(&day) {
            let text = quoted(text);
            return Err(Failure::invalid(format!(
                "{name} {text} is out of reach: give a day from {FIRST_DAY} to {LAST_DAY}"
            )));
        }
        Ok(Some(day))
    }

    /// The value of a parameter that is a whole number from 1 to `max`.
    pub(crate) fn number(&self, parameter: Parameter, max: usize) -> Result<Option<usize>, Failure> {
        let Some(text) = self.text(parameter) else { return Ok(None) };
        // Digits only, because `parse` would take a sign.
        let digits = text.bytes().all(|byte| byte.is_ascii_digit());
        let number = digits.then(|| text.parse().ok()).flatten().filter(|number| (1..=max).contains(number));
        number.map(Some).ok_or_else(|| {
            let name = parameter.name();
            Failure::invalid(format!("{name} {} is not a number from 1 to {max}: give one", quoted(text)))
        })
    }
}

fn unknown(name: &str, accepted: &[Parameter]) -> Failure {
    let names = accepted.iter().map(|parameter| parameter.name()).collect::<Vec<_>>().join(", ");
    let mend = match accepted {
        [] => "this route takes none, leave it out".to_owned(),
        _ => format!("this route takes {names}"),
    };
    Failure::invalid(format!("the parameter {} is not known: {mend}", quoted(name)))
}

/// A day written just as `YYYY-MM-DD`.
fn parse_day(text: &str) -> Option<NaiveDate> {
    let bytes = text.as_bytes();
    let shaped = bytes.len() == 10
        && bytes.iter().enumerate().all(|(at, byte)| match at {
            4 | 7 => *byte == b'-',
            _ => byte.is_ascii_digit(),
        });
    shaped.then(|| NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()).flatten()
}

/// An input as it is repeated in a refusal: quoted, and cut where it is long.
fn quoted(text: &str) -> String {
    match text.char_indices().nth(MAX_QUOTED) {
        Some((end, _)) => format!("{:?}...", &text[..end]),
        None => format!("{text:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(query: &str) -> Result<Given, Failure> {
        let uri = format!("/x?{query}").parse().unwrap();
        Given::read(&uri, &[Parameter::Since, Parameter::Bots, Parameter::Limit])
    }

    fn detail<T>(result: Result<T, Failure>) -> String {
        format!("{:?}", result.err().expect("it is refused"))
    }

    #[test]
    fn unknown_and_repeated_parameters_are_refused() {
        assert!(detail(read("sinse=2024-01-01")).contains("takes since, bots, limit"));
        assert!(detail(read("Since=2024-01-01")).contains("not known"));
        assert!(detail(read("bots=only&bots=only")).contains("more than once"));
        assert!(detail(read("metric=commits")).contains("not known"));
        assert!(detail(Given::read(&"/x?a".parse().unwrap(), &[])).contains("takes none"));
        for fine in ["", "bots=only", "bots=only&limit=5", "limit=%35"] {
            read(fine).unwrap();
        }
    }

    #[test]
    fn a_day_is_written_in_one_way() {
        for (text, day) in
            [("2024-02-29", (2024, 2, 29)), ("1970-01-01", (1970, 1, 1)), ("9999-01-01", (9999, 1, 1))]
        {
            let (year, month, of_month) = day;
            let day = read(&format!("since={text}")).unwrap().day(Parameter::Since).unwrap();
            assert_eq!(day, NaiveDate::from_ymd_opt(year, month, of_month));
        }
        for text in [
            "",
            "2023-02-29",
            "2024-2-29",
            "2024-13-01",
            "2024-00-10",
            "20240229",
            "2024/02/29",
            "+024-02-29",
            "2024-02-29T00:00:00Z",
            " 2024-02-2",
            "today",
            "٢٠٢٤-٠٢-٢٩",
            "٢٠٢٤٠",
            "-001-01-01",
        ] {
            assert_eq!(parse_day(text), None, "{text}");
        }
        let day = read("since=2024-02-29%20").unwrap().day(Parameter::Since);
        assert!(detail(day).contains("YYYY-MM-DD"));
        for text in ["1969-12-31", "9999-01-02", "0000-01-01"] {
            let day = read(&format!("since={text}")).unwrap().day(Parameter::Since);
            assert!(detail(day).contains("from 1970-01-01 to 9999-01-01"), "{text}");
        }
    }

    #[test]
    fn a_number_lies_in_its_bounds() {
        for (text, number) in [("1", 1), ("1000", 1000), ("007", 7)] {
            let limit = read(&format!("limit={text}")).unwrap().number(Parameter::Limit, 1000);
            assert_eq!(limit.unwrap(), Some(number));
        }
        for text in ["", "0", "1001", "-1", "%2B5", "1.5", "ten", "99999999999999999999999"] {
            let limit = read(&format!("limit={text}")).unwrap().number(Parameter::Limit, 1000);
            assert!(detail(limit).contains("from 1 to 1000"), "{text}");
        }
    }

    #[test]
    fn a_long_input_is_not_repeated_whole() {
        assert_eq!(quoted("a\"b"), r#""a\"b""#);
        assert_eq!(quoted(&"ä".repeat(1000)), format!("\"{}\"...", "ä".repeat(64)));
    }
}
