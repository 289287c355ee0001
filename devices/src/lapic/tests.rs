use super::*;
use lockstep_fabric::{Bus, Clock, Memory, Refused};

const ICR: u64 = 0x300;
const ICR_HIGH: u64 = 0x310;
const ENABLED: u64 = 0x1ff;
const X2APIC: u64 = DEFAULT_BASE | 0xc00;

/// A bus with nothing but local APICs, all enabled by software.
struct Board {
    bus: Bus,
    apics: DeviceId,
}

impl Board {
    fn new(cpus: u8) -> Self {
        Self::with_ids((0..cpus).collect())
    }

    /// vCPUs with these APIC IDs.
    fn with_ids(ids: Vec<u8>) -> Self {
        let mut bus = Bus::new(Memory::new(0x1000).unwrap(), Clock::new(0));
        let cpus = ids.len() as u8;
        let config = LocalApicsConfig { ids, ioapic: None, physical_bits: 40, x2apic: true, tsc_deadline: true };
        let apics = bus.add("apic", Box::new(LocalApics::new(config)));
        REGIONS.into_iter().for_each(|r| bus.map(apics, r));
        bus.set_msi_target(apics);
        bus.reset();
        let mut board = Self { bus, apics };
        (0..cpus).for_each(|cpu| board.write(cpu, 0xf0, ENABLED));
        board
    }

    fn write(&mut self, cpu: u8, offset: u64, value: u64) {
        self.bus.write(Space::Memory, DEFAULT_BASE + offset, Width::Dword, value, Cpu(cpu)).unwrap();
    }

    fn read(&mut self, cpu: u8, offset: u64) -> u64 {
        self.bus.read(Space::Memory, DEFAULT_BASE + offset, Width::Dword, Cpu(cpu)).unwrap()
    }

    fn wrmsr(&mut self, cpu: u8, msr: u64, value: u64) -> Result<(), Refused> {
        self.bus.write(Space::Private, msr, Width::Qword, value, Cpu(cpu))
    }

    fn rdmsr(&mut self, cpu: u8, msr: u64) -> Result<u64, Refused> {
        self.bus.read(Space::Private, msr, Width::Qword, Cpu(cpu))
    }

    fn msi(&mut self, address: u64, data: u32) {
        self.bus.input(self.apics, &Input::Msi { address, data });
    }

    fn take(&mut self, cpu: u8) -> Acknowledge {
        self.bus.acknowledge(self.apics, Cpu(cpu))
    }

    fn signals(&mut self) -> Vec<(u8, CpuSignal)> {
        self.bus.take_signals().into_iter().map(|(c, s)| (c.0, s)).collect()
    }
}

#[test]
fn an_id_need_not_be_its_vcpus_number() {
    let mut board = Board::with_ids(vec![0, 1, 4]);
    assert_eq!((board.read(1, 0x20), board.read(2, 0x20)), (1 << 24, 4 << 24));
    board.write(0, ICR_HIGH, 4 << 24);
    board.write(0, ICR, 0x0000_0041);
    assert_eq!(board.take(2), Acknowledge::Vector(0x41));
    board.write(0, ICR_HIGH, 2 << 24);
    board.write(0, ICR, 0x0000_0042);
    assert_eq!((0..3).map(|cpu| board.take(cpu)).collect::<Vec<_>>(), [Acknowledge::Nothing; 3]);
}

#[test]
fn after_reset_the_first_apic_is_the_bootstrap_processors() {
    let mut board = Board::new(2);
    assert_eq!(board.rdmsr(0, IA32_APIC_BASE), Ok(0xfee0_0900));
    assert_eq!(board.rdmsr(1, IA32_APIC_BASE), Ok(0xfee0_0800));
    assert_eq!((board.read(0, 0x20), board.read(1, 0x20)), (0, 1 << 24));
    assert_eq!(board.read(0, 0x30), 0x0005_0014);
}

