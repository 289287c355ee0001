//! What a device is, and all that it may see of the world.

use crate::actions::{PanicAction, WatchdogAction};
use crate::bus::{Effect, Ports, Slot};
use crate::clock::{Clock, Nanos};
use crate::memory::{Block, Memory, Word};
use crate::state::State;
use crate::windows::Window;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

/// Names a device on the bus.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct DeviceId(pub u16);

/// Names one of a device's own timers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct TimerId(pub u16);

/// Names one of a device's own pins; inputs and outputs are numbered apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct PinId(pub u16);

/// Names a vCPU, from zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Cpu(pub u8);

/// A register: which of the device's regions, and the byte offset in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reg {
    /// Index of the device's region, as the board registered it.
    pub region: u8,
    /// Byte offset within the region.
    pub offset: u64,
}

/// Width of an access.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Width {
    /// One byte.
    Byte,
    /// Two bytes.
    Word,
    /// Four bytes.
    Dword,
    /// Eight bytes.
    Qword,
}

impl Width {
    /// The width in bytes.
    #[inline]
    pub const fn bytes(self) -> u64 {
        1 << self as u64
    }

    /// All ones of this width.
    #[inline]
    pub const fn mask(self) -> u64 {
        u64::MAX >> (64 - 8 * self.bytes())
    }

    /// The width of `bytes` bytes, if there is one.
    #[inline]
    pub const fn of(bytes: u64) -> Option<Self> {
        match bytes {
            1 => Some(Self::Byte),
            2 => Some(Self::Word),
            4 => Some(Self::Dword),
            8 => Some(Self::Qword),
            _ => None,
        }
    }
}

/// Something that reaches a device other than by its registers and timers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Input {
    /// One of the device's input pins changed its level.
    Pin {
        /// The device's input pin.
        pin: PinId,
        /// The new level.
        level: bool,
    },
    /// Bytes from a character device's host end.
    Bytes(Vec<u8>),
    /// A serial line's break condition.
    Break,
    /// A key went down (`true`) or up: its set-1 scan code, with 0xE0 in the high byte for extended keys.
    Key(u16, bool),
    /// Keys that are typed one after the other: each goes down or up, and as long as is said passes before the next.
    Typed {
        /// Keys as in [`Input::Key`], and whether they go down.
        keys: Vec<(u16, bool)>,
        /// How long each stays as it is, in nanoseconds of guest time.
        hold: Nanos,
    },
    /// The mouse moved or turned its wheel, or its buttons changed, all in one moment.
    Mouse(MouseMotion),
    /// The power button was pressed.
    PowerButton,
    /// A message-signalled interrupt written by a device: address and data (PCI Local Bus 3.0, section 6.8).
    Msi {
        /// The address written.
        address: u64,
        /// The data written.
        data: u32,
    },
    /// A request made by [`Cx::submit`] is done.
    Block(BlockCompletion),
    /// Bytes from the host end of one of a device's several ports; at most [`Device::room`] of them at a time.
    PortBytes {
        /// The port, as the device numbers them.
        port: u32,
        /// What arrived.
        bytes: Vec<u8>,
    },
    /// The host end of a port has somebody listening, or no longer.
    PortOpen {
        /// The port.
        port: u32,
        /// Whether it is open now.
        open: bool,
    },
    /// Somebody outside plugged a port in.
    PortPlugged {
        /// Its number.
        port: u32,
        /// It is a console, and no stream that programs open by name.
        console: bool,
        /// The name by which the guest finds it.
        name: Option<String>,
        /// Its host end has somebody listening.
        open: bool,
    },
    /// Somebody outside took a port away.
    PortUnplugged {
        /// Its number.
        port: u32,
    },
    /// The host end of a port is a terminal of this size.
    PortSize {
        /// The port.
        port: u32,
        /// Characters in a line.
        columns: u16,
        /// Lines.
        rows: u16,
    },
    /// An order to a memory balloon.
    Balloon(BalloonOrder),
    /// A local APIC ended a level-triggered interrupt of this vector (the EOI message to the I/O APICs).
    EndOfInterrupt(u8),
    /// Somebody outside took the medium out of one of the drives behind this device, or put one in.
    Medium {
        /// The drive, numbered as in [`BlockRequest`].
        drive: u8,
        /// What lies in it now.
        medium: Option<Medium>,
    },
    /// Somebody outside made the medium in one of the drives behind this device longer or shorter.
    Capacity {
        /// The drive, numbered as in [`BlockRequest`].
        drive: u8,
        /// Its length in bytes now.
        bytes: u64,
    },
    /// Somebody outside would like the guest to let go of the medium in one of the drives behind this device.
    EjectRequest {
        /// The drive, numbered as in [`BlockRequest`].
        drive: u8,
    },
    /// Somebody outside opened or closed the tray of one of the drives behind this device, whatever keeps it shut.
    Tray {
        /// The drive, numbered as in [`BlockRequest`].
        drive: u8,
        /// It stands open now.
        open: bool,
    },
    /// The guest wrote to a file that the firmware configuration device holds for this device.
    File {
        /// The file's name.
        name: String,
        /// All that it holds now.
        bytes: Vec<u8>,
    },
    /// Something happened to a slot whose devices come and go while the machine runs.
    Slot {
        /// The bridge that the slot is behind.
        bridge: DeviceId,
        /// The slot.
        slot: u8,
        /// What happened.
        change: SlotChange,
    },
    /// Something happened to a slot for memory.
    Module {
        /// The slot.
        slot: u32,
        /// What happened.
        change: ModuleChange,
    },
    /// Something happened to the place of a vCPU.
    Processor {
        /// The vCPU's number.
        cpu: Cpu,
        /// What happened.
        change: ProcessorChange,
    },
    /// So many vCPUs are there from now on.
    ProcessorCount(u8),
    /// The machine was taken back to an earlier state: this tells the guest's generation from all others.
    Generation([u8; 16]),
    /// The machine is asleep, and something happened that may wake it.
    WakeEvent(WakeReason),
}

