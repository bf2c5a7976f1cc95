//! The function `gate`: the routes of the HTTP API that change something: workers claim tasks and report on them, clients
//! request actions on GitHub, and approvers decide.

use gam_functions::http_api::{ServedRoutes, serve};
use gam_functions::start_logging;

#[tokio::main]
async fn main() -> Result<(), lambda_http::Error> {
    start_logging();
    serve(ServedRoutes::Changing).await
}
