//! `/orgs/{org}/repos` and `/orgs/{org}/members`: all of them, sorted, searched, page by page.

use std::collections::BTreeSet;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use chrono::NaiveDate;
use gam_model::metric::Metric;
use gam_model::{Grain, Range};
use gam_query::{
    ListAnswer, ListEntry, ListKind, ListRequest, ListSort, Listing, MetricValue, MetricValues, NameFilter,
    QueryPorts, SortDirection,
};
use maud::{Markup, html};

use super::change::{Change, Direction, Pair, change};
use super::controls::{Controls, controls, kept};
use super::notes;
use super::request::{ColumnSet, RangeChoice, bots_name};
use super::shell::{Page, Section, render, respond};
use super::tables::{Column, Row, Sorting, table};
use super::view::View;
use super::words::fill;
use super::{format, panels};
use crate::complete_days::CompleteDays;
use crate::error::ApiError;
use crate::params::SubjectPath;

/// The entries of a page.
const PAGE_LIMIT: usize = 50;

pub(super) async fn handle_repos(
    State(ports): State<QueryPorts>,
    path: SubjectPath,
    view: View,
) -> Result<Response, ApiError> {
    handle(&ports, path.org, view, Listing::Repos).await
}

pub(super) async fn handle_members(
    State(ports): State<QueryPorts>,
    path: SubjectPath,
    view: View,
) -> Result<Response, ApiError> {
    handle(&ports, path.org, view, Listing::Members).await
}

/// How a list is sorted: by name, unless the URL says otherwise.
fn sort_of(view: &View) -> Result<(ListSort, SortDirection), ApiError> {
    let Some(name) = &view.params.sort else {
        return Ok((ListSort::Name, view.params.order.unwrap_or(SortDirection::Asc)));
    };
    let invalid = || ApiError::invalid(format!("invalid `sort` {}", crate::error::quoted(name)));
    let sort = ListSort::parse(name).ok_or_else(invalid)?;
    let default = if sort == ListSort::Name { SortDirection::Asc } else { SortDirection::Desc };
    Ok((sort, view.params.order.unwrap_or(default)))
}

async fn handle(ports: &QueryPorts, org: String, view: View, listing: Listing) -> Result<Response, ApiError> {
    if let Some(redirect) = view.redirect() {
        return Ok(redirect);
    }
    let (today, range, grain) = view.days(ports, &org).await?;
    let (sort, direction) = sort_of(&view)?;
    let search = &view.params.search;
    let request = ListRequest {
        listing,
        range,
        has_default_since: false,
        has_default_until: false,
        bots: view.params.bots,
        sort,
        name_filter: (!search.is_empty()).then(|| NameFilter::new(search)),
        compare: true,
        direction,
        limit: PAGE_LIMIT,
        cursor: view.params.cursor.clone(),
    };
    let answer = gam_query::list(ports, &org, &request).await?;
    let trend = Metric::named(view.params.activity).expect("activities are metrics");
    let trends =
        gam_query::trends(ports, &org, &answer.entries, trend, grain, range, view.params.bots).await?;
    render(move || {
        let days = CompleteDays::new(&answer.coverage, answer.timezone, today);
        let list = List {
            view: &view,
            org: &org,
            answer: &answer,
            trends: &trends.trends,
            shared_repo_names: &trends.shared_repo_names,
            range,
            sort,
            direction,
        };
        list.page(today, &days, grain)
    })
    .await
}

/// A page of a list.
struct List<'a> {
    view: &'a View,
    org: &'a str,
    answer: &'a ListAnswer,
    trends: &'a [Vec<u64>],
    /// The names, in lower case, that several repositories of the organization have.
    shared_repo_names: &'a BTreeSet<String>,
    /// The days of the page.
    range: Range,
    sort: ListSort,
    direction: SortDirection,
}

