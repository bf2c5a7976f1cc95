//! The language of the product: events, members, periods, identity and the metric catalogue.
//!
//! Everything here is pure and synchronous: no I/O, no clock, no async. What GitHub said becomes an
//! [`Event`] with a deterministic id; what users ask for is a [`Range`] of UTC days cut into
//! [`Bucket`]s; what they get back is described by the [`metric::CATALOGUE`]. Errors are put into words
//! by [`failure::chain`].
//!
//! This crate does not know where events come from, how they are stored, or how they are served.

pub mod clock;
pub mod commit_version;
pub mod configuration;
pub mod event;
pub mod failure;
pub mod identity;
pub mod mailmap;
pub mod member;
pub mod metric;
pub mod period;
pub mod subject;

pub use clock::{Clock, SystemClock};
pub use commit_version::CommitVersion;
pub use event::{Event, EventBatch, EventId, EventKind, Facts, FirstReview};
pub use identity::Identity;
pub use member::{Member, MemberKind};
pub use period::{Bucket, Grain, Month, Range};
pub use subject::{RollupKey, Subject, SubjectKind};
