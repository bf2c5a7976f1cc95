//! The commands that the function receives as messages.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use gam_aggregate::{MonthPlan, MonthTask};
use gam_aws::GroupedMessage;
use gam_functions::MAX_REQUEUES;
use gam_lake::{ObjectPath, paths};
use gam_model::Month;
use gam_store::Epoch;
use percent_encoding::percent_decode_str;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum AggregateCommand {
    /// Do nothing: S3 sends a test event when notifications are configured.
    Ignore,
    /// Process the inboxes of these organizations, in lower case.
    ProcessInboxes { orgs: BTreeSet<String> },
    /// Check everything, as [`SweepCommand`] says.
    Sweep(SweepCommand),
    /// Fold one month.
    FoldMonth(FoldMonthCommand),
}

/// Process the inbox, and check for every month whether its rollups match its snapshot.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SweepCommand {
    /// The organizations; empty for all organizations in the lake.
    #[serde(default)]
    pub(crate) organizations: Vec<String>,
    /// Whether all rollups are computed again.
    #[serde(default)]
    pub(crate) rebuild: bool,
    /// Number of times that the command was requeued.
    #[serde(default, rename = "rounds")]
    requeues: u32,
}

/// Fold one month in one epoch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct FoldMonthCommand {
    /// The organization's storage key.
    org: String,
    /// The number of the epoch.
    epoch: u64,
    /// The month, UTC: `YYYY-MM`.
    month: String,
    /// When a rebuild was requested, UTC, which folds the month in any case. `None` if it is folded only if its items
    /// do not match its snapshot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    rebuild: Option<DateTime<Utc>>,
}

/// The JSON format of commands.
#[derive(Serialize, Deserialize)]
#[serde(tag = "action", rename_all = "snake_case")]
enum CommandJson {
    Sweep(SweepCommand),
    FoldMonth(FoldMonthCommand),
}

impl FoldMonthCommand {
    /// Returns the message for each month of a plan. The queue drops a message with the text of another one of the
    /// last minutes. `rebuild` is when a rebuild was requested, UTC, if one was.
    pub(crate) fn messages(
        org: &str,
        plan: &MonthPlan,
        rebuild: Option<DateTime<Utc>>,
    ) -> Vec<GroupedMessage> {
        let message = |month: &Month| {
            let (org, month) = (org.to_owned(), month.to_string());
            let group = format!("{org}#{month}");
            let command = FoldMonthCommand { org, epoch: plan.epoch.0, month, rebuild };
            let body =
                serde_json::to_string(&CommandJson::FoldMonth(command)).expect("a command is valid JSON");
            GroupedMessage { group, body }
        };
        plan.months.iter().map(message).collect()
    }

    /// Returns the task, or `None` if the month is invalid.
    pub(crate) fn task(&self) -> Option<MonthTask> {
        Some(MonthTask {
            org: self.org.clone(),
            epoch: Epoch(self.epoch),
            month: Month::parse(&self.month)?,
            rebuild: self.rebuild.is_some(),
        })
    }
}

impl SweepCommand {
    /// Returns the command that sweeps one organization, by its name.
    pub(crate) fn for_org(org: &str) -> Self {
        SweepCommand { organizations: vec![org.to_owned()], ..SweepCommand::default() }
    }

    /// Returns whether both commands do the same work, however often they were requeued.
    pub(crate) fn has_same_work(&self, other: &SweepCommand) -> bool {
        (&self.organizations, self.rebuild) == (&other.organizations, other.rebuild)
    }

    /// Returns the same command, which computes only what is stale.
    pub(crate) fn without_rebuild(&self) -> Self {
        SweepCommand { rebuild: false, ..self.clone() }
    }

    /// Returns the command as a message.
    pub(crate) fn to_json(&self) -> String {
        serde_json::to_string(&CommandJson::Sweep(self.clone())).expect("a command is valid JSON")
    }

    /// Returns the message that requeues the command for the remaining organizations, or `None` if it was requeued
    /// [`MAX_REQUEUES`] times.
    pub(crate) fn requeue(&self, organizations: Vec<String>) -> Option<String> {
        let requeues = self.requeues + 1;
        let next = SweepCommand { organizations, requeues, ..self.clone() };
        (requeues <= MAX_REQUEUES).then(|| next.to_json())
    }
}

