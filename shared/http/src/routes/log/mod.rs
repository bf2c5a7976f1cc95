//! `/api/v1/log`: the audit log.

mod bodies;
mod cursor;
mod stream;

use std::collections::BTreeMap;

use axum::extract::{FromRequestParts, State};
use axum::http::request::Parts;
use axum::routing::get;
use axum::{Extension, Json};
use gam_access::{AuditLog, LogFilter, Principal, RouteClass, Scope};
use gam_model::audit::NO_ORG_LOG;
use gam_model::{AuditEntry, LogPosition, OrgRegistry};
use gam_query::{QueryError, QueryPorts};
use utoipa::ToSchema;

pub(crate) use self::bodies::AuditLogPage;
use self::bodies::AuditLogRow;
use self::cursor::LogCursor;
pub(crate) use self::stream::StreamPermits;
use super::{Route, RouteMethod};
use crate::answer::AcceptsJson;
use crate::error::ApiError;
use crate::openapi::{NamedSchema, Operation, ResponseBody, derived, schema_name};
use crate::params::{AuditLogParams, QueryParams, Validated};
use crate::router::LogPorts;

/// The paths of the routes.
pub(super) const PATHS: [&str; 2] = ["/api/v1/log", "/api/v1/log/stream"];

/// How long a client waits before it asks for new rows.
const POLL_AFTER_SECONDS: u64 = 5;

pub(super) fn schemas() -> Vec<NamedSchema> {
    let mut schemas = vec![derived::<AuditLogPage>()];
    AuditLogPage::schemas(&mut schemas);
    schemas
}

pub(super) fn page(path: &'static str) -> Route {
    let operation = Operation {
        parameters: AuditLogParams::accepted(),
        ..Operation::of_json(
            "audit_log",
            "The audit log: who changed what, in the order in which it was written",
            schema_name::AUDIT_LOG_PAGE,
            &[400, 404],
        )
    };
    Route { path, method: RouteMethod::Get, handler: get(handle), operation, class: RouteClass::Audit }
}

pub(super) fn stream(path: &'static str) -> Route {
    let operation = Operation {
        id: "audit_log_stream".to_owned(),
        summary:
            "New rows of the audit log, as server-sent events. The server ends the answer after a minute; \
                  reconnect with `Last-Event-ID`, as browsers do"
                .to_owned(),
        parameters: AuditLogParams::accepted(),
        response: ResponseBody::Rows(&["text/event-stream"]),
        request: None,
        no_content: None,
        error_statuses: &[400, 404],
    };
    let handler = get(stream::handle);
    Route { path, method: RouteMethod::Get, handler, operation, class: RouteClass::Audit }
}

/// Extracts the audit log of the host.
pub(crate) struct HostLog(pub(crate) LogPorts);

impl<S: Sync> FromRequestParts<S> for HostLog {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        parts.extensions.get::<LogPorts>().cloned().map(HostLog).ok_or_else(ApiError::no_log)
    }
}

/// A log that a principal sees.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct VisibleLog {
    /// The storage key of the organization, or `None` for rows of none.
    pub(crate) key: Option<String>,
    /// The name of the organization, as answers show it.
    name: Option<String>,
    scope: Scope,
}

impl VisibleLog {
    /// Returns the name of the log in cursors.
    pub(crate) fn log(&self) -> &str {
        self.key.as_deref().unwrap_or(NO_ORG_LOG)
    }

    /// Returns the name of the log for people: that of the organization, or `_`.
    pub(crate) fn display_name(&self) -> &str {
        self.name.as_deref().unwrap_or(NO_ORG_LOG)
    }

    /// Returns the name of the organization, or an empty text for rows of none.
    pub(crate) fn org_name(&self) -> &str {
        self.name.as_deref().unwrap_or_default()
    }

    /// Returns whether the principal sees a row of the log.
    pub(crate) fn shows(&self, entry: &AuditEntry) -> bool {
        match (&self.key, &entry.repo) {
            (None, _) => true,
            (Some(key), Some(repo)) => self.scope.includes_repo(key, repo),
            (Some(_), None) => self.scope.includes_complete_orgs(),
        }
    }
}

/// Returns the logs that the principal sees: the requested one, or all. Rows of no organization are for principals whose
/// scope is everything.
///
/// # Errors
/// 404 if the requested one is not visible.
pub(crate) async fn visible_logs(
    ports: &QueryPorts,
    log: &dyn AuditLog,
    principal: &Principal,
    requested: Option<&str>,
) -> Result<Vec<VisibleLog>, ApiError> {
    let registry = ports.registry.registry().await.map_err(QueryError::Registry)?;
    let scope = &principal.scope;
    let of_org = |(key, name)| VisibleLog { key: Some(key), name: Some(name), scope: scope.clone() };
    let of_none = VisibleLog { key: None, name: None, scope: scope.clone() };
    match requested {
        Some(NO_ORG_LOG) if *scope == Scope::All => Ok(vec![of_none]),
        Some(org) => {
            let key = registry.key_of(org);
            let name =
                known_orgs(ports, log, &registry).await?.remove(&key).filter(|_| scope.includes_org(&key));
            let name = name.ok_or_else(|| QueryError::unknown_org(org))?;
            Ok(vec![of_org((key, name))])
        }
        None => {
            let none = (*scope == Scope::All).then_some(of_none);
            let orgs = known_orgs(ports, log, &registry).await?;
            let orgs = orgs.into_iter().filter(|(key, _)| scope.includes_org(key)).map(of_org);
            Ok(none.into_iter().chain(orgs).collect())
        }
    }
}

