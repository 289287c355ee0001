//! Recorded cases: what a host's CPU made of them, for hosts that have none.
