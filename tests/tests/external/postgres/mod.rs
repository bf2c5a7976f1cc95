//! The store in PostgreSQL, on servers that the tests start.

mod actions;
mod adapter;
mod connections;
mod programs;
mod server;

use crate::ExternalTest;

/// The tests of this folder.
pub(crate) fn tests() -> Vec<ExternalTest> {
    [actions::tests(), adapter::tests(), connections::tests(), programs::tests()]
        .into_iter()
        .flatten()
        .collect()
}
