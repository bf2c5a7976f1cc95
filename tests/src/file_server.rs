//! A server of some texts, such as the files that an issue links.

use std::io;

use hyper::Response;
use hyper::body::Incoming;

use crate::server::{Server, complete_body};

/// A running server. It stops when it is dropped.
#[derive(Debug)]
pub struct FileServer(Server);

impl FileServer {
    /// Serves texts by path. Any other path is answered with 404.
    pub fn start(files: &[(&str, &str)]) -> Self {
        let files: Vec<(String, String)> =
            files.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect();
        FileServer(Server::start(move |request: hyper::Request<Incoming>| {
            let file =
                files.iter().find(|(path, _)| path == request.uri().path()).map(|(_, text)| text.clone());
            async move {
                let status = if file.is_some() { 200 } else { 404 };
                let body = complete_body(file.unwrap_or_default());
                Response::builder().status(status).body(body).map_err(io::Error::other)
            }
        }))
    }

    /// Returns the address of the root, with a slash at the end.
    pub fn url(&self) -> String {
        format!("http://{}/", self.0.address())
    }
}
