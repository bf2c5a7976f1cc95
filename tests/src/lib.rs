//! Hermetic end-to-end tests of the real binary, and their helpers: a GitHub double, a reference that
//! computes every metric from the double's world, a proxy that makes requests to AWS fail, a double of
//! channels of notifications, and functions that start the program and query its API.
//!
//! Nothing here shares code with the product. The reference is written from the definitions alone, and the
//! program is a process that the tests start, kill and query.

pub mod action_host;
pub mod answers;
pub mod channels;
pub mod file_server;
pub mod github;
pub mod http;
pub mod program;
pub mod proxy;
pub mod reference;
pub mod runtime;
mod server;
pub mod support;
