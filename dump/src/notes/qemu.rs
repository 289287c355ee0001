//! QEMU's own note of a processor, which crash and libkdumpfile read: `QEMUCPUState`, version 1.

use crate::guest::general::{RAX, RBP, RBX, RCX, RDI, RDX, RSI, RSP};
use crate::guest::segment::{CS, DS, ES, FS, GS, SS};
use crate::record::Record;
use crate::{Registers, SegmentRegister, TableRegister};

const VERSION: u32 = 1;
const SIZE: u32 = 440;

/// The state of a processor.
pub(super) fn state(registers: &Registers) -> Vec<u8> {
    let mut record = Record::default();
    record.u32(VERSION).u32(SIZE);
    for number in [RAX, RBX, RCX, RDX, RSI, RDI, RSP, RBP, 8, 9, 10, 11, 12, 13, 14, 15] {
        record.u64(registers.general[number]);
    }
    record.u64(registers.rip).u64(registers.rflags);
    for number in [CS, DS, ES, FS, GS, SS] {
        segment(&mut record, registers.segments[number]);
    }
    segment(&mut record, registers.ldt);
    segment(&mut record, registers.tr);
    table(&mut record, registers.gdt);
    table(&mut record, registers.idt);
    for control in registers.cr {
        record.u64(control);
    }
    record.u64(registers.kernel_gs_base);
    record.finish()
}

fn segment(record: &mut Record, segment: SegmentRegister) {
    record.u32(segment.selector.into()).u32(segment.limit).u32(segment.flags).u32(0).u64(segment.base);
}

fn table(record: &mut Record, table: TableRegister) {
    segment(record, SegmentRegister { limit: table.limit, base: table.base, ..SegmentRegister::default() });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{u32_at, u64_at};

    #[test]
    fn the_note_has_qemu_s_layout() {
        let segments = std::array::from_fn(|n| SegmentRegister {
            selector: 0x10 + n as u16,
            limit: 0xf_ffff,
            flags: 0xaf_9b00,
            base: 0x1000 * n as u64,
        });
        let cr = [0x8005_0033, 0, 0x1000, 0x2000, 0x3000];
        let state = state(&Registers { segments, cr, kernel_gs_base: 7, rip: 9, ..Registers::default() });
        assert_eq!(state.len(), SIZE as usize);
        assert_eq!((u32_at(&state, 0), u32_at(&state, 4)), (Some(1), Some(440)));
        assert_eq!(u64_at(&state, 8 + 16 * 8), Some(9), "rip");
        assert_eq!(u32_at(&state, 152), Some(0x11), "cs");
        assert_eq!(u32_at(&state, 152 + 8), Some(0xaf_9b00));
        assert_eq!(u64_at(&state, 152 + 5 * 24 + 16), Some(0x2000), "ss base");
        assert_eq!(u64_at(&state, 392 + 3 * 8), Some(0x2000), "cr3");
        assert_eq!(u64_at(&state, 432), Some(7));
    }
}
