//! PCI at power-on: bus numbers, addresses, interrupts.

use super::pci::{Function, functions, is_bridge, register};
use super::{Bios, Board, low_memory};
use crate::memory_map::FOUR_GIB;
use crate::platform::BOARD_SETUP;

/// The south bridge, and its routing of the four PCI interrupts.
const SOUTH_BRIDGE: Function = Function(1 << 3);
const PIRQ_REGISTERS: u8 = 0x60;
/// Interrupts of PIRQA# to PIRQD#.
const PIRQ_ROUTES: [u8; 4] = [10, 10, 11, 11];
/// Edge or level: IRQ 9 (SCI), 10 and 11 are level-triggered.
const ELCR_HIGH: u16 = 0x4d1;
const LEVEL_TRIGGERED: u8 = 0x0e;
/// Command register.
const IO_SPACE: u32 = 1 << 0;
const MEMORY_SPACE: u32 = 1 << 1;
const BUS_MASTER: u32 = 1 << 2;
/// BARs.
const BAR_IO: u32 = 1 << 0;
const BAR_64: u32 = 1 << 2;
/// Where devices' ports go; below are the board's own.
const FIRST_PORT: u64 = 0xc000;
const LAST_PORT: u64 = 0xffff;
/// The steps in which a bridge's windows are placed.
const BRIDGE_IO_STEP: u64 = 0x1000;
const BRIDGE_MEMORY_STEP: u64 = 0x10_0000;
/// A device's memory does not share a page.
const PAGE: u64 = 0x1000;
/// IDE: ports decoded as always, on both channels.
const IDE_CLASS: u32 = 0x0101;
const IDE_TIMING: u8 = 0x40;
const IDE_DECODE: u32 = 0x8000_8000;

/// A kind of address space.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Ports,
    Memory,
    /// Memory that may lie above 4 GiB, if there is no room below, where every driver reaches it.
    Memory64,
}

/// A BAR, or what lies behind a bridge, that wants a place.
#[derive(Clone, Debug)]
struct Need {
    function: Function,
    register: u8,
    kind: Kind,
    size: u64,
    /// What lies behind a bridge.
    behind: Vec<Need>,
}

impl Need {
    fn alignment(&self) -> u64 {
        match (&self.behind[..], self.kind) {
            ([], Kind::Ports) => self.size,
            ([], _) => self.size.max(PAGE),
            (_, kind) => self.behind.iter().map(Need::alignment).max().unwrap_or(1).max(step(kind)),
        }
    }
}

fn step(kind: Kind) -> u64 {
    if kind == Kind::Ports { BRIDGE_IO_STEP } else { BRIDGE_MEMORY_STEP }
}

/// Free space of each kind.
struct Space {
    ports: u64,
    memory: u64,
    memory_end: u64,
    memory_64: Option<(u64, u64)>,
}

impl Bios {
    /// Sets up everything that PCI devices need before a driver looks at them.
    pub(super) fn set_up_pci(&mut self, board: &mut dyn Board) {
        for write in BOARD_SETUP {
            Function::new(0, write.device, write.function).put_dword(board, write.register, write.value);
        }
        for (register, route) in (PIRQ_REGISTERS..).zip(PIRQ_ROUTES) {
            SOUTH_BRIDGE.put_byte(board, register, route);
        }
        low_memory::outb(board, ELCR_HIGH, LEVEL_TRIGGERED);
        let mut last_bus = 0;
        number_buses(board, 0, &mut last_bus);
        let mut needs = needs_of_bus(board, 0);
        let platform = &self.config.platform;
        let mut space = Space {
            ports: FIRST_PORT,
            memory: platform.pci_hole.0,
            memory_end: platform.pci_hole.1,
            memory_64: platform.pci_window_64,
        };
        place_all(board, &mut needs, &mut space);
        enable_bus(board, 0, &|slot, pin| PIRQ_ROUTES[usize::from((slot + pin + 3) & 3)]);
    }
}

