//! Answers over any range, compared with a count of the cells.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use chrono::{Days, NaiveDate};
use futures::TryStreamExt;
use gam_model::{Grain, Month, Range};
use gam_query::{
    BotFilter, ExportRequest, ListAnswer, ListSort, Listing, MetricValue, MetricValues, NameFilter,
    QueryPorts, RowSubject, SortDirection, SubjectRef,
};
use gam_store::{Epoch, NameEntry, NameKind, NameStore};

use crate::support::watched_store::WatchedStore;
use crate::support::{
    Cell, MEMBERS, ORG, REPOS, day, list_request, metric, ports, put_items, range, set_head, store_of,
};

const FILTERS: [BotFilter; 4] = [BotFilter::Auto, BotFilter::Exclude, BotFilter::Include, BotFilter::Only];

/// Returns cells of three months, some of them on the day before or after their month.
fn random_cells(random: &mut fastrand::Rng) -> Vec<Cell> {
    let mut cells = Vec::new();
    for month in ["2024-01", "2024-02", "2024-03"].map(|month| Month::parse(month).expect("a month")) {
        for _ in 0..random.usize(0..25) {
            // Many are at the ends of the month.
            let offset = match random.u8(0..4) {
                0 => random.u64(0..3),
                1 => month.days() as u64 + 1 - random.u64(0..3),
                _ => random.u64(0..month.days() as u64 + 2),
            };
            let (member, repo) = (random.usize(0..MEMBERS.len()), random.usize(0..REPOS.len()));
            let date = month.first_day() - Days::new(1) + Days::new(offset);
            cells.push(Cell { month, date, member, repo, commits: random.u64(1..5) });
        }
    }
    cells
}

fn random_range(random: &mut fastrand::Rng) -> Range {
    let borders = ["2024-01-01", "2024-02-01", "2024-03-01", "2024-04-01"].map(day);
    let random_day = |random: &mut fastrand::Rng| match random.bool() {
        true => borders[random.usize(0..4)],
        false => day("2023-12-29") + Days::new(random.u64(0..98)),
    };
    loop {
        if let Some(range) = Range::new(random_day(random), random_day(random)) {
            return range;
        }
    }
}

fn counts(bots: BotFilter, cell: &Cell) -> bool {
    match bots {
        BotFilter::Auto | BotFilter::Exclude => !cell.is_bot(),
        BotFilter::Include => true,
        BotFilter::Only => cell.is_bot(),
    }
}

fn commits<'a>(cells: impl Iterator<Item = &'a Cell>) -> u64 {
    cells.map(|cell| cell.commits).sum()
}

fn count(values: &MetricValues, name: &str) -> u64 {
    match values.0.iter().find(|(it, _)| *it == name).expect("the metric is there").1 {
        MetricValue::Count(count) => count,
        MetricValue::Distribution { .. } => panic!("{name} is a distribution"),
    }
}

/// Returns name, commits and active members of each entry, sorted by name.
fn entries(answer: &ListAnswer) -> Vec<(String, u64, u64)> {
    let mut entries: Vec<_> = answer
        .entries
        .iter()
        .map(|entry| {
            let name = entry.member.clone().or(entry.repo.clone()).expect("a name");
            (name, count(&entry.metrics, "commits"), count(&entry.metrics, "active_members"))
        })
        .collect();
    entries.sort();
    entries
}

/// Returns the expected entries: the cells' commits by name, and their members.
fn expected_entries<'a>(
    cells: impl Iterator<Item = &'a Cell> + Clone,
    names: impl Iterator<Item = &'static str>,
    name_of: impl Fn(&Cell) -> &'static str,
) -> Vec<(String, u64, u64)> {
    let mut entries: Vec<_> = names
        .filter_map(|name| {
            let cells = cells.clone().filter(|cell| name_of(cell) == name);
            let members: BTreeSet<usize> = cells.clone().map(|cell| cell.member).collect();
            (!members.is_empty()).then(|| (name.to_owned(), commits(cells), members.len() as u64))
        })
        .collect();
    entries.sort();
    entries
}

fn repo_name(cell: &Cell) -> &'static str {
    REPOS[cell.repo].1
}

fn member_name(cell: &Cell) -> &'static str {
    MEMBERS[cell.member].1
}

/// Runs `check` with many random organizations, ranges and filters.
async fn check_random(check: impl AsyncFn(&QueryPorts, &[Cell], Range, BotFilter)) {
    for seed in 0..40 {
        let mut random = fastrand::Rng::with_seed(seed);
        let cells = random_cells(&mut random);
        let store = store_of(&cells).await;
        let ports = ports(&store, Arc::new(store.clone()));
        for bots in FILTERS {
            check(&ports, &cells, random_range(&mut random), bots).await;
        }
    }
}

