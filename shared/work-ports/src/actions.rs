//! The ports of actions: GitHub over the client, and the policies of the lake.

use std::error::Error as StdError;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use gam_github::{
    Client, ClientSettings, Created, Credentials, Error, MergeProgress, NewIssue, NewMerge, NewPull,
    PullRequestState, WriteRetry,
};
use gam_lake::{ObjectStore, configuration};
use gam_model::ActionSettings;
use gam_work::actions::{
    ActionSettingsSource, BranchFacts, GitHubActions, ListedText, MergeStatus, PullFacts, PullState,
    ReadError, ReadErrorKind, RefusalKind, RepositoryFacts, RepositoryName, ReviewFacts, WriteAnswer,
    WriteCall, WriteOutcome,
};
use tokio::sync::OnceCell;

/// The maximum number of concurrent requests. Requests that write are sent one after the other.
const PARALLELISM: usize = 4;

/// Writes to GitHub, with a credential of its own.
pub struct GitHubWriter {
    client: Client,
    login: OnceCell<String>,
}

/// The policies of organizations, in their configurations in the lake.
pub struct LakeActionSettings(pub Arc<dyn ObjectStore>);

#[async_trait]
impl ActionSettingsSource for LakeActionSettings {
    async fn settings(&self, org: &str) -> Result<(u32, ActionSettings), Box<dyn StdError + Send + Sync>> {
        let revision = configuration::latest(&*self.0, org).await?;
        Ok((revision.number, revision.configuration.actions.clone()))
    }
}

fn read_error(error: Error) -> ReadError {
    let kind = match &error {
        Error::NotFound(_) => ReadErrorKind::NotFound,
        error if error.is_temporary() => ReadErrorKind::Temporary,
        _ => ReadErrorKind::Final,
    };
    ReadError { message: error.to_string(), kind }
}

fn outcome<T>(outcome: gam_github::WriteOutcome<T>, answer: impl FnOnce(T) -> WriteAnswer) -> WriteOutcome {
    match outcome {
        gam_github::WriteOutcome::Done(done) => WriteOutcome::Done(answer(done)),
        gam_github::WriteOutcome::Unknown(message) => WriteOutcome::Unknown { message },
        gam_github::WriteOutcome::Refused(refusal) => WriteOutcome::Refused {
            status: refusal.status,
            message: refusal.message,
            kind: match refusal.retry {
                WriteRetry::Never => RefusalKind::Final,
                WriteRetry::After(pause) => RefusalKind::Limited(pause),
                WriteRetry::Anytime => RefusalKind::NotSent,
            },
        },
    }
}

fn created(created: Created) -> WriteAnswer {
    let Created { number, id, url, labels, assignees, has_milestone } = created;
    WriteAnswer::Created { number, id, url, labels, assignees, has_milestone }
}

fn merge_status(progress: MergeProgress) -> MergeStatus {
    match progress {
        MergeProgress::Pending { uuid, sha } => MergeStatus::Pending { uuid, sha },
        MergeProgress::Merged { sha } => MergeStatus::Merged { sha },
        MergeProgress::Queued => MergeStatus::Queued,
        MergeProgress::Failed(message) => MergeStatus::Failed { message },
    }
}

fn pull_facts(pull: PullRequestState) -> PullFacts {
    PullFacts {
        number: pull.number,
        node_id: pull.node_id,
        url: pull.url,
        title: pull.title,
        body: pull.body,
        author: pull.author,
        state: match pull.state.as_str() {
            "OPEN" => PullState::Open,
            "MERGED" => PullState::Merged,
            _ => PullState::Closed,
        },
        is_draft: pull.is_draft,
        is_fork: pull.is_fork,
        head: pull.head,
        head_sha: pull.head_sha,
        base: pull.base,
        merge_sha: pull.merge_sha,
        is_queued: pull.is_queued,
        is_mergeable: pull.is_mergeable,
    }
}