impl AggregateCommand {
    /// Parses a message: an event of the lake's bucket, or a command. `in_lake` returns the path of an object by
    /// bucket and key, or `None` if the object is not in the lake.
    ///
    /// # Errors
    /// If the message is neither, or the event is about another bucket or an object that is not a batch. The text
    /// says why and what to do.
    pub(crate) fn parse(
        body: &str,
        in_lake: impl Fn(&str, &str) -> Option<ObjectPath>,
    ) -> Result<Self, String> {
        let invalid = |error: serde_json::Error| {
            format!("neither an S3 event nor a command ({error}): expected {{\"action\": \"sweep\"}}")
        };
        let value: Value = serde_json::from_str(body).map_err(invalid)?;
        if value["Event"] == "s3:TestEvent" {
            return Ok(AggregateCommand::Ignore);
        }
        if value.get("Records").is_none() {
            return match serde_json::from_value(value).map_err(invalid)? {
                CommandJson::Sweep(sweep) => Ok(AggregateCommand::Sweep(sweep)),
                CommandJson::FoldMonth(month) if month.task().is_some() => {
                    Ok(AggregateCommand::FoldMonth(month))
                }
                CommandJson::FoldMonth(month) => {
                    Err(format!("invalid month {:?}: expected YYYY-MM", month.month))
                }
            };
        }
        let event: S3Notification = serde_json::from_value(value).map_err(invalid)?;
        let orgs =
            event.records.into_iter().map(|record| parse_org(record, &in_lake)).collect::<Result<_, _>>()?;
        Ok(AggregateCommand::ProcessInboxes { orgs })
    }
}

/// An event of S3 about new objects, with only the fields that are needed. See
/// <https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-content-structure.html>.
#[derive(Deserialize)]
struct S3Notification {
    #[serde(rename = "Records")]
    records: Vec<S3Record>,
}

#[derive(Deserialize)]
struct S3Record {
    s3: S3Entity,
}

#[derive(Deserialize)]
struct S3Entity {
    bucket: S3BucketName,
    object: S3ObjectKey,
}

#[derive(Deserialize)]
struct S3BucketName {
    name: String,
}

#[derive(Deserialize)]
struct S3ObjectKey {
    key: String,
}

