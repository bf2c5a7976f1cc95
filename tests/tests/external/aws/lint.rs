//! Linters of AWS and checkov find nothing in the template.

use std::process::Command;

use crate::tools::{Tool, root};
use crate::{ExternalTest, external_test};

const NEEDS: &[Tool] = &[Tool::Sam, Tool::Lint];

/// Runs a linter. It must find nothing.
fn lint(tools: Tool, program: &str, args: &[&str]) {
    let directory = tools.path();
    let mut command = Command::new(directory.join(program));
    command.args(args).current_dir(root());
    command.env("SAM_CLI_TELEMETRY", "0").env("AWS_DEFAULT_REGION", "us-east-1").env("NO_COLOR", "1");
    let run = gam_tests::program::run_to_end(command);
    assert_eq!(run.status, Some(0), "{program}:\n{}\n{}", run.text(), run.stderr);
}

fn the_template_is_valid_for_sam() {
    lint(Tool::Sam, "sam", &["validate", "--lint", "--template-file", "template.yaml"]);
}

fn cfn_lint_finds_nothing_in_the_template() {
    lint(Tool::Sam, "cfn-lint", &["template.yaml"]);
}

fn checkov_finds_nothing_in_the_template() {
    lint(Tool::Lint, "checkov", &["--config-file", "infra/.checkov.yaml"]);
}

/// The tests of this file.
pub(crate) fn tests() -> Vec<ExternalTest> {
    vec![
        external_test!(NEEDS, the_template_is_valid_for_sam),
        external_test!(NEEDS, cfn_lint_finds_nothing_in_the_template),
        external_test!(NEEDS, checkov_finds_nothing_in_the_template),
    ]
}
