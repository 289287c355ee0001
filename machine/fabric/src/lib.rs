//! Guest memory, the bus, the devices' contract, pins, the tick clock, the gate and state. Knows no x86 and no device.
//!
//! The pieces, from the bottom up:
//! - [`memory`]: one arena of host pages behind all RAM and ROM, per-page marks, and the map from physical addresses.
//! - [`clock`]: guest time as counted ticks, and the deadlines that devices arm.
//! - [`device`]: the [`Device`] trait and [`Cx`], all that a device may see of the world during a call.
//! - [`bus`]: devices, their regions in the address spaces, and the wires between their pins.
//! - [`gate`]: the one door for everything that comes from outside.
//! - [`actions`]: what the machine does when a watchdog bites or the guest panics.
//! - [`state`]: saving and loading devices as JSON.
//! - [`throttle`]: how fast drives may be.

pub mod actions;
pub mod bus;
pub mod clock;
pub mod device;
pub mod gate;
pub mod memory;
pub mod state;
pub mod throttle;
mod windows;

pub use actions::{Actions, PanicAction, WatchdogAction};
pub use bus::{Bus, Refused, RegionSpec, Sink, Space};
pub use clock::{Clock, Nanos, Tick};
pub use device::{
    Acknowledge, BalloonOrder, BlockCompletion, BlockError, BlockOperation, BlockRequest, ConfigAccess, ConfigCycle,
    Cpu, CpuSignal, Cx, Device, DeviceId, DmaRun, Input, IsaDma, MachineRequest, Medium, MemoryModule, ModuleChange,
    MouseMotion, Notice, Output, PciFunction, PinId, ProcessorChange, Reg, SlotChange, TimerId, WakeReason, Width,
};
pub use gate::{Arrival, Gate, Outside};
pub use memory::Memory;
pub use state::{State, StateError};
pub use throttle::{Rate, ThrottleLimits};
pub use windows::Window;
