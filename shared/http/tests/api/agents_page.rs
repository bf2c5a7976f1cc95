//! The page of agents: its numbers are those of the API that it links to.

use gam_aggregate::aggregate_sessions;
use gam_lake::sessions;
use gam_model::{CodingAgent, FieldText, Member, SessionEvent, SessionEventKind, SessionFacts};

use crate::pages::{attributes, resolve};
use crate::support::{TestData, acme, get};

/// Models with a price, and one without.
const MODELS: [&str; 9] = [
    "claude-opus-4-1",
    "claude-opus-4",
    "claude-sonnet-4-5",
    "claude-sonnet-4",
    "claude-haiku-4-5",
    "claude-3-7-sonnet",
    "gpt-5",
    "gpt-5-codex",
    "nobody-knows",
];

pub(crate) const PAGE: &str = "/orgs/acme/agents?since=2024-03-01&until=2024-03-11";

fn response(number: usize, model: &str) -> SessionEvent {
    let (tokens, time) = (1_000_000 * (number as i64 + 1), "2024-03-04T12:00:00Z".parse().expect("a time"));
    SessionEvent {
        id: FieldText::new(&format!("r{number}")),
        version: 1,
        kind: SessionEventKind::AgentResponse,
        org: "Acme".to_owned(),
        repo: "Site".to_owned(),
        repo_id: 1,
        member: Member::account("Ann", Some(11), false),
        occurred_at: time,
        collected_at: time,
        retracted: false,
        reading: 1,
        agent: CodingAgent::Claude,
        session: FieldText::new("s1"),
        facts: SessionFacts {
            model: Some(FieldText::new(model)),
            input_tokens: Some(tokens),
            output_tokens: Some(tokens),
            is_final: Some(true),
            ..SessionFacts::default()
        },
    }
}

/// "Acme", of which Ann used all models on one day.
pub(crate) async fn data() -> TestData {
    let data = acme::data().await;
    let events = MODELS.iter().enumerate().map(|(number, model)| response(number, model)).collect();
    sessions::put(&*data.objects, "acme", events).await.expect("the sessions are written");
    aggregate_sessions(&data.aggregate_ports(), "acme").await.expect("they are aggregated");
    data
}

/// Returns the columns of the table below the chart of costs that are not zero: names and sums in dollars.
fn costs_of_page(html: &str) -> Vec<(String, f64)> {
    let figure =
        html.split("id=\"cost\"").nth(1).and_then(|rest| rest.split("</figure>").next()).expect("a chart");
    let texts = |html: &str, tag: &str| -> Vec<String> {
        let cells = html.split(tag).skip(1).filter_map(|rest| rest.split('<').next());
        cells.map(str::to_owned).collect()
    };
    let names = texts(figure, "<th class=\"number\" scope=\"col\">");
    let cells = texts(figure, "<td class=\"number\">");
    let dollars =
        |cell: &String| cell.trim_start_matches('$').replace(',', "").parse::<f64>().unwrap_or_default();
    let sum = |column: usize| cells.iter().skip(column).step_by(names.len()).map(dollars).sum();
    names.iter().enumerate().map(|(column, name)| (name.clone(), sum(column))).collect()
}

/// The axis of costs says that they are dollars, on the page and in the chart of the API.
#[tokio::test]
async fn the_axis_of_costs_is_in_dollars() {
    let api = data().await.api();
    let page = get(&api, PAGE).await;
    let figure = page.text().split("id=\"cost\"").nth(1).and_then(|rest| rest.split("</figure>").next());
    let chart = "/api/v1/orgs/acme/charts/agent_cost_usd.svg?since=2024-03-01&until=2024-03-11";
    let alone = get(&api, chart).await;
    assert_eq!(alone.status, 200, "{alone:?}");
    for svg in [figure.expect("a chart"), alone.text()] {
        let labels: Vec<&str> =
            svg.split("<text").skip(1).filter_map(|rest| rest.split(['>', '<']).nth(1)).collect();
        assert!(labels.contains(&"$0"), "{labels:?}");
        assert!(labels.iter().filter(|label| label.starts_with('$')).count() > 2, "{labels:?}");
    }
}

#[tokio::test]
async fn the_chart_of_costs_links_to_the_same_numbers() {
    let api = data().await.api();
    let page = get(&api, PAGE).await;
    assert_eq!(page.status, 200, "{page:?}");
    let links = attributes(page.text(), "href");
    let link = links.iter().find(|link| link.contains("/agents/metrics/timeseries.csv")).expect("a link");
    let answer = get(&api, &resolve(PAGE, link)).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let mut of_api: Vec<(String, f64)> = Vec::new();
    for record in answer.text().lines().skip(1) {
        let cells: Vec<&str> = record.split(',').collect();
        let (name, value) = (cells[0], cells.last().expect("a value").parse::<f64>().unwrap_or_default());
        match of_api.iter_mut().find(|(it, _)| it == name) {
            Some((_, sum)) => *sum += value,
            None => of_api.push((name.to_owned(), value)),
        }
    }
    let of_page = costs_of_page(page.text());
    assert_eq!(of_page.len(), 7, "six models, and the others: {of_page:?}");
    assert_eq!(of_page.len(), of_api.len(), "{of_page:?} {of_api:?}");
    for ((page_name, page_sum), (api_name, api_sum)) in of_page.iter().zip(&of_api) {
        assert_eq!(page_name, if api_name.is_empty() { "other" } else { api_name }, "{of_page:?} {of_api:?}");
        assert!((page_sum - api_sum).abs() < 0.01, "{page_name}: {page_sum} {api_sum}");
    }
}

#[tokio::test]
async fn a_model_without_a_price_has_no_cost() {
    let api = data().await.api();
    let page = get(&api, PAGE).await;
    let models = page.text().split("id=\"models\"").nth(1).expect("a table of models");
    let row = models.split("<tr>").find(|row| row.contains("nobody-knows")).expect("a row");
    let cells: Vec<&str> =
        row.split("<td").skip(1).filter_map(|cell| cell.split(['>', '<']).nth(1)).collect();
    assert_eq!(cells[5..7], ["–", "18,000,000"], "{row}");

    let of_api = "/api/v1/orgs/acme/agents?by=model&since=2024-03-01&until=2024-03-11&limit=1000";
    let answer = get(&api, of_api).await.json();
    let entries = answer["entries"].as_array().expect("entries");
    assert_eq!(entries.last().expect("an entry")["model"], "nobody-knows", "what has no cost is last");
    for entry in entries {
        let is_unpriced = entry["model"] == "nobody-knows";
        assert_eq!(entry["metrics"]["agent_cost_usd"].is_null(), is_unpriced, "{entry}");
        assert_eq!(entry["metrics"]["agent_unpriced_tokens"] != 0, is_unpriced, "{entry}");
    }
    let series = "/api/v1/orgs/acme/agents/metrics/timeseries?metric=agent_cost_usd&by=model&parts=20&granularity=week&since=2024-03-01&until=2024-03-11";
    let series = get(&api, series).await.json();
    let parts = series["series"].as_array().expect("parts");
    let unpriced = parts.iter().find(|part| part["model"] == "nobody-knows").expect("a part");
    let values: Vec<_> =
        unpriced["points"].as_array().expect("points").iter().map(|it| &it["value"]).collect();
    assert_eq!(values, [&serde_json::json!(0.0), &serde_json::json!(null)], "only one week has tokens");
}
