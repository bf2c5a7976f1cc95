//! Linters find nothing in the files of the repository itself: workflows, issue forms, container files and
//! Kubernetes manifests. None of them can be run here.

use std::process::Command;

use gam_tests::program::run_to_end;

use crate::tools::{Tool, root};
use crate::{ExternalTest, external_test};

const NEEDS: &[Tool] = &[Tool::Repository];

/// Runs a linter on files of the repository. It must find nothing.
fn lint(program: &str, args: &[&str], files: &[String]) {
    let directory = Tool::Repository.path();
    let mut command = Command::new(directory.join(program));
    command.args(args).args(files).current_dir(root()).env("NO_COLOR", "1");
    let run = run_to_end(command);
    assert_eq!(run.status, Some(0), "{program} {args:?}:\n{}\n{}", run.text(), run.stderr);
}

/// Returns the files of a directory that end so, relative to the root of the workspace.
fn files(directory: &str, ending: &str) -> Vec<String> {
    let entries = std::fs::read_dir(root().join(directory)).expect("the directory");
    let names = entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned());
    let mut files: Vec<String> =
        names.filter(|name| name.ends_with(ending)).map(|name| format!("{directory}/{name}")).collect();
    files.sort();
    assert!(!files.is_empty(), "{directory} has no file that ends in {ending}");
    files
}

fn workflows_are_valid_and_safe() {
    let workflows = files(".github/workflows", ".yml");
    lint("check-jsonschema", &["--builtin-schema", "vendor.github-workflows"], &workflows);
    lint("zizmor", &["--offline", "--persona=pedantic", ".github"], &[]);
}

fn issue_forms_are_valid() {
    let mut forms = files(".github/ISSUE_TEMPLATE", ".yml");
    forms.retain(|form| !form.ends_with("/config.yml"));
    lint("check-jsonschema", &["--builtin-schema", "vendor.github-issue-forms"], &forms);
}

fn container_files_are_valid() {
    lint("hadolint", &["Dockerfile"], &[]);
    let compose = ["compose.yaml", "infra/compose.yaml", "infra/compose.postgres.yaml"].map(str::to_owned);
    lint("check-jsonschema", &["--builtin-schema", "vendor.compose-spec"], &compose);
}

fn the_kubernetes_manifest_is_valid() {
    lint("kubernetes-validate", &["--strict"], &files("infra/kubernetes", ".yaml"));
}

/// The tests of this file.
pub(crate) fn tests() -> Vec<ExternalTest> {
    vec![
        external_test!(NEEDS, workflows_are_valid_and_safe),
        external_test!(NEEDS, issue_forms_are_valid),
        external_test!(NEEDS, container_files_are_valid),
        external_test!(NEEDS, the_kubernetes_manifest_is_valid),
    ]
}
