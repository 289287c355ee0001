//! What a debugger can do to the machine in an operator's hands.

use super::arch::{AllRegisters, REGISTERS_XML, RegisterNumber, TARGET_XML, X86};
use super::thread_of;
use crate::monitor;
use crate::run::Control;
use gdbstub::common::{Pid, Signal, Tid};
use gdbstub::target::ext::base::BaseOps;
use gdbstub::target::ext::base::multithread::{
    MultiThreadBase, MultiThreadResume, MultiThreadResumeOps, MultiThreadSchedulerLocking,
    MultiThreadSchedulerLockingOps, MultiThreadSingleStep, MultiThreadSingleStepOps,
};
use gdbstub::target::ext::base::single_register_access::{SingleRegisterAccess, SingleRegisterAccessOps};
use gdbstub::target::ext::breakpoints::BreakpointsOps;
use gdbstub::target::ext::extended_mode::{
    Args, AttachKind, CurrentActivePid, CurrentActivePidOps, ExtendedMode, ExtendedModeOps, ShouldTerminate,
};
use gdbstub::target::ext::monitor_cmd::{ConsoleOutput, MonitorCmd, MonitorCmdOps};
use gdbstub::target::ext::target_description_xml_override::{
    TargetDescriptionXmlOverride, TargetDescriptionXmlOverrideOps,
};
use gdbstub::target::ext::thread_extra_info::{ThreadExtraInfo, ThreadExtraInfoOps};
use gdbstub::target::{Target, TargetError, TargetResult};
use lockstep_cpu::state::Activity;
use lockstep_cpu::{REGISTERS, Register, Vcpu};
use lockstep_fabric::Cpu;
use std::convert::Infallible;

/// EFAULT: no memory is there. QEMU answers the same.
const NO_MEMORY: u8 = 14;
/// EINVAL.
const INVALID: u8 = 22;
/// EROFS: nothing reaches the guest now.
const CUT_OFF: u8 = 30;

fn errno<T>(number: u8) -> TargetResult<T, Control> {
    Err(TargetError::Errno(number))
}

/// The vCPU that a thread is.
fn cpu_of(tid: Tid) -> TargetResult<Cpu, Control> {
    u8::try_from(tid.get() - 1).map(Cpu).map_err(|_| TargetError::Errno(INVALID))
}

/// A value's bytes as they go over the line.
fn bytes_of(value: u128, register: &Register) -> Vec<u8> {
    value.to_le_bytes()[..register.width].to_vec()
}

fn value_of(bytes: &[u8]) -> Option<u128> {
    let mut whole = [0; 16];
    whole.get_mut(..bytes.len())?.copy_from_slice(bytes);
    Some(u128::from_le_bytes(whole))
}

impl Target for Control {
    type Arch = X86;
    type Error = Infallible;

    fn base_ops(&mut self) -> BaseOps<'_, X86, Infallible> {
        BaseOps::MultiThread(self)
    }

    fn use_fork_stop_reason(&self) -> bool {
        false
    }

    fn use_vfork_stop_reason(&self) -> bool {
        false
    }

    fn use_vforkdone_stop_reason(&self) -> bool {
        false
    }

    fn support_breakpoints(&mut self) -> Option<BreakpointsOps<'_, Self>> {
        Some(self)
    }

    fn support_monitor_cmd(&mut self) -> Option<MonitorCmdOps<'_, Self>> {
        Some(self)
    }

    fn support_extended_mode(&mut self) -> Option<ExtendedModeOps<'_, Self>> {
        Some(self)
    }

    fn support_target_description_xml_override(&mut self) -> Option<TargetDescriptionXmlOverrideOps<'_, Self>> {
        Some(self)
    }
}

impl MultiThreadBase for Control {
    fn read_registers(&mut self, regs: &mut AllRegisters, tid: Tid) -> TargetResult<(), Self> {
        let cpu = cpu_of(tid)?;
        regs.0.clear();
        for register in REGISTERS {
            let Some(value) = self.board.machine.register(cpu, register) else { return errno(INVALID) };
            regs.0.extend(bytes_of(value, register));
        }
        Ok(())
    }

