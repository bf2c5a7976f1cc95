//! The stream of bits of the merged pull requests of a month.

use gam_model::DayOfMonth;

use super::bits::{BitReader, BitWriter};
use super::codes::{AdaptiveNumber, AdaptiveSets};
use super::name_codes::{read_ids, write_ids};
use super::totals_codes::DistributionCode;
use super::{BitForm, DecodeError};
use crate::pr_classes::{PrClass, PrClassDay, PrClassItem, PrClassTotals};
use crate::totals::Side;

/// Days have numbers less than this.
const DAY_LIMIT: u32 = DayOfMonth::MAX_NUMBER as u32 + 1;

/// The code of a column of days.
struct ClassesCode {
    cycle_times: DistributionCode,
    costs: DistributionCode,
    unpriced: AdaptiveNumber,
}

impl ClassesCode {
    fn new() -> Self {
        ClassesCode {
            cycle_times: DistributionCode::new(),
            costs: DistributionCode::new(),
            unpriced: AdaptiveNumber::new(1),
        }
    }

    fn write(&mut self, bits: &mut BitWriter, day: &PrClassDay) {
        for key in keys() {
            let found = day.iter().find(|(one, _)| *one == key);
            bits.write_flag(found.is_some());
            if let Some((_, totals)) = found {
                self.cycle_times.write(bits, &totals.cycle_times);
                self.costs.write(bits, &totals.costs);
                self.unpriced.write(bits, totals.unpriced_tokens);
            }
        }
    }

    fn read(&mut self, bits: &mut BitReader<'_>) -> Result<PrClassDay, DecodeError> {
        let mut day = PrClassDay::new();
        for key in keys() {
            if bits.read_flag()? {
                let totals = PrClassTotals {
                    cycle_times: self.cycle_times.read(bits)?,
                    costs: self.costs.read(bits)?,
                    unpriced_tokens: self.unpriced.read(bits)?,
                };
                day.push((key, totals));
            }
        }
        Ok(day)
    }
}

/// Returns the sides and classes, in the order in which they are stored.
fn keys() -> impl Iterator<Item = (Side, PrClass)> {
    [Side::People, Side::Bots].into_iter().flat_map(|side| PrClass::ALL.map(|class| (side, class)))
}

impl BitForm for PrClassItem {
    const CLASS: u8 = 6;

    fn write(&self, bits: &mut BitWriter) {
        for generation in self.generations {
            AdaptiveNumber::new(8).write(bits, generation);
        }
        write_ids(bits, self.repos.iter().map(|(id, _)| *id).collect::<Vec<_>>().into_iter());
        let mut code = ClassesCode::new();
        for (_, days) in &self.repos {
            let mut day_code = AdaptiveSets::new(DAY_LIMIT).write_count(bits, days.len());
            for (day, classes) in days {
                day_code.write(bits, u32::from(*day));
                code.write(bits, classes);
            }
        }
    }

    fn read(bits: &mut BitReader<'_>) -> Result<Self, DecodeError> {
        let mut generations = [0; 3];
        for generation in &mut generations {
            *generation = AdaptiveNumber::new(8).read(bits)?;
        }
        let mut code = ClassesCode::new();
        let mut repos = Vec::new();
        for id in read_ids(bits)? {
            let (count, mut day_code) = AdaptiveSets::new(DAY_LIMIT).read_count(bits)?;
            let mut days = Vec::with_capacity(count as usize);
            for _ in 0..count {
                let day = day_code.read(bits)? as u8;
                days.push((day, code.read(bits)?));
            }
            repos.push((id, days));
        }
        Ok(PrClassItem { generations, repos })
    }
}
