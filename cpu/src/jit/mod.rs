//! The translator: blocks of 64-bit code that run often become code of the host, an x86-64 itself.
//!
//! Most integer instructions run as themselves, with other registers ([`registers`]) and with memory operands found through
//! the soft TLB; for what the TLB does not have at once, and for every other instruction, the interpreter's handler is called,
//! so that there is one truth for what instructions do. Translated code keeps the interpreter's contract to the letter: the
//! budget is exact, a fault leaves what the handler leaves, and whether a block is translated shows nowhere but in time.
//!
//! Code is found by the same keys as the interpreter's blocks, depends on nothing that can change but the bytes it was made
//! from, and is dropped with them.
#![allow(unsafe_code)]

mod assembler;
mod code_buffer;
mod context;
mod flags;
mod liveness;
mod native;
mod operands;
mod probe;
mod registers;
mod stubs;
mod table;
#[cfg(test)]
mod tests;
mod transfers;
mod translate;
mod vectors;

pub(crate) use context::Context;

use crate::decode::{Key, lower_singly};
use crate::fault::Fault;
use crate::op::Op;
use crate::state::{CodeSize, Pending, Vcpu};
use code_buffer::CodeBuffer;
use lockstep_fabric::Bus;
use lockstep_fabric::memory::PAGE_SIZE;
use stubs::Stubs;
use table::Table;

/// A block is worth translating after so many runs.
const ENOUGH: u8 = 24;

/// An instruction as translated code hands it to its handler.
struct Site {
    op: Op,
    /// Ticks of its block from this instruction on, which the budget has been charged with already.
    rest: u32,
    /// Nothing follows it in its block.
    ends: bool,
    /// It reads or writes status flags.
    flags: bool,
}

/// What the handler's caller answers to translated code: go on.
const GO_ON: u64 = 0;
/// Leave: something is pending.
const LEAVE: u64 = 1;
/// Leave: the fault is in the lower half.
const FAULT: u64 = 1 << 32;

/// Translated code, ready to run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Code(u64);

/// The translated blocks of one machine, for all of its vCPUs.
pub(crate) struct Jit {
    buffer: CodeBuffer,
    stubs: Stubs,
    /// How much of the buffer is not blocks.
    fixed: usize,
    table: Table,
    enough: u8,
}

impl Jit {
    /// A translator, if the host is one that it can run on.
    pub(crate) fn new() -> Option<Self> {
        let mut buffer = CodeBuffer::new().ok()?;
        if !probe::bitwise_operations_clear_af(&mut buffer) {
            return None;
        }
        let handler = handle as extern "sysv64" fn(*mut Vcpu, *mut Bus, *const Site) -> u64;
        let stubs = Stubs::write(&mut buffer, handler as usize as u64)?;
        let fixed = buffer.used();
        Some(Self { buffer, stubs, fixed, table: Table::default(), enough: ENOUGH })
    }

    /// Translates each block after so many runs: for tests, at once.
    pub(crate) fn set_patience(&mut self, runs: u8) {
        self.enough = runs.max(1);
    }

    /// The code of a block.
    #[inline(always)]
    pub(crate) fn find(&mut self, key: Key) -> Option<Code> {
        self.table.recent(key).map(Code)
    }

    /// Counts a run of a block by the interpreter; when there have been enough, the code is made, or found again. `bytes` are
    /// the block's. Whether there is code now that there was not.
    #[inline(always)]
    pub(crate) fn warm(&mut self, key: Key, cpu: &Vcpu, bus: &Bus, bytes: u16) -> bool {
        self.table.warm(key, self.enough) && self.table.find(key).is_none() && self.translate(key, cpu, bus, bytes)
    }