    /// Of a whole set, only what differs enters.
    fn write_registers(&mut self, regs: &AllRegisters, tid: Tid) -> TargetResult<(), Self> {
        let cpu = cpu_of(tid)?;
        let mut rest = regs.0.as_slice();
        for register in REGISTERS {
            let Some((bytes, more)) = rest.split_at_checked(register.width) else { break };
            rest = more;
            let wanted = value_of(bytes);
            if let Some(value) = wanted.filter(|_| wanted != self.board.machine.register(cpu, register))
                && !self.write_register(cpu, register, value)
            {
                return errno(CUT_OFF);
            }
        }
        Ok(())
    }

    fn support_single_register_access(&mut self) -> Option<SingleRegisterAccessOps<'_, Tid, Self>> {
        Some(self)
    }

    fn read_addrs(&mut self, start_addr: u64, data: &mut [u8], tid: Tid) -> TargetResult<usize, Self> {
        match self.board.machine.read_linear(cpu_of(tid)?, start_addr, data) {
            0 if !data.is_empty() => errno(NO_MEMORY),
            count => Ok(count),
        }
    }

    fn write_addrs(&mut self, start_addr: u64, data: &[u8], tid: Tid) -> TargetResult<(), Self> {
        let writes = self.board.machine.writes_linear(cpu_of(tid)?, start_addr, data);
        for write in writes.ok_or(TargetError::Errno(NO_MEMORY))? {
            self.enter(write).map_err(|_| TargetError::Errno(CUT_OFF))?;
        }
        Ok(())
    }

    fn list_active_threads(&mut self, thread_is_active: &mut dyn FnMut(Tid)) -> Result<(), Infallible> {
        let threads = self.board.machine.cpus.iter().map(|cpu| thread_of(Cpu(cpu.index)));
        threads.filter_map(Tid::new).for_each(thread_is_active);
        Ok(())
    }

    fn support_resume(&mut self) -> Option<MultiThreadResumeOps<'_, Self>> {
        Some(self)
    }

    fn support_thread_extra_info(&mut self) -> Option<ThreadExtraInfoOps<'_, Self>> {
        Some(self)
    }
}

impl SingleRegisterAccess<Tid> for Control {
    fn read_register(&mut self, tid: Tid, reg: RegisterNumber, buf: &mut [u8]) -> TargetResult<usize, Self> {
        let RegisterNumber(register) = reg;
        let Some(value) = self.board.machine.register(cpu_of(tid)?, register) else { return errno(INVALID) };
        let Some(into) = buf.get_mut(..register.width) else { return errno(INVALID) };
        into.copy_from_slice(&bytes_of(value, register));
        Ok(register.width)
    }

    fn write_register(&mut self, tid: Tid, reg: RegisterNumber, val: &[u8]) -> TargetResult<(), Self> {
        let RegisterNumber(register) = reg;
        let Some(value) = value_of(val).filter(|_| val.len() == register.width) else { return errno(INVALID) };
        let cpu = cpu_of(tid)?;
        if Control::write_register(self, cpu, register, value) { Ok(()) } else { errno(CUT_OFF) }
    }
}

impl MultiThreadResume for Control {
    fn resume(&mut self) -> Result<(), Infallible> {
        self.run_for_debugger();
        Ok(())
    }

    fn clear_resume_actions(&mut self) -> Result<(), Infallible> {
        self.debugger.steps.clear();
        Ok(())
    }

    // There are no signals in a machine.
    fn set_resume_action_continue(&mut self, _: Tid, _: Option<Signal>) -> Result<(), Infallible> {
        Ok(())
    }

