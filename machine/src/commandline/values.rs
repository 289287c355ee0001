//! The kinds of value that options take: booleans, numbers, sizes, dates, UUIDs.

pub use lockstep_devices::properties::{number, switch};

/// What [`size`] reads, for messages.
pub(super) const SIZE_SYNTAX: &str = "use a number with an optional suffix b, k, M, G, T, P or E";

/// What [`uuid`] reads, for messages.
pub(super) const UUID_SYNTAX: &str = "a UUID like 01234567-89ab-cdef-0123-456789abcdef";

/// Bytes in a mebibyte, the unit of a bare `-m`.
pub(super) const MIB: u64 = 1 << 20;

/// Reads a size in bytes. A bare number counts `unit` bytes; `1.5G` works, `0x` numbers take no suffix.
pub(super) fn size(text: &str, unit: u64) -> Option<u64> {
    if text.starts_with("0x") || text.starts_with("0X") {
        return number(text)?.checked_mul(unit);
    }
    let (digits, unit) = match text.char_indices().last()? {
        (_, '0'..='9') => (text, unit),
        (at, suffix) => (&text[..at], 1 << (10 * "bkmgtpe".find(suffix.to_ascii_lowercase())?)),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
    let plain = |s: &str| !s.is_empty() && s.len() <= 20 && s.bytes().all(|b| b.is_ascii_digit());
    if !plain(whole) || !plain(fraction) || fraction.len() > 18 {
        return None;
    }
    let whole = u128::from(whole.parse::<u64>().ok()?) * u128::from(unit);
    let scale = 10u128.pow(u32::try_from(fraction.len()).ok()?);
    let part = u128::from(fraction.parse::<u64>().ok()?) * u128::from(unit) / scale;
    u64::try_from(whole + part).ok()
}

/// Reads `YYYY-MM-DD` or `YYYY-MM-DDTHH:MM:SS` as seconds since 1970-01-01T00:00:00, years 1970 to 9999.
pub(super) fn date(text: &str) -> Option<i64> {
    let (day, time) = text.split_once('T').unwrap_or((text, "00:00:00"));
    let [year, month, day] = fields::<3>(day, '-', [4, 2, 2])?;
    let [hour, minute, second] = fields::<3>(time, ':', [2, 2, 2])?;
    if year < 1970 || !(1..=12).contains(&month) || !(1..=month_days(year, month)).contains(&day) {
        return None;
    }
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let days_before_year = (1970..year).map(year_days).sum::<i64>();
    let days_before_month = (1..month).map(|m| month_days(year, m)).sum::<i64>();
    Some(((days_before_year + days_before_month + day - 1) * 24 + hour) * 3600 + minute * 60 + second)
}

fn fields<const N: usize>(text: &str, separator: char, widths: [usize; N]) -> Option<[i64; N]> {
    let parts: Vec<&str> = text.split(separator).collect();
    if parts.len() != N {
        return None;
    }
    let mut values = [0; N];
    for ((value, part), width) in values.iter_mut().zip(parts).zip(widths) {
        if part.len() != width || !part.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        *value = part.parse().ok()?;
    }
    Some(values)
}

fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

fn year_days(year: i64) -> i64 {
    365 + i64::from(is_leap(year))
}

fn month_days(year: i64, month: i64) -> i64 {
    match month {
        2 => 28 + i64::from(is_leap(year)),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Reads a UUID in its text form, `01234567-89ab-cdef-0123-456789abcdef`, in the order written.
pub(super) fn uuid(text: &str) -> Option<[u8; 16]> {
    let groups: Vec<&str> = text.split('-').collect();
    let widths = [8, 4, 4, 4, 12];
    let well_formed = groups.len() == widths.len() && groups.iter().zip(widths).all(|(g, w)| g.len() == w);
    let digits = groups.concat();
    if !well_formed || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    u128::from_str_radix(&digits, 16).ok().map(u128::to_be_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_follow_c() {
        assert_eq!(number("10"), Some(10));
        assert_eq!(number("0x402"), Some(0x402));
        assert_eq!(number("010"), Some(8));
        assert_eq!(number("0"), Some(0));
        assert_eq!(number("0xffffffffffffffff"), Some(u64::MAX));
        for wrong in ["", "0x", "-1", "+1", "1k", "18446744073709551616", "0x-1", "09"] {
            assert_eq!(number(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn sizes_take_binary_suffixes_in_either_case() {
        assert_eq!(size("512", MIB), Some(512 << 20));
        assert_eq!(size("4G", MIB), Some(4 << 30));
        assert_eq!(size("4g", MIB), Some(4 << 30));
        assert_eq!(size("1.5G", MIB), Some(3 << 29));
        assert_eq!(size("100b", MIB), Some(100));
        assert_eq!(size("64k", MIB), Some(65536));
        assert_eq!(size("2T", MIB), Some(2 << 40));
        assert_eq!(size("1P", MIB), Some(1 << 50));
        assert_eq!(size("15E", MIB), Some(15 << 60));
        assert_eq!(size("0x10", MIB), Some(16 << 20));
    }

    #[test]
    fn sizes_that_overflow_or_make_no_sense_are_no_sizes() {
        for wrong in ["", "G", "16E", "1.G", ".5G", "1GG", "-1", "1 G", "99999999999999999999", "1é", "512X"] {
            assert_eq!(size(wrong, MIB), None, "{wrong}");
        }
    }

    #[test]
    fn dates_count_from_1970() {
        assert_eq!(date("1970-01-01"), Some(0));
        assert_eq!(date("2026-01-01T00:00:00"), Some(1_767_225_600));
        assert_eq!(date("2024-02-29T12:34:56"), Some(1_709_210_096));
        for wrong in ["2023-02-29", "2026-13-01", "2026-1-1", "2026-01-01T24:00:00", "1969-12-31", "now", "2026-01-01T"]
        {
            assert_eq!(date(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn uuids_are_read_strictly() {
        let bytes = uuid("01234567-89ab-cdef-0123-456789ABCDEF").expect("a valid UUID");
        assert_eq!(bytes[..4], [0x01, 0x23, 0x45, 0x67]);
        assert_eq!(bytes[15], 0xef);
        for wrong in ["", "0123456789abcdef0123456789abcdef", "01234567-89ab-cdef-0123-456789abcdeg"] {
            assert_eq!(uuid(wrong), None, "{wrong}");
        }
    }
}
