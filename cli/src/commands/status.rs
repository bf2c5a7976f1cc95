//! `status`: what waits, what a change of rules has left to do, and how far the data is complete.

use chrono::{DateTime, Utc};
use clap::Args;
use gam_aggregate::{AggregatePorts, FoldStatus, RulesState, fold_status};
use gam_lake::inbox;
use gam_model::Month;
use gam_store::{Checkpoint, CheckpointKey, OrgCheckpoint};
use serde_json::{Value, json};

use crate::args::{self, OutputFormat};
use crate::commands::aggregate::{collected_orgs, select_orgs};
use crate::exit::Exit;
use crate::format::{bytes, count, csv_text, duration, tsv_text, utc};
use crate::location::StoreLocation;
use crate::open::OpenStore;
use crate::session::CliSession;
use crate::terminal_text::escaped;

const EXAMPLES: &str = "\
Examples:
  github-metrics status
  github-metrics status acme --format json
  github-metrics status --lake s3://BUCKET --store dynamodb:TABLE";

const HIDDEN_PROCESSES: &str = "processes that run now";
const HIDDEN_QUEUES: &str = "messages that wait in the queues of AWS";
/// How many months are listed by name.
const MAX_LISTED_MONTHS: usize = 3;

/// Arguments of `status`.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct StatusArgs {
    /// Organizations [default: all]
    #[arg(value_name = "ORG", value_parser = args::org)]
    orgs: Vec<String>,
}

/// The state of one organization.
struct OrgStatus {
    /// The current name.
    org: String,
    inbox: InboxStatus,
    fold: FoldStatus,
    collection: OrgCheckpoint,
}

/// The batches that wait in the inbox.
#[derive(Default)]
struct InboxStatus {
    batches: usize,
    /// Their size as Parquet.
    bytes: u64,
    /// When the oldest was written, UTC. `None` if there is none, or the lake does not say.
    oldest: Option<DateTime<Utc>>,
}

/// Prints the state of the organizations.
pub(crate) async fn run(session: &CliSession, args: StatusArgs) -> anyhow::Result<Exit> {
    let store = OpenStore::open_existing(&session.settings).await?;
    let exit = print_status(session, &store, &args.orgs).await;
    store.close().await;
    exit
}

async fn print_status(session: &CliSession, store: &OpenStore, requested: &[String]) -> anyhow::Result<Exit> {
    let (ports, registry) = (store.aggregate_ports_for_reading(), store.registry().await?);
    let collected = collected_orgs(store, &*ports.objects, &registry).await?;
    let requested: Vec<String> = requested.iter().map(|org| registry.current_name(org).to_owned()).collect();
    let (orgs, unknown) = select_orgs(&collected, &requested);
    let mut statuses = Vec::new();
    for org in orgs {
        statuses.push(org_status(&ports, &registry.key_of(org), org).await?);
    }
    let now = store.clock().now();
    let is_on_aws = matches!(session.settings.store, StoreLocation::Dynamo(_));
    let hidden: &[&str] = if is_on_aws { &[HIDDEN_PROCESSES, HIDDEN_QUEUES] } else { &[HIDDEN_PROCESSES] };
    let console = &session.console;
    match session.settings.format {
        Some(OutputFormat::Json) => {
            let orgs: Vec<Value> = statuses.iter().map(OrgStatus::to_json).collect();
            console.write_line(json!({ "orgs": orgs, "not_visible": hidden }).to_string())?;
        }
        format => {
            let output = console.output();
            let records: Vec<Vec<String>> = statuses.iter().flat_map(|status| status.records(now)).collect();
            let header = ["organization", "item", "state"].map(str::to_owned);
            let text = match format {
                Some(OutputFormat::Csv) => csv_text(&header, records)?,
                None if !output.is_terminal && !output.has_color => tsv_text(&header, &records),
                _ => aligned(&records),
            };
            console.write_data(text)?;
            console.print_info(format!("not visible here: {}", hidden.join("; ")));
            if is_on_aws {
                console.print_info("the dashboard of the stack shows the queues (docs/AWS.md)");
            }
        }
    }
    for org in &unknown {
        console.print_error(format!(
            "there is no data of {org} yet: check the spelling, or run `github-metrics collect {org}` first"
        ));
    }
    Ok(if unknown.is_empty() { Exit::Success } else { Exit::Failed })
}

