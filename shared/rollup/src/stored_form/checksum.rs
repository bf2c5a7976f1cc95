//! The checksum of a stored item: CRC-16/XMODEM without its zero start value.
//!
//! A CRC finds every damage that spans up to 16 bits, so every single flipped bit.

const POLYNOMIAL: u16 = 0x1021;

/// `TABLES[n][byte]` is what the byte adds to the checksum if `n` bytes follow in the same step.
const TABLES: [[u16; 256]; 8] = tables();

const fn tables() -> [[u16; 256]; 8] {
    let mut tables = [[0; 256]; 8];
    let mut byte = 0;
    while byte < 256 {
        let mut remainder = (byte as u16) << 8;
        let mut bit = 0;
        while bit < 8 {
            remainder = (remainder << 1) ^ if remainder >> 15 == 1 { POLYNOMIAL } else { 0 };
            bit += 1;
        }
        tables[0][byte] = remainder;
        byte += 1;
    }
    let mut following = 1;
    while following < 8 {
        let mut byte = 0;
        while byte < 256 {
            let shorter = tables[following - 1][byte];
            tables[following][byte] = (shorter << 8) ^ tables[0][(shorter >> 8) as usize];
            byte += 1;
        }
        following += 1;
    }
    tables
}

/// Returns the checksum of the class and the bytes. The same bytes have another checksum in another class.
pub(super) fn checksum(class: u8, bytes: &[u8]) -> u16 {
    let mut remainder = u16::from(class);
    let mut steps = bytes.chunks_exact(8);
    for step in &mut steps {
        let [high, low] = remainder.to_be_bytes();
        let first = TABLES[7][usize::from(step[0] ^ high)] ^ TABLES[6][usize::from(step[1] ^ low)];
        remainder = (2..8).fold(first, |sum, index| sum ^ TABLES[7 - index][usize::from(step[index])]);
    }
    for byte in steps.remainder() {
        remainder = (remainder << 8) ^ TABLES[0][usize::from(byte ^ (remainder >> 8) as u8)];
    }
    remainder
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_check_value_is_that_of_the_catalogue() {
        // https://reveng.sourceforge.io/crc-catalogue/16.htm#crc.cat.crc-16-xmodem
        assert_eq!(checksum(0, b"123456789"), 0x31c3);
    }

    #[test]
    fn classes_have_different_checksums() {
        let bytes = [7; 100];
        assert_ne!(checksum(1, &bytes), checksum(2, &bytes));
    }
}
