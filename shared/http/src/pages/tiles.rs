//! The numbers at the top of a page, each with its change against the range before.

use gam_query::{DashboardAnswer, MetricValues};
use maud::{Markup, html};

use super::change::{Change, Direction, Pair, Tone, change};
use super::format;
use super::view::View;
use super::words::fill;

/// A number with its change.
pub(super) struct Tile {
    /// The metric, for tests and links.
    key: &'static str,
    name: &'static str,
    value: String,
    /// What the value is: median.
    note: &'static str,
    change: Change,
    /// What the value is of.
    detail: String,
    /// The id of the figure that it leads to; empty if there is none.
    anchor: &'static str,
}

/// Computes tiles of a dashboard.
pub(super) struct Tiles<'a> {
    pub(super) view: &'a View,
    pub(super) board: &'a DashboardAnswer,
    /// Whether changes are judged. Numbers of a person never are.
    pub(super) is_judged: bool,
}

impl Tiles<'_> {
    fn change(&self, direction: Direction, pair: impl Fn(&MetricValues, &MetricValues) -> Pair) -> Change {
        let direction = if self.is_judged { direction } else { Direction::Neutral };
        match self.board.previous.as_ref().filter(|_| self.board.is_comparable) {
            Some(previous) => change(pair(&self.board.metrics, previous), direction, self.view.language),
            None => Change::incomparable(self.view.language),
        }
    }

    /// A count.
    pub(super) fn count(
        &self,
        key: &'static str,
        name: &'static str,
        direction: Direction,
        anchor: &'static str,
        detail: String,
    ) -> Tile {
        let change = self.change(direction, |now, before| Pair::Counts(now.count(key), before.count(key)));
        let value = format::count(self.board.metrics.count(key));
        Tile { key, name, value, note: "", change, detail, anchor }
    }

    /// The median of a distribution.
    pub(super) fn median(
        &self,
        key: &'static str,
        name: &'static str,
        anchor: &'static str,
        detail: String,
    ) -> Tile {
        let pair = |values: &MetricValues| {
            let (p50, _, count) = format::distribution(values, key);
            (p50, count)
        };
        let change = self.change(Direction::Down, |now, before| Pair::Hours(pair(now), pair(before)));
        let value = format::hours(pair(&self.board.metrics).0, self.view.language);
        Tile { key, name, value, note: self.view.words.median_note, change, detail, anchor }
    }

    /// The share of deployments that failed.
    pub(super) fn failed_share(&self, anchor: &'static str) -> Tile {
        let words = self.view.words;
        let attempts = |values: &MetricValues| values.count("deploys") + values.count("deploy_failures");
        let pair = |values: &MetricValues| (format::failed_share(values), attempts(values));
        let change = self.change(Direction::Down, |now, before| Pair::Shares(pair(now), pair(before)));
        let share = pair(&self.board.metrics).0;
        let value =
            share.map_or_else(|| format::NONE.to_owned(), |it| format::percent(it, self.view.language));
        let numbers = [self.board.metrics.count("deploy_failures"), attempts(&self.board.metrics)];
        let [failed, all] = numbers.map(format::count);
        let detail = fill(words.of_attempts, &[("a", &failed), ("b", &all)]);
        Tile { key: "deploy_failures", name: words.failed_share, value, note: "", change, detail, anchor }
    }

    /// The tiles of cycle time and first review.
    pub(super) fn durations(&self) -> [Tile; 2] {
        let (words, language) = (self.view.words, self.view.language);
        let (_, p90, merged) = format::distribution(&self.board.metrics, "cycle_time_hours");
        let (_, _, reviewed) = format::distribution(&self.board.metrics, "first_review_hours");
        let merged = format::count(merged);
        let cycle = fill(words.p90_note, &[("x", &format::hours(p90, language)), ("n", &merged)]);
        let review = fill(words.coverage, &[("a", &format::count(reviewed)), ("b", &merged)]);
        [
            self.median("cycle_time_hours", words.cycle_time, "cycle-time", cycle),
            self.median("first_review_hours", words.first_review, "first-review", review),
        ]
    }

    /// The deployments a day, in words.
    pub(super) fn deploys_a_day(&self) -> String {
        let days = (self.board.range.until() - self.board.range.since()).num_days() as f64;
        let rate = format!("{:.1}", self.board.metrics.count("deploys") as f64 / days);
        fill(self.view.words.a_day, &[("x", &rate)])
    }
}

pub(super) fn tiles(tiles: &[Tile]) -> Markup {
    html! {
        ul.tiles {
            @for tile in tiles {
                li data-metric=(tile.key) {
                    @if tile.anchor.is_empty() { (inner(tile)) } @else { a href={ "#" (tile.anchor) } { (inner(tile)) } }
                }
            }
        }
    }
}

fn inner(tile: &Tile) -> Markup {
    let tone = match tile.change.tone {
        Tone::Good => "good",
        Tone::Bad => "bad",
        Tone::Muted => "muted",
    };
    html! {
        span.label { (tile.name) }
        span.figure { span.value { (tile.value) } @if !tile.note.is_empty() { " " span.unit { (tile.note) } } }
        span class={ "change " (tone) } {
            @if !tile.change.arrow.is_empty() { span aria-hidden="true" { (tile.change.arrow) " " } }
            (tile.change.text)
            @if !tile.change.word.is_empty() { " " (tile.change.word) }
        }
        span.detail { (tile.detail) }
    }
}
