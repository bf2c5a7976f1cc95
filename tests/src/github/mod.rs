//! A double of GitHub. It serves a world in memory, as it was at a chosen time, through the parts of the
//! GraphQL and REST APIs that the product uses.

mod counts;
pub mod faults;
pub mod generated;
mod graphql;
mod lists;
mod objects;
mod rest;
mod server;
mod sign_in;
pub mod webhooks;
pub mod world;
pub mod writes;

pub use faults::Fault;
pub use server::{Double, TOKEN};
pub use sign_in::APP_ID;
pub use world::World;
