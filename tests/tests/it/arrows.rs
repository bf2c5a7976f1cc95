//! Which crate may depend on which: the arrows of the architecture, read from the workspace itself.

use std::collections::{BTreeMap, BTreeSet};

use cargo_metadata::{DependencyKind, MetadataCommand, Package};

/// What each crate may name of the workspace. A crate that is not here is a new one: it is to be
/// added with its arrows.
const ARROWS: &[(&str, &[&str])] = &[
    ("gam-model", &[]),
    ("gam-github", &["gam-model"]),
    ("gam-lake", &["gam-model"]),
    ("gam-rollup", &["gam-model"]),
    ("gam-fold", &["gam-rollup", "gam-model"]),
    ("gam-store", &["gam-model"]),
    ("gam-store-sql", &["gam-lake", "gam-store", "gam-model"]),
    ("gam-aws", &["gam-lake", "gam-store", "gam-model"]),
    ("gam-collect", &["gam-github", "gam-lake", "gam-store", "gam-model"]),
    ("gam-aggregate", &["gam-fold", "gam-lake", "gam-rollup", "gam-store", "gam-model"]),
    ("gam-query", &["gam-rollup", "gam-store", "gam-model"]),
    // Types of queries and answers belong to the model.
    ("gam-http", &["gam-query", "gam-model"]),
    // The composition roots connect adapters to ports and name the types of both.
    (
        "gam-cli",
        &[
            "gam-store-sql",
            "gam-aws",
            "gam-lake",
            "gam-http",
            "gam-collect",
            "gam-aggregate",
            "gam-query",
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
            "gam-query",
            "gam-http",
            "gam-github",
            "gam-lake",
            "gam-store",
            "gam-model",
        ],
    ),
    ("gam-tests", &[]),
];

/// Crates that serve HTTP or belong to it.
const SERVERS: &[&str] = &["axum", "hyper", "hyper-util", "tower", "tower-http", "warp", "actix-web", "poem"];

fn packages() -> Vec<Package> {
    let metadata = MetadataCommand::new()
        .manifest_path(concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.toml"))
        .no_deps()
        .exec()
        .expect("cargo tells of the workspace");
    metadata.packages
}

/// What a crate names in its normal dependencies.
fn names(package: &Package) -> BTreeSet<String> {
    let normal = package.dependencies.iter().filter(|dependency| dependency.kind == DependencyKind::Normal);
    normal.map(|dependency| dependency.name.clone()).collect()
}

#[test]
fn the_arrows_are_those_of_the_architecture() {
    let packages = packages();
    let known: BTreeMap<&str, &[&str]> = ARROWS.iter().copied().collect();
    let members: BTreeSet<String> = packages.iter().map(|package| package.name.to_string()).collect();
    assert!(members.contains("gam-model") && members.contains("gam-cli"), "{members:?}");
    for package in &packages {
        let name = package.name.as_str();
        let allowed = known.get(name).unwrap_or_else(|| panic!("{name} has no arrows yet"));
        for named in names(package).iter().filter(|named| members.contains(*named)) {
            assert!(allowed.contains(&named.as_str()), "{name} may not depend on {named}");
        }
    }
}

#[test]
fn who_may_name_what_else() {
    for package in &packages() {
        let name = package.name.as_str();
        let is_cloud = matches!(name, "gam-aws" | "gam-functions");
        for named in names(package) {
            assert!(named != "axum" || name == "gam-http", "only gam-http may name axum, not {name}");
            let of_cloud =
                ["aws-", "aws_", "lambda_", "lambda-"].iter().any(|prefix| named.starts_with(prefix));
            assert!(!of_cloud || is_cloud, "{name} may not name {named}");
            if matches!(
                name,
                "gam-model"
                    | "gam-rollup"
                    | "gam-fold"
                    | "gam-collect"
                    | "gam-aggregate"
                    | "gam-query"
                    | "gam-lake"
                    | "gam-store"
            ) {
                assert!(!SERVERS.contains(&named.as_str()), "{name} may not name {named}");
                assert!(!matches!(named.as_str(), "clap" | "dotenvy"), "{name} may not read the environment");
            }
            if matches!(name, "gam-model" | "gam-rollup" | "gam-fold") {
                assert!(
                    !matches!(named.as_str(), "tokio" | "reqwest" | "sqlx" | "octocrab"),
                    "{name} does no I/O"
                );
            }
        }
    }
}

/// Everything that a crate is built with, whatever the features of other crates.
fn closure(root: &str) -> BTreeSet<String> {
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
fn the_read_side_is_built_without_github_arrow_and_parquet() {
    for root in ["gam-query", "gam-http"] {
        let unwanted = closure(root)
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
