mod blk;
mod console;
mod drive;
mod fuzz;
mod guest;
mod memory;
mod ring;
mod transport;
