//! The GraphQL documents. They are kept in files so that a test can check them against GitHub's schema.

use chrono::{DateTime, SecondsFormat, Utc};

const ACTOR: &str = include_str!("queries/actor_fields.graphql");
const REPOSITORY: &str = include_str!("queries/repository_fields.graphql");
const PULL_REQUEST: &str = include_str!("queries/pull_request_fields.graphql");
const PULL_REQUEST_STATE_FIELDS: &str = include_str!("queries/pull_request_state_fields.graphql");
const ISSUE: &str = include_str!("queries/issue_fields.graphql");
const REVIEW: &str = include_str!("queries/review_fields.graphql");
const COMMIT: &str = include_str!("queries/commit_fields.graphql");
const RELEASE: &str = include_str!("queries/release_fields.graphql");
const DEPLOYMENT: &str = include_str!("queries/deployment_fields.graphql");

/// A GraphQL document.
#[derive(Debug, Clone, Copy)]
pub struct Query {
    /// What the query fetches, as a noun phrase for messages.
    pub what: &'static str,
    /// The text of the operation.
    pub operation: &'static str,
    /// The texts of the fragments that the operation uses.
    pub fragments: &'static [&'static str],
    /// The maximum cost in points, by GitHub's formula: the sum of the requests needed to fill each
    /// connection, divided by 100. See
    /// <https://docs.github.com/en/graphql/overview/rate-limits-and-query-limits-for-the-graphql-api>.
    pub points: u64,
}

impl Query {
    /// Returns the complete document.
    pub fn text(&self) -> String {
        let mut text = self.operation.to_owned();
        self.fragments.iter().for_each(|fragment| text.push_str(fragment));
        text
    }
}

