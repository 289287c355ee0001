//! Dumps of memory: their formats, who reads them, and what may go wrong.

mod formats;
mod readers;
mod trouble;
