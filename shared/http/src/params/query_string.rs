//! The query string, and the parsing of single parameters.

use std::ops::RangeInclusive;

use axum::extract::Query;
use axum::http::Uri;
use chrono::NaiveDate;
use gam_model::period::{FIRST_DAY, LAST_DAY};

use super::Parameter;
use crate::error::{ApiError, quoted};

/// The parameters of a request. The route takes each of them, and each is there once, unless it can be repeated.
pub(crate) struct QueryString(Vec<(Parameter, String)>);

impl QueryString {
    /// Parses the query string for a route that takes the `accepted` parameters.
    pub(crate) fn parse(uri: &Uri, accepted: &[Parameter]) -> Result<Self, ApiError> {
        let Query(pairs) = Query::<Vec<(String, String)>>::try_from_uri(uri).map_err(|error| {
            ApiError::invalid(format!("invalid query string ({error}): expected name=value&name=value"))
        })?;
        let mut parameters: Vec<(Parameter, String)> = Vec::with_capacity(pairs.len());
        for (name, value) in pairs {
            let parameter = accepted.iter().copied().find(|parameter| parameter.name() == name);
            let parameter = parameter.ok_or_else(|| unknown_parameter(&name, accepted))?;
            if !parameter.is_repeatable() && parameters.iter().any(|(it, _)| *it == parameter) {
                return Err(ApiError::invalid(format!("repeated parameter `{name}`: send it once")));
            }
            parameters.push((parameter, value));
        }
        Ok(QueryString(parameters))
    }

