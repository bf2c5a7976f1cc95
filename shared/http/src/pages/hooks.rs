//! `/orgs/{org}/hooks`: the webhooks of an organization, their last deliveries, and what did not arrive.

use axum::Extension;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use gam_query::{QueryError, QueryPorts, StoredOrgName};
use gam_work::hooks::{HookGap, HookState, LastDelivery};
use maud::{Markup, html};

use super::format;
use super::shell::{Page, Section, render, respond};
use super::tables::{Head, list_panel};
use super::view::View;
use super::words::fill;
use crate::error::ApiError;
use crate::params::SubjectPath;
use crate::router::WorkPorts;

pub(super) async fn handle(
    State(ports): State<QueryPorts>,
    work: Option<Extension<WorkPorts>>,
    path: SubjectPath,
    view: View,
) -> Result<Response, ApiError> {
    let StoredOrgName { key, display: org } = gam_query::find_org(&ports, &path.org).await?;
    let hooks = match work {
        Some(Extension(work)) => Some(work.issues.hooks(&key).await.map_err(QueryError::Store)?),
        None => None,
    };
    render(move || page(&view, &org, hooks.as_deref())).await
}

/// `hooks` is `None` if this server cannot know them.
fn page(view: &View, org: &str, hooks: Option<&[HookState]>) -> Response {
    let words = view.words;
    let body = html! {
        h1 { (words.hooks) }
        @match hooks {
            None => p.note { (words.store_read_only) },
            Some([]) => {
                p.note { (words.no_hooks) }
                pre { code { "github-metrics hook check " (org) } }
            }
            Some(hooks) => div.panels { (hook_table(view, hooks)) (gap_table(view, hooks)) },
        }
    };
    let title = format!("{} · {org}", words.hooks);
    respond(view, StatusCode::OK, Page { title: &title, org: Some((org, Section::Hooks)), body })
}

fn hook_table(view: &View, hooks: &[HookState]) -> Markup {
    let words = view.words;
    let heads = [
        Head::Text(words.hook),
        Head::Text(words.hook_last),
        Head::Text(words.hook_problems),
        Head::Number(words.hook_checked),
    ];
    list_panel(view, (words.hooks, ""), &heads, hooks.iter().map(|hook| hook_row(view, hook)))
}

fn hook_row(view: &View, hook: &HookState) -> Markup {
    let (words, problems) = (view.words, hook.problems());
    let last = |last: &LastDelivery| {
        let answer = if last.status_code == 0 { last.status.clone() } else { last.status_code.to_string() };
        let time = format::time(last.at, view.language);
        fill(words.hook_delivery, &[("x", &last.event), ("s", &answer), ("t", &time)])
    };
    html! {
        tr {
            th scope="row" { (hook.id) " " span.note { (hook.info.as_ref().map_or("", |info| info.url.as_str())) } }
            td { (hook.last.as_ref().map_or_else(|| format::NONE.to_owned(), last)) }
            td { @if problems.is_empty() { (format::NONE) } @else { span lang="en" { (problems.join("; ")) } } }
            td.number {
                (hook.checked_until.map_or_else(|| format::NONE.to_owned(), |at| format::time(at, view.language)))
            }
        }
    }
}

fn gap_table(view: &View, hooks: &[HookState]) -> Markup {
    let words = view.words;
    let mut gaps: Vec<(&str, &HookGap)> =
        hooks.iter().flat_map(|hook| hook.gaps.iter().map(|gap| (hook.id.as_str(), gap))).collect();
    gaps.sort_by_key(|(_, gap)| std::cmp::Reverse(gap.to));
    let note = if gaps.is_empty() { words.no_hook_gaps } else { words.hook_gaps_note };
    let heads = [
        Head::Text(words.hook),
        Head::Text(words.hook_repos),
        Head::Number(words.hook_missed),
        Head::Number(words.hook_from),
        Head::Number(words.hook_to),
    ];
    let row = |(id, gap): &(&str, &HookGap)| {
        html! {
            tr {
                th scope="row" { (id) }
                td { (gap.repos.join(", ")) }
                td.number { (format::count(gap.missed as u64)) }
                td.number { (format::time(gap.from, view.language)) }
                td.number { (format::time(gap.to, view.language)) }
            }
        }
    };
    list_panel(view, (words.hook_gaps, note), &heads, gaps.iter().map(row))
}
