//! The expected result of a stack: a world, and the answers of the program on one machine.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use gam_tests::answers::{assert_same_answers, fetch_all, sample_targets, without_coverage};
use gam_tests::github::{Double, World, generated};
use gam_tests::program::Sandbox;

use super::stack::Stack;
use gam_tests::support::{SINCE, batches, full_range, settled_at};

/// A world, its double, and the expected answers.
pub(crate) struct Scenario {
    pub(crate) world: World,
    pub(crate) double: Double,
    /// Key and file of every collected batch, in the order of their collection.
    pub(crate) batches: Vec<(String, PathBuf)>,
    expected: BTreeMap<String, String>,
    sandbox: Sandbox,
}

impl Scenario {
    /// Collects the generated world of a seed on one machine, in `steps` steps.
    pub(crate) fn new(seed: u64, steps: usize) -> Self {
        let world = generated::world(seed);
        let double = Double::start(world.clone(), settled_at());
        let sandbox = Sandbox::with_github(&double);
        let copies = sandbox.dir().join("copies");
        std::fs::create_dir(&copies).expect("a directory");
        let mut seen = BTreeSet::new();
        let mut batch_files = Vec::new();
        let mut times = generated::times(seed, steps);
        *times.last_mut().expect("a time") = settled_at();
        for now in times {
            double.set_now(now);
            sandbox.run(&["collect", &world.org, "--since", SINCE]).expect_status(0);
            for file in batches(&sandbox) {
                let key =
                    file.strip_prefix(sandbox.lake_dir()).expect("a file of the lake").display().to_string();
                let copy = copies.join(batch_files.len().to_string());
                if seen.insert(key.clone()) {
                    std::fs::copy(&file, &copy).expect("a copy");
                    batch_files.push((key, copy));
                }
            }
        }
        sandbox.run(&["aggregate"]).expect_status(0);
        let expected = fetch_all(sandbox.serve().address(), &world, settled_at(), &full_range());
        Scenario { world, double, batches: batch_files, expected, sandbox }
    }

    /// Configures the organization on the one machine, whose answers are the expected ones from now on. Returns the key
    /// and the file of the revision.
    pub(crate) fn configure(&mut self, toml: &str) -> (String, PathBuf) {
        let file = self.sandbox.dir().join("configuration.toml");
        std::fs::write(&file, toml).expect("the configuration is written");
        let file = file.to_str().expect("a path in UTF-8");
        self.sandbox.run(&["config", "set", file, &self.world.org]).expect_status(0);
        self.sandbox.run(&["aggregate"]).expect_status(0);
        let server = self.sandbox.serve();
        self.expected = fetch_all(server.address(), &self.world, settled_at(), &full_range());
        let directory = self.lake_dir().join(format!("config/org={}", self.world.org.to_lowercase()));
        let files = std::fs::read_dir(directory).expect("revisions").flatten().map(|entry| entry.path());
        let newest = files.max().expect("a revision");
        let key = newest.strip_prefix(self.lake_dir()).expect("a file of the lake").display().to_string();
        (key, newest)
    }

    /// The directory of the lake on the one machine.
    pub(crate) fn lake_dir(&self) -> PathBuf {
        self.sandbox.lake_dir()
    }

    /// Asserts that the stack answers like the program on one machine.
    #[track_caller]
    pub(crate) fn assert_answered_by(&self, stack: &Stack<'_>) {
        let answers = stack.answers(&sample_targets(&self.world, settled_at(), &full_range()));
        let answers = answers.into_iter().map(|(target, text)| (target, without_coverage(&text)));
        assert_same_answers(&self.expected, &answers.collect());
    }
}
