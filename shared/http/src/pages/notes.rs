//! What is said about the numbers: whether they are complete, and how they compare.

use gam_model::Range;
use gam_query::{BotFilter, CoverageAnswer};
use maud::{Markup, html};

use super::format;
use super::view::View;
use super::words::fill;
use crate::charts::format_day;
use crate::complete_days::CompleteDays;

/// The band above the numbers if they are not complete; empty if they are.
pub(super) fn incomplete(
    view: &View,
    coverage: &CoverageAnswer,
    days: &CompleteDays,
    range: Range,
    org: &str,
) -> Markup {
    let words = view.words;
    let (start, end) = (days.misses_start(range.since()), days.misses_end(range.until()));
    if !start && !end && coverage.gap_count == 0 {
        return html! {};
    }
    let since = days.since().map(|day| format_day(day, view.language)).unwrap_or_default();
    let until = coverage.complete_until.map(|time| format::time(time, view.language)).unwrap_or_default();
    let unlisted = coverage.gap_count.saturating_sub(coverage.gaps.len() as u64);
    html! {
        section.incomplete {
            p {
                span.icon aria-hidden="true" { "△" }
                strong { (words.incomplete) } " "
                @if start { (fill(words.incomplete_before, &[("d", &since)])) " " }
                @if end { (fill(words.incomplete_after, &[("t", &until)])) }
            }
            @if coverage.gap_count > 0 {
                details {
                    summary { (fill(words.gaps, &[("n", &format::count(coverage.gap_count))])) }
                    ul {
                        @for gap in &coverage.gaps { li { (gap_text(view, gap)) } }
                        @if unlisted > 0 { li { (fill(words.gap_more, &[("n", &format::count(unlisted))])) } }
                    }
                }
            }
            @if start || end {
                @let command = format!("github-metrics collect {org} --since {}", range.since());
                p.note { (fill(words.gap_fix, &[("c", &command)])) }
            }
        }
    }
}

fn gap_text(view: &View, gap: &gam_query::Gap) -> Markup {
    let day = |time: chrono::DateTime<chrono::Utc>| format_day(time.date_naive(), view.language);
    html! {
        strong { (gap.repo) } ": " (gap.kind)
        @if let Some(number) = gap.number { " " (number) }
        @match (gap.from, gap.until) {
            (Some(from), Some(until)) => { ", " (day(from)) " – " (day(until)) }
            (Some(time), None) | (None, Some(time)) => { ", " (day(time)) }
            (None, None) => {}
        }
        @if !gap.why.is_empty() { span lang="en" { " (" (gap.why) ")" } }
    }
}

/// The band above the numbers if some of the selected members do not exist; empty if all do.
pub(super) fn unknown_members(view: &View, org: &str, names: &[String]) -> Markup {
    html! {
        @if !names.is_empty() {
            section.incomplete {
                p {
                    span.icon aria-hidden="true" { "△" }
                    (fill(view.words.unknown_members, &[("org", org), ("x", &names.join(", "))]))
                }
            }
        }
    }
}

/// The line below the controls: until when GitHub was read, and since when the numbers are complete.
pub(super) fn as_of(view: &View, coverage: &CoverageAnswer, days: &CompleteDays) -> Markup {
    let words = view.words;
    html! {
        p.asof {
            @if let Some(time) = coverage.complete_until {
                span { (fill(words.as_of, &[("t", &format::time(time, view.language))])) }
            }
            @if let Some(day) = days.since().filter(|_| coverage.complete_until.is_some()) {
                span { (fill(words.complete_since, &[("d", &format_day(day, view.language))])) }
            }
            @if view.params.bots == BotFilter::Auto { span { (words.bots_note) } }
        }
    }
}

/// What the changes compare with.
pub(super) fn compared(view: &View, previous: Option<Range>, is_comparable: bool) -> Markup {
    let words = view.words;
    html! {
        @match previous.filter(|_| is_comparable) {
            Some(range) => {
                p.note {
                    (fill(words.compared, &[("a", &format::days(range, view.language))])) " " (words.whole_weeks)
                }
            }
            None => { p.note { (words.incomparable_why) } }
        }
    }
}
