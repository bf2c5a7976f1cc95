//! Session events are merged into their months, and a fact is in one of them.

use chrono::{DateTime, TimeDelta, Utc};
use gam_aggregate::{
    AggregateOptions, ForgetPorts, ForgetStorePorts, MonthTask, aggregate, aggregate_sessions, fold_month,
    forget_org, plan_months,
};
use gam_lake::snapshot;
use gam_lake::{ObjectStore, Sessions, Table, sessions};
use gam_model::agent_price::ConfiguredPrice;
use gam_model::{
    AgentMetric, CodingAgent, Event, EventBatch, EventId, EventKind, Facts, FieldText, Identity, Member,
    Month, PriceSettings, Range, SessionEvent, SessionEventKind, SessionFacts,
};
use gam_query::{AgentListRequest, AgentListing, AgentMetricsRequest, BotFilter, SortDirection, SubjectRef};
use gam_store::keys::rollup_owner;
use gam_store::{Epoch, RollupStore};
use serde_json::{Value, json};

use crate::support::{Ports, TestData, active_epoch};

const ORG: &str = "acme";

pub(crate) fn time(text: &str) -> DateTime<Utc> {
    DateTime::parse_from_rfc3339(text).unwrap().to_utc()
}

pub(crate) fn response(id: &str, at: &str, output: i64) -> SessionEvent {
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
pub(crate) async fn merge(data: &TestData, events: &[SessionEvent]) -> usize {
    sessions::put(&*data.objects, ORG, events.to_vec()).await.unwrap();
    aggregate_sessions(&data.ports().await.aggregate, ORG).await.unwrap().changed_rows
}

/// Returns the live rows: month, id and output tokens.
pub(crate) async fn live_rows(data: &TestData) -> Vec<(String, String, i64)> {
    let (objects, mut rows) = (&*data.objects, Vec::new());
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
        let data = TestData::default();
        for event in order {
            assert!(merge(&data, std::slice::from_ref(event)).await > 0);
        }
        assert_eq!(live_rows(&data).await, expected);
        for event in order {
            merge(&data, std::slice::from_ref(event)).await;
        }
        assert_eq!(live_rows(&data).await, expected, "again");
        assert_eq!(merge(&data, &[early.clone(), late.clone()]).await, 0);
    }
}

#[tokio::test]
async fn months_away_from_the_edge_are_not_looked_up() {
    let data = TestData::default();
    let events = [response("r1", "2026-03-15T12:00:00Z", 5), response("r2", "2026-04-15T12:00:00Z", 6)];
    assert_eq!(merge(&data, &events).await, 2);
    assert_eq!(merge(&data, &events).await, 0);
    let rows = live_rows(&data).await;
    assert_eq!(rows.iter().map(|row| row.0.as_str()).collect::<Vec<_>>(), ["2026-03", "2026-04"]);
}

#[tokio::test]
async fn batches_are_deleted_after_their_months_are_written() {
    let data = TestData::default();
    merge(&data, &[response("r1", "2026-03-15T12:00:00Z", 5)]).await;
    let report = aggregate_sessions(&data.ports().await.aggregate, ORG).await.unwrap();
    assert_eq!((report.batches, report.changed_rows), (0, 0));
    assert!(gam_lake::inbox::list::<Sessions>(&*data.objects, ORG).await.unwrap().is_empty());
}

fn range(since: &str, until: &str) -> Range {
    Range::new(since.parse().unwrap(), until.parse().unwrap()).unwrap()
}

fn spring() -> Range {
    range("2026-03-01", "2026-06-01")
}

pub(crate) fn metrics_request(subject: SubjectRef, bots: BotFilter) -> AgentMetricsRequest {
    AgentMetricsRequest { subject, range: spring(), bots, compare: false }
}

/// Returns the answer about sessions of the organization as JSON.
pub(crate) async fn metrics_json(ports: &Ports) -> Value {
    let request = metrics_request(SubjectRef::Org, BotFilter::Auto);
    let answer = gam_query::agent_metrics(&ports.query, ORG, &request).await;
    serde_json::to_value(answer.unwrap()).unwrap()
}

