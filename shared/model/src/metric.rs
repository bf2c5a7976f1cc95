//! The metric catalogue: what each metric means, its unit, and how it is computed from rollups.
//!
//! The API, `show`, the dashboard and `docs/METRICS.md` read this catalogue. To add a metric, add its entry
//! here and count it in the `fold` crate.

use strum::{IntoStaticStr, VariantArray};

/// A number that events increment. Counters of disjoint time spans, repositories or members can be added.
///
/// The variants' snake-case names are stored in rollups.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
#[repr(usize)]
pub enum Counter {
    /// Commits with at most one parent.
    Commits,
    /// Commits with more than one parent.
    MergeCommits,
    /// Lines added by commits with at most one parent.
    Additions,
    /// Lines deleted by commits with at most one parent.
    Deletions,
    /// Files changed by commits with at most one parent.
    FilesChanged,
    /// Pull requests opened.
    PrsOpened,
    /// Pull requests merged.
    PrsMerged,
    /// Pull requests closed without being merged.
    PrsClosed,
    /// Reviews of other people's pull requests.
    Reviews,
    /// Issues opened.
    IssuesOpened,
    /// Issues closed.
    IssuesClosed,
    /// Releases published.
    Releases,
    /// Deployments that succeeded.
    Deploys,
    /// Deployments that failed and never succeeded.
    DeployFailures,
    /// Commits with at most one parent that name the member as a co-author.
    CoAuthoredCommits,
}

impl Counter {
    /// The number of counters.
    pub const COUNT: usize = Self::VARIANTS.len();

    /// All counters, in declaration order.
    pub const ALL: [Self; Self::COUNT] = *Self::VARIANTS.first_chunk().unwrap();

    /// Returns the stored name, which is also the name of the metric.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// A metric whose values are durations, stored as a mergeable distribution.
///
/// The names are stored in rollups.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, IntoStaticStr, VariantArray)]
#[repr(usize)]
pub enum DurationMetric {
    /// From a pull request's creation to its merge.
    #[strum(serialize = "cycle_time_hours")]
    CycleTime,
    /// From a pull request's creation to the first review by another person.
    #[strum(serialize = "first_review_hours")]
    FirstReview,
}

impl DurationMetric {
    /// The number of duration metrics.
    pub const COUNT: usize = Self::VARIANTS.len();

    /// All duration metrics, in declaration order.
    pub const ALL: [Self; Self::COUNT] = *Self::VARIANTS.first_chunk().unwrap();

    /// Returns the stored name, which is also the name of the metric.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// How a metric is computed from rollups.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Aggregation {
    /// The value of one counter.
    Count(Counter),
    /// The sum of several counters.
    Sum(&'static [Counter]),
    /// The number of distinct members credited with an event.
    DistinctMembers,
    /// The count, mean and nearest-rank percentiles of durations, in hours.
    Distribution(DurationMetric),
}

/// An entry of the catalogue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Metric {
    /// The name in the API and in stored rollups.
    pub name: &'static str,
    /// The unit of the values, in plural.
    pub unit: &'static str,
    /// What the metric counts, as Markdown without a full stop.
    pub meaning: &'static str,
    /// The role of the member it is credited to; empty if it depends on the event.
    pub credited_to: &'static str,
    /// The time of GitHub that assigns it to a bucket, as Markdown; empty if it depends on the event.
    pub at: &'static str,
    /// The URL of the definition.
    pub source: &'static str,
    /// How the metric is computed from rollups.
    pub aggregation: Aggregation,
}

impl Metric {
    /// Returns the metric with this name; `None` if there is none.
    pub fn named(name: &str) -> Option<&'static Metric> {
        CATALOGUE.iter().find(|metric| metric.name == name)
    }

    /// Returns whether the values are distributions; otherwise they are integers.
    pub fn is_distribution(&self) -> bool {
        matches!(self.aggregation, Aggregation::Distribution(_))
    }
}

const GIT: &str = "https://docs.github.com/en/graphql/reference/objects#commit";
const PULL_REQUEST: &str = "https://docs.github.com/en/graphql/reference/objects#pullrequest";
const REVIEW: &str = "https://docs.github.com/en/graphql/reference/objects#pullrequestreview";
const ISSUE: &str = "https://docs.github.com/en/graphql/reference/objects#issue";
const RELEASE: &str = "https://docs.github.com/en/graphql/reference/objects#release";
const DEPLOYMENT: &str = "https://docs.github.com/en/graphql/reference/objects#deploymentstatus";
const PERCENTILE: &str = "https://en.wikipedia.org/wiki/Percentile#The_nearest-rank_method";

const AUTHOR: &str = "commit author";
const PR_AUTHOR: &str = "pull request author";
const ISSUE_AUTHOR: &str = "issue author";
const COMMITTED: &str = "`committedDate`";

