//! Prepares an action: reads what it is about, makes the choice, and has it wait for approvals.

use chrono::{DateTime, Utc};
use gam_model::ActionKind;
use serde_json::json;

use super::action::{Action, Choice, FailureCode, Phase, Step};
use super::github::{
    BranchFacts, GitHubActions, PullFacts, PullState, ReadError, ReadErrorKind, RepositoryFacts,
};
use super::request::ActionRequest;
use super::requests::approval_time;

/// The most branches that are compared with the base branch to find one that is ahead.
const MAX_COMPARED_BRANCHES: usize = 20;

/// Reads what the action is about and puts it into its next phase: waiting, ready, succeeded if there is nothing to do, or
/// failed.
///
/// # Errors
/// If GitHub cannot be read at the moment. Then nothing changes.
pub(super) async fn prepare(
    github: &dyn GitHubActions,
    action: &mut Action,
    now: DateTime<Utc>,
) -> Result<(), ReadError> {
    match try_prepare(github, action).await {
        Ok(Ok(None)) => {
            action.wait_or_make_ready(now + approval_time(action), now);
            Ok(())
        }
        Ok(Ok(Some(pull))) => {
            record_existing(action, &pull);
            action.done.push(Step::Pull);
            action.set_phase(Phase::Succeeded, None);
            Ok(())
        }
        Ok(Err(Obstacle(code, reason))) => {
            action.fail(code, reason);
            Ok(())
        }
        Err(error) => fail_if_final(action, error),
    }
}

/// Fails the action if a later read would fail, too.
///
/// # Errors
/// If a later read may succeed.
pub(super) fn fail_if_final(action: &mut Action, error: ReadError) -> Result<(), ReadError> {
    match error.kind {
        ReadErrorKind::Temporary => return Err(error),
        ReadErrorKind::NotFound => action.fail(FailureCode::NotFound, error.message),
        ReadErrorKind::Final => action.fail(FailureCode::Refused, error.message),
    }
    Ok(())
}

/// Why an action cannot be done.
struct Obstacle(FailureCode, String);

type Prepared = Result<Result<Option<PullFacts>, Obstacle>, ReadError>;

/// Returns a pull request that exists already, if the action is to create it.
async fn try_prepare(github: &dyn GitHubActions, action: &mut Action) -> Prepared {
    let obstacle = |code, reason: String| Ok(Err(Obstacle(code, reason)));
    let repository = github.repository(&action.repo).await?;
    // Requests that write are not redirected.
    action.repo = repository.name.clone();
    if repository.is_archived {
        return obstacle(
            FailureCode::NotAllowed,
            format!("{} is archived: nothing can be written", action.repo),
        );
    }
    if !action.done.is_empty() {
        return Ok(Ok(None));
    }
    match action.request.clone() {
        ActionRequest::CreateIssue { .. } if !repository.has_issues => {
            obstacle(FailureCode::NotAllowed, format!("issues are switched off in {}", action.repo))
        }
        ActionRequest::CreateIssue { .. } => Ok(Ok(None)),
        ActionRequest::CreateComment { number, .. } => {
            action.choice = Some(Choice { number: Some(number), ..Choice::empty() });
            Ok(Ok(None))
        }
        ActionRequest::CreatePr { branch, base, title, .. } => {
            prepare_pull(github, action, &repository, (branch, base, title)).await
        }
        ActionRequest::ApproveMergePr { number, expected_sha, allow_fork, .. } => {
            prepare_merge(github, action, number, expected_sha, allow_fork).await
        }
    }
}

async fn prepare_pull(
    github: &dyn GitHubActions,
    action: &mut Action,
    repository: &RepositoryFacts,
    (branch, base, title): (Option<String>, Option<String>, Option<String>),
) -> Prepared {
    let repo = action.repo.clone();
    let base = base.unwrap_or_else(|| repository.default_branch.clone());
    let (branch, head_sha) = match branch {
        Some(branch) => match github.branch(&repo, &branch).await? {
            Some(sha) => (branch, sha),
            None => {
                let reason = format!("there is no branch {branch:?} in {repo}");
                return Ok(Err(Obstacle(FailureCode::NotFound, reason)));
            }
        },
        None => match newest_branch(github, action, &repository.default_branch, &base).await? {
            Some(branch) => (branch.name, branch.sha),
            None => {
                let reason = format!("no branch of {repo} is ahead of {base:?} and has no open pull request");
                return Ok(Err(Obstacle(FailureCode::NoCandidate, reason)));
            }
        },
    };
    let title = title.unwrap_or_else(|| title_of_branch(&branch));
    action.choice = Some(Choice {
        branch: Some(branch.clone()),
        base: Some(base.clone()),
        head_sha: Some(head_sha),
        title: Some(title),
        ..Choice::empty()
    });
    let existing = github.pulls_of(&repo, &branch, &base).await?;
    Ok(Ok(existing.into_iter().find(|pull| pull.state == PullState::Open)))
}

/// Returns the branch with the newest commit among those that are ahead of the base branch and have no open pull request.
/// Of equally new ones, the first one by name.
async fn newest_branch(
    github: &dyn GitHubActions,
    action: &Action,
    default_branch: &str,
    base: &str,
) -> Result<Option<BranchFacts>, ReadError> {
    let mut branches = github.branches(&action.repo).await?;
    branches.retain(|it| it.name != default_branch && it.name != base && !it.has_open_pull);
    branches.sort_by(|a, b| (b.committed_at, &a.name).cmp(&(a.committed_at, &b.name)));
    for branch in branches.into_iter().take(MAX_COMPARED_BRANCHES) {
        if github.commits_ahead(&action.repo, base, &branch.name).await? > 0 {
            return Ok(Some(branch));
        }
    }
    Ok(None)
}

