//! Charts with all that belongs to them: a heading, a legend with totals, notes, and the same numbers as a table.

use gam_model::Grain;
use gam_query::{DashboardAnswer, DashboardBucket};
use maud::{Markup, PreEscaped, html};

use super::format;
use super::tables::{Head, table_content};
use super::view::View;
use super::words::fill;
use crate::charts::{Frame, NamedSeries, Placement, Slot, Svg, TimeAxis, format_slot};
use crate::complete_days::CompleteDays;

/// The sizes in which each chart is drawn. The style sheet shows one of them, so that text has one size.
const WIDE: (u32, u32) = (560, 220);
const NARROW: (u32, u32) = (328, 200);

/// A chart and what belongs to it.
pub(super) struct Figure<'a> {
    /// The id of the element, for links.
    pub(super) id: &'a str,
    pub(super) title: &'a str,
    /// What is beside the title: links that change the chart.
    pub(super) choices: Markup,
    /// Draws the chart in a frame.
    pub(super) chart: &'a dyn Fn(&Frame) -> Svg,
    pub(super) legend: Markup,
    pub(super) note: Markup,
    /// The numbers. Row k belongs to slot k of the chart.
    pub(super) table: Markup,
    /// The link to the same numbers in the API.
    pub(super) api: Option<String>,
}

pub(super) fn figure(view: &View, it: &Figure<'_>) -> Markup {
    let words = view.words;
    html! {
        figure.panel id=(it.id) {
            figcaption { h2 { (it.title) } (it.choices) }
            div.plot data-help=(words.chart_help) {
                div.wide { (drawn(view, it, WIDE)) }
                div.narrow { (drawn(view, it, NARROW)) }
            }
            (it.legend)
            (it.note)
            details.numbers {
                summary { (words.numbers) }
                div.scroll tabindex="0" role="region" aria-label=(fill(words.table_of, &[("x", it.title)])) { (it.table) }
                @if let Some(api) = &it.api { p { a href=(api) { (words.csv) } } }
            }
        }
    }
}

fn drawn(view: &View, it: &Figure<'_>, (width, height): (u32, u32)) -> Markup {
    let frame = Frame {
        title: it.title.to_owned(),
        placement: Placement::Inline,
        language: view.language,
        width,
        height,
    };
    PreEscaped((it.chart)(&frame).into_string())
}

/// Returns the time axis of a dashboard.
pub(super) fn time_axis(board: &DashboardAnswer, grain: Grain, days: &CompleteDays) -> TimeAxis {
    let slot = |bucket: &DashboardBucket| Slot {
        start: bucket.start,
        end: bucket.end,
        is_partial: bucket.is_partial,
        is_incomplete: days
            .is_incomplete(bucket.start.max(board.range.since()), bucket.end.min(board.range.until())),
    };
    TimeAxis { grain, slots: board.buckets.iter().map(slot).collect() }
}

/// An entry of a legend.
pub(super) struct LegendEntry {
    /// The class of its sign.
    pub(super) class: String,
    pub(super) name: String,
    pub(super) total: String,
    pub(super) link: Option<String>,
}

pub(super) fn legend(entries: &[LegendEntry]) -> Markup {
    html! {
        ul.legend {
            @for entry in entries {
                li {
                    span class={ "sign " (entry.class) } aria-hidden="true" {}
                    @match &entry.link {
                        Some(link) => { a href=(link) { (entry.name) } }
                        None => { span { (entry.name) } }
                    }
                    @if !entry.total.is_empty() { " " strong { (entry.total) } }
                }
            }
        }
    }
}

/// The note of charts whose first or last bucket is partial; empty if none is.
pub(super) fn partial_note(view: &View, time: &TimeAxis) -> Markup {
    let unit = match time.grain {
        Grain::Day => view.words.unit_day,
        Grain::Week => view.words.unit_week,
        Grain::Month => view.words.unit_month,
    };
    html! {
        @if time.slots.last().is_some_and(|slot| slot.is_partial) {
            p.note { (fill(view.words.partial, &[("unit", unit)])) }
        }
    }
}

/// A table with one row for each slot and one column for each series.
pub(super) fn slots_table(
    view: &View,
    title: &str,
    time: &TimeAxis,
    series: &[NamedSeries],
    value: &dyn Fn(f64) -> String,
) -> Markup {
    let cell = |named: &NamedSeries, slot: usize| {
        named.values.get(slot).copied().flatten().map_or_else(|| format::NONE.to_owned(), value)
    };
    let names = series.iter().map(|named| Head::Number(&named.name));
    let heads: Vec<Head<'_>> = std::iter::once(Head::Text(view.words.period)).chain(names).collect();
    let rows = html! {
        @for (at, slot) in time.slots.iter().enumerate() {
            tr {
                th scope="row" { (format_slot(slot, time.grain, view.language)) }
                @for named in series { td.number { (cell(named, at)) } }
            }
        }
    };
    html! { table { (table_content(title, &heads, rows)) } }
}

/// A table with one row for each name.
pub(super) fn names_table(view: &View, title: &str, value_title: &str, rows: &[(String, String)]) -> Markup {
    let heads = [Head::Text(view.words.name), Head::Number(value_title)];
    let rows = html! {
        @for (name, value) in rows {
            tr { th scope="row" { (name) } td.number { (value) } }
        }
    };
    html! { table { (table_content(title, &heads, rows)) } }
}