/// Reads the state of the organization with this storage key.
async fn org_status(ports: &AggregatePorts, key: &str, org: &str) -> anyhow::Result<OrgStatus> {
    let batches = inbox::list::<gam_lake::Events>(&*ports.objects, key).await?;
    let inbox = InboxStatus {
        batches: batches.len(),
        bytes: batches.iter().map(|batch| batch.size).sum(),
        oldest: batches.iter().filter_map(|batch| batch.modified_at).min(),
    };
    let collection = Checkpoint::load(&*ports.checkpoints, &CheckpointKey::Org(key.to_owned())).await?.value;
    Ok(OrgStatus { org: org.to_owned(), inbox, fold: fold_status(ports, key).await?, collection })
}

impl OrgStatus {
    /// Returns the rows of the table: organization, item, state.
    fn records(&self, now: DateTime<Utc>) -> Vec<Vec<String>> {
        let gaps = self.collection.list_gaps(None).1;
        let mut rows = vec![
            ("inbox", self.inbox.text(now)),
            ("rules", rules_text(&self.fold)),
            ("collected", collection_text(&self.collection, now)),
        ];
        if !self.fold.lost_months.is_empty() {
            rows.push(("lost months", months_text(&self.fold.lost_months)));
        }
        if gaps > 0 {
            rows.push(("gaps", format!("{gaps}; `github-metrics doctor` lists them")));
        }
        rows.into_iter().map(|(item, state)| vec![self.org.clone(), item.to_owned(), state]).collect()
    }

    fn to_json(&self) -> Value {
        let OrgStatus { org, inbox, fold, collection } = self;
        let names = |months: &[Month]| months.iter().map(Month::to_string).collect::<Vec<_>>();
        json!({
            "org": org,
            "inbox": { "batches": inbox.batches, "bytes": inbox.bytes, "oldest": inbox.oldest },
            "rules": {
                "state": rules_state(fold),
                "has_answers": fold.has_answers,
                "months": fold.months,
                "months_done": fold.months - fold.months_left.len(),
                "months_left": names(&fold.months_left),
                "lost_months": names(&fold.lost_months),
            },
            "collection": {
                "complete_since": collection.org_complete_since(),
                "complete_until": collection.org_complete_until(),
                "repos_behind": repos_behind(collection),
                "gaps": collection.list_gaps(None).1,
                "compared_with_github": collection.reconciled_at,
            },
        })
    }
}

impl InboxStatus {
    fn text(&self, now: DateTime<Utc>) -> String {
        if self.batches == 0 {
            return "empty".to_owned();
        }
        let size = format!("{}, {}", count(self.batches, "batch", "batches"), bytes(self.bytes));
        match self.oldest {
            Some(oldest) => format!("{size}, the oldest from {}", time_text(oldest, now)),
            None => size,
        }
    }
}

/// Returns the name of the state that `--format json` prints.
fn rules_state(fold: &FoldStatus) -> &'static str {
    match fold.rules {
        RulesState::NewerHere => "pending",
        RulesState::NewerInStore => "newer_in_store",
        RulesState::Same if fold.is_changing => "changing",
        RulesState::Same if !fold.months_left.is_empty() => "stale",
        RulesState::Same => "current",
    }
}

fn rules_text(fold: &FoldStatus) -> String {
    let left = fold.months_left.len();
    let progress = || {
        format!(
            "{} of {} done, left: {}",
            fold.months - left,
            count(fold.months, "month", "months"),
            months_text(&fold.months_left)
        )
    };
    let answers = if fold.has_answers {
        "answers derive from the old rules until then"
    } else {
        "there are no answers until then"
    };
    match rules_state(fold) {
        "pending" if fold.months == 0 => "nothing was aggregated yet".to_owned(),
        "pending" => format!(
            "new rules wait: the next aggregation folds {}; {answers}",
            count(fold.months, "month", "months")
        ),
        "newer_in_store" => {
            "a newer github-metrics or configuration has set the rules; upgrade this program".to_owned()
        }
        "changing" => format!("changing: {}; {answers}", progress()),
        "stale" => format!("{}; run `github-metrics aggregate`", progress()),
        _ => format!("current, {}", count(fold.months, "month", "months")),
    }
}

/// Formats months: their number and the first of them.
fn months_text(months: &[Month]) -> String {
    let named: Vec<String> = months.iter().take(MAX_LISTED_MONTHS).map(Month::to_string).collect();
    let more = if months.len() > MAX_LISTED_MONTHS { ", ..." } else { "" };
    match months.len() {
        0 => "none".to_owned(),
        number => format!("{number} ({}{more})", named.join(", ")),
    }
}