/// Returns the organization of a new batch.
fn parse_org(record: S3Record, in_lake: impl Fn(&str, &str) -> Option<ObjectPath>) -> Result<String, String> {
    let bucket = record.s3.bucket.name;
    // S3 encodes keys as in the query string of a URL.
    let key = record.s3.object.key.replace('+', " ");
    let key = percent_decode_str(&key).decode_utf8_lossy();
    let path = in_lake(&bucket, &key).ok_or_else(|| {
        format!(
            "{key:?} in bucket {bucket:?} is not in this lake: send only the events of the lake's bucket to this queue"
        )
    })?;
    let events = paths::parse_inbox::<gam_lake::Events>(&path);
    let batch = events.or_else(|| paths::parse_inbox::<gam_lake::Sessions>(&path));
    let (org, _) = batch.ok_or_else(|| {
        format!(
            "{key:?} is not a batch (inbox/org=LOGIN/HASH.parquet, or sessions-inbox/): move it out of the inbox"
        )
    })?;
    Ok(org)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn parse(body: &str) -> Result<AggregateCommand, String> {
        AggregateCommand::parse(body, |bucket, key| {
            (bucket == "lake").then(|| ObjectPath::parse(key)).flatten()
        })
    }

    fn put_record(bucket: &str, key: &str) -> Value {
        json!({
            "eventVersion": "2.1", "eventSource": "aws:s3", "awsRegion": "us-east-1",
            "eventTime": "2026-03-01T00:00:00.000Z", "eventName": "ObjectCreated:Put",
            "userIdentity": {"principalId": "x"}, "requestParameters": {"sourceIPAddress": "127.0.0.1"},
            "responseElements": {},
            "s3": {
                "s3SchemaVersion": "1.0", "configurationId": "x",
                "bucket": {"name": bucket, "ownerIdentity": {"principalId": "x"}, "arn": "arn:aws:s3:::x"},
                "object": {"key": key, "size": 1, "eTag": "x", "sequencer": "0"},
            },
        })
    }

    #[test]
    fn events_contain_the_organizations_of_new_batches() {
        let keys = [
            "inbox/org%3Dacme/ab.parquet",
            "sessions-inbox/org%3Dother/cd.parquet",
            "inbox/org=acme/ef.parquet",
        ];
        let event = json!({ "Records": keys.map(|key| put_record("lake", key)) });
        let orgs = BTreeSet::from(["acme".to_owned(), "other".to_owned()]);
        assert_eq!(parse(&event.to_string()), Ok(AggregateCommand::ProcessInboxes { orgs }));
        let test = json!({"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": "lake"});
        assert_eq!(parse(&test.to_string()), Ok(AggregateCommand::Ignore));
    }

    #[test]
    fn objects_that_are_not_batches_of_this_lake_are_rejected_with_a_fix() {
        for (bucket, key, expected) in [
            ("foreign", "inbox/org%3Dacme/ab.parquet", "not in this lake"),
            ("lake", "../x", "not in this lake"),
            ("lake", "inbox/notes+of+mine.txt", "\"inbox/notes of mine.txt\" is not a batch"),
            ("lake", "events/org%3Dacme/month%3D2026-03/snapshot.parquet", "is not a batch"),
        ] {
            let reason = parse(&json!({ "Records": [put_record(bucket, key)] }).to_string()).unwrap_err();
            assert!(reason.contains(expected), "{key}: {reason}");
        }
        for body in [
            "",
            "{}",
            "[]",
            "{\"Records\": 1}",
            "{\"action\":\"plan\"}",
            "{\"action\":\"sweep\",\"orgs\":[]}",
        ] {
            assert!(parse(body).unwrap_err().contains("\"action\": \"sweep\""), "{body}");
        }
    }

    #[test]
    fn a_requeued_sweep_has_the_remaining_organizations() {
        let Ok(AggregateCommand::Sweep(sweep)) = parse("{\"action\":\"sweep\",\"rebuild\":true}") else {
            panic!("a sweep");
        };
        assert_eq!(sweep, SweepCommand { rebuild: true, ..SweepCommand::default() });
        let rest = sweep.requeue(vec!["b".into()]).unwrap();
        assert_eq!(
            rest, "{\"action\":\"sweep\",\"organizations\":[\"b\"],\"rebuild\":true,\"rounds\":1}",
            "messages of one version are read by another one during a deployment"
        );
        let Ok(AggregateCommand::Sweep(rest)) = parse(&rest) else { panic!("a sweep: {rest}") };
        assert_eq!(
            (rest.organizations.as_slice(), rest.rebuild, rest.requeues),
            (&["b".to_owned()][..], true, 1)
        );
        let last = SweepCommand { requeues: MAX_REQUEUES, ..rest };
        assert_eq!(last.requeue(vec!["b".into()]), None);
    }

    #[test]
    fn a_plan_is_one_message_a_month() {
        let months = ["2026-01", "2026-02"].map(|month| Month::parse(month).unwrap()).to_vec();
        let plan = MonthPlan { epoch: Epoch(7), is_target: true, months: months.clone() };
        let messages = FoldMonthCommand::messages("acme", &plan, None);
        assert_eq!(messages[0].group, "acme#2026-01");
        let body = "{\"action\":\"fold_month\",\"org\":\"acme\",\"epoch\":7,\"month\":\"2026-01\"}";
        assert_eq!(
            messages[0].body, body,
            "messages of one version are read by another one during a deployment"
        );
        let task = |message: &GroupedMessage| match parse(&message.body) {
            Ok(AggregateCommand::FoldMonth(command)) => command.task().unwrap(),
            other => panic!("{other:?}"),
        };
        let expected = |month, rebuild| MonthTask { org: "acme".to_owned(), epoch: Epoch(7), month, rebuild };
        assert_eq!(task(&messages[1]), expected(months[1], false));
        let rebuild = FoldMonthCommand::messages("acme", &plan, Some(DateTime::UNIX_EPOCH));
        assert_eq!(task(&rebuild[1]), expected(months[1], true));
        let later = FoldMonthCommand::messages("acme", &plan, DateTime::from_timestamp(1, 0));
        assert_ne!(rebuild[1].body, later[1].body, "the queue drops no second rebuild");
        let reason = parse(&body.replace("2026-01", "January")).unwrap_err();
        assert!(reason.contains("invalid month \"January\""), "{reason}");
    }

    #[test]
    fn requeued_sweeps_do_the_same_work() {
        let sweep = SweepCommand::for_org("acme");
        assert!(sweep.has_same_work(&SweepCommand { requeues: 3, ..sweep.clone() }));
        assert!(!sweep.has_same_work(&SweepCommand { rebuild: true, ..sweep.clone() }));
        assert!(!sweep.has_same_work(&SweepCommand::default()));
    }

    /// Schedules send this message, and it waits in queues while a new version is deployed.
    #[test]
    fn the_form_of_messages_never_changes() {
        let message = SweepCommand { rebuild: true, ..SweepCommand::default() }.requeue(vec!["acme".into()]);
        insta::with_settings!({ prepend_module_to_snapshot => false, omit_expression => true }, {
            insta::assert_snapshot!("aggregate_messages", message.unwrap());
        });
    }
}