#[tokio::test]
async fn metrics_count_the_days_in_the_range() {
    check_random(async |ports, cells, range, bots| {
        let in_range = || cells.iter().filter(|cell| range.contains(cell.date) && counts(bots, cell));
        let ever = || cells.iter().filter(|cell| counts(bots, cell));
        let members = |cells: &mut dyn Iterator<Item = &Cell>| {
            cells.map(|cell| cell.member).collect::<BTreeSet<_>>().len() as u64
        };
        let values = gam_query::metrics(ports, ORG, &SubjectRef::Org, range, bots).await.unwrap().metrics;
        assert_eq!(count(&values, "commits"), commits(in_range()), "{range:?} {bots:?}");
        assert_eq!(count(&values, "active_members"), members(&mut in_range()));
        assert_eq!(count(&values, "total_members"), members(&mut ever()));
        let repos: BTreeSet<usize> = ever().map(|cell| cell.repo).collect();
        assert_eq!(count(&values, "total_repos"), repos.len() as u64);
        for (index, (_, name)) in REPOS.into_iter().enumerate() {
            let repo = SubjectRef::repo(name);
            let values = gam_query::metrics(ports, ORG, &repo, range, bots).await.unwrap().metrics;
            let of_repo = || in_range().filter(|cell| cell.repo == index);
            assert_eq!(count(&values, "commits"), commits(of_repo()));
            assert_eq!(count(&values, "active_members"), members(&mut of_repo()));
        }
        // A member that is requested by name answers its own numbers, but no person is a bot.
        let filter = if bots == BotFilter::Only { bots } else { BotFilter::Include };
        for (index, (_, name, _)) in MEMBERS.into_iter().enumerate() {
            let of_member = || cells.iter().filter(|cell| cell.member == index);
            let member = SubjectRef::Member(name.to_uppercase());
            let answer = gam_query::metrics(ports, ORG, &member, range, bots).await;
            if of_member().count() == 0 {
                assert!(matches!(answer, Err(gam_query::QueryError::NotFound(_))));
                continue;
            }
            let answer = answer.unwrap();
            let in_range = of_member().filter(|cell| range.contains(cell.date) && counts(filter, cell));
            assert_eq!(
                (answer.context.member.as_deref(), count(&answer.metrics, "commits")),
                (Some(name), commits(in_range))
            );
        }
    })
    .await;
}

#[tokio::test]
async fn series_count_the_days_in_each_bucket() {
    check_random(async |ports, cells, range, bots| {
        let in_range = || cells.iter().filter(|cell| range.contains(cell.date) && counts(bots, cell));
        for grain in Grain::ALL {
            for name in ["commits", "active_members"] {
                let series =
                    gam_query::series(ports, ORG, &SubjectRef::Org, metric(name), grain, range, bots);
                let points = series.await.unwrap().points;
                assert_eq!(points.len() as u64, range.bucket_count(grain));
                for point in points {
                    let is_in_bucket = |date: NaiveDate| point.start <= date && date < point.end;
                    let in_bucket = || in_range().filter(|cell| is_in_bucket(cell.date));
                    let expected = match name {
                        "commits" => commits(in_bucket()),
                        _ => in_bucket().map(|cell| cell.member).collect::<BTreeSet<_>>().len() as u64,
                    };
                    assert_eq!(point.value, MetricValue::Count(expected), "{name} {grain:?} {range:?}");
                }
            }
        }
    })
    .await;
}

#[tokio::test]
async fn listings_count_the_days_in_the_range() {
    check_random(async |ports, cells, range, bots| {
        let list = async |listing| {
            let request = list_request(listing, range, bots);
            entries(&gam_query::list(ports, ORG, &request).await.unwrap())
        };
        let in_range = cells.iter().filter(|cell| range.contains(cell.date) && counts(bots, cell));
        let member_names = || MEMBERS.iter().map(|(_, name, _)| *name);
        let repo_names = || REPOS.iter().map(|(_, name)| *name);
        let expected = expected_entries(in_range.clone(), member_names(), member_name);
        assert_eq!(list(Listing::Members).await, expected, "{range:?} {bots:?}");
        let expected = expected_entries(in_range.clone(), repo_names(), repo_name);
        assert_eq!(list(Listing::Repos).await, expected, "{range:?} {bots:?}");
        for name in repo_names() {
            let of_repo = in_range.clone().filter(|cell| repo_name(cell) == name);
            let expected = expected_entries(of_repo, member_names(), member_name);
            let listing = Listing::RepoMembers { name: name.to_uppercase(), id: None };
            assert_eq!(list(listing).await, expected, "{name} {range:?} {bots:?}");
        }
        let filter = if bots == BotFilter::Only { bots } else { BotFilter::Include };
        for name in cells.iter().map(member_name).collect::<BTreeSet<_>>() {
            let of_member = cells.iter().filter(|cell| {
                member_name(cell) == name && range.contains(cell.date) && counts(filter, cell)
            });
            let expected = expected_entries(of_member, repo_names(), repo_name);
            assert_eq!(
                list(Listing::MemberRepos(name.to_owned())).await,
                expected,
                "{name} {range:?} {bots:?}"
            );
        }
    })
    .await;
}

