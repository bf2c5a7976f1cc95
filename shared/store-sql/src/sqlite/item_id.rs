//! Numbers items, so that a month is written at one place of the file and a key takes few bytes.
//!
//! The id of an item is its month, then the id of its class (a row of `item_classes`), then the week.

use chrono::{Datelike, NaiveDate};
use gam_model::{Month, WeekOfMonth};
use gam_store::{Epoch, ItemKey};
use sqlx::Arguments;
use sqlx::sqlite::SqliteArguments;

use super::put::to_sql;

/// Number of bits of an item's id that stand for the week.
pub(super) const WEEK_BITS: u32 = 3;

/// Number of bits of an item's id below the month: those of the class and of the week.
pub(super) const MONTH_SHIFT: u32 = 32 + WEEK_BITS;

/// The greatest month number: it belongs to the year 10922.
const MAX_MONTH_NUMBER: i64 = (1 << 17) - 1;

/// Number of parameters that [`bind_epoch`] binds.
pub(super) const EPOCH_PARAMETERS: usize = 2;

/// Number of parameters that [`bind_key`] binds.
pub(super) const KEY_PARAMETERS: usize = 4;

/// Returns the number of a month. Numbers order as months do.
pub(super) fn month_number(month: Month) -> i64 {
    let day = month.first_day();
    let number = i64::from(day.year()) * 12 + i64::from(day.month0());
    // No month with events is outside.
    number.clamp(0, MAX_MONTH_NUMBER)
}

/// Returns the id of an item whose class has this id.
pub(super) fn item_id(class: i64, month: Month, week: WeekOfMonth) -> i64 {
    slot(month, week) | class << WEEK_BITS
}

/// Returns the bits of an item's id that do not depend on its class.
fn slot(month: Month, week: WeekOfMonth) -> i64 {
    month_number(month) << MONTH_SHIFT | i64::from(week.number())
}

/// Returns the month and the week of an item's id, or `None` if there is no such week.
pub(super) fn parse_item_id(id: i64) -> Option<(Month, WeekOfMonth)> {
    let number = id >> MONTH_SHIFT;
    let year = i32::try_from(number / 12).ok()?;
    let first_day = NaiveDate::from_ymd_opt(year, u32::try_from(number % 12).ok()? + 1, 1)?;
    let week = WeekOfMonth::new(u8::try_from(id & ((1 << WEEK_BITS) - 1)).ok()?)?;
    Some((Month::of(first_day), week))
}

/// Returns the SQL of an item's id. Its parameters are those that [`bind_epoch`] binds, and from the number
/// `parameter` on those of [`bind_key`]. The id is null if the class has no number, which means that it has no items.
pub(super) fn item_id_sql(parameter: usize) -> String {
    let [class, kind, name, slot]: [usize; KEY_PARAMETERS] = std::array::from_fn(|n| parameter + n);
    format!(
        "(SELECT id FROM item_classes
          WHERE org = ?1 AND epoch = ?2 AND class = ?{class} AND kind = ?{kind} AND name = ?{name})
         << {WEEK_BITS} | ?{slot}"
    )
}

/// Returns the SQL of a table `wanted` with the position and the id of this many items. Its parameters are those of
/// [`bind_keys`].
pub(super) fn wanted_sql(count: usize) -> String {
    let row = |n| format!("({n},{})", item_id_sql(EPOCH_PARAMETERS + 1 + n * KEY_PARAMETERS));
    let rows: Vec<_> = (0..count).map(row).collect();
    format!("WITH wanted (position, id) AS (VALUES {})", rows.join(","))
}

/// Binds the parameters of [`wanted_sql`].
pub(super) fn bind_keys<'a>(
    org: &str,
    epoch: Epoch,
    keys: impl Iterator<Item = &'a ItemKey>,
) -> sqlx::Result<SqliteArguments> {
    let mut arguments = bind_epoch(org, epoch)?;
    for key in keys {
        bind_key(&mut arguments, key)?;
    }
    Ok(arguments)
}

/// Binds the organization and the epoch.
pub(super) fn bind_epoch(org: &str, epoch: Epoch) -> sqlx::Result<SqliteArguments> {
    let mut arguments = SqliteArguments::default();
    bind(&mut arguments, org.to_owned())?;
    bind(&mut arguments, to_sql(epoch.0)?)?;
    Ok(arguments)
}

/// Binds the parameters of [`item_id_sql`] that belong to a key.
pub(super) fn bind_key(arguments: &mut SqliteArguments, key: &ItemKey) -> sqlx::Result<()> {
    bind(arguments, key.class.as_str().to_owned())?;
    bind(arguments, key.class.kind().as_str())?;
    bind(arguments, key.class.name())?;
    bind(arguments, slot(key.month, key.week))
}

/// Binds one value.
pub(super) fn bind<T>(arguments: &mut SqliteArguments, value: T) -> sqlx::Result<()>
where
    T: for<'q> sqlx::Encode<'q, sqlx::Sqlite> + sqlx::Type<sqlx::Sqlite>,
{
    arguments.add(value).map_err(sqlx::Error::Encode)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_survive_a_round_trip_and_order_by_month_then_class_then_week() {
        let mut last = -1;
        for text in ["0000-01", "1970-01", "2023-12", "2024-01", "9999-12"] {
            let month = Month::parse(text).unwrap();
            for class in [0, 1, u32::MAX] {
                for week in WeekOfMonth::all() {
                    let id = item_id(i64::from(class), month, week);
                    assert!(id > last, "{text} {class} {week:?}");
                    assert_eq!(
                        (parse_item_id(id), id >> MONTH_SHIFT),
                        (Some((month, week)), month_number(month))
                    );
                    last = id;
                }
            }
        }
    }

    #[test]
    fn an_invalid_id_is_no_month() {
        let may = item_id(1, Month::parse("2024-05").unwrap(), WeekOfMonth::FIRST);
        for id in [-1, may | 5, may | 7] {
            assert_eq!(parse_item_id(id), None, "{id}");
        }
    }
}
