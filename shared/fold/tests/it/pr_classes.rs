//! Which sessions are known of merged pull requests.

use arrow_array::RecordBatch;
use chrono::{DateTime, TimeDelta, Utc};
use gam_fold::fold_pr_classes;
use gam_model::{Event, EventId, EventKind, FieldText, Identity, SessionEvent, SessionEventKind};
use gam_rollup::{PrClass, PrClassItem, Side, StoredForm};

use crate::agents::{session_event, session_rows};
use crate::support::{event, hour, january, rows};

fn merged(repo_id: i64, number: i64, branch: &str, at: DateTime<Utc>) -> Event {
    let mut merged = event(EventKind::PrMerged, repo_id, "ben", at);
    merged.id = EventId::pr_merged(repo_id, number);
    merged.facts.number = Some(number);
    merged.facts.head_ref = Some(branch.to_owned());
    merged.facts.head_repo_id = Some(repo_id);
    merged.facts.merge_sha = Some(format!("{number:07}abcdef"));
    merged
}

fn response(id: &str, repo_id: i64, branch: FieldText, at: DateTime<Utc>) -> SessionEvent {
    let mut response = session_event(SessionEventKind::AgentResponse, id, repo_id, "ann", at);
    response.facts.branch = Some(branch);
    response.facts.model = Some(FieldText::new("claude-opus-4-6"));
    // One cent.
    response.facts.output_tokens = Some(400);
    response
}

pub(crate) fn classify(events: &[Event], sessions: &[SessionEvent]) -> PrClassItem {
    let (events, sessions) = (rows(events), session_rows(sessions));
    let sessions: [Rows; 1] = [Rows(sessions)];
    let item =
        fold_pr_classes(january(), events.as_slice(), &sessions, [3, 2, 0], &Identity::default()).unwrap();
    assert_eq!(PrClassItem::decode(&item.encode()), Ok(item.clone()));
    item
}

/// Returns two merged pull requests and the responses on their branches. All of the first one lack a price, and one of the
/// second.
pub(crate) fn priced_and_unpriced() -> ([Event; 2], [SessionEvent; 3]) {
    let prs = [1, 2].map(|number| merged(7, number, &format!("branch-{number}"), hour(24 * 20)));
    let of_house = |id: &str, branch: &str| {
        let mut response = response(id, 7, FieldText::new(branch), hour(24 * 19));
        response.facts.model = Some(FieldText::new("house"));
        response
    };
    let priced = response("r3", 7, FieldText::new("branch-2"), hour(24 * 19));
    (prs, [of_house("r1", "branch-1"), of_house("r2", "branch-2"), priced])
}

/// Rows in memory.
struct Rows(Vec<RecordBatch>);

impl gam_fold::MonthRows for Rows {
    type Error = std::convert::Infallible;

    fn batch_count(&self) -> usize {
        self.0.len()
    }

    fn row_count(&self) -> usize {
        self.0.iter().map(RecordBatch::num_rows).sum()
    }

    fn batch(&self, index: usize, _: &[&str]) -> Result<RecordBatch, Self::Error> {
        Ok(self.0[index].clone())
    }
}

/// Returns the number of pull requests of each class, and the sum of their costs in cents.
fn counts(item: &PrClassItem) -> [(u64, u64); 3] {
    PrClass::ALL.map(|class| {
        let totals = item.repos.iter().flat_map(|(_, days)| days).flat_map(|(_, day)| day);
        let of_class = totals.filter(|((side, one), _)| *side == Side::People && *one == class);
        of_class.fold((0, 0), |(prs, cents), (_, totals)| {
            let costs = totals.costs.mean().unwrap_or_default() * totals.costs.count() as f64;
            (prs + totals.cycle_times.count(), cents + (costs / 1e4).round() as u64)
        })
    })
}

