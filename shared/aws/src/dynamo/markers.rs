//! Markers in DynamoDB.

use gam_model::Month;
use gam_store::error::{Error, Result};
use gam_store::{AdvanceOutcome, Epoch, FoldScope, Marker};

use super::item::{Item, number};
use super::keys::{TableKey, parse_marker_month};
use super::{ConditionalPut, DynamoStore};

/// Number of attempts to advance a marker that others advance at the same time.
const MAX_ADVANCE_ATTEMPTS: usize = 100;

fn parse_marker(item: &Item) -> Result<Marker> {
    let month = parse_marker_month(item.text("sk")?).ok_or_else(|| item.damaged("month"))?;
    Ok(Marker { month, generation: item.number("generation")?, floor: item.number("floor")? })
}

impl DynamoStore {
    pub(super) async fn read_marker(&self, org: &str, epoch: Epoch, month: Month) -> Result<Option<Marker>> {
        let item = self.get_item("reading a marker", &TableKey::marker(org, epoch, month)).await?;
        item.as_ref().map(parse_marker).transpose()
    }

    pub(super) async fn read_markers(&self, org: &str, epoch: Epoch) -> Result<Vec<Marker>> {
        let items = self.query_prefix("reading markers", &TableKey::markers(org, epoch)).await?;
        items.iter().map(parse_marker).collect()
    }

    pub(super) async fn advance_marker(
        &self,
        org: &str,
        epoch: Epoch,
        month: Month,
        generation: u64,
        scope: FoldScope,
    ) -> Result<AdvanceOutcome> {
        for _ in 0..MAX_ADVANCE_ATTEMPTS {
            let stored = self.read_marker(org, epoch, month).await?;
            let Some(next) = Marker::advanced(stored.as_ref(), month, generation, scope) else {
                return Ok(AdvanceOutcome::Refused);
            };
            if self.replace_marker(org, epoch, stored.as_ref(), &next).await? {
                return Ok(AdvanceOutcome::Advanced);
            }
        }
        let what = format!("other writers keep moving the marker of {month} of {org}");
        Err(Error::Unavailable { what, source: None })
    }

    /// Replaces the marker that was read. Returns false, and writes nothing, if another writer has moved it.
    async fn replace_marker(
        &self,
        org: &str,
        epoch: Epoch,
        stored: Option<&Marker>,
        next: &Marker,
    ) -> Result<bool> {
        let item = Item::new(&TableKey::marker(org, epoch, next.month))
            .with_number("generation", next.generation)
            .with_number("floor", next.floor);
        let request = self.put_request(item);
        let request = match stored {
            None => request.condition_expression("attribute_not_exists(pk)"),
            Some(stored) => request
                .condition_expression("generation = :generation AND #floor = :floor")
                .expression_attribute_names("#floor", "floor")
                .expression_attribute_values(":generation", number(stored.generation))
                .expression_attribute_values(":floor", number(stored.floor)),
        };
        Ok(matches!(self.put_conditionally("moving a marker", request).await?, ConditionalPut::Written))
    }
}
