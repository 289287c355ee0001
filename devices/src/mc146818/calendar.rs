//! Dates of the Gregorian calendar, and the counting of seconds.

/// A date and time of day. Fields may be out of range, as a guest may set them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Calendar {
    pub(super) second: u8,
    pub(super) minute: u8,
    pub(super) hour: u8,
    /// 1 is Sunday; counted on by itself, whatever the date.
    pub(super) weekday: u8,
    pub(super) day: u8,
    pub(super) month: u8,
    pub(super) year: i64,
}

const DAY: i64 = 86_400;
/// Days in 400 years, after which the calendar repeats.
const ERA_DAYS: i64 = 146_097;
/// Days from 0000-03-01 to 1970-01-01.
const EPOCH: i64 = 719_468;
/// 1970-01-01 was a Thursday.
const EPOCH_WEEKDAY: i64 = 4;

impl Calendar {
    /// From seconds since 1970-01-01T00:00:00.
    pub(super) fn from_epoch(seconds: i64) -> Self {
        let days = seconds.div_euclid(DAY);
        let of_day = seconds.rem_euclid(DAY);
        let (year, month, day) = date_of(days);
        Self {
            second: (of_day % 60) as u8,
            minute: (of_day / 60 % 60) as u8,
            hour: (of_day / 3600) as u8,
            weekday: ((days + EPOCH_WEEKDAY).rem_euclid(7) + 1) as u8,
            day,
            month,
            year,
        }
    }

    /// The second of the day, out-of-range fields carried.
    pub(super) fn second_of_day(self) -> u64 {
        (u64::from(self.hour) * 3600 + u64::from(self.minute) * 60 + u64::from(self.second)) % DAY as u64
    }

    /// Seconds since 1970-01-01T00:00:00, out-of-range fields carried.
    pub(super) fn epoch(self) -> i64 {
        let days = days_before(self.year, self.month.clamp(1, 12), self.day.max(1));
        days * DAY + i64::from(self.hour) * 3600 + i64::from(self.minute) * 60 + i64::from(self.second)
    }

    /// The date `seconds` later.
    pub(super) fn after(self, seconds: u64) -> Self {
        let days = days_before(self.year, self.month.clamp(1, 12), self.day.max(1));
        let later = self.epoch() + seconds as i64;
        let passed = later.div_euclid(DAY) - days;
        let weekday = (i64::from(self.weekday.max(1)) - 1 + passed).rem_euclid(7) + 1;
        Self { weekday: weekday as u8, ..Self::from_epoch(later) }
    }
}

/// Days from 1970-01-01 to a date. The year is counted from March, so that the leap day is its last.
fn days_before(year: i64, month: u8, day: u8) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let months = (i64::from(month) + 9) % 12;
    let of_year = (153 * months + 2) / 5 + i64::from(day) - 1;
    era * ERA_DAYS + of_era * 365 + of_era / 4 - of_era / 100 + of_year - EPOCH
}

/// The year, month and day that lie `days` after 1970-01-01.
fn date_of(days: i64) -> (i64, u8, u8) {
    let days = days + EPOCH;
    let era = days.div_euclid(ERA_DAYS);
    let of_era = days.rem_euclid(ERA_DAYS);
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let months = (5 * of_year + 2) / 153;
    let day = of_year - (153 * months + 2) / 5 + 1;
    let month = (months + 2) % 12 + 1;
    (era * 400 + year + i64::from(month <= 2), month as u8, day as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_day_of_four_centuries_follows_the_one_before() {
        let mut last = date_of(-1);
        for days in 0..ERA_DAYS {
            let (year, month, day) = date_of(days);
            assert_eq!(days_before(year, month, day), days);
            assert!((year, month, day) > last);
            last = (year, month, day);
        }
        assert_eq!(date_of(0), (1970, 1, 1));
        assert_eq!(date_of(11_016), (2000, 2, 29));
    }
}
