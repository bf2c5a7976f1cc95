//! The media types that a client accepts (RFC 9110, section 12.5.1).

use axum::http::{HeaderMap, header};

use crate::error::ApiError;

/// A media type of answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MediaType {
    Json,
    Csv,
}

impl MediaType {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            MediaType::Json => "application/json",
            MediaType::Csv => "text/csv",
        }
    }
}

/// A media range of an `Accept` header, in lower case, and its weight in thousandths.
struct AcceptedRange {
    range: String,
    weight: u16,
}

/// Returns the available media type that the client prefers. Of equal ones it is the first.
///
/// # Errors
/// If the client accepts none of them.
pub(super) fn best_accepted(headers: &HeaderMap, available: &[MediaType]) -> Result<MediaType, ApiError> {
    let values = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let accepted: Vec<AcceptedRange> =
        values.flat_map(|value| value.split(',')).filter_map(parse_range).collect();
    let weighted = available.iter().map(|media_type| (*media_type, weight_of(*media_type, &accepted)));
    // The last of several greatest ones wins, so the first one is last.
    let best = weighted.rev().max_by_key(|(_, weight)| *weight);
    best.filter(|(_, weight)| *weight > 0).map(|(media_type, _)| media_type).ok_or_else(|| {
        let available = available.iter().map(|it| it.as_str()).collect::<Vec<_>>().join(" or ");
        ApiError::no_acceptable_type(&available)
    })
}

/// Returns the weight of the most specific range that contains the media type; the full weight if there is no range at
/// all, and 0 if no range contains it.
fn weight_of(media_type: MediaType, accepted: &[AcceptedRange]) -> u16 {
    if accepted.is_empty() {
        return 1000;
    }
    let name = media_type.as_str();
    let all_of_kind = name.split_once('/').map(|(kind, _)| format!("{kind}/*")).unwrap_or_default();
    let weight = |range: &str| accepted.iter().filter(|it| it.range == range).map(|it| it.weight).max();
    weight(name).or_else(|| weight(&all_of_kind)).or_else(|| weight("*/*")).unwrap_or(0)
}

/// Parses a media range such as `text/*;q=0.5`. Other parameters than the weight do not distinguish the answers. `None`
/// if there is none.
fn parse_range(text: &str) -> Option<AcceptedRange> {
    let mut parts = text.split(';').map(str::trim);
    let range = parts.next().filter(|range| !range.is_empty())?.to_ascii_lowercase();
    let weight = parts.find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        name.trim().eq_ignore_ascii_case("q").then(|| value.trim().parse::<f32>().ok())
    });
    let weight = match weight {
        None => 1.0,
        Some(weight) => weight.filter(|weight| (0.0..=1.0).contains(weight)).unwrap_or(1.0),
    };
    Some(AcceptedRange { range, weight: (weight * 1000.0).round() as u16 })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn best(accept: &[&str], available: &[MediaType]) -> Option<MediaType> {
        let mut headers = HeaderMap::new();
        for value in accept {
            headers.append(header::ACCEPT, value.parse().unwrap());
        }
        best_accepted(&headers, available).ok()
    }

    const BOTH: &[MediaType] = &[MediaType::Json, MediaType::Csv];

    #[test]
    fn the_preferred_media_type_is_chosen() {
        for (accept, expected) in [
            ("text/csv", MediaType::Csv),
            ("TEXT/CSV; header=present", MediaType::Csv),
            ("text/*", MediaType::Csv),
            ("text/csv, application/json", MediaType::Json),
            ("text/csv, application/json;q=0.9", MediaType::Csv),
            ("text/csv;q=0.8, */*", MediaType::Json),
            ("application/json;q=0, */*;q=0.1", MediaType::Csv),
            ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", MediaType::Json),
            ("application/*", MediaType::Json),
            ("application/json; charset=utf-8", MediaType::Json),
            ("application/problem+json, application/json", MediaType::Json),
            ("text/csv;q=2", MediaType::Csv),
            ("", MediaType::Json),
        ] {
            assert_eq!(best(&[accept], BOTH), Some(expected), "{accept}");
        }
        assert_eq!(best(&[], BOTH), Some(MediaType::Json));
        assert_eq!(best(&["text/html", "text/csv"], BOTH), Some(MediaType::Csv));
    }

    #[test]
    fn no_accepted_media_type_is_an_error() {
        for accept in ["text/html", "image/*", "application/json;q=0", "text/csv;q=0.0000", "x"] {
            assert_eq!(best(&[accept], BOTH), None, "{accept}");
        }
        assert_eq!(best(&["application/json"], &[MediaType::Csv]), None);
        assert_eq!(best(&["*/*"], &[MediaType::Csv]), Some(MediaType::Csv));
    }
}
