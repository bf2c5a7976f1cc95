//! Session events of other machines over HTTP.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use axum::Router;
use gam_access::{NewToken, RepoName, Role, Scope, Tokens};
use gam_aggregate::aggregate_sessions;
use gam_http::{AccessControl, AllowedOrigins, ApiPorts, guarded_router, with_pushed_sessions};
use gam_lake::{MemoryObjects, sessions};
use gam_model::{FieldText, Month, SessionEvent};
use gam_work::{InboxError, PushedSessions, SessionInbox};
use serde_json::{Value, json};

use crate::support::{ApiResponse, TestData, acme, empty_api, fixed_clock, send_json};

const PATH: &str = "/api/v1/sessions";

/// The inbox of a lake in memory, which can be away.
#[derive(Clone)]
struct TestInbox {
    objects: Arc<MemoryObjects>,
    is_away: Arc<AtomicBool>,
}

#[async_trait]
impl SessionInbox for TestInbox {
    async fn put(&self, org: &str, events: Vec<SessionEvent>) -> Result<(), InboxError> {
        if self.is_away.load(Ordering::Relaxed) {
            return Err("the lake is away".into());
        }
        sessions::put(&*self.objects, org, events).await?;
        Ok(())
    }

    async fn members(
        &self,
        org: &str,
        month: Month,
        ids: BTreeSet<String>,
    ) -> Result<HashMap<String, String>, InboxError> {
        let rows = sessions::rows_by_id(&*self.objects, org, month, ids).await?;
        Ok(rows.into_iter().map(|row| (row.id.to_string(), row.member.name)).collect())
    }
}

/// The API over "Acme", which takes sessions.
struct Host {
    data: TestData,
    api: Router,
    tokens: Tokens,
    inbox: TestInbox,
}

impl Host {
    async fn new() -> Self {
        let data = acme::data().await;
        let clock = fixed_clock();
        let tokens = Tokens::new(data.store.clone(), clock.clone());
        let ports = ApiPorts { query: data.query_ports(), work: None, log: None };
        let api = guarded_router(ports, AccessControl::tokens(tokens.clone()), AllowedOrigins::default());
        let inbox = TestInbox { objects: data.objects.clone(), is_away: Arc::default() };
        let pushed = PushedSessions::new(data.store.clone(), Arc::new(inbox.clone()), clock);
        Host { api: with_pushed_sessions(api, pushed), tokens, inbox, data }
    }

    async fn token(&self, name: &str, role: Role, member: Option<&str>, scope: Scope) -> String {
        let member = member.map(str::to_owned);
        let new = NewToken { name: name.to_owned(), role, scope, member, expires_at: None };
        let (secret, _) = self.tokens.create(new, "local").await.expect("a token");
        format!("Bearer {}", secret.expose())
    }

    async fn worker(&self, member: &str) -> String {
        self.token(&format!("{member}-laptop"), Role::Worker, Some(member), Scope::All).await
    }

    async fn push(&self, token: &str, body: Value) -> ApiResponse {
        send_json(&self.api, PATH, &[("authorization", token)], body).await
    }

    /// Merges what was pushed, and returns the members of the rows with these ids.
    async fn members(&self, ids: &[&str]) -> Vec<String> {
        aggregate_sessions(&self.data.aggregate_ports(), "acme").await.expect("they are merged");
        let ids: BTreeSet<String> = ids.iter().map(|id| (*id).to_owned()).collect();
        let month = Month::parse("2024-03").expect("a month");
        let rows = sessions::rows_by_id(&*self.data.objects, "acme", month, ids).await.expect("rows");
        let mut members: Vec<String> = rows.into_iter().map(|row| row.member.name).collect();
        members.sort();
        members
    }
}

fn id(number: u32) -> String {
    format!("agent:claude:response:msg_{number}")
}

fn event(number: u32) -> Value {
    json!({
        "event_id": id(number), "version": 1_858_453_322_596_352_002_i64, "kind": "agent_response", "repo": "site",
        "occurred_at": "2024-03-09T10:00:00Z", "reading": 1, "agent": "claude", "session": "s1",
        "facts": { "model": "claude-opus-4-6", "input_tokens": 3, "output_tokens": 10, "is_final": true },
    })
}

fn push_of(events: Vec<Value>) -> Value {
    json!({ "org": "ACME", "events": events })
}

