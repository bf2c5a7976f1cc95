//! Tables of repositories and members, and what all tables have in common.

use gam_model::MemberKind;
use gam_query::MetricValues;
use maud::{Markup, PreEscaped, html};

use super::change::Change;
use super::format;
use super::request::ColumnSet;
use super::view::View;
use super::words::{Words, fill};
use crate::charts::{Language, format_hours, sparkline};

/// The most rows of a list that a page shows at once.
const MAX_ROWS: usize = 200;

/// The head of a column.
#[derive(Clone, Copy)]
pub(super) enum Head<'a> {
    Text(&'a str),
    /// Of numbers and times, which are aligned to the right.
    Number(&'a str),
}

/// Returns the part of a page with a list: its title with the number of its rows, a note, and its table if there are rows.
/// Each row has a cell for each head.
pub(super) fn list_panel(
    view: &View,
    (title, note): (&str, &str),
    heads: &[Head<'_>],
    rows: impl ExactSizeIterator<Item = Markup>,
) -> Markup {
    let count = rows.len();
    html! {
        section.panel.full {
            h2 { (title) " " span.note { (format::count(count as u64)) } }
            @if !note.is_empty() { p.note { (note) } }
            @if count > 0 {
                (scrolled_table(title, false, heads, html! { @for row in rows.take(MAX_ROWS) { (row) } }))
            }
            @if let Some(more) = count.checked_sub(MAX_ROWS).filter(|more| *more > 0) {
                p.note { (fill(view.words.gap_more, &[("n", &format::count(more as u64))])) }
            }
        }
    }
}

/// Returns a table that is scrolled if it is too wide. `is_sortable` says that the script sorts it.
pub(super) fn scrolled_table(title: &str, is_sortable: bool, heads: &[Head<'_>], rows: Markup) -> Markup {
    html! {
        div.scroll tabindex="0" role="region" aria-label=(title) {
            table.list data-sort=[is_sortable.then_some("")] { (table_content(title, heads, rows)) }
        }
    }
}

/// Returns what is in a table: its caption, its heads and its rows.
pub(super) fn table_content(title: &str, heads: &[Head<'_>], rows: Markup) -> Markup {
    html! {
        caption.hidden { (title) }
        thead {
            tr {
                @for head in heads {
                    @match head {
                        Head::Text(text) => th scope="col" { (text) },
                        Head::Number(text) => th.number scope="col" { (text) },
                    }
                }
            }
        }
        tbody { (rows) }
    }
}

/// A column with a value of each entry.
#[derive(Clone, Copy)]
pub(super) struct Column {
    /// The metric, which is also what the API sorts by.
    pub(super) metric: &'static str,
    title: fn(&Words) -> &'static str,
}

macro_rules! columns {
    ($($metric:literal: $title:ident),* $(,)?) => {
        &[$(Column { metric: $metric, title: |words| words.$title }),*]
    };
}

const REPO_COLUMNS: &[Column] = columns![
    "commits": commits, "prs_merged": merged_short, "cycle_time_hours": cycle_time_short,
    "first_review_hours": first_review_short, "reviews": reviews, "deploys": deploys,
];
const MEMBER_COLUMNS: &[Column] = columns![
    "commits": commits, "prs_opened": opened, "prs_merged": merged_short, "reviews": reviews,
    "issues_opened": issues_opened, "issues_closed": issues_closed,
];
const LINE_COLUMNS: &[Column] = columns![
    "commits": commits, "additions": additions, "deletions": deletions, "lines_changed": lines_changed,
    "files_changed": files_changed,
];
const ALL_COLUMNS: &[Column] = columns![
    "commits": commits, "merge_commits": merge_commits, "co_authored_commits": co_authored,
    "additions": additions, "deletions": deletions, "files_changed": files_changed, "prs_opened": opened,
    "prs_merged": merged_short, "prs_closed": closed, "reviews": reviews, "issues_opened": issues_opened,
    "issues_closed": issues_closed, "releases": releases, "deploys": deploys, "deploy_failures": failed,
    "cycle_time_hours": cycle_time_short, "first_review_hours": first_review_short,
];

impl Column {
    /// Returns the columns of a table.
    pub(super) fn all(set: ColumnSet, has_members: bool) -> &'static [Column] {
        match (set, has_members) {
            (ColumnSet::Usual, false) => REPO_COLUMNS,
            (ColumnSet::Usual, true) => MEMBER_COLUMNS,
            (ColumnSet::Lines, _) => LINE_COLUMNS,
            (ColumnSet::All, _) => ALL_COLUMNS,
        }
    }

    pub(super) fn title(&self, words: &Words) -> &'static str {
        (self.title)(words)
    }

    /// Returns the text of a value, and the number to sort by.
    fn value(&self, values: &MetricValues, language: Language) -> (String, Option<f64>) {
        match values.get(self.metric) {
            Some(gam_query::MetricValue::Count(count)) => (format::count(count), Some(count as f64)),
            Some(gam_query::MetricValue::Distribution { p50: Some(hours), .. }) => {
                (format_hours(hours, language), Some(hours))
            }
            _ => (format::NONE.to_owned(), None),
        }
    }
}

/// A row of a table.
pub(super) struct Row<'a> {
    pub(super) name: &'a str,
    pub(super) link: String,
    pub(super) kind: Option<MemberKind>,
    pub(super) trend: Option<&'a [u64]>,
    pub(super) metrics: &'a MetricValues,
    /// The change of one of the columns against the range before, which follows that column.
    pub(super) change: Option<(&'static str, Change)>,
}

/// How a table is sorted.
pub(super) enum Sorting {
    /// The rows are all there are, so the script sorts them.
    Script,
    /// By links: `link(name, is_descending)` sorts by a column.
    Links { by: String, is_descending: bool },
}

pub(super) fn table(
    view: &View,
    title: &str,
    columns: &[Column],
    rows: &[Row<'_>],
    sorting: &Sorting,
) -> Markup {
    let words = view.words;
    let has_trend = rows.iter().any(|row| row.trend.is_some());
    let changed = rows.iter().find_map(|row| row.change.as_ref().map(|(metric, _)| *metric));
    html! {
        div.scroll tabindex="0" role="region" aria-label=(title) {
            table.list data-sort=[matches!(sorting, Sorting::Script).then_some("")] {
                caption.hidden { (title) }
                thead {
                    tr {
                        (head(view, sorting, "name", words.name, false))
                        @if has_trend { th.trend scope="col" { (words.trend) } }
                        @for column in columns {
                            (head(view, sorting, column.metric, column.title(words), true))
                            @if changed == Some(column.metric) { th.number scope="col" { (words.change) } }
                        }
                    }
                }
                tbody {
                    @for row in rows {
                        tr {
                            th scope="row" {
                                a href=(row.link) { (row.name) }
                                @if row.kind == Some(MemberKind::Bot) { " " span.tag { (words.bot) } }
                            }
                            @if has_trend { td.trend aria-hidden="true" { (spark(row.trend)) } }
                            @for column in columns {
                                @let (text, number) = column.value(row.metrics, view.language);
                                td.number data-value=[number] {
                                    @if number.is_none() { span.hidden { (words.no_data) } span aria-hidden="true" { (text) } }
                                    @else { (text) }
                                }
                                @if changed == Some(column.metric) { (change_cell(row)) }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn change_cell(row: &Row<'_>) -> Markup {
    html! {
        td.number {
            @if let Some((_, change)) = &row.change {
                span.change.muted {
                    @if !change.arrow.is_empty() { span aria-hidden="true" { (change.arrow) " " } }
                    (change.text)
                }
            }
        }
    }
}

fn spark(trend: Option<&[u64]>) -> Markup {
    let values: Vec<Option<f64>> =
        trend.unwrap_or_default().iter().map(|count| Some(*count as f64)).collect();
    html! { @if !values.is_empty() { (PreEscaped(sparkline(&values).into_string())) } }
}

fn head(view: &View, sorting: &Sorting, key: &str, title: &str, is_number: bool) -> Markup {
    let class = is_number.then_some("number");
    let Sorting::Links { by, is_descending } = sorting else {
        return html! { th class=[class] scope="col" { (title) } };
    };
    let is_sorted = by == key;
    // The first click sorts numbers from the greatest, names from the first.
    let next_descending = if is_sorted { !is_descending } else { is_number };
    let order = if next_descending { gam_query::SortDirection::Desc } else { gam_query::SortDirection::Asc };
    let link = view.here(|params| {
        params.sort = Some(key.to_owned());
        params.order = Some(order);
    });
    let (sort, sign) = match (is_sorted, is_descending) {
        (false, _) => (None, "↕"),
        (true, true) => (Some("descending"), "▼"),
        (true, false) => (Some("ascending"), "▲"),
    };
    html! {
        th class=[class] scope="col" aria-sort=[sort] {
            a href=(link) { (title) span.arrow aria-hidden="true" { "\u{a0}" (sign) } }
        }
    }
}
