//! JSON values of any type, read as what is expected of them: a value of another type reads as missing.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use chrono::{DateTime, Utc};
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// A JSON value that should be a text, a number or a boolean. An object, a list or null is missing.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) enum Scalar<'a> {
    #[default]
    Missing,
    Bool(bool),
    Int(i64),
    Text(Cow<'a, str>),
}

impl Scalar<'_> {
    /// Returns the text; `None` if it is empty or no text.
    pub(crate) fn text(&self) -> Option<&str> {
        match self {
            Scalar::Text(text) if !text.is_empty() => Some(text),
            _ => None,
        }
    }

    /// Returns whether it is `true`.
    pub(crate) fn is_true(&self) -> bool {
        *self == Scalar::Bool(true)
    }

    /// Returns the number; `None` if it is no number.
    pub(crate) fn int(&self) -> Option<i64> {
        match self {
            Scalar::Int(number) => Some(*number),
            _ => None,
        }
    }

    /// Returns the number; 0 if it is negative or missing. A log that says less than nothing is wrong.
    pub(crate) fn count(&self) -> i64 {
        self.int().unwrap_or(0).max(0)
    }

    /// Returns the time, truncated to milliseconds, as the lake stores it; `None` if it is no time of RFC 3339.
    pub(crate) fn time(&self) -> Option<DateTime<Utc>> {
        let time = DateTime::parse_from_rfc3339(self.text()?).ok()?;
        DateTime::from_timestamp_millis(time.timestamp_millis())
    }
}

struct ScalarVisitor;

impl<'de> Visitor<'de> for ScalarVisitor {
    type Value = Scalar<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Scalar<'de>, E> {
        Ok(Scalar::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Scalar<'de>, E> {
        Ok(Scalar::Int(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Scalar<'de>, E> {
        Ok(i64::try_from(value).map_or(Scalar::Missing, Scalar::Int))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Scalar<'de>, E> {
        // Some agents write whole numbers with a fraction of zero.
        let is_whole = value.fract() == 0.0 && value.abs() < 9.0e15;
        #[expect(clippy::cast_possible_truncation, reason = "whole and below 2^53")]
        Ok(if is_whole { Scalar::Int(value as i64) } else { Scalar::Missing })
    }

    fn visit_str<E>(self, value: &str) -> Result<Scalar<'de>, E> {
        Ok(Scalar::Text(Cow::Owned(value.to_owned())))
    }

    fn visit_borrowed_str<E>(self, value: &'de str) -> Result<Scalar<'de>, E> {
        Ok(Scalar::Text(Cow::Borrowed(value)))
    }

    fn visit_unit<E>(self) -> Result<Scalar<'de>, E> {
        Ok(Scalar::Missing)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Scalar<'de>, A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Scalar::Missing)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Scalar<'de>, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Scalar::Missing)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Scalar<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ScalarVisitor)
    }
}

/// Reads an object; `None` if there is none, or it is not an object of the expected shape.
pub(crate) fn object<'a, T: Deserialize<'a>>(raw: Option<&'a RawValue>) -> Option<T> {
    let text = raw?.get();
    text.starts_with('{').then(|| serde_json::from_str(text).ok())?
}

/// Reads a list; empty if there is none, or it is not a list of the expected elements.
pub(crate) fn list<'a, T: Deserialize<'a>>(raw: Option<&'a RawValue>) -> Vec<T> {
    raw.filter(|raw| raw.get().starts_with('['))
        .and_then(|raw| serde_json::from_str(raw.get()).ok())
        .unwrap_or_default()
}

/// An object, read in one pass with what contains it. A value of another type is missing.
#[derive(Debug)]
pub(crate) struct Lenient<T>(Option<T>);

impl<T> Default for Lenient<T> {
    fn default() -> Self {
        Lenient(None)
    }
}

impl<T> Lenient<T> {
    /// Returns the object; `None` if it is missing.
    pub(crate) fn value(&self) -> Option<&T> {
        self.0.as_ref()
    }

    /// Returns the object; `None` if it is missing.
    pub(crate) fn into_value(self) -> Option<T> {
        self.0
    }
}

struct LenientVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for LenientVisitor<T> {
    type Value = Lenient<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Lenient<T>, A::Error> {
        T::deserialize(MapAccessDeserializer::new(map)).map(|value| Lenient(Some(value)))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Lenient<T>, A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Lenient(None))
    }

    fn visit_bool<E>(self, _: bool) -> Result<Lenient<T>, E> {
        Ok(Lenient(None))
    }

    fn visit_i64<E>(self, _: i64) -> Result<Lenient<T>, E> {
        Ok(Lenient(None))
    }

    fn visit_u64<E>(self, _: u64) -> Result<Lenient<T>, E> {
        Ok(Lenient(None))
    }

    fn visit_f64<E>(self, _: f64) -> Result<Lenient<T>, E> {
        Ok(Lenient(None))
    }

    fn visit_str<E>(self, _: &str) -> Result<Lenient<T>, E> {
        Ok(Lenient(None))
    }

    fn visit_unit<E>(self) -> Result<Lenient<T>, E> {
        Ok(Lenient(None))
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Lenient<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(LenientVisitor(PhantomData))
    }
}

/// Reads a record from a line: `None` if the line is not exactly one JSON object.
pub(crate) fn record<'a, T: Deserialize<'a>>(line: &'a str) -> Option<T> {
    line.trim_start().starts_with('{').then(|| serde_json::from_str(line).ok())?
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn scalar(json: &str) -> Scalar<'_> {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn values_of_any_type_are_read() {
        assert_eq!(scalar("\"a\"").text(), Some("a"));
        assert_eq!(scalar("\"a\\n\"").text(), Some("a\n"));
        assert_eq!(scalar("7").int(), Some(7));
        assert_eq!(scalar("7.0").int(), Some(7));
        assert_eq!(scalar("-7").count(), 0);
        assert!(scalar("true").is_true());
        for other in ["null", "[1, {}]", "{\"a\": [1]}", "18446744073709551615", "0.5", "\"\""] {
            let scalar = scalar(other);
            assert_eq!((scalar.text(), scalar.int(), scalar.is_true()), (None, None, false), "{other}");
        }
    }

    #[test]
    fn objects_are_read_and_other_values_are_missing() {
        let first = |json: &str| {
            serde_json::from_str::<Lenient<BTreeMap<String, i64>>>(json)
                .unwrap()
                .into_value()?
                .into_values()
                .next()
        };
        assert_eq!(first("{\"a\": 7}"), Some(7));
        for other in ["null", "[1, {}]", "\"a\\n\"", "7", "-7", "0.5", "true"] {
            assert_eq!(first(other), None, "{other}");
        }
    }

    #[test]
    fn times_are_truncated_to_milliseconds() {
        let time = scalar("\"2026-02-10T23:11:56.9069+02:00\"").time().unwrap();
        assert_eq!(time.to_rfc3339(), "2026-02-10T21:11:56.906+00:00");
        assert_eq!(scalar("\"yesterday\"").time(), None);
    }
}
