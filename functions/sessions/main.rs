//! The function `sessions`: the route of the HTTP API that takes session events of other machines. Only this function of the
//! API writes to the lake, and only batches of session events.

use gam_functions::http_api::{ServedRoutes, serve};
use gam_functions::start_logging;

#[tokio::main]
async fn main() -> Result<(), lambda_http::Error> {
    start_logging();
    serve(ServedRoutes::Sessions).await
}
