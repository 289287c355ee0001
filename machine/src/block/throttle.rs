//! Drives that are slower than they could be, in guest time: when a request may start that a group's limits hold back.
//!
//! The leaky buckets of QEMU's `util/throttle.c`, with one difference: a bucket is counted in the time that it takes to leak
//! empty and not in what it holds, so that whole numbers do. A request may start once no bucket that it falls into is
//! overfull, and then fills them; a group's requests start in the order in which they were made.

use lockstep_fabric::{BlockOperation, Nanos, Rate, ThrottleLimits};
use serde::{Deserialize, Serialize};

const SECOND: u128 = 1_000_000_000;
/// What may come at once where no rate of bursts is set: this part of a second's worth.
const WITHOUT_BURST: u64 = 10;
/// The same part of a burst's second may come faster than the burst's own rate.
const WITHIN_BURST: u64 = 10;

/// Which limits a request falls under.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Direction {
    Read,
    Write,
}

/// What a request is to its limits. Flushes and discards fall under none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Load {
    pub(super) direction: Direction,
    pub(super) bytes: u64,
}

impl Load {
    pub(super) fn of(operation: &BlockOperation) -> Option<Self> {
        let (direction, bytes) = match operation {
            BlockOperation::Read { len, .. } => (Direction::Read, *len),
            BlockOperation::Write { data, .. } => (Direction::Write, data.len() as u64),
            BlockOperation::WriteZeroes { len, .. } => (Direction::Write, *len),
            BlockOperation::Discard { .. } | BlockOperation::Flush => return None,
        };
        Some(Self { direction, bytes })
    }
}

/// How full a bucket was at a time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Bucket {
    at: Nanos,
    /// How long it takes to leak empty at the average rate.
    level: Nanos,
    /// The same at the rate of bursts, of what the burst has brought.
    burst: Nanos,
}

impl Bucket {
    fn leak(&mut self, now: Nanos) {
        let passed = now.saturating_sub(self.at);
        self.level = self.level.saturating_sub(passed);
        self.burst = self.burst.saturating_sub(passed);
        self.at = self.at.max(now);
    }

    /// How long a request must wait, if this bucket alone counts.
    fn wait(&self, rate: &Rate) -> Nanos {
        if rate.max == 0 {
            return self.level.saturating_sub(SECOND as u64 / WITHOUT_BURST);
        }
        let size = nanos(rate.max.saturating_mul(rate.max_length).into(), rate.average.into());
        let over = self.level.saturating_sub(size);
        let within = if rate.max_length > 1 { self.burst.saturating_sub(SECOND as u64 / WITHIN_BURST) } else { 0 };
        if over > 0 { over } else { within }
    }

    fn fill(&mut self, rate: &Rate, (units, of): (u64, u64)) {
        let at_rate = |rate: u64| nanos(units.into(), u128::from(rate) * u128::from(of));
        self.level = self.level.saturating_add(at_rate(rate.average));
        if rate.max_length > 1 {
            self.burst = self.burst.saturating_add(at_rate(rate.max));
        }
    }
}

/// The time that `units` take at a rate, which is not zero.
fn nanos(units: u128, rate: u128) -> Nanos {
    Nanos::try_from(units * SECOND / rate.max(1)).unwrap_or(Nanos::MAX)
}

/// A group of drives that share their limits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    limits: ThrottleLimits,
    /// Of bytes and of requests: total, read, write.
    buckets: [[Bucket; 3]; 2],
}

impl Group {
    /// One that has done nothing yet.
    pub(super) fn new(limits: ThrottleLimits) -> Self {
        Self { limits, ..Self::default() }
    }

    /// What its drives may do.
    pub fn limits(&self) -> &ThrottleLimits {
        &self.limits
    }

