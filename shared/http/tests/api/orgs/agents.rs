//! `…/agents`: metrics, lists, series, charts and exports of sessions of coding agents.

use axum::Router;
use chrono::{DateTime, Utc};
use gam_aggregate::aggregate_sessions;
use gam_model::agent_metric::AGENT_CATALOGUE;
use gam_model::session_event::ActiveQuarter;
use gam_model::{CodingAgent, FieldText, Member, SessionEvent, SessionEventKind, SessionFacts, ToolOutcome};
use serde_json::{Value, json};

use crate::support::{CountingStore, acme, get};

const AGENTS: &str = "/api/v1/orgs/acme/agents";

fn at(text: &str) -> DateTime<Utc> {
    text.parse().expect("a time")
}

fn event(
    kind: SessionEventKind,
    id: &str,
    (repo, repo_id): (&str, i64),
    member: &str,
    when: &str,
    facts: SessionFacts,
) -> SessionEvent {
    SessionEvent {
        id: FieldText::new(id),
        version: 1,
        kind,
        org: "Acme".into(),
        repo: repo.into(),
        repo_id,
        member: Member::account(member, None, false),
        occurred_at: at(when),
        collected_at: at(when),
        retracted: false,
        reading: 1,
        agent: CodingAgent::Claude,
        session: FieldText::new(&format!("session of {member}")),
        facts,
    }
}

fn events() -> Vec<SessionEvent> {
    let (site, tools) = (("Site", 1), ("tools", 2));
    let response = |model: &str, output: i64| SessionFacts {
        model: Some(FieldText::new(model)),
        branch: Some(FieldText::new("main")),
        output_tokens: Some(output),
        ..SessionFacts::default()
    };
    let call = |outcome| SessionFacts {
        tool: Some(FieldText::new("Bash")),
        outcome: Some(outcome),
        additions: Some(3),
        ..SessionFacts::default()
    };
    let session = |start: &str| SessionFacts {
        started_at: Some(at(start)),
        prompts: Some(2),
        active: Some(vec![ActiveQuarter { at: at(start), active_ms: 300_500 }]),
        ..SessionFacts::default()
    };
    use SessionEventKind::{AgentResponse, AgentSession, AgentToolCall};
    let (first, second) = ("2024-02-28T10:00:00Z", "2024-03-04T10:00:00Z");
    vec![
        event(AgentSession, "s1", site, "Ann", second, session(second)),
        event(AgentSession, "s2", tools, "bob", first, session(first)),
        event(AgentResponse, "r1", site, "Ann", second, response("claude-opus-4-6", 1_001)),
        event(AgentResponse, "r2", tools, "bob", first, response("claude-opus-4-6", 500)),
        event(AgentResponse, "r3", tools, "bob", "2024-03-05T10:00:00Z", response("house", 7)),
        event(AgentToolCall, "c1", site, "Ann", second, call(ToolOutcome::Error)),
        event(AgentToolCall, "c2", site, "Ann", second, call(ToolOutcome::Ok)),
    ]
}

/// Returns the API of an organization with sessions, and counts what is read of its store.
async fn api() -> (Router, CountingStore) {
    let data = acme::data().await;
    gam_lake::sessions::put(&*data.objects, "Acme", events()).await.expect("the sessions are written");
    aggregate_sessions(&data.aggregate_ports(), "acme").await.expect("they are aggregated");
    let store = CountingStore::new(&data);
    (gam_http::router(store.query_ports(&data)), store)
}

async fn json_of(api: &Router, path: &str) -> Value {
    let answer = get(api, path).await;
    assert_eq!(answer.status, 200, "{path}: {answer:?}");
    serde_json::from_str(answer.text()).expect("JSON")
}

