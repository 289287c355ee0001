//! Runs one instruction on the host's CPU.
//!
//! The instruction lies alone in a sea of INT3, so that it ends in a signal whatever it does: a breakpoint where it goes
//! on, or its own exception. The kernel's signal frame then holds every register as the instruction left it, with the
//! exception's vector and error code; the handler copies them out and lets the thread return to where it came from.
#![allow(unsafe_code)]

use super::state::{CODE, CODE_LEN, Case, DATA, DATA_LEN, DATA_SELECTOR, FX_LEN, Mode, Outcome, Registers, Stop};
use std::cell::UnsafeCell;
use std::io;
use std::ptr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard};

/// Page of the [`Slots`]: below 2 GiB, so that an instruction reaches them by absolute address with no register to spare.
const SLOTS: usize = 0x7700_0000;
const PAGE: usize = 0x1000;
const SIGNAL_STACK_LEN: usize = 0x1_0000;
const SIGNAL_STACK: usize = SLOTS + PAGE;
/// Selector of the harness's own 64-bit code.
const HOME_SELECTOR: u64 = 0x33;
const INT3: u8 = 0xcc;
const BREAKPOINT: u64 = 3;
const PAGE_FAULT: u64 = 14;

/// What the assembly below loads and stores. It knows the offsets.
#[repr(C, align(64))]
struct Slots {
    /// 0: x87, MMX and SSE registers to load.
    fx: [u8; FX_LEN],
    /// 512: general registers to load.
    gpr: [u64; 16],
    /// 640: RFLAGS to load.
    flags: u64,
    /// 648: far pointer to the instruction: offset and selector.
    target_offset: u32,
    target_selector: u32,
    /// 656: DS and ES to load.
    ds: u64,
    es: u64,
    /// 672: the harness's stack pointer while it is away.
    home_stack: u64,
    /// 680: DS and ES as the instruction left them.
    ds_after: u64,
    es_after: u64,
    /// 696: MXCSR of the harness.
    home_mxcsr: u64,
}

const _: () = {
    assert!(core::mem::offset_of!(Slots, gpr) == 0x200);
    assert!(core::mem::offset_of!(Slots, flags) == 0x280);
    assert!(core::mem::offset_of!(Slots, target_offset) == 0x288);
    assert!(core::mem::offset_of!(Slots, ds) == 0x290);
    assert!(core::mem::offset_of!(Slots, home_stack) == 0x2a0);
    assert!(core::mem::offset_of!(Slots, ds_after) == 0x2a8);
    assert!(core::mem::offset_of!(Slots, home_mxcsr) == 0x2b8);
};

core::arch::global_asm!(
    // Loads the state in the slots and jumps to the instruction. Returns by lockstep_host_return.
    ".globl lockstep_host_enter",
    "lockstep_host_enter:",
    "push rbx",
    "push rbp",
    "push r12",
    "push r13",
    "push r14",
    "push r15",
    "mov [0x770002a0], rsp",
    "stmxcsr [0x770002b8]",
    "fxrstor64 [0x77000000]",
    "mov eax, [0x77000290]",
    "mov ds, eax",
    "mov eax, [0x77000298]",
    "mov es, eax",
    "push qword ptr [0x77000280]",
    "popfq",
    "mov rax, [0x77000200]",
    "mov rcx, [0x77000208]",
    "mov rdx, [0x77000210]",
    "mov rbx, [0x77000218]",
    "mov rbp, [0x77000228]",
    "mov rsi, [0x77000230]",
    "mov rdi, [0x77000238]",
    "mov r8, [0x77000240]",
    "mov r9, [0x77000248]",
    "mov r10, [0x77000250]",
    "mov r11, [0x77000258]",
    "mov r12, [0x77000260]",
    "mov r13, [0x77000268]",
    "mov r14, [0x77000270]",
    "mov r15, [0x77000278]",
    "mov rsp, [0x77000220]",
    "jmp fword ptr [0x77000288]",
    // Where the signal handler sends the thread, on the harness's stack: puts back what the harness's code relies on.
    ".globl lockstep_host_return",
    "lockstep_host_return:",
    "push 0x202",
    "popfq",
    "mov [0x770002a8], ds",
    "mov [0x770002b0], es",
    "xor eax, eax",
    "mov ds, eax",
    "mov es, eax",
    "fninit",
    "ldmxcsr [0x770002b8]",
    "pop r15",
    "pop r14",
    "pop r13",
    "pop r12",
    "pop rbp",
    "pop rbx",
    "ret",
    // The kernel enters handlers with the interrupted code's AC, NT and ID; compiled code must not see AC.
    ".globl lockstep_host_signal",
    "lockstep_host_signal:",
    "push 0x202",
    "popfq",
    "jmp {handler}",
    handler = sym on_signal,
);

