//! The charts of a dashboard.

use gam_model::metric::HISTOGRAM_BOUNDS_SECONDS;
use gam_query::{DashboardAnswer, DashboardEntry};
use maud::{Markup, html};

use super::figures::{Figure, LegendEntry, figure, legend, names_table, partial_note, slots_table};
use super::format;
use super::org::repo_link;
use super::request::ACTIVITIES;
use super::view::View;
use super::words::fill;
use crate::charts::{self, Bin, NamedSeries, NamedValue, TimeAxis, Unit, format_count, format_hours};

/// How many repositories a stack shows by themselves.
const STACKED: usize = 6;
/// How many members the review load shows.
const REVIEWERS: usize = 12;
/// How many members the table of the review load has: those with most reviews.
const MAX_REVIEWER_ROWS: usize = 200;

/// The name of an activity.
pub(super) fn activity_name(view: &View, metric: &str) -> &'static str {
    match metric {
        "prs_merged" => view.words.merged,
        "reviews" => view.words.reviews,
        _ => view.words.commits,
    }
}

/// Returns the link to a series of the API.
fn api_series(view: &View, board: &DashboardAnswer, time: &TimeAxis, metrics: &[&str]) -> Option<String> {
    let mut segments = vec!["api", "v1", "orgs", board.org.as_str()];
    match (&board.repo, &board.member) {
        (Some(repo), _) => segments.extend(["repos", repo.as_str()]),
        (_, Some(member)) => segments.extend(["members", member.as_str()]),
        _ => {}
    }
    segments.extend(["metrics", "timeseries"]);
    let path: Vec<String> = segments.into_iter().map(format::encode).collect();
    // The API has no numbers of several members.
    view.params.members.is_empty().then(|| {
        let id = board.id.map(|id| format!("&id={id}")).unwrap_or_default();
        format!(
            "{}{}?metric={}&granularity={}&since={}&until={}&bots={}{id}",
            view.root,
            path.join("/"),
            metrics.join("&metric="),
            time.grain.as_str(),
            board.range.since(),
            board.range.until(),
            super::request::bots_name(view.params.bots)
        )
    })
}

/// A duration over time: the median and the 90th percentile.
pub(super) fn durations(
    view: &View,
    board: &DashboardAnswer,
    time: &TimeAxis,
    metric: &'static str,
) -> Markup {
    let words = view.words;
    let (id, title) = match metric {
        "cycle_time_hours" => ("cycle-time", words.durations),
        _ => ("first-review", words.durations_review),
    };
    let (medians, p90s) = board
        .buckets
        .iter()
        .map(|bucket| format::distribution(&bucket.metrics, metric))
        .map(|(p50, p90, _)| (p50, p90))
        .unzip();
    let lines = [
        NamedSeries { name: words.median.to_owned(), values: medians },
        NamedSeries { name: words.p90.to_owned(), values: p90s },
    ];
    let (p50, p90, _) = format::distribution(&board.metrics, metric);
    let entry = |class: &str, name: &str, value: Option<f64>| LegendEntry {
        class: class.to_owned(),
        name: name.to_owned(),
        total: format::hours(value, view.language),
        link: None,
    };
    figure(
        view,
        &Figure {
            id,
            title,
            choices: html! {},
            chart: &|frame| charts::durations(frame, time, Unit::Hours, &lines),
            legend: legend(&[entry("line s1", words.median, p50), entry("line dashed s2", words.p90, p90)]),
            note: partial_note(view, time),
            table: slots_table(view, title, time, &lines, &|hours| format_hours(hours, view.language)),
            api: api_series(view, board, time, &[metric]),
        },
    )
}

