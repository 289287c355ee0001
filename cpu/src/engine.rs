//! The interpreter: finds blocks, runs them, and stops exactly where it was told to.

mod breakpoints;

use self::breakpoints::Breakpoints;
use crate::decode::{Block, Cache, Key, LONGEST_INSTRUCTION, LoneInstructions, lower_block};
use crate::fault::{Fault, vector};
use crate::jit::Jit;
use crate::mmu::Source;
use crate::op::{Op, Slot};
use crate::state::{Activity, CodeSize, Pending, Rflags, Vcpu, seg};
use lockstep_fabric::memory::PAGE_SIZE;
use lockstep_fabric::{Bus, Cpu, Space, Tick, Width};

/// Why a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// The budget is used up, exactly.
    Budget,
    /// A device was accessed: interrupts, deadlines and output may have changed.
    Access,
    /// The vCPU spins and leaves its turn to others (PAUSE): see [`Vcpu::yields`].
    Yield,
    /// A maskable interrupt can be taken now: acknowledge it and call [`Vcpu::interrupt`].
    Interrupt,
    /// The vCPU does not execute: [`Vcpu::activity`] says why.
    Stopped,
    /// The next instruction is at a breakpoint: see [`Engine::set_breakpoints`].
    Breakpoint,
    /// The last instruction met a watchpoint: see [`Vcpu::take_watched`].
    Watchpoint,
    /// An exception was delivered: see [`Engine::stop_at_exceptions`].
    Exception,
}

/// The end of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exit {
    /// Ticks used: instructions retired and REP iterations done.
    pub retired: Tick,
    /// Why it ended.
    pub why: Why,
}

/// What a tracer is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Traced {
    /// The instruction at RIP is about to run.
    Instruction,
    /// The instruction at RIP raised this exception.
    Exception(Fault),
}

/// Looks at a vCPU between instructions and cannot change it.
pub type Tracer = Box<dyn FnMut(&Vcpu, &Bus, Traced) + Send>;

/// The interpreter and, on hosts that have one, the translator, with the blocks that all vCPUs of a machine share.
pub struct Engine {
    cache: Cache,
    lone: LoneInstructions,
    jit: Option<Jit>,
    tracer: Option<Tracer>,
    /// The tracer wants every instruction, not only exceptions.
    each_instruction: bool,
    breakpoints: Breakpoints,
}

/// DR6.BS: single step.
const DR6_SINGLE_STEP: u64 = 1 << 14;

impl Default for Engine {
    fn default() -> Self {
        Self { jit: Jit::new(), ..Self::interpreter() }
    }
}

impl Engine {
    /// An engine that translates nothing.
    pub fn interpreter() -> Self {
        Self {
            cache: Cache::default(),
            lone: LoneInstructions::default(),
            jit: None,
            tracer: None,
            each_instruction: false,
            breakpoints: Breakpoints::default(),
        }
    }

    /// An engine that translates blocks after so many runs; where the host has no translator, the interpreter.
    pub fn translating_after(runs: u8) -> Self {
        let mut engine = Self::default();
        if let Some(jit) = &mut engine.jit {
            jit.set_patience(runs);
        }
        engine
    }

    /// Runs `cpu` for at most `budget` ticks from the clock's present. `why == Budget` means that exactly `budget` ticks were
    /// used. Cut into any slices, a run ends in the same state.
    pub fn run(&mut self, cpu: &mut Vcpu, bus: &mut Bus, budget: Tick) -> Exit {
        let start = bus.clock.now();
        cpu.tick = start;
        cpu.tick_end = start.saturating_add(budget);
        cpu.pending = Pending::EVENTS;
        catch_up(cpu, bus);
        let why = loop {
            if let Some(why) = self.between_instructions(cpu, bus) {
                break why;
            }
        };
        Exit { retired: cpu.tick - start, why }
    }