/// Returns the rows of CSV as objects of text.
fn csv_rows(text: &str) -> Vec<Value> {
    let mut lines = text.lines();
    let header: Vec<&str> = lines.next().expect("a header").split(',').collect();
    let row = |line: &str| {
        let cells = header.iter().map(|name| (*name).to_owned()).zip(line.split(',').map(Value::from));
        Value::Object(cells.collect())
    };
    lines.map(row).collect()
}

#[tokio::test]
async fn an_export_has_the_numbers_of_metrics_and_lists() {
    let (api, _) = api().await;
    let (march, range) = ("since=2024-03-01&until=2024-04-01", "since=2024-02-01&until=2024-04-01");
    for bots in ["auto", "include", "only"] {
        let query = format!("{range}&granularity=month&bots={bots}");
        let rows = get(&api, &format!("{AGENTS}/export.ndjson?{query}")).await;
        assert_eq!(rows.header("content-disposition"), "attachment; filename=\"Acme-agents.ndjson\"");
        let rows: Vec<Value> =
            rows.text().lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
        let of_march = |level: &str| -> Vec<&Value> {
            let is_row = |row: &&Value| row["level"] == level && row["start"] == "2024-03-01";
            rows.iter().filter(is_row).collect()
        };
        let metrics = json_of(&api, &format!("{AGENTS}/metrics?{march}&bots={bots}")).await;
        let [org] = of_march("org")[..] else { panic!("{rows:?}") };
        for metric in AGENT_CATALOGUE {
            assert_eq!(org[metric.name], metrics["metrics"][metric.name], "{} {bots}", metric.name);
        }
        for level in ["repo", "member"] {
            let list = json_of(&api, &format!("{AGENTS}?by={level}&{march}&bots={bots}")).await;
            let entries = list["entries"].as_array().expect("entries");
            assert_eq!(of_march(level).len(), entries.len(), "{bots}");
            for entry in entries {
                let is_row = |row: &&&Value| row["name"] == entry[level];
                let rows = of_march(level);
                let row = rows.iter().find(is_row).expect("a row of each entry");
                for metric in AGENT_CATALOGUE {
                    assert_eq!(row[metric.name], entry["metrics"][metric.name], "{}", metric.name);
                }
            }
        }
        let csv = get(&api, &format!("{AGENTS}/export.csv?{query}")).await;
        let csv = csv_rows(csv.text());
        assert_eq!(csv.len(), rows.len());
        for (cells, row) in csv.iter().zip(&rows) {
            let text = |value: &Value| match value {
                Value::Null => String::new(),
                Value::String(text) => text.clone(),
                value => value.to_string(),
            };
            for name in ["level", "name", "id", "start", "agent_cost_usd", "agent_tool_error_rate"] {
                assert_eq!(cells[name], text(&row[name]), "{name}");
            }
            assert_eq!(cells["agent_session_hours_p50"], text(&row["agent_session_hours"]["p50"]));
        }
    }
    let csv = get(&api, &format!("{AGENTS}/export.csv?{range}&granularity=month")).await;
    let first_cells = |line: &str| line.split(',').take(4).collect::<Vec<_>>().join(",");
    let rows: Vec<String> = csv.text().lines().skip(1).map(first_cells).collect();
    assert_eq!(
        rows,
        [
            "org,Acme,,2024-02-01",
            "org,Acme,,2024-03-01",
            "repo,tools,2,2024-02-01",
            "repo,Site,1,2024-03-01",
            "repo,tools,2,2024-03-01",
            "member,bob,,2024-02-01",
            "member,Ann,,2024-03-01",
            "member,bob,,2024-03-01",
        ]
    );
}

