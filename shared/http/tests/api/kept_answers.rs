//! Answers that are kept in the process as long as nothing has changed.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::http::Method;
use chrono::{DateTime, TimeDelta, Utc};
use gam_access::{NewToken, RepoName, Role, Scope, Tokens};
use gam_http::{AccessControl, AllowedOrigins, guarded_router};
use gam_model::Clock;
use gam_query::QueryPorts;
use gam_store::{CheckpointKey, CheckpointStore, NameEntry, NameKind, NameStore};

use crate::support::{CountingStore, acme, fixed_clock, get, get_json, send};

const PATHS: [&str; 11] = [
    "/api/v1/orgs",
    "/api/v1/orgs/acme/metrics",
    "/api/v1/orgs/acme/metrics/timeseries?metric=commits",
    "/api/v1/orgs/acme/members?limit=1",
    "/api/v1/orgs/acme/charts/commits.svg",
    "/orgs/acme",
    "/orgs/acme/delivery",
    "/orgs/acme/repos",
    "/orgs/acme/repos/site",
    "/orgs/acme/members",
    "/orgs/acme/members/ann",
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

#[tokio::test]
async fn a_kept_page_is_the_page_that_would_be_rendered() {
    let data = acme::data().await;
    let tokens = Tokens::new(data.store.clone(), fixed_clock());
    let mut senders = vec![None];
    for role in [Role::Viewer, Role::Operator, Role::Auditor, Role::Admin] {
        let new = NewToken {
            name: role.as_str().to_owned(),
            role,
            scope: Scope::All,
            member: None,
            expires_at: None,
        };
        let (secret, _) = tokens.create(new, "local").await.unwrap();
        senders.push(Some(format!("Bearer {}", secret.expose())));
    }
    let by_tokens =
        || guarded_router(data.api_ports(), AccessControl::tokens(tokens.clone()), AllowedOrigins::default());
    let open = || gam_http::router(data.api_ports());
    let (kept_by_tokens, kept_open) = (by_tokens(), open());
    let mut pages = BTreeSet::new();
    for _ in 0..2 {
        for sender in &senders {
            for languages in ["", "en", "ja", "fr;q=0.5, ja;q=0.1"] {
                for path in ["/orgs/acme", "/orgs/acme/repos?theme=dark", "/orgs/acme/members/ann?lang=ja"] {
                    let mut headers = vec![("accept-language", languages), ("accept", "text/html")];
                    headers.extend(sender.as_deref().map(|token| ("authorization", token)));
                    let (kept, fresh) = match sender {
                        Some(_) => (&kept_by_tokens, by_tokens()),
                        None => (&kept_open, open()),
                    };
                    let answer = send(kept, Method::GET, path, &headers).await;
                    let rendered = send(&fresh, Method::GET, path, &headers).await;
                    assert_eq!((answer.status.as_u16(), rendered.status.as_u16()), (200, 200), "{path}");
                    assert_eq!(answer.body, rendered.body, "{path} {languages:?} {sender:?}");
                    assert_eq!(answer.header("content-language"), rendered.header("content-language"));
                    pages.insert(answer.body);
                }
            }
        }
    }
    // Two of the paths in two languages, and one in its own; without a token, with one, and with one that reads the log.
    assert_eq!(pages.len(), (2 * 2 + 1) * 3);
}

#[tokio::test]
async fn a_page_is_kept_only_for_who_may_see_it() {
    let data = acme::data().await;
    let tokens = Tokens::new(data.store.clone(), fixed_clock());
    let api =
        guarded_router(data.api_ports(), AccessControl::tokens(tokens.clone()), AllowedOrigins::default());
    let repo = RepoName { org: "acme".to_owned(), repo: "site".to_owned() };
    let scopes = [Scope::All, Scope::Orgs(vec!["other".to_owned()]), Scope::Repos(vec![repo])];
    let mut statuses = Vec::new();
    for (name, scope) in ["all", "other", "site"].into_iter().zip(scopes) {
        let new =
            NewToken { name: name.to_owned(), role: Role::Viewer, scope, member: None, expires_at: None };
        let (secret, _) = tokens.create(new, "local").await.unwrap();
        let token = format!("Bearer {}", secret.expose());
        for path in ["/orgs/acme", "/orgs/acme/repos/site"] {
            statuses.push(send(&api, Method::GET, path, &[("authorization", &token)]).await.status.as_u16());
        }
    }
    assert_eq!(statuses, [200, 200, 404, 404, 403, 200]);
    assert_eq!(get(&api, "/orgs/acme").await.status, 401);
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
