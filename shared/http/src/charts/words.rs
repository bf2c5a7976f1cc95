//! The words that charts show or have read out, in each language.

use super::Language;

/// The fixed texts of one language.
pub(super) struct Words {
    /// In a chart without any value.
    pub(super) nothing: &'static str,
    /// Below a chart with shaded slots.
    pub(super) not_complete: &'static str,
    /// Below bars with a partial slot.
    pub(super) pale: &'static str,
    /// Below lines with a partial slot.
    pub(super) dotted: &'static str,
    pub(super) total: &'static str,
    pub(super) greatest: &'static str,
    /// The unit of days in a short label.
    day: &'static str,
    /// Between a name and its value.
    pub(super) colon: &'static str,
    /// Between entries of a list.
    pub(super) comma: &'static str,
    /// At the end of a sentence.
    pub(super) stop: &'static str,
}

static ENGLISH: Words = Words {
    nothing: "Nothing in these days",
    not_complete: "Shaded: data not complete",
    pale: "Pale: part of a period",
    dotted: "Dotted: part of a period",
    total: "total",
    greatest: "most",
    day: "d",
    colon: " ",
    comma: ", ",
    stop: ". ",
};

static JAPANESE: Words = Words {
    nothing: "この期間のデータはありません",
    not_complete: "背景が灰色:データ不足",
    pale: "薄い色:期間の一部のみ",
    dotted: "点線:期間の一部のみ",
    total: "合計",
    greatest: "最大",
    day: "日",
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
    /// Returns the label of a bin of durations: `<1h`, `1–4h`, `1–2d`, `>7d`.
    pub(super) fn bin_label(&self, from_hours: f64, to_hours: Option<f64>) -> String {
        let is_in_days = to_hours.unwrap_or(from_hours) >= 48.0 && from_hours >= 24.0;
        let (hours, unit) = if is_in_days { (24.0, self.day) } else { (1.0, "h") };
        let number = |value: f64| match value.is_finite() {
            true => ((value.clamp(0.0, 1e6) / hours * 10.0).round() / 10.0).to_string(),
            false => "–".to_owned(),
        };
        match to_hours {
            None => format!(">{}{unit}", number(from_hours)),
            Some(to) if from_hours <= 0.0 => format!("<{}{unit}", number(to)),
            Some(to) => format!("{}–{}{unit}", number(from_hours), number(to)),
        }
    }
}
