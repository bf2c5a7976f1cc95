//! `/orgs/{org}/tasks`: the tasks of workers, by state and age.

use axum::Extension;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use gam_access::Principal;
use gam_query::{QueryPorts, StoredOrgName};
use gam_work::tasks::{
    Cancellation, LiveClaim, Task, TaskFilter, TaskPage, TaskState, TaskSummary, Unassignable,
};
use maud::{Markup, html};

use super::format;
use super::shell::{Page, Section, render, respond};
use super::tables::{Head, list_panel};
use super::view::View;
use super::words::{Words, fill};
use crate::error::ApiError;
use crate::params::SubjectPath;
use crate::router::WorkPorts;

/// The most tasks that are read.
const MAX_READ_TASKS: usize = 1_000;
/// How often the script looks for changes.
const POLL_SECONDS: u32 = 5;
/// The states in the order of the page: what somebody may have to do first.
const STATES: [TaskState; 5] =
    [TaskState::Claimed, TaskState::Failed, TaskState::Ready, TaskState::Waiting, TaskState::Completed];

pub(super) async fn handle(
    State(ports): State<QueryPorts>,
    work: Option<Extension<WorkPorts>>,
    Extension(principal): Extension<Principal>,
    path: SubjectPath,
    view: View,
) -> Result<Response, ApiError> {
    let StoredOrgName { key, display: org } = gam_query::find_org(&ports, &path.org).await?;
    let listed = match work {
        Some(Extension(work)) => {
            let is_visible = |task: &Task| task.is_in(&principal.scope);
            let filter = TaskFilter::default();
            let mut page = work.tasks.list(&key, &filter, is_visible, MAX_READ_TASKS, None).await?;
            page.tasks.sort_by_key(|summary| summary.task.changed_at);
            Some(page)
        }
        None => None,
    };
    render(move || page(&view, &org, listed.as_ref())).await
}

/// `listed` is `None` if this server has no tasks.
fn page(view: &View, org: &str, listed: Option<&TaskPage>) -> Response {
    let words = view.words;
    let tasks = listed.map_or(&[][..], |page| &page.tasks);
    let note = match listed {
        None => Some(words.store_read_only.to_owned()),
        Some(page) if page.next.is_some() => {
            Some(fill(words.more_tasks, &[("n", &format::count(tasks.len() as u64))]))
        }
        Some(_) if tasks.is_empty() => Some(words.no_tasks.to_owned()),
        Some(_) => None,
    };
    let body = html! {
        h1 { (words.tasks) }
        div.panels data-live=(POLL_SECONDS) {
            @if let Some(note) = note { p.note { (note) } }
            (workers(view, tasks))
            @for state in STATES {
                @let of_state: Vec<&TaskSummary> = tasks.iter().filter(|summary| summary.state == state).collect();
                @if !of_state.is_empty() { (section(view, org, state, &of_state)) }
            }
        }
    };
    let title = format!("{} · {org}", words.tasks);
    respond(view, StatusCode::OK, Page { title: &title, org: Some((org, Section::Tasks)), body })
}

/// Lists the workers that hold a claim, those whose lease ends first at the top.
fn workers(view: &View, tasks: &[TaskSummary]) -> Markup {
    let words = view.words;
    let mut claims: Vec<(&LiveClaim, &TaskSummary)> =
        tasks.iter().filter_map(|summary| Some((summary.task.live_claim()?, summary))).collect();
    claims.sort_by_key(|(claim, _)| (claim.lease_until, &claim.worker));
    let heads = [
        Head::Text(words.task_worker),
        Head::Text(words.worker_token),
        Head::Text(words.task_issue),
        Head::Text(words.worker_state),
        Head::Number(words.worker_claimed),
        Head::Number(words.worker_lease),
    ];
    let rows = claims.iter().map(|(claim, summary)| worker_row(view, claim, summary));
    html! { @if !claims.is_empty() { (list_panel(view, (words.workers, ""), &heads, rows)) } }
}

