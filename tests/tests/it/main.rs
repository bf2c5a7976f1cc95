//! End to end: the real binary against the GitHub double.

mod api;
mod arrows;
mod backfill;
mod bad_input;
mod crash;
mod damage;
mod demo;
mod env_file;
mod facts;
mod faults;
mod incremental;
mod long_history;
mod long_lists;
mod many;
mod order;
mod people;
mod public_output;
mod reconcile;
mod refold;
mod repositories;
mod secrets;
mod sign_in;
mod serving;
mod terminal;
mod tips;
mod up;
