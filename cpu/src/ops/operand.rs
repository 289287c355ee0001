//! The memory operand of an integer instruction: found at once where it can be, so that the handler needs no stack frame;
//! everything else is left to a cold twin.

use crate::fault::Fault;
use crate::mmu::Int;
use crate::op::Op;
use crate::state::Vcpu;
use lockstep_fabric::Bus;

/// Loads the memory operand and acts on it.
#[inline(always)]
pub(crate) fn with_operand<T: Int>(
    cpu: &mut Vcpu,
    bus: &mut Bus,
    op: &Op,
    act: impl Fn(&mut Vcpu, &Op, T) -> Result<(), Fault>,
) -> Result<(), Fault> {
    #[cold]
    #[inline(never)]
    fn slow<T: Int>(
        cpu: &mut Vcpu,
        bus: &mut Bus,
        op: &Op,
        act: impl Fn(&mut Vcpu, &Op, T) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        let value = cpu.load_operand(bus, op)?;
        act(cpu, op, value)
    }
    match cpu.quick_load::<T>(bus, op, 1) {
        Some(value) => act(cpu, op, value),
        None => slow(cpu, bus, op, act),
    }
}

/// Stores the memory operand.
#[inline(always)]
pub(crate) fn put_operand<T: Int>(cpu: &mut Vcpu, bus: &mut Bus, op: &Op, value: T) -> Result<(), Fault> {
    #[cold]
    #[inline(never)]
    fn slow<T: Int>(cpu: &mut Vcpu, bus: &mut Bus, op: &Op, value: T) -> Result<(), Fault> {
        cpu.store_operand(bus, op, value)
    }
    if cpu.quick_store(bus, op, 1, value) { Ok(()) } else { slow(cpu, bus, op, value) }
}

/// Loads the memory operand, lets `change` compute, stores it back. Faults as a write, before `change` runs.
#[inline(always)]
pub(crate) fn change_operand<T: Int>(
    cpu: &mut Vcpu,
    bus: &mut Bus,
    op: &Op,
    change: impl Fn(&mut Vcpu, &Op, T) -> T,
) -> Result<(), Fault> {
    #[cold]
    #[inline(never)]
    fn slow<T: Int>(
        cpu: &mut Vcpu,
        bus: &mut Bus,
        op: &Op,
        change: impl Fn(&mut Vcpu, &Op, T) -> T,
    ) -> Result<(), Fault> {
        cpu.update_operand::<T>(bus, op, |cpu, old| change(cpu, op, old))
    }
    match cpu.quick_place::<T>(op) {
        Some(at) => {
            let new = change(cpu, op, bus.memory.load(at));
            bus.memory.store_free(at, new);
            Ok(())
        }
        None => slow(cpu, bus, op, change),
    }
}