    /// Takes care of all that is not plain execution, then executes until something comes up again.
    fn between_instructions(&mut self, cpu: &mut Vcpu, bus: &mut Bus) -> Option<Why> {
        let pending = std::mem::take(&mut cpu.pending);
        if bus.memory.has_stale() {
            let stale = bus.memory.take_stale();
            self.cache.drop_stale(&stale, &mut bus.memory);
            if let Some(jit) = &mut self.jit {
                stale.iter().for_each(|hit| jit.drop_page(hit.page));
            }
        }
        if cpu.activity != Activity::Running && !(cpu.activity == Activity::Halted && wakes(cpu)) {
            self.breakpoints.take_met();
            return Some(Why::Stopped);
        }
        if cpu.has_watched() {
            self.breakpoints.take_met();
            return Some(Why::Watchpoint);
        }
        if let Some(met) = self.breakpoints.take_met() {
            return Some(met);
        }
        if cpu.tick >= cpu.tick_end {
            return Some(Why::Budget);
        }
        if pending.contains(Pending::ACCESS) {
            return Some(Why::Access);
        }
        if pending.contains(Pending::YIELD) {
            return Some(Why::Yield);
        }
        if cpu.debug_trap != 0 && !cpu.shadow {
            let why = std::mem::take(&mut cpu.debug_trap);
            cpu.dr[6] |= why;
            self.raise(cpu, bus, Fault::DB);
            return None;
        }
        if cpu.nmi_pending && !cpu.nmi_blocked && !cpu.shadow {
            cpu.nmi_pending = false;
            cpu.nmi_blocked = true;
            cpu.interrupt(bus, vector::NMI);
            return None;
        }
        if cpu.interrupt_line && cpu.flags.has(Rflags::IF) && !cpu.shadow {
            return Some(Why::Interrupt);
        }
        let step = cpu.flags.has(Rflags::TF);
        let breakpoints = cpu.dr[7] & 0xff != 0 && has_code_breakpoint(cpu.dr[7]);
        if step || breakpoints || cpu.shadow || cpu.flags.has(Rflags::RF) || self.each_instruction {
            self.one_instruction(cpu, bus, step, breakpoints);
        } else {
            self.blocks(cpu, bus);
        }
        None
    }

    /// Executes one instruction under trap flag, breakpoints, interrupt shadow or resume flag.
    fn one_instruction(&mut self, cpu: &mut Vcpu, bus: &mut Bus, step: bool, breakpoints: bool) {
        // Before anything has changed.
        if !self.breakpoints.is_empty() && self.breakpoints.stop_before(cpu, cpu.program_counter()) {
            return;
        }
        let resume = cpu.flags.has(Rflags::RF);
        if breakpoints && !resume && meets_code_breakpoint(cpu) {
            self.raise(cpu, bus, Fault::DB);
            return;
        }
        if self.each_instruction {
            self.trace(cpu, bus, Traced::Instruction);
        }
        cpu.shadow = false;
        cpu.flags.set(Rflags::RF, false);
        let before = cpu.tick;
        let limit = cpu.tick_end;
        cpu.tick_end = limit.min(cpu.tick.saturating_add(1));
        self.breakpoints.set_looked(true);
        let result = self.blocks_of_page(cpu, bus);
        self.breakpoints.set_looked(false);
        cpu.tick_end = limit;
        match result {
            Ok(()) => {}
            Err(Fault::SUSPEND) => cpu.flags.set(Rflags::RF, resume),
            Err(fault) => {
                cpu.flags.set(Rflags::RF, resume);
                self.raise(cpu, bus, fault);
            }
        }
        let masked = cpu.pending.contains(Pending::NO_STEP);
        if step && !masked && cpu.tick != before && matches!(result, Ok(()) | Err(Fault::SUSPEND)) {
            cpu.debug_trap |= DR6_SINGLE_STEP;
        }
        cpu.pending |= Pending::EVENTS;
    }

    /// Executes blocks until something is pending or the budget is used up.
    fn blocks(&mut self, cpu: &mut Vcpu, bus: &mut Bus) {
        while cpu.pending.is_empty() && cpu.tick < cpu.tick_end {
            match self.blocks_of_page(cpu, bus) {
                Ok(()) | Err(Fault::SUSPEND) => {}
                Err(fault) => {
                    self.raise(cpu, bus, fault);
                    return;
                }
            }
        }
    }

    /// Executes blocks from the page of the instruction pointer until they leave it: one look into the fetch TLB for all.
    /// Whatever could change the translation or the mode in between leaves something pending.
    fn blocks_of_page(&mut self, cpu: &mut Vcpu, bus: &mut Bus) -> Result<(), Fault> {
        if cpu.mode.size() == CodeSize::Bits64 {
            return self.blocks_in(Flat, cpu, bus);
        }
        let segment = CodeSegment::of(cpu)?;
        self.blocks_in(segment, cpu, bus)
    }

