//! Devices wired together as a board wires them.

use lockstep_devices::{
    i8042::{self, I8042},
    i8254::{self, Pit},
    i8259::{self, Pics},
    port92::{self, Port92},
    uart16550::{self, Uart16550, Uart16550Config},
};
use lockstep_fabric::{
    Acknowledge, Bus, Clock, Cpu, CpuSignal, Device, DeviceId, Input, Memory, PinId, RegionSpec, Sink, Space, Width,
};

const CPU: Cpu = Cpu(0);

struct Board {
    bus: Bus,
    pics: DeviceId,
    keyboard: DeviceId,
    serial: DeviceId,
}

fn add(bus: &mut Bus, name: &str, device: impl Device + 'static, regions: &[RegionSpec]) -> DeviceId {
    let id = bus.add(name, Box::new(device));
    regions.iter().for_each(|spec| bus.map(id, *spec));
    id
}

fn board() -> Board {
    let mut bus = Bus::new(Memory::new(1 << 20).expect("memory for a test"), Clock::new(0));
    let com1 = Uart16550Config::default();
    let pics = add(&mut bus, "pics", Pics::new(), &Pics::regions());
    let pit = add(&mut bus, "pit", Pit::new(), &Pit::regions());
    let keyboard = add(&mut bus, "keyboard", I8042::new(), &I8042::regions());
    let port92 = add(&mut bus, "port92", Port92::new(), &Port92::regions());
    let serial = add(&mut bus, "serial", Uart16550::new(), &Uart16550::regions(&com1));
    bus.wire(pics, i8259::INTR, Sink::CpuInterrupt(CPU));
    bus.wire(pit, i8254::OUT0, Sink::Device(pics, PinId(0)));
    bus.wire(keyboard, i8042::IRQ_KEYBOARD, Sink::Device(pics, PinId(1)));
    bus.wire(keyboard, i8042::IRQ_MOUSE, Sink::Device(pics, PinId(12)));
    bus.wire(keyboard, i8042::A20, Sink::Device(port92, port92::KEYBOARD_A20));
    bus.wire(serial, uart16550::IRQ, Sink::Device(pics, PinId(com1.irq().into())));
    bus.reset();
    let mut board = Board { bus, pics, keyboard, serial };
    for (port, values) in [(0x20, [0x11, 0x20, 4, 1]), (0xa0, [0x11, 0x28, 2, 1])] {
        board.outb(port, values[0]);
        values[1..].iter().for_each(|value| board.outb(port + 1, *value));
    }
    board.bus.take_signals();
    board
}

impl Board {
    fn outb(&mut self, port: u16, value: u8) {
        self.bus.write(Space::Io, port.into(), Width::Byte, value.into(), CPU).expect("a claimed port");
    }

    fn inb(&mut self, port: u16) -> u8 {
        self.bus.read(Space::Io, port.into(), Width::Byte, CPU).expect("a claimed port") as u8
    }

    /// What a vCPU with interrupts on does: takes what is requested and ends it. The vectors, in order.
    fn serve(&mut self) -> Vec<u8> {
        const EOI: u8 = 0x20;
        let mut vectors = Vec::new();
        while self.bus.take_signals().last() == Some(&(CPU, CpuSignal::Interrupt(true))) {
            let Acknowledge::Vector(vector) = self.bus.acknowledge(self.pics, CPU) else { break };
            vectors.push(vector);
            if vector >= 0x28 {
                self.outb(0xa0, EOI);
            }
            self.outb(0x20, EOI);
        }
        vectors
    }
}

#[test]
fn the_timer_interrupts_a_thousand_times_a_second() {
    let mut board = board();
    for (port, value) in [(0x43, 0x34), (0x40, 0xa9), (0x40, 0x04)] {
        board.outb(port, value);
    }
    board.serve();
    let mut interrupts = 0;
    while board.bus.clock.next_deadline() <= 1_000_000_000 {
        let due = board.bus.clock.next_deadline();
        board.bus.advance(due);
        interrupts += board.serve().len();
    }
    assert_eq!(interrupts, 1000);
}

#[test]
fn a_key_and_a_character_interrupt_as_irq1_and_irq4() {
    let mut board = board();
    board.outb(0x21, 0x01);
    board.serve();
    board.bus.input(board.keyboard, &Input::Key(0x1e, true));
    assert_eq!(board.serve(), [0x21]);
    assert_eq!(board.inb(0x60), 0x1c);
    board.outb(0x3fc, 0x08);
    board.outb(0x3f9, 0x01);
    board.bus.input(board.serial, &Input::Bytes(b"x".to_vec()));
    assert_eq!(board.serve(), [0x24]);
    assert_eq!(board.inb(0x3f8), b'x');
}

#[test]
fn closing_both_gates_masks_a20_and_a_reset_opens_it() {
    let mut board = board();
    assert!(board.bus.memory.a20());
    board.outb(0x64, 0xdd);
    assert!(!board.bus.memory.a20());
    board.outb(0x92, 2);
    assert!(board.bus.memory.a20());
    board.outb(0x92, 0);
    assert!(!board.bus.memory.a20());
    board.bus.reset();
    assert!(board.bus.memory.a20());
}
