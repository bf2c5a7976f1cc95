//! Measures how fast a month of session events folds: `cargo bench -p gam-fold --bench sessions`. divan prints events per
//! second. The month is that of 100 people with 300 responses a day: 2 million events.

use arrow_array::RecordBatch;
use chrono::TimeDelta;
use divan::Bencher;
use divan::counter::ItemsCount;
use gam_lake::{Sessions, snapshot};
use gam_model::{
    CodingAgent, FieldText, Identity, Member, Month, SessionEvent, SessionEventKind, SessionFacts,
    ToolOutcome,
};

fn main() {
    divan::main();
}

const EVENTS: usize = 2_000_000;
const MEMBERS: usize = 100;
const REPOS: i64 = 40;
const MODELS: [&str; 3] = ["claude-opus-4-6", "claude-sonnet-4-6", "gpt-5.3-codex"];
const TOOLS: [&str; 6] = ["Bash", "Edit", "Read", "Grep", "Write", "mcp"];

fn month() -> Month {
    Month::parse("2026-01").expect("a month")
}

fn event(n: usize, rng: &mut fastrand::Rng) -> SessionEvent {
    let start = month().first_day().and_hms_opt(0, 0, 0).expect("midnight").and_utc();
    let member = rng.usize(..MEMBERS);
    // A member works in some repositories, on some branches.
    let repo_id = (member as i64 * 7 + rng.i64(0..3)) % REPOS;
    let is_response = rng.bool();
    let mut facts = SessionFacts {
        branch: Some(FieldText::hashed(&format!("b{}", rng.u8(..8)))),
        ..SessionFacts::default()
    };
    if is_response {
        facts.model = Some(FieldText::new(MODELS[rng.usize(..MODELS.len())]));
        facts.input_tokens = Some(rng.i64(1..500));
        facts.output_tokens = Some(rng.i64(1..3_000));
        facts.cache_read_tokens = Some(rng.i64(0..150_000));
        facts.cache_write_5m_tokens = Some(rng.i64(0..4_000));
    } else {
        facts.tool = Some(FieldText::new(TOOLS[rng.usize(..TOOLS.len())]));
        facts.outcome = Some(if rng.u8(..20) == 0 { ToolOutcome::Error } else { ToolOutcome::Ok });
        facts.additions = Some(rng.i64(0..40));
    }
    SessionEvent {
        id: FieldText::new(&format!("agent:claude:fact:{n:08}")),
        version: 1,
        kind: if is_response { SessionEventKind::AgentResponse } else { SessionEventKind::AgentToolCall },
        org: "acme".into(),
        repo: format!("repo-{repo_id}"),
        repo_id,
        member: Member::account(&format!("member-{member}"), None, false),
        occurred_at: start + TimeDelta::seconds(rng.i64(0..31 * 86_400)),
        collected_at: start,
        retracted: false,
        reading: 1,
        agent: CodingAgent::Claude,
        session: FieldText::new(&format!("session-{}", rng.u32(..6_000))),
        facts,
    }
}

fn rows() -> Vec<RecordBatch> {
    let rng = &mut fastrand::Rng::with_seed(1);
    // In parts, as snapshots have row groups: the rows of a part are sorted.
    let part = |first: usize, rng: &mut fastrand::Rng| {
        let events: Vec<SessionEvent> = (first..first + EVENTS / 20).map(|n| event(n, rng)).collect();
        snapshot::sort_rows::<Sessions>(events).expect("the events are valid")
    };
    (0..EVENTS).step_by(EVENTS / 20).flat_map(|first| part(first, rng)).collect()
}

/// From rows in memory to encoded items.
#[divan::bench(sample_count = 5)]
fn encoded_items(bencher: Bencher) {
    let (rows, identity) = (rows(), Identity::default());
    bencher.counter(ItemsCount::new(EVENTS)).bench_local(|| {
        gam_fold::fold_sessions(month(), divan::black_box(rows.as_slice()), &identity)
            .expect("the month folds")
    });
}
