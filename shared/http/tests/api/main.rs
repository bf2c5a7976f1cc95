//! The API as its users see it: requests through the router, responses as bytes.

mod access;
mod actions;
mod agents_page;
mod approval_links;
mod docs;
mod errors;
mod headers;
mod kept_answers;
mod log;
mod openapi;
mod orgs;
mod pages;
mod public_answers;
mod public_errors;
mod schema;
mod serving;
mod sessions;
mod support;
mod tables;
mod tasks;
mod webhook;
