//! The sort key of an entry in a listing, and the cursor of a page.

use std::cmp::Ordering;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use gam_model::Range;
use serde::{Deserialize, Serialize};

use crate::QueryError;
use crate::answers::{BotFilter, ListKind, SortDirection};
use crate::list::ListRequest;
use crate::org_reader::quoted;

/// Sorts entries by value, then by name, then by id. Entries without a value are last in both directions.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct SortKey {
    pub(crate) value: Option<f64>,
    pub(crate) name: String,
    /// A repository's id, because two repositories can have one name; 0 for a member.
    pub(crate) id: i64,
}

impl SortKey {
    pub(crate) fn cmp(&self, other: &SortKey, direction: SortDirection) -> Ordering {
        let by_value = match (self.value, other.value) {
            (Some(a), Some(b)) if direction == SortDirection::Desc => b.total_cmp(&a),
            (Some(a), Some(b)) => a.total_cmp(&b),
            (a, b) => b.is_some().cmp(&a.is_some()),
        };
        let folded = |name: &str| name.to_lowercase();
        by_value
            .then_with(|| folded(&self.name).cmp(&folded(&other.name)))
            .then_with(|| self.name.cmp(&other.name))
            .then_with(|| self.id.cmp(&other.id))
    }
}

/// A cursor: the last entry of a page, and the query that the page belongs to.
///
/// The value is encoded by its bits, because a number parsed from decimals may differ from the original.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Cursor {
    /// The value's bits.
    v: Option<u64>,
    /// The name.
    n: String,
    /// The repository's id; 0 for a member.
    i: i64,
    /// The query: storage key of the organization, list, first day, day after the last, bots, sort, order.
    q: CursorQuery,
}

type CursorQuery = (String, String, chrono::NaiveDate, chrono::NaiveDate, BotFilter, String, SortDirection);

fn query_of(org: &str, request: &ListRequest, range: Range) -> CursorQuery {
    let list = match request.kind {
        ListKind::Members => "members",
        ListKind::Repos => "repos",
    };
    let (bots, sort, direction) = (request.bots, request.sort.name.to_owned(), request.direction);
    (org.to_lowercase(), list.to_owned(), range.since(), range.until(), bots, sort, direction)
}

/// Returns the cursor of the page after this entry.
pub(crate) fn to_cursor(key: &SortKey, org: &str, request: &ListRequest, range: Range) -> String {
    let q = query_of(org, request, range);
    let cursor = Cursor { v: key.value.map(f64::to_bits), n: key.name.clone(), i: key.id, q };
    URL_SAFE_NO_PAD.encode(serde_json::to_vec(&cursor).expect("texts and numbers"))
}

/// Parses a request's cursor. Returns the last entry of the page before, and the range of that page: a cursor
/// belongs to the range that its first page had, also if the default range has changed since.
///
/// # Errors
/// If the text is no cursor, or it belongs to another query.
pub(crate) fn parse_cursor(
    cursor: &str,
    org: &str,
    request: &ListRequest,
) -> Result<(SortKey, Range), QueryError> {
    let bytes = URL_SAFE_NO_PAD.decode(cursor).ok();
    let parsed = bytes.and_then(|bytes| serde_json::from_slice::<Cursor>(&bytes).ok());
    let parsed = parsed.and_then(|cursor| Some((Range::new(cursor.q.2, cursor.q.3)?, cursor)));
    let Some((range, parsed)) = parsed else {
        return Err(QueryError::Invalid(format!(
            "invalid cursor {}: use the `next` value of the previous page, or leave it out to get the first page",
            quoted(cursor)
        )));
    };
    let requested_range = if request.has_default_range { range } else { request.range };
    let requested = query_of(org, request, requested_range);
    if parsed.q != requested {
        let (_, list, since, until, bots, sort, order) = parsed.q;
        let name = |value: serde_json::Result<serde_json::Value>| value.ok().map(|value| value.to_string());
        let text = |value: Option<String>| value.unwrap_or_default().replace('"', "");
        return Err(QueryError::Invalid(format!(
            "cursor of another query: it belongs to /{list} with since={since}, until={until}, bots={}, \
             sort={sort}, order={}; repeat these parameters, or leave the cursor out to get the first page",
            text(name(serde_json::to_value(bots))),
            text(name(serde_json::to_value(order))),
        )));
    }
    Ok((SortKey { value: parsed.v.map(f64::from_bits), name: parsed.n, id: parsed.i }, range))
}

#[cfg(test)]
mod tests {
    use gam_model::metric::Metric;

    use super::*;

    fn request() -> ListRequest {
        ListRequest {
            kind: ListKind::Repos,
            range: Range::new("2024-01-01".parse().unwrap(), "2024-02-01".parse().unwrap()).unwrap(),
            has_default_range: false,
            bots: BotFilter::Auto,
            sort: Metric::named("commits").unwrap(),
            direction: SortDirection::Desc,
            limit: 10,
            cursor: None,
        }
    }

    #[test]
    fn a_cursor_decodes_to_the_same_key() {
        let request = request();
        let thirds = (1..2_000).map(|seconds| Some(f64::from(seconds) / 3600.0));
        for value in thirds.chain([None, Some(0.0)]) {
            let key = SortKey { value, name: "Ann[bot]".to_owned(), id: 7 };
            let cursor = to_cursor(&key, "Acme", &request, request.range);
            assert_eq!(parse_cursor(&cursor, "acme", &request).unwrap(), (key, request.range));
        }
        for bad in ["", "nonsense", "e30", "WzEsMl0"] {
            assert!(parse_cursor(bad, "acme", &request).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_cursor_belongs_to_its_query() {
        let first = request();
        let key = SortKey { value: Some(1.0), name: "site".to_owned(), id: 7 };
        let cursor = to_cursor(&key, "acme", &first, first.range);
        let another_range = Range::new(first.range.since(), "2024-03-01".parse().unwrap()).unwrap();
        let others = [
            ListRequest { kind: ListKind::Members, ..first.clone() },
            ListRequest { bots: BotFilter::Only, ..first.clone() },
            ListRequest { sort: Metric::named("reviews").unwrap(), ..first.clone() },
            ListRequest { direction: SortDirection::Asc, ..first.clone() },
            ListRequest { range: another_range, ..first.clone() },
        ];
        for other in others {
            let message = parse_cursor(&cursor, "acme", &other).unwrap_err().to_string();
            assert!(
                message.contains("/repos with since=2024-01-01") && message.contains("bots=auto"),
                "{message}"
            );
        }
        assert!(parse_cursor(&cursor, "umbrella", &first).is_err());
        let page_size = ListRequest { limit: 1, ..first.clone() };
        assert!(parse_cursor(&cursor, "acme", &page_size).is_ok(), "pages can have another size");
        let tomorrow = ListRequest { range: another_range, has_default_range: true, ..first.clone() };
        assert_eq!(parse_cursor(&cursor, "acme", &tomorrow).unwrap().1, first.range);
    }
}
