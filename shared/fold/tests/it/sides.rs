//! Whose work a rollup counts: people's, bots', bots' deliveries, and what has no author.

use gam_model::metric::Counter;
use gam_model::{Event, EventKind, Member, MemberKind, Subject};
use gam_rollup::Tally;

use crate::support::{event, hour, month_rollup, with_ids};

fn by(member: Member, kind: EventKind) -> Event {
    Event { member, ..event(kind, 1, "set by the caller", hour(9)) }
}

/// Returns the counters of a tally that are not zero.
fn counts(tally: &Tally) -> String {
    let counted = Counter::ALL.into_iter().filter(|&counter| tally.counts[counter as usize] > 0);
    let counted = counted.map(|counter| format!("{}={}", counter.as_str(), tally.counts[counter as usize]));
    counted.collect::<Vec<_>>().join(" ")
}

#[test]
fn deliveries_of_bots_and_of_nobody_are_apart() {
    let bot = || Member::account("deployer", Some(4), true);
    let events = with_ids(vec![
        by(bot(), EventKind::DeploymentSuccess),
        by(bot(), EventKind::IssueOpened),
        by(Member::unknown(), EventKind::Release),
        by(Member::unknown(), EventKind::DeploymentFailure),
        // As rows had it before there were unknown authors.
        by(Member::ghost(), EventKind::DeploymentSuccess),
        by(Member::ghost(), EventKind::IssueOpened),
    ]);
    for subject in [Subject::Org, Subject::Repo(1)] {
        let rollup = month_rollup(&events, subject);
        assert_eq!(counts(&rollup.people), "issues_opened=1");
        assert_eq!(counts(&rollup.bots), "issues_opened=1");
        assert_eq!(counts(&rollup.bot_deliveries), "deploys=1");
        assert_eq!(counts(&rollup.unknown), "releases=1 deploys=1 deploy_failures=1");
        assert_eq!(rollup.people.members, ["ghost".to_owned()].into());
        assert!(rollup.unknown.members.is_empty(), "nobody is a member");
    }
    assert!(month_rollup(&events, Subject::member("unknown")).is_empty());
    assert_eq!(counts(&month_rollup(&events, Subject::member("ghost")).people), "issues_opened=1");
}

#[test]
fn a_ghosts_review_of_a_ghosts_pull_request_is_not_counted() {
    let review = |author: &str| {
        let mut review = by(Member::ghost(), EventKind::Review);
        review.facts.pr_member = Some(author.to_owned());
        review
    };
    let events = with_ids(vec![review("ghost"), review("ann")]);
    assert_eq!(counts(&month_rollup(&events, Subject::member("ghost")).people), "reviews=1");
}

#[test]
fn rows_of_copilot_that_were_read_earlier_count_as_one_bot() {
    let row = |name: &str, id, kind| Member { name: name.to_owned(), id, kind };
    // printf %s 198982749+copilot@users.noreply.github.com | sha256sum
    let events = with_ids(vec![
        by(row("Copilot", Some(223_556_219), MemberKind::User), EventKind::PrOpened),
        by(row("copilot-swe-agent[bot]", None, MemberKind::Bot), EventKind::PrOpened),
        by(row("Copilot[bot]", Some(175_728_472), MemberKind::Bot), EventKind::Review),
        by(row("another-login", Some(198_982_749), MemberKind::User), EventKind::IssueOpened),
        by(row("~a1c3712872fd", None, MemberKind::Unlinked), EventKind::IssueOpened),
    ]);
    let rollup = month_rollup(&events, Subject::member("Copilot[bot]"));
    assert_eq!(counts(&rollup.people), "");
    assert_eq!(counts(&rollup.bots), "prs_opened=2 reviews=1 issues_opened=2");
    assert_eq!(rollup.member, Some(("Copilot[bot]".to_owned(), MemberKind::Bot)));
    let org = month_rollup(&events, Subject::Org);
    assert_eq!(org.bots.members, ["copilot[bot]".to_owned()].into());
    assert_eq!(counts(&org.people), "", "in default numbers it is nobody");
}
