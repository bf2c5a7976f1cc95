//! The parts of a record of Claude Code that are read. All others are skipped, unseen.

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::json::{Lenient, Scalar};

/// A record.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Line<'a> {
    #[serde(borrow, default, rename = "type")]
    pub(super) record_type: Scalar<'a>,
    #[serde(borrow, default)]
    pub(super) subtype: Scalar<'a>,
    #[serde(borrow, default)]
    pub(super) session_id: Scalar<'a>,
    #[serde(borrow, default)]
    pub(super) timestamp: Scalar<'a>,
    #[serde(borrow, default)]
    pub(super) uuid: Scalar<'a>,
    #[serde(borrow, default)]
    pub(super) cwd: Scalar<'a>,
    #[serde(borrow, default)]
    pub(super) git_branch: Scalar<'a>,
    #[serde(borrow, default)]
    pub(super) version: Scalar<'a>,
    #[serde(borrow, default)]
    pub(super) entrypoint: Scalar<'a>,
    #[serde(borrow, default)]
    pub(super) agent_id: Scalar<'a>,
    #[serde(borrow, default)]
    pub(super) request_id: Scalar<'a>,
    #[serde(borrow, default)]
    pub(super) is_sidechain: Scalar<'a>,
    #[serde(borrow, default)]
    pub(super) is_meta: Scalar<'a>,
    #[serde(borrow, default)]
    pub(super) is_compact_summary: Scalar<'a>,
    #[serde(borrow, default)]
    pub(super) is_visible_in_transcript_only: Scalar<'a>,
    #[serde(borrow, default)]
    pub(super) is_api_error_message: Scalar<'a>,
    #[serde(borrow, default)]
    pub(super) pr_number: Scalar<'a>,
    #[serde(borrow, default)]
    pub(super) pr_repository: Scalar<'a>,
    #[serde(borrow, default)]
    pub(super) forked_from: Option<&'a RawValue>,
    /// Read with the record: to look for its end first would be another pass over most of the bytes.
    #[serde(borrow, default)]
    pub(super) message: Lenient<Message<'a>>,
    #[serde(borrow, default)]
    pub(super) tool_use_result: Option<&'a RawValue>,
    /// Records of type `progress`: what made progress.
    #[serde(borrow, default)]
    pub(super) data: Option<&'a RawValue>,
}

/// From where a fork copied a record.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ForkedFrom<'a> {
    #[serde(borrow, default)]
    pub(super) session_id: Scalar<'a>,
    #[serde(borrow, default)]
    pub(super) message_uuid: Scalar<'a>,
}

/// What a record of type `progress` holds.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Progress<'a> {
    #[serde(borrow, default, rename = "type")]
    pub(super) progress_type: Scalar<'a>,
    #[serde(borrow, default)]
    pub(super) agent_id: Scalar<'a>,
    /// A record of the subagent.
    #[serde(borrow, default)]
    pub(super) message: Option<&'a RawValue>,
}

/// A message: what a person wrote, what a model answered, or what a tool returned.
#[derive(Deserialize)]
pub(super) struct Message<'a> {
    #[serde(borrow, default)]
    pub(super) id: Scalar<'a>,
    #[serde(borrow, default)]
    pub(super) model: Scalar<'a>,
    #[serde(borrow, default)]
    pub(super) stop_reason: Scalar<'a>,
    #[serde(borrow, default)]
    pub(super) usage: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub(super) content: Option<&'a RawValue>,
}

/// The tokens of a response.
#[derive(Deserialize)]
pub(super) struct Usage<'a> {
    #[serde(borrow, default)]
    pub(super) input_tokens: Scalar<'a>,
    #[serde(borrow, default)]
    pub(super) output_tokens: Scalar<'a>,
    #[serde(borrow, default)]
    pub(super) cache_read_input_tokens: Scalar<'a>,
    #[serde(borrow, default)]
    pub(super) cache_creation_input_tokens: Scalar<'a>,
    #[serde(borrow, default)]
    pub(super) cache_creation: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub(super) server_tool_use: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub(super) speed: Scalar<'a>,
}

/// The tokens written to the cache, by how long they stay.
#[derive(Deserialize)]
pub(super) struct CacheCreation<'a> {
    #[serde(borrow, default)]
    pub(super) ephemeral_1h_input_tokens: Scalar<'a>,
}

/// What the service did for a response.
#[derive(Deserialize)]
pub(super) struct ServerToolUse<'a> {
    #[serde(borrow, default)]
    pub(super) web_search_requests: Scalar<'a>,
}

/// A part of a message.
#[derive(Deserialize)]
pub(super) struct Block<'a> {
    #[serde(borrow, default, rename = "type")]
    pub(super) block_type: Scalar<'a>,
    /// Tool calls: the id of the call.
    #[serde(borrow, default)]
    pub(super) id: Scalar<'a>,
    /// Tool calls: the name of the tool.
    #[serde(borrow, default)]
    pub(super) name: Scalar<'a>,
    /// Tool calls: the arguments. Only searched for the word `commit`.
    #[serde(borrow, default)]
    pub(super) input: Option<&'a RawValue>,
    /// Results: the id of the call.
    #[serde(borrow, default)]
    pub(super) tool_use_id: Scalar<'a>,
    /// Results: whether the call failed or was refused.
    #[serde(borrow, default)]
    pub(super) is_error: Scalar<'a>,
    /// Results: the output. Only searched for a refusal and for commit ids.
    #[serde(borrow, default)]
    pub(super) content: Option<&'a RawValue>,
    /// Texts. Only its beginning is looked at.
    #[serde(borrow, default)]
    pub(super) text: Option<&'a RawValue>,
}

/// The parsed result of a tool.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ToolUseResult<'a> {
    #[serde(borrow, default, rename = "type")]
    pub(super) result_type: Scalar<'a>,
    #[serde(borrow, default)]
    pub(super) interrupted: Scalar<'a>,
    #[serde(borrow, default)]
    pub(super) structured_patch: Option<&'a RawValue>,
    /// New files: their content. Only its lines are counted.
    #[serde(borrow, default)]
    pub(super) content: Option<&'a RawValue>,
}

/// A part of a patch.
#[derive(Deserialize)]
pub(super) struct Hunk<'a> {
    #[serde(borrow, default)]
    pub(super) lines: Option<&'a RawValue>,
}