#[test]
fn links_and_merged_commits_link_and_branches_are_probable() {
    let at = hour(24 * 20);
    let prs = [1, 2, 3, 4].map(|number| merged(7, number, &format!("branch-{number}"), at));
    let mut link = session_event(SessionEventKind::AgentPrLink, "link", 7, "ann", hour(5));
    link.facts.pr_repo = Some(FieldText::new("Acme/Repo-7"));
    link.facts.number = Some(1);
    let mut commit = session_event(SessionEventKind::AgentCommit, "commit", 7, "ann", hour(6));
    commit.facts.sha = Some(FieldText::new("0000002"));
    let sessions = [
        link,
        commit,
        response("r1", 7, FieldText::new("branch-1"), hour(24 * 19)),
        response("r3", 7, FieldText::hashed("branch-3"), hour(24 * 18)),
        response("r3b", 7, FieldText::hashed("branch-3"), hour(24 * 18)),
    ];
    assert_eq!(counts(&classify(&prs, &sessions)), [(2, 1), (1, 2), (1, 0)]);
    assert_eq!(counts(&classify(&prs, &[])), [(0, 0), (0, 0), (4, 0)]);
}

#[test]
fn a_pull_request_without_a_priced_response_has_no_cost() {
    let (prs, sessions) = priced_and_unpriced();
    let item = classify(&prs, &sessions);
    assert_eq!(counts(&item)[1], (2, 1));
    let totals: Vec<_> = item.repos[0].1.iter().flat_map(|(_, day)| day).map(|(_, totals)| totals).collect();
    assert_eq!(totals[0].costs.count(), 1, "the cost of the other one is not 0, but not known");
    assert!(totals[0].unpriced_tokens > 0);
}

#[test]
fn branches_count_in_their_repository_for_21_days_before_the_merge() {
    let at = hour(24 * 25);
    let near = [
        (7, at - TimeDelta::days(21), true),
        (7, at - TimeDelta::days(21) - TimeDelta::seconds(1), false),
        (7, at + TimeDelta::seconds(1), false),
        (8, at - TimeDelta::days(1), false),
    ];
    for (repo_id, session_at, is_known) in near {
        let sessions = [response("r", repo_id, FieldText::new("fix"), session_at)];
        let [_, (probable, _), _] = counts(&classify(&[merged(7, 1, "fix", at)], &sessions));
        assert_eq!(probable == 1, is_known, "{repo_id} {session_at}");
    }
    // The head of a fork has the same name, and is another branch.
    let mut of_fork = merged(7, 1, "fix", at);
    of_fork.facts.head_repo_id = Some(99);
    let sessions = [response("r", 7, FieldText::new("fix"), at - TimeDelta::days(1))];
    assert_eq!(counts(&classify(&[of_fork], &sessions))[2], (1, 0));
}

#[test]
fn a_reused_branch_belongs_to_the_next_merge() {
    let prs = [merged(7, 1, "fix", hour(24 * 10)), merged(7, 2, "fix", hour(24 * 20))];
    let between = response("r", 7, FieldText::new("fix"), hour(24 * 12));
    let item = classify(&prs, &[between]);
    assert_eq!(counts(&item), [(0, 0), (1, 1), (1, 0)]);
    let days: Vec<u8> = item.repos[0].1.iter().map(|(day, _)| *day).collect();
    assert_eq!((days, item.generations), (vec![11, 21], [3, 2, 0]));
}

#[test]
fn links_of_another_repository_or_number_link_nothing() {
    let mut link = session_event(SessionEventKind::AgentPrLink, "link", 7, "ann", hour(5));
    link.facts.number = Some(1);
    for repo in ["acme/repo-8", "other/repo-7", "repo-7"] {
        link.facts.pr_repo = Some(FieldText::new(repo));
        let prs = [merged(7, 1, "a", hour(24 * 9)), merged(8, 2, "b", hour(24 * 9))];
        assert_eq!(counts(&classify(&prs, std::slice::from_ref(&link)))[2].0, 2, "{repo}");
    }
}