/// All metrics, in display order.
pub const CATALOGUE: &[Metric] = &[
    Metric {
        name: "commits",
        unit: "commits",
        meaning: "commits with at most one parent, reachable from the default branch",
        credited_to: AUTHOR,
        at: COMMITTED,
        source: GIT,
        aggregation: Aggregation::Count(Counter::Commits),
    },
    Metric {
        name: "merge_commits",
        unit: "commits",
        meaning: "commits with more than one parent, reachable from the default branch",
        credited_to: AUTHOR,
        at: COMMITTED,
        source: GIT,
        aggregation: Aggregation::Count(Counter::MergeCommits),
    },
    Metric {
        name: "additions",
        unit: "lines",
        meaning: "lines added by `commits`; a commit whose lines GitHub refuses to count adds 0",
        credited_to: AUTHOR,
        at: COMMITTED,
        source: GIT,
        aggregation: Aggregation::Count(Counter::Additions),
    },
    Metric {
        name: "deletions",
        unit: "lines",
        meaning: "lines deleted by `commits`",
        credited_to: AUTHOR,
        at: COMMITTED,
        source: GIT,
        aggregation: Aggregation::Count(Counter::Deletions),
    },
    Metric {
        name: "files_changed",
        unit: "files",
        meaning: "files changed by `commits`; a file counts once per commit",
        credited_to: AUTHOR,
        at: COMMITTED,
        source: GIT,
        aggregation: Aggregation::Count(Counter::FilesChanged),
    },
    Metric {
        name: "lines_changed",
        unit: "lines",
        meaning: "`additions` plus `deletions`",
        credited_to: AUTHOR,
        at: COMMITTED,
        source: GIT,
        aggregation: Aggregation::Sum(&[Counter::Additions, Counter::Deletions]),
    },
    Metric {
        name: "prs_opened",
        unit: "pull requests",
        meaning: "pull requests opened, including drafts",
        credited_to: PR_AUTHOR,
        at: "`createdAt`",
        source: PULL_REQUEST,
        aggregation: Aggregation::Count(Counter::PrsOpened),
    },
    Metric {
        name: "prs_merged",
        unit: "pull requests",
        meaning: "pull requests merged",
        credited_to: PR_AUTHOR,
        at: "`mergedAt`",
        source: PULL_REQUEST,
        aggregation: Aggregation::Count(Counter::PrsMerged),
    },
    Metric {
        name: "prs_closed",
        unit: "pull requests",
        meaning: "pull requests that are currently closed and were not merged, including those whose commits \
                  were landed another way",
        credited_to: PR_AUTHOR,
        at: "the timeline's `ClosedEvent` that belongs to `closedAt`, or `closedAt`",
        source: PULL_REQUEST,
        aggregation: Aggregation::Count(Counter::PrsClosed),
    },
    Metric {
        name: "reviews",
        unit: "reviews",
        meaning: "reviews submitted on other people's pull requests, excluding pending reviews; a reply to a \
                  review comment that is sent on its own is a review, too",
        credited_to: "reviewer",
        at: "`submittedAt`",
        source: REVIEW,
        aggregation: Aggregation::Count(Counter::Reviews),
    },
    Metric {
        name: "issues_opened",
        unit: "issues",
        meaning: "issues opened",
        credited_to: ISSUE_AUTHOR,
        at: "`createdAt`",
        source: ISSUE,
        aggregation: Aggregation::Count(Counter::IssuesOpened),
    },
    Metric {
        name: "issues_closed",
        unit: "issues",
        meaning: "issues that are currently closed",
        credited_to: ISSUE_AUTHOR,
        at: "the timeline's `ClosedEvent` that belongs to `closedAt`, or `closedAt`",
        source: ISSUE,
        aggregation: Aggregation::Count(Counter::IssuesClosed),
    },
    Metric {
        name: "releases",
        unit: "releases",
        meaning: "releases published, excluding drafts; one that is deleted later stays counted; by default also \
                  those of bots and those without an author",
        credited_to: "release author",
        at: "`publishedAt`",
        source: RELEASE,
        aggregation: Aggregation::Count(Counter::Releases),
    },
    Metric {
        name: "deploys",
        unit: "deployments",
        meaning: "deployments that reached `success` within 90 days of their creation, whatever their current \
                  state; by default also those of bots and those without an author",
        credited_to: "deployment creator",
        at: "the first `success` status",
        source: DEPLOYMENT,
        aggregation: Aggregation::Count(Counter::Deploys),
    },
    Metric {
        name: "deploy_failures",
        unit: "deployments",
        meaning: "deployments with a `failure` or `error` status and no `success` within 90 days of their \
                  creation; by default also those of bots and those without an author",
        credited_to: "deployment creator",
        at: "the first `failure` or `error` status",
        source: DEPLOYMENT,
        aggregation: Aggregation::Count(Counter::DeployFailures),
    },
    Metric {
        name: "active_members",
        unit: "members",
        meaning: "distinct members credited with any of the metrics above in the range; by default people only",
        credited_to: "",
        at: "",
        source: "https://chaoss.community/kb/metric-contributors/",
        aggregation: Aggregation::DistinctMembers,
    },
    Metric {
        name: "co_authored_commits",
        unit: "commits",
        meaning: "commits with at most one parent that name a co-author other than the author, counted once \
                  per co-author; a member who is only a co-author is not an active member",
        credited_to: "co-author",
        at: COMMITTED,
        source: GIT,
        aggregation: Aggregation::Count(Counter::CoAuthoredCommits),
    },
    Metric {
        name: "cycle_time_hours",
        unit: "hours",
        meaning: "pull requests merged in the range: time from creation to merge",
        credited_to: PR_AUTHOR,
        at: "`mergedAt`",
        source: PERCENTILE,
        aggregation: Aggregation::Distribution(DurationMetric::CycleTime),
    },
    Metric {
        name: "first_review_hours",
        unit: "hours",
        meaning: "pull requests merged in the range: time from creation to the first review by another \
                  person, not after the merge; pull requests without such a review are left out, so `count` \
                  shows the coverage",
        credited_to: PR_AUTHOR,
        at: "`mergedAt`",
        source: PERCENTILE,
        aggregation: Aggregation::Distribution(DurationMetric::FirstReview),
    },
];

