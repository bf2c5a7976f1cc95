//! One backfill, held against the reference.

use gam_tests::answers::assert_matches_reference;

use gam_tests::support::{backfilled, batches, ranges, settled_at};

#[test]
fn a_backfill_answers_what_the_reference_says() {
    for seed in [1, 2] {
        let (world, _double, sandbox) = backfilled(seed);
        let server = sandbox.serve();
        assert_matches_reference(server.address(), &world, settled_at(), &ranges());
        assert!(batches(&sandbox).is_empty(), "the inbox is worked off");
    }
}
