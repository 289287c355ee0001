//! Places for processors: which there are, and which of them a device goes to.

use super::Board;
use super::pc::Parts;
use crate::commandline::{Config, DeviceConfig, cpu_model, number};
use crate::machine::Machine;
use crate::plug::Processor;
use lockstep_cpu::cpuid::Topology;
use lockstep_devices::pci::piix4_pm;
use lockstep_devices::processor_hotplug::{self, CpuHotplug};
use lockstep_fabric::{Cpu, DeviceId, Input, ProcessorChange};

/// The name of the registers by which the guest learns of processors.
pub(super) const CONTROLLER: &str = "acpi-cpu-hotplug";

/// Whether processors can come and go.
pub(super) fn pluggable(config: &Config) -> bool {
    config.machine.acpi && config.smp.maxcpus > 1
}

/// Whether a `-device` is a processor.
pub(super) fn is_processor(device: &DeviceConfig) -> bool {
    cpu_model(&device.driver).is_some()
}

fn topology(config: &Config) -> Topology {
    let smp = &config.smp;
    Topology { sockets: smp.sockets, dies: smp.dies, cores: smp.cores, threads: smp.threads }
}

/// The APIC IDs of all processors that there can be, in their order.
pub(super) fn apic_ids(config: &Config) -> Vec<u8> {
    let topology = topology(config);
    (0..config.smp.maxcpus).map(|number| topology.apic_id(number) as u8).collect()
}

/// Adds the registers, if processors can come and go.
pub(super) fn add_controller(parts: &mut Parts, config: &Config, power: DeviceId, cpus: &[lockstep_cpu::Vcpu]) {
    if !pluggable(config) {
        return;
    }
    let controller = parts.bus.add(CONTROLLER, Box::new(CpuHotplug::new(&apic_ids(config))));
    parts.bus.map(controller, processor_hotplug::REGION);
    parts.connect(controller, processor_hotplug::PIN_EVENT, power, piix4_pm::pin_gpe(processor_hotplug::EVENT));
    for cpu in cpus {
        let there = Input::Processor { cpu: Cpu(cpu.index), change: ProcessorChange::There };
        parts.bus.input(controller, &there);
    }
}

/// The number of the processor that a device describes.
///
/// # Errors
/// It is of another type than the others, or describes none that there can be: why, in QEMU's words.
pub(super) fn number_of(config: &Config, device: &DeviceConfig) -> Result<u8, String> {
    let expected = crate::object_model::cpu_type(&config.cpu.model);
    if device.driver != expected {
        return Err(format!("Invalid CPU type, expected cpu type: '{expected}'"));
    }
    let smp = &config.smp;
    let given = |name: &str| device.property(name).filter(|text| *text != "-1").and_then(number);
    let part = |label: &str, name: &str, count: u32, usually: Option<u64>| {
        let id = given(name).or(usually).ok_or_else(|| format!("CPU {label} is not set"))?;
        if id >= u64::from(count) {
            return Err(format!("Invalid CPU {label}: {id} must be in range 0:{}", count.saturating_sub(1)));
        }
        Ok(id as u32)
    };
    let socket = part("socket-id", "socket-id", smp.sockets, None)?;
    let die = part("die-id", "die-id", smp.dies, (smp.dies == 1).then_some(0))?;
    let core = part("core-id", "core-id", smp.cores, None)?;
    let thread = part("thread-id", "thread-id", smp.threads, None)?;
    let number = ((socket * smp.dies + die) * smp.cores + core) * smp.threads + thread;
    let apic_id = topology(config).apic_id(number);
    if number >= smp.maxcpus {
        return Err(format!(
            "Invalid CPU [socket: {socket}, die: {die}, core: {core}, thread: {thread}] with APIC ID {apic_id}, valid \
             index range 0:{}",
            smp.maxcpus - 1
        ));
    }
    match given("apic-id") {
        Some(other) if other != u64::from(apic_id) => {
            Err(format!("Invalid CPU apic-id: {other}, the processor in this place has {apic_id}"))
        }
        _ => Ok(number as u8),
    }
}

/// Why a processor cannot be there twice.
pub(super) fn exists(config: &Config, number: u8) -> String {
    format!("CPU[{number}] with APIC ID {} exists", topology(config).apic_id(number.into()))
}

impl Board {
    /// Finds the place of a new processor; nothing is changed.
    ///
    /// # Errors
    /// It is of another type than the others, or its place is none, or taken: why, in QEMU's words.
    pub fn plan_processor(&self, config: &Config, device: DeviceConfig) -> Result<Processor, String> {
        let machine: &Machine = &self.machine;
        let cpu = number_of(config, &device)?;
        if machine.cpu(cpu.into()).is_some() {
            return Err(exists(config, cpu));
        }
        if machine.processor_controller().is_none() {
            return Err("CPU hotplug is not supported without ACPI".into());
        }
        Ok(Processor { device, cpu, hotplugged: true })
    }
}
