//! The API as its users see it: requests through the router, answers as bytes.

mod data;
mod document;
mod errors;
mod headers;
mod public_answers;
mod public_errors;
mod schema;
mod serving;
mod support;
