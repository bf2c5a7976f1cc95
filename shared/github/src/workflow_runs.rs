//! Runs of GitHub Actions workflows. GraphQL does not list them, so they come from REST.

use chrono::{DateTime, SecondsFormat, Utc};

use crate::client::Client;
use crate::error::Error;
use crate::repo_ref::RepoRef;
use crate::rest::{WorkflowRun, WorkflowRunsPage};

/// How many runs one request returns at most.
const RUNS_PER_REQUEST: usize = 100;
/// What the requests fetch, for messages.
const WORKFLOW_RUNS: &str = "workflow runs";

/// Which runs of a workflow to fetch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkflowRunQuery<'a> {
    /// The name of the workflow's file: `deploy.yml`.
    pub workflow: &'a str,
    /// The branch that the runs are on.
    pub branch: &'a str,
    /// The first and the last time of their creation, both included, UTC; `None` for the newest runs.
    pub created: Option<(DateTime<Utc>, DateTime<Utc>)>,
    /// The number of the page, from 1.
    pub page: usize,
}

/// The newest runs that a query matches.
#[derive(Debug, Clone, PartialEq)]
pub struct WorkflowRuns {
    /// The runs, the last created one first.
    pub runs: Vec<WorkflowRun>,
    /// Whether the query matches more runs.
    pub has_more: bool,
    /// Identifies the answer for a conditional request; `None` if GitHub sent no tag.
    pub etag: Option<String>,
}

impl WorkflowRunQuery<'_> {
    fn path(&self, repo: &RepoRef) -> String {
        let encode = |text: &str| -> String {
            url::form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>().replace('+', "%20")
        };
        let (workflow, branch) = (encode(self.workflow), encode(self.branch));
        let mut path = format!(
            "/repos/{}/{}/actions/workflows/{workflow}/runs?branch={branch}&per_page={RUNS_PER_REQUEST}",
            repo.owner, repo.name
        );
        if let Some((first, last)) = self.created {
            let time = |at: DateTime<Utc>| encode(&at.to_rfc3339_opts(SecondsFormat::Secs, true));
            path.push_str(&format!("&created={}..{}", time(first), time(last)));
        }
        if self.page > 1 {
            path.push_str(&format!("&page={}", self.page));
        }
        path
    }
}

impl Client {
    /// Fetches up to 100 runs of a workflow. Returns `None` if they are the same as in the answer that had the
    /// tag `etag`: that costs no points.
    ///
    /// # Errors
    /// [`Error::NotFound`] if the repository has no such workflow, or is gone; other errors if GitHub cannot be
    /// read.
    pub async fn workflow_runs(
        &self,
        repo: &RepoRef,
        query: &WorkflowRunQuery<'_>,
        etag: Option<&str>,
    ) -> Result<Option<WorkflowRuns>, Error> {
        let answer = self.get_if_changed::<WorkflowRunsPage>(WORKFLOW_RUNS, &query.path(repo), etag).await?;
        let Some((page, response)) = answer else { return Ok(None) };
        let has_more = page.workflow_runs.len() >= RUNS_PER_REQUEST;
        Ok(Some(WorkflowRuns { runs: page.workflow_runs, has_more, etag: response.etag }))
    }

    /// Fetches an earlier attempt of a run that was started again; `None` if GitHub no longer has it.
    ///
    /// # Errors
    /// If GitHub cannot be read.
    pub async fn workflow_run_attempt(
        &self,
        repo: &RepoRef,
        run_id: i64,
        attempt: i64,
    ) -> Result<Option<WorkflowRun>, Error> {
        let path = format!("/repos/{}/{}/actions/runs/{run_id}/attempts/{attempt}", repo.owner, repo.name);
        match self.get(WORKFLOW_RUNS, &path).await {
            Ok((run, _)) => Ok(Some(run)),
            Err(Error::NotFound(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_of_a_query_is_encoded() {
        let repo = RepoRef { owner: "acme".into(), name: "site".into(), node_id: "R_1".into(), id: 1 };
        let at = |second| DateTime::from_timestamp(second, 0).unwrap();
        let mut query =
            WorkflowRunQuery { workflow: "deploy it.yml", branch: "release/1+2", created: None, page: 1 };
        let path =
            "/repos/acme/site/actions/workflows/deploy%20it.yml/runs?branch=release%2F1%2B2&per_page=100";
        assert_eq!(query.path(&repo), path);
        (query.created, query.page) = (Some((at(0), at(60))), 2);
        let rest = "&created=1970-01-01T00%3A00%3A00Z..1970-01-01T00%3A01%3A00Z&page=2";
        assert_eq!(query.path(&repo), format!("{path}{rest}"));
    }
}
