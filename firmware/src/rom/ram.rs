//! Where the firmware keeps its variables: conventional memory above the real-mode vectors and the BIOS data area.

/// Received bytes wait here. The ring's length is that of a byte index, so indices wrap by themselves.
pub(super) const RING: u32 = 0x1000;
/// Next byte of the ring to be filled (by the interrupt handler).
pub(super) const RING_HEAD: u32 = 0x1100;
/// Next byte of the ring to be taken.
pub(super) const RING_TAIL: u32 = 0x1104;
/// The highest PCI bus known so far.
pub(super) const LAST_BUS: u32 = 0x1108;
/// How many bytes the command in progress moves at a time: 1, 2 or 4.
pub(super) const UNIT: u32 = 0x110c;
/// The processor's feature words, in the order of [`super::cpu`]'s leaves.
pub(super) const FEATURES: u32 = 0x1120;
/// The line being edited.
pub(super) const LINE: u32 = 0x1200;
/// The longest line.
pub(super) const LINE_MAX: u32 = 120;
/// A fw_cfg directory entry, a memory map entry or CPUID's text.
pub(super) const SCRATCH: u32 = 0x1300;
/// The stack grows down from here.
pub(super) const STACK: u32 = 0x7c00;
