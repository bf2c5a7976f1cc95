//! `/orgs/{org}/actions`: the actions on GitHub, those that wait for approvals first, with buttons that post.

use axum::Extension;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use chrono::{DateTime, Utc};
use gam_access::{Principal, RouteClass, TokenSecret};
use gam_model::ActionKind;
use gam_query::{QueryPorts, StoredOrgName};
use gam_work::actions::{
    Action, ActionFilter, ActionId, ActionPage, ActionRequest, ActionState, Decision, NewAction, Phase,
    RepositoryName,
};
use maud::{Markup, html};
use serde::Deserialize;

use super::format;
use super::request::Params;
use super::shell::{Page, Section, render, respond};
use super::tables::{Head, list_panel};
use super::view::{View, see_other};
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
    let actions = match work {
        Some(Extension(work)) => {
            let is_visible = |action: &Action| action.is_in(&principal.scope);
            let filter = ActionFilter { state: view.params.action_state, ..ActionFilter::default() };
            Some(work.actions.list(&key, &filter, is_visible, MAX_ACTIONS, None).await?)
        }
        None => None,
    };
    render(move || page(&view, &org, actions.as_ref(), &principal)).await
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
    Ok(see_other(link(&view, &path.org, &[])))
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
    Ok(see_other(view.link(&["orgs", &display, "actions"])))
}

/// `listed` is `None` if this server has no actions.
fn page(view: &View, org: &str, listed: Option<&ActionPage>, principal: &Principal) -> Response {
    let words = view.words;
    let actions = listed.map_or(&[][..], |page| &page.actions);
    let note = match listed {
        None => Some(words.store_read_only.to_owned()),
        Some(page) if page.next.is_some() => {
            Some(fill(words.more_actions, &[("n", &format::count(actions.len() as u64))]))
        }
        Some(_) if actions.is_empty() && view.params.action_state.is_some() => {
            Some(words.no_actions_of_state.to_owned())
        }
        Some(_) if actions.is_empty() => Some(words.no_actions.to_owned()),
        Some(_) => None,
    };
    let may_request = listed.is_some() && principal.may(RouteClass::Act);
    let body = html! {
        h1 { (words.actions) }
        @if may_request { (merge_form(view, org)) }
        @if listed.is_some() { (states(view)) }
        div.panels data-live=(POLL_SECONDS) {
            @if let Some(note) = note { p.note { (note) } }
            @for state in STATES {
                @let of_state: Vec<&Action> = actions.iter().filter(|action| action.state() == state).collect();
                @if !of_state.is_empty() { (section(view, org, state, &of_state, principal)) }
            }
        }
    };
    let title = format!("{} · {org}", words.actions);
    respond(view, StatusCode::OK, Page { title: &title, org: Some((org, Section::Actions)), body })
}

/// Returns the link to the page, or to what is below it, with the state that the page shows.
fn link(view: &View, org: &str, rest: &[&str]) -> String {
    let params = Params { action_state: view.params.action_state, ..view.params.carried() };
    view.link_with(&[&["orgs", org, "actions"], rest].concat(), &params)
}

/// The states to choose from. The page shows the newest actions, so an old one can only be found by its state.
fn states(view: &View) -> Markup {
    let words = view.words;
    let text = |state: Option<ActionState>| state.map_or(words.log_all, |state| state_title(words, state));
    html! {
        div.controls {
            div.choices {
                details.menu {
                    summary { (words.action_state) ": " (text(view.params.action_state)) }
                    ul {
                        @for state in std::iter::once(None).chain(STATES.map(Some)) {
                            @let is_shown = state == view.params.action_state;
                            li {
                                a href=(view.here(|params| params.action_state = state))
                                    aria-current=[is_shown.then_some("true")] { (text(state)) }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn section(view: &View, org: &str, state: ActionState, actions: &[&Action], principal: &Principal) -> Markup {
    let words = view.words;
    let heads = [
        Head::Text(words.action),
        Head::Text(words.action_requested_by),
        Head::Text(words.task_note),
        Head::Number(words.task_since),
    ];
    let rows = actions.iter().map(|action| row(view, org, action, principal));
    list_panel(view, (state_title(words, state), ""), &heads, rows)
}

fn row(view: &View, org: &str, action: &Action, principal: &Principal) -> Markup {
    let title = action.choice.as_ref().and_then(|choice| choice.title.as_deref()).unwrap_or_default();
    html! {
        tr {
            th scope="row" {
                (kind_title(view.words, action.kind())) " " (action.repo) @if let Some(number) = action.number() { "#" (number) }
                " " span.note { (title) }
            }
            td { (action.principal) }
            td { (note(view, action)) @if can_decide(action, principal) { (decision_form(view, org, action)) } }
            td.number { (format::time(action.changed_at, view.language)) }
        }
    }
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
        form.decision method="post" action=(link(view, org, &[&action.id.to_string(), "decide"])) {
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

/// Says how many approvals an action has, and until when it waits for others.
pub(super) fn waiting_text(view: &View, action: &Action, until: DateTime<Utc>) -> String {
    let approvals = format!("{}/{}", action.approvals.len(), action.policy.approvals);
    fill(view.words.action_waits, &[("n", &approvals), ("t", &format::time(until, view.language))])
}

/// Returns what there is to know of an action in its state.
fn note(view: &View, action: &Action) -> Markup {
    let (waits, why) = match &action.phase {
        Phase::Waiting { until } => (Some(waiting_text(view, action, *until)), None),
        Phase::Failed { reason, .. } => (None, Some(reason)),
        Phase::Unknown { why, .. } | Phase::Checking { why, .. } | Phase::Ready { why: Some(why), .. } => {
            (None, Some(why))
        }
        _ => (None, None),
    };
    let url = github_url(action);
    let sha =
        action.choice.as_ref().and_then(|choice| choice.head_sha.as_deref()).and_then(|sha| sha.get(..12));
    html! {
        @if let Some(text) = &waits { (text) }
        @if let Some(why) = why { span lang="en" { (why) } }
        @if let Some(sha) = sha { " " code { (sha) } }
        @if let Some(url) = url { " " a href=(url) rel="noreferrer" { "GitHub" } }
        @if waits.is_none() && why.is_none() && sha.is_none() && url.is_none() { (format::NONE) }
    }
}

/// Returns the address on GitHub of what an action is about or has made.
pub(super) fn github_url(action: &Action) -> Option<&str> {
    let url = action.data.get("url").and_then(serde_json::Value::as_str);
    url.filter(|url| url.starts_with("https://"))
}

pub(super) fn kind_title(words: &Words, kind: ActionKind) -> &'static str {
    match kind {
        ActionKind::CreateIssue => words.action_create_issue,
        ActionKind::CreateComment => words.action_create_comment,
        ActionKind::CreatePr => words.action_create_pr,
        ActionKind::ApproveMergePr => words.action_approve_merge_pr,
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
