//! The function `api`: the HTTP API behind API Gateway, as far as it reads.

use gam_access::Role;
use gam_functions::{http_api, start_logging};

#[tokio::main]
async fn main() -> Result<(), lambda_http::Error> {
    start_logging();
    lambda_http::run(http_api::load_router(Role::Viewer).await?).await
}
