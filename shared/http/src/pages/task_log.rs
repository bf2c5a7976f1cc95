//! `/orgs/{org}/tasks/{claim_id}`: what the command of a worker printed, as it happens.

use axum::Extension;
use axum::extract::State;
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
use crate::params::PathParams;
use crate::router::HostWork;

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

pub(super) async fn handle(
    State(ports): State<QueryPorts>,
    HostWork(work): HostWork,
    Extension(principal): Extension<Principal>,
    PathParams(path): PathParams<ClaimPath>,
    view: View,
) -> Result<Response, ApiError> {
    let StoredOrgName { key, display: org } = gam_query::find_org(&ports, &path.org).await?;
    let unknown = || ApiError::not_found("there is no such claim: open the page of tasks again");
    let id = ClaimId::parse(&path.claim_id).filter(|id| id.org == key).ok_or_else(unknown)?;
    let task = work.tasks.task_of(&id).await?;
    let task = task.filter(|task| task.is_in(&principal.scope)).ok_or_else(unknown)?;
    let mut log = work.tasks.read_log(&id, view.params.from).await?;
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
    // A log that has ended does not change. Pages that are open learn it from their last look, which has all of its lines.
    let live = if is_live && log.next.is_none() { POLL_SECONDS } else { 0 };
    let body = html! {
        h1 { (title) " " span.note { (task.title) } }
        p { a href=(view.link(&["orgs", org, "tasks"])) { (words.tasks) } }
        div data-live=(live) {
            @if log.lines.is_empty() { p.note { (words.task_no_output) } } @else {
                pre.log tabindex="0" role="log" aria-label=(words.task_output) {
                    @for line in &log.lines { (line) "\n" }
                }
            }
            @if log.is_cut { p.note { (words.task_output_cut) } }
            @if let Some(next) = log.next {
                nav.pages aria-label=(words.pages) { a href=(view.here(|params| params.from = next)) { (words.task_output_more) } }
            }
        }
    };
    let title = format!("{title} · {org}");
    respond(view, StatusCode::OK, Page { title: &title, org: Some((org, Section::Tasks)), body })
}
