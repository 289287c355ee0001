//! Starting a kernel directly: what firmware would have done before it, and the kernel in its place.

use super::kernel::Kernel;
use super::{BoardError, video};
use crate::machine::Boot;
use lockstep_cpu::Vcpu;
use lockstep_cpu::state::{Cr0, Cr4, Efer, Rflags, Rights, Segment, TableRegister, seg};
use lockstep_devices::vmgenid;
use lockstep_fabric::{Bus, Cpu, DeviceId, Input, Space, Width};
use lockstep_firmware::acpi::facs;
use lockstep_firmware::loader::{self, EntryState, SegmentRegister};
use lockstep_firmware::platform::{self, PlatformConfig};

/// PCI configuration mechanism #1.
const CONFIG_ADDRESS: u64 = 0xcf8;
const CONFIG_DATA: u64 = 0xcfc;
/// The host bridge's PAM registers, and "read and write go to RAM" for both halves of one.
const PAM0: u32 = 0x59;
const PAM6: u32 = 0x5f;
const PAM_RAM: u8 = 0x33;
/// The ISA bridge's interrupt routing registers, and the interrupts that PCs route PIRQA# to PIRQD# to.
const PIRQRC: u32 = 0x60;
const PIRQ_ROUTES: [u8; 4] = [10, 10, 11, 11];
const ELCR_HIGH: u64 = 0x4d1;
/// Level-triggered: IRQ 9, 10, 11.
const ELCR_HIGH_PCI: u64 = 0x0e;

/// A kernel ready to be placed.
pub(super) struct DirectBoot {
    segments: Vec<(u64, Vec<u8>, u64)>,
    entry: EntryState,
    /// Where the FACS is, if there is one.
    facs: Option<u64>,
    /// The vmgenid device, and where its number was placed.
    generation: Option<(DeviceId, u64)>,
}

/// Plans the boot of a kernel; `generation` is the vmgenid device, if there is one.
pub(super) fn plan(
    kernel: &Kernel,
    platform: &PlatformConfig,
    generation: Option<DeviceId>,
) -> Result<DirectBoot, BoardError> {
    let placed = platform::place(platform);
    let modules = kernel.modules();
    let request = kernel.request(&modules, &placed.memory, placed.rsdp);
    let plan = loader::plan(&request).map_err(|why| kernel.refused(why))?;
    let segments = placed.segments.into_iter().chain(plan.segments);
    let segments = segments.map(|s| (s.address, s.bytes.into_owned(), s.zeroes)).collect();
    let generation = generation.zip(placed.vm_generation);
    Ok(DirectBoot { segments, entry: plan.entry, facs: placed.facs, generation })
}

impl Boot for DirectBoot {
    fn place(&self, bus: &mut Bus, cpus: &mut [Vcpu]) {
        prepare_chipset(bus);
        video::enter_text_mode(bus);
        for (address, bytes, zeroes) in &self.segments {
            bus.memory.write_bytes(*address, bytes);
            clear(bus, address + bytes.len() as u64, *zeroes);
        }
        self.tell_generation(bus);
        if let Some(cpu) = cpus.first_mut() {
            enter(cpu, &self.entry);
        }
    }

    fn resume(&self, bus: &mut Bus, cpus: &mut [Vcpu]) {
        let mut vector = [0; 4];
        let facs = self.facs.unwrap_or_default();
        bus.memory.read_bytes(facs + facs::WAKING_VECTOR, &mut vector);
        let vector = u32::from_le_bytes(vector);
        if self.facs.is_none() || vector == 0 {
            // Nobody has left word where to go on.
            return self.place(bus, cpus);
        }
        prepare_chipset(bus);
        video::enter_text_mode(bus);
        self.tell_generation(bus);
        if let Some(cpu) = cpus.first_mut() {
            let (offset, segment) = facs::real_mode_address(vector);
            cpu.ip = offset.into();
            cpu.seg[seg::CS].selector = segment;
            cpu.seg[seg::CS].base = u64::from(segment) << 4;
            cpu.refresh();
        }
    }
}

impl DirectBoot {
    fn tell_generation(&self, bus: &mut Bus) {
        if let Some((device, address)) = self.generation {
            let input = Input::File { name: vmgenid::ADDRESS_FILE.into(), bytes: address.to_le_bytes().to_vec() };
            bus.input(device, &input);
        }
    }
}

/// Zeroes what is not zero already, so that untouched RAM stays untouched.
fn clear(bus: &mut Bus, from: u64, len: u64) {
    const PIECE: u64 = 4096;
    let mut at = from;
    let end = from.saturating_add(len);
    while at < end {
        let piece = (PIECE - at % PIECE).min(end - at) as usize;
        let mut held = [0; PIECE as usize];
        bus.memory.read_bytes(at, &mut held[..piece]);
        if held[..piece].iter().any(|b| *b != 0) {
            bus.memory.write_bytes(at, &[0; PIECE as usize][..piece]);
        }
        at += piece as u64;
    }
}

/// What a kernel expects firmware to have set up: RAM below 1 MiB, interrupt routing.
fn prepare_chipset(bus: &mut Bus) {
    for register in PAM0..=PAM6 {
        write_config(bus, 0, register, PAM_RAM);
    }
    const ISA_BRIDGE: u32 = 1 << 11;
    for (register, route) in (PIRQRC..).zip(PIRQ_ROUTES) {
        write_config(bus, ISA_BRIDGE, register, route);
    }
    port_write(bus, ELCR_HIGH, Width::Byte, ELCR_HIGH_PCI);
}

fn write_config(bus: &mut Bus, function: u32, register: u32, value: u8) {
    let address = 1 << 31 | function | register & !3;
    port_write(bus, CONFIG_ADDRESS, Width::Dword, address.into());
    port_write(bus, CONFIG_DATA + u64::from(register & 3), Width::Byte, value.into());
}

fn port_write(bus: &mut Bus, port: u64, width: Width, value: u64) {
    // The board has both devices; without them there is nothing to prepare.
    let _ = bus.write(Space::Io, port, width, value, Cpu(0));
}

/// Puts a vCPU into the state that a kernel is entered in.
fn enter(cpu: &mut Vcpu, entry: &EntryState) {
    cpu.gpr[..16].copy_from_slice(&entry.gprs);
    cpu.ip = entry.rip;
    cpu.flags.put(Rflags::from_bits_retain(entry.rflags));
    cpu.cr0 = Cr0::from_bits_retain(entry.cr0);
    cpu.cr3 = entry.cr3;
    cpu.cr4 = Cr4::from_bits_retain(entry.cr4);
    cpu.efer = Efer::from_bits_retain(entry.efer);
    cpu.gdtr = TableRegister { base: entry.gdtr.base, limit: entry.gdtr.limit };
    cpu.idtr = TableRegister { base: entry.idtr.base, limit: entry.idtr.limit };
    cpu.seg = [segment(&entry.data); 8];
    cpu.seg[seg::CS] = segment(&entry.cs);
    cpu.tr = segment(&entry.tr);
    cpu.ldtr = segment(&entry.ldtr);
    cpu.cpl = 0;
    cpu.tlb.flush_all();
    cpu.refresh();
}

fn segment(from: &SegmentRegister) -> Segment {
    Segment { selector: from.selector, rights: Rights(from.attributes), limit: from.limit, base: from.base }
}
