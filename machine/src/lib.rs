//! Boards, the run loop, record and replay, and the command line.

pub mod commandline;