    #[cold]
    #[inline(never)]
    fn translate(&mut self, key: Key, cpu: &Vcpu, bus: &Bus, bytes: u16) -> bool {
        let Some(bytes) = bus.memory.arena().bytes(key.offset(), bytes.into()) else { return false };
        let start = (key.offset() % PAGE_SIZE) as u16;
        let singles = lower_singly(bytes, start, cpu.mode, &cpu.model);
        let made = translate::translate(&singles, start, self.buffer.next(), &self.stubs);
        let Some(made) = made.filter(|_| cpu.mode.size() == CodeSize::Bits64) else { return false };
        let Some(code) = self.buffer.append(&made.code) else {
            // It is made again when it has run often once more.
            self.clear();
            return false;
        };
        self.table.insert(key, code, made.links, made.sites, &mut self.buffer);
        true
    }

    /// Runs translated code from the vCPU's instruction pointer on, as far as it goes: until the budget does not hold the next
    /// block, something is pending, an instruction faults, or what comes next is not translated.
    pub(crate) fn run(&mut self, code: Code, cpu: &mut Vcpu, bus: &mut Bus) -> Result<(), Fault> {
        let Some(arena) = bus.memory.arena().bytes(0, 1).map(|byte| byte.as_ptr() as usize) else { return Ok(()) };
        cpu.enter_context(arena, self.table.address());
        cpu.gpr[crate::op::Slot::Ip.number()] = cpu.ip & !(PAGE_SIZE - 1);
        let answer = {
            // SAFETY: `enter` is code that `Stubs::write` has made with this signature; it lies in `self.buffer`, as `code`
            // does, and neither is changed or unmapped before it returns.
            let enter: extern "sysv64" fn(*mut Vcpu, *mut Bus, u64) -> u64 =
                unsafe { std::mem::transmute(self.stubs.enter as usize as *const ()) };
            // Translated code reaches the vCPU, its TLB's boxes, guest memory and the table through pointers made of these
            // exclusive borrows and from `self`, and hands the same pointers to `handle`; nobody else uses any of them
            // meanwhile.
            enter(cpu, bus, code.0)
        };
        cpu.tick = cpu.tick_end - cpu.jit.left;
        cpu.flags.unpack(cpu.jit.flags);
        match Fault::from_bits(answer as u32) {
            Some(fault) if answer & FAULT != 0 => Err(fault),
            _ => Ok(()),
        }
    }

    /// Drops what is translated of the page at an arena offset.
    pub(crate) fn drop_page(&mut self, page: u64) {
        self.table.drop_page(page);
    }

    /// Drops everything.
    pub(crate) fn clear(&mut self) {
        self.table.clear();
        self.buffer.truncate(self.fixed);
    }
}

/// Runs the handler of a site, as the interpreter's loop does, for translated code.
extern "sysv64" fn handle(cpu: *mut Vcpu, bus: *mut Bus, site: *const Site) -> u64 {
    // SAFETY: the pointers are those that `Jit::run` has given to translated code, which has kept them as they are and waits
    // for this call; the site is held by the table as long as the code that names it can run.
    let (cpu, bus, site) = unsafe { (&mut *cpu, &mut *bus, &*site) };
    cpu.tick = cpu.tick_end - cpu.jit.left - u64::from(site.rest);
    if site.flags {
        cpu.flags.unpack(cpu.jit.flags);
    }
    let next = cpu.next_ip(&site.op);
    if site.ends {
        cpu.ip = next;
    }
    let result = (site.op.run)(cpu, bus, &site.op);
    if let Err(fault) = result
        && fault != Fault::TAKEN
    {
        cpu.jit.left = cpu.tick_end - cpu.tick;
        return FAULT | u64::from(crate::engine::faulted(cpu, &site.op, fault).bits());
    }
    if site.flags {
        cpu.jit.flags = cpu.flags.packed();
    }
    let pending = cpu.pending != Pending::empty();
    if site.ends || pending || result.is_err() {
        cpu.tick = cpu.tick.wrapping_add(1);
        cpu.jit.left = cpu.tick_end - cpu.tick;
    }
    if pending || result.is_err() {
        if !site.ends && result.is_ok() {
            cpu.ip = next;
        }
        return LEAVE;
    }
    cpu.refresh_context();
    GO_ON
}
