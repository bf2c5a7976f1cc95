//! Session logs on this machine: where they are, which repository and member they belong to, and which were read.

pub(crate) mod discover;
pub(crate) mod git;
pub(crate) mod owners;
pub(crate) mod read;
pub(crate) mod state;
