//! An organization's members and repositories.

use axum::Json;
use axum::extract::State;
use axum::routing::get;
use gam_query::QueryPorts;
use gam_query::{ListAnswer, ListKind, ListRequest};

use super::{Route, SUBJECT_REFUSALS};
use crate::openapi::{Answer, Operation, name};
use crate::params::{Asked, ListQuestion, Question, Target};
use crate::problem::Failure;

/// The members credited with something in the range.
pub(super) fn members(path: &'static str) -> Route {
    let handler = get(async |ports, target, asked| answer(ListKind::Members, ports, target, asked).await);
    Route { path, handler, operation: operation("members", name::MEMBERS) }
}

/// The repositories in which something happened in the range.
pub(super) fn repos(path: &'static str) -> Route {
    let handler = get(async |ports, target, asked| answer(ListKind::Repos, ports, target, asked).await);
    Route { path, handler, operation: operation("repos", name::REPOS) }
}

fn operation(listed: &str, schema: &'static str) -> Operation {
    Operation {
        id: listed.to_owned(),
        summary: format!("The {listed} credited with something in the range, with their metrics"),
        parameters: ListQuestion::PARAMETERS,
        answer: Answer::Json(schema),
        refusals: SUBJECT_REFUSALS,
    }
}

async fn answer(
    kind: ListKind,
    State(ports): State<QueryPorts>,
    target: Target,
    Asked(asked): Asked<ListQuestion>,
) -> Result<Json<ListAnswer>, Failure> {
    let ListQuestion { range, bots, sort, order, limit, cursor } = asked;
    let request = ListRequest { kind, range, bots, sort, order, limit, cursor };
    Ok(Json(gam_query::list(&ports, &target.org, &request).await?))
}
