//! Decides which request of an action is sent next, after a look at GitHub.

use chrono::{DateTime, TimeDelta, Utc};

use super::action::{Action, Choice, FailureCode, Step};
use super::check::find_review;
use super::entries::ActionEvent;
use super::github::{GitHubActions, PullFacts, PullState, ReadError, WriteCall};
use super::outcome::{end_of_pull, finish_merge, put_off};
use super::prepare::{apply_head, record_existing};
use super::request::ActionRequest;

/// How often a merge waits for GitHub to compute whether it has conflicts.
const MAX_MERGEABLE_WAITS: u32 = 6;

/// What follows from a look at GitHub before a request.
pub(super) enum NextCall {
    /// The request can be sent.
    Send(WriteCall),
    /// The action has changed instead, and this happened.
    Changed(Vec<ActionEvent>),
}

/// Returns what happened when the head moved: approvals became void, if the policy requires some.
pub(super) fn voided(action: &Action) -> Vec<ActionEvent> {
    if action.policy.approvals > 0 { vec![ActionEvent::ApprovalVoided] } else { Vec::new() }
}

/// Returns the next request, or what happened instead if the action has changed.
pub(super) async fn next_call(
    github: &dyn GitHubActions,
    action: &mut Action,
    step: Step,
    now: DateTime<Utc>,
) -> Result<NextCall, ReadError> {
    let call = match (&action.request, step) {
        (ActionRequest::CreateIssue { title, body, labels, assignees, milestone, .. }, Step::Issue) => {
            WriteCall::CreateIssue {
                title: title.clone(),
                body: action.with_marker(body),
                labels: labels.clone(),
                assignees: assignees.clone(),
                milestone: *milestone,
            }
        }
        (ActionRequest::CreateIssue { comment: Some(body), .. }, Step::Comment)
        | (ActionRequest::CreateComment { body, .. }, Step::Comment)
            if let Some(number) = action.number() =>
        {
            WriteCall::CreateComment { number, body: action.with_marker(body) }
        }
        (ActionRequest::CreatePr { .. }, _) => return next_pull_call(github, action, now).await,
        (ActionRequest::ApproveMergePr { .. }, _) if let Some(number) = action.number() => {
            return next_merge_call(github, action, (step, number), now).await;
        }
        _ => {
            action.fail(FailureCode::Refused, "the action has no such request: please report this");
            return Ok(NextCall::Changed(Vec::new()));
        }
    };
    Ok(NextCall::Send(call))
}

async fn next_pull_call(
    github: &dyn GitHubActions,
    action: &mut Action,
    now: DateTime<Utc>,
) -> Result<NextCall, ReadError> {
    let ActionRequest::CreatePr { body, is_draft, .. } = action.request.clone() else {
        return Ok(NextCall::Changed(Vec::new()));
    };
    let choice = action.choice.clone().unwrap_or_else(Choice::empty);
    let (head, base) = (choice.branch.unwrap_or_default(), choice.base.unwrap_or_default());
    let Some(sha) = github.branch(&action.repo, &head).await? else {
        action.fail(FailureCode::NotFound, format!("the branch {head:?} is gone"));
        return Ok(NextCall::Changed(Vec::new()));
    };
    // Without approvals, nobody has agreed to one head only.
    if action.policy.approvals > 0 && apply_head(action, &sha, now) {
        return Ok(NextCall::Changed(voided(action)));
    }
    let existing = github.pulls_of(&action.repo, &head, &base).await?;
    if let Some(pull) = existing.iter().find(|pull| pull.state == PullState::Open) {
        record_existing(action, pull);
        action.finish_step(Step::Pull, now);
        return Ok(NextCall::Changed(Vec::new()));
    }
    let title = choice.title.unwrap_or_else(|| head.clone());
    let body = action.with_marker(&body);
    Ok(NextCall::Send(WriteCall::CreatePull { title, body, head, base, is_draft }))
}

async fn next_merge_call(
    github: &dyn GitHubActions,
    action: &mut Action,
    (step, number): (Step, i64),
    now: DateTime<Utc>,
) -> Result<NextCall, ReadError> {
    let Some(pull) = github.pull(&action.repo, number).await? else {
        action.fail(FailureCode::NotFound, format!("pull request #{number} is gone"));
        return Ok(NextCall::Changed(Vec::new()));
    };
    if apply_head(action, &pull.head_sha, now) {
        return Ok(NextCall::Changed(voided(action)));
    }
    if let Some((code, reason)) = end_of_pull(&pull) {
        action.fail(code, reason);
        return Ok(NextCall::Changed(Vec::new()));
    }
    match step {
        Step::Review => next_review_call(github, action, &pull, now).await,
        _ => Ok(merge_call(action, pull, now).map_or_else(|| NextCall::Changed(Vec::new()), NextCall::Send)),
    }
}

async fn next_review_call(
    github: &dyn GitHubActions,
    action: &mut Action,
    pull: &PullFacts,
    now: DateTime<Utc>,
) -> Result<NextCall, ReadError> {
    let ActionRequest::ApproveMergePr { review_comment, .. } = action.request.clone() else {
        return Ok(NextCall::Changed(Vec::new()));
    };
    let login = github.login(&action.repo.owner).await?;
    let is_own = pull.author.as_deref().is_some_and(|author| author.eq_ignore_ascii_case(&login));
    if pull.state == PullState::Merged || is_own {
        // GitHub lets nobody approve their own pull request.
        let why = if is_own { "own pull request" } else { "already merged" };
        action.data.insert("review".to_owned(), serde_json::json!({ "skipped": why }));
        action.finish_step(Step::Review, now);
        return Ok(NextCall::Changed(Vec::new()));
    }
    if find_review(github, action, now).await? {
        return Ok(NextCall::Changed(Vec::new()));
    }
    let body = action.with_marker(&review_comment.unwrap_or_default());
    let commit_id = action.head_sha().to_owned();
    Ok(NextCall::Send(WriteCall::Approve { number: pull.number, commit_id, body }))
}

/// Returns the request that merges, or `None` if the action has changed: it is merged, has conflicts, or must wait.
fn merge_call(action: &mut Action, pull: PullFacts, now: DateTime<Utc>) -> Option<WriteCall> {
    let ActionRequest::ApproveMergePr { method, commit_title, commit_message, .. } = action.request.clone()
    else {
        return None;
    };
    if pull.state == PullState::Merged {
        finish_merge(action, "merged", pull.merge_sha, now);
        return None;
    }
    if pull.is_queued {
        finish_merge(action, "queued", None, now);
        return None;
    }
    match pull.is_mergeable {
        Some(false) => {
            let reason = format!("pull request #{} has conflicts with {:?}", pull.number, pull.base);
            action.fail(FailureCode::NotMergeable, reason);
            return None;
        }
        None if action.delays < MAX_MERGEABLE_WAITS => {
            let why = "GitHub computes whether the pull request can be merged".to_owned();
            put_off(action, why, now + TimeDelta::seconds(5), now);
            return None;
        }
        None | Some(true) => {}
    }
    let sha = action.head_sha().to_owned();
    if action.uses_queue {
        return Some(WriteCall::Enqueue { node_id: pull.node_id, sha });
    }
    Some(WriteCall::Merge {
        number: pull.number,
        sha,
        method,
        title: commit_title,
        message: commit_message,
        is_repeatable: !action.uses_plain_merge,
    })
}
