//! The parts of a record of Codex that are read. All others are skipped, unseen.

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::json::Scalar;

/// A record. The oldest format has no payload: the record itself is the item, and the first one is the session.
#[derive(Deserialize)]
pub(super) struct Line<'a> {
    #[serde(borrow, default, rename = "type")]
    pub(super) record_type: Scalar<'a>,
    #[serde(borrow, default)]
    pub(super) timestamp: Scalar<'a>,
    #[serde(borrow, default)]
    pub(super) payload: Option<&'a RawValue>,
    /// The oldest format: the type of a record that is no item. It says nothing that is read.
    #[serde(borrow, default, rename = "record_type")]
    pub(super) state_type: Scalar<'a>,
    /// The oldest format: the id of the session, in the first record.
    #[serde(borrow, default)]
    pub(super) id: Scalar<'a>,
}

/// The payload of a record. The fields belong to many types of records.
#[derive(Deserialize)]
pub(super) struct Payload<'a> {
    #[serde(borrow, default, rename = "type")]
    pub(super) payload_type: Scalar<'a>,
    #[serde(borrow, default)]
    pub(super) id: Scalar<'a>,
    #[serde(borrow, default)]
    pub(super) timestamp: Scalar<'a>,
    #[serde(borrow, default)]
    pub(super) cwd: Scalar<'a>,
    #[serde(borrow, default)]
    pub(super) source: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub(super) cli_version: Scalar<'a>,
    #[serde(borrow, default)]
    pub(super) git: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub(super) forked_from_id: Scalar<'a>,
    #[serde(borrow, default)]
    pub(super) parent_thread_id: Scalar<'a>,
    #[serde(borrow, default)]
    pub(super) model: Scalar<'a>,
    #[serde(borrow, default)]
    pub(super) turn_id: Scalar<'a>,
    #[serde(borrow, default)]
    pub(super) started_at: Scalar<'a>,
    #[serde(borrow, default)]
    pub(super) trigger_turn: Scalar<'a>,
    #[serde(borrow, default)]
    pub(super) info: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub(super) name: Scalar<'a>,
    #[serde(borrow, default)]
    pub(super) call_id: Scalar<'a>,
    /// Tool calls: the arguments. Only searched for the word `commit`.
    #[serde(borrow, default)]
    pub(super) arguments: Option<&'a RawValue>,
    /// Tool calls: the patch of `apply_patch`. Only its lines are counted.
    #[serde(borrow, default)]
    pub(super) input: Option<&'a RawValue>,
    /// Results: the output. Only searched for an exit code, a refusal and commit ids.
    #[serde(borrow, default)]
    pub(super) output: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub(super) exit_code: Scalar<'a>,
}

/// The state of git when the session began.
#[derive(Deserialize)]
pub(super) struct Git<'a> {
    #[serde(borrow, default)]
    pub(super) branch: Scalar<'a>,
    #[serde(borrow, default)]
    pub(super) repository_url: Scalar<'a>,
}

/// The tokens of a session so far, and of its last response.
#[derive(Deserialize)]
pub(super) struct TokenInfo<'a> {
    #[serde(borrow, default)]
    pub(super) total_token_usage: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub(super) last_token_usage: Option<&'a RawValue>,
}

/// Tokens. Input includes what was read from the cache, and output includes reasoning.
#[derive(Deserialize, Debug, Clone, PartialEq, Default)]
pub(super) struct TokenUsage<'a> {
    #[serde(borrow, default)]
    pub(super) input_tokens: Scalar<'a>,
    #[serde(borrow, default)]
    pub(super) cached_input_tokens: Scalar<'a>,
    #[serde(borrow, default)]
    pub(super) output_tokens: Scalar<'a>,
    #[serde(borrow, default)]
    pub(super) reasoning_output_tokens: Scalar<'a>,
    #[serde(borrow, default)]
    pub(super) total_tokens: Scalar<'a>,
}
