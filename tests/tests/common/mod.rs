//! Checks that run on several stores: SQLite in `it`, and the others in `external`.

pub(crate) mod action_kills;
pub(crate) mod action_storm;
pub(crate) mod issues;
