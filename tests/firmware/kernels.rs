//! Multiboot and PVH kernels of a few instructions, which say what they were given: started directly, and by SeaBIOS.

use iced_x86::IcedError;
use iced_x86::code_asm::{CodeAssembler, CodeLabel, al, dword_ptr, dx, eax, ebx, ecx, edi, edx, esi, esp};
use lockstep_tests::guest::{Guest, guest_file};
use lockstep_tests::program::scratch;
use std::path::{Path, PathBuf};

const LIMIT: u64 = 30_000_000_000;
const COM1: u32 = 0x3f8;
/// COM1's line control register, which gives words of five bits out of reset.
const LINE_CONTROL: u32 = COM1 + 3;
const EIGHT_BITS: u32 = 3;
const BASE: u32 = 0x10_0000;
/// Where the code begins behind the Multiboot header and its addresses.
const CODE: u32 = BASE + 32;
/// The top of the stack, which the specifications leave to the kernel: beyond the kernel and all that comes with it.
const STACK: u32 = 0x20_0000;
const MULTIBOOT_MAGIC: u32 = 0x1bad_b002;

/// Code that talks at COM1.
struct Talk {
    a: CodeAssembler,
    /// Says the text at ESI up to its zero.
    text: CodeLabel,
    /// Says the bytes from ESI to EDX.
    bytes: CodeLabel,
}

impl Talk {
    fn new() -> Result<Self, IcedError> {
        let mut a = CodeAssembler::new(32)?;
        let [text, bytes] = std::array::from_fn(|_| a.create_label());
        a.mov(esp, STACK)?;
        a.mov(ecx, eax)?;
        a.mov(dx, LINE_CONTROL)?;
        a.mov(al, EIGHT_BITS)?;
        a.out(dx, al)?;
        a.mov(eax, ecx)?;
        Ok(Self { a, text, bytes })
    }

    fn character(&mut self, character: u8) -> Result<(), IcedError> {
        self.a.mov(dx, COM1)?;
        self.a.mov(al, u32::from(character))?;
        self.a.out(dx, al)
    }

    /// The text whose address is in the information block at this offset.
    fn text_at(&mut self, offset: i32) -> Result<(), IcedError> {
        self.a.mov(esi, dword_ptr(ebx + offset))?;
        self.a.call(self.text)?;
        self.character(b'|')
    }

    /// Stops, and adds the routines.
    fn finish(mut self) -> Result<Vec<u8>, IcedError> {
        for character in b"end\n" {
            self.character(*character)?;
        }
        let a = &mut self.a;
        let [mut stop, mut next, mut out, mut more, mut done] = std::array::from_fn(|_| a.create_label());
        a.set_label(&mut stop)?;
        a.hlt()?;
        a.jmp(stop)?;
        a.set_label(&mut self.text)?;
        a.mov(dx, COM1)?;
        a.set_label(&mut next)?;
        a.lodsb()?;
        a.test(al, al)?;
        a.jz(out)?;
        a.out(dx, al)?;
        a.jmp(next)?;
        a.set_label(&mut out)?;
        a.ret()?;
        a.set_label(&mut self.bytes)?;
        a.mov(ecx, edx)?;
        a.mov(dx, COM1)?;
        a.set_label(&mut more)?;
        a.cmp(esi, ecx)?;
        a.jae(done)?;
        a.lodsb()?;
        a.out(dx, al)?;
        a.jmp(more)?;
        a.set_label(&mut done)?;
        a.ret()?;
        a.assemble(CODE.into())
    }
}

/// Says its command line, its modules' lines and contents, and the first address of the map.
fn multiboot_code() -> Result<Vec<u8>, IcedError> {
    let mut talk = Talk::new()?;
    let [mut module, mut modules_done, mut wrong] = std::array::from_fn(|_| talk.a.create_label());
    talk.a.mov(esi, dword_ptr(ebx + 48))?;
    talk.a.cmp(eax, 0x2bad_b002_u32)?;
    talk.a.jne(wrong)?;
    talk.text_at(16)?;
    talk.a.mov(edi, dword_ptr(ebx + 24))?;
    talk.a.set_label(&mut module)?;
    talk.a.cmp(dword_ptr(ebx + 20), 0_u32)?;
    talk.a.je(modules_done)?;
    talk.a.dec(dword_ptr(ebx + 20))?;
    talk.a.mov(esi, dword_ptr(edi + 8))?;
    talk.a.call(talk.text)?;
    talk.character(b'=')?;
    talk.a.mov(esi, dword_ptr(edi))?;
    talk.a.mov(edx, dword_ptr(edi + 4))?;
    talk.a.call(talk.bytes)?;
    talk.character(b'|')?;
    talk.a.add(edi, 16_u32)?;
    talk.a.jmp(module)?;
    talk.a.set_label(&mut modules_done)?;
    // The map's first line: 20 bytes follow, from address 0 on, RAM. There are at least three lines.
    talk.a.mov(esi, dword_ptr(ebx + 48))?;
    for (at, value) in [(0, 20_u32), (4, 0), (8, 0), (20, 1)] {
        talk.a.cmp(dword_ptr(esi + at), value)?;
        talk.a.jne(wrong)?;
    }
    talk.a.cmp(dword_ptr(ebx + 44), 3 * 24_u32)?;
    talk.a.jb(wrong)?;
    talk.character(b'm')?;
    talk.a.set_label(&mut wrong)?;
    talk.finish()
}

