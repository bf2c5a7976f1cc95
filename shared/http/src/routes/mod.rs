//! The routes. The modules follow the paths, and [`all`] lists every route.

mod actions;
mod health;
pub(crate) mod log;
mod metric_catalogue;
mod openapi;
mod orgs;
mod sessions;
pub(crate) mod sign_in;
mod tasks;

use std::collections::HashMap;
use std::sync::LazyLock;

use axum::extract::{MatchedPath, Request};
use axum::http::Method;
use axum::routing::MethodRouter;
use gam_access::RouteClass;
use gam_query::QueryPorts;

use crate::openapi::Operation;
use crate::pages;

pub use orgs::charts::DigestCharts;
pub(crate) use orgs::export::ExportPermits;

/// The method of a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum RouteMethod {
    /// `GET`, and `HEAD` with it.
    Get,
    Post,
}

impl RouteMethod {
    /// Returns the methods of the header `Allow` that a route with this method adds.
    pub(crate) fn allowed(self) -> &'static str {
        match self {
            RouteMethod::Get => "GET,HEAD",
            RouteMethod::Post => "POST",
        }
    }

    fn of(method: &Method) -> Option<Self> {
        match *method {
            Method::GET | Method::HEAD => Some(RouteMethod::Get),
            Method::POST => Some(RouteMethod::Post),
            _ => None,
        }
    }
}

/// A route: its path, its method, its handler, and its description in the OpenAPI document.
pub(crate) struct Route {
    /// The path, with parameters in braces.
    pub(crate) path: &'static str,
    pub(crate) method: RouteMethod,
    pub(crate) handler: MethodRouter<QueryPorts>,
    pub(crate) operation: Operation,
    /// What the route does, which decides who may use it.
    pub(crate) class: RouteClass,
}

const HEALTH_CHECKS: [&str; 2] = ["/healthz", "/api/v1/healthz"];

/// The routes below `/api/v1/orgs` that read records.
const ISSUES: &str = "/api/v1/orgs/{org}/issues";
const HOOKS: &str = "/api/v1/orgs/{org}/hooks";

/// Returns whether the path is a health check.
pub(crate) fn is_health_check(path: &str) -> bool {
    HEALTH_CHECKS.contains(&path)
}

/// Returns what the route of a request does. A path without a route is not public: nobody learns without a token
/// which paths have one. A method that a path does not have is of the class of one that it has.
pub(crate) fn class_of(request: &Request) -> RouteClass {
    type Classes = HashMap<&'static str, Vec<(RouteMethod, RouteClass)>>;
    static CLASSES: LazyLock<Classes> = LazyLock::new(|| {
        let api = all().into_iter().map(|route| (route.path, (route.method, route.class)));
        let decisions = [
            (pages::DECISION_PATH, (RouteMethod::Post, RouteClass::Decide)),
            (pages::MERGE_PATH, (RouteMethod::Post, RouteClass::Act)),
        ];
        let public = sign_in::PATHS.into_iter().chain(pages::PUBLIC_PATHS);
        let public = public.map(|path| (path, (RouteMethod::Get, RouteClass::Public)));
        let log = (pages::LOG_PATH, (RouteMethod::Get, RouteClass::Audit));
        api.chain(decisions).chain(public).chain([log]).fold(Classes::new(), |mut classes, (path, class)| {
            classes.entry(path).or_default().push(class);
            classes
        })
    });
    let path = request.extensions().get::<MatchedPath>();
    let classes = path.and_then(|path| CLASSES.get(path.as_str())).map_or(&[][..], Vec::as_slice);
    let method = RouteMethod::of(request.method());
    let of_method = classes.iter().find(|(it, _)| Some(*it) == method);
    of_method.or_else(|| classes.first()).map_or(RouteClass::Read, |(_, class)| *class)
}

/// Returns whether the handler of a path checks by itself what the principal sees: the path names neither an organization
/// nor a repository.
pub(crate) fn checks_scope(path: &str) -> bool {
    let paths: [&[&str]; 4] = [&tasks::PATHS, &actions::PATHS, &log::PATHS, &sessions::PATHS];
    paths.iter().any(|paths| paths.contains(&path)) || path == pages::LOG_PATH
}

/// Returns whether the answers of a path follow from records. Not every store's change token changes with them, so such
/// answers are not kept.
pub(crate) fn reads_records(path: &str) -> bool {
    [ISSUES, HOOKS].contains(&path)
}

