//! Which deployments of a repository have been read.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use gam_github::PageSize;
use serde::{Deserialize, Serialize};

use super::UnansweredEntries;

/// The deployments of a repository that have been read.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct DeploymentsCheckpoint {
    /// All deployments created from this moment on have been read, UTC; `None` before the first walk has
    /// finished.
    #[serde(rename = "since")]
    pub covered_from: Option<DateTime<Utc>>,
    /// When the newest deployment was created, as of the beginning of the last finished walk, UTC.
    pub watermark: Option<DateTime<Utc>>,
    /// The repository's latest activity when the last finished walk began, UTC.
    pub active_at: Option<DateTime<Utc>>,
    /// Number of deployments when the last finished walk began.
    pub total: i64,
    /// Deployments that may still succeed or fail, by numeric id.
    #[serde(with = "stored_unsettled")]
    pub unsettled: BTreeMap<i64, UnsettledDeployment>,
    /// When the oldest deployment was created that may still succeed or fail and is not in `unsettled`, UTC:
    /// there are too many to remember, so the list is read again from then on. `None` if all are remembered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub read_again_from: Option<DateTime<Utc>>,
    /// An unfinished walk.
    pub walk: Option<DeploymentsWalk>,
    /// Entries that GitHub lists but fails to return.
    #[serde(skip_serializing_if = "UnansweredEntries::is_empty")]
    pub unanswered: UnansweredEntries,
    /// The page size that GitHub could answer; `None` if no page was too large for it.
    #[serde(rename = "size", skip_serializing_if = "Option::is_none")]
    pub page_size: Option<PageSize>,
}

impl DeploymentsCheckpoint {
    /// How many deployments are remembered at most, so that the checkpoint stays small.
    pub const MAX_UNSETTLED: usize = 5_000;

    /// Remembers a deployment that may still succeed or fail. If they become too many, the time of the oldest
    /// one is remembered instead.
    pub(crate) fn remember(&mut self, id: i64, deployment: UnsettledDeployment) {
        self.unsettled.insert(id, deployment);
        if self.unsettled.len() > Self::MAX_UNSETTLED {
            let unsettled = std::mem::take(&mut self.unsettled).into_values();
            let oldest = unsettled.map(|deployment| deployment.created_at).min();
            self.read_again_from = self.read_again_from.into_iter().chain(oldest).min();
        }
    }
}

/// A deployment that may still succeed or fail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnsettledDeployment {
    /// The GraphQL node id.
    pub node_id: String,
    /// When it was created, UTC.
    pub created_at: DateTime<Utc>,
    /// Whether it has failed, and its failure was written.
    pub has_failed: bool,
}

/// How unsettled deployments are stored: as one list of rows in the order of their ids, each relative to the row
/// before. Thousands of them must fit into the checkpoint.
mod stored_unsettled {
    use std::collections::BTreeMap;

    use chrono::{DateTime, Utc};
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use super::UnsettledDeployment;

    #[derive(Serialize, Deserialize)]
    struct Rows {
        /// What all node ids begin with.
        prefix: String,
        /// By how much the id is greater than that of the row before, by how many seconds it was created
        /// later, the rest of the node id, and 1 if it has failed.
        rows: Vec<(i64, i64, String, u8)>,
    }

    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Stored {
        Rows(Rows),
        /// The form of earlier versions, by id.
        ById(BTreeMap<String, StoredById>),
    }

    #[derive(Deserialize)]
    struct StoredById {
        node_id: String,
        created_at: DateTime<Utc>,
        #[serde(default)]
        failed_at: Option<DateTime<Utc>>,
    }

    /// Returns the length in bytes of what both texts begin with.
    fn common_prefix(a: &str, b: &str) -> usize {
        let same = a.char_indices().zip(b.chars()).take_while(|((_, a), b)| a == b);
        same.last().map_or(0, |((at, last), _)| at + last.len_utf8())
    }

