//! Answers that are kept in the process as long as nothing has changed.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::http::Method;
use chrono::{DateTime, TimeDelta, Utc};
use gam_model::Clock;
use gam_query::QueryPorts;
use gam_store::{CheckpointKey, CheckpointStore, NameEntry, NameKind, NameStore};

use crate::support::{CountingStore, acme, get, get_json, send};

const PATHS: [&str; 4] = [
    "/api/v1/orgs",
    "/api/v1/orgs/acme/metrics",
    "/api/v1/orgs/acme/metrics/timeseries?metric=commits",
    "/api/v1/orgs/acme/members?limit=1",
];

#[tokio::test]
async fn an_answer_is_computed_again_only_after_a_change() {
    let data = acme::data().await;
    let store = CountingStore::new(&data);
    let api = gam_http::router(store.query_ports(&data));
    for path in PATHS {
        let first = get(&api, path).await;
        let reads = store.reads();
        let again = get(&api, path).await;
        let unchanged = send(&api, Method::GET, path, &[("if-none-match", first.header("etag"))]).await;
        assert_eq!(store.reads(), reads, "{path} reads nothing");
        assert_eq!((&again.body, again.header("etag")), (&first.body, first.header("etag")));
        assert_eq!(again.header("content-type"), first.header("content-type"));
        assert_eq!(unchanged.status, 304);
        get(&api, &format!("{path}{}bots=only", if path.contains('?') { '&' } else { '?' })).await;

        let key = CheckpointKey::Repo("other".to_owned(), 7);
        let saved = data.store.load(&key).await.unwrap().map(|saved| saved.revision);
        data.store.save(&key, "{}", saved).await.unwrap();
        let reads = store.reads();
        assert_eq!(get(&api, path).await.body, first.body, "another organization was changed");
        assert!(store.reads() > reads, "{path} reads again");
    }
}

#[tokio::test]
async fn a_new_name_is_in_the_next_answer() {
    let data = acme::data().await;
    let api = data.api();
    let path = "/api/v1/orgs/acme/repos";
    for name in ["Site-2", "Site-33"] {
        let as_of = DateTime::from_timestamp(1_800_000_000 + name.len() as i64, 0).unwrap();
        let entry = NameEntry { kind: NameKind::Repo, id: 1, name: name.to_owned(), as_of };
        let before = get(&api, path).await;
        data.store.put_names("acme", &[entry]).await.unwrap();
        let headers = [("if-none-match", before.header("etag"))];
        let after = send(&api, Method::GET, path, &headers).await;
        assert_eq!((after.status.as_u16(), &after.json()["repos"][0]["repo"]), (200, &name.into()));
    }
}

/// A clock that can be set.
struct SettableClock(AtomicU64);

impl Clock for SettableClock {
    fn now(&self) -> DateTime<Utc> {
        let start: DateTime<Utc> = "2024-03-10T23:59:00Z".parse().unwrap();
        start + TimeDelta::seconds(self.0.load(Ordering::Relaxed) as i64)
    }
}

#[tokio::test]
async fn the_default_range_follows_the_clock() {
    let data = acme::data().await;
    let clock = Arc::new(SettableClock(0.into()));
    let api = gam_http::router(QueryPorts { clock: clock.clone(), ..data.query_ports() });
    let until = async || get_json(&api, "/api/v1/orgs/acme/metrics").await["until"].clone();
    assert_eq!(until().await, "2024-03-11");
    clock.0.store(59, Ordering::Relaxed);
    assert_eq!(until().await, "2024-03-11");
    clock.0.store(60, Ordering::Relaxed);
    assert_eq!(until().await, "2024-03-12");
}
