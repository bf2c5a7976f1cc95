//! `/orgs/{org}/actions`: the actions on GitHub, those that wait for approvals first, with buttons that post.

use axum::Extension;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use gam_access::{Principal, RouteClass, TokenSecret};
use gam_query::{QueryPorts, StoredOrgName};
use gam_work::actions::{
    Action, ActionFilter, ActionId, ActionRequest, ActionState, Decision, NewAction, Phase, RepositoryName,
};
use maud::{Markup, html};
use serde::Deserialize;

use super::format;
use super::shell::{Page, Section, render, respond};
use super::view::View;
use super::words::{Words, fill};
use crate::error::ApiError;
use crate::params::{PageForm, PathParams, SubjectPath};
use crate::router::{HostWork, WorkPorts};

/// The most actions that a page shows.
const MAX_ACTIONS: usize = 200;
/// How often the script looks for changes.
const POLL_SECONDS: u32 = 5;
/// The states in the order of the page: what somebody may have to do first.
const STATES: [ActionState; 8] = [
    ActionState::Waiting,
    ActionState::Unknown,
    ActionState::Checking,
    ActionState::Attempting,
    ActionState::Ready,
    ActionState::Requested,
    ActionState::Failed,
    ActionState::Succeeded,
];

/// Which action a form decides about.
#[derive(Deserialize)]
pub(super) struct DecisionPath {
    org: String,
    action_id: String,
}

/// What the form sends.
#[derive(Deserialize)]
pub(super) struct DecisionForm {
    hash: String,
    #[serde(flatten)]
    choice: DecisionChoice,
}

/// What the buttons of [`decision_buttons`] send.
#[derive(Deserialize)]
#[serde(tag = "decision", rename_all = "lowercase")]
pub(super) enum DecisionChoice {
    Approve,
    Reject,
}

impl From<DecisionChoice> for Decision {
    fn from(choice: DecisionChoice) -> Self {
        match choice {
            DecisionChoice::Approve => Decision::Approve,
            DecisionChoice::Reject => Decision::Reject { reason: None },
        }
    }
}

pub(super) async fn handle(
    State(ports): State<QueryPorts>,
    work: Option<Extension<WorkPorts>>,
    Extension(principal): Extension<Principal>,
    path: SubjectPath,
    view: View,
) -> Result<Response, ApiError> {
    let StoredOrgName { key, display: org } = gam_query::find_org(&ports, &path.org).await?;
    let mut actions = Vec::new();
    if let Some(Extension(work)) = work {
        let is_visible = |action: &Action| principal.scope.includes_repo(&action.id.org, &action.repo.name);
        let page = work.actions.list(&key, &ActionFilter::default(), is_visible, MAX_ACTIONS, None).await?;
        actions = page.actions;
    }
    render(move || page(&view, &org, &actions, &principal)).await
}

/// Takes the form of an action. A link cannot decide: links are followed by programs that look for viruses or previews.
pub(super) async fn decide(
    HostWork(work): HostWork,
    Extension(principal): Extension<Principal>,
    PathParams(path): PathParams<DecisionPath>,
    view: View,
    PageForm(DecisionForm { hash, choice }): PageForm<DecisionForm>,
) -> Result<Response, ApiError> {
    let id = ActionId::parse(&path.action_id);
    let id =
        id.ok_or_else(|| ApiError::not_found("there is no such action: open the page of actions again"))?;
    work.actions.decide(&principal, &id, &hash, &choice.into()).await?;
    tracing::debug!(action = %id, "decided on the page");
    Ok(view.go_to(&["orgs", &path.org, "actions"]))
}

/// What the form that requests a merge sends.
#[derive(Deserialize)]
pub(super) struct MergeForm {
    key: String,
    repository: String,
    number: i64,
}

/// Takes the form that requests a merge in the organization of the page.
pub(super) async fn request_merge(
    State(ports): State<QueryPorts>,
    HostWork(work): HostWork,
    Extension(principal): Extension<Principal>,
    path: SubjectPath,
    view: View,
    PageForm(form): PageForm<MergeForm>,
) -> Result<Response, ApiError> {
    let StoredOrgName { key: org, display } = gam_query::find_org(&ports, &path.org).await?;
    let name = form.repository.trim();
    let repo = RepositoryName::parse(&format!("{display}/{name}"), None)
        .filter(|repo| principal.scope.includes_repo(&org, &repo.name))
        .ok_or_else(|| ApiError::invalid("invalid repository: expected the name without the owner"))?;
    let request = ActionRequest::merge_of(form.number);
    let new = NewAction { org, repo, request, key: Some(form.key) };
    let submitted = work.actions.submit(&principal, &new).await?;
    tracing::debug!(action = %submitted.action.id, "requested on the page");
    Ok(view.go_to(&["orgs", &display, "actions"]))
}

fn page(view: &View, org: &str, actions: &[Action], principal: &Principal) -> Response {
    let words = view.words;
    let body = html! {
        h1 { (words.actions) }
        @if principal.may(RouteClass::Act) { (merge_form(view, org)) }
        div.panels data-live=(POLL_SECONDS) {
            @if actions.is_empty() { p.note { (words.no_actions) } }
            @for state in STATES {
                @let of_state: Vec<&Action> = actions.iter().filter(|action| action.state() == state).collect();
                @if !of_state.is_empty() { (section(view, org, state, &of_state, principal)) }
            }
        }
    };
    let title = format!("{} · {org}", words.actions);
    respond(view, StatusCode::OK, Page { title: &title, org: Some((org, Section::Actions)), body })
}

