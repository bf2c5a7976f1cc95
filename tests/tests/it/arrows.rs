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
    ("gam-store", &["gam-model"]),
    ("gam-store-sql", &["gam-lake", "gam-store", "gam-model"]),
    ("gam-aws", &["gam-lake", "gam-store", "gam-model"]),
    ("gam-pipeline", &["gam-github", "gam-lake", "gam-rollup", "gam-store", "gam-model"]),
    // The types of questions and answers are the model's.
    ("gam-http", &["gam-pipeline", "gam-model"]),
    (
        "gam-cli",
        // A composition root: it builds the adapters behind the ports and names their types.
        &[
            "gam-store-sql",
            "gam-aws",
            "gam-lake",
            "gam-http",
            "gam-pipeline",
            "gam-github",
            "gam-store",
            "gam-model",
        ],
    ),
    (
        "gam-functions",
        &["gam-aws", "gam-pipeline", "gam-http", "gam-github", "gam-lake", "gam-store", "gam-model"],
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
            if matches!(name, "gam-model" | "gam-rollup" | "gam-pipeline" | "gam-lake" | "gam-store") {
                assert!(!SERVERS.contains(&named.as_str()), "{name} may not name {named}");
                assert!(!matches!(named.as_str(), "clap" | "dotenvy"), "{name} may not read the environment");
            }
            if matches!(name, "gam-model" | "gam-rollup") {
                assert!(
                    !matches!(named.as_str(), "tokio" | "reqwest" | "sqlx" | "octocrab"),
                    "{name} does no I/O"
                );
            }
        }
    }
}
