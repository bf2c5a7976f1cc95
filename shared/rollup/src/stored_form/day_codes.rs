//! The code of the days of a subject.

use gam_model::DayOfMonth;

use super::DecodeError;
use super::bits::{BitReader, BitWriter};
use super::codes::AdaptiveSets;

/// Days have numbers less than this.
pub(super) const DAY_LIMIT: u32 = DayOfMonth::MAX_NUMBER as u32 + 1;

/// Writes days: how many there are, and of each its number and what `write` writes.
///
/// # Panics
/// If the days are not in ascending order.
pub(super) fn write_days<'a, T: 'a>(
    bits: &mut BitWriter,
    days: impl Iterator<Item = &'a (u8, T)> + Clone,
    mut write: impl FnMut(&mut BitWriter, &'a T),
) {
    let mut day_code = AdaptiveSets::new(DAY_LIMIT).write_count(bits, days.clone().count());
    for (day, of_day) in days {
        day_code.write(bits, u32::from(*day));
        write(bits, of_day);
    }
}

/// Reads days, ascending, and of each what `read` reads. It must bound what it reads.
pub(super) fn read_days<T>(
    bits: &mut BitReader<'_>,
    mut read: impl FnMut(&mut BitReader<'_>) -> Result<T, DecodeError>,
) -> Result<Vec<(u8, T)>, DecodeError> {
    let (count, mut day_code) = AdaptiveSets::new(DAY_LIMIT).read_count(bits)?;
    let mut days = Vec::with_capacity(count as usize);
    for _ in 0..count {
        let day = day_code.read(bits)? as u8;
        days.push((day, read(bits)?));
    }
    Ok(days)
}
