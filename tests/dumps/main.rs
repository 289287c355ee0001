//! Dumps of memory: their formats, who reads them, and what may go wrong.

mod formats;
mod modes;
mod readers;
mod trouble;