fn listed(text: gam_github::ListedText) -> ListedText {
    let gam_github::ListedText { number, id, url, body, author, labels, assignees, has_milestone } = text;
    ListedText { number, id, url, body, author, labels, assignees, has_milestone }
}

impl GitHubWriter {
    /// Returns the settings of a client that writes, on every host.
    pub fn client_settings(api_url: String, credentials: Credentials) -> ClientSettings {
        ClientSettings {
            api_url,
            credentials,
            // A request that must wait goes back to the store, and others take their turns.
            max_wait: Duration::ZERO,
            parallelism: PARALLELISM,
            forks: true,
            budget: None,
        }
    }

    /// Connects a client whose credential may write.
    pub fn new(client: Client) -> Self {
        GitHubWriter { client, login: OnceCell::new() }
    }

    async fn client(&self, repo: &RepositoryName) -> Result<Client, ReadError> {
        self.client.for_org(&repo.owner).await.map_err(read_error)
    }
}

#[async_trait(?Send)]
impl GitHubActions for GitHubWriter {
    fn account(&self, owner: &str) -> String {
        match self.client.is_app() {
            true => format!("app/{}", owner.to_lowercase()),
            false => "token".to_owned(),
        }
    }

    async fn login(&self, _: &str) -> Result<String, ReadError> {
        let login = self.login.get_or_try_init(|| self.client.writing_login()).await;
        login.cloned().map_err(read_error)
    }

    async fn write(&self, repo: &RepositoryName, call: &WriteCall) -> WriteOutcome {
        let client = match self.client(repo).await {
            Ok(client) => client,
            Err(error) => {
                let kind = match error.kind {
                    ReadErrorKind::Temporary => RefusalKind::NotSent,
                    ReadErrorKind::NotFound | ReadErrorKind::Final => RefusalKind::Final,
                };
                return WriteOutcome::Refused { status: None, message: error.message, kind };
            }
        };
        let RepositoryName { owner, name } = repo;
        match call {
            WriteCall::CreateIssue { title, body, labels, assignees, milestone } => {
                let issue = NewIssue { title, body, labels, assignees, milestone: *milestone };
                outcome(client.create_issue(owner, name, &issue).await, created)
            }
            WriteCall::CreateComment { number, body } => {
                let comment = client.create_comment(owner, name, *number, body).await;
                outcome(comment.map(|it| Created { number: None, ..it }), created)
            }
            WriteCall::CreatePull { title, body, head, base, is_draft } => {
                let pull = NewPull { title, body, head, base, is_draft: *is_draft };
                outcome(client.create_pull(owner, name, &pull).await, created)
            }
            WriteCall::Approve { number, commit_id, body } => {
                let review = client.approve_pull(owner, name, *number, commit_id, body).await;
                outcome(review.map(|it| Created { number: None, ..it }), created)
            }
            WriteCall::Merge { number, sha, method, title, message, is_repeatable } => {
                let merge = NewMerge {
                    number: *number,
                    sha,
                    method: method.map(|method| method.as_str()),
                    title: title.as_deref(),
                    message: message.as_deref(),
                };
                let progress = match is_repeatable {
                    true => client.request_merge(owner, name, &merge).await,
                    false => client.merge_pull(owner, name, &merge).await,
                };
                outcome(progress, |progress| WriteAnswer::Merge(merge_status(progress)))
            }
            WriteCall::Enqueue { node_id, sha } => {
                let progress = client.enqueue_pull(node_id, sha).await;
                outcome(progress, |progress| WriteAnswer::Merge(merge_status(progress)))
            }
        }
    }

    async fn repository(&self, repo: &RepositoryName) -> Result<RepositoryFacts, ReadError> {
        let facts =
            self.client(repo).await?.writable_repo(&repo.owner, &repo.name).await.map_err(read_error)?;
        Ok(RepositoryFacts {
            name: RepositoryName { owner: facts.owner, name: facts.name },
            default_branch: facts.default_branch,
            is_archived: facts.is_archived,
            has_issues: facts.has_issues,
        })
    }

