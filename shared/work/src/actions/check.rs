//! Looks for the result of a request whose answer is lost.

use chrono::{DateTime, TimeDelta, Utc};

use super::action::{Action, FailureCode, Phase, Step};
use super::github::{GitHubActions, ListedText, PullState, ReadError, ReadErrorKind};
use super::outcome::{LOOKS, MAX_MERGE_RETRIES, finish_merge, record_issue, record_text};
use super::prepare::{record_existing, record_pull};

/// How far GitHub's clock may be behind.
const CLOCK_DIFFERENCE: TimeDelta = TimeDelta::hours(1);
/// Pause after GitHub could not be read.
const READ_PAUSE: TimeDelta = TimeDelta::seconds(30);
/// How long GitHub is tried to be read.
const GIVE_UP_AFTER: TimeDelta = TimeDelta::hours(1);

/// Looks for the result once. Puts the action into the phase that follows from what is there.
pub(super) async fn look(github: &dyn GitHubActions, action: &mut Action, now: DateTime<Utc>) {
    let Phase::Checking { step, since, looks, why } = action.phase.clone() else { return };
    let found = match step {
        Step::Issue => find_issue(github, action, now).await,
        Step::Comment => find_comment(github, action, now).await,
        Step::Pull => find_pull(github, action, now).await,
        Step::Review => find_review(github, action, now).await,
        Step::Merge => find_merge(github, action, now).await,
    };
    match found {
        Ok(true) => {}
        // A webhook had it looked for earlier. That does not count: GitHub's lists lag.
        Ok(false) if LOOKS.get(looks as usize).is_some_and(|look| now < since + *look) => {
            action.due = LOOKS.get(looks as usize).map(|look| since + *look);
        }
        Ok(false) => match LOOKS.get(looks as usize + 1) {
            Some(next) => {
                let phase = Phase::Checking { step, since, looks: looks + 1, why };
                action.set_phase(phase, Some(since + *next));
            }
            None => {
                let minutes = (now - since).num_minutes();
                let why = format!("{why}; GitHub shows no result after {minutes} minutes");
                action.set_phase(Phase::Unknown { step, why }, None);
            }
        },
        Err(error) if error.kind == ReadErrorKind::Temporary && now - since < GIVE_UP_AFTER => {
            action.due = Some(now + READ_PAUSE);
        }
        Err(error) => {
            let why = format!("{why}; cannot look for the result: {}", error.message);
            action.set_phase(Phase::Unknown { step, why }, None);
        }
    }
}

/// Returns the first of the texts that this service wrote for the action. Anybody can copy a marker, but not the author.
async fn find_text(
    github: &dyn GitHubActions,
    action: &Action,
    texts: Vec<ListedText>,
) -> Result<Option<ListedText>, ReadError> {
    let mut marked: Vec<ListedText> = texts.into_iter().filter(|text| action.is_marked(&text.body)).collect();
    if marked.is_empty() {
        return Ok(None);
    }
    let login = github.login(&action.repo.owner).await?;
    let is_own = |text: &ListedText| text.author.as_deref().is_some_and(|it| it.eq_ignore_ascii_case(&login));
    marked.retain(is_own);
    Ok(marked.into_iter().min_by_key(|text| text.id))
}

async fn find_issue(
    github: &dyn GitHubActions,
    action: &mut Action,
    now: DateTime<Utc>,
) -> Result<bool, ReadError> {
    let issues = github.issues_since(&action.repo, action.created_at - CLOCK_DIFFERENCE).await?;
    let Some(issue) = find_text(github, action, issues).await? else { return Ok(false) };
    record_issue(action, &issue);
    action.finish_step(Step::Issue, now);
    Ok(true)
}

async fn find_comment(
    github: &dyn GitHubActions,
    action: &mut Action,
    now: DateTime<Utc>,
) -> Result<bool, ReadError> {
    let since = action.created_at - CLOCK_DIFFERENCE;
    let Some(number) = action.number() else { return Ok(false) };
    let comments = github.comments_since(&action.repo, number, since).await?;
    let Some(comment) = find_text(github, action, comments).await? else { return Ok(false) };
    record_text(action, "comment", comment.id, &comment.url);
    action.finish_step(Step::Comment, now);
    Ok(true)
}

async fn find_pull(
    github: &dyn GitHubActions,
    action: &mut Action,
    now: DateTime<Utc>,
) -> Result<bool, ReadError> {
    let choice = action.choice.clone();
    let (head, base) = choice.map(|it| (it.branch, it.base)).unwrap_or_default();
    let (head, base) = (head.unwrap_or_default(), base.unwrap_or_default());
    let pulls = github.pulls_of(&action.repo, &head, &base).await?;
    if let Some(own) = pulls.iter().find(|pull| action.is_marked(&pull.body)) {
        record_pull(action, own.number, &own.url, true);
    } else if let Some(other) = pulls.iter().find(|pull| pull.state == PullState::Open) {
        record_existing(action, other);
    } else {
        return Ok(false);
    }
    action.finish_step(Step::Pull, now);
    Ok(true)
}

/// Returns whether this service has approved the head of the pull request, and records the review.
pub(super) async fn find_review(
    github: &dyn GitHubActions,
    action: &mut Action,
    now: DateTime<Utc>,
) -> Result<bool, ReadError> {
    let login = github.login(&action.repo.owner).await?;
    let Some(number) = action.number() else { return Ok(false) };
    let reviews = github.reviews(&action.repo, number).await?;
    let own = reviews.into_iter().find(|review| {
        let is_own = review.author.as_deref().is_some_and(|author| author.eq_ignore_ascii_case(&login));
        is_own && review.is_approval && review.commit_id == action.head_sha()
    });
    let Some(review) = own else { return Ok(false) };
    record_text(action, "review", review.id, &review.url);
    action.finish_step(Step::Review, now);
    Ok(true)
}

async fn find_merge(
    github: &dyn GitHubActions,
    action: &mut Action,
    now: DateTime<Utc>,
) -> Result<bool, ReadError> {
    let Some(number) = action.number() else { return Ok(false) };
    let Some(pull) = github.pull(&action.repo, number).await? else { return Ok(false) };
    match pull.state {
        PullState::Merged if pull.head_sha == action.head_sha() => {
            finish_merge(action, "merged", pull.merge_sha, now);
        }
        PullState::Merged => action.fail(
            FailureCode::HeadMoved,
            format!("the pull request was merged with the head {}, not by this action", pull.head_sha),
        ),
        PullState::Closed => {
            action.fail(FailureCode::NotAllowed, "the pull request was closed and not merged")
        }
        PullState::Open if pull.is_queued => finish_merge(action, "queued", None, now),
        PullState::Open if pull.head_sha != action.head_sha() => {
            let reason =
                format!("the head is {} now, so {} was not merged", pull.head_sha, action.head_sha());
            action.fail(FailureCode::HeadMoved, reason);
        }
        // GitHub answers a repetition at this endpoint with the first request, so a repetition is how to ask.
        PullState::Open
            if !action.uses_plain_merge && !action.uses_queue && action.merge_retries < MAX_MERGE_RETRIES =>
        {
            action.merge_retries += 1;
            action.make_ready(now);
        }
        PullState::Open => return Ok(false),
    }
    Ok(true)
}
