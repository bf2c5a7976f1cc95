//! Use case audit: the log of who changed what, in which no change stays unnoticed.
//!
//! * A change commits its **audit row** in the same commit, as a record of the store that never expires.
//! * [`drain`] moves rows to the lake: it writes them as the next **segment** of the organization's log, which must not
//!   exist yet, and deletes the records afterwards. A segment contains the hash of the one before.
//! * What a killed drain has written is found by the next one, because the number of a segment is its name. So no row is
//!   lost, and none is written twice.
//! * [`verify()`] walks the chain, and compares it with **heads** that others remember: the store, and witnesses.
//! * [`SegmentLog`] reads the log. A position is a segment and a row, so a reader misses nothing and sees nothing twice.
//!
//! The times in the log are those of the changes, and nothing depends on their order.

mod configuration;
mod drain;
mod entry;
mod error;
mod head;
mod reader;
mod verify;
mod witness;

use std::sync::Arc;

use gam_lake::ObjectStore;
use gam_model::Clock;
use gam_store::RecordStore;

pub use configuration::log_configurations;
pub use drain::{DrainReport, drain};
pub use error::{AuditError, Result};
pub use head::{LogHead, current_head, stored_head};
pub use reader::SegmentLog;
pub use verify::{KnownHead, LogFault, Verification, verify};
pub use witness::{WitnessLine, parse_witness};

/// What the audit log needs.
#[derive(Clone)]
pub struct AuditPorts {
    /// The lake with the segments.
    pub objects: Arc<dyn ObjectStore>,
    /// The store with the rows that no segment has yet.
    pub records: Arc<dyn RecordStore>,
    /// The clock, which only decides whether a row still grows.
    pub clock: Arc<dyn Clock>,
}
