//! What the functions share: from the environment to the use cases' ports, and how messages are taken
//! and settled. Each function is a thin binary over it: decode the event, call a use case, encode the
//! answer.
//!
//! What they promise:
//! * Whatever a message holds, it ends in one of four ways: it is done, it is put back because there is
//!   more to do, it is left to be delivered again because trying again may help, or it is set aside
//!   with the reason. None is lost, and none stops the others.
//! * A function never sleeps for long and ends before its deadline, with everything saved that it has done.
//! * Messages may come twice, late and in any order.
//!
//! This crate does not know how anything is collected, merged or counted.

pub mod context;
pub mod deadline;
pub mod environment;
pub mod messages;
pub mod metrics;

pub use context::LambdaContext;
pub use deadline::Deadline;
pub use messages::{Message, Outcome, Settler};
pub use metrics::{Metric, Metrics};

/// Writes logs as JSON lines to stdout, from where Lambda takes them. `RUST_LOG` says which; what is
/// worth knowing where it does not.
pub fn start_logging() {
    use tracing_subscriber::filter::{LevelFilter, Targets};
    use tracing_subscriber::prelude::*;
    let wanted = environment::optional("RUST_LOG").and_then(|text| text.parse::<Targets>().ok());
    let wanted = wanted.unwrap_or_else(|| Targets::new().with_default(LevelFilter::INFO));
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stdout)
        .json()
        .flatten_event(true)
        .with_span_list(false);
    // A second start finds the first one's subscriber, which serves as well.
    let _ = tracing_subscriber::registry().with(lines).with(wanted).try_init();
}
