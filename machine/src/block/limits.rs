//! Limits of throttled drives by QEMU's names, and which of them make sense together.

use lockstep_fabric::{Rate, ThrottleLimits};

/// The largest number that a limit may be.
const MOST: u64 = 1_000_000_000_000_000;

macro_rules! names {
    ($($name:literal,)*) => {
        /// The members of QEMU's `ThrottleLimits`.
        pub const NAMES: [&str; 19] = [$($name),*];
        /// What an object of type `throttle-group` calls them beside that.
        pub const PROPERTIES: [&str; NAMES.len()] = [$(concat!("x-", $name)),*];
    };
}
names!(
    "iops-total",
    "iops-total-max",
    "iops-total-max-length",
    "iops-read",
    "iops-read-max",
    "iops-read-max-length",
    "iops-write",
    "iops-write-max",
    "iops-write-max-length",
    "bps-total",
    "bps-total-max",
    "bps-total-max-length",
    "bps-read",
    "bps-read-max",
    "bps-read-max-length",
    "bps-write",
    "bps-write-max",
    "bps-write-max-length",
    "iops-size",
);

/// Why limits make no sense, in QEMU's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LimitsError {
    /// A total and a part of it are limited.
    #[error("bps/iops/max total values and read/write values cannot be used at the same time")]
    TotalAndPart,
    /// Requests are weighed but not counted.
    #[error("iops size requires an iops value to be set")]
    SizeWithoutRate,
    /// A number is too large.
    #[error("bps/iops/max values must be within [0, {MOST}]")]
    TooLarge,
    /// A burst takes no time.
    #[error("the burst length cannot be 0")]
    NoLength,
    /// There is no burst.
    #[error("burst length set without burst rate")]
    LengthWithoutBurst,
    /// The burst brings more than can be counted.
    #[error("burst length too high for this burst rate")]
    BurstTooLong,
    /// Only bursts are limited.
    #[error("bps_max/iops_max require corresponding bps/iops values")]
    BurstWithoutRate,
    /// A burst is slower than the long run.
    #[error("bps_max/iops_max cannot be lower than bps/iops")]
    SlowBurst,
}

/// The number that a name stands for.
pub fn member<'a>(limits: &'a mut ThrottleLimits, name: &str) -> Option<&'a mut u64> {
    if name == "iops-size" {
        return Some(&mut limits.iops_size);
    }
    let (name, of): (_, fn(&mut Rate) -> &mut u64) = match (name.strip_suffix("-max-length"), name.strip_suffix("-max"))
    {
        (Some(rate), _) => (rate, |rate| &mut rate.max_length),
        (None, Some(rate)) => (rate, |rate| &mut rate.max),
        (None, None) => (name, |rate| &mut rate.average),
    };
    let rate = match name {
        "iops-total" => &mut limits.iops_total,
        "iops-read" => &mut limits.iops_read,
        "iops-write" => &mut limits.iops_write,
        "bps-total" => &mut limits.bps_total,
        "bps-read" => &mut limits.bps_read,
        "bps-write" => &mut limits.bps_write,
        _ => return None,
    };
    Some(of(rate))
}

/// Whether limits make sense together, as QEMU's `throttle_is_valid` sees it.
pub fn check(limits: &ThrottleLimits) -> Result<(), LimitsError> {
    let bytes = [limits.bps_total, limits.bps_read, limits.bps_write];
    let requests = [limits.iops_total, limits.iops_read, limits.iops_write];
    for [total, read, write] in [bytes, requests] {
        for of in [|rate: Rate| rate.average, |rate: Rate| rate.max] {
            if of(total) > 0 && (of(read) > 0 || of(write) > 0) {
                return Err(LimitsError::TotalAndPart);
            }
        }
    }
    if limits.iops_size > 0 && requests.iter().all(|rate| rate.average == 0) {
        return Err(LimitsError::SizeWithoutRate);
    }
    for Rate { average, max, max_length } in bytes.into_iter().chain(requests) {
        match () {
            () if average > MOST || max > MOST => return Err(LimitsError::TooLarge),
            () if max_length == 0 => return Err(LimitsError::NoLength),
            () if max_length > 1 && max == 0 => return Err(LimitsError::LengthWithoutBurst),
            () if max > 0 && max_length > MOST / max => return Err(LimitsError::BurstTooLong),
            () if max > 0 && average == 0 => return Err(LimitsError::BurstWithoutRate),
            () if max > 0 && max < average => return Err(LimitsError::SlowBurst),
            () => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(given: &[(&str, u64)]) -> ThrottleLimits {
        let mut limits = ThrottleLimits::default();
        given.iter().for_each(|(name, value)| *member(&mut limits, name).expect("a limit") = *value);
        limits
    }

    #[test]
    fn every_name_stands_for_a_number_of_its_own() {
        let mut all = ThrottleLimits::default();
        for (at, name) in NAMES.iter().enumerate() {
            *member(&mut all, name).expect("a limit") = at as u64 + 100;
        }
        for (at, name) in NAMES.iter().enumerate() {
            assert_eq!(member(&mut all, name), Some(&mut (at as u64 + 100)), "{name}");
        }
        assert_eq!(member(&mut all, "iops"), None);
    }

    #[test]
    fn limits_that_contradict_each_other_are_refused() {
        assert_eq!(
            check(&limits(&[("bps-total", 5), ("iops-read", 4), ("iops-write", 4), ("iops-size", 512)])),
            Ok(())
        );
        for (given, why) in [
            (&[("bps-total", 5), ("bps-read", 1)][..], LimitsError::TotalAndPart),
            (&[("iops-size", 512), ("bps-read", 1)], LimitsError::SizeWithoutRate),
            (&[("bps-total", MOST + 1)], LimitsError::TooLarge),
            (&[("bps-total-max-length", 0)], LimitsError::NoLength),
            (&[("bps-total", 5), ("bps-total-max-length", 2)], LimitsError::LengthWithoutBurst),
            (&[("bps-total", 5), ("bps-total-max", MOST), ("bps-total-max-length", 2)], LimitsError::BurstTooLong),
            (&[("bps-total-max", 5)], LimitsError::BurstWithoutRate),
            (&[("bps-total", 5), ("bps-total-max", 4)], LimitsError::SlowBurst),
        ] {
            assert_eq!(check(&limits(given)), Err(why), "{given:?}");
        }
    }
}