    // A function of its own for each kind of place, so that the loop over instructions has the registers to itself.
    #[inline(never)]
    fn blocks_in<P: Place>(&mut self, place: P, cpu: &mut Vcpu, bus: &mut Bus) -> Result<(), Fault> {
        let start = place.linear(cpu.ip);
        let Source::Memory(offset) = cpu.fetch(bus, start)? else {
            return self.uncached(cpu, bus, start);
        };
        let page = start & !(PAGE_SIZE - 1);
        // With the mode in its top byte: what added to a linear address of this page gives the key of the block there.
        let to_key = Key::start_of(cpu.mode).at(offset).from(start);
        let mut linear = start;
        loop {
            let key = to_key.at_linear(linear);
            if P::TRANSLATED
                && let Some(jit) = &mut self.jit
                && let Some(code) = jit.find(key)
            {
                let before = cpu.tick;
                jit.run(code, cpu, bus)?;
                // Where it has not run at all, the budget does not hold the block.
                if cpu.tick != before {
                    linear = place.linear(cpu.ip);
                    if !cpu.pending.is_empty() || linear ^ page >= PAGE_SIZE {
                        return Ok(());
                    }
                    continue;
                }
            }
            let block = match self.cache.recent(key) {
                Some(block) => block,
                // What was found to cross the page's end is not decoded in vain again.
                None if self.lone.at(linear, cpu.mode).is_some() => return self.uncached(cpu, bus, linear),
                None => match self.find_or_decode(cpu, bus, key) {
                    Some(block) => block,
                    None => return self.uncached(cpu, bus, linear),
                },
            };
            let base = cpu.ip;
            if place.ends_before(base.wrapping_add(u64::from(block.bytes) - 1)) {
                return self.uncached(cpu, bus, linear);
            }
            if u64::from(block.ticks) > cpu.tick_end - cpu.tick {
                return self.part_of(block, cpu, bus, linear);
            }
            if P::TRANSLATED
                && let Some(jit) = &mut self.jit
            {
                jit.warm(key, cpu, bus, block.bytes);
            }
            execute(cpu, bus, self.cache.ops(block), block.bytes)?;
            if !cpu.pending.is_empty() {
                return Ok(());
            }
            linear = place.linear(cpu.ip);
            if linear ^ page >= PAGE_SIZE {
                return Ok(());
            }
        }
    }

    /// Executes as much of a block as the budget allows.
    #[cold]
    #[inline(never)]
    fn part_of(&mut self, block: Block, cpu: &mut Vcpu, bus: &mut Bus, linear: u64) -> Result<(), Fault> {
        let mut left = cpu.tick_end - cpu.tick;
        if left == 0 {
            return Ok(());
        }
        let ops = self.cache.ops(block);
        let fits = |op: &&Op| {
            let fits = u64::from(op.ticks) <= left;
            left = left.saturating_sub(op.ticks.into());
            fits
        };
        match ops.get(..ops.iter().take_while(fits).count()) {
            Some(part @ [.., last]) => execute(cpu, bus, part, last.next),
            // The first of a fused pair alone.
            _ => self.uncached(cpu, bus, linear),
        }
    }

    #[cold]
    #[inline(never)]
    fn find_or_decode(&mut self, cpu: &mut Vcpu, bus: &mut Bus, key: Key) -> Option<Block> {
        if let Some(block) = self.cache.find(key) {
            return Some(block);
        }
        let offset = key.offset();
        let len = self.breakpoints.reach(offset, PAGE_SIZE - offset % PAGE_SIZE);
        let bytes = bus.memory.arena().bytes(offset, len as usize)?;
        let lowered = lower_block(bytes, cpu.mode, &cpu.model, usize::MAX);
        if lowered.ops.is_empty() {
            return None;
        }
        if !self.cache.has_room_for(&lowered) {
            self.drop_blocks(bus);
        }
        let epoch = bus.memory.write_epoch();
        let block = self.cache.insert(key, lowered, &mut bus.memory);
        if bus.memory.write_epoch() != epoch && cpu.tlb.write_epoch == epoch {
            cpu.tlb.slow_writes_to(offset & !(PAGE_SIZE - 1));
            cpu.tlb.write_epoch = bus.memory.write_epoch();
        }
        Some(block)
    }

