//! One backfill, compared with the reference.

use gam_tests::answers::assert_matches_reference;

use gam_tests::support::{backfilled, batches, ranges, settled_at};

#[test]
fn a_backfill_matches_the_reference() {
    for seed in [1, 2] {
        let (world, _double, sandbox) = backfilled(seed);
        let server = sandbox.serve();
        assert_matches_reference(server.address(), &world, settled_at(), &ranges());
        assert!(batches(&sandbox).is_empty(), "the inbox is empty");
    }
}
