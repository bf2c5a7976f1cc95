//! Whether a principal works in a repository.

use chrono::TimeDelta;

use crate::support::*;

#[tokio::test]
async fn a_live_claim_is_about_one_repository() {
    let store = TestStore::memory();
    let world = World::new(&store);
    world.store(&issue(1)).await;
    let has = async |principal: &str, org: &str, repo: &str| {
        world.tasks.has_live_claim(principal, org, repo).await.expect("it is read")
    };
    let id = principal().id;
    assert!(!has(&id, ORG, "site").await);
    world.request("ann").await.expect("a claim");
    assert!(has(&id, ORG, "SITE").await);
    assert!(
        !has(&id, ORG, "api").await && !has("token:2", ORG, "site").await && !has(&id, "other", "site").await
    );
    world.clock.advance(TimeDelta::hours(1));
    assert!(!has(&id, ORG, "site").await, "the lease is over");
}