    /// Executes one instruction that no block holds: it crosses a page, ends at the segment's limit, or lies in a device.
    #[cold]
    #[inline(never)]
    fn uncached(&mut self, cpu: &mut Vcpu, bus: &mut Bus, linear: u64) -> Result<(), Fault> {
        if cpu.tick >= cpu.tick_end {
            return Ok(());
        }
        if !self.breakpoints.is_empty() && self.breakpoints.stop_before(cpu, linear) {
            cpu.pending |= Pending::EVENTS;
            return Ok(());
        }
        if let Some(lone) = self.lone.at(linear, cpu.mode)
            && is_there(lone.bytes(), cpu, bus, linear)?
        {
            return execute(cpu, bus, std::slice::from_ref(&lone.op), lone.op.next);
        }
        let mut bytes = Vec::with_capacity(LONGEST_INSTRUCTION);
        let mut memory = true;
        let mut fault = None;
        while bytes.len() < LONGEST_INSTRUCTION {
            match fetch_byte(cpu, bus, linear, bytes.len() as u64) {
                Ok((byte, in_memory)) => {
                    bytes.push(byte);
                    memory &= in_memory;
                }
                Err(why) => {
                    fault = Some(why);
                    break;
                }
            }
            // Bytes beyond the instruction are not fetched: they could fault, or have side effects.
            let lowered = lower_block(&bytes, cpu.mode, &cpu.model, 1);
            if let [op] = lowered.ops.as_slice() {
                if memory {
                    self.lone.hold(linear, cpu.mode, &bytes, op.clone());
                }
                return execute(cpu, bus, &lowered.ops, lowered.bytes);
            }
        }
        Err(fault.unwrap_or(Fault::GP0))
    }

    /// Delivers an exception. That costs no time, but for one that comes before anything has retired since the last: without
    /// a tick for those, a handler that faults at its first instruction would hold the clock for ever.
    fn raise(&mut self, cpu: &mut Vcpu, bus: &mut Bus, fault: Fault) {
        self.trace(cpu, bus, Traced::Exception(fault));
        if cpu.last_exception == Some(cpu.tick) {
            cpu.tick += 1;
        }
        cpu.last_exception = Some(cpu.tick);
        cpu.exception(bus, fault);
        self.breakpoints.note_exception();
    }

    fn trace(&mut self, cpu: &Vcpu, bus: &Bus, what: Traced) {
        if let Some(tracer) = &mut self.tracer {
            tracer(cpu, bus, what);
        }
    }

    /// Shows `tracer` every exception, and if `each_instruction` every instruction too. Nothing that the guest can see
    /// changes.
    pub fn set_tracer(&mut self, tracer: Option<Tracer>, each_instruction: bool) {
        self.each_instruction = each_instruction && tracer.is_some();
        self.tracer = tracer;
    }

    /// Forgets all decoded blocks.
    pub fn drop_blocks(&mut self, bus: &mut Bus) {
        self.cache.drop_all(&mut bus.memory);
        self.lone = LoneInstructions::default();
        if let Some(jit) = &mut self.jit {
            jit.clear();
        }
    }
}

/// Where the byte `i` of the instruction at `linear` comes from.
fn fetch_from(cpu: &mut Vcpu, bus: &mut Bus, linear: u64, i: u64) -> Result<Source, Fault> {
    if !cpu.code64() && cpu.ip + i > cpu.seg[seg::CS].limit.into() {
        return Err(Fault::GP0);
    }
    let linear = cpu.wrapped(linear.wrapping_add(i));
    cpu.fetch(bus, linear)
}

/// The byte `i` of the instruction at `linear`, and whether it comes from memory.
fn fetch_byte(cpu: &mut Vcpu, bus: &mut Bus, linear: u64, i: u64) -> Result<(u8, bool), Fault> {
    Ok(match fetch_from(cpu, bus, linear, i)? {
        Source::Memory(at) => (bus.memory.load(at), true),
        Source::Device(at) => {
            bus.clock.set_now(cpu.tick);
            cpu.pending |= Pending::ACCESS;
            (bus.read(Space::Memory, at, Width::Byte, Cpu(cpu.index)).unwrap_or(0xff) as u8, false)
        }
    })
}

/// Whether memory holds the bytes of an instruction at `linear`. One after the other: a byte is fetched only if those before
/// it are no whole instruction.
fn is_there(bytes: &[u8], cpu: &mut Vcpu, bus: &mut Bus, linear: u64) -> Result<bool, Fault> {
    for (i, byte) in (0..).zip(bytes) {
        match fetch_from(cpu, bus, linear, i)? {
            Source::Memory(at) if bus.memory.load::<u8>(at) == *byte => {}
            _ => return Ok(false),
        }
    }
    Ok(true)
}

/// How offsets in the code segment become linear addresses, and how far they reach.
trait Place: Copy {
    /// Code there can be translated.
    const TRANSLATED: bool;
    fn linear(self, ip: u64) -> u64;
    /// Whether an offset is beyond the segment's limit.
    fn ends_before(self, ip: u64) -> bool;
}

/// 64-bit code: no base, no limit.
#[derive(Clone, Copy)]
struct Flat;

impl Place for Flat {
    const TRANSLATED: bool = true;

