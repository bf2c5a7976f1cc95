//! The cursor of a page.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::NaiveDate;
use gam_model::{Range, Subject};
use gam_store::Logic;
use serde::{Deserialize, Serialize};

use crate::QueryError;
use crate::answers::{BotFilter, SortDirection};
use crate::list::ListRequest;
use crate::org_reader::OrgReader;
use crate::quote::{cut, quoted};
use crate::sort_key::SortKey;

/// A cursor: the last entry of a page, the query that the page belongs to, and the rules that its numbers were
/// computed by.
///
/// The value is encoded by its bits, because a number parsed from decimals may differ from the original. The rules
/// are named by what the fold applies and not by their epoch: one machine and AWS may number the same rules differently.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Cursor {
    /// The value's bits.
    v: Option<u64>,
    /// The name.
    n: String,
    /// The repository's id; 0 for a member.
    i: i64,
    /// The query: organization in lower case, list, first day, day after the last, bots, sort, order, text that names
    /// contain.
    q: CursorQuery,
    /// The rules. `None` if there are none.
    r: Option<CursorRules>,
}

/// The rules of a page: version of the code, hash of the configuration, version of the time-zone database. The days of
/// UTC follow from no database, so its version is then empty.
type CursorRules = (u32, String, String);

type CursorQuery = (String, String, NaiveDate, NaiveDate, BotFilter, String, SortDirection, String);

/// Returns the query of a listing of a subject's members or repositories.
fn query_of(org_key: &str, listed_of: &Subject, request: &ListRequest, range: Range) -> CursorQuery {
    let list = request.listing.kind().as_str();
    let list = match listed_of {
        Subject::Org => list.to_owned(),
        Subject::Repo(id) => format!("repos/{id}/{list}"),
        Subject::Member(name) => format!("members/{name}/{list}"),
    };
    let (bots, sort, direction) = (request.bots, request.sort.as_str().to_owned(), request.direction);
    let name_text = request.name_filter.as_ref().map(|filter| filter.text().to_owned()).unwrap_or_default();
    (org_key.to_owned(), list, range.since(), range.until(), bots, sort, direction, name_text)
}

/// Returns the rules of an organization. Two revisions of its configuration with one hash fold alike.
fn rules_of(org: &OrgReader<'_>) -> Option<CursorRules> {
    org.rules().map(|Logic { version, identity, time_zone, time_zones, .. }| {
        let database = if time_zone == "UTC" { String::new() } else { time_zones.clone() };
        (*version, identity.clone(), database)
    })
}

impl Cursor {
    /// Creates the cursor of the page after an entry.
    pub(crate) fn new(
        key: &SortKey,
        org: &OrgReader<'_>,
        listed_of: &Subject,
        request: &ListRequest,
        range: Range,
    ) -> Self {
        let q = query_of(&org.key, listed_of, request, range);
        Cursor { v: key.value.map(f64::to_bits), n: key.name.clone(), i: key.id, q, r: rules_of(org) }
    }

    /// Returns the text of the cursor.
    pub(crate) fn encode(&self) -> String {
        URL_SAFE_NO_PAD.encode(serde_json::to_vec(self).expect("texts and numbers"))
    }

    /// Parses the text of a cursor.
    ///
    /// # Errors
    /// If the text is no cursor.
    pub(crate) fn decode(text: &str) -> Result<Self, QueryError> {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok();
        let cursor = bytes.and_then(|bytes| serde_json::from_slice::<Cursor>(&bytes).ok());
        cursor.filter(|cursor| cursor.range().is_some()).ok_or_else(|| {
            QueryError::Invalid(format!(
                "invalid cursor {}: use the `next` value of the previous page, or leave it out to get the first \
                 page",
                quoted(text)
            ))
        })
    }

    fn range(&self) -> Option<Range> {
        Range::new(self.q.2, self.q.3)
    }

    /// Checks that the cursor belongs to the query. Returns the range of its page, and the last entry of the page
    /// before: a cursor belongs to the range that its first page had, also if the default range has changed since.
    ///
    /// # Errors
    /// If the cursor belongs to another query, or to other rules.
    pub(crate) fn check(
        &self,
        org: &OrgReader<'_>,
        listed_of: &Subject,
        request: &ListRequest,
    ) -> Result<(Range, SortKey), QueryError> {
        let own = self.range().filter(|own| {
            (request.has_default_since || own.since() == request.range.since())
                && (request.has_default_until || own.until() == request.range.until())
        });
        let range = own.unwrap_or(request.range);
        if self.q != query_of(&org.key, listed_of, request, range) {
            return Err(QueryError::Invalid(self.another_query()));
        }
        if self.r != rules_of(org) {
            return Err(QueryError::CursorExpired(format!(
                "the cursor is expired: the rules that {}'s numbers are computed by have changed since its page; \
                 leave it out to get the first page again",
                org.name
            )));
        }
        let key = SortKey { value: self.v.map(f64::from_bits), name: self.n.clone(), id: self.i };
        Ok((range, key))
    }

    /// Says which query the cursor belongs to.
    fn another_query(&self) -> String {
        let (_, list, since, until, bots, sort, order, name_text) = &self.q;
        let name = |value: serde_json::Result<serde_json::Value>| value.ok().map(|value| value.to_string());
        let text = |value: Option<String>| value.unwrap_or_default().replace('"', "");
        let name_text =
            if name_text.is_empty() { String::new() } else { format!(", q={}", quoted(name_text)) };
        format!(
            "cursor of another query: it belongs to /{} with since={since}, until={until}, bots={}, sort={}, \
             order={}{name_text}; repeat these parameters, or leave the cursor out to get the first page",
            cut(list),
            text(name(serde_json::to_value(bots))),
            cut(sort),
            text(name(serde_json::to_value(order))),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_decodes_to_the_same_value() {
        let day = |text: &str| text.parse().unwrap();
        let q = (
            "acme".to_owned(),
            "repos/7/members".to_owned(),
            day("2024-01-01"),
            day("2024-02-01"),
            BotFilter::Auto,
            "commits".to_owned(),
            SortDirection::Desc,
            "ä".to_owned(),
        );
        let thirds = (1..2_000).map(|seconds| Some(f64::from(seconds) / 3600.0));
        for value in thirds.chain([None, Some(0.0)]) {
            let (v, r) = (value.map(f64::to_bits), Some((5, "b1946ac9".to_owned(), "2026a".to_owned())));
            let cursor = Cursor { v, n: "Ann[bot]".to_owned(), i: 7, q: q.clone(), r };
            assert_eq!(Cursor::decode(&cursor.encode()).unwrap(), cursor);
        }
        let empty_range = (q.0.clone(), q.1.clone(), q.3, q.2, q.4, q.5.clone(), q.6, q.7.clone());
        let cursor = Cursor { v: None, n: String::new(), i: 0, q: empty_range, r: None };
        assert!(Cursor::decode(&cursor.encode()).is_err());
    }
}