/// The bounds of the bins of a histogram, in seconds: 45 minutes, doubled up to 128 days, so that 1, 2, 4, ...
/// days are bounds. A bin includes its lower bound and excludes its upper one; the first bin begins at 0, and the last
/// one has no end.
pub const HISTOGRAM_BOUNDS_SECONDS: [u64; 13] = {
    let mut bounds = [45 * 60; 13];
    let mut index = 1;
    while index < bounds.len() {
        bounds[index] = bounds[index - 1] * 2;
        index += 1;
    }
    bounds
};

/// Returns the text of `docs/METRICS.md`.
pub fn markdown() -> String {
    let mut page = String::from(
        "# Metrics\n\n\
         Generated from the catalogue in `shared/model/src/metric.rs`; a test fails if the two differ.\n\n\
         All times are UTC. Days, weeks and months begin where the organization's time zone says (`timezone` in its \
         configuration; default UTC). A count is an integer. A distribution is `{count, mean, p50, p90}`, in hours; \
         if it is empty, `count` is 0 and the other values are null. Percentiles are nearest-rank.\n\n\
         | metric | unit | meaning | credited to | at | source |\n|---|---|---|---|---|---|\n",
    );
    for metric in CATALOGUE {
        page.push_str(&format!(
            "| `{}` | {} | {} | {} | {} | [definition]({}) |\n",
            metric.name, metric.unit, metric.meaning, metric.credited_to, metric.at, metric.source
        ));
    }
    page.push_str(
        "\n`total_repos` and `total_members`, next to an organization's metrics, count the repositories and \
         members ever credited with an event, whatever the range.\n",
    );
    page.push_str(include_str!("metric_notes.md"));
    page.push_str(&crate::agent_metric::markdown());
    page
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn the_catalogue_has_every_counter_and_duration_once() {
        let names: BTreeSet<_> = CATALOGUE.iter().map(|metric| metric.name).collect();
        assert_eq!(names.len(), CATALOGUE.len());
        for (i, counter) in Counter::ALL.into_iter().enumerate() {
            assert_eq!(counter as usize, i);
            let metric = Metric::named(counter.as_str()).expect("every counter is a metric");
            assert_eq!(metric.aggregation, Aggregation::Count(counter));
        }
        for (i, duration) in DurationMetric::ALL.into_iter().enumerate() {
            assert_eq!(duration as usize, i);
            let metric = Metric::named(duration.as_str()).expect("every duration metric is a metric");
            assert_eq!(metric.aggregation, Aggregation::Distribution(duration));
        }
    }

    #[test]
    fn the_bins_of_a_histogram_double_up_to_128_days() {
        let hours = HISTOGRAM_BOUNDS_SECONDS.map(|seconds| seconds as f64 / 3600.0);
        let expected =
            [0.75, 1.5, 3.0, 6.0, 12.0, 24.0, 48.0, 96.0, 192.0, 384.0, 768.0, 1536.0, 128.0 * 24.0];
        assert_eq!(hours, expected);
    }

    #[test]
    fn the_metrics_page_matches_the_catalogue() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/METRICS.md");
        let page = std::fs::read_to_string(path).expect("docs/METRICS.md exists");
        assert_eq!(page, markdown(), "run: cargo run -q -p gam-model --example metrics > docs/METRICS.md");
    }
}