/// How a duration is distributed.
pub(super) fn spread(view: &View, board: &DashboardAnswer, metric: &'static str) -> Markup {
    let words = view.words;
    let (id, title, counts) = match metric {
        "cycle_time_hours" => ("cycle-time-spread", words.spread, &board.cycle_time_bins),
        _ => ("first-review-spread", words.spread_review, &board.first_review_bins),
    };
    let bounds = HISTOGRAM_BOUNDS_SECONDS.map(|seconds| seconds as f64 / 3600.0);
    let ends = bounds.into_iter().map(Some).chain([None]);
    let starts = std::iter::once(0.0).chain(bounds);
    let bins: Vec<Bin> = starts
        .zip(ends)
        .zip(counts)
        .map(|((from_hours, to_hours), &count)| Bin { from_hours, to_hours, count })
        .collect();
    let name = |bin: &Bin| match bin.to_hours {
        Some(to) => {
            format!("{} – {}", format_hours(bin.from_hours, view.language), format_hours(to, view.language))
        }
        None => format!("≥ {}", format_hours(bin.from_hours, view.language)),
    };
    let rows: Vec<_> = bins.iter().map(|bin| (name(bin), format::count(bin.count))).collect();
    let (p50, p90, _) = format::distribution(&board.metrics, metric);
    let [half, most] = [p50, p90].map(|hours| format::hours(hours, view.language));
    figure(
        view,
        &Figure {
            id,
            title,
            choices: html! {},
            chart: &|frame| charts::distribution(frame, &bins),
            legend: html! {},
            note: html! { p.note { (fill(words.spread_note, &[("a", &half), ("b", &most)])) } },
            table: names_table(view, title, words.merged, &rows),
            api: None,
        },
    )
}

/// Activity over time: stacked by repository for an organization and a member, one series for a repository.
pub(super) fn activity(view: &View, board: &DashboardAnswer, time: &TimeAxis) -> Markup {
    let words = view.words;
    let metric = view.params.activity;
    let totals: Vec<u64> = board.buckets.iter().map(|bucket| bucket.metrics.count(metric)).collect();
    let is_stacked = board.repo.is_none();
    let shown: Vec<&DashboardEntry> = match is_stacked {
        true => board.entries.iter().filter(|entry| entry.metrics.count(metric) > 0).take(STACKED).collect(),
        false => Vec::new(),
    };
    let series = stack(&shown, &totals, activity_name(view, metric), words.other);
    let has_other = series.len() > shown.len() && !shown.is_empty();
    let entries: Vec<LegendEntry> = series
        .iter()
        .enumerate()
        .map(|(at, named)| LegendEntry {
            class: if has_other && at == shown.len() { "other".to_owned() } else { format!("s{}", at + 1) },
            name: named.name.clone(),
            total: format_count(named.values.iter().flatten().sum()),
            link: shown.get(at).map(|entry| repo_link(view, board, entry)),
        })
        .collect();
    let title = if is_stacked { words.activity } else { words.activity_over_time };
    figure(
        view,
        &Figure {
            id: "activity",
            title,
            choices: activities(view),
            chart: &|frame| {
                charts::activity(frame, time, Unit::Count, &series, has_other.then_some(words.other))
            },
            legend: legend(&entries),
            note: partial_note(view, time),
            table: slots_table(view, title, time, &series, &format_count),
            api: api_series(view, board, time, &[metric]),
        },
    )
}

/// Returns one series for each entry, and the rest of the totals as another one.
fn stack(
    entries: &[&DashboardEntry],
    totals: &[u64],
    total_name: &str,
    other_name: &str,
) -> Vec<NamedSeries> {
    let values = |counts: &[u64]| counts.iter().map(|count| Some(*count as f64)).collect();
    if entries.is_empty() {
        return vec![NamedSeries { name: total_name.to_owned(), values: values(totals) }];
    }
    let mut rest = totals.to_vec();
    let mut series = Vec::new();
    for entry in entries {
        let trend = entry.trend.as_deref().unwrap_or_default();
        for (rest, count) in rest.iter_mut().zip(trend) {
            // Repositories can sum to more than the organization, which counts a shared commit once.
            *rest = rest.saturating_sub(*count);
        }
        series.push(NamedSeries { name: entry.name.clone(), values: values(trend) });
    }
    if rest.iter().any(|count| *count > 0) {
        series.push(NamedSeries { name: other_name.to_owned(), values: values(&rest) });
    }
    series
}

fn activities(view: &View) -> Markup {
    html! {
        span.segments role="group" aria-label=(view.words.activity_over_time) {
            @for metric in ACTIVITIES {
                a href={ (view.here(|params| params.activity = metric)) "#activity" }
                    aria-current=[(metric == view.params.activity).then_some("true")] {
                    (activity_name(view, metric))
                }
            }
        }
    }
}

