//! The template is clean by the linters of AWS and by checkov.

use std::process::Command;

use crate::tools::Tool;
use crate::tools::root;
use crate::{ExternalTest, external_test};

const NEEDS: &[Tool] = &[Tool::Sam, Tool::Lint];

/// A program of a set of tools, which must find nothing.
fn lint(tools: Tool, program: &str, args: &[&str]) {
    let place = tools.path();
    let mut command = Command::new(place.join(program));
    command.args(args).current_dir(root());
    command.env("SAM_CLI_TELEMETRY", "0").env("AWS_DEFAULT_REGION", "us-east-1").env("NO_COLOR", "1");
    let run = gam_tests::program::run_to_end(command);
    assert_eq!(run.status, Some(0), "{program}:\n{}\n{}", run.text(), run.stderr);
}

fn the_template_is_valid_for_sam() {
    lint(Tool::Sam, "sam", &["validate", "--lint", "--template-file", "template.yaml"]);
}

fn the_template_is_clean_by_cfn_lint() {
    lint(Tool::Sam, "cfn-lint", &["template.yaml"]);
}

fn the_template_is_clean_by_checkov() {
    lint(Tool::Lint, "checkov", &["--config-file", "infra/.checkov.yaml"]);
}

/// The tests of this file.
pub(crate) fn tests() -> Vec<ExternalTest> {
    vec![
        external_test!(NEEDS, the_template_is_valid_for_sam),
        external_test!(NEEDS, the_template_is_clean_by_cfn_lint),
        external_test!(NEEDS, the_template_is_clean_by_checkov),
    ]
}
