//! The calendar of contributions: a table, so that every day has a value that can be read.

use chrono::{Datelike, Days, NaiveDate};
use gam_query::DashboardAnswer;
use maud::{Markup, html};

use super::format;
use super::view::View;
use super::words::fill;
use crate::charts::{Language, format_day};

pub(super) fn calendar(view: &View, board: &DashboardAnswer) -> Markup {
    let words = view.words;
    let first = board.calendar.since();
    let weeks = (board.calendar.until() - first).num_days() as u64 / 7;
    let greatest = board.contributions.values().copied().max().unwrap_or_default();
    let total: u64 = board.contributions.values().sum();
    let busiest =
        board.contributions.iter().filter(|(_, count)| **count == greatest).map(|(day, _)| *day).min();
    html! {
        figure.panel.calendar #calendar {
            figcaption { h2 { (words.calendar) } span.note { (words.calendar_note) } }
            div.scroll tabindex="0" role="region" aria-label=(words.calendar) {
                table.days {
                    caption.hidden { (words.calendar) ". " (words.calendar_note) }
                    thead {
                        tr {
                            td { span.hidden { (words.weekday) } }
                            @for (name, span) in months(view, first, weeks) {
                                th scope="colgroup" colspan=(span) { (name) }
                            }
                        }
                    }
                    tbody {
                        @for (at, weekday) in words.weekdays.split(' ').enumerate() {
                            tr {
                                th scope="row" { (weekday) }
                                @for week in 0..weeks {
                                    (cell(view, board, first + Days::new(7 * week + at as u64), greatest))
                                }
                            }
                        }
                    }
                }
            }
            p.scale {
                @if let Some(day) = busiest {
                    @let (sum, most) = (format::count(total), format::count(greatest));
                    span {
                        (fill(words.calendar_sum, &[("n", &sum), ("d", &format_day(day, view.language)), ("m", &most)]))
                    }
                }
                span {
                    (words.less) " "
                    @for step in 0..5 { span class={ "q q" (step) } aria-hidden="true" {} }
                    " " (words.more)
                }
            }
        }
    }
}

fn cell(view: &View, board: &DashboardAnswer, day: NaiveDate, greatest: u64) -> Markup {
    if day > board.today {
        return html! { td.future {} };
    }
    let count = board.contributions.get(&day).copied().unwrap_or_default();
    let number = format::count(count);
    let title = match view.language {
        Language::English => format!("{}: {number}", day.format("%-d %b")),
        Language::Japanese => format!("{}/{}: {number}", day.month(), day.day()),
    };
    html! { td class={ "q" (level(count, greatest)) } title=(title) { (number) } }
}

/// Returns the step of a count: 0 for none, else 1 to 4 in quarters of the greatest.
fn level(count: u64, greatest: u64) -> u64 {
    match count {
        0 => 0,
        count => (1 + (count - 1).saturating_mul(4) / greatest.max(1)).min(4),
    }
}

/// Returns the months of the weeks, each with its number of weeks. A month begins with the week of its first day.
fn months(view: &View, first: NaiveDate, weeks: u64) -> Vec<(String, u64)> {
    let name = |day: NaiveDate| match view.language {
        Language::English => day.format("%b").to_string(),
        Language::Japanese => format!("{}月", day.month()),
    };
    let mut months: Vec<(u32, String, u64)> = Vec::new();
    for week in 0..weeks {
        let sunday = first + Days::new(7 * week + 6);
        match months.last_mut() {
            Some((month, _, span)) if *month == sunday.month() => *span += 1,
            _ => months.push((sunday.month(), name(sunday), 1)),
        }
    }
    // A name needs the width of two weeks.
    months.into_iter().map(|(_, name, span)| (if span > 1 { name } else { String::new() }, span)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_quarters_of_the_greatest() {
        assert_eq!([0, 1, 10, 11, 20, 21, 31, 40].map(|count| level(count, 40)), [0, 1, 1, 2, 2, 3, 4, 4]);
        assert_eq!(level(1, 1), 1);
        assert_eq!(level(0, 0), 0);
    }
}
