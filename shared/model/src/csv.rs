//! Text in cells of CSV files.

use std::borrow::Cow;

/// Returns the text of a cell so that no spreadsheet runs it as a formula: a text that begins like one gets an
/// apostrophe in front (<https://owasp.org/www-community/attacks/CSV_Injection>). Numbers stay as they are.
///
/// A repository can be called `-1+2`, and an alias can have any name.
pub fn csv_cell(text: &str) -> Cow<'_, str> {
    let looks_like_formula = text.starts_with(['=', '+', '-', '@', '\t', '\r', '\n']);
    if looks_like_formula && text.parse::<f64>().is_err() {
        Cow::Owned(format!("'{text}"))
    } else {
        Cow::Borrowed(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formulas_become_text() {
        for text in ["=1+1", "+cmd", "-docs", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "-1+2", "--"] {
            assert_eq!(csv_cell(text), format!("'{text}"));
        }
        for text in ["", "docs", "~0123456789ab", "a=1", ".github", "-3", "-0.25", "1e9", "dependabot[bot]"] {
            assert_eq!(csv_cell(text), text);
        }
    }
}