pub(crate) async fn prs_json(ports: &Ports) -> Value {
    let answer = gam_query::pr_classes(&ports.query, ORG, &SubjectRef::Org, spring(), BotFilter::Auto).await;
    serde_json::to_value(answer.unwrap()).unwrap()
}

/// Returns a merged pull request of the branch `fix`.
pub(crate) fn merged(at: &str) -> EventBatch {
    let at = time(at);
    let event = Event {
        id: EventId::pr_merged(7, 1),
        version: 1,
        kind: EventKind::PrMerged,
        org: ORG.into(),
        repo: "site".into(),
        repo_id: 7,
        member: Member::account("ann", None, false),
        occurred_at: at,
        collected_at: at,
        retracted: false,
        reading: 1,
        facts: Facts {
            number: Some(1),
            created_at: Some(at - TimeDelta::hours(3)),
            head_ref: Some("fix".into()),
            head_repo_id: Some(7),
            ..Facts::default()
        },
    };
    EventBatch::new(ORG, vec![event])
}

/// Returns the pull request as another one with this number and author.
fn by(pr: &Event, number: i64, author: &str) -> Event {
    let mut event = pr.clone();
    event.id = EventId::pr_merged(7, number);
    event.member = Member::account(author, None, author.ends_with("[bot]"));
    event.facts.number = Some(number);
    event
}

#[tokio::test]
async fn every_filter_of_bots_has_its_own_numbers_and_the_same_coverage() {
    let data = TestData::default();
    let ports = data.ports().await;
    let batch = merged("2026-04-02T10:00:00Z");
    let authors = ["ann", "bob", "cara", "renovate[bot]"];
    let prs = (1..).zip(authors).map(|(number, author)| by(&batch.events()[0], number, author));
    data.put(&[EventBatch::new(ORG, prs.collect())]).await;
    let mut of_bot = house_response("r3", "2026-04-01T12:00:00Z");
    of_bot.member = Member::account("renovate[bot]", None, true);
    let mut of_bob = house_response("r2", "2026-04-01T11:00:00Z");
    of_bob.member = Member::account("bob", None, false);
    merge(&data, &[house_response("r1", "2026-04-01T10:00:00Z"), of_bob, of_bot]).await;
    aggregate(&ports.aggregate, ORG, false, &()).await.unwrap();

    for (bots, responses, prs) in [
        (BotFilter::Auto, 2, 3),
        (BotFilter::Exclude, 2, 3),
        (BotFilter::Include, 3, 4),
        (BotFilter::Only, 1, 1),
    ] {
        for subject in [SubjectRef::Org, SubjectRef::repo("site")] {
            let request = metrics_request(subject.clone(), bots);
            let answer = gam_query::agent_metrics(&ports.query, ORG, &request).await.unwrap();
            let numbers = ["agent_responses", "agent_members"].map(|name| answer.metrics.number(name));
            assert_eq!(numbers, [Some(f64::from(responses)); 2], "{bots:?}");
            let classes = gam_query::pr_classes(&ports.query, ORG, &subject, spring(), bots).await.unwrap();
            assert_eq!(classes.prs, prs, "{bots:?}");
            for coverage in [answer.coverage.unwrap(), classes.coverage] {
                let of = (coverage.active_members_with_sessions, coverage.active_members);
                assert_eq!(of, (2, 3), "{bots:?}: coverage is about people");
            }
        }
        for (listing, entries) in [(AgentListing::Repos, 1), (AgentListing::Members, responses)] {
            let request = AgentListRequest {
                subject: SubjectRef::Org,
                listing,
                range: spring(),
                bots,
                sort: AgentMetric::named("agent_responses").unwrap(),
                direction: SortDirection::Desc,
                limit: 10,
                compare: false,
            };
            let list = gam_query::agent_list(&ports.query, ORG, &request).await.unwrap();
            let sum: f64 =
                list.entries.iter().filter_map(|entry| entry.metrics.number("agent_responses")).sum();
            assert_eq!((list.count, sum), (entries as u64, f64::from(responses)), "{bots:?} {listing:?}");
        }
    }
}

pub(crate) fn house_response(id: &str, at: &str) -> SessionEvent {
    let mut event = response(id, at, 10);
    event.facts.model = Some(FieldText::new("house"));
    event.facts.branch = Some(FieldText::new("fix"));
    event
}

