//! Numbers as people of each language write them.

use super::Language;

/// Formats a count with thousands separators: `12,345`. Rounds to a whole number; not finite gives `–`.
pub(crate) fn format_count(value: f64) -> String {
    if !value.is_finite() {
        return "–".to_owned();
    }
    let digits = format!("{:.0}", value.abs());
    let mut text = String::with_capacity(digits.len() * 4 / 3 + 1);
    if value < 0.0 && digits != "0" {
        text.push('\u{2212}');
    }
    for (at, digit) in digits.char_indices() {
        if at > 0 && (digits.len() - at) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Formats an amount of US dollars: `$12.34`, from 1,000 on without cents.
pub(crate) fn format_dollars(dollars: f64) -> String {
    if dollars >= 1_000.0 { format!("${}", format_count(dollars.round())) } else { format!("${dollars:.2}") }
}

/// Formats a duration in the unit that suits it: minutes below one hour, hours below 48, else days.
pub(crate) fn format_hours(hours: f64, language: Language) -> String {
    if !hours.is_finite() {
        return "–".to_owned();
    }
    let english = language == Language::English;
    let (number, unit) = match hours {
        ..1.0 => (format!("{:.0}", hours * 60.0), if english { " min" } else { "分" }),
        ..48.0 => (format!("{hours:.1}"), if english { " h" } else { "時間" }),
        _ => (days(hours / 24.0), if english { " d" } else { "日" }),
    };
    format!("{number}{unit}")
}

/// Formats days with one decimal, from 1,000 on without.
fn days(days: f64) -> String {
    if days < 1000.0 { format!("{days:.1}") } else { format_count(days) }
}
