//! The organizations.

use axum::Json;
use axum::extract::State;
use axum::routing::get;
use gam_query::OrgsAnswer;
use gam_query::QueryPorts;

use super::{Route, STORE_REFUSALS};
use crate::openapi::{Answer, Operation, name};
use crate::params::{Asked, NoQuestion, Question};
use crate::problem::Failure;

/// Every organization that was ever collected.
pub(super) fn orgs(path: &'static str) -> Route {
    let operation = Operation {
        id: "orgs".to_owned(),
        summary: "Every organization that was ever collected".to_owned(),
        parameters: NoQuestion::PARAMETERS,
        answer: Answer::Json(name::ORGS),
        refusals: STORE_REFUSALS,
    };
    Route { path, handler: get(answer), operation }
}

async fn answer(State(ports): State<QueryPorts>, _: Asked<NoQuestion>) -> Result<Json<OrgsAnswer>, Failure> {
    Ok(Json(gam_query::orgs(&ports).await?))
}
