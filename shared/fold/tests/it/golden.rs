//! The items of fixed events, for each version of the rollup logic.

use chrono::TimeDelta;
use gam_fold::LOGIC_VERSION;
use gam_model::{Event, EventKind, FirstReview, Identity, Member, MemberKind};
use sha2::{Digest, Sha256};

use crate::pr_classes::{classify, priced_and_unpriced};
use crate::support::{commit, event, fold_items, hour, rows};

/// For each version of the logic since 4, the first 16 hex digits of the SHA-256 of the golden items. Since 6, they include
/// classes of pull requests.
const GOLDEN: &[(u32, &str)] = &[(4, "9e5d9b550a5aba63"), (5, "41081baa851018e0"), (6, "dea3239dc9689039")];

/// Returns events of each kind and member, a shared commit, co-authors, more durations than are stored one by
/// one, and a week that is cut by the end of the month.
fn events() -> Vec<Event> {
    let names = ["Ann", "ben", "renovate[bot]", "ghost", "~0123456789ab", "Copilot", "robo"];
    let mut events = Vec::new();
    for (number, kind) in (0..).zip(EventKind::ALL.into_iter().cycle().take(300)) {
        let name = names[number as usize % names.len()];
        let mut event = event(kind, 1 + number % 3, name, hour(number * 12 / 5));
        event.facts.parents = Some((number % 4) as i32);
        event.facts.additions = (number % 7 != 0).then_some(number);
        event.facts.deletions = Some(number / 2);
        event.facts.files_changed = Some(1 + number % 3);
        event.facts.co_authors = Some(vec!["Ann".to_owned(), "cy".to_owned()]);
        event.facts.pr_member = Some(names[number as usize % 2].to_owned());
        event.facts.created_at = Some(event.occurred_at - TimeDelta::minutes(number * 17));
        let review = |member: &str, minutes| FirstReview {
            member: member.to_owned(),
            member_kind: MemberKind::User,
            at: event.occurred_at - TimeDelta::minutes(minutes),
        };
        event.facts.first_reviews = Some(vec![review("cy", number), review("renovate[bot]", number * 9)]);
        if kind.is_delivery() && number % 4 == 0 {
            event.member = Member::unknown();
        }
        event.retracted = number % 29 == 0;
        events.push(event);
    }
    let mut events = crate::support::with_ids(events);
    events.extend([1, 2].map(|repo| commit(repo, &"c".repeat(40), "ann", hour(100))));
    events.extend((0..70).map(|number| {
        let mut merged = event(EventKind::PrMerged, 9, "ben", hour(700));
        merged.id = gam_model::EventId::pr_merged(9, number);
        merged.facts.created_at = Some(merged.occurred_at - TimeDelta::seconds(number * number * 31));
        merged
    }));
    events
}

/// Stored items count only for the version of the logic that folded them. If the same events fold to other items
/// under one version, old and new items are mixed.
#[test]
fn other_items_take_a_greater_logic_version() {
    let identity =
        Identity::new(["robo".to_owned()], [("~0123456789ab".to_owned(), "ann".to_owned())]).unwrap();
    // Not their stored form, which the tests of its own crate check.
    let items = fold_items(&rows(&events()), &identity);
    let mut text: String = items.0.iter().map(|(key, item)| format!("{key:?} {item:?}\n")).collect();
    let (prs, sessions) = priced_and_unpriced();
    text.push_str(&format!("{:?}\n", classify(&prs, &sessions)));
    let hash = &hex::encode(Sha256::digest(&text))[..16];
    assert!(GOLDEN.is_sorted_by(|a, b| a.0 < b.0 && a.1 != b.1), "each version folds differently");
    let &(version, golden) = GOLDEN.last().unwrap();
    assert_eq!(
        (version, golden),
        (LOGIC_VERSION, hash),
        "the fold has changed: increment LOGIC_VERSION, and add its line to GOLDEN"
    );
}
