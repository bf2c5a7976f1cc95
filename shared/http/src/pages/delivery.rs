//! `/orgs/{org}/delivery`: deployments and releases.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use gam_model::Grain;
use gam_query::{DashboardAnswer, DashboardEntry, QueryPorts, SubjectRef};
use maud::{Markup, html};

use super::change::Direction;
use super::format;
use super::shell::{Page, Section, render, respond};
use super::tables::{Head, scrolled_table};
use super::tiles::{Tiles, tiles};
use super::view::View;
use super::words::fill;
use super::{figures, notes, org, panels};
use crate::error::ApiError;
use crate::params::SubjectPath;

/// How many repositories the table has.
const MAX_ROWS: usize = 200;

pub(super) async fn handle(
    State(ports): State<QueryPorts>,
    path: SubjectPath,
    mut view: View,
) -> Result<Response, ApiError> {
    if let Some(redirect) = view.redirect() {
        return Ok(redirect);
    }
    view.params.members.clear();
    let (board, grain) = org::read(&ports, &view, &path.org, SubjectRef::Org).await?;
    render(move || page(&view, &board, grain)).await
}

fn page(view: &View, board: &DashboardAnswer, grain: Grain) -> Response {
    let words = view.words;
    let all = Tiles { view, board, is_judged: true };
    let time = figures::time_axis(board, grain, &org::complete_days(board));
    let body = html! {
        h1.hidden { (words.delivery) }
        (org::head(view, board, grain, true, false))
        (tiles(&[
            all.count("deploys", words.deploys, Direction::Up, "deliveries", all.deploys_a_day()),
            all.failed_share("deliveries"),
            all.count("deploy_failures", words.failed, Direction::Down, "deliveries", String::new()),
            all.count("releases", words.releases, Direction::Neutral, "", String::new()),
        ]))
        (notes::compared(view, board.previous_range, board.is_comparable))
        div.panels { (panels::deliveries(view, board, &time)) (by_repo(view, board)) }
    };
    let org = board.org.as_str();
    let title = format!("{} · {org}", words.delivery);
    respond(view, StatusCode::OK, Page { title: &title, org: Some((org, Section::Delivery)), body })
}

fn by_repo(view: &View, board: &DashboardAnswer) -> Markup {
    let words = view.words;
    let delivers = |entry: &&DashboardEntry| {
        ["deploys", "deploy_failures", "releases"].iter().any(|metric| entry.metrics.count(metric) > 0)
    };
    let mut repos: Vec<&DashboardEntry> = board.entries.iter().filter(delivers).collect();
    let count = repos.len();
    repos.sort_by_key(|entry| std::cmp::Reverse(entry.metrics.count("deploys")));
    repos.truncate(MAX_ROWS);
    let numbers = [repos.len(), count].map(|number| format::count(number as u64));
    repos.sort_by_cached_key(|entry| entry.name.to_lowercase());
    let share = |entry: &DashboardEntry| {
        let share = format::failed_share(&entry.metrics);
        share.map_or_else(|| format::NONE.to_owned(), |share| format::percent(share, view.language))
    };
    let heads = [
        Head::Text(words.name),
        Head::Number(words.deploys),
        Head::Number(words.failed),
        Head::Number(words.failed_share),
        Head::Number(words.releases),
    ];
    let count = |entry: &DashboardEntry, metric: &str| {
        let count = entry.metrics.count(metric);
        html! { td.number data-value=(count) { (format::count(count)) } }
    };
    let rows = html! {
        @for entry in repos {
            tr {
                th scope="row" { a href=(org::repo_link(view, board, entry)) { (entry.name) } }
                (count(entry, "deploys"))
                (count(entry, "deploy_failures"))
                td.number data-value=[format::failed_share(&entry.metrics)] { (share(entry)) }
                (count(entry, "releases"))
            }
        }
    };
    html! {
        section.panel {
            div.heading {
                h2 { (words.delivery_by_repo) }
                @if numbers[0] != numbers[1] {
                    a href=(view.link(&["orgs", &board.org, "repos"])) {
                        (fill(words.first_rows, &[("a", &numbers[0]), ("b", &numbers[1]), ("x", words.deploys)]))
                    }
                }
            }
            (scrolled_table(words.delivery_by_repo, true, &heads, rows))
        }
    }
}