fn collection_text(collection: &OrgCheckpoint, now: DateTime<Utc>) -> String {
    let since = collection.org_complete_since().map(|since| format!("complete from {} ", utc(since)));
    match (since, collection.org_complete_until()) {
        (Some(since), Some(until)) => format!("{since}until {}", time_text(until, now)),
        (_, None) if collection.repos.is_empty() && collection.reconciled_at.is_none() => "never".to_owned(),
        _ => format!(
            "not complete yet: {} left",
            count(repos_behind(collection), "repository is", "repositories are")
        ),
    }
}

/// Returns the number of repositories that were never read to the end.
fn repos_behind(collection: &OrgCheckpoint) -> usize {
    collection.repos.values().filter(|until| until.is_none()).count()
}

/// Formats a time with its distance from `now`.
fn time_text(at: DateTime<Utc>, now: DateTime<Utc>) -> String {
    let age = (now - at).to_std().unwrap_or_default();
    format!("{} ({} ago)", utc(at), duration(std::time::Duration::from_secs(age.as_secs())))
}

/// Formats records as aligned columns. An organization's name is printed once.
fn aligned(records: &[Vec<String>]) -> String {
    let mut text = String::new();
    let mut last = None;
    for record in records {
        let [org, item, state] = record.as_slice() else { continue };
        if last.replace(org) != Some(org) {
            text.push_str(&format!("{}\n", escaped(org)));
        }
        text.push_str(&format!("  {item:<12} {}\n", escaped(state)));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    fn months(names: &[&str]) -> Vec<Month> {
        names.iter().map(|name| Month::parse(name).unwrap()).collect()
    }

    fn fold(rules: RulesState, is_changing: bool, left: &[&str]) -> FoldStatus {
        let lost_months = Vec::new();
        FoldStatus {
            rules,
            is_changing,
            has_answers: true,
            months: 6,
            months_left: months(left),
            lost_months,
        }
    }

    fn statuses() -> Vec<OrgStatus> {
        let waiting =
            InboxStatus { batches: 3, bytes: 1_200_000, oldest: Some(time("2026-11-28T11:48:00Z")) };
        let collected = OrgCheckpoint {
            since: Some(time("2026-06-01T00:00:00Z")),
            complete_until: Some(time("2026-11-28T04:00:00Z")),
            ..OrgCheckpoint::default()
        };
        let partly = OrgCheckpoint {
            since: Some(time("2026-06-01T00:00:00Z")),
            repos: [(1, None), (2, None)].into(),
            ..OrgCheckpoint::default()
        };
        let left = ["2026-03", "2026-04", "2026-05", "2026-06"];
        let mut first = fold(RulesState::NewerHere, false, &left);
        first.has_answers = false;
        let mut lost = fold(RulesState::NewerInStore, false, &[]);
        lost.lost_months = months(&["2026-02"]);
        let status = |org: &str, inbox, fold, collection: &OrgCheckpoint| OrgStatus {
            org: org.to_owned(),
            inbox,
            fold,
            collection: collection.clone(),
        };
        let empty = InboxStatus::default;
        vec![
            status("acme", waiting, fold(RulesState::Same, true, &left), &collected),
            status("current", empty(), fold(RulesState::Same, false, &[]), &collected),
            status("first", empty(), first, &partly),
            status("lost", empty(), lost, &OrgCheckpoint::default()),
            status("stale", empty(), fold(RulesState::Same, false, &["2026-06"]), &collected),
        ]
    }

    fn assert_snapshot(name: &str, text: &str) {
        insta::with_settings!({ prepend_module_to_snapshot => false, omit_expression => true }, {
            insta::assert_snapshot!(name, text);
        });
    }

    #[test]
    fn every_state_is_explained() {
        let now = time("2026-11-28T12:00:00Z");
        let records: Vec<Vec<String>> = statuses().iter().flat_map(|status| status.records(now)).collect();
        assert_snapshot("status_table", &aligned(&records));
    }

    #[test]
    fn the_fields_of_json_never_change() {
        let statuses: Vec<Value> = statuses().iter().map(OrgStatus::to_json).collect();
        assert_snapshot("status_json", &serde_json::to_string_pretty(&statuses[..1]).unwrap());
    }
}
