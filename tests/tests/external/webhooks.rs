//! GitHub's examples of webhook deliveries: each is read or ignored.

use std::collections::BTreeMap;

use crate::tools::Tool;
use crate::{ExternalTest, external_test};
use gam_work::{Effect, Received, read_delivery};
use serde_json::Value;

const NEEDS: &[Tool] = &[Tool::WebhookExamples];

fn every_example_is_read_or_ignored() {
    let package = Tool::WebhookExamples.path();
    let (mut orders, mut ignored) = (BTreeMap::new(), 0);
    for version in ["api.github.com", "ghes-35"] {
        let path = package.join(version).join("index.json");
        let text =
            std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let events: Vec<Value> = serde_json::from_str(&text).expect("the examples are JSON");
        assert!(events.len() > 30, "{} events", events.len());
        for event in &events {
            let name = event["name"].as_str().expect("a name");
            for example in event["examples"].as_array().expect("examples") {
                let now = "2026-03-01T00:00:00Z".parse().expect("a time");
                let received = read_delivery(name, "guid", example.to_string().as_bytes(), now);
                match received.unwrap_or_else(|error| panic!("{name} {}: {error}", example["action"])) {
                    Received::Ignored(_) => ignored += 1,
                    Received::Order(order) => {
                        let is_issue = matches!(order.effect, Effect::Store { .. } | Effect::Remove { .. });
                        // Some examples have half an issue. It is fetched.
                        let is_cut = example["issue"]["state"].is_null();
                        assert!(
                            name != "issues" || is_issue || is_cut,
                            "{name} {}: {:?}",
                            example["action"],
                            order.effect
                        );
                        *orders.entry(name.to_owned()).or_insert(0) += 1;
                    }
                }
            }
        }
    }
    for event in ["issues", "label", "pull_request", "push", "release", "repository", "installation"] {
        assert!(orders.contains_key(event), "no example of {event} asks for anything: {orders:?}");
    }
    assert!(ignored > 50, "{ignored}");
}

/// The tests of this file.
pub(crate) fn tests() -> Vec<ExternalTest> {
    vec![external_test!(NEEDS, every_example_is_read_or_ignored)]
}
