//! The pages at `/`: HTML that this program renders itself, from the same queries as the API.
//!
//! * A page works without its script. Everything that it shows is in the HTML, and all of its state is in the URL.
//! * A page loads nothing from elsewhere. Its style sheet and script are routes of this router, named after the hash of
//!   their content, so its content security policy needs no `unsafe-inline`.
//! * [`shell`] makes a complete document of a title and a body; [`view::View`] has what every page knows.

mod actions;
mod agents;
mod approve;
mod assets;
mod calendar;
mod change;
mod controls;
mod delivery;
mod error_page;
mod figures;
mod format;
mod hooks;
mod lists;
mod log;
mod notes;
mod notifications;
mod org;
mod orgs;
mod panels;
mod request;
mod shell;
pub(crate) mod sign_in;
mod subject;
mod tables;
mod task_log;
mod tasks;
mod tiles;
mod view;
mod words;

use axum::response::Redirect;
use axum::routing::{MethodRouter, get, post};
use gam_query::QueryPorts;
use gam_work::actions::LINK_PATH;

use crate::params::SubjectPath;
use crate::service_metrics;

pub(crate) use error_page::ErrorPage;
pub(crate) use log::LOG_PATH;
pub(crate) use view::{View, see_other};

/// The paths that need no token: what the page for signing in loads, and the page of a signed link.
pub(crate) const PUBLIC_PATHS: [&str; 2] = ["/assets/{name}", LINK_PATH];

/// The path to which the form of an action that waits for approvals posts.
pub(crate) const DECISION_PATH: &str = "/orgs/{org}/actions/{action_id}/decide";

/// The path to which the form that requests a merge posts.
pub(crate) const MERGE_PATH: &str = "/orgs/{org}/actions/merge";

async fn redirect_to_org(path: SubjectPath) -> Redirect {
    Redirect::permanent(&format!("../{}", format::encode(&path.org)))
}

/// Returns the path and handler of pages that show nothing but answers of queries, so that they can be kept as long as
/// those. What else they depend on is their [`View::variant`].
pub(crate) fn query_routes() -> Vec<(&'static str, MethodRouter<QueryPorts>)> {
    vec![
        ("/orgs/{org}", get(org::handle)),
        ("/orgs/{org}/delivery", get(delivery::handle)),
        ("/orgs/{org}/repos", get(lists::handle_repos)),
        ("/orgs/{org}/repos/{repo}", get(subject::handle)),
        ("/orgs/{org}/members", get(lists::handle_members)),
        ("/orgs/{org}/members/{member}", get(subject::handle)),
        ("/orgs/{org}/agents", get(agents::handle)),
    ]
}

/// Returns the path and handler of every other page, and of what pages load. Some read records, and some depend on what
/// the principal sees.
pub(crate) fn other_routes() -> Vec<(&'static str, MethodRouter<QueryPorts>)> {
    vec![
        ("/", get(orgs::handle)),
        (PUBLIC_PATHS[0], get(assets::handle)),
        (service_metrics::METRICS_PATH, get(service_metrics::handle)),
        // Addresses that people type.
        ("/orgs", get(async || Redirect::permanent("."))),
        ("/orgs/{org}/", get(redirect_to_org)),
        ("/orgs/{org}/tasks", get(tasks::handle)),
        ("/orgs/{org}/tasks/{claim_id}", get(task_log::handle)),
        (LOG_PATH, get(log::handle)),
        ("/orgs/{org}/hooks", get(hooks::handle)),
        ("/orgs/{org}/notifications", get(notifications::handle)),
        ("/orgs/{org}/actions", get(actions::handle)),
        (DECISION_PATH, post(actions::decide)),
        (MERGE_PATH, post(actions::request_merge)),
        (LINK_PATH, get(approve::show).post(approve::decide)),
    ]
}
