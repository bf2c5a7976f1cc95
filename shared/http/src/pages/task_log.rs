//! `/orgs/{org}/tasks/{claim_id}`: what the command of a worker printed, as it happens.

use axum::Extension;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use gam_access::Principal;
use gam_query::{QueryPorts, StoredOrgName};
use gam_work::tasks::{ClaimId, LogPage, Task};
use maud::html;
use serde::Deserialize;

use super::shell::{Page, Section, render, respond};
use super::view::View;
use crate::error::ApiError;
use crate::router::WorkPorts;

/// How often the script looks for new lines.
const POLL_SECONDS: u32 = 2;
/// The most pages of a log that one page shows. A long log has links to its later parts.
const MAX_LOG_PAGES: usize = 5;

/// Which claim the page is about.
#[derive(Deserialize)]
pub(super) struct ClaimPath {
    org: String,
    claim_id: String,
}

/// Where the page begins.
#[derive(Deserialize)]
pub(super) struct FromParam {
    #[serde(default)]
    from: u64,
}

pub(super) async fn handle(
    State(ports): State<QueryPorts>,
    work: Option<Extension<WorkPorts>>,
    Extension(principal): Extension<Principal>,
    Path(path): Path<ClaimPath>,
    Query(FromParam { from }): Query<FromParam>,
    view: View,
) -> Result<Response, ApiError> {
    let StoredOrgName { key, display: org } = gam_query::find_org(&ports, &path.org).await?;
    let unknown = || ApiError::not_found("there is no such claim: open the page of tasks again");
    let Some(Extension(work)) = work else { return Err(ApiError::no_tasks()) };
    let id = ClaimId::parse(&path.claim_id).filter(|id| id.org == key).ok_or_else(unknown)?;
    let task = work.tasks.task_of(&id).await?;
    let task =
        task.filter(|task| principal.scope.includes_repo(&task.org, &task.repo)).ok_or_else(unknown)?;
    let mut log = work.tasks.read_log(&id, from).await?;
    for _ in 1..MAX_LOG_PAGES {
        let Some(next) = log.next else { break };
        let more = work.tasks.read_log(&id, next).await?;
        log.lines.extend(more.lines);
        (log.next, log.is_cut) = (more.next, more.is_cut);
    }
    let is_live = task.claim_id().as_ref() == Some(&id);
    render(move || page(&view, &org, &task, &log, is_live)).await
}

fn page(view: &View, org: &str, task: &Task, log: &LogPage, is_live: bool) -> Response {
    let words = view.words;
    let title = format!("{}#{}", task.repo, task.number);
    // A log that has ended does not change.
    let live = (is_live && log.next.is_none()).then_some(POLL_SECONDS);
    let body = html! {
        h1 { (title) " " span.note { (task.title) } }
        p { a href=(view.link(&["orgs", org, "tasks"])) { (words.tasks) } }
        div data-live=[live] {
            @if log.lines.is_empty() { p.note { (words.task_no_output) } } @else {
                pre.log tabindex="0" role="log" aria-label=(words.task_output) {
                    @for line in &log.lines { (line) "\n" }
                }
            }
            @if log.is_cut { p.note { (words.task_output_cut) } }
        }
        @if let Some(next) = log.next {
            nav.pages aria-label=(words.pages) { a href=(format!("?from={next}")) { (words.task_output_more) } }
        }
    };
    let title = format!("{title} · {org}");
    respond(view, StatusCode::OK, Page { title: &title, org: Some((org, Section::Tasks)), body })
}
