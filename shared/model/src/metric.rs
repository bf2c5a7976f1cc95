//! The metric catalogue: what is measured, in which unit, and how it folds.
//!
//! The API's metadata, `show`, the dashboard and `docs/METRICS.md` read this catalogue. To add a
//! metric, add its entry here and its fold in the `rollup` crate.

/// A number that events add to. Counters of disjoint spans, repositories or members add up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(usize)]
pub enum Counter {
    /// Commits with at most one parent.
    Commits,
    /// Commits with more than one parent.
    MergeCommits,
    /// Lines added by commits with at most one parent.
    Additions,
    /// Lines deleted by them.
    Deletions,
    /// Files changed by them.
    FilesChanged,
    /// Pull requests opened.
    PrsOpened,
    /// Pull requests merged.
    PrsMerged,
    /// Pull requests closed unmerged.
    PrsClosed,
    /// Reviews of somebody else's pull requests.
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
    /// Commits with at most one parent that name somebody as a co-author.
    CoAuthoredCommits,
}

impl Counter {
    /// How many counters there are.
    pub const COUNT: usize = 15;

    /// Every counter, in the order in which they are declared.
    pub const ALL: [Counter; Counter::COUNT] = [
        Counter::Commits,
        Counter::MergeCommits,
        Counter::Additions,
        Counter::Deletions,
        Counter::FilesChanged,
        Counter::PrsOpened,
        Counter::PrsMerged,
        Counter::PrsClosed,
        Counter::Reviews,
        Counter::IssuesOpened,
        Counter::IssuesClosed,
        Counter::Releases,
        Counter::Deploys,
        Counter::DeployFailures,
        Counter::CoAuthoredCommits,
    ];

    /// The name under which the counter is stored: that of its metric.
    pub fn as_str(self) -> &'static str {
        match self {
            Counter::Commits => "commits",
            Counter::MergeCommits => "merge_commits",
            Counter::Additions => "additions",
            Counter::Deletions => "deletions",
            Counter::FilesChanged => "files_changed",
            Counter::PrsOpened => "prs_opened",
            Counter::PrsMerged => "prs_merged",
            Counter::PrsClosed => "prs_closed",
            Counter::Reviews => "reviews",
            Counter::IssuesOpened => "issues_opened",
            Counter::IssuesClosed => "issues_closed",
            Counter::Releases => "releases",
            Counter::Deploys => "deploys",
            Counter::DeployFailures => "deploy_failures",
            Counter::CoAuthoredCommits => "co_authored_commits",
        }
    }
}

/// A set of durations, kept as a mergeable distribution.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(usize)]
pub enum DurationMetric {
    /// Created to merged.
    CycleTime,
    /// Created to the first review by another person.
    FirstReview,
}

impl DurationMetric {
    /// How many distributions there are.
    pub const COUNT: usize = 2;

    /// Every distribution, in the order in which they are declared.
    pub const ALL: [DurationMetric; DurationMetric::COUNT] =
        [DurationMetric::CycleTime, DurationMetric::FirstReview];

    /// The name under which the distribution is stored: that of its metric.
    pub fn as_str(self) -> &'static str {
        match self {
            DurationMetric::CycleTime => "cycle_time_hours",
            DurationMetric::FirstReview => "first_review_hours",
        }
    }
}

/// How a metric comes out of rollups.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Aggregation {
    /// One counter.
    Count(Counter),
    /// The sum of counters.
    Sum(&'static [Counter]),
    /// How many distinct members are credited with anything.
    DistinctMembers,
    /// The count, mean and nearest-rank percentiles of durations, in hours.
    Distribution(DurationMetric),
}

/// An entry of the catalogue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Metric {
    /// The name in the API and the store.
    pub name: &'static str,
    /// The unit of its values.
    pub unit: &'static str,
    /// What it counts.
    pub meaning: &'static str,
    /// Whom it is credited to.
    pub credited_to: &'static str,
    /// Which of GitHub's times puts it into a period.
    pub at: &'static str,
    /// Where the definition comes from.
    pub source: &'static str,
    /// How it comes out of rollups.
    pub aggregation: Aggregation,
}

impl Metric {
    /// The metric of that name, if there is one.
    pub fn named(name: &str) -> Option<&'static Metric> {
        CATALOGUE.iter().find(|metric| metric.name == name)
    }

    /// Whether the metric's values are distributions rather than integers.
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

