//! `/orgs/{org}`: how work flows in an organization.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use gam_model::Grain;
use gam_model::metric::Metric;
use gam_query::{DashboardAnswer, DashboardRequest, QueryPorts, SubjectRef};
use maud::{Markup, html};

use super::change::Direction;
use super::controls::{Controls, controls};
use super::notes;
use super::shell::{Page, Section, render, respond};
use super::tables::{Column, Row, Sorting, table};
use super::tiles::{Tile, Tiles, tiles};
use super::view::View;
use super::words::fill;
use super::{calendar, format, panels};
use crate::charts::format_day;
use crate::complete_days::CompleteDays;
use crate::error::ApiError;
use crate::params::SubjectPath;

/// How many repositories the overview lists.
const LISTED: usize = 8;

/// Reads the dashboard of a subject for the days of the view.
pub(super) async fn read(
    ports: &QueryPorts,
    view: &View,
    org: &str,
    subject: SubjectRef,
) -> Result<(DashboardAnswer, Grain), ApiError> {
    let (_, range, grain) = view.days(ports, org).await?;
    let members = if subject == SubjectRef::Org { view.params.members.clone() } else { Vec::new() };
    let trend = Metric::named(view.params.activity).expect("activities are metrics");
    let request = DashboardRequest { subject, members, range, grain, bots: view.params.bots, trend };
    Ok((gam_query::dashboard(ports, org, &request).await?, grain))
}

pub(super) async fn handle(
    State(ports): State<QueryPorts>,
    path: SubjectPath,
    view: View,
) -> Result<Response, ApiError> {
    if let Some(redirect) = view.redirect() {
        return Ok(redirect);
    }
    let (board, grain) = read(&ports, &view, &path.org, SubjectRef::Org).await?;
    render(move || page(&view, &board, grain)).await
}

fn page(view: &View, board: &DashboardAnswer, grain: Grain) -> Response {
    let body = html! {
        h1.hidden { (board.org) }
        (head(view, board, grain, true, true))
        @if board.is_empty() { (empty(view, board)) } @else { (content(view, board, grain)) }
    };
    let org = board.org.as_str();
    respond(view, StatusCode::OK, Page { title: org, org: Some((org, Section::Overview)), body })
}

/// Returns which days of a dashboard are complete.
pub(super) fn complete_days(board: &DashboardAnswer) -> CompleteDays {
    CompleteDays::new(&board.coverage, board.timezone, board.today)
}

/// The controls, and what is said about the numbers.
pub(super) fn head(
    view: &View,
    board: &DashboardAnswer,
    grain: Grain,
    has_grain: bool,
    has_members: bool,
) -> Markup {
    let days = complete_days(board);
    html! {
        (controls(view, &Controls {
            range: board.range, grain, today: board.today, zone: board.timezone, has_grain, has_members,
        }))
        (notes::as_of(view, &board.coverage, &days))
        (notes::incomplete(view, &board.coverage, &days, board.range, &board.org))
        (notes::unknown_members(view, &board.org, &board.unknown_members))
    }
}

/// What stands in place of numbers if nothing happened.
pub(super) fn empty(view: &View, board: &DashboardAnswer) -> Markup {
    let words = view.words;
    html! {
        div.message.empty {
            p { strong { (words.empty) } }
            @if !view.params.members.is_empty() {
                p { (fill(words.only_members, &[("x", &view.params.members.join(", "))])) }
            }
            @if let Some(day) = board.last_event {
                p { (fill(words.last_event, &[("d", &format_day(day, view.language))])) }
                @let until = day + chrono::Days::new(1);
                @let since = until.checked_sub_days(chrono::Days::new(30));
                p { a href=(view.here(|params| {
                    params.range = super::request::RangeChoice::Days(since, Some(until));
                })) { (words.show_last) } }
            }
        }
    }
}

fn content(view: &View, board: &DashboardAnswer, grain: Grain) -> Markup {
    let words = view.words;
    let days = complete_days(board);
    let time = super::figures::time_axis(board, grain, &days);
    html! {
        (tiles(&org_tiles(view, board, true)))
        (notes::compared(view, board.previous_range, board.is_comparable))
        div.panels {
            (panels::durations(view, board, &time, "cycle_time_hours"))
            (panels::spread(view, board, "cycle_time_hours"))
            (panels::durations(view, board, &time, "first_review_hours"))
            (panels::spread(view, board, "first_review_hours"))
            (panels::activity(view, board, &time))
            (panels::reviewers(view, board))
            (panels::deliveries(view, board, &time))
            (repos(view, board))
        }
        (calendar::calendar(view, board))
        p.note { (words.sums) }
    }
}

/// The six numbers of an organization or a repository.
pub(super) fn org_tiles(view: &View, board: &DashboardAnswer, has_charts: bool) -> Vec<Tile> {
    let words = view.words;
    let tiles = Tiles { view, board, is_judged: view.params.members.is_empty() };
    let anchor = |id: &'static str| if has_charts { id } else { "" };
    let opened = fill(words.opened_note, &[("n", &format::count(board.metrics.count("prs_opened")))]);
    let active = fill(words.active_note, &[("n", &format::count(board.metrics.count("active_members")))]);
    let [cycle, review] = tiles.durations();
    vec![
        cycle,
        review,
        tiles.count("prs_merged", words.merged, Direction::Up, anchor("activity"), opened),
        tiles.count("reviews", words.reviews, Direction::Neutral, anchor("reviewers"), active),
        tiles.count("deploys", words.deploys, Direction::Up, anchor("deliveries"), tiles.deploys_a_day()),
        tiles.failed_share(anchor("deliveries")),
    ]
}

fn repos(view: &View, board: &DashboardAnswer) -> Markup {
    let words = view.words;
    let rows: Vec<Row<'_>> =
        board.entries.iter().take(LISTED).map(|entry| repo_row(view, board, entry)).collect();
    let all = fill(words.all_of, &[("n", &format::count(board.entry_count as u64))]);
    let most = fill(words.most, &[("x", panels::activity_name(view, view.params.activity))]);
    html! {
        section.panel #repositories {
            div.heading {
                h2 { (words.repositories) }
                span.note { (most) }
                a href=(view.link(&["orgs", &board.org, "repos"])) { (all) }
            }
            (table(view, words.repositories, &Column::all(Default::default(), false)[..4], &rows, &Sorting::Script))
        }
    }
}

/// Returns the row of a repository.
pub(super) fn repo_row<'a>(
    view: &View,
    board: &DashboardAnswer,
    entry: &'a gam_query::DashboardEntry,
) -> Row<'a> {
    Row {
        name: &entry.name,
        link: repo_link(view, board, entry),
        kind: None,
        trend: entry.trend.as_deref(),
        metrics: &entry.metrics,
        change: None,
    }
}

/// Returns the link to a repository. It has the id if another one of the organization has the same name.
pub(super) fn repo_link(view: &View, board: &DashboardAnswer, entry: &gam_query::DashboardEntry) -> String {
    let has_twin = board.shared_repo_names.contains(&entry.name.to_lowercase());
    let mut params = view.params.carried();
    params.id = entry.id.filter(|_| has_twin);
    view.link_with(&["orgs", &board.org, "repos", &entry.name], &params)
}
