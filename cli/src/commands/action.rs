//! `action`: the actions on GitHub.

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, Subcommand};
use gam_access::{Principal, Role};
use gam_work::actions::{
    Action, ActionError, ActionId, ActionResolution, ActionState, ApprovalLink, Decision,
};
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
  github-metrics action list --state waiting
  github-metrics action show acme.1795000000000.9f3a2b1c0d4e5f60
  github-metrics action approve acme.1795000000000.9f3a2b1c0d4e5f60
  github-metrics action link acme.1795000000000.9f3a2b1c0d4e5f60 --for ann
  github-metrics action resolve acme.1795000000000.9f3a2b1c0d4e5f60 --done https://github.com/acme/site/issues/7

An action is requested with the API: POST /api/v1/create-issue, create-comment, create-pr or
approve-merge-pr. It is unknown if GitHub's answer was lost and nothing shows whether it was done.";

/// Number of actions that one request lists.
const PAGE_ACTIONS: &str = "500";

/// Arguments of `action`.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ActionArgs {
    #[command(subcommand)]
    command: ActionCommand,
}

#[derive(Subcommand)]
enum ActionCommand {
    /// List actions, the newest first
    List(ActionListArgs),
    /// Show an action: what it is about, its state, and what it made
    Show {
        /// Id of the action
        #[arg(value_name = "ID", value_parser = action_id)]
        id: ActionId,
    },
    /// Approve an action that waits: as the user of this machine, or with --api as the holder of the token
    Approve {
        /// Id of the action
        #[arg(value_name = "ID", value_parser = action_id)]
        id: ActionId,
        /// Content hash that you have seen [default: that of the present content]
        #[arg(long, value_name = "HASH")]
        hash: Option<String>,
    },
    /// Reject an action that waits
    Reject {
        /// Id of the action
        #[arg(value_name = "ID", value_parser = action_id)]
        id: ActionId,
        /// Why, for the requester
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
    },
    /// Print a link with which an approver decides about an action that waits, without signing in
    Link {
        /// Id of the action
        #[arg(value_name = "ID", value_parser = action_id)]
        id: ActionId,
        /// Name of the approver's token
        #[arg(long = "for", value_name = "NAME")]
        approver: String,
    },
    /// Have a failed action attempted again; what is done is not repeated
    Retry {
        /// Id of the action
        #[arg(value_name = "ID", value_parser = action_id)]
        id: ActionId,
    },
    /// Say whether an unknown action was done
    Resolve(ResolveArgs),
}

#[derive(Args)]
struct ActionListArgs {
    /// Organization [default: all]
    #[arg(long, value_name = "ORG", value_parser = args::org)]
    org: Option<String>,
    /// Only actions in this state
    #[arg(long, value_name = "STATE", value_parser = state_parser())]
    state: Option<ActionState>,
    /// Only actions in this repository
    #[arg(long, value_name = "REPO", value_parser = args::repo)]
    repo: Option<String>,
}

#[derive(Args)]
struct ResolveArgs {
    /// Id of the action
    #[arg(value_name = "ID", value_parser = action_id)]
    id: ActionId,
    /// It was done, and this is what it made
    #[arg(long, value_name = "URL", required_unless_present = "not_done", conflicts_with = "not_done")]
    done: Option<String>,
    /// It was not done
    #[arg(long)]
    not_done: bool,
}

fn action_id(text: &str) -> Result<ActionId, String> {
    ActionId::parse(text)
        .ok_or_else(|| "expected the id of an action, as `github-metrics action list` shows it".to_owned())
}

fn state_parser() -> impl TypedValueParser<Value = ActionState> {
    PossibleValuesParser::new(ActionState::ALL.map(ActionState::as_str))
        .try_map(|name| ActionState::parse(&name).ok_or("unknown state"))
}

