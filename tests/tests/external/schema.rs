//! Every GraphQL document against GitHub's published schema, and every REST call and the fields that the
//! product reads of its response against GitHub's OpenAPI description. Both are pinned packages.

use std::collections::BTreeSet;

use crate::tools::Tool;
use crate::{ExternalTest, external_test};
use apollo_compiler::validation::Valid;
use apollo_compiler::{ExecutableDocument, Schema};
use gam_github::queries::{self, HistoryEnd};
use gam_github::rest;
use gam_tests::github::world::at;
use serde_json::Value;

const NEEDS: &[Tool] = &[Tool::GraphQlSchema, Tool::OpenApi];

/// Reads the text of a schema.
fn schema_text(schema: Tool) -> String {
    let path = schema.path();
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn parse_schema(text: &str) -> Valid<Schema> {
    let schema = Schema::parse(text, "schema.graphql").unwrap_or_else(|partial| {
        // GitHub defines a few fields twice. That is not what this test checks.
        let errors = partial.errors.to_string();
        let lines = errors.lines().filter(|line| line.contains("Error: "));
        let others: Vec<&str> = lines.filter(|line| !line.contains("duplicate definitions")).collect();
        assert!(others.is_empty(), "{others:?}");
        partial.partial
    });
    Valid::assume_valid(schema)
}

/// Validates a document. Returns the errors, or `None` if it is valid.
fn validation_errors(schema: &Valid<Schema>, document: &str) -> Option<String> {
    let parsed = ExecutableDocument::parse_and_validate(schema, document, "document.graphql");
    parsed.err().map(|invalid| invalid.errors.to_string())
}

fn graphql_documents_match_githubs_schema() {
    let text = schema_text(Tool::GraphQlSchema);
    let schema = parse_schema(&text);
    let oids = ["0".repeat(40), "f".repeat(40)];
    let by_oid = ("commits by object id", queries::commits_by_oid(&oids));
    let spans = ["2024-01-01", "2024-02-01"].map(|since| (at(since), at("2024-03-01")));
    let counts = ("commits in spans", queries::history_counts(&spans));
    let ends =
        [None, Some(at("2024-01-01"))].map(|until| HistoryEnd { node_id: "R_1", tip: &oids[0], until });
    let ends = ("commits up to an end", queries::history_ends(&ends));
    let fixed = queries::ALL.iter().map(|query| (query.what, query.text()));
    for (what, document) in fixed.chain([by_oid, counts, ends]) {
        assert_eq!(validation_errors(&schema, &document), None, "{what}");
    }
    let wrong = queries::PROBE.text().replace("pushedAt", "pushedAtAll");
    assert!(
        validation_errors(&schema, &wrong).is_some_and(|why| why.contains("pushedAtAll")),
        "the validation finds an error"
    );
}

fn every_list_has_a_bound() {
    let text = schema_text(Tool::GraphQlSchema);
    let schema = parse_schema(&text);
    for query in queries::ALL {
        let document = ExecutableDocument::parse_and_validate(&schema, query.text(), "document.graphql");
        let document = document.expect("it is valid");
        let sets = document.operations.iter().map(|operation| &operation.selection_set);
        for set in sets.chain(document.fragments.values().map(|fragment| &fragment.selection_set)) {
            check_lists(query.what, set);
        }
    }
}

/// GitHub rejects a connection without `first` and `last`. The schema does not say so.
fn check_lists(what: &str, set: &apollo_compiler::executable::SelectionSet) {
    use apollo_compiler::executable::Selection;
    for selection in &set.selections {
        match selection {
            Selection::Field(field) => {
                if field.ty().inner_named_type().as_str().ends_with("Connection") {
                    let has_bound = field
                        .arguments
                        .iter()
                        .any(|argument| argument.name == "first" || argument.name == "last");
                    assert!(has_bound, "{what}: {} has no bound", field.name);
                }
                check_lists(what, &field.selection_set);
            }
            Selection::InlineFragment(inline) => check_lists(what, &inline.selection_set),
            Selection::FragmentSpread(_) => {}
        }
    }
}

/// Resolves a reference within the description.
fn resolve<'a>(description: &'a Value, part: &'a Value) -> &'a Value {
    let mut part = part;
    while let Some(reference) = part["$ref"].as_str() {
        let pointer = reference.strip_prefix('#').expect("a reference within the description");
        part = description.pointer(pointer).unwrap_or_else(|| panic!("{reference} does not exist"));
    }
    part
}

/// Returns the description of a call, and of its successful response.
fn operation<'a>(description: &'a Value, call: &rest::RestEndpoint) -> (&'a Value, &'a Value) {
    let operation = &description["paths"][call.path][call.method];
    assert!(operation.is_object(), "{} {} is not described", call.method, call.path);
    let answer = ["200", "201"].into_iter().map(|status| &operation["responses"][status]);
    let answer = answer.into_iter().find(|answer| answer.is_object()).expect("a successful response");
    (operation, &resolve(description, answer)["content"]["application/json"])
}

