//! The stored form of checkpoints. A store holds it, so a later version must read it and write the same.

use std::fmt::Debug;

use chrono::{DateTime, Utc};
use gam_github::{ListOrder, PageSize, RepoState};
use gam_model::CommitVersion;
use gam_store::checkpoint::MembersListed;
use gam_store::{Gap, OrgCheckpoint, ReadAgainSpan, RepoGaps};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{
    CommitWalk, CommitsCheckpoint, CoveredCommits, DeploymentsCheckpoint, DeploymentsWalk, HistorySearch,
    HistoryWindow, MoveStep, PendingLineCounts, ProbedReleases, ReleaseListEnd, ReleasesCheckpoint,
    RepoCheckpoint, ThreadsCheckpoint, ThreadsWalk, TipMove, UnansweredEntries, UnansweredItem,
    UnsettledDeployment, UnsettledRun, WalkDirection, WorkflowCheckpoint, WorkflowRunWalk,
};

fn at(day: u32) -> DateTime<Utc> {
    format!("2024-03-{day:02}T12:00:00Z").parse().expect("a time")
}

fn page_size() -> Option<PageSize> {
    let mut size = PageSize::new(50);
    // Only a size that was too heavy once is stored.
    let text = serde_json::to_string(&size).expect("it is JSON").replace("4294967295", "50");
    size = serde_json::from_str(&text).expect("it is a size");
    size.to_save()
}

fn covered(tip: &str) -> CoveredCommits {
    CoveredCommits { tip: tip.to_owned(), since: at(1), until: Some(at(2)) }
}

fn unanswered() -> UnansweredEntries {
    let item = UnansweredItem {
        number: Some(7),
        created_at: at(1),
        changed_at: at(2),
        retries: 3,
        why: "status 502".to_owned(),
    };
    UnansweredEntries { entries: [("PR_7".to_owned(), item)].into(), requested_at: Some(at(3)), omitted: 1 }
}

fn full_commits(step: MoveStep) -> CommitsCheckpoint {
    let window = HistoryWindow { since: Some(at(3)), until: Some(at(4)), cursor: Some("c1".to_owned()) };
    CommitsCheckpoint {
        covered: Some(covered("a1")),
        walk: Some(CommitWalk {
            covers: covered("a2"),
            windows: vec![window],
            search: Some(HistorySearch { expected: 9, found: 4 }),
        }),
        tip_move: Some(TipMove { to: "a3".to_owned(), step }),
        version: CommitVersion::initial(DateTime::from_timestamp(3, 0)),
        pending_line_counts: PendingLineCounts {
            retries: [("a4".to_owned(), 2)].into(),
            requested_at: Some(at(5)),
        },
        unanswered: unanswered(),
        page_size: page_size(),
    }
}

fn full_threads() -> ThreadsCheckpoint {
    let directions = [ListOrder::LastChanged, ListOrder::Newest, ListOrder::Oldest].map(|order| {
        WalkDirection { order, cursor: Some("c2".to_owned()), reached: Some(at(6)), threads_read: 10 }
    });
    ThreadsCheckpoint {
        covered_from: Some(at(7)),
        watermark: Some(at(8)),
        total: 20,
        counted: Some(21),
        newest_number: Some(30),
        is_short: true,
        walk: Some(ThreadsWalk {
            watermark: Some(at(9)),
            lower_bound: at(10),
            total: 21,
            directions: directions.into(),
            opened: [31, 32].into(),
        }),
        unanswered: unanswered(),
        page_size: page_size(),
    }
}

fn full_workflow() -> WorkflowCheckpoint {
    WorkflowCheckpoint {
        covered_from: Some(at(1)),
        watermark: Some(at(2)),
        unsettled: [(51, UnsettledRun { created_at: at(3), attempts: 1 })].into(),
        read_again_from: Some(at(4)),
        etag: Some("\"a6\"".to_owned()),
        answered_from: Some(at(5)),
        absent_at: Some("a7".to_owned()),
        walk: Some(WorkflowRunWalk {
            watermark: Some(at(6)),
            lower_bound: at(7),
            reached: at(8),
            recheck_from: Some(at(9)),
        }),
    }
}