unsafe extern "C" {
    fn lockstep_host_enter();
    fn lockstep_host_return();
    fn lockstep_host_signal();
}

/// What the signal handler saw.
#[derive(Clone, Copy)]
struct Caught {
    gpr: [u64; 16],
    ip: u64,
    flags: u64,
    cs: u16,
    ss: u16,
    fx: [u8; FX_LEN],
    vector: u64,
    error: u64,
    address: u64,
}

struct CaughtCell(UnsafeCell<Caught>);

// SAFETY: only the thread between `lockstep_host_enter` and `lockstep_host_return` is written for (AWAY says so), and only
// that thread reads, after it has returned; HOST keeps it alone.
unsafe impl Sync for CaughtCell {}

static CAUGHT: CaughtCell = CaughtCell(UnsafeCell::new(Caught {
    gpr: [0; 16],
    ip: 0,
    flags: 0,
    cs: 0,
    ss: 0,
    fx: [0; FX_LEN],
    vector: 0,
    error: 0,
    address: 0,
}));

/// An instruction under test is running.
static AWAY: AtomicBool = AtomicBool::new(false);
/// Signal handlers and the fixed addresses belong to the whole process: one host at a time.
static HOST: Mutex<()> = Mutex::new(());

const SIGNALS: [libc::c_int; 5] = [libc::SIGTRAP, libc::SIGSEGV, libc::SIGBUS, libc::SIGILL, libc::SIGFPE];

/// Where `gregs` has the general registers, in the encoding's order.
const GREGS: [libc::c_int; 16] = [
    libc::REG_RAX,
    libc::REG_RCX,
    libc::REG_RDX,
    libc::REG_RBX,
    libc::REG_RSP,
    libc::REG_RBP,
    libc::REG_RSI,
    libc::REG_RDI,
    libc::REG_R8,
    libc::REG_R9,
    libc::REG_R10,
    libc::REG_R11,
    libc::REG_R12,
    libc::REG_R13,
    libc::REG_R14,
    libc::REG_R15,
];

extern "C" fn on_signal(signal: libc::c_int, _: *mut libc::siginfo_t, context: *mut libc::c_void) {
    if !AWAY.swap(false, Ordering::Relaxed) {
        // Not the instruction under test: the next time it happens it shall kill the process, as it would have.
        // SAFETY: SIG_DFL is a valid disposition, and signal() may be called in a handler.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
        return;
    }
    // SAFETY: the kernel passes a ucontext_t that is the handler's alone until it returns (SA_SIGINFO), and on x86-64 its
    // fpregs points at an FXSAVE image within the frame. CAUGHT is only read after the thread has come home. The slots are
    // mapped as long as an instruction runs.
    unsafe {
        let context = &mut *context.cast::<libc::ucontext_t>();
        let machine = &mut context.uc_mcontext;
        let registers = &mut machine.gregs;
        let caught = &mut *CAUGHT.0.get();
        for (to, from) in caught.gpr.iter_mut().zip(GREGS) {
            *to = registers[from as usize] as u64;
        }
        caught.ip = registers[libc::REG_RIP as usize] as u64;
        caught.flags = registers[libc::REG_EFL as usize] as u64;
        caught.vector = registers[libc::REG_TRAPNO as usize] as u64;
        caught.error = registers[libc::REG_ERR as usize] as u64;
        caught.address = registers[libc::REG_CR2 as usize] as u64;
        caught.fx = *machine.fpregs.cast::<[u8; FX_LEN]>();
        registers[libc::REG_RIP as usize] = lockstep_host_return as *const () as usize as i64;
        registers[libc::REG_RSP as usize] = (*slots()).home_stack as i64;
        registers[libc::REG_EFL as usize] = 0x202;
        let segments = registers[libc::REG_CSGSFS as usize] as u64;
        (caught.cs, caught.ss) = (segments as u16, (segments >> 48) as u16);
        registers[libc::REG_CSGSFS as usize] = (HOME_SELECTOR | u64::from(DATA_SELECTOR) << 48) as i64;
    }
}

