//! The words that charts show or have read out, in each language.

use chrono::{Datelike, Days, NaiveDate};

use super::Language;

/// The fixed texts of one language.
pub(super) struct Words {
    /// In a chart without any value.
    pub(super) nothing: &'static str,
    /// The legend of shaded slots.
    pub(super) not_complete: &'static str,
    /// Below a chart whose first or last slot is partial.
    pub(super) partial: &'static str,
    pub(super) total: &'static str,
    pub(super) greatest: &'static str,
    pub(super) median: &'static str,
    pub(super) p90: &'static str,
    pub(super) less: &'static str,
    pub(super) more: &'static str,
    /// Between a name and its value.
    pub(super) colon: &'static str,
    /// Between entries of a list.
    pub(super) comma: &'static str,
    /// At the end of a sentence.
    pub(super) stop: &'static str,
}

const ENGLISH: Words = Words {
    nothing: "Nothing in these days",
    not_complete: "not complete",
    partial: "Pale: not a full period.",
    total: "total",
    greatest: "most",
    median: "median",
    p90: "90th percentile",
    less: "less",
    more: "more",
    colon: " ",
    comma: ", ",
    stop: ". ",
};

const JAPANESE: Words = Words {
    nothing: "この期間のデータはありません",
    not_complete: "データ不足",
    partial: "薄い色:期間の途中です。",
    total: "合計",
    greatest: "最大",
    median: "中央値",
    p90: "90パーセンタイル",
    less: "少",
    more: "多",
    colon: " ",
    comma: "、",
    stop: "。",
};

impl Words {
    pub(super) fn new(language: Language) -> &'static Self {
        match language {
            Language::English => &ENGLISH,
            Language::Japanese => &JAPANESE,
        }
    }
}

impl Words {
    /// Returns the label of a bin of durations: `<1 h`, `1–4 h`, `>7 d`.
    pub(super) fn bin_label(&self, from_hours: f64, to_hours: Option<f64>) -> String {
        let is_english = std::ptr::eq(self, &ENGLISH);
        let in_unit = |hours: f64| if hours >= 48.0 { hours / 24.0 } else { hours };
        let number = |hours: f64| {
            let value = in_unit(hours);
            if value.fract() == 0.0 { format!("{value:.0}") } else { format!("{value:.1}") }
        };
        let unit = |hours: f64| match (hours >= 48.0, is_english) {
            (true, true) => " d",
            (true, false) => "日",
            (false, true) => " h",
            (false, false) => "時間",
        };
        match to_hours {
            None => format!(">{}{}", number(from_hours), unit(from_hours)),
            Some(to) if from_hours <= 0.0 => format!("<{}{}", number(to), unit(to)),
            Some(to) if unit(from_hours) == unit(to) => {
                format!("{}–{}{}", number(from_hours), number(to), unit(to))
            }
            Some(to) => format!("{}{}–{}{}", number(from_hours), unit(from_hours), number(to), unit(to)),
        }
    }

    /// Returns the names of the days from Monday on; every second one is left out.
    pub(super) fn weekdays(&self) -> Vec<String> {
        let names = if std::ptr::eq(self, &ENGLISH) {
            ["Mon", "", "Wed", "", "Fri", "", "Sun"]
        } else {
            ["月", "", "水", "", "金", "", "日"]
        };
        names.map(str::to_owned).to_vec()
    }

    /// Returns a label for each week: the month, at the first week that starts in it.
    pub(super) fn calendar_months(&self, first_monday: NaiveDate, skipped: usize, weeks: usize) -> Vec<String> {
        let mut last = None;
        let label = |week: usize| {
            let monday = first_monday.checked_add_days(Days::new(7 * (skipped + week) as u64))?;
            let is_first = last.replace(monday.month()) != Some(monday.month());
            is_first.then(|| match std::ptr::eq(self, &ENGLISH) {
                true => super::time::month_name(monday).to_owned(),
                false => format!("{}月", monday.month()),
            })
        };
        (0..weeks).map(label).map(Option::unwrap_or_default).collect()
    }
}
