//! Adapters of the ports of `gam-notify` that several hosts need: HTTP and SMTP, the organizations with channels and what
//! is the case for them, the numbers and pictures of digests, and links for approvers.

mod digests;
mod facts;
mod http;
mod links;
mod pictures;
mod smtp;
mod transport;

pub use digests::QueryDigests;
pub use facts::LakeFacts;
pub use links::ActionLinks;
pub use pictures::PngPictures;
pub use transport::NetTransport;