#[test]
fn an_msi_raises_the_line_and_waits_in_irr_until_acknowledged() {
    let mut board = Board::new(2);
    board.msi(0xfee0_1000, 0x41);
    assert_eq!(board.signals(), [(1, CpuSignal::Interrupt(true))]);
    assert_eq!(board.read(1, 0x220), 1 << 1);
    assert_eq!(board.take(1), Acknowledge::Vector(0x41));
    assert_eq!(board.signals(), [(1, CpuSignal::Interrupt(false))]);
    assert_eq!((board.read(1, 0x220), board.read(1, 0x120)), (0, 1 << 1));
    board.write(1, 0xb0, 0);
    assert_eq!(board.read(1, 0x120), 0);
}

#[test]
fn only_a_higher_class_interrupts_what_is_in_service() {
    let mut board = Board::new(1);
    board.msi(0xfee0_0000, 0x51);
    assert_eq!(board.take(0), Acknowledge::Vector(0x51));
    board.msi(0xfee0_0000, 0x5f);
    assert_eq!(board.take(0), Acknowledge::Nothing);
    board.msi(0xfee0_0000, 0x60);
    assert_eq!(board.take(0), Acknowledge::Vector(0x60));
    assert_eq!(board.read(0, 0xa0), 0x60);
    board.write(0, 0xb0, 0);
    board.write(0, 0xb0, 0);
    assert_eq!(board.take(0), Acknowledge::Vector(0x5f));
}

#[test]
fn cr8_is_the_upper_half_of_the_task_priority() {
    let mut board = Board::new(1);
    board.wrmsr(0, CR8_ADDRESS, 5).unwrap();
    assert_eq!(board.read(0, 0x80), 0x50);
    board.msi(0xfee0_0000, 0x5f);
    assert!(board.signals().is_empty());
    board.wrmsr(0, CR8_ADDRESS, 4).unwrap();
    assert_eq!(board.signals(), [(0, CpuSignal::Interrupt(true))]);
    assert_eq!(board.wrmsr(0, CR8_ADDRESS, 16), Err(Refused));
    assert_eq!(board.rdmsr(0, CR8_ADDRESS), Ok(4));
}

#[test]
fn init_and_startup_reach_the_named_processor() {
    let mut board = Board::new(3);
    board.write(0, ICR_HIGH, 2 << 24);
    board.write(0, ICR, 0xc500);
    board.write(0, ICR, 0x8500);
    board.write(0, ICR, 0x0610);
    assert_eq!(board.signals(), [(2, CpuSignal::Init), (2, CpuSignal::Startup(0x10))]);
    assert_eq!(board.read(2, 0xf0), 0xff, "INIT disables the APIC by software");
}

#[test]
fn shorthands_name_the_others_all_and_the_sender() {
    let mut board = Board::new(3);
    board.write(1, ICR, 0xc_4500);
    assert_eq!(board.signals(), [(0, CpuSignal::Init), (2, CpuSignal::Init)]);
    let mut board = Board::new(3);
    board.write(1, ICR, 0x8_0044);
    assert_eq!((0..3).map(|c| board.take(c)).collect::<Vec<_>>(), [Acknowledge::Vector(0x44); 3]);
    board.write(1, ICR, 0x4_0055);
    assert_eq!(board.take(0), Acknowledge::Nothing);
    assert_eq!(board.take(1), Acknowledge::Vector(0x55));
}

#[test]
fn logical_destinations_are_flat_or_clustered() {
    let mut board = Board::new(4);
    for cpu in 0..4 {
        board.write(cpu, 0xd0, 1 << (24 + cpu));
    }
    board.msi(0xfee0_0004 | 0b1010 << 12, 0x70);
    assert_eq!(board.signals(), [(1, CpuSignal::Interrupt(true)), (3, CpuSignal::Interrupt(true))]);
    let mut board = Board::new(3);
    for cpu in 0..3 {
        board.write(cpu, 0xe0, 0x0fff_ffff);
        board.write(cpu, 0xd0, [0x11, 0x12, 0x21][usize::from(cpu)] << 24);
    }
    board.msi(0xfee0_0004 | 0x13 << 12, 0x70);
    assert_eq!(board.signals(), [(0, CpuSignal::Interrupt(true)), (1, CpuSignal::Interrupt(true))]);
}