    /// Parses each value of a parameter that can be repeated and has a fixed set of values. No value may be repeated.
    pub(crate) fn choices<T: PartialEq>(
        &self,
        parameter: Parameter,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Result<Vec<T>, ApiError> {
        let mut choices = Vec::new();
        for (_, text) in self.0.iter().filter(|(it, _)| *it == parameter) {
            let choice = parse(text).ok_or_else(|| not_a_choice(parameter, text))?;
            if choices.contains(&choice) {
                let (name, value) = (parameter.name(), quoted(text));
                return Err(ApiError::invalid(format!("repeated `{name}` {value}: send each value once")));
            }
            choices.push(choice);
        }
        Ok(choices)
    }

    /// Returns the value of a parameter as text of at most `max` characters.
    pub(crate) fn short_text(&self, parameter: Parameter, max: usize) -> Result<Option<&str>, ApiError> {
        let text = self.text(parameter);
        match text.filter(|text| text.chars().count() > max) {
            None => Ok(text),
            Some(text) => Err(ApiError::invalid(format!(
                "invalid `{}` {}: expected at most {max} characters",
                parameter.name(),
                quoted(text)
            ))),
        }
    }

    /// Returns the value of a parameter as text.
    pub(crate) fn text(&self, parameter: Parameter) -> Option<&str> {
        self.0.iter().find(|(it, _)| *it == parameter).map(|(_, value)| value.as_str())
    }

    /// Parses a parameter that has a fixed set of values.
    pub(crate) fn choice<T>(
        &self,
        parameter: Parameter,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Result<Option<T>, ApiError> {
        let Some(text) = self.text(parameter) else { return Ok(None) };
        parse(text).map(Some).ok_or_else(|| not_a_choice(parameter, text))
    }

    /// Parses a parameter that is a day.
    pub(crate) fn day(&self, parameter: Parameter) -> Result<Option<NaiveDate>, ApiError> {
        let Some(text) = self.text(parameter) else { return Ok(None) };
        let name = parameter.name();
        let day = parse_day(text).ok_or_else(|| {
            ApiError::invalid(format!(
                "invalid `{name}` {}: expected a calendar day as YYYY-MM-DD, such as 2024-02-29",
                quoted(text)
            ))
        })?;
        if !(FIRST_DAY..=LAST_DAY).contains(&day) {
            let text = quoted(text);
            return Err(ApiError::invalid(format!(
                "invalid `{name}` {text}: expected a day from {FIRST_DAY} to {LAST_DAY}"
            )));
        }
        Ok(Some(day))
    }

    /// Parses a parameter that is an integer from 1 to `max`.
    pub(crate) fn number(&self, parameter: Parameter, max: usize) -> Result<Option<usize>, ApiError> {
        self.number_within(parameter, 1..=max)
    }

    /// Parses a parameter that is an integer in the range.
    pub(crate) fn number_within(
        &self,
        parameter: Parameter,
        range: RangeInclusive<usize>,
    ) -> Result<Option<usize>, ApiError> {
        let Some(text) = self.text(parameter) else { return Ok(None) };
        // Digits only, because `parse` accepts a sign.
        let is_digits = text.bytes().all(|byte| byte.is_ascii_digit());
        let number = is_digits.then(|| text.parse().ok()).flatten().filter(|number| range.contains(number));
        number.map(Some).ok_or_else(|| {
            let (name, min, max) = (parameter.name(), range.start(), range.end());
            ApiError::invalid(format!(
                "invalid `{name}` {}: expected a number from {min} to {max}",
                quoted(text)
            ))
        })
    }
}

fn not_a_choice(parameter: Parameter, text: &str) -> ApiError {
    let values = parameter.values().unwrap_or_default().join(", ");
    ApiError::invalid(format!("invalid `{}` {}: expected one of {values}", parameter.name(), quoted(text)))
}

fn unknown_parameter(name: &str, accepted: &[Parameter]) -> ApiError {
    let names = accepted.iter().map(|parameter| parameter.name()).collect::<Vec<_>>().join(", ");
    let advice = match accepted {
        [] => "this route takes none, leave it out".to_owned(),
        _ => format!("this route takes {names}"),
    };
    ApiError::invalid(format!("unknown parameter {}: {advice}", quoted(name)))
}

/// Parses a day in the exact form `YYYY-MM-DD`.
fn parse_day(text: &str) -> Option<NaiveDate> {
    let bytes = text.as_bytes();
    let is_well_formed = bytes.len() == 10
        && bytes.iter().enumerate().all(|(at, byte)| match at {
            4 | 7 => *byte == b'-',
            _ => byte.is_ascii_digit(),
        });
    is_well_formed.then(|| NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(query: &str) -> Result<QueryString, ApiError> {
        let uri = format!("/x?{query}").parse().unwrap();
        QueryString::parse(&uri, &[Parameter::Since, Parameter::Bots, Parameter::Limit])
    }

    fn message<T>(result: Result<T, ApiError>) -> String {
        format!("{:?}", result.err().expect("an error"))
    }

    #[test]
    fn unknown_and_repeated_parameters_are_invalid() {
        assert!(message(parse("sinse=2024-01-01")).contains("takes since, bots, limit"));
        assert!(message(parse("Since=2024-01-01")).contains("unknown parameter"));
        assert!(message(parse("bots=only&bots=only")).contains("repeated parameter"));
        assert!(message(parse("metric=commits")).contains("unknown parameter"));
        assert!(message(QueryString::parse(&"/x?a".parse().unwrap(), &[])).contains("takes none"));
        let uri = "/x?metric=a&metric=b&bots=only".parse().unwrap();
        let query = QueryString::parse(&uri, &[Parameter::Metrics, Parameter::Bots]).unwrap();
        let upper = |text: &str| Some(text.to_uppercase());
        assert_eq!(query.choices(Parameter::Metrics, upper).unwrap(), ["A", "B"]);
        assert!(
            message(query.choices(Parameter::Metrics, |_| Some(()))).contains("repeated `metric` \\\"b\\\"")
        );
        assert!(message(query.choices(Parameter::Metrics, |_| None::<()>)).contains("merge_commits"));
        for valid in ["", "bots=only", "bots=only&limit=5", "limit=%35"] {
            parse(valid).unwrap();
        }
    }

    #[test]
    fn a_day_has_one_format() {
        for (text, day) in
            [("2024-02-29", (2024, 2, 29)), ("1970-01-01", (1970, 1, 1)), ("9999-01-01", (9999, 1, 1))]
        {
            let (year, month, of_month) = day;
            let day = parse(&format!("since={text}")).unwrap().day(Parameter::Since).unwrap();
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
        let day = parse("since=2024-02-29%20").unwrap().day(Parameter::Since);
        assert!(message(day).contains("YYYY-MM-DD"));
        for text in ["1969-12-31", "9999-01-02", "0000-01-01"] {
            let day = parse(&format!("since={text}")).unwrap().day(Parameter::Since);
            assert!(message(day).contains("from 1970-01-01 to 9999-01-01"), "{text}");
        }
    }

    #[test]
    fn a_text_must_not_be_too_long() {
        let uri = "/x?q=%C3%A4bc".parse().unwrap();
        let query = QueryString::parse(&uri, &[Parameter::Name]).unwrap();
        assert_eq!(query.short_text(Parameter::Name, 3).unwrap(), Some("äbc"));
        assert!(message(query.short_text(Parameter::Name, 2)).contains("at most 2 characters"));
    }

    #[test]
    fn a_number_must_be_in_its_bounds() {
        for (text, number) in [("1", 1), ("1000", 1000), ("007", 7)] {
            let limit = parse(&format!("limit={text}")).unwrap().number(Parameter::Limit, 1000);
            assert_eq!(limit.unwrap(), Some(number));
        }
        for text in ["", "0", "1001", "-1", "%2B5", "1.5", "ten", "99999999999999999999999"] {
            let limit = parse(&format!("limit={text}")).unwrap().number(Parameter::Limit, 1000);
            assert!(message(limit).contains("from 1 to 1000"), "{text}");
        }
    }
}
