use chrono::{DateTime, TimeDelta};
use gam_model::session_event::ActiveQuarter;
use gam_model::{CodingAgent, FieldText, Member, SessionEventKind, SessionFacts, ToolOutcome};

use super::*;
use crate::snapshot::Stamp;
use crate::{Events, MemoryObjects};

fn event(number: i64, facts: SessionFacts) -> SessionEvent {
    SessionEvent {
        id: FieldText::new(&format!("agent:claude:response:msg_{number}")),
        version: facts.output_tokens.unwrap_or(0),
        kind: SessionEventKind::AgentResponse,
        org: "acme".into(),
        repo: "site".into(),
        repo_id: 7,
        member: Member::commit_author(None, Some("ann@example.org")),
        occurred_at: DateTime::from_timestamp(1_772_323_200, 0).unwrap() + TimeDelta::seconds(number),
        collected_at: DateTime::from_timestamp(1_790_000_000, 0).unwrap(),
        retracted: false,
        reading: 1,
        agent: CodingAgent::Claude,
        session: FieldText::new("s1"),
        facts,
    }
}

/// Returns facts that have every field.
fn complete_facts() -> SessionFacts {
    let text = |text: &str| Some(FieldText::new(text));
    let at = DateTime::from_timestamp(1_772_323_200, 0).unwrap();
    SessionFacts {
        subagent: text("a1"),
        branch: Some(FieldText::hashed("feature")),
        replayed: Some(true),
        model: text("claude-opus-4-6"),
        input_tokens: Some(1),
        output_tokens: Some(2),
        reasoning_tokens: Some(3),
        cache_read_tokens: Some(4),
        cache_write_5m_tokens: Some(5),
        cache_write_1h_tokens: Some(6),
        web_searches: Some(7),
        speed: text("fast"),
        is_final: Some(false),
        tool: text("Bash"),
        outcome: Some(ToolOutcome::Rejected),
        duration_ms: Some(8),
        additions: Some(9),
        deletions: Some(10),
        started_at: Some(at),
        prompts: Some(11),
        turns: Some(12),
        active: Some(vec![ActiveQuarter { at, active_ms: 13 }]),
        client_version: text("2.1.39"),
        entrypoint: text("cli"),
        forked_from: text("s0"),
        pr_repo: text("acme/site"),
        number: Some(14),
        sha: text("1a2b3c4"),
    }
}

fn response(number: i64, output: i64) -> SessionEvent {
    event(number, SessionFacts { output_tokens: Some(output), ..SessionFacts::default() })
}

#[test]
fn the_schema_never_changes() {
    let schema = Sessions::schema();
    let lines = schema.fields().iter().map(|field| {
        let presence = if field.is_nullable() { "optional" } else { "required" };
        format!("{:<22} {presence} {}", field.name(), field.data_type())
    });
    insta::with_settings!({ prepend_module_to_snapshot => false, omit_expression => true }, {
        insta::assert_snapshot!("sessions_schema", lines.collect::<Vec<_>>().join("\n"));
    });
}

#[test]
fn events_decode_from_their_rows() {
    let mut bare = event(2, SessionFacts::default());
    bare.member = Member::account("ann", Some(3), false);
    bare.retracted = true;
    bare.reading = 0;
    let events = vec![event(1, complete_facts()), bare];
    assert_eq!(Sessions::decode(&Sessions::encode(&events).unwrap()).unwrap(), events);
}

/// Merges the batches in the inbox into March 2026, as an aggregation does. Returns how many rows changed.
async fn merge_inbox(objects: &MemoryObjects) -> usize {
    let month = Month::parse("2026-03").unwrap();
    let mut rows = Vec::new();
    let batches = inbox::list::<Sessions>(objects, "acme").await.unwrap();
    for batch in &batches {
        rows.extend(inbox::read::<Sessions>(objects, &batch.path).await.unwrap().unwrap());
    }
    let current = snapshot::fetch::<Sessions>(objects, "acme", month).await.unwrap();
    let generation = current.as_ref().map_or(0, |current| current.stamp.generation);
    let stamp = Stamp::new(generation + 1, 0, 1);
    let stored = current.as_ref().map(|current| &current.rows);
    let merged = snapshot::merge(stored, &Sessions::winners(rows), &stamp).unwrap();
    if let Some(rows) = &merged.rows {
        let expected = current.as_ref().map(|current| &current.etag);
        snapshot::put(objects, "acme", month, rows, &stamp, expected).await.unwrap().unwrap();
    }
    for batch in batches {
        objects.delete(&batch.path).await.unwrap();
    }
    merged.changes.len()
}

#[tokio::test]
async fn stored_and_new_copies_are_combined() {
    let objects = MemoryObjects::new();
    let mut early = response(1, 5);
    early.occurred_at -= TimeDelta::hours(1);
    early.occurred_at = early.occurred_at.max(DateTime::from_timestamp(1_772_323_200, 0).unwrap());
    put(&objects, "Acme", vec![response(1, 9), response(2, 1)]).await.unwrap();
    assert_eq!(merge_inbox(&objects).await, 2);
    put(&objects, "acme", vec![early.clone()]).await.unwrap();
    assert_eq!(merge_inbox(&objects).await, 1, "the earlier time of the other copy");
    put(&objects, "acme", vec![early.clone(), response(1, 9)]).await.unwrap();
    assert_eq!(merge_inbox(&objects).await, 0);
    let month = Month::parse("2026-03").unwrap();
    let ids = BTreeSet::from([early.id.to_string(), "other".to_owned()]);
    let rows = rows_by_id(&objects, "acme", month, ids).await.unwrap();
    assert_eq!(rows.len(), 1);
    assert_eq!((rows[0].occurred_at, rows[0].facts.output_tokens), (early.occurred_at, Some(9)));
}

#[tokio::test]
async fn the_table_has_files_of_its_own() {
    let objects = MemoryObjects::new();
    let path = put(&objects, "acme", vec![response(1, 1)]).await.unwrap().unwrap();
    assert!(path.as_str().starts_with("sessions-inbox/org=acme/"), "{path}");
    assert_eq!(put(&objects, "acme", vec![response(1, 1)]).await.unwrap(), Some(path));
    assert_eq!(inbox::list::<Sessions>(&objects, "acme").await.unwrap().len(), 1);
    assert!(inbox::list::<Events>(&objects, "acme").await.unwrap().is_empty());
    merge_inbox(&objects).await;
    let paths: Vec<String> =
        objects.list("").await.unwrap().iter().map(|object| object.path.to_string()).collect();
    assert_eq!(paths, ["sessions/org=acme/month=2026-03/snapshot.parquet"]);
    assert_eq!(put(&objects, "acme", Vec::new()).await.unwrap(), None);
    assert!(put(&objects, "other", vec![response(1, 1)]).await.is_err());
}
