//! `/approve?link=...`: the page of a signed link. Opening it decides nothing, because programs that look for viruses and
//! previews open links, too. Its form posts the link, and the server decides as the approver that the link names.

use axum::Extension;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use gam_access::{ApproverName, Principal};
use gam_work::actions::{Action, ApprovalLink, Decision, DecisionSource, LINK_PATH, Phase};
use maud::{Markup, html};
use serde::Deserialize;

use super::actions::{DecisionChoice, decision_buttons, github_url, kind_title, state_title, waiting_text};
use super::shell::{Page, render, respond};
use super::view::View;
use super::words::fill;
use crate::auth::{AccessControl, SenderOrigin};
use crate::error::ApiError;
use crate::params::PageForm;
use crate::router::{HostWork, WorkPorts};

/// What the form sends.
#[derive(Deserialize)]
pub(super) struct LinkForm {
    link: String,
    #[serde(flatten)]
    choice: DecisionChoice,
}

/// A link that this server signed, and that has not expired.
struct LiveLink {
    work: WorkPorts,
    link: ApprovalLink,
    action: Action,
    approver: Principal,
}

pub(super) async fn show(
    HostWork(work): HostWork,
    Extension(access): Extension<AccessControl>,
    view: View,
) -> Result<Response, ApiError> {
    let live = find_link(work, &access, &view.params.link).await?;
    render(move || page(&view, &live, None)).await
}

/// Takes the form of the page.
pub(super) async fn decide(
    HostWork(work): HostWork,
    Extension(access): Extension<AccessControl>,
    SenderOrigin(origin): SenderOrigin,
    mut view: View,
    PageForm(form): PageForm<LinkForm>,
) -> Result<Response, ApiError> {
    let mut live = find_link(work, &access, &form.link).await?;
    let decision = form.choice.into();
    let approver = Principal { origin, ..live.approver.clone() };
    let (actions, link) = (&live.work.actions, &live.link);
    live.action =
        actions.decide_from(&approver, &link.action, &link.hash, &decision, DecisionSource::Link).await?;
    // Links of the page that shows the result lead to the page of the link.
    view.params.link = form.link;
    render(move || page(&view, &live, Some(&decision))).await
}

/// Checks the text of a link. A link that is not signed by this server costs no read of the store.
async fn find_link(work: WorkPorts, access: &AccessControl, text: &str) -> Result<LiveLink, ApiError> {
    let invalid =
        || ApiError::not_found("the link is not valid: ask for a new one, or sign in and open the actions");
    let link = work.links.as_ref().and_then(|links| links.verify(text)).ok_or_else(invalid)?;
    if link.expires_at <= work.actions.now() {
        return Err(ApiError::expired(
            "the link has expired: ask for a new one, or sign in and open the actions",
        ));
    }
    let tokens = access.stored_tokens().ok_or_else(invalid)?;
    let action = work.actions.get(&link.action).await?.ok_or_else(invalid)?;
    // Whoever lost the token, the role or the scope lost the links as well.
    let place = (action.id.org.as_str(), action.repo.name.as_str());
    let approver =
        tokens.approver(ApproverName::Principal(&link.approver), place).await?.ok_or_else(invalid)?;
    Ok(LiveLink { work, link, action, approver })
}

fn page(view: &View, live: &LiveLink, decided: Option<&Decision>) -> Response {
    let words = view.words;
    let action = &live.action;
    let has_approved = action.approvals.iter().any(|approval| approval.principal == live.approver.id);
    let is_waiting = matches!(action.phase, Phase::Waiting { .. });
    let is_changed = is_waiting && action.content_hash() != live.link.hash;
    let note = match (decided, is_changed) {
        (Some(Decision::Approve), _) => Some(words.link_approved),
        (Some(Decision::Reject { .. }), _) => Some(words.link_rejected),
        (None, true) => Some(words.link_changed),
        (None, false) if is_waiting && has_approved => Some(words.link_approved),
        (None, false) if is_waiting => None,
        (None, false) => Some(words.link_nothing),
    };
    let body = html! {
        div.message {
            h1 { (words.link_title) }
            @if let Some(note) = note { p role="status" { strong { (note) } } }
            (facts(view, action))
            @if note.is_none() {
                p.note { (fill(words.link_decides_as, &[("x", &live.approver.id)])) }
                form.decision method="post" action=(view.link(&[LINK_PATH.trim_start_matches('/')])) {
                    input type="hidden" name="link" value=(view.params.link);
                    (decision_buttons(view))
                }
            }
        }
    };
    let mut response = respond(view, StatusCode::OK, Page { title: words.link_title, org: None, body });
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// Shows what somebody decides about.
fn facts(view: &View, action: &Action) -> Markup {
    let words = view.words;
    let choice = action.choice.as_ref();
    html! {
        table.list {
            caption.hidden { (words.link_title) }
            tbody {
                tr { th scope="row" { (words.action) } td { (kind_title(words, action.kind())) } }
                tr {
                    th scope="row" { (words.repository) }
                    td {
                        (action.repo) @if let Some(number) = action.number() { "#" (number) }
                        @if let Some(url) = github_url(action) {
                            " " a href=(url) rel="noreferrer" { "GitHub" }
                        }
                    }
                }
                @if let Some(title) = choice.and_then(|choice| choice.title.as_deref()) {
                    tr { th scope="row" { (words.action_title) } td { (title) } }
                }
                @if let Some(sha) = choice.and_then(|choice| choice.head_sha.as_deref()) {
                    tr { th scope="row" { (words.action_head) } td { code { (sha) } } }
                }
                tr { th scope="row" { (words.action_requested_by) } td { (action.principal) } }
                tr { th scope="row" { (words.action_state) } td { (state_title(words, action.state())) } }
                @if let Phase::Waiting { until } = &action.phase {
                    tr {
                        th scope="row" { (words.action_approvals) }
                        td {
                            (waiting_text(view, action, *until))
                        }
                    }
                }
            }
        }
    }
}