fn worker_row(view: &View, claim: &LiveClaim, summary: &TaskSummary) -> Markup {
    let (words, task) = (view.words, &summary.task);
    let state = match (claim.cancelled, summary.is_lease_expired) {
        (Some(reason), _) => fill(words.task_cancelled, &[("x", cancellation_text(words, reason))]),
        (None, true) => words.worker_silent.to_owned(),
        (None, false) => words.worker_works.to_owned(),
    };
    html! {
        tr {
            th scope="row" { (claim.worker) }
            td { (claim.principal) }
            td { (task.repo) "#" (task.number) " " span.note { (task.title) } }
            td { (state) }
            td.number { (format::time(claim.claimed_at, view.language)) }
            td.number { (format::time(claim.lease_until, view.language)) }
        }
    }
}

fn section(view: &View, org: &str, state: TaskState, tasks: &[&TaskSummary]) -> Markup {
    let words = view.words;
    let heads = [
        Head::Text(words.task_issue),
        Head::Text(words.task_worker),
        Head::Text(words.task_note),
        Head::Number(words.task_failures),
        Head::Number(words.task_since),
    ];
    let rows = tasks.iter().map(|summary| row(view, org, summary));
    list_panel(view, (state_title(words, state), ""), &heads, rows)
}

fn row(view: &View, org: &str, summary: &TaskSummary) -> Markup {
    let task = &summary.task;
    let ended_worker = task.last.as_ref().map(|last| last.worker.as_str());
    let worker = task.live_claim().map(|claim| claim.worker.as_str()).or(ended_worker);
    html! {
        tr {
            th scope="row" { (task.repo) "#" (task.number) " " span.note { (task.title) } }
            td { (worker.unwrap_or(format::NONE)) }
            td {
                (note(view, summary))
                @if let Some(claim) = task.claim_id().or_else(|| task.last_claim_id()) {
                    " " a href=(view.link(&["orgs", org, "tasks", &claim.to_string()])) { (view.words.task_output) }
                }
            }
            td.number { (format::count(task.failures.into())) }
            td.number { (format::time(task.changed_at, view.language)) }
        }
    }
}

/// Returns what there is to know of a task in its state: until when its lease lasts, why it waits, what was made.
fn note(view: &View, summary: &TaskSummary) -> String {
    let (words, task) = (view.words, &summary.task);
    if let Some(claim) = task.live_claim() {
        let until = format::time(claim.lease_until, view.language);
        return match (claim.cancelled, summary.is_lease_expired) {
            (Some(reason), _) => fill(words.task_cancelled, &[("x", cancellation_text(words, reason))]),
            (None, true) => fill(words.task_expired, &[("t", &until)]),
            (None, false) => fill(words.task_lease, &[("t", &until)]),
        };
    }
    let result = task.last.as_ref().and_then(|last| last.result.clone().or_else(|| last.note.clone()));
    match task.waits_for {
        Some(reason) if summary.state == TaskState::Waiting => reason_text(words, reason).to_owned(),
        _ => result.unwrap_or_else(|| format::NONE.to_owned()),
    }
}

/// Says why no worker can get a task.
fn reason_text(words: &Words, reason: Unassignable) -> &'static str {
    match reason {
        Unassignable::Gone => words.reason_gone,
        Unassignable::Closed => words.reason_closed,
        Unassignable::Unlabelled => words.reason_unlabelled,
        Unassignable::Excluded => words.reason_excluded,
        Unassignable::Edited => words.reason_edited,
        Unassignable::Locked => words.reason_locked,
        Unassignable::Blocked => words.reason_blocked,
        Unassignable::Unfetched => words.reason_unfetched,
        Unassignable::HasPullRequest => words.reason_has_pull_request,
        Unassignable::TooManyAttempts => words.reason_too_many_attempts,
        Unassignable::Completed => words.reason_completed,
    }
}

/// Says why a claim was cancelled.
fn cancellation_text(words: &Words, reason: Cancellation) -> &'static str {
    match reason {
        Cancellation::Closed => words.reason_closed,
        Cancellation::Unlabelled => words.reason_unlabelled,
        Cancellation::Edited => words.reason_edited,
        Cancellation::Gone => words.reason_gone,
        Cancellation::TokenRevoked => words.reason_token_revoked,
        Cancellation::Suspended => words.reason_suspended,
    }
}

fn state_title(words: &Words, state: TaskState) -> &'static str {
    match state {
        TaskState::Ready => words.tasks_ready,
        TaskState::Waiting => words.tasks_waiting,
        TaskState::Claimed => words.tasks_claimed,
        TaskState::Completed => words.tasks_completed,
        TaskState::Failed => words.tasks_failed,
    }
}
