//! Encodes session events to rows.

use std::sync::Arc;

use arrow_array::{ArrayRef, BooleanArray, Int64Array, RecordBatch, StringArray, StructArray};
use arrow_schema::DataType;
use gam_model::session_event::ActiveQuarter;
use gam_model::{FieldText, SessionEvent, SessionFacts, ToolOutcome};

use super::{Sessions, active_fields};
use crate::error::{Error, Result};
use crate::schema::{dictionary_array, list_array, times_array};
use crate::table::Table as _;

/// Returns the events as rows, in the same order.
///
/// # Errors
/// [`Error::Unusable`] if the columns do not fit together. No event can cause this.
pub(super) fn encode(events: &[SessionEvent]) -> Result<RecordBatch> {
    let facts = || events.iter().map(|event| &event.facts);
    let name = |field: fn(&SessionFacts) -> &Option<FieldText>| {
        dictionary_array(facts().map(move |facts| field(facts).as_ref().map(FieldText::as_str)))
    };
    let number = |field: fn(&SessionFacts) -> Option<i64>| -> ArrayRef {
        Arc::new(Int64Array::from_iter(facts().map(field)))
    };
    let columns: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from_iter_values(events.iter().map(|e| e.id.as_str()))),
        Arc::new(Int64Array::from_iter_values(events.iter().map(|e| e.version))),
        dictionary_array(events.iter().map(|e| Some(e.kind.as_str()))),
        dictionary_array(events.iter().map(|e| Some(e.org.as_str()))),
        dictionary_array(events.iter().map(|e| Some(e.repo.as_str()))),
        Arc::new(Int64Array::from_iter_values(events.iter().map(|e| e.repo_id))),
        dictionary_array(events.iter().map(|e| Some(e.member.name.as_str()))),
        Arc::new(Int64Array::from_iter(events.iter().map(|e| e.member.id))),
        dictionary_array(events.iter().map(|e| Some(e.member.kind.as_str()))),
        times_array(events.iter().map(|e| Some(e.occurred_at))),
        times_array(events.iter().map(|e| Some(e.collected_at))),
        Arc::new(BooleanArray::from_iter(events.iter().map(|e| Some(e.retracted)))),
        Arc::new(Int64Array::from_iter(events.iter().map(|e| (e.reading != 0).then_some(e.reading)))),
        dictionary_array(events.iter().map(|e| Some(e.agent.as_str()))),
        dictionary_array(events.iter().map(|e| Some(e.session.as_str()))),
        name(|f| &f.subagent),
        name(|f| &f.branch),
        Arc::new(BooleanArray::from_iter(facts().map(|f| f.replayed))),
        name(|f| &f.model),
        number(|f| f.input_tokens),
        number(|f| f.output_tokens),
        number(|f| f.reasoning_tokens),
        number(|f| f.cache_read_tokens),
        number(|f| f.cache_write_5m_tokens),
        number(|f| f.cache_write_1h_tokens),
        number(|f| f.web_searches),
        name(|f| &f.speed),
        Arc::new(BooleanArray::from_iter(facts().map(|f| f.is_final))),
        name(|f| &f.tool),
        dictionary_array(facts().map(|f| f.outcome.map(ToolOutcome::as_str))),
        number(|f| f.duration_ms),
        number(|f| f.additions),
        number(|f| f.deletions),
        times_array(facts().map(|f| f.started_at)),
        number(|f| f.prompts),
        number(|f| f.turns),
        active(&facts().map(|f| f.active.as_deref()).collect::<Vec<_>>()),
        name(|f| &f.client_version),
        name(|f| &f.entrypoint),
        name(|f| &f.forked_from),
        name(|f| &f.pr_repo),
        number(|f| f.number),
        Arc::new(StringArray::from_iter(facts().map(|f| f.sha.as_ref().map(FieldText::as_str)))),
    ];
    RecordBatch::try_new(Sessions::schema(), columns)
        .map_err(|error| Error::unusable("cannot encode session events as rows", error))
}

fn active(lists: &[Option<&[ActiveQuarter]>]) -> ArrayRef {
    let quarters = || lists.iter().flatten().copied().flatten();
    let columns: Vec<ArrayRef> = vec![
        times_array(quarters().map(|quarter| Some(quarter.at))),
        Arc::new(Int64Array::from_iter_values(quarters().map(|quarter| quarter.active_ms))),
    ];
    let fields = active_fields();
    let values = StructArray::new(fields.clone(), columns, None);
    list_array(lists, DataType::Struct(fields), Arc::new(values))
}
