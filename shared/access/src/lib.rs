//! Use case access: who may do what.
//!
//! * A **token** is 256 random bits. The store holds its SHA-256, so what the store holds lets nobody in.
//! * A token has a **role**, which decides what its holder may do ([`Role::may`]), and a **scope**, which decides of
//!   which organizations and repositories.
//! * A token is looked up in the store for each request, so a revoked one is refused at once, by every process.
//! * Each change of a token commits its **audit row** together with the change.
//! * Reading the **audit log** is a row of it, too.

mod audit;
mod known_tokens;
mod log;
mod principal;
mod refusals;
mod role;
mod secret;
mod token;
mod tokens;

pub use audit::{AuditKind, AuditRow, MAX_DETAIL_BYTES};
pub use log::{AuditLog, LogError, LogFilter, LogPage, LogReadings, LoggedEntry};
pub use principal::{Principal, Requester};
pub use refusals::{REFUSALS_GROW_FOR, RefusalLog, RefusalRow, WRITE_INTERVAL};
pub use role::{Role, RouteClass};
pub use secret::TokenSecret;
pub use token::{AccessToken, RepoName, Scope};
pub use tokens::{AccessError, ApproverName, NewToken, TokenLookup, Tokens};