/// What can wake a machine that sleeps in ACPI's S3.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WakeReason {
    /// The operator: an order, a key, a mouse's button.
    Operator,
    /// The real-time clock's alarm.
    Alarm,
}

/// What can happen to a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SlotChange {
    /// A device was plugged in.
    Plugged,
    /// The operator wants the guest to let go of the device.
    Wanted,
}

/// What can happen to a slot for memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ModuleChange {
    /// There is a module in it from the start.
    There(MemoryModule),
    /// A module was plugged in.
    Plugged(MemoryModule),
    /// The operator wants the guest to let go of the module.
    Wanted,
}

/// A module of memory, as the slots' registers describe it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemoryModule {
    /// The device that it is.
    pub device: DeviceId,
    /// Its first physical address.
    pub address: u64,
    /// Bytes.
    pub size: u64,
    /// The NUMA node that it belongs to.
    pub node: u32,
}

/// What can happen to the place of a vCPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ProcessorChange {
    /// There is one from the start.
    There,
    /// One was plugged in.
    Plugged,
    /// The operator wants the guest to let go of it.
    Wanted,
    /// It is gone.
    Gone,
}

/// What a mouse does in one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MouseMotion {
    /// Counts to the right.
    pub right: i16,
    /// Counts up, away from the user.
    pub up: i16,
    /// Notches of the wheel towards the user.
    pub wheel: i16,
    /// The buttons that are down from now on, if they change: bit 0 is the left one, then right, middle, fourth, fifth.
    pub buttons: Option<u8>,
}

/// What lies in a drive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Medium {
    /// Its length.
    pub bytes: u64,
    /// It cannot be written.
    pub read_only: bool,
}

/// What a memory balloon may be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum BalloonOrder {
    /// The guest should be left with this many bytes of RAM.
    Target(u64),
    /// Ask the guest for its statistics every so many seconds; zero: no longer.
    Poll(u32),
}

/// Something that leaves the machine, or that asks the machine as a whole to act.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Bytes for the character device behind this device.
    Bytes(Vec<u8>),
    /// A request to the machine.
    Machine(MachineRequest),
    /// A request to the drive behind this device.
    Block(BlockRequest),
    /// Bytes for the character device behind one of the device's several ports.
    PortBytes {
        /// The port, as the device numbers them.
        port: u32,
        /// What was sent.
        bytes: Vec<u8>,
    },
    /// Something that those outside may want to know.
    Notice(Notice),
}

