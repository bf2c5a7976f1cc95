//! The function `log`: the routes of the HTTP API that show the audit log. No other function reads its segments for people.

use gam_functions::http_api::{ServedRoutes, serve};
use gam_functions::start_logging;

#[tokio::main]
async fn main() -> Result<(), lambda_http::Error> {
    start_logging();
    serve(ServedRoutes::AuditLog).await
}
