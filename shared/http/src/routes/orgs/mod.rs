//! The routes below `/api/v1/orgs`.

pub(super) mod agents;
pub(super) mod charts;
pub(super) mod export;
pub(super) mod histogram;
pub(super) mod hooks;
pub(super) mod issues;
pub(super) mod list;
pub(super) mod listings;
pub(super) mod metrics;
pub(super) mod timeseries;

/// The errors of routes about an organization, repository or member.
const SUBJECT_ERRORS: &[u16] = &[400, 404, 503];
/// The errors of listings, whose cursors expire.
const LISTING_ERRORS: &[u16] = &[400, 404, 410, 503];
