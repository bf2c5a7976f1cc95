//! `/log`: the newest rows of the audit log. With script, the page shows new ones as they come.

use axum::Extension;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use gam_access::{LogFilter, Principal};
use gam_model::audit::NO_ORG_LOG;
use gam_model::{AuditEntry, LogPosition};
use gam_query::{QueryError, QueryPorts};
use maud::{Markup, html};

use super::format;
use super::request::LogSelection;
use super::shell::{Page, render, respond};
use super::tables::{Head, scrolled_table};
use super::view::View;
use crate::error::ApiError;
use crate::router::LogPorts;
use crate::routes::log::{HostLog, VisibleLog, visible_logs};

/// The path of the page.
pub(crate) const LOG_PATH: &str = "/log";

/// The most rows on the page.
const MAX_ROWS: usize = 100;
/// How often the script looks for new rows.
const POLL_SECONDS: u32 = 5;
/// The most characters of a parameter.
const MAX_TEXT_CHARS: usize = 100;

/// A row of the page.
struct ShownRow {
    /// The name of the organization; empty for rows of none.
    org: String,
    entry: AuditEntry,
    /// `None` if no segment has it yet.
    position: Option<LogPosition>,
}

/// All that the page shows.
struct LogContent {
    /// The names of the logs to choose from.
    orgs: Vec<String>,
    /// The newest first.
    rows: Vec<ShownRow>,
    /// Where older rows begin, if there may be some.
    older: Option<LogPosition>,
}

pub(super) async fn handle(
    HostLog(ports): HostLog,
    State(query_ports): State<QueryPorts>,
    Extension(principal): Extension<Principal>,
    view: View,
) -> Result<Response, ApiError> {
    let selection = &view.params.log;
    let all = visible_logs(&query_ports, &*ports.log, &principal, None).await?;
    let orgs = all.iter().map(|log| log.display_name().to_owned()).collect();
    let logs = match &selection.org {
        Some(org) => visible_logs(&query_ports, &*ports.log, &principal, Some(org)).await?,
        None => all,
    };
    ports.readings.record(&principal).await.map_err(QueryError::Store)?;
    let (rows, older) = read(&ports, &logs, selection).await?;
    let content = LogContent { orgs, rows, older };
    render(move || page(&view, &content)).await
}

/// Reads the newest rows, the newest first, and where older ones begin.
async fn read(
    ports: &LogPorts,
    logs: &[VisibleLog],
    selection: &LogSelection,
) -> Result<(Vec<ShownRow>, Option<LogPosition>), ApiError> {
    let filter = LogFilter { kind: selection.kind.clone() };
    // A position belongs to one log.
    let before = selection.before.filter(|_| logs.len() == 1);
    let (mut rows, mut first) = (Vec::new(), None);
    for log in logs {
        let key = log.key.as_deref();
        let row = |entry, position| ShownRow { org: log.org_name().to_owned(), entry, position };
        let tail = match before {
            Some(_) => Vec::new(),
            None => ports.log.undrained(key, MAX_ROWS, &filter).await?,
        };
        let latest = ports.log.latest(key, before, MAX_ROWS, &filter).await?;
        first = latest.first().map(|logged| logged.position).filter(|_| latest.len() == MAX_ROWS);
        let is_logged = |entry: &AuditEntry| {
            latest.iter().any(|logged| {
                (&logged.entry.event_id, &logged.entry.commit_id) == (&entry.event_id, &entry.commit_id)
            })
        };
        let tail: Vec<AuditEntry> = tail.into_iter().filter(|entry| !is_logged(entry)).collect();
        rows.extend(tail.into_iter().map(|entry| (log, row(entry, None))));
        rows.extend(latest.into_iter().map(|logged| (log, row(logged.entry, Some(logged.position)))));
    }
    rows.retain(|(log, row)| log.shows(&row.entry));
    // Rows of one time stay in the order of the log, the newest first.
    rows.reverse();
    rows.sort_by_key(|(_, row)| std::cmp::Reverse(row.entry.occurred_at));
    if before.is_none() {
        rows.truncate(MAX_ROWS);
    }
    let rows = rows.into_iter().map(|(_, row)| row).collect();
    Ok((rows, first.filter(|_| logs.len() == 1)))
}

fn page(view: &View, content: &LogContent) -> Response {
    let words = view.words;
    // Older rows do not change.
    let live = view.params.log.before.is_none().then_some(POLL_SECONDS);
    let body = html! {
        h1 { (words.audit_log) }
        (filters(view, content))
        div data-live=[live] {
            @if content.rows.is_empty() { p.note { (words.log_empty) } } @else { (table(view, &content.rows)) }
        }
        @if let Some(older) = content.older {
            nav.pages aria-label=(words.pages) {
                a href=(view.here(|params| params.log.before = Some(older))) { (words.log_older) }
            }
        }
    };
    respond(view, StatusCode::OK, Page { title: words.audit_log, org: None, body })
}

fn filters(view: &View, content: &LogContent) -> Markup {
    let words = view.words;
    html! {
        form.search method="get" role="search" {
            @for (name, value) in view.params.carried().pairs() { input type="hidden" name=(name) value=(value); }
            label { (words.log_org) " "
                select name="org" {
                    option value="" { (words.log_all) }
                    @for org in &content.orgs {
                        option value=(org) selected[view.params.log.org.as_ref() == Some(org)] {
                            @if org == NO_ORG_LOG { (words.log_no_org) } @else { (org) }
                        }
                    }
                }
            }
            " "
            label { (words.log_kind) " "
                input name="kind" maxlength=(MAX_TEXT_CHARS) value=(view.params.log.kind.as_deref().unwrap_or_default());
            }
            " " button { (words.find) }
        }
    }
}

fn table(view: &View, rows: &[ShownRow]) -> Markup {
    let words = view.words;
    let heads = [
        words.log_time,
        words.log_kind,
        words.log_subject,
        words.log_principal,
        words.log_outcome,
        words.log_segment,
    ];
    let rows = html! { @for row in rows { (row_of(view, row)) } };
    scrolled_table(words.audit_log, false, &heads.map(Head::Text), rows)
}

fn row_of(view: &View, row: &ShownRow) -> Markup {
    let entry = &row.entry;
    let place: Vec<&str> = [Some(row.org.as_str()), entry.repo.as_deref()]
        .into_iter()
        .flatten()
        .filter(|name| !name.is_empty())
        .collect();
    html! {
        tr {
            th scope="row" {
                time datetime=(entry.occurred_at.to_rfc3339()) { (format::time(entry.occurred_at, view.language)) }
            }
            td { (entry.kind) @if let Some(count) = entry.count { " × " (format::count(count.unsigned_abs())) } }
            td { (entry.subject) @if !place.is_empty() { " " span.note { (place.join("/")) } } }
            td { (entry.principal) }
            td { (entry.outcome) }
            td {
                @match row.position {
                    Some(position) => (position),
                    None => span.note { (view.words.log_undrained) }
                }
            }
        }
    }
}