/// Who reviews, by name.
pub(super) fn reviewers(view: &View, board: &DashboardAnswer) -> Markup {
    let words = view.words;
    let mut most: Vec<&(String, u64)> = board.reviewers.iter().collect();
    most.sort_by_key(|(_, reviews)| std::cmp::Reverse(*reviews));
    let mut rows_of_table = most.clone();
    rows_of_table.truncate(MAX_REVIEWER_ROWS);
    rows_of_table.sort_by_cached_key(|(name, _)| name.to_lowercase());
    most.truncate(REVIEWERS);
    most.sort_by_cached_key(|(name, _)| name.to_lowercase());
    let rows: Vec<NamedValue> = most
        .iter()
        .map(|(name, reviews)| NamedValue { name: name.clone(), value: *reviews as f64 })
        .collect();
    let all: Vec<_> =
        rows_of_table.iter().map(|(name, reviews)| (name.clone(), format::count(*reviews))).collect();
    let numbers = [rows.len(), board.reviewers.len()].map(|number| format::count(number as u64));
    figure(
        view,
        &Figure {
            id: "reviewers",
            title: words.who_reviews,
            choices: html! {},
            chart: &|frame| charts::horizontal_bars(frame, Unit::Count, &rows),
            legend: html! {},
            note: html! {
                @if rows.len() < board.reviewers.len() {
                    p.note { (fill(words.who_reviews_note, &[("a", &numbers[0]), ("b", &numbers[1])])) }
                }
            },
            table: names_table(view, words.who_reviews, words.reviews, &all),
            api: None,
        },
    )
}

/// Deployments over time, succeeded and failed.
pub(super) fn deliveries(view: &View, board: &DashboardAnswer, time: &TimeAxis) -> Markup {
    let words = view.words;
    let series = [("deploys", words.succeeded), ("deploy_failures", words.did_fail)].map(|(metric, name)| {
        let value = |bucket: &gam_query::DashboardBucket| Some(bucket.metrics.count(metric) as f64);
        NamedSeries { name: name.to_owned(), values: board.buckets.iter().map(value).collect() }
    });
    let entries: Vec<LegendEntry> = series
        .iter()
        .zip(["s1", "s2"])
        .map(|(named, class)| LegendEntry {
            class: class.to_owned(),
            name: named.name.clone(),
            total: format_count(named.values.iter().flatten().sum()),
            link: None,
        })
        .collect();
    let has_none = series.iter().all(|named| named.values.iter().flatten().all(|count| *count == 0.0));
    figure(
        view,
        &Figure {
            id: "deliveries",
            title: words.deploys_over_time,
            choices: html! {},
            chart: &|frame| charts::activity(frame, time, Unit::Count, &series, None),
            legend: legend(&entries),
            note: html! {
                @if has_none { p.note { (words.no_deploys) } }
                p.note { (words.failed_note) }
            },
            table: slots_table(view, words.deploys_over_time, time, &series, &format_count),
            api: api_series(view, board, time, &["deploys", "deploy_failures"]),
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(name: &str, trend: &[u64]) -> DashboardEntry {
        DashboardEntry {
            name: name.to_owned(),
            id: Some(1),
            kind: None,
            metrics: Default::default(),
            trend: Some(trend.to_vec()),
        }
    }

    #[test]
    fn the_rest_of_a_stack_completes_the_total() {
        let (api, web) = (entry("api", &[1, 2, 0]), entry("web", &[3, 0, 0]));
        let series = stack(&[&api, &web], &[5, 2, 0], "all", "other");
        let names: Vec<_> = series.iter().map(|named| named.name.as_str()).collect();
        assert_eq!(names, ["api", "web", "other"]);
        assert_eq!(series[2].values, [Some(1.0), Some(0.0), Some(0.0)]);
        let shared = stack(&[&api, &web], &[3, 2, 0], "all", "other");
        assert_eq!(shared.len(), 2, "shared commits leave no rest");
        assert_eq!(stack(&[], &[7], "all", "other")[0].name, "all");
    }
}