fn slots() -> *mut Slots {
    ptr::with_exposed_provenance_mut(SLOTS)
}

/// The host's CPU, ready to be tried.
pub struct Host {
    _alone: MutexGuard<'static, ()>,
    former: Vec<(libc::c_int, libc::sigaction)>,
    former_stack: libc::stack_t,
    mapped: Vec<(usize, usize)>,
    fs_base: u64,
}

impl Host {
    /// Maps code and data at their addresses and takes over the signals. Fails if the host does not allow it.
    pub fn new() -> io::Result<Self> {
        let alone = HOST.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        // SAFETY: both are plain C structs for which zeroes are valid.
        let former_stack = unsafe { core::mem::zeroed() };
        let mut host = Self { _alone: alone, former: Vec::new(), former_stack, mapped: Vec::new(), fs_base: 0 };
        let rw = libc::PROT_READ | libc::PROT_WRITE;
        // Room around the data that nobody else may be given.
        host.map(DATA as usize - PAGE, DATA_LEN + 2 * PAGE, libc::PROT_NONE)?;
        host.map(CODE as usize, CODE_LEN, rw | libc::PROT_EXEC)?;
        host.map(SLOTS, PAGE + SIGNAL_STACK_LEN, rw)?;
        host.open_data()?;
        host.fs_base = fs_base()?;
        host.take_signals()?;
        // SAFETY: the code was mapped above, readable and writable, and nothing else refers to it.
        unsafe { ptr::write_bytes(ptr::with_exposed_provenance_mut::<u8>(CODE as usize), INT3, CODE_LEN) };
        Ok(host)
    }

    /// Base of FS, the one segment that has one.
    pub fn fs_base(&self) -> u64 {
        self.fs_base
    }

    fn map(&mut self, at: usize, len: usize, protection: libc::c_int) -> io::Result<()> {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED_NOREPLACE | libc::MAP_POPULATE;
        // SAFETY: MAP_FIXED_NOREPLACE never replaces a mapping that exists, so no memory in use changes.
        let got = unsafe { libc::mmap(ptr::without_provenance_mut(at), len, protection, flags, -1, 0) };
        if got == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        self.mapped.push((got.expose_provenance(), len));
        if got.addr() != at {
            return Err(io::Error::from(io::ErrorKind::AddrInUse));
        }
        Ok(())
    }

    fn open_data(&self) -> io::Result<()> {
        let data = ptr::with_exposed_provenance_mut::<u8>(DATA as usize);
        // SAFETY: the pages were mapped by `map` and are this object's alone.
        if unsafe { libc::mprotect(data.cast(), DATA_LEN, libc::PROT_READ | libc::PROT_WRITE) } != 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: as above, and writable now. Touching it spares the first cases a page fault in the kernel.
        unsafe { ptr::write_bytes(data, 0, DATA_LEN) };
        Ok(())
    }

    fn take_signals(&mut self) -> io::Result<()> {
        let stack = libc::stack_t {
            ss_sp: ptr::with_exposed_provenance_mut(SIGNAL_STACK),
            ss_flags: 0,
            ss_size: SIGNAL_STACK_LEN,
        };
        // SAFETY: the stack lies in memory mapped above, which outlives its use: `drop` puts the former one back first.
        if unsafe { libc::sigaltstack(&raw const stack, &raw mut self.former_stack) } != 0 {
            return Err(io::Error::last_os_error());
        }
        for signal in SIGNALS {
            // SAFETY: zeroes are a valid sigaction (no flags, empty mask).
            let (mut action, mut former): (libc::sigaction, libc::sigaction) = unsafe { core::mem::zeroed() };
            action.sa_sigaction = lockstep_host_signal as *const () as usize;
            action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
            // SAFETY: the handler has the signature that SA_SIGINFO asks for, and touches only what a handler may.
            if unsafe { libc::sigaction(signal, &raw const action, &raw mut former) } != 0 {
                return Err(io::Error::last_os_error());
            }
            self.former.push((signal, former));
        }
        Ok(())
    }

