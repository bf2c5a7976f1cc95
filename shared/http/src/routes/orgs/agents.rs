//! `…/agents`: what the sessions of coding agents used and did.

use axum::extract::State;
use axum::routing::get;
use gam_access::RouteClass;
use gam_query::{
    AgentListAnswer, AgentListRequest, AgentMetricsAnswer, AgentMetricsRequest, AgentSeriesAnswer,
    AgentSeriesRequest, PrClassesAnswer, QueryPorts,
};

use super::SUBJECT_ERRORS;
use crate::answer::{Answer, AnswerFormat};
use crate::error::ApiError;
use crate::openapi::{Operation, schema_name};
use crate::params::{
    AgentListParams, AgentPrsParams, AgentSeriesParams, MetricsParams, Parameter, QueryParams, SubjectQuery,
    WithRepoId,
};
use crate::routes::{Route, RouteMethod};

/// Returns the routes of a kind of answer: of an organization, a repository and a member, each as JSON and as CSV.
macro_rules! of_subjects {
    ($route:ident, $suffix:literal) => {
        [
            $route(concat!("/api/v1/orgs/{org}/agents", $suffix), AgentSubject::Org),
            $route(concat!("/api/v1/orgs/{org}/agents", $suffix, ".csv"), AgentSubject::Org),
            $route(concat!("/api/v1/orgs/{org}/repos/{repo}/agents", $suffix), AgentSubject::Repo),
            $route(concat!("/api/v1/orgs/{org}/repos/{repo}/agents", $suffix, ".csv"), AgentSubject::Repo),
            $route(concat!("/api/v1/orgs/{org}/members/{member}/agents", $suffix), AgentSubject::Member),
            $route(
                concat!("/api/v1/orgs/{org}/members/{member}/agents", $suffix, ".csv"),
                AgentSubject::Member,
            ),
        ]
    };
}

/// What a route is about.
#[derive(Clone, Copy, PartialEq, Eq)]
enum AgentSubject {
    Org,
    Repo,
    Member,
}

impl AgentSubject {
    fn name(self) -> &'static str {
        match self {
            AgentSubject::Org => "organization",
            AgentSubject::Repo => "repository",
            AgentSubject::Member => "member",
        }
    }

    fn id(self) -> &'static str {
        match self {
            AgentSubject::Org => "org",
            AgentSubject::Repo => "repo",
            AgentSubject::Member => "member",
        }
    }

    /// Returns the parameters of a route: one about a repository also takes its id.
    fn accepted<P: QueryParams>(self) -> Vec<Parameter> {
        match self {
            AgentSubject::Repo => WithRepoId::<P>::accepted(),
            AgentSubject::Org | AgentSubject::Member => P::accepted(),
        }
    }

    fn operation<P: QueryParams>(
        self,
        path: &'static str,
        (id, summary): (&str, &str),
        schema: &'static str,
    ) -> Operation {
        Operation::of_answer(
            path,
            &format!("{}_{id}", self.id()),
            &format!("{summary} of {} {}", if self == AgentSubject::Org { "an" } else { "a" }, self.name()),
            self.accepted::<P>(),
            &[schema],
            SUBJECT_ERRORS,
        )
    }
}

/// Returns all routes.
pub(in crate::routes) fn routes() -> impl Iterator<Item = Route> {
    of_subjects!(list, "")
        .into_iter()
        .chain(of_subjects!(metrics, "/metrics"))
        .chain(of_subjects!(timeseries, "/metrics/timeseries"))
        .chain([
            prs("/api/v1/orgs/{org}/agents/prs", AgentSubject::Org),
            prs("/api/v1/orgs/{org}/agents/prs.csv", AgentSubject::Org),
            prs("/api/v1/orgs/{org}/repos/{repo}/agents/prs", AgentSubject::Repo),
            prs("/api/v1/orgs/{org}/repos/{repo}/agents/prs.csv", AgentSubject::Repo),
        ])
}

fn metrics(path: &'static str, subject: AgentSubject) -> Route {
    let texts = ("agent_metrics", "The metrics of sessions of coding agents over a range,");
    let operation = subject.operation::<MetricsParams>(path, texts, schema_name::AGENT_METRICS);
    let handler = get(handle_metrics);
    Route { path, method: RouteMethod::Get, handler, operation, class: RouteClass::Read }
}

fn timeseries(path: &'static str, subject: AgentSubject) -> Route {
    let texts =
        ("agent_timeseries", "A metric of sessions by day, week or month, also by model, tool or branch,");
    let operation = subject.operation::<AgentSeriesParams>(path, texts, schema_name::AGENT_SERIES);
    let handler = get(handle_timeseries);
    Route { path, method: RouteMethod::Get, handler, operation, class: RouteClass::Read }
}

fn list(path: &'static str, subject: AgentSubject) -> Route {
    let texts =
        ("agents", "Models, tools, branches, repositories or members with their metrics of sessions,");
    let operation = subject.operation::<AgentListParams>(path, texts, schema_name::AGENT_LIST);
    let handler = get(handle_list);
    Route { path, method: RouteMethod::Get, handler, operation, class: RouteClass::Read }
}

fn prs(path: &'static str, subject: AgentSubject) -> Route {
    let texts = ("agent_prs", "Merged pull requests by what is known of sessions that led to them,");
    let operation = subject.operation::<AgentPrsParams>(path, texts, schema_name::AGENT_PRS);
    let handler = get(handle_prs);
    Route { path, method: RouteMethod::Get, handler, operation, class: RouteClass::Read }
}

async fn handle_prs(
    format: AnswerFormat,
    State(ports): State<QueryPorts>,
    SubjectQuery { org, subject, params }: SubjectQuery<AgentPrsParams>,
) -> Result<Answer<PrClassesAnswer>, ApiError> {
    let AgentPrsParams { range, bots } = params;
    Ok(Answer { format, body: gam_query::pr_classes(&ports, &org, &subject, range, bots).await? })
}

async fn handle_metrics(
    format: AnswerFormat,
    State(ports): State<QueryPorts>,
    SubjectQuery { org, subject, params }: SubjectQuery<MetricsParams>,
) -> Result<Answer<AgentMetricsAnswer>, ApiError> {
    let MetricsParams { range, bots, compare } = params;
    let request = AgentMetricsRequest { subject, range, bots, compare };
    Ok(Answer { format, body: gam_query::agent_metrics(&ports, &org, &request).await? })
}

async fn handle_timeseries(
    format: AnswerFormat,
    State(ports): State<QueryPorts>,
    SubjectQuery { org, subject, params }: SubjectQuery<AgentSeriesParams>,
) -> Result<Answer<AgentSeriesAnswer>, ApiError> {
    let AgentSeriesParams { metric, by, grain, range, bots, limit } = params;
    let request = AgentSeriesRequest { subject, metric, by, grain, range, bots, limit };
    Ok(Answer { format, body: gam_query::agent_series(&ports, &org, &request).await? })
}

async fn handle_list(
    format: AnswerFormat,
    State(ports): State<QueryPorts>,
    SubjectQuery { org, subject, params }: SubjectQuery<AgentListParams>,
) -> Result<Answer<AgentListAnswer>, ApiError> {
    let AgentListParams { listing, sort, direction, range, bots, limit, compare } = params;
    let request = AgentListRequest { subject, listing, range, bots, sort, direction, limit, compare };
    Ok(Answer { format, body: gam_query::agent_list(&ports, &org, &request).await? })
}
