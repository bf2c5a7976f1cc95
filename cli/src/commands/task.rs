//! `task`: the tasks of workers.

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, Subcommand};
use gam_work::tasks::{Task, TaskError, TaskFilter, TaskState, Tasks};
use serde_json::{Value, json};

use super::token::LOCAL_PRINCIPAL;
use crate::api::ApiClient;
use crate::args::{self, OutputFormat};
use crate::error::{failure, usage_error};
use crate::exit::Exit;
use crate::open::OpenStore;
use crate::records::records_text;
use crate::session::CliSession;

const EXAMPLES: &str = "\
Examples:
  github-metrics task list
  github-metrics task list --state failed --format json
  github-metrics task list --org acme --api https://metrics.example.com
  github-metrics task requeue acme/site#42

A task is an issue with the label agent-ready, unless the configuration names others. After three
failures, or once it is completed, no worker gets it until somebody sets the label again or requeues
it.";

/// Number of tasks that one request lists.
const PAGE_TASKS: &str = "500";
/// Number of tasks that one read of the store lists.
const MAX_READ_TASKS: usize = 500;

/// Arguments of `task`.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct TaskArgs {
    #[command(subcommand)]
    action: TaskAction,
}

#[derive(Subcommand)]
enum TaskAction {
    /// List tasks, with the workers that have them
    List(TaskListArgs),
    /// Make a task assignable again that failed too often or is completed
    Requeue {
        /// Issue, as ORG/REPO#NUMBER
        #[arg(value_name = "ISSUE", value_parser = issue_name)]
        issue: IssueName,
    },
}

#[derive(Args)]
struct TaskListArgs {
    /// Organization [default: all]
    #[arg(long, value_name = "ORG", value_parser = args::org)]
    org: Option<String>,
    /// Only tasks in this state
    #[arg(long, value_name = "STATE", value_parser = state_parser())]
    state: Option<TaskState>,
    /// Only tasks of this repository
    #[arg(long, value_name = "REPO", value_parser = args::repo)]
    repo: Option<String>,
}

/// An issue, as given.
#[derive(Debug, Clone, PartialEq, Eq)]
struct IssueName {
    org: String,
    repo: String,
    number: i64,
}

fn issue_name(text: &str) -> Result<IssueName, String> {
    let parse = || {
        let (repo, number) = text.split_once('#')?;
        let (org, repo) = repo.split_once('/')?;
        let number = number.parse().ok().filter(|number| *number > 0)?;
        Some((args::org(org), args::repo(repo), number))
    };
    match parse() {
        Some((org, repo, number)) => Ok(IssueName { org: org?, repo: repo?, number }),
        None => Err("expected ORG/REPO#NUMBER, such as acme/site#42".to_owned()),
    }
}

fn state_parser() -> impl TypedValueParser<Value = TaskState> {
    PossibleValuesParser::new(TaskState::ALL.map(TaskState::as_str))
        .try_map(|name| TaskState::parse(&name).ok_or("unknown state"))
}

impl TaskArgs {
    /// Returns whether the command only reads, so that it can query a server.
    pub(crate) fn only_reads(&self) -> bool {
        matches!(self.action, TaskAction::List(_))
    }
}

/// Lists tasks, or requeues one.
pub(crate) async fn run(session: &CliSession, args: TaskArgs) -> anyhow::Result<Exit> {
    match args.action {
        TaskAction::List(args) => {
            let client = ApiClient::new(&session.settings).await?;
            let tasks = fetch_tasks(&client, args).await;
            client.close().await;
            print_tasks(session, &tasks?)?;
        }
        TaskAction::Requeue { issue } => {
            let store = OpenStore::open_existing_for_writing(&session.settings).await?;
            let requeued = requeue(&store, &issue).await;
            store.close().await;
            print_requeued(session, &issue, &requeued?)?;
        }
    }
    Ok(Exit::Success)
}

