//! End-to-end tests that need tools from package registries: the deployed system on an emulator of AWS,
//! a browser, DuckDB, a PostgreSQL server, GitHub's published schemas, schemathesis.
//!
//! Each test names the tools it needs. They are installed at the first use, into the target directory. A
//! test whose tools cannot be had is listed and counted as ignored; in CI it fails.

mod api;
mod aws;
mod browser;
mod claims;
#[path = "../common/mod.rs"]
mod common;
mod deployments;
mod duckdb;
mod outputs;
mod postgres;
mod prometheus;
mod repository;
mod saved_queries;
mod schema;
mod sql;
mod tools;
mod webhooks;

use std::collections::BTreeSet;

use libtest_mimic::{Arguments, Trial};
use tools::Tool;

/// A test and the tools that it needs.
pub(crate) struct ExternalTest {
    /// Module path and function name, as `cargo test NAME` takes it.
    pub(crate) name: &'static str,
    /// The tools.
    pub(crate) needs: &'static [Tool],
    /// The test. It panics if it fails.
    pub(crate) run: fn(),
}

/// Lists a test function of the current module.
macro_rules! external_test {
    ($needs:expr, $function:ident) => {
        crate::ExternalTest {
            name: concat!(module_path!(), "::", stringify!($function)),
            needs: $needs,
            run: $function,
        }
    };
}
pub(crate) use external_test;

fn main() {
    let arguments = Arguments::from_args();
    let files = [
        api::tests(),
        aws::tests(),
        browser::tests(),
        deployments::tests(),
        duckdb::tests(),
        outputs::tests(),
        postgres::tests(),
        prometheus::tests(),
        repository::tests(),
        schema::tests(),
        sql::tests(),
        webhooks::tests(),
    ];
    let tests: Vec<ExternalTest> = files.into_iter().flatten().collect();
    let names: BTreeSet<&str> = tests.iter().map(|test| test.name).collect();
    assert_eq!(names.len(), tests.len(), "a test is listed twice");
    let trials = tests.into_iter().map(|test| trial(test, &arguments)).collect();
    libtest_mimic::run(&arguments, trials).exit();
}

fn trial(test: ExternalTest, arguments: &Arguments) -> Trial {
    let name = test.name.strip_prefix("external::").unwrap_or(test.name);
    let missing = if arguments.list || !is_selected(name, arguments) {
        None
    } else {
        test.needs.iter().find_map(|tool| tool.install().err())
    };
    if let Some(why) = missing.filter(|_| !gam_tests::program::is_ci()) {
        report_ignored(name, &why);
        return Trial::test(name, move || Err(why.into())).with_ignored_flag(true);
    }
    Trial::test(name, move || {
        (test.run)();
        Ok(())
    })
}

/// Returns whether the command line selects the test, as libtest does.
fn is_selected(name: &str, arguments: &Arguments) -> bool {
    let matches = |pattern: &str| if arguments.exact { name == pattern } else { name.contains(pattern) };
    arguments.filter.as_deref().is_none_or(matches) && !arguments.skip.iter().any(|skip| matches(skip))
}

#[expect(clippy::print_stderr, reason = "whoever runs the tests should know why one is ignored")]
fn report_ignored(name: &str, why: &str) {
    eprintln!("ignored: {name}: {why}");
}
