//! What a stack is to come to: a world, and what the program on one machine answers about it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use gam_tests::answers::{assert_same_answers, fetch_all, sample_targets, without_coverage};
use gam_tests::github::{Double, World, generated};
use gam_tests::program::Sandbox;

use super::stack::Stack;
use gam_tests::support::{SINCE, batches, full_range, settled_at};

/// A world with its double, and its answers.
pub(crate) struct Scenario {
    pub(crate) world: World,
    pub(crate) double: Double,
    /// The batches that were collected, each a key and a file, in the order of their collection.
    pub(crate) batches: Vec<(String, PathBuf)>,
    expected: BTreeMap<String, String>,
    sandbox: Sandbox,
}

impl Scenario {
    /// The generated world of a seed, collected in so many steps on one machine.
    pub(crate) fn new(seed: u64, steps: usize) -> Self {
        let world = generated::world(seed);
        let double = Double::start(world.clone(), settled_at());
        let sandbox = Sandbox::with_github(&double);
        let kept = sandbox.dir().join("kept");
        std::fs::create_dir(&kept).expect("a directory");
        let mut known = BTreeSet::new();
        let mut in_order = Vec::new();
        let mut times = generated::times(seed, steps);
        *times.last_mut().expect("a moment") = settled_at();
        for now in times {
            double.set_now(now);
            sandbox.run(&["collect", &world.org, "--since", SINCE]).expect_status(0);
            for file in batches(&sandbox) {
                let key =
                    file.strip_prefix(sandbox.lake_dir()).expect("it lies in the lake").display().to_string();
                let copy = kept.join(in_order.len().to_string());
                if known.insert(key.clone()) {
                    std::fs::copy(&file, &copy).expect("a copy");
                    in_order.push((key, copy));
                }
            }
        }
        sandbox.run(&["aggregate"]).expect_status(0);
        let expected = fetch_all(sandbox.serve().address(), &world, settled_at(), &full_range());
        Scenario { world, double, batches: in_order, expected, sandbox }
    }

    /// The lake of the one machine.
    pub(crate) fn lake_dir(&self) -> PathBuf {
        self.sandbox.lake_dir()
    }

    /// The stack must answer what the program on one machine answers.
    #[track_caller]
    pub(crate) fn assert_answered_by(&self, stack: &Stack<'_>) {
        let answers = stack.answers(&sample_targets(&self.world, settled_at(), &full_range()));
        let answers = answers.into_iter().map(|(question, text)| (question, without_coverage(&text)));
        assert_same_answers(&self.expected, &answers.collect());
    }
}