/// News of a device that change nothing in the machine: they become events for whoever watches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Notice {
    /// The guest opened or closed its end of a port.
    PortOpen {
        /// The port, as the device numbers them.
        port: u32,
        /// Whether it is open now.
        open: bool,
    },
    /// The guest's balloon changed: this many bytes of RAM are left to it.
    Balloon(u64),
    /// A watchdog's time was up, and the machine did this.
    Watchdog(WatchdogAction),
    /// The guest said that it has panicked, and the machine did this.
    GuestPanicked(PanicAction),
    /// The guest set its clock: it is ahead of the one that was set going by so many seconds.
    ClockSet(i64),
    /// The guest said that it has panicked and loaded a kernel to look at the wreck, which runs on.
    GuestCrashLoaded,
    /// The guest suspended the machine to RAM.
    Suspended,
    /// The guest suspended itself to a disk: the power goes off next.
    SuspendedToDisk,
    /// A machine that was suspended to RAM has woken up.
    Woken,
    /// The guest opened or closed the tray of one of the drives behind this device.
    Tray {
        /// The drive, numbered as in [`BlockRequest`].
        drive: u8,
        /// It stands open now.
        open: bool,
    },
    /// The guest reported on one of the slots that this device is about, by ACPI's method _OST (ACPI 6.5, section 6.3.5).
    SlotStatus {
        /// The slot.
        slot: u32,
        /// What it reports on.
        event: u32,
        /// The outcome.
        status: u32,
    },
}

/// A request to one of the drives behind a device. It completes by [`Input::Block`] after a fixed virtual latency, whatever
/// the host does; requests to one drive that were made in one order may complete in that order only.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlockRequest {
    /// Which of the device's drives, as the board attached them (IDE: 0 to 3, floppy: 0 and 1, virtio-blk: 0).
    pub drive: u8,
    /// The device's own name for the request, handed back.
    pub tag: u64,
    /// What is to be done.
    pub operation: BlockOperation,
}

/// What is asked of a drive. Offsets and lengths are in bytes and may be any.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum BlockOperation {
    /// Reads `len` bytes at `offset`.
    Read {
        /// First byte.
        offset: u64,
        /// How many.
        len: u64,
    },
    /// Writes at `offset`.
    Write {
        /// First byte.
        offset: u64,
        /// What to write.
        data: Vec<u8>,
    },
    /// Makes zeroes of a range.
    WriteZeroes {
        /// First byte.
        offset: u64,
        /// How many.
        len: u64,
        /// The space may be given back.
        unmap: bool,
    },
    /// Forgets a range: what it reads as afterwards is zeroes or what it was, but always the same.
    Discard {
        /// First byte.
        offset: u64,
        /// How many.
        len: u64,
    },
    /// All writes completed before this are on stable storage when it completes.
    Flush,
}

/// The end of a [`BlockRequest`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlockCompletion {
    /// The request's drive.
    pub drive: u8,
    /// The request's tag.
    pub tag: u64,
    /// The bytes read (none for other operations, nor if they lie where [`Device::placement`] said), or why not.
    pub result: Result<Vec<u8>, BlockError>,
}

/// Why a drive could not do what was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum BlockError {
    /// The host could not read or write.
    Io,
    /// The host has no space left.
    NoSpace,
    /// The drive is read-only.
    ReadOnly,
    /// The range lies beyond the end.
    OutOfRange,
    /// No medium in the drive.
    NoMedium,
}

/// What a device may ask of the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum MachineRequest {
    /// Reset every vCPU and device.
    Reset,
    /// Turn the power off (ACPI S5).
    PowerOff,
    /// Suspend to RAM (ACPI S3): nothing executes until [`MachineRequest::Wake`] or a reset.
    Suspend,
    /// This happened; if the machine is asleep, its power management decides whether that wakes it.
    WakeEvent(WakeReason),
    /// Wake up: a reset that leaves RAM alone, and after which firmware goes on where the guest has asked it to.
    Wake,
    /// End the emulator with this exit status; no further guest instruction runs.
    Exit(i32),
    /// A watchdog's time is up: the machine does what its operator chose ([`WatchdogAction`]).
    Watchdog,
    /// The guest has panicked: the machine does what its operator chose ([`PanicAction`]).
    GuestPanicked,
    /// The guest has let go of a device: it is taken out.
    Eject(DeviceId),
    /// The guest has let go of a vCPU: it is taken out.
    EjectCpu(Cpu),
}

