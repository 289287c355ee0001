//! One block into machine code: its instructions one after the other, then what seldom runs.

use super::Site;
use super::assembler::{Assembler, Condition, Label, Opcode, WithImmediate, at};
use super::context;
use super::flags::Held;
use super::liveness::{Effect, FlagSet, effect, live_after};
use super::native::{Shape, shape};
use super::registers::Host;
use super::stubs::Stubs;
use super::table::Link;
use crate::decode::Single;
use lockstep_fabric::memory::PAGE_SIZE;

/// A block's code and what hangs on it.
pub(super) struct Translated {
    pub(super) code: Vec<u8>,
    pub(super) links: Vec<Link>,
    pub(super) sites: Box<[Site]>,
}

/// What seldom runs, behind the block.
#[derive(Clone, Copy)]
enum Cold {
    /// The handler of instruction `index` does what its own code cannot.
    Handler { from: Label, index: usize, back: Label, load_flags: bool },
    /// The same for one that ends the block.
    LastHandler { from: Label, index: usize },
    /// A conditional branch is taken: ticks of instructions that do not run are given back.
    Taken { from: Label, unused: u32, target: u64 },
    /// A jump within the page is not led to its target yet.
    Unlinked { from: Label, target: u16 },
    /// The budget does not hold the block.
    Budget { from: Label },
}

/// The translation in hand.
pub(super) struct Translation<'a> {
    pub(super) asm: Assembler,
    stubs: &'a Stubs,
    singles: &'a [Single],
    sites: Box<[Site]>,
    effects: Vec<Effect>,
    shapes: Vec<Shape>,
    live: Vec<FlagSet>,
    /// Offset of the block in its page.
    start: u16,
    /// The instruction in hand.
    pub(super) index: usize,
    /// Where the status flags are.
    pub(super) held: Held,
    cold: Vec<Cold>,
    links: Vec<Link>,
}

/// Translates the block that these instructions are, `start` bytes into its page, for code at `base`. `None` if it cannot be.
pub(super) fn translate(singles: &[Single], start: u16, base: u64, stubs: &Stubs) -> Option<Translated> {
    let ticks = singles.len() as u32;
    let effects: Vec<_> = singles.iter().map(|single| effect(&single.instruction)).collect();
    let shapes: Vec<_> = singles.iter().map(shape).collect();
    let native: Vec<_> = shapes.iter().map(|shape| *shape != Shape::Handler).collect();
    let live = live_after(singles, &effects, &native);
    let site = |(i, single): (usize, &Single)| Site {
        op: single.op.clone(),
        rest: ticks - i as u32,
        ends: single.ends,
        flags: single.ends || effects[i] != Effect::default(),
    };
    let sites = singles.iter().enumerate().map(site).collect();
    let asm = Assembler::new(base);
    let held = Held::IN_MEMORY;
    let mut translation = Translation {
        asm,
        stubs,
        singles,
        sites,
        effects,
        shapes,
        live,
        start,
        index: 0,
        held,
        cold: Vec::new(),
        links: Vec::new(),
    };
    translation.block(ticks as i32);
    let Translation { asm, links, sites, .. } = translation;
    Some(Translated { code: asm.finish()?, links, sites })
}

impl<'a> Translation<'a> {
    fn block(&mut self, ticks: i32) {
        let from = self.asm.label();
        self.asm.memory_immediate(WithImmediate::Sub, at(context::LEFT), ticks);
        self.asm.branch(Condition::BELOW, from);
        self.cold.push(Cold::Budget { from });
        let mut open = true;
        for index in 0..self.singles.len() {
            self.index = index;
            self.instruction();
            open = !self.singles[index].ends;
        }
        if open && let Some(last) = self.singles.last() {
            self.keep_all_flags();
            self.leave_to(last.op.next.into());
        }
        let mut done = 0;
        while let Some(cold) = self.cold.get(done).copied() {
            self.cold_part(cold, ticks);
            done += 1;
        }
    }

