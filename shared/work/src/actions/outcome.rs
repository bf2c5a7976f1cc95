//! What an answer of GitHub makes of an action: pure functions.

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};

use super::action::{Action, FailureCode, Phase, Step};
use super::github::{ListedText, MergeStatus, PullFacts, RefusalKind, WriteAnswer, WriteOutcome};
use super::prepare::record_pull;
use super::request::ActionRequest;

/// When the result of a request is looked for, after its answer was lost. GitHub's lists lag up to 10 minutes.
pub(super) const LOOKS: [TimeDelta; 6] = [
    TimeDelta::seconds(5),
    TimeDelta::seconds(30),
    TimeDelta::minutes(2),
    TimeDelta::minutes(5),
    TimeDelta::minutes(10),
    TimeDelta::minutes(12),
];
/// Pause before the first retry of what failed without an effect. Each further one doubles it.
const FIRST_PAUSE: TimeDelta = TimeDelta::seconds(5);
/// The longest pause between retries.
const MAX_PAUSE: TimeDelta = TimeDelta::minutes(5);
/// How long an action is retried if GitHub cannot be reached.
pub(super) const GIVE_UP_AFTER: TimeDelta = TimeDelta::hours(24);
/// How often a merge is sent again after GitHub said that the base branch had changed, or did not answer.
pub(super) const MAX_MERGE_RETRIES: u32 = 3;
/// How long a merge waits before it is sent again.
const MERGE_PAUSE: TimeDelta = TimeDelta::seconds(5);

/// Returns the pause before the next retry after `delays` of them.
pub(super) fn pause(delays: u32) -> TimeDelta {
    (FIRST_PAUSE * 2_i32.pow(delays.min(8))).min(MAX_PAUSE)
}

/// Puts the action into the phase that follows from the outcome of a request.
pub(super) fn apply_outcome(action: &mut Action, step: Step, outcome: WriteOutcome, now: DateTime<Utc>) {
    match outcome {
        WriteOutcome::Done(answer) => apply_answer(action, step, answer, now),
        WriteOutcome::Unknown { message } => look_for_result(action, step, message, now),
        WriteOutcome::Refused { message, kind: RefusalKind::Limited(after), .. } => {
            let after = TimeDelta::from_std(after).unwrap_or(MAX_PAUSE);
            put_off(action, format!("GitHub's rate limit: {message}"), now + after, now);
        }
        WriteOutcome::Refused { message, kind: RefusalKind::NotSent, .. } => {
            put_off_unreachable(action, message, now);
        }
        WriteOutcome::Refused { status, message, kind: RefusalKind::Final } => {
            apply_refusal(action, step, status, message, now);
        }
    }
}

/// Has the action look for the result of a request.
pub(super) fn look_for_result(action: &mut Action, step: Step, why: String, now: DateTime<Utc>) {
    let phase = Phase::Checking { step, since: now, looks: 0, why };
    action.set_phase(phase, Some(now + LOOKS[0]));
}

/// Has the action wait for its next attempt. `since` of a phase that was ready before stays.
pub(super) fn put_off(action: &mut Action, why: String, until: DateTime<Utc>, now: DateTime<Utc>) {
    let since = match action.phase {
        Phase::Ready { since, .. } => since,
        _ => action.ready_since.unwrap_or(now),
    };
    action.phase = Phase::Ready { since, why: Some(why) };
    action.delay(until);
}

/// Puts an action off because GitHub cannot be reached. It fails if that lasts too long.
pub(super) fn put_off_unreachable(action: &mut Action, why: String, now: DateTime<Utc>) {
    put_off(action, why.clone(), now + pause(action.delays), now);
    if let Phase::Ready { since, .. } = action.phase
        && now - since > GIVE_UP_AFTER
    {
        action.fail(FailureCode::Unreachable, why);
    }
}

fn apply_answer(action: &mut Action, step: Step, answer: WriteAnswer, now: DateTime<Utc>) {
    match answer {
        WriteAnswer::Created { number, id, url, labels, assignees, has_milestone } => {
            match step {
                Step::Issue => {
                    let number = number.unwrap_or_default();
                    let body = String::new();
                    let text =
                        ListedText { number, id, url, body, author: None, labels, assignees, has_milestone };
                    record_issue(action, &text);
                }
                Step::Pull => record_pull(action, number.unwrap_or_default(), &url, true),
                Step::Comment => record_text(action, "comment", id, &url),
                Step::Review | Step::Merge => record_text(action, "review", id, &url),
            }
            action.finish_step(step, now);
        }
        WriteAnswer::Merge(status) => apply_merge_status(action, status, now),
    }
}

/// Records a comment or a review.
pub(super) fn record_text(action: &mut Action, name: &str, id: i64, url: &str) {
    action.data.insert(name.to_owned(), json!({ "id": id, "url": url }));
}

