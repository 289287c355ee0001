//! The firmware under construction: code, data, and the places in the data that hold addresses of code.

use iced_x86::BlockEncoderOptions;
use iced_x86::IcedError;
use iced_x86::code_asm::{CodeAssembler, CodeLabel, al, esi};

use super::{BASE, CODE, DATA, RomError, commands, entry, interrupts};

/// Declares the routines that are called from more than one place.
macro_rules! routines {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// Entry points of the firmware's routines. All preserve every register but those they return a result in.
        pub(super) struct Routines { $($(#[$doc])* pub(super) $name: CodeLabel,)* }
        impl Routines {
            fn new(asm: &mut CodeAssembler) -> Self {
                Self { $($name: asm.create_label(),)* }
            }
        }
    };
}

routines! {
    /// Sends AL.
    putc,
    /// Sends the text at ESI.
    puts,
    /// Waits for a byte and returns it in AL.
    getc,
    /// ZF clear when a byte is waiting.
    pending,
    /// Sends the low ECX hexadecimal digits of EAX.
    hex,
    /// Sends EAX in decimal.
    decimal,
    /// Sends a line end.
    newline,
    /// Reads a hexadecimal number at ESI into EAX and moves ESI behind it; CF set when there is none.
    parse,
    /// Moves ESI over spaces.
    skip_spaces,
    /// Compares the texts at ESI and EDI: ZF set when they are equal.
    same_text,
    /// CF set when there is no fw_cfg.
    fw_cfg_present,
    /// Selects the fw_cfg item in AX.
    fw_cfg_select,
    /// Reads ECX bytes of the selected item to EDI.
    fw_cfg_read,
    /// Finds the fw_cfg file named by ESI and selects it; its length in EAX, CF set when there is none.
    fw_cfg_open,
    /// Reads CMOS byte AL into EAX.
    cmos,
    /// Reads the PCI configuration register at address EAX into EAX.
    pci_read,
    /// Writes EDX to the PCI configuration register at address EAX.
    pci_write,
    /// Prints the memory map entry at SCRATCH.
    print_range,
    /// `mem`, and part of the banner.
    show_memory,
    /// `cpu`, and part of the banner.
    show_cpu,
    /// `pci`, and part of the banner.
    show_pci,
    /// Where everything returns to: the prompt, on a fresh stack.
    prompt,
    /// `help`.
    help,
    /// `peek`.
    peek,
    /// `poke`.
    poke,
    /// `in`.
    port_in,
    /// `out`.
    port_out,
    /// `reset`.
    reset,
    /// `off`.
    off,
    /// Where all exceptions meet.
    exception,
    /// The serial port's interrupt.
    serial_interrupt,
    /// Interrupts that nobody asked for.
    stray_interrupt,
}

/// What an address of code in the data looks like.
#[derive(Clone, Copy)]
enum Fixup {
    /// A plain 32-bit address.
    Pointer,
    /// The two halves in an interrupt gate.
    Gate,
}

/// Data with known addresses, growing as code asks for it.
pub(super) struct Data {
    bytes: Vec<u8>,
}

impl Data {
    /// Appends bytes and returns their address.
    pub(super) fn put(&mut self, bytes: &[u8]) -> u32 {
        let address = BASE + (DATA + self.bytes.len()) as u32;
        self.bytes.extend_from_slice(bytes);
        address
    }

    /// Appends a text with its final zero. Line ends become what a terminal expects.
    pub(super) fn text(&mut self, text: &str) -> u32 {
        let mut bytes = text.replace('\n', "\r\n").into_bytes();
        bytes.push(0);
        self.put(&bytes)
    }

    /// Overwrites earlier data.
    fn patch(&mut self, address: u32, bytes: &[u8]) {
        let start = (address - BASE) as usize - DATA;
        self.bytes[start..start + bytes.len()].copy_from_slice(bytes);
    }
}

/// The firmware under construction.
pub(super) struct Program {
    /// 32-bit code.
    pub(super) asm: CodeAssembler,
    /// Everything else.
    pub(super) data: Data,
    /// Entry points.
    pub(super) at: Routines,
    /// The interrupt descriptor table's address.
    pub(super) idt: u32,
    /// The command table's address.
    pub(super) commands: u32,
    fixups: Vec<(u32, CodeLabel, Fixup)>,
}

impl Program {
    pub(super) fn new() -> Result<Self, IcedError> {
        let mut asm = CodeAssembler::new(32)?;
        let at = Routines::new(&mut asm);
        let mut data = Data { bytes: Vec::new() };
        data.put(&entry::gdt());
        let idt = data.put(&[0; interrupts::GATES * 8]);
        let commands = data.put(&[0; commands::TABLE_SIZE]);
        Ok(Self { asm, data, at, idt, commands, fixups: Vec::new() })
    }

    /// Code that sends a fixed text.
    pub(super) fn print(&mut self, text: &str) -> Result<(), IcedError> {
        let address = self.data.text(text);
        self.asm.push(esi)?;
        self.asm.mov(esi, address)?;
        self.asm.call(self.at.puts)?;
        self.asm.pop(esi)
    }

    /// Code that sends one character; AL is lost.
    pub(super) fn print_char(&mut self, character: u8) -> Result<(), IcedError> {
        self.asm.mov(al, u32::from(character))?;
        self.asm.call(self.at.putc)
    }

    /// Code that sends the low `digits` hexadecimal digits of EAX.
    pub(super) fn print_hex(&mut self, digits: u32) -> Result<(), IcedError> {
        use iced_x86::code_asm::ecx;
        self.asm.push(ecx)?;
        self.asm.mov(ecx, digits)?;
        self.asm.call(self.at.hex)?;
        self.asm.pop(ecx)
    }

    /// Overwrites earlier data.
    pub(super) fn patch(&mut self, address: u32, bytes: &[u8]) {
        self.data.patch(address, bytes);
    }

    /// Has the address of `label`, which must have been set, written to the data.
    pub(super) fn point(&mut self, address: u32, label: CodeLabel) {
        self.fixups.push((address, label, Fixup::Pointer));
    }

    /// Has the address of `label`, which must have been set, written into an interrupt gate.
    pub(super) fn gate(&mut self, address: u32, label: CodeLabel) {
        self.fixups.push((address, label, Fixup::Gate));
    }

    /// Assembles: data and code.
    pub(super) fn finish(mut self) -> Result<(Vec<u8>, Vec<u8>), RomError> {
        let start = u64::from(BASE) + CODE as u64;
        let result = self.asm.assemble_options(start, BlockEncoderOptions::RETURN_NEW_INSTRUCTION_OFFSETS)?;
        for (address, label, fixup) in std::mem::take(&mut self.fixups) {
            let target = (result.label_ip(&label)? as u32).to_le_bytes();
            match fixup {
                Fixup::Pointer => self.data.patch(address, &target),
                Fixup::Gate => {
                    self.data.patch(address, &target[..2]);
                    self.data.patch(address + 6, &target[2..]);
                }
            }
        }
        Ok((self.data.bytes, result.inner.code_buffer))
    }
}