#[test]
fn lowest_priority_goes_to_the_idlest_then_the_first() {
    let mut board = Board::new(3);
    board.wrmsr(0, CR8_ADDRESS, 3).unwrap();
    board.msi(0xfeef_f000, 0x0145);
    assert_eq!(board.signals(), [(1, CpuSignal::Interrupt(true))]);
    assert_eq!(board.take(1), Acknowledge::Vector(0x45));
    board.msi(0xfeef_f000, 0x0145);
    assert_eq!(board.take(2), Acknowledge::Vector(0x45));
}

#[test]
fn the_8259_reaches_the_first_processor_through_the_virtual_wire() {
    let mut board = Board::new(2);
    board.bus.reset();
    board.bus.drive(board.apics, PIN_LINT0, true);
    assert_eq!(board.signals(), [(0, CpuSignal::Interrupt(true))]);
    assert_eq!(board.take(0), Acknowledge::External);
    board.bus.drive(board.apics, PIN_LINT0, false);
    assert_eq!(board.signals(), [(0, CpuSignal::Interrupt(false))]);
    board.write(0, 0xf0, ENABLED);
    board.write(0, 0x350, 0x1_0700);
    board.bus.drive(board.apics, PIN_LINT0, true);
    assert_eq!(board.take(0), Acknowledge::Nothing, "masked");
    board.wrmsr(0, IA32_APIC_BASE, 0xfee0_0100).unwrap();
    assert_eq!(board.take(0), Acknowledge::External, "a disabled APIC lets INTR through");
}

#[test]
fn lint1_is_the_nmi_where_the_table_says_so() {
    let mut board = Board::new(2);
    board.write(0, 0x360, 0x400);
    board.bus.drive(board.apics, PIN_LINT1, true);
    board.bus.drive(board.apics, PIN_LINT1, false);
    assert_eq!(board.signals(), [(0, CpuSignal::Nmi)]);
}

#[test]
fn a_one_shot_timer_counts_nanoseconds_by_the_divisor_and_fires_once() {
    let mut board = Board::new(1);
    board.write(0, 0x3e0, 3);
    board.write(0, 0x320, 0x30);
    board.write(0, 0x380, 100);
    board.bus.advance(160);
    assert_eq!(board.read(0, 0x390), 90);
    assert_eq!(board.bus.clock.next_deadline(), 1600);
    board.bus.advance(1600);
    assert_eq!(board.take(0), Acknowledge::Vector(0x30));
    assert_eq!((board.read(0, 0x390), board.bus.clock.next_deadline()), (0, u64::MAX));
}

#[test]
fn a_periodic_timer_fires_every_period() {
    let mut board = Board::new(1);
    board.write(0, 0x3e0, 0xb);
    board.write(0, 0x320, 0x2_0030);
    board.write(0, 0x380, 1000);
    for period in 1..4 {
        board.bus.advance(period * 1000);
        assert_eq!(board.take(0), Acknowledge::Vector(0x30));
        board.write(0, 0xb0, 0);
    }
    board.write(0, 0x380, 0);
    assert_eq!(board.bus.clock.next_deadline(), u64::MAX);
}

#[test]
fn the_tsc_deadline_fires_once_and_clears_itself() {
    let mut board = Board::new(2);
    board.wrmsr(1, IA32_TSC_DEADLINE, 500).unwrap();
    assert_eq!(board.rdmsr(1, IA32_TSC_DEADLINE), Ok(0), "not in this mode yet");
    board.write(1, 0x320, 0x4_0031);
    board.wrmsr(1, IA32_TSC_DEADLINE, 500).unwrap();
    assert_eq!(board.rdmsr(1, IA32_TSC_DEADLINE), Ok(500));
    board.bus.advance(500);
    assert_eq!(board.rdmsr(1, IA32_TSC_DEADLINE), Ok(0));
    assert_eq!(board.take(1), Acknowledge::Vector(0x31));
}

