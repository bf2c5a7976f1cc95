//! The time axis, and dates as people of each language write them.

use chrono::{Datelike, Days, NaiveDate};
use gam_model::Grain;

use super::Language;

/// A bucket of the time axis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Slot {
    /// The first day, in the organization's time zone.
    pub(crate) start: NaiveDate,
    /// The day after the last.
    pub(crate) end: NaiveDate,
    /// Whether the bucket is cut by the range, or not over. Its values are drawn pale or dashed.
    pub(crate) is_partial: bool,
    /// Whether the data of the bucket is not complete. It is shaded.
    pub(crate) is_incomplete: bool,
}

/// The buckets of a chart, in order.
#[derive(Debug, Clone)]
pub(crate) struct TimeAxis {
    /// The length of the buckets.
    pub(crate) grain: Grain,
    /// The buckets.
    pub(crate) slots: Vec<Slot>,
}

const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

pub(super) fn month_name(day: NaiveDate) -> &'static str {
    MONTHS[day.month0() as usize]
}

/// Formats a day: `5 Oct 2026`, `2026年10月5日`.
pub(crate) fn format_day(day: NaiveDate, language: Language) -> String {
    match language {
        Language::English => format!("{} {} {}", day.day(), month_name(day), day.year()),
        Language::Japanese => format!("{}年{}月{}日", day.year(), day.month(), day.day()),
    }
}

/// Formats the days of a slot: `5 Oct 2026`, `5 Oct 2026 – 11 Oct 2026`, `Oct 2026`.
pub(crate) fn format_slot(slot: &Slot, grain: Grain, language: Language) -> String {
    let last = slot.end.checked_sub_days(Days::new(1)).unwrap_or(slot.end).max(slot.start);
    match (grain, language) {
        (Grain::Day, _) => format_day(slot.start, language),
        (Grain::Week, Language::English) => {
            format!("{} – {}", format_day(slot.start, language), format_day(last, language))
        }
        (Grain::Week, Language::Japanese) => {
            format!("{}〜{}", format_day(slot.start, language), format_day(last, language))
        }
        (Grain::Month, Language::English) => format!("{} {}", month_name(slot.start), slot.start.year()),
        (Grain::Month, Language::Japanese) => format!("{}年{}月", slot.start.year(), slot.start.month()),
    }
}

impl TimeAxis {
    /// Returns the labels of the axis: `5 Oct` or `10/5`, and `Oct 2026` or `2026/10` for months.
    pub(super) fn labels(&self, language: Language) -> Vec<String> {
        // The charts crate leaves out labels that do not fit side by side. The spaces, which viewers do not draw,
        // keep the others apart.
        self.slots.iter().map(|slot| format!("{}   ", self.label(slot.start, language))).collect()
    }

    fn label(&self, day: NaiveDate, language: Language) -> String {
        match (self.grain, language) {
            (Grain::Month, Language::English) => format!("{} {}", month_name(day), day.year()),
            (Grain::Month, Language::Japanese) => format!("{}/{}", day.year(), day.month()),
            (_, Language::English) => format!("{} {}", day.day(), month_name(day)),
            (_, Language::Japanese) => format!("{}/{}", day.month(), day.day()),
        }
    }

    /// Returns the days of the axis for a description, or `None` if it is empty.
    pub(super) fn describe(&self, language: Language) -> Option<String> {
        let (first, last) = (self.slots.first()?, self.slots.last()?);
        let end = last.end.checked_sub_days(Days::new(1)).unwrap_or(last.end).max(first.start);
        let dash = if language == Language::English { " – " } else { "〜" };
        Some(format!("{}{dash}{}", format_day(first.start, language), format_day(end, language)))
    }
}
