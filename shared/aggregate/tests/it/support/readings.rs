//! Readings of the results of aggregations, for comparison.

use gam_model::metric::CATALOGUE;
use gam_model::{Grain, Month, Range, WeekOfMonth};
use gam_query::{BotFilter, ListRequest, ListSort, Listing, QueryError, SortDirection, SubjectRef};
use gam_rollup::{ListItem, StoredForm};
use gam_store::{
    Checkpoint, CheckpointKey, Epoch, Head, ItemClass, ItemKey, RollupStore, Subject, SubjectKind,
};

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
            let repo_members = Listing::RepoMembers { name: "repo-1".to_owned(), id: None };
            let member_repos = Listing::MemberRepos(members()[0].name.clone());
            for listing in [Listing::Members, Listing::Repos, repo_members, member_repos] {
                let request = ListRequest {
                    listing,
                    range,
                    has_default_since: false,
                    has_default_until: false,
                    bots,
                    sort: ListSort::Metric(&CATALOGUE[0]),
                    direction: SortDirection::Desc,
                    name_filter: None,
                    limit: 50,
                    cursor: None,
                    compare: true,
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
    let epoch = active_epoch(data).await;
    for month in gam_lake::snapshot::months::<gam_lake::Events>(&*data.objects, ORG).await.unwrap() {
        let snapshot =
            gam_lake::snapshot::read::<gam_lake::Events>(&*data.objects, ORG, month).await.unwrap().unwrap();
        let marker = data.store.marker(&ORG.to_lowercase(), epoch, month).await.unwrap().expect("a marker");
        assert_eq!(
            marker.generation, snapshot.stamp.generation,
            "the marker of {month} has the generation of its snapshot"
        );
        assert_eq!(snapshot.stamp.epoch, epoch.0, "the snapshot of {month} belongs to the active epoch");
        for batch in &snapshot.batches {
            for event in gam_lake::schema::decode(batch).unwrap() {
                rows.push(format!("{month} {} {} {}", event.id, event.version, event.retracted));
            }
        }
    }
    rows
}

/// Returns the epoch that answers derive from.
pub(crate) async fn active_epoch(data: &TestData) -> Epoch {
    let head: Checkpoint<Head> =
        Checkpoint::load(&data.store, &CheckpointKey::Head(ORG.to_owned())).await.unwrap();
    head.value.active.expect("an active epoch").epoch
}

/// Returns the items that readers count and that are not empty, as their stored forms.
pub(crate) async fn stored_items(data: &TestData) -> Vec<(ItemKey, Vec<u8>)> {
    let epoch = active_epoch(data).await;
    let mut items = Vec::new();
    for marker in data.store.markers(ORG, epoch).await.unwrap() {
        let keys = keys_of_month(data, epoch, marker.month).await;
        let stored = data.store.get(ORG, epoch, &keys).await.unwrap().into_iter();
        let counted = stored.filter(|(_, item)| marker.should_count(item) && !item.body.is_empty());
        items.extend(counted.map(|(key, item)| (key, item.body)));
    }
    items
}

async fn keys_of_month(data: &TestData, epoch: Epoch, month: Month) -> Vec<ItemKey> {
    let mut keys = vec![ItemKey::new(ItemClass::Days(Subject::Org), month)];
    for kind in [SubjectKind::Repo, SubjectKind::Member] {
        let class = ItemClass::List(kind);
        for (key, item) in data.store.range(ORG, epoch, &class, month, month).await.unwrap() {
            keys.push(key);
            for entry in ListItem::decode(&item.body).unwrap().entries {
                let subject = entry.subject.subject();
                keys.push(ItemKey::new(ItemClass::Days(subject.clone()), month));
                keys.extend(WeekOfMonth::all().map(|week| ItemKey::breakdown(subject.clone(), month, week)));
            }
        }
    }
    keys
}
