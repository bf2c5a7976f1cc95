//! A small world of events, contexts over memory adapters, ports that can be held up or fail, and
//! everything the API would answer as one text.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use fastrand::Rng;
use gam_aggregate::{AggregatePorts, aggregate};
use gam_lake::{
    ETag, MemoryObjects, Object, ObjectMeta, ObjectPath, ObjectStore, PutIfAbsent, PutIfMatch, inbox,
};
use gam_model::metric::CATALOGUE;
use gam_model::period::{FIRST_DAY, LAST_DAY};
use gam_model::{
    Clock, Event, EventBatch, EventId, EventKind, Facts, FirstReview, Grain, Identity, Member, MemberKind,
    Month, Range, RollupKey, Subject, SubjectKind,
};
use gam_query::{BotFilter, ListKind, ListRequest, Order, QueryError, QueryPorts, SubjectRef};
use gam_store::{
    AdvanceOutcome, FoldScope, Logic, Marker, MemoryStore, NameEntry, NameKind, NameStore, PutOutcome,
    RollupStore, StoredRollup,
};

pub(crate) const ORG: &str = "Acme";

/// A clock that stands still.
pub(crate) struct Still;

impl Clock for Still {
    fn now(&self) -> DateTime<Utc> {
        day("2025-03-01").and_hms_opt(12, 0, 0).unwrap().and_utc()
    }
}

pub(crate) fn day(text: &str) -> NaiveDate {
    text.parse().unwrap()
}

/// The ports of both use cases over one world.
#[derive(Clone)]
pub(crate) struct Ports {
    pub(crate) aggregate: AggregatePorts,
    pub(crate) query: QueryPorts,
}

/// The state behind the ports.
#[derive(Clone, Default)]
pub(crate) struct World {
    pub(crate) objects: Arc<MemoryObjects>,
    pub(crate) store: MemoryStore,
}

impl World {
    pub(crate) fn ports(&self) -> Ports {
        self.ports_as(Identity::default())
    }

    pub(crate) fn ports_as(&self, identity: Identity) -> Ports {
        let (store, clock, identity) = (Arc::new(self.store.clone()), Arc::new(Still), Arc::new(identity));
        Ports {
            aggregate: AggregatePorts {
                objects: self.objects.clone(),
                rollups: store.clone(),
                names: store.clone(),
                clock: clock.clone(),
                identity: identity.clone(),
            },
            query: QueryPorts {
                rollups: store.clone(),
                names: store.clone(),
                checkpoints: store,
                clock,
                identity,
            },
        }
    }

    /// The same world, every call to whose lake and rollups first passes the gate.
    pub(crate) fn gated(&self, identity: Identity, gate: Arc<dyn Gate>) -> Ports {
        let objects = Arc::new(Gated { inner: self.objects.clone(), gate: gate.clone() });
        let store = Arc::new(Gated { inner: Arc::new(self.store.clone()), gate });
        let ports = self.ports_as(identity);
        Ports {
            aggregate: AggregatePorts {
                objects,
                rollups: store.clone(),
                names: store.clone(),
                ..ports.aggregate
            },
            query: QueryPorts { rollups: store.clone(), names: store, ..ports.query },
        }
    }

    pub(crate) async fn put(&self, batches: &[EventBatch]) {
        for batch in batches {
            inbox::put(&*self.objects, batch).await.unwrap();
        }
    }

    pub(crate) async fn aggregated(batches: &[EventBatch], identity: Identity) -> World {
        let world = World::default();
        world.put(batches).await;
        aggregate(&world.ports_as(identity).aggregate, ORG, false, &()).await.unwrap();
        world
    }
}

/// What every call to a port passes first.
#[async_trait]
pub(crate) trait Gate: Send + Sync {
    /// Lets the call go on, or fails it.
    async fn pass(&self, call: &str) -> Result<(), std::io::Error>;
}

struct Gated<P> {
    inner: Arc<P>,
    gate: Arc<dyn Gate>,
}

