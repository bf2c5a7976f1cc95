//! Actions on PostgreSQL: in a storm, while the real program is killed, and with several servers on one database.

use std::sync::Arc;
use std::time::Duration;

use gam_tests::action_host::{ActionHost, action_of, wait_until};
use gam_tests::program::Sandbox;
use serde_json::json;

use super::server::{PostgresServer, runtime};
use crate::common::action_kills::{assert_done_once, kill_at_each_write, kill_at_random_moments};
use crate::common::action_storm::check;
use crate::tools::Tool;
use crate::{ExternalTest, external_test};

const NEEDS: &[Tool] = &[Tool::Postgres];

/// Number of servers that share a database.
const SERVERS: usize = 3;

/// Returns an empty sandbox with a new database as the store.
fn sandbox_with(server: &PostgresServer) -> Sandbox {
    let database = runtime().block_on(server.create_database());
    Sandbox::new().with_variable("GITHUB_METRICS_STORE", &server.url("admin", &database))
}

fn each_action_is_done_once_in_a_storm() {
    let server = PostgresServer::start();
    for (seed, needs_approval) in [(6, true), (7, false)] {
        let (_, store) = runtime().block_on(server.create_store());
        let single = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        drop(store);
        let report = single.block_on(async {
            let (_, store) = server.create_store().await;
            check(Arc::new(store), seed, needs_approval).await
        });
        assert!(report.stops >= 10 && report.writes >= 3, "{report:?}");
    }
}

fn a_kill_at_any_write_doubles_nothing() {
    let server = PostgresServer::start();
    kill_at_each_write(ActionHost::start(sandbox_with(&server), ""));
}

fn kills_at_random_moments_double_nothing() {
    let server = PostgresServer::start();
    kill_at_random_moments(ActionHost::start(sandbox_with(&server), ""), 2);
}

/// Requests go to any server, any server carries them out, and one of them is killed now and then.
fn servers_share_a_database() {
    let server = PostgresServer::start();
    let host = ActionHost::start(sandbox_with(&server), "");
    let operator = host.token("operator", "operator");
    let mut others: Vec<_> = (1..SERVERS).map(|_| host.sandbox.serve()).collect();
    let mut requests = Vec::new();
    for number in 0..10 {
        let address = match number % SERVERS {
            0 => host.address(),
            index => others[index - 1].address(),
        };
        let body = json!({ "repository": "site", "title": format!("Broken {number}") });
        let key = format!("key-{number}");
        let headers = [("authorization", &*operator), ("idempotency-key", &*key)];
        let path = "/create-issue";
        // The same request at two servers at once is one action.
        requests.push(gam_tests::http::start_request(
            host.address(),
            ("POST", path),
            &[&headers[..], &[("content-type", "application/json")]].concat(),
            &body.to_string(),
        ));
        let answer = gam_tests::http::send_json(address, path, &headers, &body);
        assert!(matches!(answer.status, 201 | 202), "{}", answer.text());
        requests.push(host.start_post(&operator, path, &body, &key));
        if number % 4 == 3 {
            others[number % (SERVERS - 1)] = host.sandbox.serve();
        }
        assert!(!action_of(&answer).is_empty());
    }
    // A server that is killed between its announcement and its request leaves an action that is looked for.
    let mut states = Vec::new();
    wait_until(|| {
        std::thread::sleep(Duration::from_millis(200));
        let listed = host.sandbox.run(&["action", "list", "--org", "acme", "--format", "json"]);
        let listed = listed.expect_status(0).json();
        let actions = listed["actions"].as_array().map_or(&[][..], Vec::as_slice);
        states = actions.iter().map(|it| it["state"].as_str().unwrap_or_default().to_owned()).collect();
        states.len() == 10 && states.iter().all(|state| ["succeeded", "checking"].contains(&state.as_str()))
    });
    let succeeded = states.iter().filter(|state| *state == "succeeded").count();
    let made = host.github.effects()[0];
    assert!(succeeded >= 8 && (succeeded..=10).contains(&made), "{made} issues, {states:?}");
    assert_done_once(&host);
    drop(requests);
}

/// The tests of this file.
pub(crate) fn tests() -> Vec<ExternalTest> {
    vec![
        external_test!(NEEDS, each_action_is_done_once_in_a_storm),
        external_test!(NEEDS, a_kill_at_any_write_doubles_nothing),
        external_test!(NEEDS, kills_at_random_moments_double_nothing),
        external_test!(NEEDS, servers_share_a_database),
    ]
}
