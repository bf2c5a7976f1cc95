//! A running server keeps what its OpenAPI document says, whatever clients send.

use std::process::Command;

use gam_tests::program::run_to_end;
use gam_tests::support::backfilled;

use crate::tools::{Tool, root};
use crate::{ExternalTest, external_test};

const NEEDS: &[Tool] = &[Tool::Api];

/// Runs schemathesis with all checks against the server at the address. It must find nothing.
///
/// `config` is its configuration file, and `max_examples` the number of random requests of each operation.
fn check_server(address: &str, config: &str, max_examples: u32) {
    let directory = tempfile::tempdir().expect("a directory");
    let config_file = directory.path().join("schemathesis.toml");
    std::fs::write(&config_file, config).expect("the configuration is written");
    let mut schemathesis = Command::new(Tool::Api.path().join("schemathesis"));
    schemathesis.arg("--config-file").arg(&config_file).args(["--no-color", "run", "--checks", "all"]);
    schemathesis.args(["--max-examples", &max_examples.to_string(), "--seed", "1", "--continue-on-failure"]);
    // This server has no secret for webhooks, and what is generated has no signature.
    schemathesis.args(["--exclude-path", "/api/v1/webhook/github"]);
    schemathesis.args(["--warnings", "off", "--request-retries", "2"]);
    schemathesis.arg(format!("http://{address}/openapi.json")).current_dir(directory.path());
    schemathesis.env("SCHEMATHESIS_HOOKS", "schemathesis_hooks");
    schemathesis.env("PYTHONPATH", root().join("tests/tests/external")).env("PYTHONDONTWRITEBYTECODE", "1");
    let run = run_to_end(schemathesis);
    assert_eq!(run.status, Some(0), "{}\n{}", run.text(), run.stderr);
    assert!(run.text().contains("No issues found"), "{}", run.text());
}

/// Checks the server with the names of an organization, a repository and a member that exist, and with any names.
fn the_server_matches_its_openapi_document() {
    let (world, _double, sandbox) = backfilled(51);
    let server = sandbox.serve();
    let member = "ann";
    let repo = world.repos[0].name(gam_tests::support::settled_at());
    let names = format!(
        "[parameters]\n\"path.org\" = {:?}\n\"path.repo\" = {repo:?}\n\"path.member\" = {member:?}\n",
        world.org
    );
    check_server(server.address(), &names, 30);
    check_server(server.address(), "", 10);
}

/// The tests of this file.
pub(crate) fn tests() -> Vec<ExternalTest> {
    vec![external_test!(NEEDS, the_server_matches_its_openapi_document)]
}
