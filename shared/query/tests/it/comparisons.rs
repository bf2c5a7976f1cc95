//! Comparisons with the range before, and series of several metrics, compared with separate answers.

use std::sync::Arc;

use gam_model::Grain;
use gam_query::{
    BotFilter, Change, ListRequest, Listing, MetricChange, MetricChanges, MetricValues, QueryError,
    QueryPorts, SubjectRef,
};
use gam_store::MemoryStore;

use crate::support::{Cell, ORG, list_request, metric, ports, range, store_of};

fn cells() -> Vec<Cell> {
    vec![
        Cell::new("2024-01-05", 0, 0, 3),
        Cell::new("2024-01-31", 1, 0, 2),
        Cell::new("2024-02-01", 0, 0, 7),
        Cell::new("2024-02-10", 2, 1, 4),
        Cell::new("2024-02-20", 0, 1, 1),
    ]
}

async fn cell_ports() -> QueryPorts {
    let store: MemoryStore = store_of(&cells()).await;
    ports(&store, Arc::new(store.clone()))
}

fn commits(values: &MetricValues) -> serde_json::Value {
    serde_json::to_value(values).unwrap()["commits"].clone()
}

fn commits_change(changes: &MetricChanges) -> Change<i64> {
    match changes.0.iter().find(|(name, _)| *name == "commits") {
        Some((_, MetricChange::Count(change))) => *change,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn metrics_are_compared_with_the_days_before() {
    let ports = cell_ports().await;
    for subject in [SubjectRef::Org, SubjectRef::repo("site"), SubjectRef::Member("ann".to_owned())] {
        let (february, before) = (range("2024-02-01", "2024-03-01"), range("2024-01-03", "2024-02-01"));
        let plain =
            async |range| gam_query::metrics(&ports, ORG, &subject, range, BotFilter::Auto).await.unwrap();
        let compared =
            gam_query::compared_metrics(&ports, ORG, &subject, february, BotFilter::Auto).await.unwrap();
        let (present, past) = (plain(february).await, plain(before).await);
        assert_eq!((present.previous, present.change), (None, None));
        assert_eq!(compared.metrics, present.metrics, "{subject:?}");
        let previous = compared.previous.unwrap().unwrap();
        assert_eq!((previous.range.since, previous.range.until), (before.since(), before.until()));
        let in_catalogue = previous.values.metrics.0.len();
        assert_eq!(previous.values.metrics.0, past.metrics.0[..in_catalogue], "{subject:?}");
        let change = compared.change.unwrap().unwrap();
        assert_eq!(change.0.len(), in_catalogue);
        let difference =
            commits(&present.metrics).as_i64().unwrap() - commits(&past.metrics).as_i64().unwrap();
        assert_eq!(commits_change(&change).difference, difference, "{subject:?}");
    }
}

#[tokio::test]
async fn a_range_from_the_first_day_has_no_comparison() {
    let ports = cell_ports().await;
    let everything = range("1970-01-01", "2025-01-01");
    let compared = gam_query::compared_metrics(&ports, ORG, &SubjectRef::Org, everything, BotFilter::Auto)
        .await
        .unwrap();
    assert_eq!((compared.previous, compared.change), (Some(None), Some(None)));
    let request =
        ListRequest { compare: true, ..list_request(Listing::Members, everything, BotFilter::Auto) };
    let page = gam_query::list(&ports, ORG, &request).await.unwrap();
    assert_eq!(page.previous, Some(None));
    assert!(page.entries.iter().all(|entry| entry.previous.is_none() && entry.change.is_none()));
}

#[tokio::test]
async fn entries_are_compared_with_the_days_before() {
    let ports = cell_ports().await;
    let entries = async |listing| {
        let request = list_request(listing, range("2024-02-01", "2024-03-01"), BotFilter::Include);
        let request = ListRequest { compare: true, ..request };
        let page = gam_query::list(&ports, ORG, &request).await.unwrap();
        let previous = page.previous.unwrap().unwrap();
        assert_eq!(previous.since.to_string(), "2024-01-03");
        let entries = page.entries.into_iter().map(|entry| {
            let change = commits_change(&entry.change.unwrap());
            let previous = commits(&entry.previous.unwrap().metrics).as_u64().unwrap();
            (entry.member.or(entry.repo).unwrap(), previous, change.difference, change.relative)
        });
        entries.collect::<Vec<_>>()
    };
    let entry =
        |name: &str, previous, difference, relative| (name.to_owned(), previous, difference, relative);
    assert_eq!(
        entries(Listing::Members).await,
        [entry("Ann", 3, 5, Some(5.0 / 3.0)), entry("ci[bot]", 0, 4, None)]
    );
    assert_eq!(entries(Listing::Repos).await, [entry("Site", 5, 2, Some(0.4)), entry("tools", 0, 5, None)]);
    let members_of_site = Listing::RepoMembers { name: "site".to_owned(), id: None };
    assert_eq!(entries(members_of_site).await, [entry("Ann", 3, 4, Some(4.0 / 3.0))]);
    let repos_of_ann = Listing::MemberRepos("ann".to_owned());
    assert_eq!(
        entries(repos_of_ann).await,
        [entry("Site", 3, 4, Some(4.0 / 3.0)), entry("tools", 0, 1, None)]
    );
}

#[tokio::test]
async fn a_series_of_metrics_has_the_values_of_their_own_series() {
    let ports = cell_ports().await;
    let (range, bots) = (range("2024-01-20", "2024-02-15"), BotFilter::Include);
    for subject in [SubjectRef::Org, SubjectRef::repo("tools"), SubjectRef::Member("bob".to_owned())] {
        let metrics = ["active_members", "commits", "cycle_time_hours"].map(metric);
        let several = gam_query::series_of_metrics(&ports, ORG, &subject, &metrics, Grain::Week, range, bots)
            .await
            .unwrap();
        assert_eq!(several.metrics, ["active_members", "commits", "cycle_time_hours"]);
        for (index, metric) in metrics.into_iter().enumerate() {
            let one =
                gam_query::series(&ports, ORG, &subject, metric, Grain::Week, range, bots).await.unwrap();
            let expected: Vec<_> =
                one.points.iter().map(|point| (point.start, point.end, point.value, point.partial)).collect();
            let points = several.points.iter();
            let actual: Vec<_> = points
                .map(|point| (point.start, point.end, point.values.0[index].1, point.partial))
                .collect();
            assert_eq!(actual, expected, "{subject:?} {}", metric.name);
        }
    }
}

#[tokio::test]
async fn each_value_of_a_series_of_metrics_is_a_point() {
    let ports = cell_ports().await;
    // 10,000 days.
    let range = range("1970-01-01", "1997-05-19");
    let series = async |names: &[&str]| {
        let metrics: Vec<_> = names.iter().map(|name| metric(name)).collect();
        let answer = gam_query::series_of_metrics(
            &ports,
            ORG,
            &SubjectRef::Org,
            &metrics,
            Grain::Day,
            range,
            BotFilter::Auto,
        );
        answer.await.map(|answer| answer.points.len())
    };
    assert_eq!(series(&["commits", "reviews"]).await.unwrap(), 10_000);
    match series(&["commits", "reviews", "deploys"]).await {
        Err(QueryError::Invalid(message)) => {
            assert!(message.contains("30000 points (10000 for each of 3 metrics)"), "{message}");
        }
        other => panic!("{other:?}"),
    }
}