#[tokio::test]
async fn batches_in_any_order_give_the_same_answers() {
    let batches = [
        vec![house_response("r1", "2026-03-31T23:59:58Z"), response("r2", "2026-03-02T10:00:00Z", 7)],
        vec![house_response("r1", "2026-04-01T00:00:03Z"), house_response("r3", "2026-04-20T10:00:00Z")],
        vec![response("r2", "2026-03-02T10:00:00Z", 3), house_response("r4", "2026-05-01T10:00:00Z")],
    ];
    let mut answers = Vec::new();
    for order in [[0, 1, 2], [2, 1, 0], [1, 0, 2]] {
        let data = TestData::default();
        let ports = data.ports().await;
        for (step, index) in order.into_iter().enumerate() {
            if step == 1 {
                data.put(&[merged("2026-05-02T10:00:00Z")]).await;
                aggregate(&ports.aggregate, ORG, false, &()).await.unwrap();
            }
            merge(&data, &batches[index]).await;
        }
        let answer = (metrics_json(&ports).await, prs_json(&ports).await);
        aggregate(&ports.aggregate, ORG, true, &()).await.unwrap();
        assert_eq!((metrics_json(&ports).await, prs_json(&ports).await), answer, "a rebuild changes nothing");
        answers.push(answer);
    }
    let (metrics, prs) = &answers[0];
    assert!(answers.iter().all(|answer| *answer == answers[0]));
    assert_eq!(metrics["metrics"]["agent_responses"], 4);
    assert_eq!(metrics["metrics"]["agent_tokens_output"], 10 + 7 + 10 + 10);
    assert_eq!(metrics["coverage"]["active_members_with_sessions"], 1);
    assert_eq!((&prs["prs"], &prs["prs_with_sessions"]), (&json!(1), &json!(1)));
    assert_eq!(prs["classes"][1]["prs"], 1, "r3 of April and r4 of May: {prs}");
    assert_eq!(prs["classes"][1]["unpriced_tokens"], 20);
}

#[tokio::test]
async fn a_new_price_reaches_history_and_changes_nothing_else() {
    let data = TestData::default();
    let ports = data.ports().await;
    data.put(&[merged("2026-04-02T10:00:00Z")]).await;
    merge(&data, &[house_response("r1", "2026-03-30T10:00:00Z")]).await;
    aggregate(&ports.aggregate, ORG, false, &()).await.unwrap();
    let before = metrics_json(&ports).await;
    assert_eq!(before["unpriced_models"], json!(["house"]));
    assert_eq!(before["metrics"]["agent_cost_usd"], json!(null), "a model without a price is not free");
    assert_eq!(prs_json(&ports).await["classes"][1]["cost_usd"]["count"], 0);
    assert_eq!(before["metrics"]["agent_unpriced_tokens"], 10);

    let price = ConfiguredPrice {
        model: "house".into(),
        from: None,
        input: 1.0,
        output: 500.0,
        cache_read: None,
        cache_write_5m: None,
        cache_write_1h: None,
    };
    let prices = PriceSettings::new(vec![price], Default::default()).unwrap();
    let ports = data.ports_with(Identity::default().with_prices(prices)).await;
    aggregate(&ports.aggregate, ORG, false, &()).await.unwrap();
    let mut after = metrics_json(&ports).await;
    assert_eq!(after["metrics"]["agent_cost_usd"], 0.005);
    assert_eq!(prs_json(&ports).await["classes"][1]["cost_usd"]["p50"], 0.005);
    for changed in ["agent_cost_usd", "agent_unpriced_tokens"] {
        after["metrics"][changed] = before["metrics"][changed].clone();
    }
    after["unpriced_models"] = before["unpriced_models"].clone();
    assert_eq!(after, before);

    data.clock.advance(TimeDelta::minutes(20));
    aggregate(&ports.aggregate, ORG, false, &()).await.unwrap();
    let rollups = &ports.aggregate.rollups;
    let mut owners_with_items = Vec::new();
    for table in ["events", "sessions", "pr-classes"] {
        let owner = rollup_owner(ORG, table);
        for epoch in [1, 2].map(Epoch) {
            let has_markers = !rollups.markers(&owner, epoch).await.unwrap().is_empty();
            owners_with_items.extend(has_markers.then_some((table, epoch.0)));
        }
    }
    assert_eq!(
        owners_with_items,
        [("events", 2), ("sessions", 2), ("pr-classes", 2)],
        "the old epoch is deleted"
    );
}

