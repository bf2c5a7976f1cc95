//! Command lines, variables and files that the program does not take: exit status 2.

use gam_tests::github::TOKEN;
use gam_tests::program::Sandbox;

use super::{check, collected, start, transcript, transcripts};

#[test]
fn command_line() {
    let sandbox = Sandbox::new();
    let runs: [&[&str]; 22] = [
        &[],
        &["colect"],
        &["collect"],
        &["collect", "acme", "--bogus"],
        &["collect", "a b"],
        &["collect", "acme/site"],
        &["collect", "acme", "--repo", "acme/site"],
        &["collect", "acme", "--repo", ""],
        &["collect", "acme", "--parallelism", "0"],
        &["collect", "acme", "--budget", "0%"],
        &["collect", "acme", "--max-wait", "1"],
        &["collect", "acme", "--max-wait", "31days"],
        &["collect", "acme", "--reconcile", "--dry-run"],
        &["up", "acme", "--every", "0s"],
        &["show"],
        &["show", "acme", "site"],
        &["show", "repo", "acme"],
        &["show", "acme", "--metric", "stars"],
        &["show", "acme", "--granularity", "hour"],
        &["export", "acme", "--bots", "maybe"],
        &["demo", "--days", "0"],
        &["completions", "tcl"],
    ];
    check("usage_command_line", &transcripts(&sandbox, &runs));
}

#[test]
fn days() {
    let (_double, sandbox) = collected();
    let empty = ["--since", "2024-02-02", "--until", "2024-02-02"];
    let runs = [
        vec!["collect", "acme", "--since", "2023-02-29"],
        vec!["show", "acme", "--since", "yesterday"],
        vec!["export", "acme", "--until", ""],
        vec!["show", "acme", "--since", "1969-12-31"],
        vec!["collect", "acme", "--since", "2999-01-01"],
        [&["collect", "acme"][..], &empty].concat(),
        [&["show", "acme"][..], &empty].concat(),
        [&["export", "acme"][..], &empty].concat(),
    ];
    let runs: Vec<&[&str]> = runs.iter().map(Vec::as_slice).collect();
    check("usage_days", &transcripts(&sandbox, &runs));
}

#[test]
fn formats() {
    let (_double, sandbox) = collected();
    let runs: [&[&str]; 3] = [
        &["show", "acme", "--format", "yaml"],
        &["show", "acme", "--format", "parquet"],
        &["export", "acme", "--format", "table"],
    ];
    check("usage_formats", &transcripts(&sandbox, &runs));
}

#[test]
fn lake_store_and_addresses() {
    let sandbox = Sandbox::new();
    let runs: [&[&str]; 10] = [
        &["aggregate", "--lake", "lake"],
        &["aggregate", "--lake", "s3://"],
        &["aggregate", "--lake", "file:"],
        &["aggregate", "--store", "store.sqlite"],
        &["aggregate", "--store", "dynamodb:"],
        &["aggregate", "--store", "postgres://me:secret@host:port/db"],
        &["show", "acme", "--api", "not an address"],
        &["show", "acme", "--api", "ftp://host"],
        &["serve", "--listen", "nowhere"],
        &["serve", "--listen", "127.0.0.1:99999"],
    ];
    let mut text = transcripts(&sandbox, &runs);
    for (name, value) in [
        ("STORAGE_TYPE", "dynamodb"),
        ("STORAGE_TYPE", "postgres"),
        ("STORAGE_TYPE", "mongo"),
        ("API_PORT", "http"),
        ("GITHUB_API_URL", "not an address"),
    ] {
        let sandbox = Sandbox::new().with_variable(name, value);
        text.push_str(&format!("\n{name}={value}\n{}", transcript(&sandbox, &["aggregate"])));
    }
    check("usage_places", &text);
}

#[test]
fn sign_in() {
    let mut text = String::new();
    let variables: [&[(&str, &str)]; 7] = [
        &[],
        &[("GITHUB_TOKEN", " ")],
        &[("GITHUB_TOKEN", ",")],
        &[("GITHUB_TOKEN", "not a token")],
        &[("GITHUB_APP_ID", "7")],
        &[("GITHUB_APP_PRIVATE_KEY", "key.pem")],
        &[("GITHUB_APP_ID", "7"), ("GITHUB_APP_PRIVATE_KEY", "missing.pem")],
    ];
    for variables in variables {
        let sandbox = variables
            .iter()
            .fold(Sandbox::new(), |sandbox, (name, value)| sandbox.with_variable(name, value));
        let shown: Vec<String> = variables.iter().map(|(name, value)| format!("{name}={value:?}")).collect();
        text.push_str(&format!("{}\n{}\n", shown.join(" "), transcript(&sandbox, &["collect", "acme"])));
    }
    check("usage_sign_in", text.trim_start());
}

#[test]
fn configuration() {
    let (_double, sandbox) = start();
    let mut text = String::new();
    for (config, mailmap) in [
        ("bots = [", None),
        ("bot = [\"x\"]", None),
        ("\n\nbots = \"x\"", None),
        ("bots = [\"\"]", None),
        ("[aliases]\na = \"b\"\nb = \"a\"", None),
        ("mailmap = \"people\"", None),
        ("mailmap = \"people\"", Some("no address in it")),
    ] {
        std::fs::write(sandbox.dir().join("acme.toml"), config).expect("a file");
        if let Some(mailmap) = mailmap {
            std::fs::write(sandbox.dir().join("people"), mailmap).expect("a file");
        }
        text.push_str(&format!(
            "acme.toml: {config:?}\n{}\n",
            transcript(&sandbox, &["config", "set", "acme.toml", "acme"])
        ));
    }
    text.push_str(&transcript(&sandbox, &["aggregate", "--config", "missing.toml"]));
    text.push_str(&transcript(&sandbox, &["config", "set", "missing.toml"]));
    text.push_str(&transcript(&sandbox, &["show", "acme", "--config", "acme.toml"]));
    check("usage_configuration", &text);
}

#[test]
fn variables_in_a_file() {
    let (_double, sandbox) = start();
    std::fs::write(sandbox.dir().join(".env"), "OTHER=a b\nGITHUB_TOKEN=a secret\n").expect("a file");
    let malformed = transcript(&sandbox, &["show", "acme"]);
    std::fs::write(sandbox.dir().join(".env"), format!("GITHUB_TOKEN={TOKEN}\n")).expect("a file");
    let sandbox = sandbox.with_variable("GITHUB_METRICS_FORMAT", "yaml");
    let value = format!("GITHUB_METRICS_FORMAT=yaml\n{}", transcript(&sandbox, &["show", "acme"]));
    check("usage_variables", &format!("{malformed}\n{value}"));
}