fn full_repo() -> RepoCheckpoint {
    RepoCheckpoint {
        commits: full_commits(MoveStep::Replace { old: covered("a5"), cursor: Some("c3".to_owned()) }),
        pulls: full_threads(),
        issues: full_threads(),
        releases: ReleasesCheckpoint {
            covered_from: Some(at(10)),
            list_end: Some(ReleaseListEnd {
                reached: at(10),
                listed: 1000,
                requested_at: Some(at(11)),
                why: "status 500".to_owned(),
            }),
            probed: Some(ProbedReleases { total: 2, newest: Some(31), updated_at: Some(at(11)) }),
            published: [(31, at(12))].into(),
            announced: [(31, [at(24)].into())].into(),
            drafts: [(32, "RE_32".to_owned())].into(),
            active_at: Some(at(13)),
            unanswered: unanswered(),
            page_size: page_size(),
        },
        deployments: DeploymentsCheckpoint {
            covered_from: Some(at(14)),
            watermark: Some(at(15)),
            active_at: Some(at(16)),
            total: 3,
            unsettled: [(
                41,
                UnsettledDeployment { node_id: "DE_41".to_owned(), created_at: at(17), has_failed: true },
            )]
            .into(),
            read_again_from: Some(at(18)),
            walk: Some(DeploymentsWalk {
                watermark: Some(at(19)),
                active_at: Some(at(20)),
                lower_bound: at(21),
                total: 4,
                cursor: Some("c4".to_owned()),
            }),
            unanswered: unanswered(),
            page_size: page_size(),
        },
        workflows: [("deploy.yml".to_owned(), full_workflow())].into(),
        state: Some(RepoState::Archived),
    }
}

/// Compares the stored form with the one in the snapshot, and reads it back.
fn check<T: Serialize + DeserializeOwned + PartialEq + Debug>(name: &str, value: &T) {
    let text = serde_json::to_string_pretty(value).expect("it is JSON");
    assert_eq!(&serde_json::from_str::<T>(&text).expect("it can be read back"), value);
    insta::with_settings!({ prepend_module_to_snapshot => false, omit_expression => true }, {
        insta::assert_snapshot!(name, text);
    });
}

#[test]
fn the_checkpoint_of_an_organization_keeps_its_form() {
    let gap = Gap {
        repo: "site".to_owned(),
        kind: "pull_requests".to_owned(),
        number: Some(7),
        from: Some(at(1)),
        until: Some(at(2)),
        why: "status 502".to_owned(),
    };
    let full = OrgCheckpoint {
        complete_until: Some(at(22)),
        repos: [(7, Some(at(23))), (8, None)].into(),
        since: Some(at(24)),
        reconciled_at: Some(at(25)),
        reconciled_to: Some(9),
        reconcile_at_most: Some(30),
        gaps: [(7, RepoGaps { listed: vec![gap], more: 2, complete_since: Some(at(26)) })].into(),
        lost_months: [("2024-02".to_owned(), 5)].into(),
        read_again: Some(ReadAgainSpan { from: at(28), until: Some(at(29)), has_everything: true }),
        members: Some(MembersListed { at: at(27), total: 250 }),
    };
    check("org_checkpoint", &full);
    check("org_checkpoint_new", &OrgCheckpoint::default());
}

#[test]
fn the_checkpoint_of_a_repository_keeps_its_form() {
    check("repo_checkpoint", &full_repo());
    check("repo_checkpoint_new", &RepoCheckpoint::default());
}

#[test]
fn every_step_and_state_keeps_its_form() {
    check("commits_checkpoint_comparing", &full_commits(MoveStep::Compare { commits_read: 250 }));
    let states =
        [RepoState::Archived, RepoState::Disabled, RepoState::Locked, RepoState::Blocked, RepoState::Gone];
    check("repo_states", &states.to_vec());
}
