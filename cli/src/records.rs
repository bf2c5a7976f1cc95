//! Lists of records: a table in a terminal, tab-separated in a pipe, or CSV.

use comfy_table::{Cell, ColumnConstraint, ContentArrangement, Width};
use unicode_width::UnicodeWidthStr as _;

use crate::args::OutputFormat;
use crate::format::{csv_text, tsv_text};
use crate::session::CliSession;
use crate::table::{empty_table, fits, header_cell};
use crate::terminal::OutputStyle;
use crate::terminal_text::escaped;

/// The spaces around the text of a cell.
const CELL_PADDING_COLUMNS: usize = 2;

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

/// Formats records as a table. Cells that do not fit the width are broken between words; if the words do not fit either,
/// each record is a block with a line for each field.
fn table(header: &[&str], records: &[Vec<String>], style: OutputStyle) -> String {
    let mut table = empty_table(style);
    table.set_content_arrangement(ContentArrangement::Dynamic);
    table.set_width(style.width.try_into().unwrap_or(u16::MAX));
    table.set_header(header.iter().map(|name| header_cell(name)));
    for record in records {
        table.add_row(record.iter().map(|field| Cell::new(escaped(field))));
    }
    for (column, name) in table.column_iter_mut().zip(header) {
        let texts = records.iter().filter_map(|record| record.get(column.index)).map(String::as_str);
        let words = texts.chain([*name]).flat_map(str::split_whitespace);
        let widest = words.map(|word| escaped(word).width()).max().unwrap_or(0) + CELL_PADDING_COLUMNS;
        let widest = Width::Fixed(widest.try_into().unwrap_or(u16::MAX));
        column.set_constraint(ColumnConstraint::LowerBoundary(widest));
    }
    let text = table.trim_fmt();
    if fits(&text, style.width) { format!("{text}\n") } else { blocks(header, records) }
}

fn blocks(header: &[&str], records: &[Vec<String>]) -> String {
    let names = header.iter().map(|name| name.width()).max().unwrap_or(0);
    let line = |(name, field): (&&str, &String)| format!("{name:<names$}  {}\n", escaped(field));
    let block = |record: &Vec<String>| header.iter().zip(record).map(line).collect::<String>();
    records.iter().map(block).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_fits_the_width_and_breaks_no_word() {
        let record = ["dashboard", "viewer", "acme, acme-labs", "never\u{1b}[2J"].map(str::to_owned).to_vec();
        for width in [36, 52, 60, 120] {
            let text = table(
                &["name", "role", "sees", "expires"],
                std::slice::from_ref(&record),
                OutputStyle::plain(width),
            );
            assert!(text.lines().all(|line| line.width() <= width), "{width}:\n{text}");
            for word in ["dashboard", "viewer", "acme-labs", "expires", "never\\u{1b}[2J"] {
                assert!(text.contains(word), "{width}: {word} is not in\n{text}");
            }
            assert_eq!(text.starts_with("name     dashboard\nrole     viewer\n"), width == 36, "{text}");
        }
    }
}
