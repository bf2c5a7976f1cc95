//! The controls of a page: days, granularity, bots, members. They are links and forms, so they work without script.

use chrono::{Days, NaiveDate};
use gam_model::{Grain, Range};
use gam_query::BotFilter;
use maud::{Markup, html};

use super::format;
use super::request::{Preset, RangeChoice, bots_name};
use super::view::View;
use super::words::fill;

/// What a page can be controlled by.
pub(super) struct Controls<'a> {
    pub(super) range: Range,
    pub(super) grain: Grain,
    pub(super) today: NaiveDate,
    pub(super) zone: &'a str,
    /// Whether the page shows buckets of time.
    pub(super) has_grain: bool,
    /// Whether the page can be limited to members.
    pub(super) has_members: bool,
}

pub(super) fn controls(view: &View, it: &Controls<'_>) -> Markup {
    let words = view.words;
    html! {
        div.controls {
            div.range {
                (step(view, it, false))
                strong { (format::range(it.range, it.zone, view.language)) }
                (step(view, it, true))
            }
            nav.presets aria-label=(words.range) {
                @for preset in Preset::ALL {
                    a href=(view.here(|params| params.range = RangeChoice::Preset(preset)))
                        aria-current=[(view.params.range == RangeChoice::Preset(preset)).then_some("true")] {
                        (preset_text(view, preset))
                    }
                }
                (other_days(view, it.range))
            }
            div.choices {
                @if it.has_grain { (grains(view, it)) }
                (bots(view))
                @if it.has_members { (members(view)) }
            }
        }
    }
}

fn preset_text(view: &View, preset: Preset) -> String {
    match preset {
        Preset::Days(days) => fill(view.words.last_days, &[("n", &days.to_string())]),
        Preset::ThisMonth => view.words.this_month.to_owned(),
        Preset::LastMonth => view.words.last_month.to_owned(),
        Preset::Year => view.words.months_12.to_owned(),
    }
}

/// The link to the range before or after, of the same number of days.
fn step(view: &View, it: &Controls<'_>, is_later: bool) -> Markup {
    let days = Days::new((it.range.until() - it.range.since()).num_days() as u64);
    let moved = |day: NaiveDate| {
        if is_later { day.checked_add_days(days) } else { day.checked_sub_days(days) }
    };
    let range = moved(it.range.since()).zip(moved(it.range.until()));
    let range = range.filter(|(since, _)| !is_later || *since <= it.today);
    let (text, sign) = if is_later { (view.words.later, "›") } else { (view.words.earlier, "‹") };
    html! {
        @match range {
            Some((since, until)) => {
                @let choice = RangeChoice::Days(Some(since), Some(until));
                a.step href=(view.here(|params| params.range = choice)) aria-label=(text) title=(text) { (sign) }
            }
            None => { span.step aria-hidden="true" { (sign) } }
        }
    }
}

/// Hidden fields that keep the other parameters when a form is sent.
pub(super) fn kept(view: &View, without: &[&str]) -> Markup {
    html! {
        @for (name, value) in view.params.with(|_| ()).pairs() {
            @if !without.contains(&name) { input type="hidden" name=(name) value=(value); }
        }
    }
}

fn other_days(view: &View, range: Range) -> Markup {
    let words = view.words;
    html! {
        details.menu {
            summary { (words.other_days) }
            form method="get" {
                (kept(view, &["range", "since", "until"]))
                label { (words.first_day) input type="date" name="since" value=(range.since()) required; }
                label {
                    (words.last_day)
                    input type="date" name="last" value=(range.until() - Days::new(1)) required;
                }
                button { (words.show) }
                a href=(view.here(|params| {
                    params.range = RangeChoice::Days(Some(range.since()), Some(range.until()));
                })) { (words.link_days) }
            }
        }
    }
}

fn grains(view: &View, it: &Controls<'_>) -> Markup {
    let words = view.words;
    let fits = |grain: Grain| view.params.with(|params| params.grain = Some(grain)).grain(it.range) == grain;
    html! {
        span.segments role="group" aria-label=(words.granularity) {
            @for (grain, text) in
                [(Grain::Day, words.by_day), (Grain::Week, words.by_week), (Grain::Month, words.by_month)]
            {
                @if fits(grain) || grain == it.grain {
                    a href=(view.here(|params| params.grain = Some(grain)))
                        aria-current=[(grain == it.grain).then_some("true")] { (text) }
                }
            }
        }
    }
}

fn bots(view: &View) -> Markup {
    let words = view.words;
    let text = |bots: BotFilter| match bots {
        BotFilter::Auto => words.bots_auto,
        BotFilter::Exclude => words.bots_exclude,
        BotFilter::Include => words.bots_include,
        BotFilter::Only => words.bots_only,
    };
    html! {
        details.menu {
            summary { (words.bots) ": " (text(view.params.bots)) }
            ul {
                @for bots in [BotFilter::Auto, BotFilter::Include, BotFilter::Only, BotFilter::Exclude] {
                    li {
                        a href=(view.here(|params| params.bots = bots)) data-bots=(bots_name(bots))
                            aria-current=[(bots == view.params.bots).then_some("true")] { (text(bots)) }
                    }
                }
                li.note { (words.bots_note) }
            }
        }
    }
}

fn members(view: &View) -> Markup {
    let words = view.words;
    let selected = &view.params.members;
    let text = match selected.len() {
        0 => words.members_all.to_owned(),
        number => fill(words.members_some, &[("n", &number.to_string())]),
    };
    html! {
        details.menu {
            summary { (words.members_filter) ": " (text) }
            form method="get" {
                (kept(view, &["member"]))
                label { (words.members_help) input type="text" name="member" value=(selected.join(", ")); }
                button { (words.show) }
                @if !selected.is_empty() {
                    a href=(view.here(|params| params.members.clear())) { (words.members_clear) }
                }
            }
        }
    }
}
