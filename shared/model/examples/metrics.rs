//! Prints `docs/METRICS.md` from the metric catalogue.
#![expect(clippy::print_stdout, reason = "printing is all it does")]

fn main() {
    print!("{}", gam_model::metric::markdown());
}