    fn support_single_step(&mut self) -> Option<MultiThreadSingleStepOps<'_, Self>> {
        Some(self)
    }

    fn support_scheduler_locking(&mut self) -> Option<MultiThreadSchedulerLockingOps<'_, Self>> {
        Some(self)
    }
}

impl MultiThreadSingleStep for Control {
    fn set_resume_action_step(&mut self, tid: Tid, _: Option<Signal>) -> Result<(), Infallible> {
        self.debugger.steps.extend(cpu_of(tid).map(|cpu| cpu.0).ok());
        Ok(())
    }
}

impl MultiThreadSchedulerLocking for Control {
    // The others take their turns all the same: see the module.
    fn set_resume_action_scheduler_lock(&mut self) -> Result<(), Infallible> {
        Ok(())
    }
}

fn activity(cpu: &Vcpu) -> &'static str {
    match cpu.activity {
        Activity::Running => "running",
        Activity::Halted | Activity::WaitForStartup | Activity::Shutdown => "halted ",
    }
}

impl ThreadExtraInfo for Control {
    /// In QEMU's words.
    fn thread_extra_info(&self, tid: Tid, buf: &mut [u8]) -> Result<usize, Infallible> {
        let cpus = &self.board.machine.cpus;
        let cpu = cpus.iter().find(|cpu| thread_of(Cpu(cpu.index)) == tid.get());
        let text = cpu.map_or_else(String::new, |cpu| format!("CPU#{} [{}]", cpu.index, activity(cpu)));
        let len = text.len().min(buf.len());
        buf[..len].copy_from_slice(&text.as_bytes()[..len]);
        Ok(len)
    }
}

impl MonitorCmd for Control {
    fn handle_monitor_cmd(&mut self, cmd: &[u8], mut out: ConsoleOutput<'_>) -> Result<(), Infallible> {
        let mut desk = std::mem::take(&mut self.debugger.desk);
        let says = monitor::carry_out(&String::from_utf8_lossy(cmd), self, &mut desk);
        self.debugger.desk = desk;
        if !says.is_empty() {
            out.write_raw(says.trim_end_matches('\n').as_bytes());
            out.write_raw(b"\n");
        }
        Ok(())
    }
}

/// The machine is the one process, and it is there already.
impl ExtendedMode for Control {
    fn run(&mut self, _: Option<&[u8]>, _: Args<'_, '_>) -> TargetResult<Pid, Self> {
        errno(INVALID)
    }

    fn attach(&mut self, _: Pid) -> TargetResult<(), Self> {
        Ok(())
    }

    fn query_if_attached(&mut self, _: Pid) -> TargetResult<AttachKind, Self> {
        Ok(AttachKind::Attach)
    }

    // The link ends the run once it has answered.
    fn kill(&mut self, _: Option<Pid>) -> TargetResult<ShouldTerminate, Self> {
        Ok(ShouldTerminate::Yes)
    }

    fn restart(&mut self) -> Result<(), Infallible> {
        // In a replay, nothing reaches the guest.
        let _ = self.reset();
        Ok(())
    }

    fn support_current_active_pid(&mut self) -> Option<CurrentActivePidOps<'_, Self>> {
        Some(self)
    }
}

impl CurrentActivePid for Control {
    fn current_active_pid(&mut self) -> Result<Pid, Infallible> {
        Ok(Pid::MIN)
    }
}

impl TargetDescriptionXmlOverride for Control {
    fn target_description_xml(
        &self,
        annex: &[u8],
        offset: u64,
        length: usize,
        buf: &mut [u8],
    ) -> TargetResult<usize, Self> {
        let text = match annex {
            b"target.xml" => TARGET_XML,
            b"i386-64bit.xml" => REGISTERS_XML,
            _ => return errno(0),
        };
        let start = usize::try_from(offset).unwrap_or(usize::MAX).min(text.len());
        let piece = &text.as_bytes()[start..];
        let len = piece.len().min(length).min(buf.len());
        buf[..len].copy_from_slice(&piece[..len]);
        Ok(len)
    }
}
