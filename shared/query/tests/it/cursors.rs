//! The pages of a listing.

use std::sync::Arc;

use gam_query::{
    BotFilter, ListAnswer, ListRequest, ListSort, Listing, NameFilter, QueryError, SortDirection,
};
use gam_store::{Epoch, MemoryStore};

use crate::support::{Cell, ORG, list_request, metric, ports, put_items, range, set_head, store_of};

fn cells() -> Vec<Cell> {
    vec![
        Cell::new("2024-01-05", 0, 0, 3),
        Cell::new("2024-01-05", 1, 0, 2),
        Cell::new("2024-01-06", 3, 0, 2),
        Cell::new("2024-01-06", 0, 1, 1),
    ]
}

fn site_members() -> ListRequest {
    let listing = Listing::RepoMembers { name: "site".to_owned(), id: None };
    ListRequest { limit: 1, ..list_request(listing, range("2024-01-01", "2024-02-01"), BotFilter::Auto) }
}

async fn page(store: &MemoryStore, request: &ListRequest) -> Result<ListAnswer, QueryError> {
    gam_query::list(&ports(store, Arc::new(store.clone())), ORG, request).await
}

#[tokio::test]
async fn pages_contain_every_entry_once() {
    let store = store_of(&cells()).await;
    let (mut request, mut names) = (site_members(), Vec::new());
    loop {
        let page = page(&store, &request).await.unwrap();
        names.extend(page.entries.into_iter().filter_map(|entry| entry.member));
        request.cursor = page.next;
        if request.cursor.is_none() {
            break;
        }
    }
    assert_eq!(names, ["Ann", "bob", "~0123456789ab"]);
}

/// Returns the names of all entries, page by page.
async fn all_names(store: &MemoryStore, mut request: ListRequest) -> Vec<String> {
    let mut names = Vec::new();
    loop {
        let page = page(store, &request).await.unwrap();
        names.extend(page.entries.into_iter().filter_map(|entry| entry.member.or(entry.repo)));
        request.cursor = page.next;
        if request.cursor.is_none() {
            return names;
        }
    }
}

#[tokio::test]
async fn pages_follow_names_in_both_directions() {
    let store = store_of(&cells()).await;
    let by_name = |direction| ListRequest { sort: ListSort::Name, direction, ..site_members() };
    assert_eq!(all_names(&store, by_name(SortDirection::Asc)).await, ["Ann", "bob", "~0123456789ab"]);
    assert_eq!(all_names(&store, by_name(SortDirection::Desc)).await, ["~0123456789ab", "bob", "Ann"]);
    let repos = ListRequest { listing: Listing::Repos, ..by_name(SortDirection::Desc) };
    assert_eq!(all_names(&store, repos).await, ["tools", "Site"]);
}

#[tokio::test]
async fn pages_contain_only_filtered_names() {
    let store = store_of(&cells()).await;
    let names = async |text: &str, listing| {
        let name_filter = Some(NameFilter::new(text));
        all_names(&store, ListRequest { listing, name_filter, ..site_members() }).await
    };
    assert_eq!(names("B", Listing::Members).await, ["bob", "~0123456789ab"]);
    assert_eq!(names("ANN", Listing::Members).await, ["Ann"]);
    assert_eq!(names("nobody", Listing::Members).await, [""; 0]);
    assert_eq!(names("it", Listing::Repos).await, ["Site"]);
    assert_eq!(names("", Listing::Repos).await, ["Site", "tools"]);
    assert_eq!(names("oo", Listing::MemberRepos("ann".to_owned())).await, ["tools"]);
}

#[tokio::test]
async fn a_cursor_belongs_to_its_query() {
    let store = store_of(&cells()).await;
    let first = site_members();
    let cursor = page(&store, &first).await.unwrap().next;
    let first = ListRequest { cursor, ..first };
    let listing = |listing| ListRequest { listing, ..first.clone() };
    let another_range = range("2024-01-01", "2024-03-01");
    for other in [
        listing(Listing::Members),
        listing(Listing::RepoMembers { name: "tools".to_owned(), id: None }),
        listing(Listing::MemberRepos("Ann".to_owned())),
        ListRequest { bots: BotFilter::Only, ..first.clone() },
        ListRequest { sort: ListSort::Metric(metric("reviews")), ..first.clone() },
        ListRequest { sort: ListSort::Name, ..first.clone() },
        ListRequest { name_filter: Some(NameFilter::new("n")), ..first.clone() },
        ListRequest { direction: SortDirection::Asc, ..first.clone() },
        ListRequest { range: another_range, ..first.clone() },
    ] {
        match page(&store, &other).await {
            Err(QueryError::Invalid(message)) => assert!(
                message.contains("/repos/1/members with since=2024-01-01") && message.contains("bots=auto"),
                "{message}"
            ),
            other => panic!("{other:?}"),
        }
    }
    let filtered = ListRequest { cursor: None, name_filter: Some(NameFilter::new("B")), ..first.clone() };
    let filtered = ListRequest { cursor: page(&store, &filtered).await.unwrap().next, ..filtered };
    assert_eq!(page(&store, &filtered).await.unwrap().entries.len(), 1);
    let unfiltered = ListRequest { name_filter: None, ..filtered };
    match page(&store, &unfiltered).await {
        Err(QueryError::Invalid(message)) => assert!(message.contains("q=\"b\""), "{message}"),
        other => panic!("{other:?}"),
    }
    let page_size = ListRequest { limit: 5, ..first.clone() };
    assert_eq!(page(&store, &page_size).await.unwrap().entries.len(), 2, "pages can have another size");
    let tomorrow = ListRequest {
        range: another_range,
        has_default_since: true,
        has_default_until: true,
        ..first.clone()
    };
    assert_eq!(page(&store, &tomorrow).await.unwrap().entries.len(), 1);
    // Only the end has moved, as it does at midnight.
    let chosen_since = ListRequest { range: another_range, has_default_until: true, ..first.clone() };
    assert_eq!(page(&store, &chosen_since).await.unwrap().entries.len(), 1);
    let another_since = ListRequest { range: range("2023-12-01", "2024-03-01"), ..chosen_since };
    assert!(matches!(page(&store, &another_since).await, Err(QueryError::Invalid(_))));
    for bad in ["", "nonsense", "e30", "WzEsMl0"] {
        let request = ListRequest { cursor: Some(bad.to_owned()), ..first.clone() };
        assert!(matches!(page(&store, &request).await, Err(QueryError::Invalid(_))), "{bad}");
    }
}

#[tokio::test]
async fn a_cursor_expires_when_the_rules_change() {
    let store = store_of(&cells()).await;
    let first = site_members();
    let cursor = page(&store, &first).await.unwrap().next;
    let second = ListRequest { cursor, ..first };
    put_items(&store, Epoch(2), &cells(), 1).await;

    set_head(&store, Some((1, 1)), Some((2, 2))).await;
    assert_eq!(page(&store, &second).await.unwrap().entries.len(), 1, "the rules are still the same");
    set_head(&store, Some((2, 2)), None).await;
    match page(&store, &second).await {
        Err(QueryError::CursorExpired(message)) => assert!(message.contains("Acme"), "{message}"),
        other => panic!("{other:?}"),
    }
    set_head(&store, Some((2, 1)), None).await;
    assert_eq!(page(&store, &second).await.unwrap().entries.len(), 1, "another epoch of the same rules");
}
