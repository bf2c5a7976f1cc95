//! GitHub's rate limits: a primary limit for REST and one for GraphQL, each with its own points and reset
//! time, and secondary limits, which stop both.
//!
//! A request starts only if no limit is known to be hit and enough points are left. Points that other
//! requests have reserved are waited for, because those requests may return them. Waits follow GitHub's
//! clock: the reset time is compared with the response's `Date`. A server without limits (the default on
//! Enterprise Server) delays nothing.
//!
//! See <https://docs.github.com/en/rest/using-the-rest-api/rate-limits-for-the-rest-api>.

mod budget;
mod headers;
mod limiter;

pub(crate) use budget::RateLimitResource;
pub(crate) use headers::RateLimitHeaders;
pub use limiter::RateLimitWait;
pub(crate) use limiter::{CutOff, RateLimiter, Reservation};
