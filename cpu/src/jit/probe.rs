//! What translated code takes for granted of the host beyond the manual, asked of the host itself.

use super::assembler::{Assembler, Opcode};
use super::code_buffer::CodeBuffer;
use super::registers::Host;

/// Operands whose sums and differences carry out of bit 3, or do not.
const OPERANDS: [u64; 6] = [0, 1, 8, 0xf, 0x1f, u64::MAX];

/// AF in what LAHF gives.
const ADJUST: u64 = 1 << 12;

/// Whether AND, OR, XOR and TEST clear AF, which the manual leaves undefined. All x86-64 processors do; on one that did not,
/// results would not be the same as on the others.
pub(super) fn bitwise_operations_clear_af(buffer: &mut CodeBuffer) -> bool {
    [0x21u8, 0x09, 0x31, 0x85].into_iter().all(|opcode| {
        let used = buffer.used();
        let mut asm = Assembler::new(buffer.next());
        asm.registers(Opcode::Load, Host::RAX, Host::RDI);
        // ADD RAX, RAX (sets AF by bit 3), then the operation on EDI and ESI.
        asm.registers(Opcode::Add, Host::RAX, Host::RAX);
        asm.raw(&[0x48, opcode, 0xf7, 0x9f, 0xc3]);
        let Some(at) = asm.finish().and_then(|code| buffer.append(&code)) else { return false };
        // SAFETY: the bytes just written are a function of this signature that uses registers only which it may clobber.
        let run: extern "sysv64" fn(u64, u64) -> u64 = unsafe { std::mem::transmute(at as usize as *const ()) };
        let clears = OPERANDS.into_iter().all(|a| OPERANDS.into_iter().all(|b| run(a, b) & ADJUST == 0));
        buffer.truncate(used);
        clears
    })
}
