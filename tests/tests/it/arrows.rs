//! Which crate can depend on which: the architecture's dependencies, checked against the workspace.

use std::collections::{BTreeMap, BTreeSet};

use cargo_metadata::{DependencyKind, MetadataCommand, Package};

/// Workspace crates that each crate can depend on. Add every new crate here.
const ALLOWED_DEPENDENCIES: &[(&str, &[&str])] = &[
    ("gam-model", &[]),
    ("gam-github", &["gam-model"]),
    ("gam-lake", &["gam-model"]),
    ("gam-rollup", &["gam-model"]),
    ("gam-sessions", &["gam-model"]),
    ("gam-fold", &["gam-rollup", "gam-model"]),
    ("gam-store", &["gam-model"]),
    ("gam-store-sql", &["gam-lake", "gam-store", "gam-model"]),
    ("gam-aws", &["gam-lake", "gam-store", "gam-model"]),
    ("gam-collect", &["gam-github", "gam-lake", "gam-store", "gam-model"]),
    ("gam-aggregate", &["gam-fold", "gam-lake", "gam-rollup", "gam-store", "gam-model"]),
    ("gam-query", &["gam-rollup", "gam-store", "gam-model"]),
    ("gam-access", &["gam-store", "gam-model"]),
    // It writes the audit rows of the store as segments of the lake.
    ("gam-audit", &["gam-access", "gam-lake", "gam-store", "gam-model"]),
    ("gam-work", &["gam-access", "gam-store", "gam-model"]),
    // It reads the audit log through a port of access, and numbers through one of its own.
    ("gam-notify", &["gam-access", "gam-store", "gam-model"]),
    // It makes links for approvers of actions.
    (
        "gam-notify-ports",
        &[
            "gam-access",
            "gam-audit",
            "gam-lake",
            "gam-notify",
            "gam-query",
            "gam-work",
            "gam-store",
            "gam-model",
        ],
    ),
    // Adapters of the use case's ports that several hosts need.
    ("gam-work-ports", &["gam-collect", "gam-github", "gam-lake", "gam-work", "gam-store", "gam-model"]),
    // The types of queries and answers are part of the model.
    ("gam-http", &["gam-access", "gam-notify", "gam-query", "gam-store", "gam-work", "gam-model"]),
    // The answers have the types of the use case.
    ("gam-client", &["gam-query", "gam-model"]),
    // The composition roots connect adapters to ports and use the types of both.
    (
        "gam-cli",
        &[
            "gam-store-sql",
            "gam-aws",
            "gam-lake",
            "gam-http",
            "gam-client",
            "gam-collect",
            "gam-aggregate",
            "gam-access",
            "gam-audit",
            "gam-notify",
            "gam-notify-ports",
            "gam-query",
            "gam-sessions",
            "gam-work",
            "gam-work-ports",
            "gam-github",
            "gam-store",
            "gam-model",
        ],
    ),
    (
        "gam-functions",
        &[
            "gam-aws",
            "gam-collect",
            "gam-aggregate",
            "gam-access",
            "gam-audit",
            "gam-notify",
            "gam-notify-ports",
            "gam-query",
            "gam-work",
            "gam-work-ports",
            "gam-http",
            "gam-github",
            "gam-lake",
            "gam-store",
            "gam-model",
        ],
    ),
    // It generates lakes. Its benches, which are development dependencies, use the rest.
    ("gam-bench", &["gam-fold", "gam-lake", "gam-model"]),
    ("gam-tests", &[]),
];

/// Crates for HTTP servers.
const SERVER_CRATES: &[&str] =
    &["axum", "hyper", "hyper-util", "tower", "tower-http", "warp", "actix-web", "poem"];

