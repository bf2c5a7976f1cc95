//! One file for each command: its arguments and what it does.

pub(crate) mod action;
pub(crate) mod aggregate;
pub(crate) mod audit;
pub(crate) mod backup;
pub(crate) mod collect;
pub(crate) mod completions;
pub(crate) mod config;
pub(crate) mod demo;
mod demo_trial;
pub(crate) mod doctor;
mod dry_run;
pub(crate) mod erase;
pub(crate) mod export;
pub(crate) mod forget_org;
pub(crate) mod help;
pub(crate) mod hook;
pub(crate) mod ingest;
pub(crate) mod notify;
pub(crate) mod query;
mod reconcile;
pub(crate) mod rename_org;
pub(crate) mod serve;
pub(crate) mod show;
pub(crate) mod status;
pub(crate) mod task;
#[cfg(test)]
mod tests;
pub(crate) mod token;
pub(crate) mod up;
pub(crate) mod worker;