/// The same for `hvm_start_info`.
fn pvh_code() -> Result<Vec<u8>, IcedError> {
    let mut talk = Talk::new()?;
    let mut wrong = talk.a.create_label();
    talk.a.cmp(dword_ptr(ebx), 0x336e_c578_u32)?;
    talk.a.jne(wrong)?;
    talk.text_at(24)?;
    talk.a.mov(edi, dword_ptr(ebx + 16))?;
    talk.a.mov(esi, dword_ptr(edi))?;
    talk.a.mov(edx, dword_ptr(edi + 8))?;
    talk.a.add(edx, esi)?;
    talk.a.call(talk.bytes)?;
    talk.character(b'|')?;
    talk.a.mov(esi, dword_ptr(ebx + 40))?;
    for (at, value) in [(0, 0_u32), (4, 0), (16, 1), (20, 0)] {
        talk.a.cmp(dword_ptr(esi + at), value)?;
        talk.a.jne(wrong)?;
    }
    talk.a.cmp(dword_ptr(ebx + 48), 3_u32)?;
    talk.a.jb(wrong)?;
    talk.character(b'm')?;
    talk.a.set_label(&mut wrong)?;
    talk.finish()
}

fn words(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

/// A Multiboot header with the addresses of a raw image, which count if the flags say so; then the code.
fn multiboot_image(flags: u32) -> Vec<u8> {
    let code = multiboot_code().expect("code that assembles");
    let sum = 0_u32.wrapping_sub(MULTIBOOT_MAGIC).wrapping_sub(flags);
    let mut image = words(&[MULTIBOOT_MAGIC, flags, sum, BASE, BASE, 0, 0, CODE]);
    image.extend(code);
    image
}

/// A 32-bit ELF file that loads `image` at 1 MiB, with notes.
fn elf(image: &[u8], notes: &[u8]) -> Vec<u8> {
    const AT: u32 = 0x100;
    let mut file = b"\x7fELF\x01\x01\x01\0\0\0\0\0\0\0\0\0\x02\0\x03\0".to_vec();
    file.extend(words(&[1, CODE, 52, 0, 0]));
    for half in [52_u16, 32, 2, 0, 0, 0] {
        file.extend(half.to_le_bytes());
    }
    let len = image.len() as u32;
    file.extend(words(&[1, AT, BASE, BASE, len, len, 7, 4]));
    file.extend(words(&[4, AT + len, 0, 0, notes.len() as u32, notes.len() as u32, 4, 4]));
    file.resize(AT as usize, 0);
    file.extend(image);
    file.extend(notes);
    file
}

/// The note that names a PVH entry.
fn pvh_note() -> Vec<u8> {
    [words(&[4, 4, 18]), b"Xen\0".to_vec(), words(&[CODE])].concat()
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a path in UTF-8")
}

/// Starts a kernel directly and by SeaBIOS, and checks what it says.
fn says(kernel: &Path, initrd: &str, expected: &str) {
    let bios = guest_file("bios-256k.bin");
    let fixed = ["-seed", "1", "-rtc", "base=2026-01-01T00:00:00", "-nographic", "-nodefaults", "-serial", "null"];
    let fixed: Vec<String> = fixed.iter().map(|a| (*a).to_owned()).collect();
    let asked = ["-kernel", text(kernel), "-initrd", initrd, "-append", "a=1 b"];
    for firmware in [&[][..], &["-bios", &bios]] {
        let mut guest = Guest::start(&fixed, &[&asked[..], firmware].concat());
        guest.expect("end\n", LIMIT);
        let said = guest.console.lines().last().unwrap_or_default().to_owned();
        assert!(said.ends_with(expected), "{firmware:?}: {said:?} should end in {expected:?}");
    }
    std::fs::remove_file(kernel).expect("a scratch file");
}

fn says_its_modules(name: &str, image: &[u8]) {
    let modules: [PathBuf; 2] =
        [("one", b"first".as_slice()), ("two", b"2nd")].map(|(m, bytes)| scratch(&format!("{name}-{m}"), bytes));
    let [one, two] = [text(&modules[0]), text(&modules[1])];
    let kernel = scratch(name, image);
    let expected = format!("{} a=1 b|{one} with,comma=first|{two}=2nd|mend", text(&kernel));
    says(&kernel, &format!("{one} with,,comma,{two}"), &expected);
    for module in modules {
        std::fs::remove_file(module).expect("a scratch file");
    }
}

#[test]
fn a_raw_multiboot_kernel_gets_its_modules() {
    const ADDRESSES: u32 = 1 << 16;
    says_its_modules("raw.multiboot", &multiboot_image(ADDRESSES | 3));
}

#[test]
fn a_multiboot_kernel_in_an_elf_file_gets_its_modules() {
    says_its_modules("elf.multiboot", &elf(&multiboot_image(3), &[]));
}

#[test]
fn a_pvh_kernel_gets_its_initrd() {
    let mut image = vec![0; (CODE - BASE) as usize];
    image.extend(pvh_code().expect("code that assembles"));
    let kernel = scratch("kernel.pvh", &elf(&image, &pvh_note()));
    let initrd = scratch("kernel.pvh-initrd", b"the initrd");
    says(&kernel, text(&initrd), "a=1 b|the initrd|mend");
    std::fs::remove_file(initrd).expect("a scratch file");
}