    /// Runs a case's instruction. The generator answers for it that the instruction does nothing to the process beyond
    /// the data at [`DATA`], registers and a synchronous exception: no system call, no endless loop, no access to memory
    /// that a random 64-bit address hits.
    pub fn run(&mut self, case: &Case) -> Outcome {
        let at = case.before.ip.saturating_sub(CODE) as usize;
        assert!(at + case.bytes.len() < CODE_LEN, "the instruction lies within the code");
        let before = &case.before;
        let slots = slots();
        // SAFETY: data, code and slots are mapped for this object alone, and the instruction fits the code, as asserted. Every
        // way out of it is a signal taken over: what does not fault goes on at an INT3 or at memory that cannot be executed.
        // The signal's frame is on the alternate stack. lockstep_host_enter comes back through lockstep_host_return, which
        // restores the stack pointer, the callee-saved registers, the flags, and the x87 and MXCSR control that Rust needs.
        let (caught, data) = unsafe {
            let code = ptr::with_exposed_provenance_mut::<u8>(CODE as usize);
            let data = std::slice::from_raw_parts_mut(ptr::with_exposed_provenance_mut::<u8>(DATA as usize), DATA_LEN);
            case.data(data);
            ptr::copy_nonoverlapping(case.bytes.as_ptr(), code.add(at), case.bytes.len());
            (*slots).fx = before.fx_image();
            (*slots).gpr = before.gpr;
            (*slots).flags = before.flags;
            (*slots).ds = before.ds.into();
            (*slots).es = before.es.into();
            (*slots).target_offset = before.ip as u32;
            (*slots).target_selector = case.mode.selector().into();
            AWAY.store(true, Ordering::SeqCst);
            lockstep_host_enter();
            ptr::write_bytes(code.add(at), INT3, case.bytes.len());
            (*CAUGHT.0.get(), data.to_vec())
        };
        // SAFETY: the slots are mapped, and lockstep_host_return has filled these.
        let (ds, es) = unsafe { ((*slots).ds_after as u16, (*slots).es_after as u16) };
        let Caught { gpr, ip, flags, cs, ss, .. } = caught;
        let mut after = Registers { gpr, ip, flags, cs, ss, ds, es, ..Registers::default() };
        after.set_fx_image(&caught.fx);
        let stop = stop(case, &caught, &mut after);
        Outcome { stop, after, data }
    }
}

/// Tells the end of the run from what the instruction itself did.
fn stop(case: &Case, caught: &Caught, after: &mut Registers) -> Stop {
    let is_int3 = case.bytes.ends_with(&[INT3]) || case.bytes.ends_with(&[0xcd, BREAKPOINT as u8]);
    let starts = caught.ip == case.before.ip;
    if caught.vector == BREAKPOINT && !(is_int3 && caught.ip == case.next()) {
        after.ip = caught.ip - 1;
        return Stop::Retired;
    }
    if caught.vector == PAGE_FAULT && caught.address == caught.ip && !starts {
        return Stop::Retired;
    }
    let page_fault = caught.vector == PAGE_FAULT;
    Stop::Exception {
        vector: caught.vector as u8,
        error: caught.error as u32,
        address: if page_fault { caught.address } else { 0 },
    }
}

fn fs_base() -> io::Result<u64> {
    const ARCH_GET_FS: libc::c_int = 0x1003;
    let mut base = 0u64;
    // SAFETY: ARCH_GET_FS writes one word, here.
    if unsafe { libc::syscall(libc::SYS_arch_prctl, ARCH_GET_FS, &raw mut base) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(base)
}

impl Drop for Host {
    fn drop(&mut self) {
        for (signal, former) in self.former.drain(..) {
            // SAFETY: `former` is what the kernel gave for this signal.
            unsafe { libc::sigaction(signal, &raw const former, ptr::null_mut()) };
        }
        // SAFETY: `former_stack` is what the kernel gave, or zero if it was never asked, which is then no stack of ours.
        unsafe { libc::sigaltstack(&raw const self.former_stack, ptr::null_mut()) };
        for (at, len) in self.mapped.drain(..) {
            // SAFETY: mapped by this object, and nothing refers to it any more.
            unsafe { libc::munmap(ptr::with_exposed_provenance_mut(at), len) };
        }
    }
}

/// Whether the host runs 32-bit code segments under a 64-bit kernel.
pub fn runs(host: &mut Host, mode: Mode) -> bool {
    let nop = Case { mode, bytes: vec![0x90], before: Registers::default(), pokes: Vec::new() };
    let outcome = host.run(&nop);
    outcome.stop == Stop::Retired && outcome.after.ip == nop.next()
}
