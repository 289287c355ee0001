//! Boards, the run loop, record and replay, and the command line.

pub mod chardev;
pub mod commandline;
pub mod run;
pub mod terminal;

pub use run::run;