    async fn branches(&self, repo: &RepositoryName) -> Result<Vec<BranchFacts>, ReadError> {
        let branches =
            self.client(repo).await?.branches(&repo.owner, &repo.name).await.map_err(read_error)?;
        let facts = |branch: gam_github::Branch| BranchFacts {
            name: branch.name,
            sha: branch.sha,
            committed_at: branch.committed_at,
            has_open_pull: branch.has_open_pull,
        };
        Ok(branches.into_iter().map(facts).collect())
    }

    async fn branch(&self, repo: &RepositoryName, branch: &str) -> Result<Option<String>, ReadError> {
        let client = self.client(repo).await?;
        client.branch_tip(&repo.owner, &repo.name, branch).await.map_err(read_error)
    }

    async fn commits_ahead(&self, repo: &RepositoryName, base: &str, head: &str) -> Result<u64, ReadError> {
        let client = self.client(repo).await?;
        client.commits_ahead(&repo.owner, &repo.name, base, head).await.map_err(read_error)
    }

    async fn pull(&self, repo: &RepositoryName, number: i64) -> Result<Option<PullFacts>, ReadError> {
        let client = self.client(repo).await?;
        let pull = client.pull_state(&repo.owner, &repo.name, number).await.map_err(read_error)?;
        Ok(pull.map(pull_facts))
    }

    async fn open_pulls(&self, repo: &RepositoryName) -> Result<Vec<PullFacts>, ReadError> {
        let client = self.client(repo).await?;
        let pulls = client.open_pulls(&repo.owner, &repo.name).await.map_err(read_error)?;
        Ok(pulls.into_iter().map(pull_facts).collect())
    }

    async fn pulls_of(
        &self,
        repo: &RepositoryName,
        head: &str,
        base: &str,
    ) -> Result<Vec<PullFacts>, ReadError> {
        let client = self.client(repo).await?;
        let pulls = client.pulls_of_branch(&repo.owner, &repo.name, head, base).await.map_err(read_error)?;
        Ok(pulls.into_iter().map(pull_facts).collect())
    }

    async fn issues_since(
        &self,
        repo: &RepositoryName,
        since: DateTime<Utc>,
    ) -> Result<Vec<ListedText>, ReadError> {
        let client = self.client(repo).await?;
        let issues = client.texts_of_issues(&repo.owner, &repo.name, since).await.map_err(read_error)?;
        Ok(issues.into_iter().map(listed).collect())
    }

    async fn comments_since(
        &self,
        repo: &RepositoryName,
        number: i64,
        since: DateTime<Utc>,
    ) -> Result<Vec<ListedText>, ReadError> {
        let client = self.client(repo).await?;
        let comments =
            client.texts_of_comments(&repo.owner, &repo.name, number, since).await.map_err(read_error)?;
        Ok(comments.into_iter().map(listed).collect())
    }

    async fn reviews(&self, repo: &RepositoryName, number: i64) -> Result<Vec<ReviewFacts>, ReadError> {
        let client = self.client(repo).await?;
        let reviews = client.listed_reviews(&repo.owner, &repo.name, number).await.map_err(read_error)?;
        let facts = |review: gam_github::ListedReview| ReviewFacts {
            id: review.id,
            url: review.url,
            author: review.author,
            is_approval: review.is_approval,
            commit_id: review.commit_id,
        };
        Ok(reviews.into_iter().map(facts).collect())
    }

    async fn merge_status(
        &self,
        repo: &RepositoryName,
        number: i64,
        uuid: &str,
    ) -> Result<Option<MergeStatus>, ReadError> {
        let client = self.client(repo).await?;
        let progress =
            client.merge_progress(&repo.owner, &repo.name, number, uuid).await.map_err(read_error)?;
        Ok(progress.map(merge_status))
    }
}
