//! `/orgs/{org}/agents`: what the sessions of coding agents used, did and cost, and which merged pull requests they led to.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use gam_model::{Grain, Range};
use gam_query::{
    AgentBoardAnswer, AgentBoardRequest, AgentListAnswer, AgentMetricValue, AgentPartName, QueryPorts,
};
use maud::{Markup, html};

use super::controls::{Controls, controls};
use super::figures::{Figure, LegendEntry, figure, legend, partial_note, slots_table};
use super::format;
use super::shell::{Page, Section, render, respond};
use super::tables::{Head, scrolled_table};
use super::view::View;
use super::words::fill;
use crate::charts::{self, NamedSeries, Slot, TimeAxis, Unit, format_dollars};
use crate::error::ApiError;
use crate::params::SubjectPath;

/// How many models the chart names.
const MODELS: usize = 6;
/// How many models or tools a table has.
const MAX_ENTRIES: usize = 30;

/// What the page shows.
struct AgentsBoard {
    range: Range,
    grain: Grain,
    today: chrono::NaiveDate,
    answer: AgentBoardAnswer,
}

async fn read(ports: &QueryPorts, view: &View, org: &str) -> Result<AgentsBoard, ApiError> {
    let (today, range, grain) = view.days(ports, org).await?;
    let bots = view.params.bots;
    let request = AgentBoardRequest { range, grain, bots, series: MODELS, entries: MAX_ENTRIES };
    let answer = gam_query::agent_board(ports, org, request).await?;
    Ok(AgentsBoard { range, grain, today, answer })
}

pub(super) async fn handle(
    State(ports): State<QueryPorts>,
    path: SubjectPath,
    mut view: View,
) -> Result<Response, ApiError> {
    if let Some(redirect) = view.redirect() {
        return Ok(redirect);
    }
    view.params.members.clear();
    let board = read(&ports, &view, &path.org).await?;
    render(move || page(&view, &board)).await
}

fn page(view: &View, board: &AgentsBoard) -> Response {
    let words = view.words;
    let context = &board.answer.metrics.context;
    let is_empty = board.answer.metrics.metrics.number("agent_members").unwrap_or_default() == 0.0;
    let body = html! {
        h1.hidden { (words.agents) }
        (controls(view, &Controls {
            range: board.range, grain: board.grain, today: board.today, zone: context.timezone,
            has_grain: true, has_members: false,
        }))
        (known(view, board))
        @if is_empty {
            div.message.empty {
                p { strong { (words.agents_empty) } }
                pre { code { "github-metrics ingest sessions --org " (context.org) } }
            }
        }
        div.panels {
            @if !is_empty { (use_panel(view, board)) (cost_panel(view, board)) (models_panel(view, board)) (tools_panel(view, board)) }
            (prs_panel(view, board))
        }
    };
    let org = context.org.as_str();
    let title = format!("{} · {org}", words.agents);
    respond(view, StatusCode::OK, Page { title: &title, org: Some((org, Section::Agents)), body })
}

/// What is known, and what is not.
fn known(view: &View, board: &AgentsBoard) -> Markup {
    let words = view.words;
    let coverage = board.answer.metrics.coverage.clone().unwrap_or_default();
    let (with, all) =
        (format::count(coverage.active_members_with_sessions), format::count(coverage.active_members));
    let models: Vec<&str> = board
        .answer
        .metrics
        .unpriced_models
        .iter()
        .map(|model| if model.is_empty() { words.agents_no_model } else { model.as_str() })
        .collect();
    html! {
        p.note { (fill(words.agents_known, &[("a", &with), ("b", &all)])) }
        @if let Some(first) = board.answer.metrics.kept_since.filter(|first| board.range.since() < *first) {
            p.note { (fill(words.agents_kept, &[("d", &first.to_string())])) }
        }
        @if !models.is_empty() {
            p.note { (fill(words.agents_unpriced, &[("x", &models.join(", "))])) }
        }
    }
}

/// Formats a value: a count, hours, dollars or a share.
fn value(view: &View, name: &str, value: Option<AgentMetricValue>) -> String {
    let Some(value) = value else { return format::NONE.to_owned() };
    match (name, value) {
        (_, AgentMetricValue::Count(count)) => format::count(count),
        (_, AgentMetricValue::Distribution { p50, .. }) => format::hours(p50, view.language),
        (_, AgentMetricValue::Number(None)) => format::NONE.to_owned(),
        (name, AgentMetricValue::Number(Some(share))) if name.ends_with("_rate") => {
            format::percent(share, view.language)
        }
        ("agent_cost_usd", AgentMetricValue::Number(Some(dollars))) => format_dollars(dollars),
        (_, AgentMetricValue::Number(hours)) => format::hours(hours, view.language),
    }
}

