//! The value axis: its unit, its end and its ticks.

use super::{Language, Unit};

/// A value axis from 0 to `max`, in a unit that keeps its labels short.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Scale {
    /// How many of the values' unit one unit of the axis is.
    pub(super) factor: f64,
    /// What precedes the number in a label.
    prefix: &'static str,
    /// What follows the number in a label.
    suffix: &'static str,
    /// The end of the axis, in its unit.
    pub(super) max: f64,
    /// The number of intervals.
    pub(super) intervals: usize,
}

/// Greater values are drawn as this one, so that no sum exceeds the numbers of the charts crate.
pub(super) const MAX_VALUE: f64 = 1e20;

const COUNT_UNITS: [(f64, &str, f64, &str); 5] = [
    // (from, English suffix, from, Japanese suffix)
    (1.0, "", 1.0, ""),
    (1e4, "k", 1e5, "万"),
    (1e6, "M", 1e8, "億"),
    (1e9, "B", 1e12, "兆"),
    (1e12, "T", 1e16, "京"),
];

impl Scale {
    /// Returns an axis for values up to `greatest`, with at most `max_intervals` intervals.
    pub(super) fn new(greatest: f64, unit: Unit, max_intervals: usize, language: Language) -> Self {
        let greatest = if greatest.is_finite() { greatest.clamp(0.0, MAX_VALUE) } else { 0.0 };
        let (factor, suffix) = match unit {
            Unit::Count | Unit::Dollars => count_unit(greatest, language),
            Unit::Hours => hour_unit(greatest, language),
        };
        let greatest = greatest / factor;
        let is_fraction_possible = greatest > 0.0 && (factor != 1.0 || unit != Unit::Count);
        let min_step = if is_fraction_possible { 0.1 } else { 1.0 };
        let (step, intervals) = ticks(greatest, min_step, max_intervals);
        let prefix = if unit == Unit::Dollars { "$" } else { "" };
        Scale { factor, prefix, suffix, max: step * intervals as f64, intervals }
    }

    /// Returns the longest label, for the width of the axis.
    pub(super) fn longest_label(&self) -> String {
        let step = self.max / self.intervals as f64;
        let decimals = usize::from(step.fract() != 0.0);
        let number =
            if decimals == 0 { super::format_count(self.max) } else { format!("{:.1}", self.max - step) };
        format!("{}{number}{}", self.prefix, self.suffix)
    }

    /// Returns the template of labels. The charts crate replaces `{t}` by the number.
    pub(super) fn formatter(&self) -> String {
        format!("{}{{t}}{}", self.prefix, self.suffix)
    }
}

fn count_unit(greatest: f64, language: Language) -> (f64, &'static str) {
    let fits = COUNT_UNITS.iter().rev().find(|unit| match language {
        Language::English => greatest >= unit.0,
        Language::Japanese => greatest >= unit.2,
    });
    match (fits, language) {
        (None, _) => (1.0, ""),
        (Some(&(from, suffix, ..)), Language::English) => (if from == 1e4 { 1e3 } else { from }, suffix),
        (Some(&(.., from, suffix)), Language::Japanese) => (if from == 1e5 { 1e4 } else { from }, suffix),
    }
}

fn hour_unit(greatest: f64, language: Language) -> (f64, &'static str) {
    let english = language == Language::English;
    match greatest {
        ..=0.0 => (1.0, if english { " h" } else { "時間" }),
        ..1.0 => (1.0 / 60.0, if english { " min" } else { "分" }),
        ..72.0 => (1.0, if english { " h" } else { "時間" }),
        _ => (24.0, if english { " d" } else { "日" }),
    }
}

/// Returns a step of 1, 2 or 5 times a power of ten, and how many reach `greatest`: 2 to `max_intervals`.
fn ticks(greatest: f64, min_step: f64, max_intervals: usize) -> (f64, usize) {
    let rough = (greatest / max_intervals as f64).max(min_step);
    let power = 10_f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 5.0].into_iter().map(|it| it * power).find(|step| *step >= rough * 0.999_999);
    let step = step.unwrap_or(power * 10.0);
    let intervals = ((greatest / step - 1e-6).ceil() as usize).clamp(2, max_intervals.max(2));
    (step, intervals)
}
