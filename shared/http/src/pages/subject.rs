//! `/orgs/{org}/repos/{repo}` and `/orgs/{org}/members/{member}`: one repository, one member.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use gam_model::Grain;
use gam_query::{DashboardAnswer, DashboardEntry, QueryPorts, SubjectRef};
use maud::{Markup, html};

use super::change::Direction;
use super::org::{complete_days, empty, head, org_tiles, read, repo_row};
use super::shell::{Page, Section, render, respond};
use super::tables::{Column, Row, Sorting, table};
use super::tiles::{Tile, Tiles, tiles};
use super::view::View;
use super::words::fill;
use super::{calendar, figures, format, notes, panels};
use crate::error::ApiError;
use crate::params::SubjectPath;

pub(super) async fn handle(
    State(ports): State<QueryPorts>,
    path: SubjectPath,
    mut view: View,
) -> Result<Response, ApiError> {
    if let Some(redirect) = view.redirect() {
        return Ok(redirect);
    }
    view.params.members.clear();
    let path = path.with_repo_id(view.params.id);
    let is_member = matches!(path.subject, SubjectRef::Member(_));
    let (board, grain) = read(&ports, &view, &path.org, path.subject).await?;
    render(move || page(&view, &board, grain, is_member)).await
}

fn page(view: &View, board: &DashboardAnswer, grain: Grain, is_member: bool) -> Response {
    let name = board.repo.as_deref().or(board.member.as_deref()).unwrap_or_default();
    let body = html! {
        (title(view, name, is_member))
        (head(view, board, grain, true, false))
        @if is_member { p.note { (view.words.person_note) } }
        @if board.is_empty() {
            (empty(view, board))
        } @else {
            (content(view, board, grain, is_member))
        }
    };
    let section = if is_member { Section::Members } else { Section::Repos };
    let title = format!("{name} · {}", board.org);
    respond(view, StatusCode::OK, Page { title: &title, org: Some((&board.org, section)), body })
}

fn title(view: &View, name: &str, is_member: bool) -> Markup {
    let words = view.words;
    html! {
        div.subject {
            h1 { span.kind { (if is_member { words.member } else { words.repository }) " " } (name) }
        }
    }
}

fn content(view: &View, board: &DashboardAnswer, grain: Grain, is_member: bool) -> Markup {
    let time = figures::time_axis(board, grain, &complete_days(board));
    let shown = if is_member { member_tiles(view, board) } else { repo_tiles(view, board) };
    html! {
        (tiles(&shown))
        (notes::compared(view, board.previous_range, board.is_comparable))
        div.panels {
            (panels::activity(view, board, &time))
            @if is_member {
                (their_repos(view, board))
            } @else {
                (panels::durations(view, board, &time, "cycle_time_hours"))
                (panels::spread(view, board, "cycle_time_hours"))
                (panels::durations(view, board, &time, "first_review_hours"))
                (panels::spread(view, board, "first_review_hours"))
                (panels::deliveries(view, board, &time))
                (its_members(view, board))
            }
        }
        (calendar::calendar(view, board))
    }
}

fn repo_tiles(view: &View, board: &DashboardAnswer) -> Vec<Tile> {
    org_tiles(view, board, true)
}

/// The numbers of a member. Their changes are never judged.
fn member_tiles(view: &View, board: &DashboardAnswer) -> Vec<Tile> {
    let words = view.words;
    let tiles = Tiles { view, board, is_judged: false };
    let (_, _, reviewed) = format::distribution(&board.metrics, "first_review_hours");
    let merged = format::count(board.metrics.count("prs_merged"));
    let coverage = fill(words.coverage, &[("a", &format::count(reviewed)), ("b", &merged)]);
    let count = |key, name| tiles.count(key, name, Direction::Neutral, "", String::new());
    vec![
        count("prs_opened", words.opened),
        count("prs_merged", words.merged),
        count("reviews", words.reviews_given),
        tiles.median("first_review_hours", words.first_review_received, "", coverage),
        count("commits", words.commits),
        count("issues_opened", words.issues_opened),
    ]
}

fn their_repos(view: &View, board: &DashboardAnswer) -> Markup {
    let mut entries: Vec<&DashboardEntry> = board.entries.iter().collect();
    entries.sort_by_cached_key(|entry| entry.name.to_lowercase());
    let rows: Vec<Row<'_>> = entries.into_iter().map(|entry| repo_row(view, board, entry)).collect();
    section(view, board, &rows, view.words.their_repositories, "panel")
}

fn its_members(view: &View, board: &DashboardAnswer) -> Markup {
    let mut entries: Vec<&DashboardEntry> = board.entries.iter().collect();
    entries.sort_by_cached_key(|entry| entry.name.to_lowercase());
    let row = |entry: &'_ DashboardEntry| view.link(&["orgs", &board.org, "members", &entry.name]);
    let rows: Vec<Row<'_>> = entries
        .into_iter()
        .map(|entry| Row {
            name: &entry.name,
            link: row(entry),
            kind: entry.kind,
            trend: entry.trend.as_deref(),
            metrics: &entry.metrics,
            change: None,
        })
        .collect();
    section(view, board, &rows, view.words.its_members, "panel full")
}

fn section(view: &View, board: &DashboardAnswer, rows: &[Row<'_>], title: &str, class: &str) -> Markup {
    let columns = Column::all(view.params.columns, true);
    let list = if board.repo.is_some() { "members" } else { "repos" };
    let numbers = [rows.len(), board.entry_count].map(|number| format::count(number as u64));
    let activity = panels::activity_name(view, view.params.activity);
    html! {
        section class=(class) #entries {
            div.heading {
                h2 { (title) }
                @if rows.len() < board.entry_count {
                    a href=(view.link(&["orgs", &board.org, list])) {
                        (fill(view.words.first_rows, &[("a", &numbers[0]), ("b", &numbers[1]), ("x", activity)]))
                    }
                }
            }
            (table(view, title, columns, rows, &Sorting::Script))
        }
    }
}