    /// When a request may start that comes at `now`.
    pub(super) fn admit(&mut self, now: Nanos, load: Load) -> Nanos {
        let limits = &self.limits;
        let rates = [
            [limits.bps_total, limits.bps_read, limits.bps_write],
            [limits.iops_total, limits.iops_read, limits.iops_write],
        ];
        let bytes = (load.bytes, 1);
        let requests =
            if limits.iops_size > 0 && load.bytes > limits.iops_size { (load.bytes, limits.iops_size) } else { (1, 1) };
        let own = match load.direction {
            Direction::Read => 1,
            Direction::Write => 2,
        };
        let mut start = now;
        let mut filled = Vec::new();
        for ((rates, buckets), cost) in rates.iter().zip(&mut self.buckets).zip([bytes, requests]) {
            for (which, (rate, bucket)) in rates.iter().zip(buckets).enumerate() {
                if rate.average > 0 && (which == 0 || which == own) {
                    start = start.max(bucket.at);
                    filled.push((rate, bucket, cost));
                }
            }
        }
        filled.iter_mut().for_each(|(_, bucket, _)| bucket.leak(start));
        let wait = filled.iter().map(|(rate, bucket, _)| bucket.wait(rate)).max().unwrap_or(0);
        start = start.saturating_add(wait);
        for (rate, bucket, cost) in filled {
            bucket.leak(start);
            bucket.fill(rate, cost);
        }
        start
    }

    /// Forgets what was done.
    pub(super) fn empty(&mut self) {
        self.buckets = Default::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const READ: Load = Load { direction: Direction::Read, bytes: 4096 };
    const WRITE: Load = Load { direction: Direction::Write, bytes: 4096 };
    const MS: Nanos = 1_000_000;

    fn rate(average: u64) -> Rate {
        Rate { average, ..Rate::default() }
    }

    /// When requests start that are all made at once.
    fn starts(limits: ThrottleLimits, load: Load, count: usize) -> Vec<Nanos> {
        let mut group = Group::new(limits);
        (0..count).map(|_| group.admit(0, load)).collect()
    }

    #[test]
    fn after_a_tenth_of_a_seconds_worth_requests_come_at_their_rate() {
        let limits = ThrottleLimits { iops_total: rate(100), ..Default::default() };
        let starts = starts(limits, READ, 111);
        // As in QEMU: the request that makes a bucket overfull is still let through.
        assert_eq!(starts[..11], [0; 11]);
        assert_eq!(starts[11..14], [10 * MS, 20 * MS, 30 * MS]);
        assert_eq!(starts[110], 1_000 * MS);
    }

    #[test]
    fn a_long_burst_goes_at_its_own_rate_and_then_at_the_average() {
        let burst = Rate { average: 100, max: 1_000, max_length: 2 };
        let starts = starts(ThrottleLimits { iops_read: burst, ..Default::default() }, READ, 4_000);
        let within = |from: Nanos, to: Nanos| starts.iter().filter(|at| (from * MS..to * MS).contains(*at)).count();
        assert_eq!(within(0, 1), 101, "a tenth of a second of the burst at once");
        assert_eq!(within(1_000, 1_500), 500, "the burst's rate");
        assert_eq!(within(5_000, 6_000), 100, "the average");
    }

    #[test]
    fn reads_and_writes_share_the_total_and_have_their_own() {
        let mut group = Group::new(ThrottleLimits { bps_write: rate(4096), ..Default::default() });
        group.admit(0, WRITE);
        assert_eq!(group.admit(0, WRITE), 900 * MS);
        assert_eq!(group.admit(5, READ), 5, "only writes are limited");
        let mut group = Group::new(ThrottleLimits { bps_total: rate(4096), ..Default::default() });
        group.admit(0, WRITE);
        assert_eq!(group.admit(5, READ), 900 * MS);
    }

    #[test]
    fn a_long_request_counts_as_several_where_a_size_is_set() {
        let limits = ThrottleLimits { iops_total: rate(10), iops_size: 1024, ..Default::default() };
        assert_eq!(starts(limits, READ, 3), [0, 300 * MS, 700 * MS]);
    }

    #[test]
    fn what_was_saved_up_does_not_grow_beyond_the_bucket() {
        let mut group = Group::new(ThrottleLimits { iops_total: rate(10), ..Default::default() });
        let late = 3_600 * SECOND as Nanos;
        let starts: Vec<_> = (0..4).map(|_| group.admit(late, READ) - late).collect();
        assert_eq!(starts, [0, 0, 100 * MS, 200 * MS]);
    }

    #[test]
    fn extreme_limits_neither_overflow_nor_stop_time() {
        let most = Rate { average: u64::MAX, max: u64::MAX, max_length: u64::MAX };
        let limits = ThrottleLimits { bps_total: most, iops_total: rate(1), iops_size: 1, ..Default::default() };
        let mut group = Group::new(limits);
        let load = Load { direction: Direction::Write, bytes: u64::MAX };
        assert_eq!(group.admit(u64::MAX - 1, load), u64::MAX - 1);
        assert_eq!(group.admit(u64::MAX, load), u64::MAX);
    }
}