impl List<'_> {
    fn page(&self, today: NaiveDate, days: &CompleteDays, grain: Grain) -> Response {
        let List { view, org, answer, range, .. } = *self;
        let body = html! {
            h1 { (self.title()) }
            (controls(view, &Controls {
                range, grain, today, zone: answer.timezone, has_grain: false, has_members: false,
            }))
            (notes::as_of(view, &answer.coverage, days))
            (notes::incomplete(view, &answer.coverage, days, range, org))
            (self.tools())
            (self.table(grain))
            (self.pages())
            @if !answer.entries.is_empty() { (notes::compared(view, self.previous_range(), self.answer.is_comparable)) }
            p.note { a href=(self.api()) { (view.words.api_query) } }
        };
        let title = format!("{} · {org}", self.title());
        respond(view, StatusCode::OK, Page { title: &title, org: Some((org, self.section())), body })
    }

    fn previous_range(&self) -> Option<Range> {
        let previous = self.answer.previous.flatten()?;
        Range::new(previous.since, previous.until)
    }

    fn section(&self) -> Section {
        if self.has_members() { Section::Members } else { Section::Repos }
    }

    fn has_members(&self) -> bool {
        self.answer.kind == ListKind::Members
    }

    fn title(&self) -> &'static str {
        if self.has_members() { self.view.words.members } else { self.view.words.repositories }
    }

    /// The search, and which columns there are.
    fn tools(&self) -> Markup {
        let (view, words) = (self.view, self.view.words);
        let text = |set: ColumnSet| match set {
            ColumnSet::Usual => words.columns_usual,
            ColumnSet::Lines => words.columns_lines,
            ColumnSet::All => words.columns_all,
        };
        html! {
            div.tools {
                form.search method="get" role="search" {
                    (kept(view, &["q"]))
                    label.hidden for="q" { (words.search) }
                    input #q type="search" name="q" value=(view.params.search) placeholder=(words.search)
                        autocomplete="off" spellcheck="false";
                    button { (words.find) }
                }
                span.segments role="group" aria-label=(words.columns) {
                    @for set in ColumnSet::ALL {
                        a href=(view.params.with(|params| {
                            params.columns = set;
                            params.cursor = view.params.cursor.clone();
                        }).query()) aria-current=[(set == view.params.columns).then_some("true")] { (text(set)) }
                    }
                }
                span.note { (self.sorted()) }
            }
        }
    }

    /// Says how the list is sorted.
    fn sorted(&self) -> String {
        let words = self.view.words;
        let columns = [ColumnSet::Usual, ColumnSet::Lines, ColumnSet::All]
            .into_iter()
            .flat_map(|set| Column::all(set, self.has_members()));
        let by = match self.sort {
            ListSort::Name => words.name,
            ListSort::Metric(metric) => columns
                .into_iter()
                .find(|it| it.metric == metric.name)
                .map_or(metric.name, |it| it.title(words)),
        };
        let text = if self.direction == SortDirection::Desc { words.sorted_desc } else { words.sorted_asc };
        fill(text, &[("x", by)])
    }

    fn table(&self, grain: Grain) -> Markup {
        let (view, words) = (self.view, self.view.words);
        let rows: Vec<Row<'_>> = self
            .answer
            .entries
            .iter()
            .zip(self.trends)
            .map(|(entry, trend)| self.row(entry, trend))
            .collect();
        let sorting = Sorting::Links {
            by: self.sort.as_str().to_owned(),
            is_descending: self.direction == SortDirection::Desc,
        };
        let unit = match grain {
            Grain::Day => words.by_day,
            Grain::Week => words.by_week,
            Grain::Month => words.by_month,
        };
        html! {
            @if rows.is_empty() {
                div.message.empty { p { (words.found_none) } }
            } @else {
                section.panel.full {
                    (table(view, self.title(), Column::all(view.params.columns, self.has_members()), &rows, &sorting))
                    p.note.trend {
                        @let activity = panels::activity_name(view, view.params.activity);
                        (fill(words.trend_note, &[("x", activity), ("unit", unit)]))
                    }
                }
            }
        }
    }

    fn row<'a>(&'a self, entry: &'a ListEntry, trend: &'a [u64]) -> Row<'a> {
        let name = entry.repo.as_deref().or(entry.member.as_deref()).unwrap_or_default();
        let has_twin = self.shared_repo_names.contains(&name.to_lowercase());
        let mut params = self.view.params.carried();
        params.id = entry.id.filter(|_| has_twin);
        let link = self.view.link_with(&["orgs", self.org, self.answer.kind.as_str(), name], &params);
        let change = self.change(entry);
        Row { name, link, kind: entry.kind, trend: Some(trend), metrics: &entry.metrics, change }
    }

    /// Returns the column whose change is shown: the one that the list is sorted by, or that of the trend.
    fn changed_column(&self) -> &'static str {
        let columns = Column::all(self.view.params.columns, self.has_members());
        let sorted = match self.sort {
            ListSort::Metric(metric) => Some(metric.name),
            ListSort::Name => None,
        };
        let wanted = [sorted, Some(self.view.params.activity)].into_iter().flatten();
        let mut shown = wanted.filter(|name| columns.iter().any(|column| column.metric == *name));
        shown.next().unwrap_or(columns[0].metric)
    }

    /// Returns the change of an entry, if both ranges are complete. It is never judged: half of the lists are about people.
    fn change(&self, entry: &ListEntry) -> Option<(&'static str, Change)> {
        let previous = entry.previous.as_ref().filter(|_| self.answer.is_comparable)?;
        let metric = self.changed_column();
        let pair = match entry.metrics.get(metric)? {
            MetricValue::Count(now) => Pair::Counts(now, previous.metrics.count(metric)),
            MetricValue::Distribution { .. } => {
                let median = |values: &MetricValues| {
                    let (p50, _, count) = format::distribution(values, metric);
                    (p50, count)
                };
                Pair::Hours(median(&entry.metrics), median(&previous.metrics))
            }
        };
        Some((metric, change(pair, Direction::Neutral, self.view.language)))
    }

    fn pages(&self) -> Markup {
        let (view, words) = (self.view, self.view.words);
        let shown = format::count(self.answer.entries.len() as u64);
        html! {
            nav.pages aria-label=(words.pages) {
                @if view.params.cursor.is_some() { a href=(view.here(|_| ())) { "‹ " (words.first_page) } }
                span { (fill(words.shown, &[("n", &shown)])) }
                @if let Some(next) = &self.answer.next {
                    // The cursor belongs to these days, also when a preset means others tomorrow.
                    @let days = RangeChoice::Days(Some(self.range.since()), Some(self.range.until()));
                    a rel="next" href=(view.here(|params| {
                        params.range = days;
                        params.cursor = Some(next.clone());
                    })) {
                        (words.next_page) " ›"
                    }
                }
            }
        }
    }

    fn api(&self) -> String {
        let (view, range) = (self.view, self.range);
        let search = match view.params.search.as_str() {
            "" => String::new(),
            text => format!("&q={}", format::encode(text)),
        };
        format!(
            "{}api/v1/orgs/{}/{}?since={}&until={}&bots={}&sort={}&order={}{search}",
            view.root,
            format::encode(self.org),
            self.answer.kind.as_str(),
            range.since(),
            range.until(),
            bots_name(view.params.bots),
            self.sort.as_str(),
            self.direction.as_str(),
        )
    }
}
