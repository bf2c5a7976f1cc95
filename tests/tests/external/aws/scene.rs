//! What a stack is to come to: a world, and what the program on one machine answers about it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use gam_tests::answers::{all, assert_same, questions, without_completeness};
use gam_tests::github::{Double, World, generated};
use gam_tests::program::Place;

use super::stack::Stack;
use gam_tests::support::{SINCE, batches, settled, whole};

/// A world with its double, and its answers.
pub(crate) struct Scene {
    pub(crate) world: World,
    pub(crate) double: Double,
    /// The batches that were collected, each a key and a file, in the order of their collection.
    pub(crate) batches: Vec<(String, PathBuf)>,
    expected: BTreeMap<String, String>,
    place: Place,
}

impl Scene {
    /// The generated world of a seed, collected in so many steps on one machine.
    pub(crate) fn new(seed: u64, steps: usize) -> Self {
        let world = generated::world(seed);
        let double = Double::start(world.clone(), settled());
        let place = Place::with(&double);
        let kept = place.dir().join("kept");
        std::fs::create_dir(&kept).expect("a directory");
        let mut known = BTreeSet::new();
        let mut in_order = Vec::new();
        let mut moments = generated::moments(seed, steps);
        *moments.last_mut().expect("a moment") = settled();
        for now in moments {
            double.set_now(now);
            place.run(&["collect", &world.org, "--since", SINCE]).expect(0);
            for file in batches(&place) {
                let key = file.strip_prefix(place.lake()).expect("it lies in the lake").display().to_string();
                let copy = kept.join(in_order.len().to_string());
                if known.insert(key.clone()) {
                    std::fs::copy(&file, &copy).expect("a copy");
                    in_order.push((key, copy));
                }
            }
        }
        place.run(&["aggregate"]).expect(0);
        let expected = all(place.serve().address(), &world, settled(), &whole());
        Scene { world, double, batches: in_order, expected, place }
    }

    /// The lake of the one machine.
    pub(crate) fn lake(&self) -> PathBuf {
        self.place.lake()
    }

    /// The stack must answer what the program on one machine answers.
    #[track_caller]
    pub(crate) fn assert_answered_by(&self, stack: &Stack<'_>) {
        let answers = stack.answers(&questions(&self.world, settled(), &whole()));
        let answers = answers.into_iter().map(|(question, text)| (question, without_completeness(&text)));
        assert_same(&self.expected, &answers.collect());
    }
}
