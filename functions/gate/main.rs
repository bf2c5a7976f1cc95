//! The function `gate`: the routes of the HTTP API that change something: workers claim tasks and report on them.

use gam_access::Role;
use gam_functions::{http_api, start_logging};

#[tokio::main]
async fn main() -> Result<(), lambda_http::Error> {
    start_logging();
    lambda_http::run(http_api::load_router(Role::Worker).await?).await
}