/// Lists, shows or changes actions.
pub(crate) async fn run(session: &CliSession, args: ActionArgs) -> anyhow::Result<Exit> {
    match args.command {
        ActionCommand::List(args) => {
            let client = ApiClient::new(&session.settings).await?;
            let actions = fetch_actions(&client, args).await;
            client.close().await;
            print_actions(session, &actions?)?;
        }
        ActionCommand::Show { id } => {
            let client = ApiClient::new(&session.settings).await?;
            let id = id.to_string();
            let action = client.send(async |client| client.get_json(&["actions", &id], vec![]).await).await;
            client.close().await;
            print_action(session, &action?)?;
        }
        ActionCommand::Link { id, approver } => {
            let link = match session.settings.api {
                Some(_) => link_by_api(session, &id, &approver).await?,
                None => link_of_store(session, &id, &approver).await?,
            };
            match session.wants_json() {
                true => session.console.write_result(link.to_string())?,
                false => session.console.write_line(text(&link["url"]))?,
            }
        }
        command => {
            let (id, state) = match session.settings.api {
                Some(_) => change_by_api(session, command).await?,
                None => {
                    let store = OpenStore::open_existing_for_writing(&session.settings).await?;
                    let changed = change(&store, command).await;
                    store.close().await;
                    let action = changed?;
                    (action.id.to_string(), action.state().as_str().to_owned())
                }
            };
            match session.wants_json() {
                true => session.console.write_result(json!({ "action": id, "state": state }).to_string())?,
                false => session.console.write_summary(format!("action {id} is {state}"))?,
            }
        }
    }
    Ok(Exit::Success)
}

/// Carries out a command that changes an action on a server, with the rights of the token. Returns id and state.
async fn change_by_api(session: &CliSession, command: ActionCommand) -> anyhow::Result<(String, String)> {
    let client = ApiClient::new(&session.settings).await?;
    let present_hash = async |id: &str| {
        let action = client.send(async |client| client.get_json(&["actions", id], vec![]).await).await?;
        Ok::<Value, anyhow::Error>(action["hash"].clone())
    };
    let (id, [root, verb], body) = match command {
        ActionCommand::Approve { id, hash } => {
            let id = id.to_string();
            let hash = match hash {
                Some(hash) => hash.into(),
                None => present_hash(&id).await?,
            };
            (id, ["approvals", "approve"], json!({ "hash": hash }))
        }
        ActionCommand::Reject { id, reason } => {
            let id = id.to_string();
            let hash = present_hash(&id).await?;
            (id, ["approvals", "reject"], json!({ "hash": hash, "reason": reason }))
        }
        ActionCommand::Retry { id } => (id.to_string(), ["actions", "retry"], json!({})),
        ActionCommand::Resolve(ResolveArgs { id, done, not_done }) => {
            (id.to_string(), ["actions", "resolve"], json!({ "done": done, "not_done": not_done }))
        }
        ActionCommand::List(_) | ActionCommand::Show { .. } | ActionCommand::Link { .. } => {
            return Err(failure("nothing to change"));
        }
    };
    let answer = client.post(&[root, &id, verb], &body).await;
    client.close().await;
    let answer = answer?;
    match answer.refusal {
        Some(refusal) => Err(refusal),
        None => Ok((text(&answer.json["action"]), text(&answer.json["state"]))),
    }
}

async fn link_by_api(session: &CliSession, id: &ActionId, approver: &str) -> anyhow::Result<Value> {
    let client = ApiClient::new(&session.settings).await?;
    let body = json!({ "approver": approver });
    let answer = client.post(&["approvals", &id.to_string(), "link"], &body).await;
    client.close().await;
    let answer = answer?;
    answer.refusal.map_or(Ok(answer.json), Err)
}

async fn link_of_store(session: &CliSession, id: &ActionId, approver: &str) -> anyhow::Result<Value> {
    let Some(links) = session.settings.approval_links()? else {
        return Err(usage_error(
            "a link needs GITHUB_METRICS_LINK_KEY and GITHUB_METRICS_PUBLIC_URL: set both as for the server",
        ));
    };
    let store = OpenStore::open_existing_for_writing(&session.settings).await?;
    let link = make_link(&store, id, approver).await;
    store.close().await;
    let link = link?;
    Ok(json!({ "url": links.url(&link), "expires_at": link.expires_at }))
}

async fn make_link(store: &OpenStore, id: &ActionId, approver: &str) -> anyhow::Result<ApprovalLink> {
    let link = store.actions().make_link(&LOCAL_PRINCIPAL.into(), id, (&store.tokens(), approver)).await;
    link.map_err(action_error)
}