#[tokio::test]
async fn metrics_and_lists_are_compared_with_the_days_before() {
    let (api, _) = api().await;
    let query = "since=2024-03-02&until=2024-03-06&compare=previous";
    let metrics = json_of(&api, &format!("{AGENTS}/metrics?{query}")).await;
    assert_eq!(
        (&metrics["previous"]["since"], &metrics["previous"]["until"]),
        (&json!("2024-02-27"), &json!("2024-03-02"))
    );
    assert_eq!(metrics["metrics"]["agent_tokens_output"], 1_008);
    assert_eq!(metrics["previous"]["metrics"]["agent_tokens_output"], 500);
    let change = &metrics["change"];
    assert_eq!(change["agent_tokens_output"], json!({ "difference": 508, "relative": 508.0 / 500.0 }));
    assert_eq!(change["agent_tool_error_rate"], json!({ "difference": null, "relative": null }));
    assert_eq!(change["agent_session_hours"]["count"]["difference"], 0);
    let before = json_of(&api, &format!("{AGENTS}/metrics?since=2024-02-27&until=2024-03-02")).await;
    assert_eq!(metrics["previous"]["metrics"], before["metrics"]);
    assert!(before.get("previous").is_none() && before.get("change").is_none());

    let list = json_of(&api, &format!("{AGENTS}?by=member&sort=agent_tokens_output&{query}")).await;
    let entries = list["entries"].as_array().expect("entries");
    let outputs: Vec<_> = entries
        .iter()
        .map(|entry| (&entry["member"], &entry["change"]["agent_tokens_output"]["difference"]))
        .collect();
    assert_eq!(outputs, [(&json!("Ann"), &json!(1_001)), (&json!("bob"), &json!(7 - 500))]);
    let models = json_of(&api, &format!("{AGENTS}?by=model&{query}")).await;
    assert_eq!(models["entries"][0]["previous"]["metrics"]["agent_responses"], 1);
    let csv = get(&api, &format!("{AGENTS}.csv?by=model&{query}")).await;
    assert_eq!(csv_rows(csv.text())[0]["agent_responses_previous"], "1");
    let csv = get(&api, &format!("{AGENTS}/metrics.csv?{query}")).await;
    assert_eq!(csv_rows(csv.text())[0]["agent_tokens_output_difference"], "508");
    let early =
        json_of(&api, &format!("{AGENTS}/metrics?since=1970-01-01&until=1970-01-05&compare=previous")).await;
    assert_eq!((&early["previous"], &early["change"]), (&Value::Null, &Value::Null));
    get(&api, &format!("{AGENTS}/prs?compare=previous")).await.problem(400, "INVALID_ARGUMENT");
}

#[tokio::test]
async fn every_metric_of_sessions_has_a_chart() {
    let (api, _) = api().await;
    for metric in AGENT_CATALOGUE {
        for subject in ["", "/repos/site", "/members/ann"] {
            let path = format!("/api/v1/orgs/acme{subject}/charts/{}.svg", metric.name);
            let chart = get(&api, &path).await;
            assert_eq!(
                (chart.status.as_u16(), chart.header("content-type")),
                (200, "image/svg+xml"),
                "{path}"
            );
        }
    }
    let range = "since=2024-03-01&until=2024-03-09&granularity=week";
    let path = format!("/api/v1/orgs/acme/repos/site/charts/agent_tool_calls.svg?{range}");
    let chart = get(&api, &path).await;
    assert!(chart.text().contains("<title>Tool calls · Acme/Site</title>"), "{}", chart.text());
    assert!(chart.text().contains("total 2, most 2"), "{}", chart.text());
    get(&api, "/api/v1/orgs/acme/charts/agent_dreams.svg").await.problem(404, "NOT_FOUND");
}

#[tokio::test]
async fn a_page_reads_the_store_once() {
    let (api, store) = api().await;
    let before = store.item_reads();
    let page = get(&api, "/orgs/acme/agents?since=2024-03-01&until=2024-03-09").await;
    assert_eq!(page.status, 200);
    let text = page.text();
    for part in ["data-metric=\"agent_sessions\"", "claude-opus-4-6", "Bash", "data-class=\"linked\""] {
        assert!(text.contains(part), "{part}: {text}");
    }
    // Days of sessions, days of activity, and classes of pull requests.
    assert_eq!(store.item_reads() - before, 3);
}
