//! Session events are merged into their months, and a fact is in one of them.

use chrono::{DateTime, Utc};
use gam_aggregate::aggregate_sessions;
use gam_lake::snapshot;
use gam_lake::{MemoryObjects, Sessions, Table, sessions};
use gam_model::{CodingAgent, FieldText, Member, Month, SessionEvent, SessionEventKind, SessionFacts};

const ORG: &str = "acme";

fn time(text: &str) -> DateTime<Utc> {
    DateTime::parse_from_rfc3339(text).unwrap().to_utc()
}

fn response(id: &str, at: &str, output: i64) -> SessionEvent {
    SessionEvent {
        id: FieldText::new(id),
        version: output,
        kind: SessionEventKind::AgentResponse,
        org: ORG.into(),
        repo: "site".into(),
        repo_id: 7,
        member: Member::account("ann", None, false),
        occurred_at: time(at),
        collected_at: time("2026-06-01T00:00:00Z"),
        retracted: false,
        reading: 1,
        agent: CodingAgent::Claude,
        session: FieldText::new("s1"),
        facts: SessionFacts { output_tokens: Some(output), ..SessionFacts::default() },
    }
}

/// Puts the events into the inbox, and aggregates. Returns how many rows changed.
async fn merge(objects: &MemoryObjects, events: &[SessionEvent]) -> usize {
    sessions::put(objects, ORG, events.to_vec()).await.unwrap();
    aggregate_sessions(objects, ORG).await.unwrap().changed_rows
}

/// Returns the live rows: month, id and output tokens.
async fn live_rows(objects: &MemoryObjects) -> Vec<(String, String, i64)> {
    let mut rows = Vec::new();
    for month in snapshot::months::<Sessions>(objects, ORG).await.unwrap() {
        let stored = snapshot::read::<Sessions>(objects, ORG, month).await.unwrap().unwrap();
        for batch in &stored.batches {
            for row in Sessions::decode(batch).unwrap().into_iter().filter(|row| !row.retracted) {
                let output = row.facts.output_tokens.unwrap();
                rows.push((Month::to_string(&month), row.id.to_string(), output));
            }
        }
    }
    rows
}

#[tokio::test]
async fn copies_on_both_sides_of_a_months_end_are_one_row() {
    let early = response("r1", "2026-03-31T23:59:58Z", 5);
    let late = response("r1", "2026-04-01T00:00:03Z", 9);
    let expected = vec![("2026-03".to_owned(), "r1".to_owned(), 9)];
    for order in [[&early, &late], [&late, &early]] {
        let objects = MemoryObjects::new();
        for event in order {
            assert!(merge(&objects, std::slice::from_ref(event)).await > 0);
        }
        assert_eq!(live_rows(&objects).await, expected);
        for event in order {
            merge(&objects, std::slice::from_ref(event)).await;
        }
        assert_eq!(live_rows(&objects).await, expected, "again");
        assert_eq!(merge(&objects, &[early.clone(), late.clone()]).await, 0);
    }
}

#[tokio::test]
async fn months_away_from_the_edge_are_not_looked_up() {
    let objects = MemoryObjects::new();
    let events = [response("r1", "2026-03-15T12:00:00Z", 5), response("r2", "2026-04-15T12:00:00Z", 6)];
    assert_eq!(merge(&objects, &events).await, 2);
    assert_eq!(merge(&objects, &events).await, 0);
    let rows = live_rows(&objects).await;
    assert_eq!(rows.iter().map(|row| row.0.as_str()).collect::<Vec<_>>(), ["2026-03", "2026-04"]);
}

#[tokio::test]
async fn batches_are_deleted_after_their_months_are_written() {
    let objects = MemoryObjects::new();
    merge(&objects, &[response("r1", "2026-03-15T12:00:00Z", 5)]).await;
    let report = aggregate_sessions(&objects, ORG).await.unwrap();
    assert_eq!((report.batches, report.changed_rows), (0, 0));
    assert!(gam_lake::inbox::list::<Sessions>(&objects, ORG).await.unwrap().is_empty());
}