#[tokio::test]
async fn events_are_stored_once_and_credited_to_the_member_of_the_token() {
    let host = Host::new().await;
    let token = host.worker("ann").await;
    for _ in 0..2 {
        let answer = host.push(&token, push_of(vec![event(1), event(2)])).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        assert_eq!(answer.json(), json!({ "accepted": 2, "refused": [] }));
        assert_eq!(host.members(&[&id(1), &id(2)]).await, ["ann", "ann"]);
    }
    let mut unknown = event(3);
    unknown["repo"] = "never-collected".into();
    let answer = host.push(&token, push_of(vec![unknown, event(4)])).await.json();
    assert_eq!(
        answer,
        json!({ "accepted": 1, "refused": [{ "event_id": id(3), "reason": "not_collected" }] })
    );
}

#[tokio::test]
async fn nobody_changes_the_rows_of_somebody_else() {
    let host = Host::new().await;
    let (ann, bob) = (host.worker("ann").await, host.worker("bob").await);
    host.push(&ann, push_of(vec![event(1)])).await;
    let mut stolen = event(1);
    stolen["version"] = 99.into();
    let answer = host.push(&bob, push_of(vec![stolen, event(2)])).await.json();
    assert_eq!(
        answer,
        json!({ "accepted": 1, "refused": [{ "event_id": id(1), "reason": "other_member" }] })
    );
    assert_eq!(host.members(&[&id(1), &id(2)]).await, ["ann", "bob"]);
    let named = json!({ "org": "acme", "member": "ann", "events": [event(5)] });
    host.push(&bob, named.clone()).await.problem(403, "FORBIDDEN");
    assert_eq!(host.push(&ann, named.clone()).await.status, 200, "her own name");
    let admin = host.token("admin", Role::Admin, None, Scope::All).await;
    assert_eq!(
        host.push(&admin, json!({ "org": "acme", "member": "carol", "events": [event(6)] })).await.status,
        200
    );
    assert_eq!(host.members(&[&id(6)]).await, ["carol"]);
    let error = host.push(&admin, push_of(vec![event(7)])).await.problem(400, "INVALID_ARGUMENT");
    assert!(error.contains("--member LOGIN"), "{error}");
    let address = json!({ "org": "acme", "member": "ann@example.org", "events": [] });
    host.push(&admin, address).await.problem(400, "INVALID_ARGUMENT");
}

#[tokio::test]
async fn roles_and_scopes_are_checked() {
    let host = Host::new().await;
    let viewer = host.token("viewer", Role::Viewer, Some("ann"), Scope::All).await;
    host.push(&viewer, push_of(vec![event(1)])).await.problem(403, "FORBIDDEN");
    send_json(&host.api, PATH, &[], push_of(vec![])).await.problem(401, "UNAUTHORIZED");
    let elsewhere = Scope::Orgs(vec!["other".to_owned()]);
    let other = host.token("other", Role::Worker, Some("ann"), elsewhere).await;
    host.push(&other, push_of(vec![event(1)])).await.problem(404, "NOT_FOUND");
    let repos = Scope::Repos(vec![RepoName { org: "acme".to_owned(), repo: "tools".to_owned() }]);
    let one_repo = host.token("one-repo", Role::Worker, Some("ann"), repos).await;
    let answer = host.push(&one_repo, push_of(vec![event(1)])).await.json();
    assert_eq!(answer["refused"][0]["reason"], "not_collected", "as if it did not exist");
    let reader = send_json(&empty_api(), PATH, &[], push_of(vec![])).await;
    reader.problem(403, "FORBIDDEN");
}