    pub(super) fn serialize<S: Serializer>(
        unsettled: &BTreeMap<i64, UnsettledDeployment>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        let Some(first) = unsettled.values().next() else {
            return BTreeMap::<String, ()>::new().serialize(serializer);
        };
        let shared = unsettled.values().map(|it| common_prefix(&first.node_id, &it.node_id)).min();
        let prefix = &first.node_id[..shared.unwrap_or_default()];
        let (mut last_id, mut last_second) = (0, 0);
        let rows = unsettled.iter().map(|(id, deployment)| {
            let second = deployment.created_at.timestamp();
            let rest = deployment.node_id[prefix.len()..].to_owned();
            let row = (id - last_id, second - last_second, rest, u8::from(deployment.has_failed));
            (last_id, last_second) = (*id, second);
            row
        });
        Rows { prefix: prefix.to_owned(), rows: rows.collect() }.serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<BTreeMap<i64, UnsettledDeployment>, D::Error> {
        match Stored::deserialize(deserializer)? {
            Stored::ById(by_id) => {
                let entries = by_id.into_iter().map(|(id, it)| {
                    let id =
                        id.parse().map_err(|_| D::Error::custom(format!("{id:?} is not a numeric id")))?;
                    let has_failed = it.failed_at.is_some();
                    let (node_id, created_at) = (it.node_id, it.created_at);
                    Ok((id, UnsettledDeployment { node_id, created_at, has_failed }))
                });
                entries.collect()
            }
            Stored::Rows(Rows { prefix, rows }) => {
                let (mut id, mut second) = (0_i64, 0_i64);
                let entries = rows.into_iter().map(|(ids, seconds, rest, failed)| {
                    (id, second) = (id.saturating_add(ids), second.saturating_add(seconds));
                    let created_at = DateTime::from_timestamp(second, 0)
                        .ok_or_else(|| D::Error::custom(format!("{second} is not a time")))?;
                    let node_id = format!("{prefix}{rest}");
                    Ok((id, UnsettledDeployment { node_id, created_at, has_failed: failed != 0 }))
                });
                entries.collect()
            }
        }
    }
}

/// An unfinished walk from the newest deployment down.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeploymentsWalk {
    /// When the newest deployment was created, as of the beginning of the walk, UTC.
    pub watermark: Option<DateTime<Utc>>,
    /// The repository's latest activity when the walk began, UTC.
    pub active_at: Option<DateTime<Utc>>,
    /// The walk reads every deployment created from this moment on, UTC.
    #[serde(rename = "floor")]
    pub lower_bound: DateTime<Utc>,
    /// Number of deployments when the walk began.
    pub total: i64,
    /// The cursor of the next page; `None` for the first.
    pub cursor: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn preview(number: i64) -> UnsettledDeployment {
        // As long as the node ids of GitHub.
        let node_id = format!("DE_kwDOAJy2Ks{number:09x}");
        let created_at = DateTime::from_timestamp(1_700_000_000 + number * 211, 0).expect("a time");
        UnsettledDeployment { node_id, created_at, has_failed: number % 3 == 0 }
    }

    #[test]
    fn tens_of_thousands_of_previews_fit_the_checkpoint() {
        let mut checkpoint = DeploymentsCheckpoint::default();
        let mut longest = 0;
        for number in 1..=36_000 {
            checkpoint.remember(2_345_678_901 + number * 97, preview(number));
            if number % 1_000 == 0 {
                longest = longest.max(serde_json::to_string(&checkpoint).expect("it is JSON").len());
            }
        }
        assert!(longest > 80_000, "{longest} bytes: the longest form was measured");
        assert!(longest <= 256 * 1024, "{longest} bytes");
        assert_eq!(checkpoint.read_again_from, Some(preview(1).created_at));
        assert!(checkpoint.unsettled.len() <= DeploymentsCheckpoint::MAX_UNSETTLED);
    }

    #[test]
    fn unsettled_deployments_survive_a_round_trip() {
        let mut checkpoint = DeploymentsCheckpoint::default();
        for (id, node_id) in [(7, "DE_é1"), (9, "DE_é"), (30, "MDEw"), (31, "")] {
            let deployment = UnsettledDeployment { node_id: node_id.to_owned(), ..preview(id) };
            checkpoint.remember(id, deployment);
        }
        let text = serde_json::to_string(&checkpoint).expect("it is JSON");
        assert_eq!(serde_json::from_str::<DeploymentsCheckpoint>(&text).expect("a checkpoint"), checkpoint);
    }

    #[test]
    fn the_form_of_earlier_versions_is_read() {
        let stored = r#"{"unsettled":{"41":{"node_id":"DE_41","created_at":"2024-03-17T12:00:00Z",
            "failed_at":"2024-03-18T12:00:00Z"},"42":{"node_id":"DE_42","created_at":"2024-03-18T12:00:00Z"}}}"#;
        let checkpoint: DeploymentsCheckpoint = serde_json::from_str(stored).expect("a checkpoint");
        let failed =
            |id: i64| (checkpoint.unsettled[&id].node_id.as_str(), checkpoint.unsettled[&id].has_failed);
        assert_eq!((failed(41), failed(42)), (("DE_41", true), ("DE_42", false)));
    }
}
