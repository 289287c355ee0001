//! One file or folder per device, the catalog of them, and the PCI model.

pub mod debug_exit;
pub mod debugcon;
pub mod dma8237;
pub mod i8042;
pub mod i8254;
pub mod i8259;
pub mod lapic;
pub mod mc146818;
pub mod port80;
pub mod port92;
pub mod ports;
pub mod uart16550;

#[cfg(test)]
mod fixture;