fn packages() -> Vec<Package> {
    let metadata = MetadataCommand::new()
        .manifest_path(concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.toml"))
        .no_deps()
        .exec()
        .expect("cargo describes the workspace");
    metadata.packages
}

/// Returns the names of a crate's normal dependencies.
fn dependency_names(package: &Package) -> BTreeSet<String> {
    let normal = package.dependencies.iter().filter(|dependency| dependency.kind == DependencyKind::Normal);
    normal.map(|dependency| dependency.name.clone()).collect()
}

#[test]
fn crates_depend_only_on_allowed_workspace_crates() {
    let packages = packages();
    let allowed_by_crate: BTreeMap<&str, &[&str]> = ALLOWED_DEPENDENCIES.iter().copied().collect();
    let members: BTreeSet<String> = packages.iter().map(|package| package.name.to_string()).collect();
    assert!(members.contains("gam-model") && members.contains("gam-cli"), "{members:?}");
    for package in &packages {
        let name = package.name.as_str();
        let allowed = allowed_by_crate
            .get(name)
            .unwrap_or_else(|| panic!("{name} is missing in the list of allowed dependencies"));
        for dependency in dependency_names(package).iter().filter(|dependency| members.contains(*dependency))
        {
            assert!(allowed.contains(&dependency.as_str()), "{name} must not depend on {dependency}");
        }
    }
}

#[test]
fn only_some_crates_use_cloud_server_and_io_libraries() {
    for package in &packages() {
        let name = package.name.as_str();
        let is_cloud = matches!(name, "gam-aws" | "gam-functions");
        for dependency in dependency_names(package) {
            assert!(dependency != "axum" || name == "gam-http", "only gam-http can use axum, not {name}");
            let is_cloud_sdk =
                ["aws-", "aws_", "lambda_", "lambda-"].iter().any(|prefix| dependency.starts_with(prefix));
            assert!(!is_cloud_sdk || is_cloud, "{name} must not use {dependency}");
            if matches!(
                name,
                "gam-model"
                    | "gam-rollup"
                    | "gam-fold"
                    | "gam-collect"
                    | "gam-aggregate"
                    | "gam-query"
                    | "gam-access"
                    | "gam-audit"
                    | "gam-work"
                    | "gam-work-ports"
                    | "gam-lake"
                    | "gam-notify"
                    | "gam-notify-ports"
                    | "gam-store"
                    | "gam-sessions"
                    | "gam-client"
            ) {
                assert!(!SERVER_CRATES.contains(&dependency.as_str()), "{name} must not use {dependency}");
                assert!(
                    !matches!(dependency.as_str(), "clap" | "dotenvy"),
                    "{name} must not read the environment"
                );
            }
            if matches!(name, "gam-model" | "gam-rollup" | "gam-fold" | "gam-sessions") {
                assert!(
                    !matches!(dependency.as_str(), "tokio" | "reqwest" | "sqlx" | "octocrab"),
                    "{name} must not do I/O"
                );
            }
        }
    }
}

/// Returns the names of all crates that a crate is built with, directly or not.
fn all_dependencies(root: &str) -> BTreeSet<String> {
    let metadata = MetadataCommand::new()
        .manifest_path(concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.toml"))
        .exec()
        .expect("cargo resolves the workspace");
    let resolve = metadata.resolve.as_ref().expect("a resolved workspace");
    let nodes: BTreeMap<_, _> = resolve.nodes.iter().map(|node| (&node.id, node)).collect();
    let names: BTreeMap<_, _> = metadata.packages.iter().map(|p| (&p.id, p.name.to_string())).collect();
    let start = names.iter().find(|(_, name)| *name == root).map(|(id, _)| *id).expect("a workspace member");
    let (mut open, mut seen) = (vec![start], BTreeSet::new());
    while let Some(id) = open.pop() {
        let normal = nodes[id]
            .deps
            .iter()
            .filter(|dependency| dependency.dep_kinds.iter().any(|info| info.kind == DependencyKind::Normal));
        for dependency in normal {
            if seen.insert(names[&dependency.pkg].clone()) {
                open.push(&dependency.pkg);
            }
        }
    }
    seen
}

#[test]
fn the_read_side_needs_no_github_arrow_or_parquet() {
    for root in ["gam-query", "gam-http"] {
        let unwanted = all_dependencies(root)
            .into_iter()
            .filter(|name| {
                matches!(name.as_str(), "gam-github" | "gam-lake" | "gam-fold" | "octocrab" | "reqwest")
                    || name.starts_with("arrow-")
                    || name == "parquet"
            })
            .collect::<Vec<_>>();
        assert!(unwanted.is_empty(), "{root} must not be built with {unwanted:?}");
    }
}

#[test]
fn a_client_of_the_api_needs_no_server_arrow_or_aws() {
    let unwanted: Vec<String> = all_dependencies("gam-client")
        .into_iter()
        .filter(|name| {
            matches!(name.as_str(), "axum" | "gam-http" | "gam-lake" | "gam-github" | "parquet" | "sqlx")
                || ["arrow-", "aws-", "lambda_"].iter().any(|prefix| name.starts_with(prefix))
        })
        .collect();
    assert!(unwanted.is_empty(), "gam-client must not be built with {unwanted:?}");
}
