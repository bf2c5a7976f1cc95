//! Prints the text of `docs/METRICS.md` from the metric catalogue.
#![expect(clippy::print_stdout, reason = "prints the generated page")]

fn main() {
    print!("{}", gam_model::metric::markdown());
}
