//! The template is clean by the linters of AWS and by checkov.

use std::process::Command;

use super::tools::{LINT, SAM, or_skip, root, tool};

/// A program of a set of tools, which must find nothing.
fn lint(tools: &'static str, program: &str, args: &[&str]) {
    let Some(place) = or_skip(tool(tools)) else { return };
    let mut command = Command::new(place.join(program));
    command.args(args).current_dir(root());
    command.env("SAM_CLI_TELEMETRY", "0").env("AWS_DEFAULT_REGION", "us-east-1").env("NO_COLOR", "1");
    let run = gam_tests::program::finish(command);
    assert_eq!(run.status, Some(0), "{program}:\n{}\n{}", run.text(), run.stderr);
}

#[test]
fn the_template_is_valid_for_sam() {
    lint(SAM, "sam", &["validate", "--lint", "--template-file", "template.yaml"]);
}

#[test]
fn the_template_is_clean_by_cfn_lint() {
    lint(SAM, "cfn-lint", &["template.yaml"]);
}

#[test]
fn the_template_is_clean_by_checkov() {
    lint(LINT, "checkov", &["--config-file", "infra/.checkov.yaml"]);
}