/// Returns every route, in the order of the OpenAPI document.
pub(crate) fn all() -> Vec<Route> {
    let mut routes = vec![
        health::route(HEALTH_CHECKS[0], "healthz"),
        health::route(HEALTH_CHECKS[1], "healthz_v1"),
        openapi::route("/openapi.json", "openapi"),
        openapi::route("/api/v1/openapi.json", "openapi_v1"),
        metric_catalogue::route("/api/v1/metrics"),
        orgs::list::route("/api/v1/orgs"),
        orgs::list::route("/api/v1/orgs.csv"),
        orgs::metrics::of_org("/api/v1/orgs/{org}/metrics"),
        orgs::metrics::of_org("/api/v1/orgs/{org}/metrics.csv"),
        orgs::metrics::of_repo("/api/v1/orgs/{org}/repos/{repo}/metrics"),
        orgs::metrics::of_repo("/api/v1/orgs/{org}/repos/{repo}/metrics.csv"),
        orgs::metrics::of_member("/api/v1/orgs/{org}/members/{member}/metrics"),
        orgs::metrics::of_member("/api/v1/orgs/{org}/members/{member}/metrics.csv"),
        orgs::timeseries::of_org("/api/v1/orgs/{org}/metrics/timeseries"),
        orgs::timeseries::of_org("/api/v1/orgs/{org}/metrics/timeseries.csv"),
        orgs::timeseries::of_repo("/api/v1/orgs/{org}/repos/{repo}/metrics/timeseries"),
        orgs::timeseries::of_repo("/api/v1/orgs/{org}/repos/{repo}/metrics/timeseries.csv"),
        orgs::timeseries::of_member("/api/v1/orgs/{org}/members/{member}/metrics/timeseries"),
        orgs::timeseries::of_member("/api/v1/orgs/{org}/members/{member}/metrics/timeseries.csv"),
        orgs::histogram::of_org("/api/v1/orgs/{org}/metrics/histogram"),
        orgs::histogram::of_org("/api/v1/orgs/{org}/metrics/histogram.csv"),
        orgs::histogram::of_repo("/api/v1/orgs/{org}/repos/{repo}/metrics/histogram"),
        orgs::histogram::of_repo("/api/v1/orgs/{org}/repos/{repo}/metrics/histogram.csv"),
        orgs::histogram::of_member("/api/v1/orgs/{org}/members/{member}/metrics/histogram"),
        orgs::histogram::of_member("/api/v1/orgs/{org}/members/{member}/metrics/histogram.csv"),
        orgs::export::of_accepted_format("/api/v1/orgs/{org}/export"),
        orgs::export::as_csv("/api/v1/orgs/{org}/export.csv"),
        orgs::export::as_ndjson("/api/v1/orgs/{org}/export.ndjson"),
        orgs::charts::of_org("/api/v1/orgs/{org}/charts/{chart}"),
        orgs::charts::of_repo("/api/v1/orgs/{org}/repos/{repo}/charts/{chart}"),
        orgs::charts::of_member("/api/v1/orgs/{org}/members/{member}/charts/{chart}"),
        orgs::issues::route(ISSUES),
        orgs::hooks::route(HOOKS),
        orgs::listings::members("/api/v1/orgs/{org}/members"),
        orgs::listings::members("/api/v1/orgs/{org}/members.csv"),
        orgs::listings::repos("/api/v1/orgs/{org}/repos"),
        orgs::listings::repos("/api/v1/orgs/{org}/repos.csv"),
        orgs::listings::repo_members("/api/v1/orgs/{org}/repos/{repo}/members"),
        orgs::listings::repo_members("/api/v1/orgs/{org}/repos/{repo}/members.csv"),
        orgs::listings::member_repos("/api/v1/orgs/{org}/members/{member}/repos"),
        orgs::listings::member_repos("/api/v1/orgs/{org}/members/{member}/repos.csv"),
        log::page(log::PATHS[0]),
        log::stream(log::PATHS[1]),
        tasks::request(tasks::PATHS[0]),
        tasks::list(tasks::PATHS[1]),
        tasks::heartbeat(tasks::PATHS[2]),
        tasks::complete(tasks::PATHS[3]),
        tasks::fail(tasks::PATHS[4]),
        tasks::release(tasks::PATHS[5]),
        tasks::append_log(tasks::PATHS[6]),
        tasks::read_log(tasks::PATHS[6]),
        sessions::push(sessions::PATHS[0]),
        actions::create_issue(actions::PATHS[0]),
        actions::create_comment(actions::PATHS[1]),
        actions::create_pr(actions::PATHS[2]),
        actions::approve_merge_pr(actions::PATHS[3]),
        actions::create_issue(actions::PATHS[4]),
        actions::create_comment(actions::PATHS[5]),
        actions::create_pr(actions::PATHS[6]),
        actions::approve_merge_pr(actions::PATHS[7]),
        actions::list(actions::PATHS[8]),
        actions::show(actions::PATHS[9]),
        actions::approve(actions::PATHS[10]),
        actions::reject(actions::PATHS[11]),
        actions::make_link(actions::PATHS[12]),
        actions::retry(actions::PATHS[13]),
        actions::resolve(actions::PATHS[14]),
    ];
    routes.extend(orgs::agents::routes());
    routes.extend(orgs::export::of_agents());
    routes
}
