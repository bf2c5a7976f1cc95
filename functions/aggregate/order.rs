//! What the function is told to do.

use std::collections::BTreeSet;

use gam_lake::{ObjectPath, paths};
use percent_encoding::percent_decode_str;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// How often an order is put back before it is given up.
const ROUNDS: u32 = 1_000;

/// An order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Order {
    /// Nothing: S3 has tried out whether its events arrive.
    Nothing,
    /// Work off the inboxes of these organizations.
    Inbox {
        /// The organizations, in lower case.
        orgs: BTreeSet<String>,
    },
    /// Look at everything: see [`Sweep`].
    Sweep(Sweep),
}

/// Work off the inbox, and look at every month whether its rollups match its snapshot.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Sweep {
    /// The organizations; all of the lake's where none is named.
    #[serde(default)]
    pub(crate) organizations: Vec<String>,
    /// Whether every rollup is computed anew.
    #[serde(default)]
    pub(crate) rebuild: bool,
    /// How often the order was put back.
    #[serde(default)]
    rounds: u32,
}

/// An order as it is written.
#[derive(Serialize, Deserialize)]
#[serde(tag = "action", rename_all = "snake_case")]
enum Written {
    Sweep(Sweep),
}

impl Sweep {
    /// The order to go on with these organizations; `None` where it was put back often enough.
    pub(crate) fn again(&self, organizations: Vec<String>) -> Option<String> {
        let rounds = self.rounds + 1;
        let next = Written::Sweep(Sweep { organizations, rounds, ..self.clone() });
        (rounds <= ROUNDS).then(|| serde_json::to_string(&next).expect("an order is JSON"))
    }
}

impl Order {
    /// Reads a message: an event of the lake's bucket, or an order. `in_lake` gives the path of a bucket's
    /// object, where it is the lake's.
    ///
    /// # Errors
    /// Where it is neither, or of another bucket, or of an object that is no batch; saying why.
    pub(crate) fn parse(
        body: &str,
        in_lake: impl Fn(&str, &str) -> Option<ObjectPath>,
    ) -> Result<Self, String> {
        let no_order = |error: serde_json::Error| {
            format!(
                "this is neither an event of the bucket nor an order ({error}): send {{\"action\": \"sweep\"}}"
            )
        };
        let value: Value = serde_json::from_str(body).map_err(no_order)?;
        if value["Event"] == "s3:TestEvent" {
            return Ok(Order::Nothing);
        }
        if value.get("Records").is_none() {
            return serde_json::from_value(value)
                .map(|Written::Sweep(sweep)| Order::Sweep(sweep))
                .map_err(no_order);
        }
        let news: News = serde_json::from_value(value).map_err(no_order)?;
        let orgs =
            news.records.into_iter().map(|record| org_of(record, &in_lake)).collect::<Result<_, _>>()?;
        Ok(Order::Inbox { orgs })
    }
}

/// What S3 tells of new objects, as far as it matters here. See
/// <https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-content-structure.html>.
#[derive(Deserialize)]
struct News {
    #[serde(rename = "Records")]
    records: Vec<Record>,
}

#[derive(Deserialize)]
struct Record {
    s3: Place,
}

#[derive(Deserialize)]
struct Place {
    bucket: Bucket,
    object: Object,
}

#[derive(Deserialize)]
struct Bucket {
    name: String,
}

#[derive(Deserialize)]
struct Object {
    key: String,
}

/// The organization whose batch was put.
fn org_of(record: Record, in_lake: impl Fn(&str, &str) -> Option<ObjectPath>) -> Result<String, String> {
    let bucket = record.s3.bucket.name;
    // Keys travel as in the query of a URL.
    let key = record.s3.object.key.replace('+', " ");
    let key = percent_decode_str(&key).decode_utf8_lossy();
    let path = in_lake(&bucket, &key).ok_or_else(|| {
        format!("{key:?} in bucket {bucket:?} is not in this lake: let only the lake's own bucket send its events here")
    })?;
    let (org, _) = paths::parse_inbox(&path).ok_or_else(|| {
        format!("{key:?} is no batch: only inbox/org=LOGIN/HASH.parquet is, so move it out of the inbox")
    })?;
    Ok(org)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn parse(body: &str) -> Result<Order, String> {
        Order::parse(body, |bucket, key| (bucket == "lake").then(|| ObjectPath::parse(key)).flatten())
    }

    fn put(bucket: &str, key: &str) -> Value {
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
    fn events_name_the_organizations_whose_batches_were_put() {
        let keys =
            ["inbox/org%3Dacme/ab.parquet", "inbox/org%3Dother/cd.parquet", "inbox/org=acme/ef.parquet"];
        let event = json!({ "Records": keys.map(|key| put("lake", key)) });
        let orgs = BTreeSet::from(["acme".to_owned(), "other".to_owned()]);
        assert_eq!(parse(&event.to_string()), Ok(Order::Inbox { orgs }));
        let test = json!({"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": "lake"});
        assert_eq!(parse(&test.to_string()), Ok(Order::Nothing));
    }

    #[test]
    fn what_is_no_batch_of_this_lake_is_refused_with_the_mend() {
        for (bucket, key, told) in [
            ("foreign", "inbox/org%3Dacme/ab.parquet", "not in this lake"),
            ("lake", "../x", "not in this lake"),
            ("lake", "inbox/notes+of+mine.txt", "\"inbox/notes of mine.txt\" is no batch"),
            ("lake", "events/org%3Dacme/month%3D2026-03/snapshot.parquet", "is no batch"),
        ] {
            let why = parse(&json!({ "Records": [put(bucket, key)] }).to_string()).unwrap_err();
            assert!(why.contains(told), "{key}: {why}");
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
    fn a_sweep_goes_on_with_what_is_left() {
        let Ok(Order::Sweep(sweep)) = parse("{\"action\":\"sweep\",\"rebuild\":true}") else {
            panic!("a sweep");
        };
        assert_eq!(sweep, Sweep { rebuild: true, ..Sweep::default() });
        let rest = sweep.again(vec!["b".into()]).unwrap();
        let Ok(Order::Sweep(rest)) = parse(&rest) else { panic!("a sweep: {rest}") };
        assert_eq!(
            (rest.organizations.as_slice(), rest.rebuild, rest.rounds),
            (&["b".to_owned()][..], true, 1)
        );
        let last = Sweep { rounds: ROUNDS, ..rest };
        assert_eq!(last.again(vec!["b".into()]), None);
    }
}