async fn fetch_tasks(client: &ApiClient, args: TaskListArgs) -> anyhow::Result<Vec<Value>> {
    let mut query = vec![("limit", PAGE_TASKS.to_owned())];
    query.extend(args.org.map(|org| ("org", org)));
    query.extend(args.state.map(|state| ("state", state.as_str().to_owned())));
    query.extend(args.repo.map(|repo| ("repo", repo)));
    let mut tasks = Vec::new();
    loop {
        let answer = client.send(async |client| client.get_json(&["tasks"], query.clone()).await).await?;
        tasks.extend(answer["tasks"].as_array().into_iter().flatten().cloned());
        let Some(next) = answer["next"].as_str() else { return Ok(tasks) };
        query.retain(|(name, _)| *name != "cursor");
        query.push(("cursor", next.to_owned()));
    }
}

fn print_tasks(session: &CliSession, tasks: &[Value]) -> anyhow::Result<()> {
    let console = &session.console;
    match session.settings.format {
        Some(OutputFormat::Json) => {
            console.write_line(session.for_stdout(json!({ "tasks": tasks }).to_string()))
        }
        format if tasks.is_empty() && format != Some(OutputFormat::Csv) => {
            console.print_info("there is no task: label an issue agent-ready, or loosen the filter");
            Ok(())
        }
        _ => {
            let records: Vec<Vec<String>> = tasks.iter().map(task_record).collect();
            let header = ["issue", "state", "worker", "lease until", "failures", "title"];
            console.write_data(records_text(session, &header, &records)?)
        }
    }
}

fn task_record(task: &Value) -> Vec<String> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let state = match task["waits_for"].as_str() {
        Some(reason) if task["state"] == "waiting" => format!("waiting: {reason}"),
        _ => text(&task["state"]),
    };
    vec![
        format!("{}/{}#{}", text(&task["org"]), text(&task["repo"]), task["number"]),
        state,
        text(&task["claim"]["worker"]),
        text(&task["claim"]["lease_until"]),
        task["failures"].to_string(),
        text(&task["title"]),
    ]
}

async fn requeue(store: &OpenStore, issue: &IssueName) -> anyhow::Result<Task> {
    let tasks = store.tasks();
    let org = store.registry().await?.key_of(&issue.org);
    let Some(repo_id) = find_repo_id(&tasks, &org, issue).await? else {
        return Err(usage_error(format!(
            "{}/{}#{} is no task: `github-metrics task list` lists them",
            issue.org, issue.repo, issue.number
        )));
    };
    tasks.requeue(LOCAL_PRINCIPAL, &org, repo_id, issue.number).await.map_err(|error| match error {
        TaskError::Invalid(message) => usage_error(message),
        TaskError::NotFound(message) => failure(message),
        error => error.into(),
    })
}

/// Returns the id of the repository of a task.
async fn find_repo_id(tasks: &Tasks, org: &str, issue: &IssueName) -> anyhow::Result<Option<i64>> {
    let filter = TaskFilter { state: None, repo: Some(issue.repo.clone()) };
    let mut after = None;
    loop {
        let page =
            tasks.list(org, &filter, |task| task.number == issue.number, MAX_READ_TASKS, after).await?;
        // A repository that was deleted and created again has another, greater id.
        if let Some(found) = page.tasks.last() {
            return Ok(Some(found.task.repo_id));
        }
        match page.next {
            Some(next) => after = Some(next),
            None => return Ok(None),
        }
    }
}

fn print_requeued(session: &CliSession, issue: &IssueName, task: &Task) -> anyhow::Result<()> {
    let IssueName { org, repo, number } = issue;
    let (state, reason) = (task.state(), task.waits_for.map(|reason| reason.as_str()));
    if session.wants_json() {
        let document = json!({ "requeued": format!("{org}/{repo}#{number}"), "state": state.as_str(), "waits_for": reason });
        return session.console.write_result(document.to_string());
    }
    let waits = reason.map(|reason| format!(", but no worker gets it yet: {reason}")).unwrap_or_default();
    session.console.write_summary(format!("requeued {org}/{repo}#{number}{waits}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_issue_names_its_repository() {
        let name = issue_name("Acme/Site#42").unwrap();
        assert_eq!((name.org.as_str(), name.repo.as_str(), name.number), ("Acme", "Site", 42));
        for invalid in ["", "42", "#42", "site#42", "acme/site", "acme/site#0", "acme/site#x", "a b/site#1"] {
            assert!(issue_name(invalid).is_err(), "{invalid}");
        }
    }
}