/// Records an issue, and what GitHub left out of it: without permission to push, it drops labels, assignees and the
/// milestone without an error.
pub(super) fn record_issue(action: &mut Action, issue: &ListedText) {
    let ActionRequest::CreateIssue { labels, assignees, milestone, .. } = &action.request else { return };
    let missing = |requested: &[String], actual: &[String]| -> Vec<String> {
        let has = |name: &String| actual.iter().any(|it| it.to_lowercase() == name.to_lowercase());
        requested.iter().filter(|name| !has(name)).cloned().collect()
    };
    let fields = [
        ("number", json!(issue.number)),
        ("url", json!(issue.url)),
        ("labels", json!(issue.labels)),
        ("assignees", json!(issue.assignees)),
        ("dropped_labels", json!(missing(labels, &issue.labels))),
        ("dropped_assignees", json!(missing(assignees, &issue.assignees))),
        ("dropped_milestone", json!(milestone.is_some() && !issue.has_milestone)),
    ];
    for (name, value) in fields {
        action.data.insert(name.to_owned(), value);
    }
}

/// Records how a merge ended, and ends its request.
pub(super) fn finish_merge(action: &mut Action, status: &str, sha: Option<String>, now: DateTime<Utc>) {
    action.data.insert("merged".to_owned(), (status == "merged").into());
    action.data.insert("queued".to_owned(), (status == "queued").into());
    action.data.insert("head_sha".to_owned(), action.head_sha().into());
    action.data.insert("merge_sha".to_owned(), sha.map_or(Value::Null, Value::from));
    action.finish_step(Step::Merge, now);
}

/// Puts the action into the phase that follows from the status of its merge.
pub(super) fn apply_merge_status(action: &mut Action, status: MergeStatus, now: DateTime<Utc>) {
    match status {
        MergeStatus::Merged { sha } => finish_merge(action, "merged", sha, now),
        MergeStatus::Queued => finish_merge(action, "queued", None, now),
        MergeStatus::Failed { message } => apply_merge_refusal(action, None, message, now),
        MergeStatus::Pending { sha: Some(sha), .. } if sha != action.head_sha() => {
            let reason = format!("somebody else is merging the head {sha} of the pull request");
            action.fail(FailureCode::HeadMoved, reason);
        }
        MergeStatus::Pending { uuid, .. } => match action.phase {
            Phase::Merging { .. } => {
                action.delay(now + TimeDelta::seconds(2) * 2_i32.pow(action.delays.min(4)))
            }
            _ => action.set_phase(Phase::Merging { uuid, since: now }, Some(now + TimeDelta::seconds(1))),
        },
    }
}

fn apply_refusal(action: &mut Action, step: Step, status: Option<u16>, message: String, now: DateTime<Utc>) {
    match step {
        Step::Merge => apply_merge_refusal(action, status, message, now),
        Step::Pull if message.contains("pull request already exists") => {
            look_for_result(action, step, message, now);
        }
        _ => {
            let code = match status {
                Some(404 | 410) => FailureCode::NotFound,
                _ => FailureCode::Refused,
            };
            action.fail(code, format!("GitHub refused to create the {}: {message}", noun(step)));
        }
    }
}

fn noun(step: Step) -> &'static str {
    match step {
        Step::Issue => "issue",
        Step::Comment => "comment",
        Step::Pull => "pull request",
        Step::Review => "review",
        Step::Merge => "merge",
    }
}

/// Reads GitHub's reasons not to merge. `status` is `None` if they are those of a merge request that GitHub had accepted.
fn apply_merge_refusal(action: &mut Action, status: Option<u16>, message: String, now: DateTime<Utc>) {
    let text = message.to_lowercase();
    let says = |part: &str| text.contains(part);
    if status == Some(404) && !action.uses_plain_merge && !action.uses_queue {
        // The pull request was there a moment ago, so the endpoint is what is missing.
        action.uses_plain_merge = true;
        action.make_ready(now);
    } else if says("already merged") {
        // The next read of the pull request decides.
        retry_merge(action, message, now);
    } else if says("is in the merge queue") || says("already in the merge queue") || says("already queued") {
        finish_merge(action, "queued", None, now);
    } else if says("through the merge queue") || says("through a merge queue") {
        action.uses_queue = true;
        action.make_ready(now);
    } else if says("base branch was modified") || says("already in progress") || says("is not mergeable") {
        retry_merge(action, message, now);
    } else if status == Some(409) || says("head branch was modified") || says("head sha") {
        let reason =
            format!("GitHub did not merge, because the head is no longer {}: {message}", action.head_sha());
        action.fail(FailureCode::HeadMoved, reason);
    } else {
        let code = match status {
            Some(403) => FailureCode::Refused,
            _ => FailureCode::NotMergeable,
        };
        action.fail(code, format!("GitHub did not merge: {message}"));
    }
}

/// Sends a merge again that GitHub refused for a reason that can pass. The pull request is read first.
fn retry_merge(action: &mut Action, message: String, now: DateTime<Utc>) {
    action.merge_retries += 1;
    if action.merge_retries > MAX_MERGE_RETRIES {
        action.fail(FailureCode::NotMergeable, format!("GitHub did not merge: {message}"));
    } else {
        put_off(action, message, now + MERGE_PAUSE, now);
    }
}

/// Returns why a pull request cannot be approved or merged any more, whatever its head.
pub(super) fn end_of_pull(pull: &PullFacts) -> Option<(FailureCode, String)> {
    let number = pull.number;
    match pull.state {
        super::PullState::Closed => {
            Some((FailureCode::NotAllowed, format!("pull request #{number} was closed meanwhile")))
        }
        _ if pull.is_draft => {
            Some((FailureCode::NotAllowed, format!("pull request #{number} was made a draft meanwhile")))
        }
        _ => None,
    }
}