    #[inline(always)]
    fn linear(self, ip: u64) -> u64 {
        ip
    }

    #[inline(always)]
    fn ends_before(self, _: u64) -> bool {
        false
    }
}

#[derive(Clone, Copy)]
struct CodeSegment {
    base: u64,
    /// The last offset.
    limit: u64,
}

impl CodeSegment {
    /// The code segment in use; faults if the instruction pointer is outside of it.
    fn of(cpu: &Vcpu) -> Result<Self, Fault> {
        let cs = &cpu.seg[seg::CS];
        let segment = Self { base: cs.base, limit: cs.limit.into() };
        if segment.ends_before(cpu.ip) { Err(Fault::GP0) } else { Ok(segment) }
    }
}

impl Place for CodeSegment {
    const TRANSLATED: bool = false;

    #[inline(always)]
    fn linear(self, ip: u64) -> u64 {
        self.base.wrapping_add(ip) & 0xffff_ffff
    }

    #[inline(always)]
    fn ends_before(self, ip: u64) -> bool {
        ip > self.limit
    }
}

/// Runs instructions of a block, `bytes` long, up to their end, a taken branch, a fault, or something pending.
#[inline(always)]
fn execute(cpu: &mut Vcpu, bus: &mut Bus, ops: &[Op], bytes: u16) -> Result<(), Fault> {
    let base = cpu.ip;
    cpu.gpr[Slot::Ip.number()] = base;
    // Falls through unless the last instruction branches.
    cpu.ip = base.wrapping_add(bytes.into());
    // In a register: a count in memory would be a chain of loads and stores as long as the instructions themselves.
    let mut tick = cpu.tick;
    let mut ticks = 0;
    for op in ops {
        tick += ticks;
        cpu.tick = tick;
        ticks = op.ticks.into();
        if let Err(fault) = (op.run)(cpu, bus, op) {
            if fault == Fault::TAKEN {
                break;
            }
            return Err(faulted(cpu, op, fault));
        }
        if !cpu.pending.is_empty() {
            if op.next != bytes {
                cpu.ip = cpu.next_ip(op);
            }
            break;
        }
    }
    // A REP loop, always last in its block, has counted its iterations itself but for the last; half a pair has counted back.
    cpu.tick = cpu.tick.wrapping_add(ticks);
    Ok(())
}

/// Puts the instruction pointer back to an instruction that faults.
#[cold]
#[inline(never)]
pub(crate) fn faulted(cpu: &mut Vcpu, op: &Op, fault: Fault) -> Fault {
    cpu.ip = cpu.next_ip(op).wrapping_sub(op.len.into());
    located(fault, op)
}

/// Whether something is there that ends HLT.
fn wakes(cpu: &Vcpu) -> bool {
    cpu.debug_trap != 0 || cpu.nmi_pending && !cpu.nmi_blocked || cpu.interrupt_line && cpu.flags.has(Rflags::IF)
}

/// A non-canonical address is a stack fault if the operand is in the stack segment.
fn located(fault: Fault, op: &Op) -> Fault {
    match fault {
        Fault::NOT_CANONICAL if usize::from(op.seg) == seg::SS => Fault::SS0,
        Fault::NOT_CANONICAL => Fault::GP0,
        fault => fault,
    }
}

/// Makes the soft TLB fit what has happened to memory while the vCPU did not run.
fn catch_up(cpu: &mut Vcpu, bus: &Bus) {
    if cpu.tlb.map_epoch != bus.memory.map_epoch() {
        cpu.tlb.map_epoch = bus.memory.map_epoch();
        cpu.tlb.slow_all();
    }
    if cpu.tlb.write_epoch != bus.memory.write_epoch() {
        cpu.tlb.write_epoch = bus.memory.write_epoch();
        cpu.tlb.slow_writes();
    }
}

fn has_code_breakpoint(dr7: u64) -> bool {
    (0..4).any(|i| dr7 >> (2 * i) & 3 != 0 && dr7 >> (16 + 4 * i) & 3 == 0)
}

fn meets_code_breakpoint(cpu: &mut Vcpu) -> bool {
    let linear = cpu.program_counter();
    let dr7 = cpu.dr[7];
    let hits = (0..4).filter(|i| dr7 >> (2 * i) & 3 != 0 && dr7 >> (16 + 4 * i) & 3 == 0 && cpu.dr[*i] == linear);
    let hits = hits.fold(0, |bits, i| bits | 1 << i);
    cpu.dr[6] |= hits;
    hits != 0
}

#[cfg(test)]
mod tests;
