//! The stream of bits of the merged pull requests of a month.

use super::bits::{BitReader, BitWriter};
use super::codes::AdaptiveNumber;
use super::day_codes::{read_days, write_days};
use super::name_codes::{read_ids, write_ids};
use super::totals_codes::DistributionCode;
use super::{BitForm, DecodeError, EntryCount};
use crate::pr_classes::{PrClass, PrClassDay, PrClassItem, PrClassTotals};
use crate::totals::Side;

/// The code of a column of days.
struct ClassesCode {
    cycle_times: DistributionCode,
    costs: DistributionCode,
    unpriced: AdaptiveNumber,
    /// The classes of days. A day without any counts as one.
    read_classes: EntryCount,
}

impl ClassesCode {
    fn new() -> Self {
        ClassesCode {
            cycle_times: DistributionCode::new(),
            costs: DistributionCode::new(),
            unpriced: AdaptiveNumber::new(1),
            read_classes: EntryCount::default(),
        }
    }

    fn write(&mut self, bits: &mut BitWriter, day: &PrClassDay) {
        let mut written = 0;
        for key in keys() {
            let found = day.iter().find(|(one, _)| *one == key);
            bits.write_flag(found.is_some());
            if let Some((_, totals)) = found {
                self.cycle_times.write(bits, &totals.cycle_times);
                self.costs.write(bits, &totals.costs);
                self.unpriced.write(bits, totals.unpriced_tokens);
                written += 1;
            }
        }
        assert_eq!(written, day.len(), "each side and class of a day is there at most once");
    }

    fn read(&mut self, bits: &mut BitReader<'_>) -> Result<PrClassDay, DecodeError> {
        let mut day = PrClassDay::new();
        for key in keys() {
            if bits.read_flag()? {
                self.read_classes.add_one()?;
                let totals = PrClassTotals {
                    cycle_times: self.cycle_times.read(bits)?,
                    costs: self.costs.read(bits)?,
                    unpriced_tokens: self.unpriced.read(bits)?,
                };
                // Most days have one or two classes. `push` alone makes room for four.
                day.reserve_exact(1);
                day.push((key, totals));
            }
        }
        if day.is_empty() {
            self.read_classes.add_one()?;
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

    fn entry_counts(&self) -> [usize; 3] {
        let days = self.repos.iter().flat_map(|(_, days)| days);
        [self.repos.len(), days.map(|(_, classes)| classes.len().max(1)).sum(), 0]
    }

    fn write(&self, bits: &mut BitWriter) {
        for generation in self.generations {
            AdaptiveNumber::new(8).write(bits, generation);
        }
        write_ids(bits, self.repos.iter().map(|(id, _)| *id).collect::<Vec<_>>().into_iter());
        let mut code = ClassesCode::new();
        for (_, days) in &self.repos {
            write_days(bits, days.iter(), |bits, classes| code.write(bits, classes));
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
            repos.push((id, read_days(bits, |bits| code.read(bits))?));
        }
        Ok(PrClassItem { generations, repos })
    }
}
