//! `/api/v1/log/stream`: new rows of the audit log as server-sent events.
//!
//! An answer ends after [`MAX_POLLS`] looks, so that a revoked token stops reading, and a forgotten connection ends.
//! Clients reconnect with the id of the last event, which is a cursor, and so miss nothing. On a host that sends only
//! complete answers, as Lambda does, an answer ends after one look.

use std::collections::{HashSet, VecDeque};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures::stream;
use gam_access::{LogFilter, Principal};
use gam_query::{QueryError, QueryPorts};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::bodies::AuditLogRow;
use super::cursor::LogCursor;
use super::{HostLog, VisibleLog, end_of, read_after, read_tail, visible_logs};
use crate::error::ApiError;
use crate::params::{AuditLogParams, Validated};
use crate::router::LogPorts;

/// Pause between two looks for new rows.
const POLL_PAUSE: Duration = Duration::from_secs(1);
/// Number of looks of one answer.
const MAX_POLLS: usize = 60;
/// How long clients wait before they reconnect to a host that sends only complete answers.
const RECONNECT_AFTER: Duration = Duration::from_secs(5);
/// Pause between comments, below the time after which proxies close idle connections.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// Number of answers at the same time.
const MAX_CONCURRENT_STREAMS: usize = 32;
/// The header with the id of the last event that the client has.
const LAST_EVENT_ID: &str = "last-event-id";

/// The right to have an answer at the same time as others.
#[derive(Clone)]
pub(crate) struct StreamPermits(Arc<Semaphore>);

impl Default for StreamPermits {
    fn default() -> Self {
        StreamPermits(Arc::new(Semaphore::new(MAX_CONCURRENT_STREAMS)))
    }
}

/// An answer in progress.
struct LogStream {
    ports: LogPorts,
    logs: Vec<VisibleLog>,
    cursor: LogCursor,
    limit: usize,
    filter: LogFilter,
    has_tail: bool,
    /// The rows that this answer has sent and that no segment had.
    sent: HashSet<(String, String)>,
    waiting: VecDeque<Event>,
    polls: usize,
    max_polls: usize,
    /// Whether there are more rows than the last look returned.
    is_behind: bool,
    _permit: OwnedSemaphorePermit,
}

pub(super) async fn handle(
    HostLog(log): HostLog,
    State(ports): State<QueryPorts>,
    Extension(principal): Extension<Principal>,
    Extension(StreamPermits(permits)): Extension<StreamPermits>,
    headers: HeaderMap,
    Validated(params): Validated<AuditLogParams>,
) -> Result<Response, ApiError> {
    let permit = permits.try_acquire_owned().map_err(|_| ApiError::overloaded())?;
    let logs = visible_logs(&ports, &*log.log, &principal, params.org.as_deref()).await?;
    let last = headers.get(LAST_EVENT_ID).and_then(|value| value.to_str().ok()).filter(|id| !id.is_empty());
    let cursor = match last.or(params.after.as_deref()) {
        Some(text) => LogCursor::parse(text)?,
        None => end_of(&log, &logs).await?,
    };
    log.readings.record(&principal).await.map_err(QueryError::Store)?;
    // The first event is sent at once, so that proxies pass the headers on. In a complete answer it has the position, so
    // that a client without rows goes on from here.
    let (max_polls, first) = match log.is_streaming {
        true => (MAX_POLLS, Event::default().comment("audit log")),
        false => (1, Event::default().comment("audit log").id(cursor.to_string()).retry(RECONNECT_AFTER)),
    };
    let state = LogStream {
        ports: log,
        logs,
        cursor,
        limit: params.limit,
        filter: LogFilter { kind: params.kind },
        has_tail: params.tail,
        sent: HashSet::new(),
        waiting: VecDeque::from([first]),
        polls: 0,
        max_polls,
        is_behind: false,
        _permit: permit,
    };
    let events = stream::unfold(state, async |mut state| {
        let event = state.next().await?;
        Some((Ok::<_, Infallible>(event), state))
    });
    Ok(Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)).into_response())
}

impl LogStream {
    /// Returns the next event, or `None` at the end of the answer.
    async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.waiting.pop_front() {
                return Some(event);
            }
            if self.polls == self.max_polls {
                return None;
            }
            if self.polls > 0 && !self.is_behind {
                tokio::time::sleep(POLL_PAUSE).await;
            }
            self.polls += 1;
            if let Err(error) = self.poll().await {
                let cause = error.cause().unwrap_or_else(|| error.detail().to_owned());
                tracing::warn!("cannot read the audit log for a stream: {cause}");
                return None;
            }
        }
    }

    /// Looks for new rows.
    async fn poll(&mut self) -> Result<(), ApiError> {
        let tail = match self.has_tail {
            true => read_tail(&self.ports, &self.logs, self.limit, &self.filter).await?,
            false => Vec::new(),
        };
        let read = read_after(&self.ports, &self.logs, &self.cursor, self.limit, &self.filter).await?;
        for row in &read.rows {
            // Rows come log by log, so the id of each is the cursor directly after it.
            if let Some(position) = row.position() {
                self.cursor.advance(row.log(), position);
            }
            self.send("row", row, Some(self.cursor.to_string()));
        }
        self.cursor = read.next;
        self.is_behind = read.has_more;
        for row in tail {
            let (event_id, commit_id) = row.identity();
            let identity = (event_id.to_owned(), commit_id.to_owned());
            if !read.rows.iter().any(|other| row.is_same(other)) && self.sent.insert(identity) {
                self.send("tail", &row, None);
            }
        }
        Ok(())
    }

    fn send(&mut self, name: &str, row: &AuditLogRow, id: Option<String>) {
        let Ok(event) = Event::default().event(name).json_data(row) else { return };
        self.waiting.push_back(match id {
            Some(id) => event.id(id),
            None => event,
        });
    }
}
