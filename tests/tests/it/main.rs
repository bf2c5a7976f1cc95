//! End to end: the real binary against the GitHub double, and the deployed system against an emulator.

mod api;
mod arrows;
mod aws;
mod backfill;
mod bad_input;
mod crash;
mod damage;
mod demo;
mod duckdb;
mod facts;
mod faults;
mod incremental;
mod long_history;
mod long_lists;
mod many;
mod order;
mod public_output;
mod reconcile;
mod repositories;
mod schema;
mod secrets;
mod sign_in;
mod support;
mod tips;
mod up;