/// Carries out a command that changes an action in the store. A server that runs does the rest.
async fn change(store: &OpenStore, command: ActionCommand) -> anyhow::Result<Action> {
    let actions = store.actions();
    let user = Principal::trusted(LOCAL_PRINCIPAL, Role::Admin);
    let requester = (&user).into();
    let present_hash = async |id: &ActionId| match actions.get(id).await {
        Ok(Some(action)) => Ok(action.content_hash()),
        Ok(None) => Err(ActionError::NotFound(format!("there is no action {id}: list the actions"))),
        Err(error) => Err(error),
    };
    let changed = match command {
        ActionCommand::Approve { id, hash } => match hash {
            Some(hash) => actions.decide(&user, &id, &hash, &Decision::Approve).await,
            None => match present_hash(&id).await {
                Ok(hash) => actions.decide(&user, &id, &hash, &Decision::Approve).await,
                Err(error) => Err(error),
            },
        },
        ActionCommand::Reject { id, reason } => match present_hash(&id).await {
            Ok(hash) => actions.decide(&user, &id, &hash, &Decision::Reject { reason }).await,
            Err(error) => Err(error),
        },
        ActionCommand::Retry { id } => actions.retry(&requester, &id).await,
        ActionCommand::Resolve(ResolveArgs { id, done, .. }) => {
            let resolution = done.map_or(ActionResolution::NotDone, |url| ActionResolution::Done { url });
            actions.resolve(&requester, &id, &resolution).await
        }
        ActionCommand::List(_) | ActionCommand::Show { .. } | ActionCommand::Link { .. } => {
            return Err(failure("nothing to change"));
        }
    };
    changed.map_err(action_error)
}

fn action_error(error: ActionError) -> anyhow::Error {
    match error {
        ActionError::Invalid(message) => usage_error(message),
        ActionError::NotFound(message)
        | ActionError::Forbidden(message)
        | ActionError::Conflict(message)
        | ActionError::Expired(message) => failure(message),
        error => error.into(),
    }
}

async fn fetch_actions(client: &ApiClient, args: ActionListArgs) -> anyhow::Result<Vec<Value>> {
    let mut query = vec![("limit", PAGE_ACTIONS.to_owned())];
    query.extend(args.org.map(|org| ("org", org)));
    query.extend(args.state.map(|state| ("state", state.as_str().to_owned())));
    query.extend(args.repo.map(|repo| ("repo", repo)));
    let mut actions = Vec::new();
    loop {
        let answer = client.send(async |client| client.get_json(&["actions"], query.clone()).await).await?;
        actions.extend(answer["actions"].as_array().into_iter().flatten().cloned());
        let Some(next) = answer["next"].as_str() else { return Ok(actions) };
        query.retain(|(name, _)| *name != "cursor");
        query.push(("cursor", next.to_owned()));
    }
}

fn print_actions(session: &CliSession, actions: &[Value]) -> anyhow::Result<()> {
    let console = &session.console;
    match session.settings.format {
        Some(OutputFormat::Json) => {
            console.write_line(session.for_stdout(json!({ "actions": actions }).to_string()))
        }
        format if actions.is_empty() && format != Some(OutputFormat::Csv) => {
            console.print_info("there is no action: request one with the API, or loosen the filter");
            Ok(())
        }
        _ => {
            let records: Vec<Vec<String>> = actions.iter().map(action_record).collect();
            let header = ["action", "kind", "repository", "state", "requested by", "message"];
            console.write_data(records_text(session, &header, &records)?)
        }
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn action_record(action: &Value) -> Vec<String> {
    ["action", "kind", "repository", "state", "requested_by", "message"]
        .map(|name| text(&action[name]))
        .to_vec()
}

fn print_action(session: &CliSession, action: &Value) -> anyhow::Result<()> {
    let console = &session.console;
    if session.settings.format == Some(OutputFormat::Json) {
        return console.write_line(session.for_stdout(action.to_string()));
    }
    let approvals = action["approvals"].as_array().map_or(0, Vec::len);
    let approvals = format!("{approvals} of {}", action["approvals_required"]);
    let fields = [
        ("action", text(&action["action"])),
        ("kind", text(&action["kind"])),
        ("repository", text(&action["repository"])),
        ("state", text(&action["state"])),
        ("message", text(&action["message"])),
        ("requested by", text(&action["requested_by"])),
        ("created at", text(&action["created_at"])),
        ("approvals", approvals),
        ("hash", text(&action["hash"])),
        ("content", action["content"].to_string()),
        ("request", action["request"].to_string()),
        ("result", action["result"].to_string()),
    ];
    let records: Vec<Vec<String>> =
        fields.into_iter().map(|(name, value)| vec![name.to_owned(), value]).collect();
    console.write_data(records_text(session, &["field", "value"], &records)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_action_is_named_by_its_id() {
        assert!(action_id("acme.1795000000000.9f3a2b1c0d4e5f60").is_ok());
        for invalid in ["", "7", "acme/site#7", "acme.1.2"] {
            assert!(action_id(invalid).unwrap_err().contains("action list"), "{invalid}");
        }
    }
}
