//! Lists of records: a table in a terminal, tab-separated in a pipe, or CSV.

use comfy_table::presets::{ASCII_FULL_CONDENSED, UTF8_FULL_CONDENSED};
use comfy_table::{Cell, ContentArrangement, Table};

use crate::args::OutputFormat;
use crate::format::{csv_text, tsv_text};
use crate::session::CliSession;
use crate::table::header_cell;
use crate::terminal::OutputStyle;
use crate::terminal_text::escaped;

/// Returns the records as the options and stdout ask for, with a header. JSON has another shape for each command.
///
/// # Errors
/// If a record does not have as many fields as the header.
pub(crate) fn records_text(
    session: &CliSession,
    header: &[&str],
    records: &[Vec<String>],
) -> anyhow::Result<String> {
    let output = session.console.output();
    let names: Vec<String> = header.iter().map(|name| (*name).to_owned()).collect();
    Ok(match session.settings.format {
        Some(OutputFormat::Csv) => session.for_stdout(csv_text(&names, records.iter().cloned())?),
        None if !output.is_terminal && !output.has_color => tsv_text(&names, records),
        _ => table(header, records, output),
    })
}

/// Formats records as a table. Cells that do not fit the width are broken into lines.
fn table(header: &[&str], records: &[Vec<String>], style: OutputStyle) -> String {
    let mut table = Table::new();
    let lines = if style.has_unicode { UTF8_FULL_CONDENSED } else { ASCII_FULL_CONDENSED };
    table.load_style(lines).set_content_arrangement(ContentArrangement::Dynamic);
    table.set_width(style.width.try_into().unwrap_or(u16::MAX));
    if style.has_color {
        table.enforce_styling();
    } else {
        table.force_no_tty();
    }
    table.set_header(header.iter().map(|name| header_cell(name)));
    for record in records {
        table.add_row(record.iter().map(|field| Cell::new(escaped(field))));
    }
    format!("{}\n", table.trim_fmt())
}

#[cfg(test)]
mod tests {
    use unicode_width::UnicodeWidthStr as _;

    use super::*;

    #[test]
    fn a_table_fits_the_width_and_names_its_columns() {
        let record = ["dashboard", "viewer", "acme, acme-labs", "never\u{1b}[2J"].map(str::to_owned).to_vec();
        for width in [40, 60, 120] {
            let text = table(
                &["name", "role", "sees", "expires"],
                std::slice::from_ref(&record),
                OutputStyle::plain(width),
            );
            assert!(text.lines().all(|line| line.width() <= width), "{width}:\n{text}");
            assert!(text.contains("expires") && !text.contains('\u{1b}'), "{text}");
        }
    }
}