#[tokio::test]
async fn an_answer_about_a_subject_takes_one_range_read() {
    let cells = [Cell::new("2024-01-05", 0, 0, 1), Cell::new("2024-03-05", 0, 0, 1)];
    let store = store_of(&cells).await;
    let watched = Arc::new(WatchedStore::new(&store, 0));
    let ports = ports(&store, watched.clone());
    let range = range("2024-01-03", "2024-03-20");
    let subjects = [SubjectRef::Org, SubjectRef::repo("site"), SubjectRef::Member("ann".to_owned())];
    for (number, subject) in (1..).zip(&subjects) {
        gam_query::metrics(&ports, ORG, subject, range, BotFilter::Auto).await.unwrap();
        let commits = metric("commits");
        gam_query::series(&ports, ORG, subject, commits, Grain::Week, range, BotFilter::Auto).await.unwrap();
        let reads = [&watched.range_reads, &watched.marker_reads].map(|reads| reads.load(Ordering::Relaxed));
        assert_eq!(reads, [2 * number, 2 * number]);
    }
    gam_query::orgs(&ports).await.unwrap();
    assert_eq!(watched.range_reads.load(Ordering::Relaxed), 7);
}

#[tokio::test]
async fn an_overview_reads_days_only_if_markers_names_or_epoch_changed() {
    let store = store_of(&[Cell::new("2024-01-05", 0, 0, 1)]).await;
    let watched = Arc::new(WatchedStore::new(&store, 0));
    let (ports, kept) = (ports(&store, watched.clone()), gam_query::KeptOrgs::default());
    let read = async || {
        let before = watched.range_reads.load(Ordering::Relaxed);
        let orgs = kept.orgs(&ports).await.unwrap().orgs;
        assert_eq!(orgs, gam_query::orgs(&ports).await.unwrap().orgs, "a kept overview is the current one");
        // One of the reads is that of the overview that was not kept.
        (orgs[0].repos, watched.range_reads.load(Ordering::Relaxed) - before - 1)
    };
    assert_eq!(read().await, (Some(1), 1));
    assert_eq!(read().await, (Some(1), 0));
    put_items(&store, Epoch(1), &[Cell::new("2024-01-05", 0, 1, 1), Cell::new("2024-01-05", 0, 2, 1)], 2)
        .await;
    assert_eq!(read().await, (Some(2), 1), "a month has another generation");
    assert_eq!(read().await, (Some(2), 0));
    put_items(&store, Epoch(2), &[Cell::new("2024-01-05", 0, 0, 1)], 2).await;
    assert_eq!(read().await, (Some(2), 0), "an epoch that is not active changes nothing");
    set_head(&store, Some((2, 2)), None).await;
    assert_eq!(read().await, (Some(1), 1), "the rules changed");
    let renamed = NameEntry {
        kind: NameKind::Org,
        id: 0,
        name: "ACME".to_owned(),
        as_of: "2024-03-10T00:00:00Z".parse().expect("a time"),
    };
    store.put_names(ORG, &[renamed]).await.unwrap();
    assert_eq!(read().await, (Some(1), 1), "the organization has another name");
    assert_eq!(read().await, (Some(1), 0));
}

#[tokio::test]
async fn a_subject_that_was_never_seen_is_not_found() {
    let store = store_of(&[Cell::new("2024-01-05", 0, 0, 1)]).await;
    let ports = ports(&store, Arc::new(store.clone()));
    let list = async |listing| {
        let request = list_request(listing, range("2024-02-01", "2024-03-01"), BotFilter::Auto);
        gam_query::list(&ports, ORG, &request).await
    };
    let ann = list(Listing::MemberRepos("Ann".to_owned())).await.unwrap();
    assert!(ann.entries.is_empty(), "one seen but idle has an empty list");
    let site = list(Listing::RepoMembers { name: "site".to_owned(), id: Some(1) }).await.unwrap();
    assert!(site.entries.is_empty());
    for listing in [
        Listing::MemberRepos("nobody".to_owned()),
        Listing::RepoMembers { name: "nothing".to_owned(), id: None },
        Listing::RepoMembers { name: "site".to_owned(), id: Some(2) },
    ] {
        let error = list(listing).await.unwrap_err();
        assert!(matches!(error, gam_query::QueryError::NotFound(_)), "{error}");
    }
}