/// The name of a metric on the page.
fn metric_name(view: &View, name: &str) -> &'static str {
    let words = view.words;
    match name {
        "agent_sessions" => words.agent_sessions,
        "agent_active_hours" => words.agent_active_hours,
        "agent_session_hours" => words.agent_session_hours,
        "agent_prompts" => words.agent_prompts,
        "agent_responses" => words.agent_responses,
        "agent_tokens_input" => words.agent_tokens_input,
        "agent_tokens_output" => words.agent_tokens_output,
        "agent_tokens_cache_read" => words.agent_tokens_cache_read,
        "agent_tokens_cache_write" => words.agent_tokens_cache_write,
        "agent_cost_usd" => words.agent_cost,
        "agent_unpriced_tokens" => words.agent_unpriced_tokens,
        "agent_tool_calls" => words.agent_tool_calls,
        "agent_tool_errors" => words.agent_tool_errors,
        "agent_tool_error_rate" => words.agent_tool_error_rate,
        "agent_tool_rejections" => words.agent_tool_rejections,
        "agent_tool_rejection_rate" => words.agent_tool_rejection_rate,
        "agent_lines_added" => words.additions,
        "agent_lines_deleted" => words.deletions,
        _ => words.agent_members,
    }
}

fn use_panel(view: &View, board: &AgentsBoard) -> Markup {
    let words = view.words;
    let heads = [Head::Text(words.metric), Head::Number(words.value)];
    let rows = html! {
        @for (name, number) in &board.answer.metrics.metrics.0 {
            tr data-metric=(name) {
                th scope="row" { (metric_name(view, name)) }
                td.number { (value(view, name, Some(*number))) }
            }
        }
    };
    html! {
        section.panel #use {
            h2 { (words.agents_use) }
            (scrolled_table(words.agents_use, false, &heads, rows))
        }
    }
}

/// Returns the name of a model or a tool.
fn part_name(view: &View, name: &AgentPartName) -> String {
    match (name == &AgentPartName::default(), name.label()) {
        (true, _) => view.words.other.to_owned(),
        (false, label) if label.is_empty() => view.words.agents_no_model.to_owned(),
        (false, label) => label,
    }
}

fn cost_panel(view: &View, board: &AgentsBoard) -> Markup {
    let words = view.words;
    let parts = board.answer.cost_by_model.series.as_deref().unwrap_or_default();
    let series: Vec<NamedSeries> = parts
        .iter()
        .map(|part| NamedSeries {
            name: part_name(view, &part.name),
            values: part.points.iter().map(|point| point.value.number()).collect(),
        })
        .collect();
    let slots = parts.first().map_or(&[][..], |part| &part.points).iter().map(|point| Slot {
        start: point.start,
        end: point.end,
        is_partial: point.partial,
        is_incomplete: false,
    });
    let time = TimeAxis { grain: board.grain, slots: slots.collect() };
    let others = parts.iter().any(|part| part.name == AgentPartName::default());
    let entries: Vec<LegendEntry> = series
        .iter()
        .enumerate()
        .map(|(at, named)| LegendEntry {
            class: if others && at + 1 == series.len() { "other".to_owned() } else { format!("s{}", at + 1) },
            name: named.name.clone(),
            total: total_dollars(&named.values),
            link: None,
        })
        .collect();
    let api = format!(
        "{}api/v1/orgs/{}/agents/metrics/timeseries.csv?metric=agent_cost_usd&by=model&parts={MODELS}&granularity={}&since={}&until={}&bots={}",
        view.root,
        format::encode(&board.answer.metrics.context.org),
        board.grain.as_str(),
        board.range.since(),
        board.range.until(),
        super::request::bots_name(view.params.bots)
    );
    figure(
        view,
        &Figure {
            id: "cost",
            title: words.agents_cost_by_model,
            choices: html! {},
            chart: &|frame| {
                charts::activity(frame, &time, Unit::Dollars, &series, others.then_some(words.other))
            },
            legend: legend(&entries),
            note: html! { (partial_note(view, &time)) p.note { (words.agents_cost_note) } },
            table: slots_table(view, words.agents_cost_by_model, &time, &series, &format_dollars),
            api: Some(api),
        },
    )
}

