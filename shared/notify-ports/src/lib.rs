//! Adapters of the ports of `gam-notify` that several hosts need: HTTP and SMTP, the organizations with channels and what
//! is the case for them, and the numbers of digests.

mod digests;
mod facts;
mod http;
mod smtp;
mod transport;

pub use digests::QueryDigests;
pub use facts::LakeFacts;
pub use transport::NetTransport;