#[tokio::test]
async fn organizations_have_a_first_and_a_last_event_up_to_today() {
    let cells = [
        Cell::new("2024-01-05", 0, 0, 1),
        Cell::new("2024-03-10", 1, 1, 1),
        Cell::new("2024-03-11", 2, 2, 1),
    ];
    let store = store_of(&cells).await;
    let orgs = gam_query::orgs(&ports(&store, Arc::new(store.clone()))).await.unwrap().orgs;
    assert_eq!(orgs.len(), 1);
    assert_eq!((orgs[0].org.as_str(), orgs[0].repos, orgs[0].members), ("Acme", Some(3), Some(2)));
    let time = |text: &str| Some(text.parse().expect("a time"));
    assert_eq!(orgs[0].first_event, time("2024-01-05T00:00:00Z"));
    assert_eq!(
        orgs[0].last_event,
        time("2024-03-10T00:00:00Z"),
        "what is dated in the future is no last event"
    );
}

/// Reads the rows of an export: level, name, first day and commits.
async fn export_rows(
    ports: &QueryPorts,
    request: ExportRequest,
) -> Vec<(RowSubject, String, NaiveDate, u64)> {
    let export = gam_query::export(ports, ORG, request).await.unwrap();
    let rows: Vec<Vec<_>> = export.rows.try_collect().await.unwrap();
    let rows = rows.into_iter().flatten();
    rows.map(|row| (row.level, row.name, row.start, count(&row.metrics, "commits"))).collect()
}

#[tokio::test]
async fn an_export_has_the_rows_of_a_listing_of_each_bucket() {
    check_random(async |ports, _, range, bots| {
        for grain in Grain::ALL {
            let (mut orgs, mut repos, mut members) = (Vec::new(), Vec::new(), Vec::new());
            for bucket in range.buckets(grain) {
                let part =
                    Range::new(bucket.start().max(range.since()), bucket.end().min(range.until())).unwrap();
                let org = gam_query::metrics(ports, ORG, &SubjectRef::Org, part, bots).await.unwrap();
                orgs.push((RowSubject::Org, org.context.org, bucket.start(), count(&org.metrics, "commits")));
                for (listing, level, rows) in [
                    (Listing::Repos, RowSubject::Repo, &mut repos),
                    (Listing::Members, RowSubject::Member, &mut members),
                ] {
                    let page = gam_query::list(ports, ORG, &list_request(listing, part, bots)).await.unwrap();
                    let row = |(name, commits, _)| (level, name, bucket.start(), commits);
                    rows.extend(entries(&page).into_iter().map(row));
                }
            }
            let expected = [orgs, repos, members].concat();
            let exported = export_rows(ports, ExportRequest { range, grain, bots }).await;
            assert_eq!(exported, expected, "{range:?} {grain:?} {bots:?}");
        }
    })
    .await;
}

#[tokio::test]
async fn an_export_reads_each_month_once_for_each_level() {
    let cells: Vec<Cell> = (1..29).map(|day| Cell::new(&format!("2024-02-{day:02}"), 0, 1, 1)).collect();
    let store = store_of(&cells).await;
    let watched = Arc::new(WatchedStore::new(&store, 0));
    let ports = ports(&store, watched.clone());
    let request =
        ExportRequest { range: range("2024-01-15", "2024-04-01"), grain: Grain::Day, bots: BotFilter::Auto };
    let rows = export_rows(&ports, request).await;
    assert_eq!(rows.len(), 77 + 28 + 28);
    // The list of the repositories and the list of the members.
    assert_eq!(watched.range_reads.load(Ordering::Relaxed), 2);
}

#[tokio::test]
async fn pages_of_a_listing_follow_each_other_for_every_sort() {
    check_random(async |ports, _, range, bots| {
        for (sort, direction) in [
            ("commits", SortDirection::Desc),
            ("commits", SortDirection::Asc),
            ("active_members", SortDirection::Desc),
            ("reviews", SortDirection::Desc),
            ("cycle_time_hours", SortDirection::Desc),
        ] {
            for (listing, text) in [(Listing::Repos, ""), (Listing::Members, ""), (Listing::Members, "n")] {
                let mut request = list_request(listing, range, bots);
                (request.sort, request.direction) = (ListSort::Metric(metric(sort)), direction);
                request.name_filter = Some(NameFilter::new(text));
                let complete = gam_query::list(ports, ORG, &request).await.unwrap();
                assert_eq!(complete.next, None);
                let mut paged = Vec::new();
                request.limit = 1;
                loop {
                    let page = gam_query::list(ports, ORG, &request).await.unwrap();
                    paged.extend(page.entries);
                    request.cursor = page.next;
                    if request.cursor.is_none() {
                        break;
                    }
                }
                assert_eq!(paged, complete.entries, "{sort} {direction:?}");
            }
        }
    })
    .await;
}