/// Gives the buses behind bridges their numbers, depth first.
fn number_buses(board: &mut dyn Board, bus: u8, last: &mut u8) {
    for bridge in functions(board, bus) {
        if !is_bridge(board, bridge) || *last == u8::MAX {
            continue;
        }
        *last += 1;
        let number = *last;
        bridge.put_byte(board, register::PRIMARY_BUS, bus);
        bridge.put_byte(board, register::SECONDARY_BUS, number);
        bridge.put_byte(board, register::SUBORDINATE_BUS, u8::MAX);
        number_buses(board, number, last);
        bridge.put_byte(board, register::SUBORDINATE_BUS, *last);
    }
}

/// Sizes all BARs of a bus, with decoding off.
fn needs_of_bus(board: &mut dyn Board, bus: u8) -> Vec<Need> {
    let mut needs = Vec::new();
    for function in functions(board, bus) {
        let bridge = is_bridge(board, function);
        let command = function.dword(board, register::COMMAND) & 0xffff;
        function.put_dword(board, register::COMMAND, command & !(IO_SPACE | MEMORY_SPACE));
        let bars = if bridge { 2 } else { 6 };
        let mut at = 0;
        while at < bars {
            let register = register::BAR0 + 4 * at;
            let need = size_bar(board, function, register);
            at += if need.as_ref().is_some_and(|n| n.kind == Kind::Memory64) { 2 } else { 1 };
            needs.extend(need);
        }
        if bridge {
            let secondary = function.byte(board, register::SECONDARY_BUS);
            let (ports, memory): (Vec<_>, Vec<_>) =
                needs_of_bus(board, secondary).into_iter().partition(|n| n.kind == Kind::Ports);
            needs.push(window(function, register::IO_BASE, Kind::Ports, ports));
            needs.push(window(function, register::MEMORY_BASE, Kind::Memory, memory));
        }
        let rom = if bridge { register::BRIDGE_ROM } else { register::ROM };
        needs.extend(size_rom(board, function, rom));
    }
    needs
}

fn window(function: Function, register: u8, kind: Kind, mut behind: Vec<Need>) -> Need {
    for need in &mut behind {
        need.kind = kind;
    }
    let mut size = 0_u64;
    sort(&mut behind);
    for need in &behind {
        size = size.next_multiple_of(need.alignment()) + need.size;
    }
    Need { function, register, kind, size: size.next_multiple_of(step(kind)), behind }
}

fn sort(needs: &mut [Need]) {
    needs.sort_by_key(|need| std::cmp::Reverse(need.alignment()));
}

fn size_bar(board: &mut dyn Board, function: Function, register: u8) -> Option<Need> {
    let before = function.dword(board, register);
    function.put_dword(board, register, u32::MAX);
    let mask = function.dword(board, register);
    function.put_dword(board, register, before);
    if mask == 0 {
        return None;
    }
    let need = |kind, size| Some(Need { function, register, kind, size, behind: Vec::new() });
    if mask & BAR_IO != 0 {
        let size = u64::from((!(mask & !3) & 0xffff) + 1);
        return need(Kind::Ports, size);
    }
    if mask & BAR_64 == 0 {
        return need(Kind::Memory, u64::from(!(mask & !0xf)).wrapping_add(1));
    }
    let high = function.dword(board, register + 4);
    function.put_dword(board, register + 4, u32::MAX);
    let mask_high = function.dword(board, register + 4);
    function.put_dword(board, register + 4, high);
    let whole = u64::from(mask_high) << 32 | u64::from(mask & !0xf);
    let size = (!whole).wrapping_add(1);
    need(Kind::Memory64, size)
}

fn size_rom(board: &mut dyn Board, function: Function, register: u8) -> Option<Need> {
    const ADDRESS: u32 = !0x7ff;
    function.put_dword(board, register, ADDRESS);
    let mask = function.dword(board, register) & ADDRESS;
    function.put_dword(board, register, 0);
    let size = u64::from(!mask) + 1;
    (mask != 0).then(|| Need { function, register, kind: Kind::Memory, size, behind: Vec::new() })
}

fn place_all(board: &mut dyn Board, needs: &mut [Need], space: &mut Space) {
    sort(needs);
    for need in needs {
        place(board, need, space);
    }
}