/// A line into a vCPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum CpuSignal {
    /// The maskable interrupt request line's level.
    Interrupt(bool),
    /// An edge on the non-maskable interrupt line.
    Nmi,
    /// INIT: the vCPU resets and waits for [`CpuSignal::Startup`] unless it is the first.
    Init,
    /// IGNNE#: go on in spite of the x87 error that is signalled now.
    IgnoreNumericErrors,
    /// Start-up with this page number.
    Startup(u8),
}

/// An interrupt controller's answer to a vCPU that takes an interrupt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Acknowledge {
    /// Nothing is pending here.
    Nothing,
    /// Take this vector.
    Vector(u8),
    /// Ask the controller behind (an 8259 pair behind a local APIC's ExtINT).
    External,
}

/// A device: its struct of registers is its state, all else comes in `cx`.
///
/// No method may panic, whatever the guest does. Pin changes and remaps asked for during a call are queued and applied,
/// first in first out, before the access retires.
pub trait Device: State {
    /// The model's name, as `-device` and snapshots spell it.
    fn kind(&self) -> &'static str;
    /// Reads a register; bits above `width` are ignored.
    fn read(&mut self, cx: &mut Cx<'_>, at: Reg, width: Width) -> u64;
    /// Writes a register; `value` has no bits above `width`.
    fn write(&mut self, cx: &mut Cx<'_>, at: Reg, width: Width, value: u64);
    /// Returns to the state after the platform's reset.
    fn reset(&mut self, cx: &mut Cx<'_>);
    /// An armed timer has come due; it is disarmed.
    fn timer(&mut self, _cx: &mut Cx<'_>, _id: TimerId) {}
    /// A pin changed or something came through the gate.
    fn input(&mut self, _cx: &mut Cx<'_>, _input: &Input) {}
    /// How many bytes one of the device's ports takes now without losing any. A character device's end waits while there
    /// is no room.
    fn room(&self, _port: u32) -> usize {
        usize::MAX
    }
    /// Where in guest memory the bytes go that a read of one of its drives has brought, in order (addresses and lengths): what
    /// fills them need not come with the completion. `None`: they have to.
    fn placement(&self, _drive: u8, _tag: u64) -> Option<Vec<(u64, u64)>> {
        None
    }
    /// The device's PCI function, if it is one.
    fn pci(&mut self) -> Option<&mut dyn PciFunction> {
        None
    }
    /// The device's side of ISA DMA, if it is the controller of it.
    fn isa_dma(&mut self) -> Option<&mut dyn IsaDma> {
        None
    }
    /// A vCPU takes an interrupt from this controller.
    fn acknowledge(&mut self, _cx: &mut Cx<'_>, _cpu: Cpu) -> Acknowledge {
        Acknowledge::Nothing
    }
}

/// ISA DMA channels, as the devices behind them reach them by [`Cx::with_peer`]. A run moves as many bytes as the device
/// offers and the channel's programming takes, whatever the pace of single requests would have been.
pub trait IsaDma {
    /// Moves bytes from the device to memory.
    fn to_memory(&mut self, cx: &mut Cx<'_>, channel: u8, from: &[u8]) -> DmaRun;
    /// Moves bytes from memory to the device.
    fn copy_from_memory(&mut self, cx: &mut Cx<'_>, channel: u8, into: &mut [u8]) -> DmaRun;
}

/// What became of a run of bytes by ISA DMA.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DmaRun {
    /// How many bytes moved.
    pub moved: usize,
    /// The channel reached its terminal count.
    pub ended: bool,
}

/// A PCI function's configuration space, as its bridge reaches it.
pub trait PciFunction {
    /// Reads configuration space at byte `offset`, naturally aligned.
    fn config_read(&mut self, cx: &mut Cx<'_>, offset: u16, width: Width) -> u32;
    /// Writes configuration space at byte `offset`, naturally aligned.
    fn config_write(&mut self, cx: &mut Cx<'_>, offset: u16, width: Width, value: u32);
    /// A function is put on the bus behind this bridge, at the device and function number `at`; `several`: its header
    /// type shows a device of several functions.
    fn attach(&mut self, _at: u8, _device: DeviceId, _several: bool) {}
    /// A function on the bus behind this bridge is gone.
    fn detach(&mut self, _device: DeviceId) {}
    /// The functions in a slot of the bus behind this bridge.
    fn in_slot(&self, _slot: u8) -> Vec<DeviceId> {
        Vec::new()
    }
    /// A cycle on the function's bus for a bus behind it; `None` if it does not lead there or nothing answers. A write
    /// that is taken answers anything.
    fn forward(&mut self, _cx: &mut Cx<'_>, _cycle: ConfigCycle) -> Option<u32> {
        None
    }
}

/// An access to configuration space as it goes from bus to bus.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConfigCycle {
    /// The number of the bus.
    pub bus: u8,
    /// Device number and, in the low three bits, function number.
    pub at: u8,
    /// Byte offset, naturally aligned.
    pub offset: u16,
    /// What is done there.
    pub access: ConfigAccess,
}

/// What a configuration cycle does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConfigAccess {
    /// Reads.
    Read(Width),
    /// Writes this value.
    Write(Width, u32),
}

/// All that a device may see of the world during a call.
pub struct Cx<'a> {
    pub(crate) device: DeviceId,
    pub(crate) initiator: Cpu,
    pub(crate) refused: &'a mut bool,
    pub(crate) clock: &'a mut Clock,
    pub(crate) memory: &'a mut Memory,
    pub(crate) ports: Ports<'a>,
    pub(crate) devices: &'a mut Vec<Slot>,
    pub(crate) effects: &'a mut VecDeque<Effect>,
    pub(crate) outbox: &'a mut Vec<(DeviceId, Output)>,
}

impl Cx<'_> {
    /// Guest time now.
    pub fn now(&self) -> Nanos {
        self.clock.now_ns()
    }

    /// The device being called.
    pub fn device(&self) -> DeviceId {
        self.device
    }

    /// The vCPU whose access this is (zero outside of an access).
    pub fn initiator(&self) -> Cpu {
        self.initiator
    }

    /// Arms or moves one of the device's timers.
    pub fn arm(&mut self, timer: TimerId, at: Nanos) {
        self.clock.arm(self.device, timer, at);
    }

    /// Disarms one of the device's timers.
    pub fn disarm(&mut self, timer: TimerId) {
        self.clock.disarm(self.device, timer);
    }

    /// Drives one of the device's output pins; reaches whatever the board wired to it.
    pub fn set_pin(&mut self, pin: PinId, level: bool) {
        self.effects.push_back(Effect::Pin { device: self.device, pin, level });
    }

    /// Drives a line into a vCPU.
    pub fn signal_cpu(&mut self, cpu: Cpu, signal: CpuSignal) {
        self.effects.push_back(Effect::Cpu { cpu, signal });
    }

    /// Sends a message-signalled interrupt to the board's controller.
    pub fn send_msi(&mut self, address: u64, data: u32) {
        self.effects.push_back(Effect::Msi { address, data });
    }

    /// Moves one of the device's regions to `base` (`None`: unmapped) and says which accesses it claims.
    pub fn map_region(&mut self, region: u8, base: Option<u64>, reads: bool, writes: bool) {
        self.effects.push_back(Effect::Map { device: self.device, region, base, reads, writes });
    }

    /// Passes these addresses on to the devices that the board put behind this one, and no others. Where their regions
    /// lie is theirs to say; they answer where the windows of all bridges in front of them are open.
    pub fn open_windows(&mut self, windows: Vec<Window>) {
        self.effects.push_back(Effect::Windows { device: self.device, windows });
    }

    /// Has one of the device's RAM-backed regions show `block` from `offset` on, which must be on a page boundary.
    pub fn show(&mut self, region: u8, block: Block, offset: u64) {
        self.effects.push_back(Effect::Show { device: self.device, region, arena: block.at + offset });
    }

    /// Opens or masks address line 20.
    pub fn set_a20(&mut self, open: bool) {
        self.effects.push_back(Effect::A20(open));
    }

    /// Refuses the access in hand; in the vCPU-private space the vCPU faults.
    pub fn refuse(&mut self) {
        *self.refused = true;
    }

    /// Sends bytes to the character device behind this device.
    pub fn emit(&mut self, bytes: &[u8]) {
        self.outbox.push((self.device, Output::Bytes(bytes.to_vec())));
    }

    /// Sends bytes to the character device behind one of this device's ports.
    pub fn emit_port(&mut self, port: u32, bytes: Vec<u8>) {
        self.outbox.push((self.device, Output::PortBytes { port, bytes }));
    }

    /// Tells those outside.
    pub fn tell(&mut self, notice: Notice) {
        self.outbox.push((self.device, Output::Notice(notice)));
    }

    /// Sends a request to one of the drives behind this device.
    pub fn submit(&mut self, request: BlockRequest) {
        self.outbox.push((self.device, Output::Block(request)));
    }

    /// Asks the machine as a whole to act, after this instruction has retired.
    pub fn request(&mut self, request: MachineRequest) {
        self.outbox.push((self.device, Output::Machine(request)));
    }

    /// Reads guest memory by physical address, as a bus master. What no RAM or ROM backs reads as ones.
    pub fn dma_read(&mut self, address: u64, into: &mut [u8]) {
        self.memory.read_bytes(address, into);
    }

    /// Writes guest memory by physical address, as a bus master. What no RAM backs is dropped.
    pub fn dma_write(&mut self, address: u64, from: &[u8]) {
        self.memory.write_bytes(address, from);
    }

    /// Loads from the device's own memory; what lies beyond reads as zeroes.
    #[inline]
    pub fn load<T: Word + Default>(&self, block: Block, offset: u64) -> T {
        self.memory.block_load(block, offset)
    }

    /// Stores to the device's own memory; what lies beyond is dropped.
    #[inline]
    pub fn store<T: Word>(&mut self, block: Block, offset: u64, value: T) {
        self.memory.block_store(block, offset, value);
    }

    /// The bytes of the device's own memory.
    pub fn block(&self, block: Block) -> &[u8] {
        self.memory.block_bytes(block)
    }

    /// Zeroes a range of the device's own memory.
    pub fn clear(&mut self, block: Block, offset: u64, len: u64) {
        self.memory.block_clear(block, offset, len);
    }

    /// Reads I/O ports in the place of the vCPU that called: for firmware's services, which program the board as code of the
    /// guest would. Pin changes and remaps that follow from it are applied when the call ends. What nothing claims reads as ones.
    pub fn port_read(&mut self, port: u16, width: Width) -> u64 {
        let Some((device, at, step)) = self.ports.find(port, width, false) else {
            return match width {
                Width::Byte => width.mask(),
                _ => (0..width.bytes())
                    .fold(0, |value, i| value | self.port_read(port.wrapping_add(i as u16), Width::Byte) << (8 * i)),
            };
        };
        (0..width.bytes()).step_by(step.bytes() as usize).fold(0, |value, i| {
            let at = Reg { offset: at.offset + i, ..at };
            let part = self.with_peer(device, |d, cx| d.read(cx, at, step)).unwrap_or(u64::MAX);
            value | (part & step.mask()) << (8 * i)
        })
    }

    /// Writes I/O ports in the place of the vCPU that called: see [`Cx::port_read`].
    pub fn port_write(&mut self, port: u16, width: Width, value: u64) {
        let Some((device, at, step)) = self.ports.find(port, width, true) else {
            if width != Width::Byte {
                for i in 0..width.bytes() {
                    self.port_write(port.wrapping_add(i as u16), Width::Byte, value >> (8 * i) & 0xff);
                }
            }
            return;
        };
        for i in (0..width.bytes()).step_by(step.bytes() as usize) {
            let at = Reg { offset: at.offset + i, ..at };
            self.with_peer(device, |d, cx| d.write(cx, at, step, value >> (8 * i) & step.mask()));
        }
    }

    /// Zeroes guest memory by physical address, as a bus master, however long the span. What no RAM backs is left out.
    pub fn dma_zero(&mut self, address: u64, len: u64) {
        self.memory.zero_bytes(address, len);
    }

    /// Zeroes the whole pages of RAM within these physical addresses, as a bus master, and gives the host their memory back.
    pub fn dma_forget(&mut self, address: u64, len: u64) {
        self.memory.forget_bytes(address, len);
    }

    /// Calls another device with a context of its own: how a bridge reaches the functions behind it.
    /// `None` if there is no such device or it is being called already.
    pub fn with_peer<R>(&mut self, peer: DeviceId, call: impl FnOnce(&mut dyn Device, &mut Cx<'_>) -> R) -> Option<R> {
        let mut device = self.devices.get_mut(usize::from(peer.0))?.device.take()?;
        let mut cx = Cx {
            device: peer,
            initiator: self.initiator,
            refused: self.refused,
            clock: self.clock,
            memory: self.memory,
            ports: self.ports,
            devices: self.devices,
            effects: self.effects,
            outbox: self.outbox,
        };
        let answer = call(device.as_mut(), &mut cx);
        self.devices[usize::from(peer.0)].device = Some(device);
        Some(answer)
    }
}
