//! Lists, page by page. A cursor names the entry after which a page begins, so pages fit together
//! though entries come and go between them.

use serde_json::{Value, json};

/// An entry of a list, with its place in the list's order.
pub(super) struct ConnectionEntry {
    /// What the list is ordered by, and what tells equals apart.
    pub(super) sort_key: (i64, i64),
    /// The entry.
    pub(super) node: Value,
}

/// A connection: a page of the entries, which are in order already.
pub(super) fn connection(
    entries: &[ConnectionEntry],
    first: usize,
    after: Option<&str>,
    descending: bool,
) -> Result<Value, String> {
    let after = after.map(parse).transpose()?;
    let is_after = |entry: &&ConnectionEntry| {
        after.is_none_or(|after| if descending { entry.sort_key < after } else { entry.sort_key > after })
    };
    let rest: Vec<&ConnectionEntry> = entries.iter().filter(is_after).collect();
    let page = &rest[..rest.len().min(first)];
    Ok(json!({
        "totalCount": entries.len(),
        "pageInfo": {
            "hasNextPage": rest.len() > page.len(),
            "endCursor": page.last().map(|entry| format!("after:{}:{}", entry.sort_key.0, entry.sort_key.1)),
        },
        "nodes": page.iter().map(|entry| entry.node.clone()).collect::<Vec<_>>(),
    }))
}

/// Entries in the order they are to be listed in.
pub(super) fn sorted(mut entries: Vec<ConnectionEntry>, descending: bool) -> Vec<ConnectionEntry> {
    entries.sort_by_key(|entry| entry.sort_key);
    if descending {
        entries.reverse();
    }
    entries
}

fn parse(cursor: &str) -> Result<(i64, i64), String> {
    let parts = cursor.strip_prefix("after:").and_then(|rest| rest.split_once(':'));
    parts
        .and_then(|(a, b)| Some((a.parse().ok()?, b.parse().ok()?)))
        .ok_or_else(|| format!("`{cursor}` does not appear to be a valid cursor."))
}

/// How a field of a document orders its list: by what, and whether the last comes first.
pub(super) fn order_by(document: &str, field: &str) -> Option<(String, bool)> {
    let arguments = arguments(document, field)?;
    let clause = arguments.split_once("orderBy:")?.1.split_once('}')?.0;
    let value = |name: &str| {
        let rest = clause.split_once(name)?.1.trim_start_matches(':').trim_start();
        rest.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').next().map(str::to_owned)
    };
    Some((value("field")?, value("direction")? == "DESC"))
}

/// How many entries a field of a document asks for, where it says so by itself.
pub(super) fn requested_page_size(document: &str, field: &str) -> Option<usize> {
    let value = arguments(document, field)?.split_once("first:")?.1.trim_start();
    value.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

/// The text between the parentheses behind a field.
fn arguments<'a>(document: &'a str, field: &str) -> Option<&'a str> {
    document.split_once(&format!(" {field}("))?.1.split_once(')').map(|(arguments, _)| arguments)
}
