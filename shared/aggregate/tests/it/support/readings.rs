//! Readings of the results of aggregations, for comparison.

use gam_model::metric::CATALOGUE;
use gam_model::period::{FIRST_DAY, LAST_DAY};
use gam_model::{Grain, Range, SubjectKind};
use gam_query::{BotFilter, ListKind, ListRequest, QueryError, SortDirection, SubjectRef};
use gam_store::RollupStore;

use super::events::members;
use super::{ORG, Ports, TestData, day};

/// Returns everything the API answers about the organization, as one text. `complete_since` and
/// `complete_until` are null, because they follow from the collection.
pub(crate) async fn all_answers(ports: &Ports) -> String {
    let mut text =
        format!("{}\n", serde_json::to_string(&gam_query::orgs(&ports.query).await.unwrap()).unwrap());
    let ranges = [("2025-01-01", "2025-03-01"), ("2025-01-25", "2025-02-07")];
    let mut subjects = vec![SubjectRef::Org, SubjectRef::repo("repo-1"), SubjectRef::repo("repo-2")];
    subjects.extend(members().into_iter().map(|member| SubjectRef::Member(member.name)));
    for (since, until) in ranges {
        let range = Range::new(day(since), day(until)).unwrap();
        for bots in [BotFilter::Auto, BotFilter::Exclude, BotFilter::Only] {
            for subject in &subjects {
                text += &to_line(gam_query::metrics(&ports.query, ORG, subject, range, bots).await);
                let metrics = if *subject == SubjectRef::Org { CATALOGUE } else { &CATALOGUE[..1] };
                for grain in Grain::ALL {
                    for metric in metrics {
                        text += &to_line(
                            gam_query::series(&ports.query, ORG, subject, metric, grain, range, bots).await,
                        );
                    }
                }
            }
            for kind in [ListKind::Members, ListKind::Repos] {
                let request = ListRequest {
                    kind,
                    range,
                    has_default_range: false,
                    bots,
                    sort: &CATALOGUE[0],
                    direction: SortDirection::Desc,
                    limit: 50,
                    cursor: None,
                };
                text += &to_line(gam_query::list(&ports.query, ORG, &request).await);
            }
        }
    }
    text
}

fn to_line<T: serde::Serialize>(answer: Result<T, QueryError>) -> String {
    match answer {
        Ok(answer) => serde_json::to_string(&answer).unwrap() + "\n",
        Err(QueryError::NotFound(why)) => format!("not found: {why}\n"),
        Err(error) => panic!("{error}"),
    }
}

/// Returns each month's rows as `month id version retracted`. Checks that each marker matches its
/// snapshot.
pub(crate) async fn snapshot_rows(data: &TestData) -> Vec<String> {
    let mut rows = Vec::new();
    for month in gam_lake::snapshot::months(&*data.objects, ORG).await.unwrap() {
        let snapshot = gam_lake::snapshot::read(&*data.objects, ORG, month).await.unwrap().unwrap();
        let marker = data.store.marker(&ORG.to_lowercase(), month).await.unwrap().expect("a marker");
        assert_eq!(
            marker.generation, snapshot.stamp.generation,
            "the marker of {month} has the generation of its snapshot"
        );
        assert_eq!(marker.logic.identity, snapshot.stamp.identity, "a generation belongs to one logic");
        for batch in &snapshot.batches {
            for event in gam_lake::schema::decode(batch).unwrap() {
                rows.push(format!("{month} {} {} {}", event.id, event.version, event.retracted));
            }
        }
    }
    rows
}

/// Returns the stored rollups that readers count and that are not empty.
pub(crate) async fn stored_bodies(data: &TestData) -> Vec<String> {
    let org = &ORG.to_lowercase();
    let markers = data.store.markers(org).await.unwrap();
    let mut bodies = Vec::new();
    for kind in SubjectKind::ALL {
        for grain in Grain::ALL {
            let stored = data.store.range_of_kind(org, kind, grain, FIRST_DAY, LAST_DAY).await.unwrap();
            let counted = stored.into_iter().filter(|(key, rollup)| {
                markers.iter().any(|marker| marker.month == key.month && marker.should_count(rollup))
            });
            let filled = counted.filter(|(_, rollup)| rollup.body != "{}");
            bodies.extend(filled.map(|(key, rollup)| format!("{key:?} {}", rollup.body)));
        }
    }
    bodies
}