/// A page of an organization's repositories, with what shows whether they have changed.
pub const PROBE: Query = Query {
    what: "the organization's repositories",
    operation: include_str!("queries/probe.graphql"),
    fragments: &[REPOSITORY],
    points: 4,
};
/// A page of an organization's members.
pub const MEMBERS: Query = Query {
    what: "the organization's members",
    operation: include_str!("queries/members.graphql"),
    fragments: &[],
    points: 1,
};
/// Repositories by node id, with the fields of [`PROBE`].
pub const PROBE_BY_ID: Query = Query {
    what: "repositories",
    operation: include_str!("queries/probe_by_id.graphql"),
    fragments: &[REPOSITORY],
    points: 4,
};
/// A page of the commits reachable from a tip. `$lines` selects line counts, which GitHub sometimes refuses.
pub const COMMITS: Query = Query {
    what: "commits",
    operation: include_str!("queries/commits.graphql"),
    fragments: &[COMMIT],
    points: 2,
};
/// The number of commits on the default branches of repositories in a span of committer dates.
pub const COMMIT_COUNTS: Query = Query {
    what: "commit counts",
    operation: include_str!("queries/commit_counts.graphql"),
    fragments: &[],
    points: 1,
};
/// One entry of each kind, to see what the token may not read.
pub const PERMISSIONS: Query = Query {
    what: "the token's permissions",
    operation: include_str!("queries/permissions.graphql"),
    fragments: &[],
    points: 1,
};
/// The number of pull requests of repositories in each state, and of issues that changed since a time.
pub const TOTALS: Query = Query {
    what: "counts of pull requests and issues",
    operation: include_str!("queries/totals.graphql"),
    fragments: &[],
    points: 1,
};
/// A page of the object ids of the commits reachable from a tip.
pub const HISTORY_LIGHT: Query = Query {
    what: "commit ids",
    operation: include_str!("queries/history_light.graphql"),
    fragments: &[],
    points: 1,
};
/// A page of the states of pull requests, with their numbers of submitted reviews.
pub const PULL_REQUESTS_LIGHT: Query = Query {
    what: "the states of pull requests",
    operation: include_str!("queries/pull_requests_light.graphql"),
    fragments: &[],
    points: 2,
};
/// A page of the states of issues.
pub const ISSUES_LIGHT: Query = Query {
    what: "the states of issues",
    operation: include_str!("queries/issues_light.graphql"),
    fragments: &[],
    points: 1,
};
/// What belongs to issues, by node id: the pull requests that close them, when labels were set, and when the content
/// was edited.
pub const ISSUE_RELATIONS: Query = Query {
    what: "what belongs to issues",
    operation: include_str!("queries/issue_relations.graphql"),
    fragments: &[],
    points: 4,
};
/// The issues that a pull request closes.
pub const CLOSED_ISSUES: Query = Query {
    what: "the issues that a pull request closes",
    operation: include_str!("queries/closed_issues.graphql"),
    fragments: &[],
    points: 1,
};
/// A page of branches, with the date of their newest commits and the number of their open pull requests.
pub const BRANCHES: Query = Query {
    what: "branches",
    operation: include_str!("queries/branches.graphql"),
    fragments: &[],
    points: 2,
};
/// A pull request as it is now: what decides about its merge.
pub const PULL_REQUEST_STATE: Query = Query {
    what: "the pull request",
    operation: include_str!("queries/pull_request_state.graphql"),
    fragments: &[PULL_REQUEST_STATE_FIELDS],
    points: 1,
};
/// The newest open pull requests, as [`PULL_REQUEST_STATE`] shows them.
pub const OPEN_PULL_REQUESTS: Query = Query {
    what: "open pull requests",
    operation: include_str!("queries/open_pull_requests.graphql"),
    fragments: &[PULL_REQUEST_STATE_FIELDS],
    points: 1,
};
/// Adds a pull request to the merge queue.
pub const ENQUEUE_PULL_REQUEST: Query = Query {
    what: "the merge queue",
    operation: include_str!("queries/enqueue_pull_request.graphql"),
    fragments: &[],
    points: 1,
};
/// A page of pull requests with their first reviews and closings.
pub const PULL_REQUESTS: Query = Query {
    what: "pull requests",
    operation: include_str!("queries/pull_requests.graphql"),
    fragments: &[PULL_REQUEST, REVIEW, ACTOR],
    points: 3,
};
/// The page of [`PULL_REQUESTS`] with the same variables, with only the fields that cost GitHub little.
pub const PULL_REQUESTS_BASIC: Query = Query {
    what: "pull requests",
    operation: include_str!("queries/pull_requests_basic.graphql"),
    fragments: &[ACTOR],
    points: 1,
};
/// Pull requests by node id, with their first reviews and closings.
pub const PULL_REQUESTS_BY_ID: Query = Query {
    what: "pull requests",
    operation: include_str!("queries/pull_requests_by_id.graphql"),
    fragments: &[PULL_REQUEST, REVIEW, ACTOR],
    points: 3,
};
/// The following reviews and closings of a pull request.
pub const PULL_REQUEST_REST: Query = Query {
    what: "a pull request's reviews",
    operation: include_str!("queries/pull_request_rest.graphql"),
    fragments: &[REVIEW, ACTOR],
    points: 1,
};
/// A page of issues with their first closings.
pub const ISSUES: Query = Query {
    what: "issues",
    operation: include_str!("queries/issues.graphql"),
    fragments: &[ISSUE, ACTOR],
    points: 2,
};
/// The page of [`ISSUES`] with the same variables, with only the fields that cost GitHub little.
pub const ISSUES_BASIC: Query = Query {
    what: "issues",
    operation: include_str!("queries/issues_basic.graphql"),
    fragments: &[ACTOR],
    points: 1,
};
/// Issues by node id, with their first closings.
pub const ISSUES_BY_ID: Query = Query {
    what: "issues",
    operation: include_str!("queries/issues_by_id.graphql"),
    fragments: &[ISSUE, ACTOR],
    points: 2,
};
/// The following closings of an issue.
pub const ISSUE_REST: Query = Query {
    what: "an issue's closings",
    operation: include_str!("queries/issue_rest.graphql"),
    fragments: &[],
    points: 1,
};
/// A page of releases.
pub const RELEASES: Query = Query {
    what: "releases",
    operation: include_str!("queries/releases.graphql"),
    fragments: &[RELEASE],
    points: 1,
};
/// The page of [`RELEASES`] with the same variables, without authors.
pub const RELEASES_BASIC: Query = Query {
    what: "releases",
    operation: include_str!("queries/releases_basic.graphql"),
    fragments: &[],
    points: 1,
};
/// Releases by node id.
pub const RELEASES_BY_ID: Query = Query {
    what: "releases",
    operation: include_str!("queries/releases_by_id.graphql"),
    fragments: &[RELEASE],
    points: 1,
};
/// A page of deployments with their first statuses.
pub const DEPLOYMENTS: Query = Query {
    what: "deployments",
    operation: include_str!("queries/deployments.graphql"),
    fragments: &[DEPLOYMENT, ACTOR],
    points: 1,
};
/// The page of [`DEPLOYMENTS`] with the same variables, without statuses and creators.
pub const DEPLOYMENTS_BASIC: Query = Query {
    what: "deployments",
    operation: include_str!("queries/deployments_basic.graphql"),
    fragments: &[],
    points: 1,
};
/// Deployments by node id, with their first statuses.
pub const DEPLOYMENTS_BY_ID: Query = Query {
    what: "deployments",
    operation: include_str!("queries/deployments_by_id.graphql"),
    fragments: &[DEPLOYMENT, ACTOR],
    points: 1,
};
/// The following statuses of a deployment.
pub const DEPLOYMENT_REST: Query = Query {
    what: "a deployment's statuses",
    operation: include_str!("queries/deployment_rest.graphql"),
    fragments: &[],
    points: 1,
};

