//! The domain types: events, members, time ranges, identity rules and the metric catalogue.
//!
//! Everything here is pure and synchronous: no I/O, no async; only [`SystemClock`] reads a clock. A fact from
//! GitHub becomes an [`Event`] with a deterministic id. Users request a [`Range`] of UTC days, which is cut
//! into [`Bucket`]s. The [`metric::CATALOGUE`] describes the numbers they get.
//!
//! This crate does not know where events come from, how they are stored, or how they are served.

pub mod agent;
pub mod agent_metric;
pub mod agent_price;
pub mod audit;
pub mod breaker;
pub mod clock;
pub mod commit_version;
pub mod configuration;
mod csv;
pub mod day_of_month;
pub mod erased_sessions;
mod error_chain;
pub mod event;
pub mod field_text;
pub mod identity;
pub mod issue;
pub mod mailmap;
pub mod member;
pub mod metric;
pub mod notify;
pub mod org_registry;
pub mod period;
pub mod policy;
pub mod retention;
pub mod session_event;
pub mod subject;
pub mod task_rules;
pub mod time_zone;

pub use agent_metric::{AgentCounter, AgentDimension, AgentMetric};
pub use agent_price::{PriceSettings, PriceTable, TokenUsage};
pub use audit::{AuditEntry, LogPosition};
pub use breaker::{Breaker, BreakerChange, BreakerRules};
pub use clock::{Clock, SystemClock};
pub use commit_version::CommitVersion;
pub use csv::csv_cell;
pub use day_of_month::{DayOfMonth, WeekOfMonth};
pub use erased_sessions::{ErasedSessions, RowEdit};
pub use error_chain::error_chain;
pub use event::{Event, EventBatch, EventId, EventKind, Facts, FirstReview};
pub use field_text::FieldText;
pub use identity::Identity;
pub use member::{Member, MemberKind};
pub use notify::{ChannelKind, ChannelSettings, NotificationKind, NotifySettings, Severity};
pub use org_registry::OrgRegistry;
pub use period::{Bucket, Grain, Month, Range};
pub use policy::{ActionKind, ActionPolicy, ActionSettings, PolicyRule};
pub use retention::Retention;
pub use session_event::{CodingAgent, SessionEvent, SessionEventKind, SessionFacts, ToolOutcome};
pub use subject::{ItemClass, ItemKey, Subject, SubjectKind};
pub use task_rules::TaskRules;
pub use time_zone::TimeZone;