/// Returns the names of all organizations by their storage keys.
async fn known_orgs(
    ports: &QueryPorts,
    log: &dyn AuditLog,
    registry: &OrgRegistry,
) -> Result<BTreeMap<String, String>, ApiError> {
    let orgs = ports.names.orgs().await.map_err(QueryError::Store)?;
    let mut known: BTreeMap<String, String> =
        registry.keys().map(|key| (key.to_owned(), registry.name_of_stored(key).to_owned())).collect();
    for org in &orgs {
        known.entry(registry.key_of(org)).or_insert_with(|| registry.name_of_stored(org).to_owned());
    }
    for key in log.uncollected_orgs().await? {
        known.entry(key.clone()).or_insert(key);
    }
    Ok(known)
}

/// What is read of the logs at once.
pub(crate) struct LogRead {
    /// The rows of segments, log by log.
    rows: Vec<AuditLogRow>,
    /// Where the next read begins.
    next: LogCursor,
    has_more: bool,
}

/// Reads rows of segments after a cursor, at most `limit`.
pub(crate) async fn read_after(
    ports: &LogPorts,
    logs: &[VisibleLog],
    cursor: &LogCursor,
    limit: usize,
    filter: &LogFilter,
) -> Result<LogRead, ApiError> {
    let (mut rows, mut positions, mut has_more) = (Vec::new(), BTreeMap::new(), false);
    for log in logs {
        let after = cursor.position(log.log());
        let left = limit - rows.len();
        // A log that does not fit on the page any more comes on the next one.
        let next = if left == 0 {
            has_more = true;
            after
        } else {
            let page = ports.log.page(log.key.as_deref(), after, left, filter).await?;
            has_more |= page.has_more;
            let shown = page.entries.into_iter().filter(|logged| log.shows(&logged.entry));
            rows.extend(shown.map(|logged| AuditLogRow::new(logged.entry, log, Some(logged.position))));
            page.next
        };
        positions.insert(log.log().to_owned(), next);
    }
    Ok(LogRead { rows, next: LogCursor::new(positions), has_more })
}

/// Reads the newest rows that no segment has yet, at most `limit`, in order of time.
async fn read_tail(
    ports: &LogPorts,
    logs: &[VisibleLog],
    limit: usize,
    filter: &LogFilter,
) -> Result<Vec<AuditLogRow>, ApiError> {
    let mut rows = Vec::new();
    for log in logs {
        let entries = ports.log.undrained(log.key.as_deref(), limit, filter).await?;
        let shown = entries.into_iter().filter(|entry| log.shows(entry));
        rows.extend(shown.map(|entry| AuditLogRow::new(entry, log, None)));
    }
    rows.sort_by_key(AuditLogRow::occurred_at);
    Ok(rows.split_off(rows.len().saturating_sub(limit)))
}

async fn handle(
    HostLog(log): HostLog,
    State(ports): State<QueryPorts>,
    Extension(principal): Extension<Principal>,
    _: AcceptsJson,
    Validated(params): Validated<AuditLogParams>,
) -> Result<Json<AuditLogPage>, ApiError> {
    let logs = visible_logs(&ports, &*log.log, &principal, params.org.as_deref()).await?;
    let cursor = params.after.as_deref().map(LogCursor::parse).transpose()?.unwrap_or_default();
    log.readings.record(&principal).await.map_err(QueryError::Store)?;
    let filter = LogFilter { kind: params.kind };
    // The tail first: what is drained in between comes with the segments, and not never.
    let tail = match params.tail {
        true => read_tail(&log, &logs, params.limit, &filter).await?,
        false => Vec::new(),
    };
    let LogRead { mut rows, next, has_more } =
        read_after(&log, &logs, &cursor, params.limit, &filter).await?;
    if !has_more {
        let unknown = tail.into_iter().filter(|row| !rows.iter().any(|other| row.is_same(other)));
        let unknown: Vec<AuditLogRow> = unknown.collect();
        rows.extend(unknown);
    }
    Ok(Json(AuditLogPage { rows, next: next.to_string(), has_more, poll_after_seconds: POLL_AFTER_SECONDS }))
}

/// Returns the newest position of each log.
async fn end_of(ports: &LogPorts, logs: &[VisibleLog]) -> Result<LogCursor, ApiError> {
    let mut positions = BTreeMap::new();
    for log in logs {
        let last = ports.log.latest(log.key.as_deref(), None, 1, &LogFilter::default()).await?;
        let position = last.last().map_or(LogPosition::START, |logged| logged.position);
        positions.insert(log.log().to_owned(), position);
    }
    Ok(LogCursor::new(positions))
}