/// Every document whose text is fixed.
pub const ALL: &[Query] = &[
    BRANCHES,
    PULL_REQUEST_STATE,
    OPEN_PULL_REQUESTS,
    ENQUEUE_PULL_REQUEST,
    PROBE,
    PROBE_BY_ID,
    MEMBERS,
    PERMISSIONS,
    COMMITS,
    COMMIT_COUNTS,
    TOTALS,
    HISTORY_LIGHT,
    PULL_REQUESTS_LIGHT,
    ISSUES_LIGHT,
    ISSUE_RELATIONS,
    CLOSED_ISSUES,
    PULL_REQUESTS,
    PULL_REQUESTS_BASIC,
    PULL_REQUESTS_BY_ID,
    PULL_REQUEST_REST,
    ISSUES,
    ISSUES_BASIC,
    ISSUES_BY_ID,
    ISSUE_REST,
    RELEASES,
    RELEASES_BASIC,
    RELEASES_BY_ID,
    DEPLOYMENTS,
    DEPLOYMENTS_BASIC,
    DEPLOYMENTS_BY_ID,
    DEPLOYMENT_REST,
];

fn git_timestamp(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// The end of a history, up to which commits are to be counted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistoryEnd<'a> {
    /// The repository's GraphQL node id.
    pub node_id: &'a str,
    /// The tip's object id.
    pub tip: &'a str,
    /// The last committer date to count, UTC; `None` to count all.
    pub until: Option<DateTime<Utc>>,
}

/// Returns a document that counts the commits up to each end of a history, under the aliases `h0`, `h1`, ...
pub fn history_ends(ends: &[HistoryEnd<'_>]) -> String {
    let counts: String = ends
        .iter()
        .enumerate()
        .map(|(i, end)| {
            let until = end.until.map(|until| format!(",until:\"{}\"", git_timestamp(until)));
            let until = until.unwrap_or_default();
            format!(
                "h{i}:node(id:\"{}\"){{...on Repository{{object(oid:\"{}\"){{...on Commit{{history(first:1{until}){{totalCount}}}}}}}}}} ",
                end.node_id, end.tip
            )
        })
        .collect();
    format!("query HistoryEnds{{rateLimit{{cost}}{counts}}}")
}

/// Returns a document that counts the commits reachable from a tip in each span of committer dates, both ends
/// included, under the aliases `s0`, `s1`, ...
pub fn history_counts(spans: &[(DateTime<Utc>, DateTime<Utc>)]) -> String {
    let counts: String = spans
        .iter()
        .enumerate()
        .map(|(i, (since, until))| {
            let (since, until) = (git_timestamp(*since), git_timestamp(*until));
            format!("s{i}:history(first:1,since:\"{since}\",until:\"{until}\"){{totalCount}} ")
        })
        .collect();
    format!(
        "query HistoryCounts($repo:ID!,$oid:GitObjectID!){{rateLimit{{cost}}node(id:$repo){{...on Repository{{object(oid:$oid){{...on Commit{{{counts}}}}}}}}}}}"
    )
}

/// Returns a document that looks up pull requests or issues by number, under the aliases `n7`, `n8`, ... `field`
/// is `pullRequest` or `issue`.
pub fn threads_by_number(field: &str, numbers: &[i64]) -> String {
    let threads: String =
        numbers.iter().map(|number| format!("n{number}:{field}(number:{number}){{number}} ")).collect();
    format!(
        "query ThreadsByNumber($repo:ID!){{rateLimit{{cost}}node(id:$repo){{...on Repository{{{threads}}}}}}}"
    )
}

/// Returns a document that fetches up to 100 commits by object id, under the aliases `c0`, `c1`, ... The ids
/// are put into the text unescaped, so the caller must pass hexadecimal ids only.
pub fn commits_by_oid(oids: &[String]) -> String {
    let objects: String = oids
        .iter()
        .enumerate()
        .map(|(i, oid)| format!("c{i}:object(oid:\"{oid}\"){{...on Commit{{...CommitFields}}}} "))
        .collect();
    format!(
        "query CommitsByOid($repo:ID!,$lines:Boolean!){{rateLimit{{cost}}node(id:$repo){{...on Repository{{{objects}}}}}}}\n{COMMIT}"
    )
}