/// Makes a title from the name of a branch: `fix/login-page` becomes `Fix login page`.
fn title_of_branch(branch: &str) -> String {
    let words = branch.replace(['-', '_', '/'], " ");
    let mut characters = words.trim().chars();
    match characters.next() {
        Some(first) => first.to_uppercase().chain(characters).take(250).collect(),
        None => branch.to_owned(),
    }
}

async fn prepare_merge(
    github: &dyn GitHubActions,
    action: &mut Action,
    number: Option<i64>,
    expected_sha: Option<String>,
    allow_fork: bool,
) -> Prepared {
    let repo = action.repo.clone();
    let pull = match number {
        Some(number) => github.pull(&repo, number).await?,
        None => {
            let open = github.open_pulls(&repo).await?;
            open.into_iter().find(|pull| !pull.is_draft && (allow_fork || !pull.is_fork))
        }
    };
    let Some(pull) = pull else {
        return Ok(Err(match number {
            Some(number) => {
                Obstacle(FailureCode::NotFound, format!("there is no pull request {repo}#{number}"))
            }
            None => Obstacle(
                FailureCode::NoCandidate,
                format!("{repo} has no open pull request that is neither a draft nor from a fork"),
            ),
        }));
    };
    if let Some(obstacle) = merge_obstacle(&pull, allow_fork, expected_sha.as_deref()) {
        return Ok(Err(obstacle));
    }
    action.choice = Some(Choice {
        number: Some(pull.number),
        branch: Some(pull.head),
        base: Some(pull.base),
        head_sha: Some(pull.head_sha),
        title: Some(pull.title),
        author: pull.author,
        node_id: Some(pull.node_id),
    });
    action.data.insert("number".to_owned(), pull.number.into());
    action.data.insert("url".to_owned(), pull.url.into());
    Ok(Ok(None))
}

fn merge_obstacle(pull: &PullFacts, allow_fork: bool, expected_sha: Option<&str>) -> Option<Obstacle> {
    let number = pull.number;
    let not_allowed = |reason: String| Some(Obstacle(FailureCode::NotAllowed, reason));
    match pull.state {
        PullState::Merged => return not_allowed(format!("pull request #{number} is already merged")),
        PullState::Closed => return not_allowed(format!("pull request #{number} is closed")),
        PullState::Open => {}
    }
    if pull.is_draft {
        return not_allowed(format!("pull request #{number} is a draft: mark it as ready for review first"));
    }
    if pull.is_fork && !allow_fork {
        return not_allowed(format!(
            "pull request #{number} is from a fork: send `allow_fork` if you trust it"
        ));
    }
    let expected = expected_sha.filter(|expected| *expected != pull.head_sha)?;
    let reason =
        format!("the head of pull request #{number} is {}, not the expected {expected}", pull.head_sha);
    Some(Obstacle(FailureCode::HeadMoved, reason))
}

/// Records a pull request that was there before the action.
pub(super) fn record_existing(action: &mut Action, pull: &PullFacts) {
    record_pull(action, pull.number, &pull.url, false);
}

pub(super) fn record_pull(action: &mut Action, number: i64, url: &str, is_new: bool) {
    let choice = action.choice.clone().unwrap_or_else(Choice::empty);
    for (name, value) in [
        ("number", json!(number)),
        ("url", json!(url)),
        ("created", json!(is_new)),
        ("branch", json!(choice.branch)),
        ("base", json!(choice.base)),
        ("head_sha", json!(choice.head_sha)),
    ] {
        action.data.insert(name.to_owned(), value);
    }
}

/// Compares the head of an action with GitHub. If it moved, the approvals are void: a merge that needs some waits for new
/// ones, and any other action fails. Returns whether it moved.
pub(super) fn apply_head(action: &mut Action, head_sha: &str, now: DateTime<Utc>) -> bool {
    let old = action.head_sha().to_owned();
    if old == head_sha {
        return false;
    }
    let is_pinned = matches!(action.request, ActionRequest::ApproveMergePr { expected_sha: Some(_), .. });
    let can_wait = action.policy.approvals > 0 && action.done.is_empty() && !is_pinned;
    action.approvals.clear();
    match &mut action.choice {
        Some(choice) if can_wait => {
            choice.head_sha = Some(head_sha.to_owned());
            let until = match action.phase {
                Phase::Waiting { until } => until,
                _ => now + approval_time(action),
            };
            action.wait_or_make_ready(until, now);
        }
        _ => action.fail(
            FailureCode::HeadMoved,
            format!("the head was {old} when it was chosen, and is {head_sha} now: request it again"),
        ),
    }
    true
}

/// Returns the head commit that GitHub has now of what the action is bound to. `None` if it is bound to none.
pub(super) async fn present_head(
    github: &dyn GitHubActions,
    action: &Action,
) -> Result<Option<String>, ReadError> {
    let Some(choice) = &action.choice else { return Ok(None) };
    match (action.kind(), choice.number, &choice.branch) {
        (ActionKind::ApproveMergePr, Some(number), _) => {
            Ok(github.pull(&action.repo, number).await?.map(|pull| pull.head_sha))
        }
        (ActionKind::CreatePr, _, Some(branch)) => github.branch(&action.repo, branch).await,
        _ => Ok(None),
    }
}

impl Choice {
    pub(super) fn empty() -> Self {
        Choice {
            number: None,
            branch: None,
            base: None,
            head_sha: None,
            title: None,
            author: None,
            node_id: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn titles_come_from_branches() {
        assert_eq!(title_of_branch("fix/login-page"), "Fix login page");
        assert_eq!(title_of_branch("-"), "-");
        assert_eq!(title_of_branch("äpfel"), "Äpfel");
    }
}