#[tokio::test]
async fn a_change_of_rules_waits_for_the_months_of_both_tables() {
    let data = TestData::default();
    let ports = data.ports().await;
    data.put(&[merged("2026-04-02T10:00:00Z")]).await;
    merge(&data, &[house_response("r1", "2026-03-30T10:00:00Z")]).await;
    aggregate(&ports.aggregate, ORG, false, &()).await.unwrap();
    let ports_after = data.ports_with(Identity::default().with_excluded_repos(["other".to_owned()])).await;
    let plan = plan_months(&ports_after.aggregate, ORG, false, &()).await.unwrap().unwrap();
    let months: Vec<String> = plan.months.iter().map(Month::to_string).collect();
    assert_eq!(months, ["2026-03", "2026-04"], "March has sessions only");
    let options = AggregateOptions::default();
    for month in [1, 0].map(|index| plan.months[index]) {
        let task = MonthTask { org: ORG.into(), epoch: plan.epoch, month, rebuild: false };
        let before = active_epoch(&data).await;
        fold_month(&ports_after.aggregate, &task, &options, &()).await.unwrap();
        let is_last = month == plan.months[0];
        assert_eq!(active_epoch(&data).await == before, !is_last, "{month}");
        assert_eq!(metrics_json(&ports).await["metrics"]["agent_responses"], 1);
    }
}

#[tokio::test]
async fn a_removed_organization_has_no_items_of_sessions() {
    let data = TestData::default();
    let ports = data.ports().await;
    data.put(&[merged("2026-04-02T10:00:00Z")]).await;
    merge(&data, &[house_response("r1", "2026-04-01T10:00:00Z")]).await;
    aggregate(&ports.aggregate, ORG, false, &()).await.unwrap();
    let rollups = &ports.aggregate.rollups;
    let has_items =
        async |table: &str| !rollups.markers(&rollup_owner(ORG, table), Epoch(1)).await.unwrap().is_empty();
    assert!(has_items("sessions").await && has_items("pr-classes").await);
    let store = ForgetStorePorts { orgs: &data.store, names: &data.store, checkpoints: &data.store };
    forget_org(ForgetPorts { objects: &*data.objects, store: Some(store) }, ORG).await.unwrap();
    assert!(!has_items("sessions").await && !has_items("pr-classes").await);
    assert!(snapshot::months::<Sessions>(&*data.objects, ORG).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_damaged_neighbour_of_a_months_edge_stops_nothing_else() {
    let data = TestData::default();
    merge(&data, &[response("a", "2026-02-10T00:00:00Z", 1)]).await;
    let path = gam_lake::paths::snapshot::<Sessions>(ORG, Month::parse("2026-02").unwrap());
    ObjectStore::delete(&*data.objects, &path).await.unwrap();
    data.objects.put_if_absent(&path, bytes::Bytes::from_static(b"no Parquet"), &[]).await.unwrap();
    // Near the end of January, so it may have a copy in February. GitHub's events are folded nevertheless.
    let late = response("b", "2026-01-31T23:00:00Z", 1);
    sessions::put(&*data.objects, ORG, vec![late]).await.unwrap();
    data.put(&[merged("2026-01-05T00:00:00Z")]).await;
    let ports = data.ports().await;
    let error = aggregate(&ports.aggregate, ORG, false, &()).await.unwrap_err();
    assert!(error.to_string().contains("month=2026-02"), "{error}");
    assert_eq!(
        gam_lake::inbox::list::<Sessions>(&*data.objects, ORG).await.unwrap().len(),
        1,
        "the batch waits"
    );
    let january = Month::parse("2026-01").unwrap();
    let marker = data.store.marker(ORG, Epoch(1), january).await.unwrap();
    assert!(marker.as_ref().is_some_and(|marker| marker.generation > 0), "{marker:?}");
}
