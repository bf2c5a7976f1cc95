//! Hermetic end-to-end tests of the real binary, and what they are made of: a GitHub double with a
//! world of its own, a reference that computes every metric from that world, a proxy that lets requests
//! to AWS fail, and helpers that start the program and ask its API.
//!
//! Nothing here knows how the product computes anything: the reference is written from the
//! definitions alone, and the program is a process that is started, killed and asked.

pub mod answers;
pub mod github;
pub mod http;
pub mod program;
pub mod proxy;
pub mod reference;
pub mod runtime;
mod server;
pub mod support;
