//! Answers derive from one epoch.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use gam_query::{BotFilter, Listing, MetricValue, QueryError, QueryPorts, SubjectRef};
use gam_store::{Checkpoint, Epoch, MemoryStore};

use crate::support::watched_store::WatchedStore;
use crate::support::{Cell, ORG, list_request, ports, put_items, put_names, range, set_head, store_of};

async fn org_commits(ports: &QueryPorts) -> Result<u64, QueryError> {
    let range = range("2024-01-01", "2024-04-01");
    let answer = gam_query::metrics(ports, ORG, &SubjectRef::Org, range, BotFilter::Auto).await?;
    match answer.metrics.0[0] {
        ("commits", MetricValue::Count(count)) => Ok(count),
        ref other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn an_answer_starts_over_if_the_active_epoch_changes() {
    let store = store_of(&[Cell::new("2024-01-05", 0, 0, 10)]).await;
    put_items(&store, Epoch(2), &[Cell::new("2024-02-05", 0, 0, 200)], 1).await;
    let watched = Arc::new(WatchedStore::new(&store, 1));
    assert_eq!(org_commits(&ports(&store, watched.clone())).await.unwrap(), 200);
    assert_eq!(watched.range_reads.load(Ordering::Relaxed), 2);
}

#[tokio::test]
async fn a_subject_missing_in_a_retired_epoch_is_looked_for_again() {
    let store = store_of(&[Cell::new("2024-01-05", 0, 0, 10)]).await;
    put_items(&store, Epoch(2), &[Cell::new("2024-02-05", 1, 0, 200)], 1).await;
    let ports = ports(&store, Arc::new(WatchedStore::new(&store, 1)));
    let (bob, range) = (SubjectRef::Member("bob".to_owned()), range("2024-01-01", "2024-04-01"));
    let answer = gam_query::metrics(&ports, ORG, &bob, range, BotFilter::Auto).await.unwrap();
    assert_eq!(answer.metrics.0[0], ("commits", MetricValue::Count(200)));
}

#[tokio::test]
async fn an_epoch_that_keeps_changing_is_an_error_to_retry() {
    let store = store_of(&[]).await;
    for epoch in 1..10 {
        put_items(&store, Epoch(epoch), &[Cell::new("2024-01-05", 0, 0, epoch)], 1).await;
    }
    let ports = ports(&store, Arc::new(WatchedStore::new(&store, 8)));
    match org_commits(&ports).await {
        Err(QueryError::Store(error)) => assert!(error.is_retryable(), "{error}"),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_target_without_an_active_epoch_is_not_computed_yet() {
    let store = store_of(&[Cell::new("2024-01-05", 0, 0, 10)]).await;
    set_head(&store, None, Some((1, 1))).await;
    let ports = ports(&store, Arc::new(store.clone()));
    let error = org_commits(&ports).await.unwrap_err();
    assert!(matches!(error, QueryError::NotComputed(_)), "{error}");
    assert!(error.to_string().contains("`github-metrics aggregate Acme`"), "{error}");
    let orgs = gam_query::orgs(&ports).await.unwrap().orgs;
    assert_eq!((orgs[0].org.as_str(), orgs[0].repos, orgs[0].members), ("Acme", None, None));

    set_head(&store, Some((1, 1)), Some((2, 2))).await;
    assert_eq!(
        org_commits(&ports).await.unwrap(),
        10,
        "the active epoch answers while another one is folded"
    );
}

#[tokio::test]
async fn a_completely_collected_organization_is_not_computed_before_its_first_aggregation() {
    let store = MemoryStore::default();
    put_names(&store).await;
    let complete_until = Some("2024-04-01T00:00:00Z".parse().unwrap());
    Checkpoint::change_org(&store, ORG, |org| org.complete_until = complete_until).await.unwrap();
    let ports = ports(&store, Arc::new(store.clone()));
    let error = org_commits(&ports).await.unwrap_err();
    assert!(matches!(error, QueryError::NotComputed(_)), "{error}");
    assert_eq!(gam_query::orgs(&ports).await.unwrap().orgs[0].repos, None);
}

#[tokio::test]
async fn an_organization_has_zeros_while_it_is_collected_for_the_first_time() {
    let store = MemoryStore::default();
    put_names(&store).await;
    let ports = ports(&store, Arc::new(store.clone()));
    assert_eq!(org_commits(&ports).await.unwrap(), 0);
    let request = list_request(Listing::Members, range("2024-01-01", "2024-04-01"), BotFilter::Auto);
    assert!(gam_query::list(&ports, ORG, &request).await.unwrap().entries.is_empty());
    assert_eq!(gam_query::orgs(&ports).await.unwrap().orgs[0].repos, Some(0));
}

#[tokio::test]
async fn items_below_the_floor_of_their_month_do_not_count() {
    let store = store_of(&[Cell::new("2024-01-05", 0, 0, 10), Cell::new("2024-01-05", 1, 1, 5)]).await;
    let ports = ports(&store, Arc::new(store.clone()));
    assert_eq!(org_commits(&ports).await.unwrap(), 15);
    // The month is folded again without what was in repository "tools" and by bob.
    put_items(&store, Epoch(1), &[Cell::new("2024-01-05", 0, 0, 10)], 2).await;
    assert_eq!(org_commits(&ports).await.unwrap(), 10);
    let range = range("2024-01-01", "2024-04-01");
    let tools = SubjectRef::repo("tools");
    let tools = gam_query::metrics(&ports, ORG, &tools, range, BotFilter::Auto).await.unwrap();
    assert_eq!(tools.metrics.0[0], ("commits", MetricValue::Count(0)));
    let listing = Listing::RepoMembers { name: "tools".to_owned(), id: None };
    let members = gam_query::list(&ports, ORG, &list_request(listing, range, BotFilter::Auto)).await.unwrap();
    assert!(members.entries.is_empty());
}