fn rest_calls_match_githubs_description() {
    let text = schema_text(Tool::OpenApi);
    let description: Value = serde_json::from_str(&text).expect("the description is JSON");
    for call in rest::ALL {
        let (operation, _) = operation(&description, call);
        let parameters = operation["parameters"].as_array().cloned().unwrap_or_default();
        let described: BTreeSet<(String, String)> = parameters
            .iter()
            .map(|parameter| resolve(&description, parameter))
            .map(|it| (it["in"].as_str().unwrap().to_owned(), it["name"].as_str().unwrap().to_owned()))
            .collect();
        for name in call.query {
            assert!(described.contains(&("query".to_owned(), (*name).to_owned())), "{}: {name}", call.path);
        }
        for name in call.path.split('{').skip(1).filter_map(|rest| rest.split_once('}')) {
            assert!(described.contains(&("path".to_owned(), name.0.to_owned())), "{}: {}", call.path, name.0);
        }
    }
}

/// Deserializes GitHub's example of a response into the product's type.
fn example<T: serde::de::DeserializeOwned>(description: &Value, call: &rest::RestEndpoint) -> T {
    let (_, answer) = operation(description, call);
    let examples = answer["examples"].as_object().expect("it has examples");
    let example = resolve(description, examples.values().next().expect("one"));
    serde_json::from_value(example["value"].clone())
        .unwrap_or_else(|error| panic!("cannot deserialize the example of {}: {error}", call.path))
}

fn githubs_example_responses_can_be_deserialized() {
    let text = schema_text(Tool::OpenApi);
    let description: Value = serde_json::from_str(&text).expect("the description is JSON");
    let compared: rest::ComparisonPage = example(&description, &rest::COMPARE);
    assert!(compared.total_commits > 0 && compared.commits[0].author.as_ref().unwrap().login.is_some());
    let user: rest::User = example(&description, &rest::USER);
    assert_eq!(user.login, "octocat");
    let limits: rest::RateLimitResponse = example(&description, &rest::RATE_LIMIT);
    assert!(limits.resources.core.is_some_and(|core| core.limit == 5000));
    let installation: rest::Installation = example(&description, &rest::INSTALLATION);
    assert!(installation.id > 0 && installation.permissions.contains_key("metadata"));
    let installed: Vec<rest::Installation> = example(&description, &rest::INSTALLATIONS);
    assert!(installed[0].account.as_ref().is_some_and(|account| account.login.is_some()));
    let app: rest::App = example(&description, &rest::APP);
    assert!(!app.name.is_empty());
    let token: rest::InstallationToken = example(&description, &rest::INSTALLATION_TOKEN);
    assert!(token.token.starts_with("ghs_"));
    let runs: rest::WorkflowRunsPage = example(&description, &rest::WORKFLOW_RUNS);
    assert!(runs.workflow_runs[0].head_repository.is_some() && runs.workflow_runs[0].actor.is_some());
    let attempt: rest::WorkflowRun = example(&description, &rest::WORKFLOW_RUN_ATTEMPT);
    assert_eq!(attempt.run_attempt, Some(1));
}

/// The tests of this file.
pub(crate) fn tests() -> Vec<ExternalTest> {
    vec![
        external_test!(NEEDS, graphql_documents_match_githubs_schema),
        external_test!(NEEDS, every_list_has_a_bound),
        external_test!(NEEDS, rest_calls_match_githubs_description),
        external_test!(NEEDS, githubs_example_responses_can_be_deserialized),
    ]
}
