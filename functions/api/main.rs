//! The function `api`: the HTTP API behind API Gateway, as far as it reads.

use gam_functions::http_api::{ServedRoutes, serve};
use gam_functions::start_logging;

#[tokio::main]
async fn main() -> Result<(), lambda_http::Error> {
    start_logging();
    serve(ServedRoutes::Reading).await
}
