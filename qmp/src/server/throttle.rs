//! Events that are sent once a second at most.

use crate::event::{Limit, Occurrence};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// How long an event of a limited kind keeps others of its kind back.
const INTERVAL: Duration = Duration::from_secs(1);

/// An event's name, and the value that tells it from others of that name.
type Key = (&'static str, String);

/// Keeps events back, of each kind the last.
#[derive(Debug, Default)]
pub(super) struct Throttle {
    kinds: BTreeMap<Key, Held>,
}

#[derive(Debug)]
struct Held {
    until: Instant,
    last: Option<Occurrence>,
}

impl Throttle {
    /// An event happens. Gives it back if it is to be sent now.
    pub(super) fn pass(&mut self, occurrence: Occurrence, now: Instant) -> Option<Occurrence> {
        let value = match occurrence.event.limit {
            Limit::None => return Some(occurrence),
            Limit::Together => String::new(),
            Limit::ForEach(member) => occurrence.data.get(member).map(ToString::to_string).unwrap_or_default(),
        };
        let key = (occurrence.event.name, value);
        if let Some(held) = self.kinds.get_mut(&key) {
            held.last = Some(occurrence);
            return None;
        }
        self.kinds.insert(key, Held { until: now + INTERVAL, last: None });
        Some(occurrence)
    }

    /// When something may be due.
    pub(super) fn due(&self) -> Option<Instant> {
        self.kinds.values().map(|held| held.until).min()
    }

    /// What is due. Each keeps others of its kind back in its turn.
    pub(super) fn take_due(&mut self, now: Instant) -> Vec<Occurrence> {
        let mut due = Vec::new();
        self.kinds.retain(|_, held| {
            if held.until > now {
                return true;
            }
            let Some(last) = held.last.take() else { return false };
            due.push(last);
            held.until = now + INTERVAL;
            true
        });
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::char::VserportChange;
    use crate::commands::memory::BalloonChange;
    use crate::commands::run_state::Stopped;
    use crate::event::Timestamp;

    const WHEN: Timestamp = Timestamp { seconds: 0, microseconds: 0 };

    fn balloon(actual: i64) -> Occurrence {
        Occurrence::new(&BalloonChange { actual }, WHEN)
    }

    #[test]
    fn of_many_in_a_second_the_first_is_sent_at_once_and_the_last_when_it_is_over() {
        let (mut throttle, start) = (Throttle::default(), Instant::now());
        assert_eq!(throttle.pass(balloon(1), start), Some(balloon(1)));
        assert_eq!(throttle.pass(balloon(2), start), None);
        assert_eq!(throttle.pass(balloon(3), start + INTERVAL / 2), None);
        assert_eq!(throttle.due(), Some(start + INTERVAL));
        assert_eq!(throttle.take_due(start + INTERVAL / 2), []);
        assert_eq!(throttle.take_due(start + INTERVAL), [balloon(3)]);
        // The one that was kept back counts as well.
        assert_eq!(throttle.pass(balloon(4), start + INTERVAL), None);
        assert_eq!(throttle.take_due(start + INTERVAL * 2), [balloon(4)]);
        assert_eq!(throttle.take_due(start + INTERVAL * 3), []);
        assert_eq!(throttle.due(), None);
        assert_eq!(throttle.pass(balloon(5), start + INTERVAL * 3), Some(balloon(5)));
    }

    #[test]
    fn others_are_not_kept_back() {
        let (mut throttle, start) = (Throttle::default(), Instant::now());
        for _ in 0..3 {
            assert!(throttle.pass(Occurrence::new(&Stopped {}, WHEN), start).is_some());
        }
        let port = |id: &str| Occurrence::new(&VserportChange { id: id.into(), open: true }, WHEN);
        assert!(throttle.pass(port("a"), start).is_some());
        assert!(throttle.pass(port("b"), start).is_some());
        assert!(throttle.pass(port("a"), start).is_none());
    }
}
