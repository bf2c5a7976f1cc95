//! What connects the use case work to GitHub, to the lake and to the collector, for every host.
//!
//! * [`GitHubSource`] reads issues, webhooks and deliveries with GitHub's client. [`CachedAttempts`] spares requests.
//! * [`LakeScopes`] finds the organization of a delivery, with the rules that the lake configures.
//! * [`GitHubWriter`] writes to GitHub for actions, with a credential of its own, and [`LakeActionSettings`] has their
//!   policies.
//! * [`LakeSessionInbox`] takes session events of other machines.
//! * [`MarkedRepos`] are repositories that webhooks marked: the collector reads them and settles their marks.

mod actions;
mod marked;
mod scopes;
mod sessions;
mod source;

pub use actions::{GitHubWriter, LakeActionSettings};
pub use marked::MarkedRepos;
pub use scopes::{CachedScopes, LakeScopes};
pub use sessions::LakeSessionInbox;
pub use source::{CachedAttempts, GitHubSource};
