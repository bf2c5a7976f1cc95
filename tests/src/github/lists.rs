//! Lists and their pages. A cursor names the entry after which a page begins, so pages fit together even if
//! entries appear or vanish between the requests.

use serde_json::{Value, json};

/// An entry of a list.
pub(super) struct ConnectionEntry {
    /// What the list is sorted by, and a number that makes the key unique.
    pub(super) sort_key: (i64, i64),
    /// The entry as the API returns it.
    pub(super) node: Value,
}

/// Returns a page of entries that are sorted already, as a GraphQL connection.
///
/// # Errors
/// If the cursor is invalid.
pub(super) fn connection(
    entries: &[ConnectionEntry],
    first: usize,
    after: Option<&str>,
    descending: bool,
) -> Result<Value, String> {
    let after = after.map(parse_cursor).transpose()?;
    let is_after = |entry: &&ConnectionEntry| {
        after.is_none_or(|after| if descending { entry.sort_key < after } else { entry.sort_key > after })
    };
    let remaining: Vec<&ConnectionEntry> = entries.iter().filter(is_after).collect();
    let page = &remaining[..remaining.len().min(first)];
    Ok(json!({
        "totalCount": entries.len(),
        "pageInfo": {
            "hasNextPage": remaining.len() > page.len(),
            "endCursor": page.last().map(|entry| format!("after:{}:{}", entry.sort_key.0, entry.sort_key.1)),
        },
        "nodes": page.iter().map(|entry| entry.node.clone()).collect::<Vec<_>>(),
    }))
}

/// Sorts entries.
pub(super) fn sorted(mut entries: Vec<ConnectionEntry>, descending: bool) -> Vec<ConnectionEntry> {
    entries.sort_by_key(|entry| entry.sort_key);
    if descending {
        entries.reverse();
    }
    entries
}

pub(super) fn parse_cursor(cursor: &str) -> Result<(i64, i64), String> {
    let parts = cursor.strip_prefix("after:").and_then(|rest| rest.split_once(':'));
    parts
        .and_then(|(a, b)| Some((a.parse().ok()?, b.parse().ok()?)))
        .ok_or_else(|| format!("`{cursor}` does not appear to be a valid cursor."))
}

/// Returns how a document sorts a field's list: the sort field, and whether the order is descending.
pub(super) fn order_by(document: &str, field: &str) -> Option<(String, bool)> {
    let arguments = arguments(document, field)?;
    let clause = arguments.split_once("orderBy:")?.1.split_once('}')?.0;
    let value = |name: &str| {
        let rest = clause.split_once(name)?.1.trim_start_matches(':').trim_start();
        rest.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').next().map(str::to_owned)
    };
    Some((value("field")?, value("direction")? == "DESC"))
}

/// Returns the page size that a document states for a field as a literal.
pub(super) fn requested_page_size(document: &str, field: &str) -> Option<usize> {
    let value = arguments(document, field)?.split_once("first:")?.1.trim_start();
    value.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

/// Returns the text between the parentheses after a field.
fn arguments<'a>(document: &'a str, field: &str) -> Option<&'a str> {
    document.split_once(&format!(" {field}("))?.1.split_once(')').map(|(arguments, _)| arguments)
}