#[tokio::test]
async fn only_the_fixed_list_of_fields_is_taken() {
    let host = Host::new().await;
    let token = host.worker("ann").await;
    let with = |pointer: &str, value: Value| {
        let mut event = event(1);
        let (parent, field) = pointer.rsplit_once('/').expect("a pointer");
        event.pointer_mut(parent).expect("an object")[field] = value;
        push_of(vec![event])
    };
    for (body, why) in [
        (with("/prompt", "hunter2".into()), "unknown field"),
        (with("/facts/prompt", "hunter2".into()), "unknown field"),
        (with("/facts/model", "hunter2 said so".into()), "no id or name"),
        (with("/facts/branch", "/home/hunter2".into()), "no id or name"),
        (with("/kind", "agent_dream".into()), "agent_dream"),
        (json!({ "org": "acme", "events": [], "more": 1 }), "unknown field"),
        (push_of(vec![event(1); 1_001]), "1001 events: send at most 1000"),
    ] {
        let error = host.push(&token, body.clone()).await.problem(400, "INVALID_ARGUMENT");
        assert!(error.contains(why) && !error.contains("hunter2"), "{body}: {error}");
    }
    assert!(host.members(&[&id(1)]).await.is_empty(), "nothing of it is stored");
    for (body, why) in [
        (with("/facts/output_tokens", (-1).into()), "`output_tokens` is -1"),
        (with("/facts/sha", "abc".into()), "`sha` is no field of agent_response"),
        (with("/event_id", "agent:claude:tool:x".into()), "must begin with agent:claude:response:"),
        (with("/version", (-1).into()), "`version` is -1"),
        (with("/occurred_at", "2024-03-12T10:00:00Z".into()), "check the clock"),
        (with("/occurred_at", "1999-03-12T10:00:00Z".into()), "check the clock"),
    ] {
        let mut body = body;
        body["events"].as_array_mut().expect("events").push(event(2));
        let answer = host.push(&token, body.clone()).await.json();
        assert_eq!((&answer["accepted"], &answer["refused"][0]["reason"]), (&1.into(), &"invalid".into()));
        let detail = answer["refused"][0]["detail"].as_str().unwrap_or_default();
        assert!(detail.contains(why), "{body}: {answer}");
    }
    assert_eq!(host.members(&[&id(1), &id(2)]).await, ["ann"], "the others are stored");
    let long = push_of(vec![with("/facts/model", "x".repeat(2 << 20).into())]);
    host.push(&token, long).await.problem(413, "INVALID_ARGUMENT");
}

#[tokio::test]
async fn facts_that_credit_a_session_have_its_id() {
    let host = Host::new().await;
    let token = host.worker("ann").await;
    let of_kind = |kind: &str, id: &str, facts: Value| {
        let mut event = event(1);
        (event["kind"], event["event_id"], event["facts"]) = (kind.into(), id.into(), facts);
        event
    };
    let quarter = |at: &str| json!({ "active": [{ "at": at, "active_ms": 1 }] });
    let day = |id: &str, at: &str| of_kind("agent_session", id, quarter(at));
    let (own_day, at) = ("agent:claude:session:s1:2024-03-09", "2024-03-09T10:15:00Z");
    let link = json!({ "pr_repo": "acme/site", "number": 1 });
    let hash = FieldText::hashed("x").to_string();
    for (event, is_taken) in [
        (day(own_day, at), true),
        (day("agent:claude:session:s1:2024-03-08", at), false),
        (day("agent:claude:session:s2:2024-03-09", at), false),
        (day(&hash, at), false),
        (day(own_day, "2024-03-10T00:00:00Z"), false),
        (day(own_day, "2024-02-29T23:45:00Z"), false),
        (of_kind("agent_commit", "agent:claude:commit:s1:1a2b3c4", json!({ "sha": "1a2b3c4" })), true),
        (of_kind("agent_commit", "agent:claude:commit:s2:1a2b3c4", json!({ "sha": "1a2b3c4" })), false),
        (of_kind("agent_pr_link", "agent:claude:pr:s1:acme/site:1", link.clone()), true),
        (of_kind("agent_pr_link", "agent:claude:pr:s2:acme/site:1", link.clone()), false),
        (of_kind("agent_pr_link", &hash, link), false),
    ] {
        let answer = host.push(&token, push_of(vec![event.clone()])).await.json();
        let expected = (u64::from(is_taken), u64::from(!is_taken));
        let refused = answer["refused"].as_array().expect("a list").len() as u64;
        assert_eq!((answer["accepted"].as_u64().expect("a number"), refused), expected, "{event}: {answer}");
    }
    assert_eq!(host.members(&[own_day]).await, ["ann"]);
}

#[tokio::test]
async fn a_lake_that_fails_is_no_loss() {
    let host = Host::new().await;
    let token = host.worker("ann").await;
    host.inbox.is_away.store(true, Ordering::Relaxed);
    let failed = host.push(&token, push_of(vec![event(1)])).await;
    assert_eq!(failed.header("retry-after"), "10");
    assert!(failed.problem(503, "INTERNAL_ERROR").contains("send the same events again"));
    host.inbox.is_away.store(false, Ordering::Relaxed);
    assert_eq!(host.push(&token, push_of(vec![event(1)])).await.json()["accepted"], 1);
    assert_eq!(host.members(&[&id(1)]).await, ["ann"]);
}
