//! The real program is killed while it does actions, on SQLite.

use gam_tests::action_host::ActionHost;
use gam_tests::program::Sandbox;

use crate::common::action_kills::{kill_at_each_write, kill_at_random_moments};

#[test]
fn a_kill_at_any_write_doubles_nothing() {
    kill_at_each_write(ActionHost::start(Sandbox::new(), ""));
}

#[test]
fn kills_at_random_moments_double_nothing() {
    kill_at_random_moments(ActionHost::start(Sandbox::new(), ""), 1);
}
