mod blk;
mod drive;
mod guest;
mod ring;
