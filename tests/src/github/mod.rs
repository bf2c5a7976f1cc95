//! A double of GitHub: a world in memory, shown as it was at a moment, over the parts of the GraphQL
//! and REST APIs that the product asks for.

pub mod faults;
pub mod generated;
mod graphql;
mod lists;
mod objects;
mod rest;
mod server;
pub mod world;

pub use faults::Fault;
pub use server::{Double, TOKEN};
pub use world::World;
