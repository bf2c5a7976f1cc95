//! One backfill, held against the reference.

use gam_tests::answers::check;

use gam_tests::support::{backfilled, batches, ranges, settled};

#[test]
fn a_backfill_answers_what_the_reference_says() {
    for seed in [1, 2] {
        let (world, _double, place) = backfilled(seed);
        let serving = place.serve();
        check(serving.address(), &world, settled(), &ranges());
        assert!(batches(&place).is_empty(), "the inbox is worked off");
    }
}
