//! `/`: the organizations. With one, the page of that one; with none, what to run.

use std::sync::Arc;

use axum::Extension;
use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use gam_access::Principal;
use gam_query::{KeptOrgs, OrgSummary, QueryPorts};
use maud::{Markup, html};

use super::format;
use super::shell::{Page, respond};
use super::tables::{Head, scrolled_table};
use super::view::View;
use crate::auth::visible_orgs;
use crate::charts::format_day;
use crate::error::ApiError;

pub(super) async fn handle(
    State(ports): State<QueryPorts>,
    Extension(kept): Extension<Arc<KeptOrgs>>,
    Extension(principal): Extension<Principal>,
    view: View,
) -> Result<Response, ApiError> {
    let orgs = visible_orgs(&ports, &kept, &principal, None).await?.orgs;
    if let [only] = orgs.as_slice() {
        let location = view.link(&["orgs", &only.org]);
        let location = HeaderValue::try_from(location).map_err(ApiError::internal)?;
        return Ok((StatusCode::SEE_OTHER, [(header::LOCATION, location)]).into_response());
    }
    let body = if orgs.is_empty() { nothing_yet(&view) } else { list(&view, &orgs) };
    Ok(respond(&view, StatusCode::OK, Page { title: "", org: None, body }))
}

fn nothing_yet(view: &View) -> Markup {
    let words = view.words;
    html! {
        div.message {
            h1 { (words.nothing_yet) }
            p { (words.run_this) }
            pre { code { "github-metrics up my-org" } }
            p { (words.or_sample) }
            pre { code { "github-metrics demo" } }
        }
    }
}

fn list(view: &View, orgs: &[OrgSummary]) -> Markup {
    let words = view.words;
    let day = |time: Option<chrono::DateTime<chrono::Utc>>| {
        time.map_or_else(|| format::NONE.to_owned(), |time| format_day(time.date_naive(), view.language))
    };
    let number = |count: Option<u64>| count.map_or_else(|| format::NONE.to_owned(), format::count);
    let heads = [
        Head::Text(words.name),
        Head::Number(words.repos_count),
        Head::Number(words.people_count),
        Head::Number(words.first_event),
        Head::Number(words.last_event_head),
    ];
    let rows = html! {
        @for org in orgs {
            tr {
                th scope="row" {
                    a href=(view.link(&["orgs", &org.org])) { (org.org) }
                    @if org.repos.is_none() { span.note { " " (words.computing) } }
                }
                td.number { (number(org.repos)) }
                td.number { (number(org.members)) }
                td.number { (day(org.first_event)) }
                td.number { (day(org.last_event)) }
            }
        }
    };
    html! {
        h1 { (words.organizations) }
        (scrolled_table(words.organizations, false, &heads, rows))
    }
}