impl<P> Gated<P> {
    async fn lake(&self, call: &str) -> gam_lake::Result<()> {
        self.gate.pass(call).await.map_err(|error| gam_lake::Error::unavailable(call, error))
    }

    async fn store(&self, call: &str) -> gam_store::Result<()> {
        self.gate.pass(call).await.map_err(|error| gam_store::Error::unavailable(call, error))
    }
}

#[async_trait]
impl ObjectStore for Gated<MemoryObjects> {
    async fn get(&self, path: &ObjectPath) -> gam_lake::Result<Option<Object>> {
        self.lake("get").await?;
        self.inner.get(path).await
    }

    async fn get_tail(&self, path: &ObjectPath, length: u64) -> gam_lake::Result<Option<Bytes>> {
        self.lake("get_tail").await?;
        self.inner.get_tail(path, length).await
    }

    async fn list(&self, prefix: &str) -> gam_lake::Result<Vec<ObjectMeta>> {
        self.lake("list").await?;
        self.inner.list(prefix).await
    }

    async fn put_if_absent(
        &self,
        path: &ObjectPath,
        bytes: Bytes,
        metadata: &[(&'static str, String)],
    ) -> gam_lake::Result<PutIfAbsent> {
        self.lake("put_if_absent").await?;
        let put = self.inner.put_if_absent(path, bytes, metadata).await;
        self.lake("put_if_absent, done").await?;
        put
    }

    async fn put_if_match(
        &self,
        path: &ObjectPath,
        bytes: Bytes,
        etag: &ETag,
        metadata: &[(&'static str, String)],
    ) -> gam_lake::Result<PutIfMatch> {
        self.lake("put_if_match").await?;
        let put = self.inner.put_if_match(path, bytes, etag, metadata).await;
        self.lake("put_if_match, done").await?;
        put
    }

    async fn delete(&self, path: &ObjectPath) -> gam_lake::Result<()> {
        self.lake("delete").await?;
        self.inner.delete(path).await
    }
}

#[async_trait]
impl RollupStore for Gated<MemoryStore> {
    /// One at a time: they need not become visible together.
    async fn put(&self, org: &str, rollups: &[(RollupKey, StoredRollup)]) -> gam_store::Result<PutOutcome> {
        let mut outcome = PutOutcome::default();
        for rollup in rollups {
            self.store("put").await?;
            outcome.merge(self.inner.put(org, std::slice::from_ref(rollup)).await?);
        }
        Ok(outcome)
    }

    async fn range(
        &self,
        org: &str,
        subject: &Subject,
        grain: Grain,
        from: NaiveDate,
        to: NaiveDate,
    ) -> gam_store::Result<Vec<(RollupKey, StoredRollup)>> {
        self.store("range").await?;
        self.inner.range(org, subject, grain, from, to).await
    }

    async fn range_of_kind(
        &self,
        org: &str,
        kind: SubjectKind,
        grain: Grain,
        from: NaiveDate,
        to: NaiveDate,
    ) -> gam_store::Result<Vec<(RollupKey, StoredRollup)>> {
        self.store("across").await?;
        self.inner.range_of_kind(org, kind, grain, from, to).await
    }

    async fn marker(&self, org: &str, month: Month) -> gam_store::Result<Option<Marker>> {
        self.store("marker").await?;
        self.inner.marker(org, month).await
    }

    async fn markers(&self, org: &str) -> gam_store::Result<Vec<Marker>> {
        self.store("markers").await?;
        self.inner.markers(org).await
    }

    async fn advance(
        &self,
        org: &str,
        month: Month,
        logic: &Logic,
        generation: u64,
        scope: FoldScope,
    ) -> gam_store::Result<AdvanceOutcome> {
        self.store("advance").await?;
        self.inner.advance(org, month, logic, generation, scope).await
    }
}

#[async_trait]
impl NameStore for Gated<MemoryStore> {
    async fn put_names(&self, org: &str, entries: &[NameEntry]) -> gam_store::Result<()> {
        self.store("put_names").await?;
        self.inner.put_names(org, entries).await
    }

    async fn names(&self, org: &str, kind: NameKind) -> gam_store::Result<Vec<NameEntry>> {
        self.store("names").await?;
        self.inner.names(org, kind).await
    }

    async fn orgs(&self) -> gam_store::Result<Vec<String>> {
        self.store("orgs").await?;
        self.inner.orgs().await
    }
}

/// The members of the small world, as GitHub shows them.
pub(crate) fn cast() -> Vec<Member> {
    vec![
        Member::account("Ann", Some(1), false),
        Member::account("ben", Some(2), false),
        Member::account("ci-user", Some(3), false),
        Member::account("dependabot", Some(4), true),
        Member::commit_author(Some("Cy"), Some("cy@example.org")),
        Member::ghost(),
    ]
}

/// Another configuration than the empty one.
pub(crate) fn other_identity() -> Identity {
    let alias = (cast()[4].name.clone(), "ann".to_owned());
    Identity::new(["ci-user".to_owned()], [alias]).unwrap()
}

static TELLING: AtomicI64 = AtomicI64::new(0);

/// Some telling of the `n`-th fact of the small world: the id fixes kind, repository and time, while
/// the version fixes who is credited, how that is spelled, how much, and whether it still holds.
pub(crate) fn telling(rng: &mut Rng, n: u64) -> Event {
    let fixed = &mut Rng::with_seed(n * 7919 + 1);
    let kind = EventKind::ALL[fixed.usize(..EventKind::ALL.len())];
    let repo_id = fixed.i64(1..3);
    // Two months whose border cuts a week, so that weeks come in two parts.
    let at =
        day("2025-01-20").and_hms_opt(0, 0, 0).unwrap().and_utc() + TimeDelta::minutes(fixed.i64(0..31_000));
    let version = rng.i64(1..5);
    let told = &mut Rng::with_seed(n * 104_729 + version as u64);
    let cast = cast();
    let number = n as i64;
    let first_reviews = (0..told.usize(0..4))
        .map(|_| {
            let reviewer = &cast[told.usize(..cast.len())];
            let at = at - TimeDelta::minutes(told.i64(-30..3_000));
            FirstReview { member: reviewer.name.clone(), member_kind: reviewer.kind, at }
        })
        .collect();
    let co_authors = (0..told.usize(0..4)).map(|_| cast[told.usize(..cast.len())].name.clone()).collect();
    let mut event = Event {
        id: EventId::from_stored(format!("fact:{n}")),
        version,
        kind,
        org: ORG.into(),
        repo: format!("repo-{repo_id}"),
        repo_id,
        member: cast[told.usize(..cast.len())].clone(),
        occurred_at: at,
        collected_at: Still.now() + TimeDelta::milliseconds(TELLING.fetch_add(1, Ordering::Relaxed)),
        retracted: told.u8(..5) == 0,
        facts: Facts {
            sha: Some(format!("{n:040x}")),
            parents: Some(told.i32(0..3)),
            additions: (told.u8(..6) > 0).then(|| told.i64(0..500)),
            deletions: Some(told.i64(0..500)),
            files_changed: Some(told.i64(0..20)),
            number: Some(number),
            pr_member: Some(cast[told.usize(..cast.len())].name.clone()),
            created_at: Some(at - TimeDelta::minutes(told.i64(0..40_000))),
            merged_at: (kind == EventKind::PrMerged).then_some(at),
            first_reviews: (kind == EventKind::PrMerged).then_some(first_reviews),
            co_authors: (kind == EventKind::Commit).then_some(co_authors),
            ..Facts::default()
        },
    };
    // A login whose case was changed is the same member's.
    if event.member.kind == MemberKind::User && told.bool() {
        event.member.name = event.member.name.to_uppercase();
    }
    event
}

/// Batches of tellings of a few facts.
pub(crate) fn batches(rng: &mut Rng, facts: u64, batches: usize) -> Vec<EventBatch> {
    (0..batches)
        .map(|_| {
            let events = (0..rng.usize(1..6)).map(|_| {
                let n = rng.u64(..facts);
                telling(rng, n)
            });
            EventBatch::new(ORG, events.collect())
        })
        .collect()
}

/// Everything the API would answer about the small world, as one text. Up to when GitHub was read is
/// left out: it describes the collection.
pub(crate) async fn answers(ports: &Ports) -> String {
    let mut text =
        format!("{}\n", serde_json::to_string(&gam_query::orgs(&ports.query).await.unwrap()).unwrap());
    let ranges = [("2025-01-01", "2025-03-01"), ("2025-01-25", "2025-02-07")];
    let mut subjects =
        vec![SubjectRef::Org, SubjectRef::Repo("repo-1".into()), SubjectRef::Repo("repo-2".into())];
    subjects.extend(cast().into_iter().map(|member| SubjectRef::Member(member.name)));
    for (since, until) in ranges {
        let range = Range::new(day(since), day(until)).unwrap();
        for bots in [BotFilter::Exclude, BotFilter::Only] {
            for subject in &subjects {
                text += &told(gam_query::metrics(&ports.query, ORG, subject, range, bots).await);
                let metrics = if *subject == SubjectRef::Org { CATALOGUE } else { &CATALOGUE[..1] };
                for grain in Grain::ALL {
                    for metric in metrics {
                        text += &told(
                            gam_query::series(&ports.query, ORG, subject, metric, grain, range, bots).await,
                        );
                    }
                }
            }
            for kind in [ListKind::Members, ListKind::Repos] {
                let request = ListRequest {
                    kind,
                    range,
                    bots,
                    sort: &CATALOGUE[0],
                    order: Order::Desc,
                    limit: 50,
                    cursor: None,
                };
                text += &told(gam_query::list(&ports.query, ORG, &request).await);
            }
        }
    }
    text
}

fn told<T: serde::Serialize>(answer: Result<T, QueryError>) -> String {
    match answer {
        Ok(answer) => serde_json::to_string(&answer).unwrap() + "\n",
        Err(QueryError::NotFound(why)) => format!("not found: {why}\n"),
        Err(error) => panic!("{error}"),
    }
}

/// Each month's rows as `id version retracted`, and that its marker stands at its snapshot.
pub(crate) async fn rows(world: &World) -> Vec<String> {
    let mut rows = Vec::new();
    for month in gam_lake::snapshot::months(&*world.objects, ORG).await.unwrap() {
        let snapshot = gam_lake::snapshot::read(&*world.objects, ORG, month).await.unwrap().unwrap();
        let marker = world.store.marker(&ORG.to_lowercase(), month).await.unwrap().expect("a marker");
        assert_eq!(
            marker.generation, snapshot.stamp.generation,
            "the marker of {month} stands at its snapshot"
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

/// The rollups that readers count and that hold anything, as they are stored.
pub(crate) async fn bodies(world: &World) -> Vec<String> {
    let org = &ORG.to_lowercase();
    let markers = world.store.markers(org).await.unwrap();
    let mut bodies = Vec::new();
    for kind in SubjectKind::ALL {
        for grain in Grain::ALL {
            let stored = world.store.range_of_kind(org, kind, grain, FIRST_DAY, LAST_DAY).await.unwrap();
            let counted = stored.into_iter().filter(|(key, rollup)| {
                markers.iter().any(|marker| marker.month == key.month && marker.counts(rollup))
            });
            let filled = counted.filter(|(_, rollup)| rollup.body != "{}");
            bodies.extend(filled.map(|(key, rollup)| format!("{key:?} {}", rollup.body)));
        }
    }
    bodies
}

pub(crate) fn kind_of(member: &str) -> MemberKind {
    cast().into_iter().find(|m| m.name == member).map_or(MemberKind::User, |m| m.kind)
}
