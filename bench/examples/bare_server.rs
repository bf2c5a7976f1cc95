//! A server that only returns bytes. `bench/load.py` compares the API with it, to see what computing an answer costs:
//! `cargo run --release -p gam-bench --example bare_server -- FILE...`.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use axum::Router;
use axum::body::Bytes;
use axum::http::header::CONTENT_TYPE;
use axum::routing::get;
use clap::Parser;
use tokio::net::TcpListener;

/// Serves files from memory, and nothing else
#[derive(Parser)]
struct BareServer {
    /// File with an answer; the first one is at /0, the next one at /1, and so on
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    /// Address to listen on
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:0")]
    listen: String,
}

/// Serves the files until the process is killed. Prints the address.
fn main() -> anyhow::Result<()> {
    let args = BareServer::parse();
    let mut router = Router::new();
    for (number, file) in args.files.iter().enumerate() {
        let bytes =
            Bytes::from(std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))?);
        let content_type = content_type(file);
        let answer = move || async move { ([(CONTENT_TYPE, content_type)], bytes.clone()) };
        router = router.route(&format!("/{number}"), get(answer));
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener = TcpListener::bind(&args.listen).await?;
        writeln!(std::io::stdout(), "listening on http://{}", listener.local_addr()?)?;
        axum::serve(listener, router).await?;
        Ok(())
    })
}

fn content_type(file: &Path) -> &'static str {
    match file.extension().and_then(|extension| extension.to_str()) {
        Some("html") => "text/html; charset=utf-8",
        Some("svg") => "image/svg+xml",
        _ => "application/json",
    }
}
