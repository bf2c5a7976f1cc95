//! Generates lakes of any size, and session logs, to measure the pipeline on.
//!
//! A lake follows from its [`LakeShape`] and nothing else: the same seed gives the same bytes. Few repositories
//! and members have most of the events, people work by day and on weekdays, bots always. Every kind of event
//! occurs: half of the rows are commits, a tenth each are pull requests opened and merged, a fifth are reviews.
//! There are retractions, late events, authors without an account, co-authors, and commits that lie in several
//! repositories.
//!
//! No event depends on a random number of another one, so months are generated side by side.

mod calendar;
mod columns;
mod facts;
mod month;
mod population;
mod random;
mod session_logs;
mod shape;
mod write;

pub use month::LakeGenerator;
pub use session_logs::{SessionLogShape, WrittenLogs, write_session_logs};
pub use shape::LakeShape;
pub use write::{WrittenLake, current_stamp, write_batches, write_snapshots};