fn place(board: &mut dyn Board, need: &mut Need, space: &mut Space) {
    let (function, register) = (need.function, need.register);
    let at = if need.size == 0 { None } else { take(space, need.kind, need.size, need.alignment()) };
    if matches!(register, register::IO_BASE | register::MEMORY_BASE) && is_bridge(board, function) {
        open_window(board, need, at);
        if let Some(at) = at {
            let mut within = match need.kind {
                Kind::Ports => Space { ports: at, memory: 0, memory_end: 0, memory_64: None },
                _ => Space { ports: FOUR_GIB, memory: at, memory_end: at + need.size, memory_64: None },
            };
            place_all(board, &mut need.behind, &mut within);
        }
        return;
    }
    // What does not fit stays unmapped: its driver finds an address of zero.
    let at = at.unwrap_or(0);
    function.put_dword(board, register, at as u32);
    if need.kind == Kind::Memory64 {
        function.put_dword(board, register + 4, (at >> 32) as u32);
    }
}

fn take(space: &mut Space, kind: Kind, size: u64, alignment: u64) -> Option<u64> {
    let fit = |next: &mut u64, end: u64| {
        let at = next.checked_next_multiple_of(alignment)?;
        let behind = at.checked_add(size).filter(|behind| *behind <= end)?;
        *next = behind;
        Some(at)
    };
    match kind {
        Kind::Ports => fit(&mut space.ports, LAST_PORT + 1),
        Kind::Memory => fit(&mut space.memory, space.memory_end),
        Kind::Memory64 => fit(&mut space.memory, space.memory_end).or_else(|| {
            let (next, end) = space.memory_64.as_mut()?;
            fit(next, *end)
        }),
    }
}

/// A bridge's window, closed if there is nothing behind it. The prefetchable window stays closed: all memory goes through the other.
fn open_window(board: &mut dyn Board, need: &Need, at: Option<u64>) {
    let function = need.function;
    let (base, limit) = at.map_or((u64::from(u32::MAX), 0), |at| (at, at + need.size - 1));
    if need.register == register::IO_BASE {
        function.put_byte(board, register::IO_BASE, (base >> 8) as u8 & 0xf0);
        function.put_byte(board, register::IO_BASE + 1, (limit >> 8) as u8 & 0xf0);
    } else {
        let (base, limit) = (base >> 16 & 0xfff0, limit >> 16 & 0xfff0);
        function.put_dword(board, register::MEMORY_BASE, (limit << 16 | base) as u32);
        function.put_dword(board, register::PREFETCHABLE_BASE, 0x0000_fff0);
    }
}

/// Turns decoding on and tells drivers their interrupts. `route` is the interrupt of a pin (0 to 3) of a slot.
fn enable_bus(board: &mut dyn Board, bus: u8, route: &dyn Fn(u8, u8) -> u8) {
    const PM_FUNCTION: Function = Function(1 << 3 | 3);
    const SCI: u8 = 9;
    for function in functions(board, bus) {
        let bridge = is_bridge(board, function);
        let command = function.dword(board, register::COMMAND) & 0xffff;
        let master = if bridge { BUS_MASTER } else { 0 };
        function.put_dword(board, register::COMMAND, command | IO_SPACE | MEMORY_SPACE | master);
        if function.dword(board, register::CLASS) >> 16 == IDE_CLASS {
            function.put_dword(board, IDE_TIMING, IDE_DECODE);
        }
        let pin = function.byte(board, register::INTERRUPT_PIN);
        let slot = function.device();
        if (1..=4).contains(&pin) {
            let line = if function == PM_FUNCTION { SCI } else { route(slot, pin - 1) };
            function.put_byte(board, register::INTERRUPT_LINE, line);
        }
        if bridge {
            let secondary = function.byte(board, register::SECONDARY_BUS);
            if secondary > bus {
                // A bridge's pins are those of the devices behind it, swizzled by their slots.
                enable_bus(board, secondary, &|behind, pin| route(slot, (behind + pin) & 3));
            }
        }
    }
}