/// Formats the sum of costs. A missing one has tokens without a price, so without any other cost the sum is not known.
fn total_dollars(values: &[Option<f64>]) -> String {
    // An empty sum of numbers would be -0.
    let sum = values.iter().flatten().fold(0.0, |sum, value| sum + value);
    if sum == 0.0 && values.contains(&None) { format::NONE.to_owned() } else { format_dollars(sum) }
}

/// Returns the part of the page with the metrics of models or tools.
fn parts_panel(
    view: &View,
    (id, title, note): (&str, &str, &str),
    list: &AgentListAnswer,
    metrics: &[&str],
) -> Markup {
    let heads = metrics.iter().map(|name| Head::Number(metric_name(view, name)));
    let heads: Vec<Head<'_>> = std::iter::once(Head::Text(view.words.name)).chain(heads).collect();
    let rows = html! {
        @for entry in &list.entries {
            tr {
                th scope="row" { (part_name(view, &entry.name)) }
                @for name in metrics {
                    td.number data-value=[entry.metrics.number(name)] {
                        (value(view, name, entry.metrics.get(name)))
                    }
                }
            }
        }
    };
    html! {
        section.panel.full id=(id) {
            h2 { (title) }
            (scrolled_table(title, true, &heads, rows))
            @if !note.is_empty() { p.note { (note) } }
        }
    }
}

fn models_panel(view: &View, board: &AgentsBoard) -> Markup {
    let metrics = [
        "agent_responses",
        "agent_tokens_input",
        "agent_tokens_output",
        "agent_tokens_cache_read",
        "agent_tokens_cache_write",
        "agent_cost_usd",
        "agent_unpriced_tokens",
    ];
    parts_panel(view, ("models", view.words.agents_models, ""), &board.answer.models, &metrics)
}

fn tools_panel(view: &View, board: &AgentsBoard) -> Markup {
    let metrics = [
        "agent_tool_calls",
        "agent_tool_errors",
        "agent_tool_error_rate",
        "agent_tool_rejections",
        "agent_tool_rejection_rate",
    ];
    let words = view.words;
    parts_panel(
        view,
        ("tools", words.agents_tools, words.agents_rejections_note),
        &board.answer.tools,
        &metrics,
    )
}

/// The merged pull requests by what is known of sessions, and how many of them that is.
fn prs_panel(view: &View, board: &AgentsBoard) -> Markup {
    let (words, prs) = (view.words, &board.answer.prs);
    let class_name = |class: &str| match class {
        "linked" => words.pr_linked,
        "probable" => words.pr_probable,
        _ => words.pr_unknown,
    };
    let cost = |value: AgentMetricValue| match value {
        AgentMetricValue::Distribution { count, p50: Some(dollars), .. } => {
            format!("{} ({})", format_dollars(dollars), format::count(count))
        }
        _ => format::NONE.to_owned(),
    };
    let numbers = [prs.prs_with_sessions, prs.prs].map(format::count);
    let members = [prs.coverage.active_members_with_sessions, prs.coverage.active_members].map(format::count);
    let note = fill(
        words.pr_classes_note,
        &[("a", &numbers[0]), ("b", &numbers[1]), ("m", &members[0]), ("n", &members[1])],
    );
    let heads = [
        Head::Text(words.pr_class),
        Head::Number(words.merged),
        Head::Number(words.cycle_time_short),
        Head::Number(words.pr_cost),
        Head::Number(words.agent_unpriced_tokens),
    ];
    let rows = html! {
        @for class in &prs.classes {
            tr data-class=(class.class) {
                th scope="row" { (class_name(&class.class)) }
                td.number { (format::count(class.prs)) }
                td.number { (format::hours(class.cycle_time_hours.number(), view.language)) }
                td.number { (cost(class.cost_usd)) }
                td.number { (format::count(class.unpriced_tokens)) }
            }
        }
    };
    html! {
        section.panel #pull-requests {
            h2 { (words.pr_classes) }
            (scrolled_table(words.pr_classes, false, &heads, rows))
            p.note { (note) }
            p.note { (words.pr_rules) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_without_a_price_have_no_total() {
        for (values, total) in [
            (&[Some(0.0), Some(0.0)][..], "$0.00"),
            (&[Some(0.0), None], format::NONE),
            (&[Some(1.5), None, Some(0.25)], "$1.75"),
            (&[], "$0.00"),
        ] {
            assert_eq!(total_dollars(values), total, "{values:?}");
        }
    }
}