    /// The instruction in hand.
    pub(super) fn single(&self) -> &'a Single {
        &self.singles[self.index]
    }

    /// What it does to the flags.
    pub(super) fn effect(&self) -> Effect {
        self.effects[self.index]
    }

    /// The flags that are live after it.
    pub(super) fn live(&self) -> FlagSet {
        self.live[self.index]
    }

    fn instruction(&mut self) {
        if self.shapes[self.index] == Shape::Handler || !self.native(self.shapes[self.index]) {
            self.handler();
        }
    }

    /// Has the instruction's handler run it.
    pub(super) fn handler(&mut self) {
        self.keep_all_flags();
        self.call_site(self.index);
        self.held = Held::IN_MEMORY;
        if self.single().ends {
            self.asm.jump_near(self.stubs.go_on);
        }
    }

    fn call_site(&mut self, index: usize) {
        let address: *const Site = &raw const self.sites[index];
        self.asm.constant(Host::RAX, address as u64);
        self.asm.call_near(self.stubs.call);
    }

    /// A place to branch to when the instruction's own code finds that it cannot go on, before it has changed anything: its
    /// handler runs instead. For one that does not end the block, [`Translation::after_slow`] says where both ways meet.
    pub(super) fn slow(&mut self) -> Label {
        self.asm.label()
    }

    /// Both ways of the instruction meet here.
    pub(super) fn after_slow(&mut self, slow: Label) {
        let back = self.asm.label();
        self.asm.bind(back);
        let load_flags = self.held.in_host();
        self.cold.push(Cold::Handler { from: slow, index: self.index, back, load_flags });
    }

    /// The handler, if it must run, has the last word.
    pub(super) fn last_slow(&mut self, slow: Label) {
        self.cold.push(Cold::LastHandler { from: slow, index: self.index });
    }

    /// Goes on at an offset from the page's start; the flags are in memory.
    pub(super) fn leave_to(&mut self, target: u64) {
        if target < PAGE_SIZE {
            let from = self.asm.label();
            let at = self.asm.patchable_jump(from);
            let target = target as u16;
            self.links.push(Link { target, at });
            self.cold.push(Cold::Unlinked { from, target });
        } else {
            self.load_ip(Host::RAX, target);
            self.leave_to_rax();
        }
    }

    /// Goes on at the address in RAX; the flags are in memory.
    pub(super) fn leave_to_rax(&mut self) {
        self.asm.jump_near(self.stubs.go);
    }

    /// The address at an offset from the page's start.
    pub(super) fn load_ip(&mut self, to: Host, offset: u64) {
        self.asm.memory(Opcode::Load, to, at(context::PAGE_IP));
        match i32::try_from(offset as i64) {
            Ok(0) => {}
            Ok(offset) => self.asm.lea(true, to, Some(to), None, offset),
            Err(_) => {
                self.asm.constant(Host::R9, offset);
                self.asm.lea(true, to, Some(to), Some((Host::R9, 0)), 0);
            }
        }
    }

    /// A place to branch to when the conditional branch in hand is taken.
    pub(super) fn taken(&mut self, target: u64) -> Label {
        let from = self.asm.label();
        let unused = (self.singles.len() - self.index - 1) as u32;
        self.cold.push(Cold::Taken { from, unused, target });
        from
    }

    fn cold_part(&mut self, part: Cold, ticks: i32) {
        match part {
            Cold::Handler { from, index, back, load_flags } => {
                self.asm.bind(from);
                self.call_site(index);
                if load_flags {
                    self.load_flags();
                }
                self.asm.jump(back);
            }
            Cold::LastHandler { from, index } => {
                self.asm.bind(from);
                self.call_site(index);
                self.asm.jump_near(self.stubs.go_on);
            }
            Cold::Taken { from, unused, target } => {
                self.asm.bind(from);
                if unused > 0 {
                    self.asm.memory_immediate(WithImmediate::Add, at(context::LEFT), unused as i32);
                }
                self.leave_to(target);
            }
            Cold::Unlinked { from, target } => {
                self.asm.bind(from);
                self.load_ip(Host::RAX, target.into());
                self.leave_to_rax();
            }
            Cold::Budget { from } => {
                self.asm.bind(from);
                self.asm.memory_immediate(WithImmediate::Add, at(context::LEFT), ticks);
                self.load_ip(Host::RAX, self.start.into());
                self.asm.memory(Opcode::Store, Host::RAX, at(context::NEXT_IP));
                self.asm.registers32(Opcode::Xor, Host::RAX, Host::RAX);
                self.asm.jump_near(self.stubs.leave);
            }
        }
    }
}