/// Every metric, in the order in which they are shown.
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
        meaning: "lines added by `commits`; a commit whose lines GitHub refuses to count adds none",
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
        meaning: "files changed by `commits`, counted again for each commit",
        credited_to: AUTHOR,
        at: COMMITTED,
        source: GIT,
        aggregation: Aggregation::Count(Counter::FilesChanged),
    },
    Metric {
        name: "lines_changed",
        unit: "lines",
        meaning: "`additions` and `deletions` together",
        credited_to: AUTHOR,
        at: COMMITTED,
        source: GIT,
        aggregation: Aggregation::Sum(&[Counter::Additions, Counter::Deletions]),
    },
    Metric {
        name: "prs_opened",
        unit: "pull requests",
        meaning: "pull requests opened, drafts among them",
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
        meaning: "pull requests that are closed now and were not merged",
        credited_to: PR_AUTHOR,
        at: "the timeline's `ClosedEvent` that belongs to `closedAt`, or `closedAt`",
        source: PULL_REQUEST,
        aggregation: Aggregation::Count(Counter::PrsClosed),
    },
    Metric {
        name: "reviews",
        unit: "reviews",
        meaning: "reviews submitted on other people's pull requests, pending ones not",
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
        meaning: "issues that are closed now",
        credited_to: ISSUE_AUTHOR,
        at: "the timeline's `ClosedEvent` that belongs to `closedAt`, or `closedAt`",
        source: ISSUE,
        aggregation: Aggregation::Count(Counter::IssuesClosed),
    },
    Metric {
        name: "releases",
        unit: "releases",
        meaning: "releases published, drafts not",
        credited_to: "release author",
        at: "`publishedAt`",
        source: RELEASE,
        aggregation: Aggregation::Count(Counter::Releases),
    },
    Metric {
        name: "deploys",
        unit: "deployments",
        meaning: "deployments that ever reached `success`, whatever their state is now",
        credited_to: "deployment creator",
        at: "the first `success` status",
        source: DEPLOYMENT,
        aggregation: Aggregation::Count(Counter::Deploys),
    },
    Metric {
        name: "deploy_failures",
        unit: "deployments",
        meaning: "deployments with a `failure` or `error` status and never a `success`",
        credited_to: "deployment creator",
        at: "the first `failure` or `error` status",
        source: DEPLOYMENT,
        aggregation: Aggregation::Count(Counter::DeployFailures),
    },
    Metric {
        name: "active_members",
        unit: "members",
        meaning: "distinct members credited with any of the above in the range",
        credited_to: "",
        at: "",
        source: "https://chaoss.community/kb/metric-contributors/",
        aggregation: Aggregation::DistinctMembers,
    },
    Metric {
        name: "co_authored_commits",
        unit: "commits",
        meaning: "commits with at most one parent that name somebody else than the author as a co-author, \
                  counted once for each co-author; who is nothing but a co-author is no active member",
        credited_to: "co-author",
        at: COMMITTED,
        source: GIT,
        aggregation: Aggregation::Count(Counter::CoAuthoredCommits),
    },
    Metric {
        name: "cycle_time_hours",
        unit: "hours",
        meaning: "pull requests merged in the range: from created to merged",
        credited_to: PR_AUTHOR,
        at: "`mergedAt`",
        source: PERCENTILE,
        aggregation: Aggregation::Distribution(DurationMetric::CycleTime),
    },
    Metric {
        name: "first_review_hours",
        unit: "hours",
        meaning: "pull requests merged in the range: from created to the first review by another \
                  person, not after the merge; those without one are left out, so `count` shows the coverage",
        credited_to: PR_AUTHOR,
        at: "`mergedAt`",
        source: PERCENTILE,
        aggregation: Aggregation::Distribution(DurationMetric::FirstReview),
    },
];

/// The catalogue as the Markdown page `docs/METRICS.md`.
pub fn markdown() -> String {
    let mut page = String::from(
        "# Metrics\n\n\
         Generated from the catalogue in `shared/model/src/metric.rs`; a test keeps the two alike.\n\n\
         All times are UTC. A count is an integer. A distribution is `{count, mean, p50, p90}`, in hours; \
         an empty one has `count` 0 and nulls, never zeros. Percentiles are nearest-rank, within 1 %.\n\n\
         | metric | unit | counts | credited to | at | source |\n|---|---|---|---|---|---|\n",
    );
    for metric in CATALOGUE {
        page.push_str(&format!(
            "| `{}` | {} | {} | {} | {} | [definition]({}) |\n",
            metric.name, metric.unit, metric.meaning, metric.credited_to, metric.at, metric.source
        ));
    }
    page.push_str(
        "\nA bot is an actor whose type is Bot, whose login ends in `[bot]`, or whom the configuration names. \
         Bots' events are kept and filtered when asked: `bots=exclude` (the default), `include` or `only`. \
         A review that counts towards `first_review_hours` is never a bot's.\n\n\
         A commit whose author has no GitHub account belongs to the member `~` and the first 12 hex digits of the \
         SHA-256 of the lower-cased e-mail address; a deleted account is `ghost`. No e-mail address is stored.\n\n\
         `total_repos` and `total_members`, beside an organization's metrics, count the repositories and members \
         ever credited with anything, whatever the range.\n",
    );
    page
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn names_are_unique_and_every_counter_and_duration_is_shown() {
        let names: BTreeSet<_> = CATALOGUE.iter().map(|metric| metric.name).collect();
        assert_eq!(names.len(), CATALOGUE.len());
        for (i, counter) in Counter::ALL.into_iter().enumerate() {
            assert_eq!(counter as usize, i);
            let metric = Metric::named(counter.as_str()).expect("a counter is a metric");
            assert_eq!(metric.aggregation, Aggregation::Count(counter));
        }
        for (i, duration) in DurationMetric::ALL.into_iter().enumerate() {
            assert_eq!(duration as usize, i);
            let metric = Metric::named(duration.as_str()).expect("a distribution is a metric");
            assert_eq!(metric.aggregation, Aggregation::Distribution(duration));
        }
    }

    #[test]
    fn the_metrics_page_is_the_catalogue() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/METRICS.md");
        let page = std::fs::read_to_string(path).expect("docs/METRICS.md is there");
        assert_eq!(page, markdown(), "run: cargo run -q -p gam-model --example metrics > docs/METRICS.md");
    }
}
