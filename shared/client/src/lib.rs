//! A client of the product's HTTP API.
//!
//! Its answers have the types that the server serializes, so both always agree, and in addition the text of the
//! answer, byte for byte. It knows neither a store nor a web framework: a [`Transport`] sends the requests, which is
//! [`HttpTransport`] for a server.
//!
//! * A token goes to the named server only: redirects to other hosts are not followed, and plain http is refused
//!   except on this machine. No error and no debug text contains the token.
//! * While the server limits requests, the client waits as long as `Retry-After` says, within bounds.
//! * A refusal is a [`ClientError::Problem`], from the server's `application/problem+json`.
//!
//! ```no_run
//! # async fn example() -> Result<(), gam_client::ClientError> {
//! use gam_client::{Client, HttpTransport, MetricsQuery, SubjectRef, parse_address};
//!
//! let address = parse_address("https://metrics.example.com")?;
//! let token = Some("gamt_...".to_owned().into());
//! let client = Client::new(HttpTransport::new(address, token)?);
//! let answer = client.metrics("acme", &SubjectRef::Org, &MetricsQuery::default()).await?;
//! println!("{:?}", answer.value.metrics.get("commits"));
//! # Ok(())
//! # }
//! ```

mod client;
mod error;
mod export;
mod http;
mod request;
mod transport;

pub use client::{Answer, Client, PostAnswer};
pub use error::{ClientError, ProblemDetail};
pub use export::ExportRows;
pub use gam_query::{BotFilter, ListKind, SortDirection, SubjectRef};
pub use http::{HttpTransport, is_protected, parse_address};
pub use request::{ListQuery, MetricsQuery};
pub use transport::{ApiBody, ApiRequest, ApiResponse, Transport};