#[test]
fn mode_transitions_follow_the_manual() {
    let mut board = Board::new(1);
    assert_eq!(board.wrmsr(0, IA32_APIC_BASE, 0xfee0_0500), Err(Refused), "x2APIC without enable");
    assert_eq!(board.wrmsr(0, IA32_APIC_BASE, 0xfee0_0900 | 1 << 40), Err(Refused), "beyond the physical address");
    assert_eq!(board.rdmsr(0, 0x802), Err(Refused), "no MSRs in xAPIC mode");
    board.wrmsr(0, IA32_APIC_BASE, X2APIC).unwrap();
    assert_eq!(board.read(0, 0x30), 0xffff_ffff, "no memory in x2APIC mode");
    assert_eq!(board.wrmsr(0, IA32_APIC_BASE, 0xfee0_0900), Err(Refused), "not back to xAPIC");
    board.wrmsr(0, IA32_APIC_BASE, 0xfee0_0000).unwrap();
    assert_eq!(board.wrmsr(0, IA32_APIC_BASE, X2APIC), Err(Refused), "not from disabled to x2APIC");
    board.wrmsr(0, IA32_APIC_BASE, 0xfee0_0900).unwrap();
    assert_eq!(board.read(0, 0xf0), 0xff, "back as after power-up");
}

#[test]
fn the_window_can_move() {
    let mut board = Board::new(1);
    board.wrmsr(0, IA32_APIC_BASE, 0xfed0_0900).unwrap();
    assert_eq!(board.bus.read(Space::Memory, 0xfed0_0030, Width::Dword, Cpu(0)), Ok(0x0005_0014));
}

#[test]
fn x2apic_registers_fault_on_what_is_not_there() {
    let mut board = Board::new(18);
    board.wrmsr(17, IA32_APIC_BASE, X2APIC).unwrap();
    assert_eq!(board.rdmsr(17, 0x802), Ok(17));
    assert_eq!(board.rdmsr(17, 0x80d), Ok(1 << 16 | 1 << 1));
    for (msr, value) in
        [(0x802, 0), (0x80a, 0), (0x80d, 0), (0x80e, 0), (0x80b, 1), (0x828, 1), (0x808, 0x100), (0x831, 0), (0x82f, 0)]
    {
        assert_eq!(board.wrmsr(17, msr, value), Err(Refused), "write {msr:#x}");
    }
    for msr in [0x80b, 0x80e, 0x831, 0x83f, 0x809, 0x8ff] {
        assert_eq!(board.rdmsr(17, msr), Err(Refused), "read {msr:#x}");
    }
    board.wrmsr(17, 0x83f, 0x99).unwrap();
    assert_eq!(board.take(17), Acknowledge::Vector(0x99));
    board.wrmsr(17, 0x830, 3 << 32 | 0x400).unwrap();
    assert!(board.signals().contains(&(3, CpuSignal::Nmi)));
}

#[test]
fn errors_show_after_esr_is_written_and_interrupt() {
    let mut board = Board::new(1);
    board.write(0, 0x370, 0xfe);
    board.write(0, ICR, 0x4_0005);
    assert_eq!(board.read(0, 0x280), 0);
    board.write(0, 0x280, 0);
    assert_eq!(board.read(0, 0x280), 0x20);
    assert_eq!(board.take(0), Acknowledge::Vector(0xfe));
    board.read(0, 0x3f0);
    board.write(0, 0x280, 0);
    assert_eq!(board.read(0, 0x280), 0x80);
}

#[test]
fn state_survives_saving_and_loading() {
    let mut board = Board::new(2);
    board.write(0, 0x320, 0x2_0030);
    board.write(0, 0x380, 1000);
    board.msi(0xfee0_1000, 0x41);
    let saved = board.bus.save().unwrap();
    let mut other = Board::new(2);
    other.bus.load(&saved).unwrap();
    assert_eq!(other.bus.save().unwrap(), saved);
    assert_eq!(other.take(1), Acknowledge::Vector(0x41));
}