fn section(view: &View, org: &str, state: ActionState, actions: &[&Action], principal: &Principal) -> Markup {
    let words = view.words;
    let title = state_title(words, state);
    html! {
        section.panel.full {
            h2 { (title) " " span.note { (format::count(actions.len() as u64)) } }
            div.scroll tabindex="0" role="region" aria-label=(title) {
                table.list {
                    caption.hidden { (title) }
                    thead {
                        tr {
                            th scope="col" { (words.action) }
                            th scope="col" { (words.action_requested_by) }
                            th scope="col" { (words.task_note) }
                            th.number scope="col" { (words.task_since) }
                        }
                    }
                    tbody { @for action in actions { (row(view, org, action, principal)) } }
                }
            }
        }
    }
}

fn row(view: &View, org: &str, action: &Action, principal: &Principal) -> Markup {
    let number = number_of(action);
    let title = action.choice.as_ref().and_then(|choice| choice.title.as_deref()).unwrap_or_default();
    html! {
        tr {
            th scope="row" {
                (action.kind().as_str()) " " (action.repo) @if let Some(number) = number { "#" (number) }
                " " span.note { (title) }
            }
            td { (action.principal) }
            td { (note(view, action)) @if can_decide(action, principal) { (decision_form(view, org, action)) } }
            td.number { (format::time(action.changed_at, view.language)) }
        }
    }
}

/// Returns the number of the issue or pull request that an action is about or has made.
pub(super) fn number_of(action: &Action) -> Option<i64> {
    let chosen = action.choice.as_ref().and_then(|choice| choice.number);
    chosen.or_else(|| action.data.get("number").and_then(serde_json::Value::as_i64))
}

/// The form with which operators request a merge. Its key makes a second click harmless.
fn merge_form(view: &View, org: &str) -> Markup {
    let words = view.words;
    html! {
        form.search method="post" action=(view.link(&["orgs", org, "actions", "merge"])) {
            input type="hidden" name="key" value=(TokenSecret::random().hash());
            label { (words.repository) " " input name="repository" required maxlength="100" autocomplete="off"; }
            " "
            label { (words.merge_number) " " input name="number" type="number" min="1" required; }
            " " button { (words.merge_request) }
        }
    }
}

fn can_decide(action: &Action, principal: &Principal) -> bool {
    let is_waiting = matches!(action.phase, Phase::Waiting { .. });
    let has_approved = action.approvals.iter().any(|approval| approval.principal == principal.id);
    is_waiting && principal.may(RouteClass::Decide) && action.principal != principal.id && !has_approved
}

fn decision_form(view: &View, org: &str, action: &Action) -> Markup {
    html! {
        form.decision method="post" action=(view.link(&["orgs", org, "actions", &action.id.to_string(), "decide"])) {
            input type="hidden" name="hash" value=(action.content_hash());
            (decision_buttons(view))
        }
    }
}

/// The buttons of a form that decides about an action.
pub(super) fn decision_buttons(view: &View) -> Markup {
    html! {
        button type="submit" name="decision" value="approve" { (view.words.action_approve) }
        " "
        button type="submit" name="decision" value="reject" { (view.words.action_reject) }
    }
}

/// Returns what there is to know of an action in its state.
fn note(view: &View, action: &Action) -> Markup {
    let words = view.words;
    let text = match &action.phase {
        Phase::Waiting { until } => fill(
            words.action_waits,
            &[
                ("n", &format!("{}/{}", action.approvals.len(), action.policy.approvals)),
                ("t", &format::time(*until, view.language)),
            ],
        ),
        Phase::Failed { reason, .. } => reason.clone(),
        Phase::Unknown { why, .. } | Phase::Checking { why, .. } => why.clone(),
        Phase::Ready { why: Some(why), .. } => why.clone(),
        _ => String::new(),
    };
    let url = action.data.get("url").and_then(serde_json::Value::as_str);
    let url = url.filter(|url| url.starts_with("https://"));
    let sha =
        action.choice.as_ref().and_then(|choice| choice.head_sha.as_deref()).and_then(|sha| sha.get(..12));
    html! {
        (text)
        @if let Some(sha) = sha { " " code { (sha) } }
        @if let Some(url) = url { " " a href=(url) rel="noreferrer" { "GitHub" } }
        @if text.is_empty() && sha.is_none() && url.is_none() { (format::NONE) }
    }
}

pub(super) fn state_title(words: &Words, state: ActionState) -> &'static str {
    match state {
        ActionState::Requested => words.actions_requested,
        ActionState::Waiting => words.actions_waiting,
        ActionState::Ready => words.actions_ready,
        ActionState::Attempting => words.actions_attempting,
        ActionState::Checking => words.actions_checking,
        ActionState::Succeeded => words.actions_succeeded,
        ActionState::Failed => words.actions_failed,
        ActionState::Unknown => words.actions_unknown,
    }
}
