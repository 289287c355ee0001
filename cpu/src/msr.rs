//! Model-specific registers (SDM volume 4; AMD64 manual volume 2, appendix A). What is not here is #GP(0).

use crate::cpuid::{ExtendedEdx, Leaf1Edx, Leaf7Ebx, Leaf7Ecx, Leaf7Edx, Vendor};
use crate::fault::Fault;
use crate::state::{Cr0, Efer, Vcpu, seg};
use lockstep_fabric::Bus;

const IA32_P5_MC_ADDR: u32 = 0;
const IA32_P5_MC_TYPE: u32 = 1;
const IA32_TSC: u32 = 0x10;
const IA32_PLATFORM_ID: u32 = 0x17;
const IA32_APIC_BASE: u32 = 0x1b;
const IA32_TSC_ADJUST: u32 = 0x3b;
const IA32_SPEC_CTRL: u32 = 0x48;
const IA32_PRED_CMD: u32 = 0x49;
const IA32_BIOS_UPDT_TRIG: u32 = 0x79;
const IA32_BIOS_SIGN_ID: u32 = 0x8b;
const IA32_MTRRCAP: u32 = 0xfe;
const IA32_ARCH_CAPABILITIES: u32 = 0x10a;
const IA32_SYSENTER_CS: u32 = 0x174;
const IA32_SYSENTER_ESP: u32 = 0x175;
const IA32_SYSENTER_EIP: u32 = 0x176;
const IA32_MCG_CAP: u32 = 0x179;
const IA32_MCG_STATUS: u32 = 0x17a;
const IA32_MCG_CTL: u32 = 0x17b;
const IA32_MISC_ENABLE: u32 = 0x1a0;
const IA32_MTRR_PHYSBASE0: u32 = 0x200;
const IA32_MTRR_LAST_VARIABLE: u32 = 0x20f;
const IA32_PAT: u32 = 0x277;
const IA32_MTRR_DEF_TYPE: u32 = 0x2ff;
const IA32_MC0_CTL: u32 = 0x400;
const MC_LAST: u32 = IA32_MC0_CTL + 4 * MC_BANKS - 1;
const IA32_TSC_DEADLINE: u32 = 0x6e0;
const X2APIC_FIRST: u32 = 0x800;
const X2APIC_LAST: u32 = 0x8ff;
const IA32_EFER: u32 = 0xc000_0080;
const IA32_STAR: u32 = 0xc000_0081;
const IA32_LSTAR: u32 = 0xc000_0082;
const IA32_CSTAR: u32 = 0xc000_0083;
const IA32_FMASK: u32 = 0xc000_0084;
const IA32_FS_BASE: u32 = 0xc000_0100;
const IA32_GS_BASE: u32 = 0xc000_0101;
const IA32_KERNEL_GS_BASE: u32 = 0xc000_0102;
const IA32_TSC_AUX: u32 = 0xc000_0103;
const AMD_PERF_FIRST: u32 = 0xc001_0000;
const AMD_PERF_LAST: u32 = 0xc001_0007;
const AMD_SYSCFG: u32 = 0xc001_0010;
const AMD_HWCR: u32 = 0xc001_0015;
const AMD_NB_CFG: u32 = 0xc001_001f;
const AMD_INT_PENDING: u32 = 0xc001_0055;
const AMD_DE_CFG: u32 = 0xc001_1029;

/// Eight variable ranges, fixed ranges, write-combining.
const MTRRCAP: u64 = 8 | 1 << 8 | 1 << 10;
const MC_BANKS: u32 = 10;
/// Ten banks, IA32_MCG_CTL present.
const MCG_CAP: u64 = MC_BANKS as u64 | 1 << 8;
/// What QEMU's processors say of their microcode.
const MICROCODE: u64 = 0x1_0000_0000;
const MICROCODE_AMD: u64 = 0x0100_0065;
/// IBRS; STIBP, which may be set where there is no STIBP too, and does nothing.
const SPEC_CTRL: u64 = 1 << 0 | 1 << 1;
const PRED_CMD_IBPB: u64 = 1 << 0;
/// Nothing is executed speculatively, so what leaks from speculation does not leak here. A guest that knows leaves its
/// workarounds (retpolines above all) alone. RDCL_NO, IBRS_ALL, SKIP_L1DFL_VMENTRY, SSB_NO, MDS_NO, IF_PSCHANGE_MC_NO, TAA_NO,
/// SBDR_SSDP_NO, FBSDP_NO, PSDP_NO, BHI_NO, PBRSB_NO, GDS_NO, RFDS_NO, ITS_NO.
const ARCH_CAPABILITIES: u64 = bits(&[0, 1, 3, 4, 5, 6, 8, 13, 14, 15, 20, 24, 26, 27, 62]);
/// DE_CFG: LFENCE is serializing, as it is here.
const LFENCE_SERIALIZING: u64 = 1 << 1;

const fn bits(numbers: &[u32]) -> u64 {
    let mut bits = 0;
    let mut at = 0;
    while at < numbers.len() {
        bits |= 1 << numbers[at];
        at += 1;
    }
    bits
}

fn fixed_mtrr(msr: u32) -> Option<usize> {
    match msr {
        0x250 => Some(0),
        0x258 | 0x259 => Some((msr - 0x258 + 1) as usize),
        0x268..=0x26f => Some((msr - 0x268 + 3) as usize),
        _ => None,
    }
}

/// Whether each byte of `value` is a memory type; PAT knows one more (UC-).
fn memory_types(value: u64, pat: bool) -> bool {
    value.to_le_bytes().iter().all(|t| matches!(t, 0 | 1 | 4..=6) || pat && *t == 7)
}

impl Vcpu {
    fn amd(&self) -> bool {
        self.model.vendor == Vendor::Amd
    }

    fn long_mode_exists(&self) -> bool {
        self.model.features.extended_edx.contains(ExtendedEdx::LM)
    }

    /// #GP(0) for a register whose feature is not announced.
    fn require(&self, announced: bool) -> Result<(), Fault> {
        if announced { Ok(()) } else { Err(Fault::GP0) }
    }

    fn require_msr(&self, msr: u32) -> Result<(), Fault> {
        let f = &self.model.features;
        let basic = f.leaf1_edx;
        let announced = match msr {
            IA32_TSC_ADJUST => f.leaf7_ebx.contains(Leaf7Ebx::TSC_ADJUST),
            IA32_TSC => basic.contains(Leaf1Edx::TSC),
            IA32_SPEC_CTRL | IA32_PRED_CMD => f.leaf7_edx.contains(Leaf7Edx::SPEC_CTRL),
            IA32_ARCH_CAPABILITIES => f.leaf7_edx.contains(Leaf7Edx::ARCH_CAPABILITIES),
            IA32_SYSENTER_CS..=IA32_SYSENTER_EIP => basic.contains(Leaf1Edx::SEP),
            IA32_MCG_CAP..=IA32_MCG_CTL | IA32_MC0_CTL..=MC_LAST => basic.contains(Leaf1Edx::MCA),
            IA32_PAT => basic.contains(Leaf1Edx::PAT),
            IA32_MTRRCAP | IA32_MTRR_PHYSBASE0..=IA32_MTRR_LAST_VARIABLE | IA32_MTRR_DEF_TYPE => {
                basic.contains(Leaf1Edx::MTRR)
            }
            IA32_STAR..=IA32_FMASK => f.extended_edx.contains(ExtendedEdx::SYSCALL),
            IA32_FS_BASE..=IA32_KERNEL_GS_BASE => self.long_mode_exists(),
            IA32_TSC_AUX => f.extended_edx.contains(ExtendedEdx::RDTSCP) || f.leaf7_ecx.contains(Leaf7Ecx::RDPID),
            AMD_PERF_FIRST..=AMD_PERF_LAST | AMD_SYSCFG | AMD_HWCR | AMD_NB_CFG | AMD_INT_PENDING | AMD_DE_CFG => {
                self.amd()
            }
            _ => true,
        };
        self.require(announced)
    }

    /// RDMSR.
    pub(crate) fn read_msr(&mut self, bus: &mut Bus, msr: u32) -> Result<u64, Fault> {
        self.require_msr(msr)?;
        Ok(match msr {
            IA32_P5_MC_ADDR | IA32_P5_MC_TYPE | IA32_PLATFORM_ID | AMD_NB_CFG | AMD_INT_PENDING => 0,
            IA32_TSC => self.tsc(&bus.clock),
            IA32_APIC_BASE | IA32_TSC_DEADLINE | X2APIC_FIRST..=X2APIC_LAST => self.read_private(bus, msr.into())?,
            IA32_TSC_ADJUST => self.msrs.tsc_adjust,
            IA32_SPEC_CTRL => self.msrs.spec_ctrl,
            IA32_ARCH_CAPABILITIES => ARCH_CAPABILITIES,
            IA32_BIOS_SIGN_ID if self.amd() => MICROCODE_AMD,
            IA32_BIOS_SIGN_ID => MICROCODE,
            IA32_MTRRCAP => MTRRCAP,
            IA32_SYSENTER_CS => self.msrs.sysenter_cs,
            IA32_SYSENTER_ESP => self.msrs.sysenter_esp,
            IA32_SYSENTER_EIP => self.msrs.sysenter_eip,
            IA32_MCG_CAP => MCG_CAP,
            IA32_MCG_STATUS => self.msrs.mcg_status,
            IA32_MCG_CTL => self.msrs.mcg_ctl,
            IA32_MISC_ENABLE => self.msrs.misc_enable,
            IA32_MTRR_PHYSBASE0..=IA32_MTRR_LAST_VARIABLE => {
                self.msrs.mtrr_variable[(msr - IA32_MTRR_PHYSBASE0) as usize & 15]
            }
            IA32_PAT => self.msrs.pat,
            IA32_MTRR_DEF_TYPE => self.msrs.mtrr_def_type,
            IA32_MC0_CTL..=MC_LAST => {
                self.msrs.mc_banks.get((msr - IA32_MC0_CTL) as usize).copied().unwrap_or_default()
            }
            IA32_EFER => self.efer.bits(),
            IA32_STAR => self.msrs.star,
            IA32_LSTAR => self.msrs.lstar,
            IA32_CSTAR => self.msrs.cstar,
            IA32_FMASK => self.msrs.fmask,
            IA32_FS_BASE => self.seg[seg::FS].base,
            IA32_GS_BASE => self.seg[seg::GS].base,
            IA32_KERNEL_GS_BASE => self.msrs.kernel_gs_base,
            IA32_TSC_AUX => self.msrs.tsc_aux,
            // There are no counters: what is written is not there afterwards, and that is how kernels find out.
            AMD_PERF_FIRST..=AMD_PERF_LAST => 0,
            AMD_SYSCFG => self.msrs.amd_syscfg,
            AMD_HWCR => self.msrs.amd_hwcr,
            AMD_DE_CFG => LFENCE_SERIALIZING,
            _ => match fixed_mtrr(msr) {
                Some(i) => self.msrs.mtrr_fixed[i],
                None => return Err(Fault::GP0),
            },
        })
    }

    /// WRMSR.
    pub(crate) fn write_msr(&mut self, bus: &mut Bus, msr: u32, value: u64) -> Result<(), Fault> {
        self.require_msr(msr)?;
        match msr {
            // Written for their effect on hardware that is not there.
            IA32_P5_MC_ADDR | IA32_P5_MC_TYPE | IA32_BIOS_UPDT_TRIG | IA32_BIOS_SIGN_ID => {}
            AMD_NB_CFG | AMD_INT_PENDING | AMD_DE_CFG | AMD_PERF_FIRST..=AMD_PERF_LAST => {}
            IA32_TSC => {
                let delta = value.wrapping_sub(self.tsc(&bus.clock));
                self.move_tsc(delta);
            }
            IA32_SPEC_CTRL => {
                self.require(value & !SPEC_CTRL == 0)?;
                self.msrs.spec_ctrl = value;
            }
            IA32_PRED_CMD => self.require(value & !PRED_CMD_IBPB == 0)?,
            IA32_TSC_ADJUST => self.move_tsc(value.wrapping_sub(self.msrs.tsc_adjust)),
            IA32_APIC_BASE | IA32_TSC_DEADLINE | X2APIC_FIRST..=X2APIC_LAST => {
                self.write_private(bus, msr.into(), value)?;
            }
            IA32_SYSENTER_CS => self.msrs.sysenter_cs = value & 0xffff,
            IA32_SYSENTER_ESP => self.msrs.sysenter_esp = self.canonical_value(value)?,
            IA32_SYSENTER_EIP => self.msrs.sysenter_eip = self.canonical_value(value)?,
            IA32_MCG_STATUS => self.msrs.mcg_status = value & 7,
            IA32_MCG_CTL if value == 0 || value == u64::MAX => self.msrs.mcg_ctl = value,
            IA32_MISC_ENABLE => self.msrs.misc_enable = value,
            IA32_MTRR_PHYSBASE0..=IA32_MTRR_LAST_VARIABLE => {
                let is_base = msr & 1 == 0;
                self.require(value >> self.model.physical_bits == 0)?;
                self.require(!is_base || value & 0xf00 == 0 && memory_types(value & 0xff, false))?;
                self.msrs.mtrr_variable[(msr - IA32_MTRR_PHYSBASE0) as usize & 15] = value;
            }
            IA32_PAT => {
                self.require(memory_types(value, true))?;
                self.msrs.pat = value;
            }
            IA32_MTRR_DEF_TYPE => {
                self.require(value & !0xcff == 0 && memory_types(value & 0xff, false))?;
                self.msrs.mtrr_def_type = value;
            }
            IA32_MC0_CTL..=MC_LAST => {
                // Status, address and misc can be cleared, and nothing else.
                let offset = msr - IA32_MC0_CTL;
                self.require(offset & 3 == 0 || value == 0)?;
                let banks = &mut self.msrs.mc_banks;
                banks.resize(4 * MC_BANKS as usize, 0);
                if let Some(register) = banks.get_mut(offset as usize) {
                    *register = value;
                }
            }
            IA32_EFER => self.set_efer(value)?,
            IA32_STAR => self.msrs.star = value,
            IA32_LSTAR => self.msrs.lstar = self.canonical_value(value)?,
            IA32_CSTAR => self.msrs.cstar = self.canonical_value(value)?,
            IA32_FMASK => self.msrs.fmask = value & 0xffff_ffff,
            IA32_FS_BASE => self.seg[seg::FS].base = self.canonical_value(value)?,
            IA32_GS_BASE => self.seg[seg::GS].base = self.canonical_value(value)?,
            IA32_KERNEL_GS_BASE => self.msrs.kernel_gs_base = self.canonical_value(value)?,
            IA32_TSC_AUX => {
                self.require(value >> 32 == 0)?;
                self.msrs.tsc_aux = value;
            }
            AMD_SYSCFG => self.msrs.amd_syscfg = value,
            AMD_HWCR => self.msrs.amd_hwcr = value,
            _ => {
                let i = fixed_mtrr(msr).ok_or(Fault::GP0)?;
                self.require(self.model.features.leaf1_edx.contains(Leaf1Edx::MTRR) && memory_types(value, false))?;
                self.msrs.mtrr_fixed[i] = value;
            }
        }
        Ok(())
    }

    fn move_tsc(&mut self, delta: u64) {
        self.msrs.tsc_offset = self.msrs.tsc_offset.wrapping_add(delta);
        self.msrs.tsc_adjust = self.msrs.tsc_adjust.wrapping_add(delta);
    }

    /// A linear address for a register that takes no other. Registers keep 57 bits if the processor knows so many.
    fn canonical_value(&self, value: u64) -> Result<u64, Fault> {
        let unused = if self.model.features.leaf7_ecx.contains(Leaf7Ecx::LA57) { 64 - 57 } else { 64 - 48 };
        self.require((value << unused) as i64 >> unused == value as i64)?;
        Ok(value)
    }

    fn set_efer(&mut self, value: u64) -> Result<(), Fault> {
        self.require(value & !(self.model.efer() | Efer::LMA).bits() == 0)?;
        let mut new = Efer::from_bits_truncate(value);
        new.set(Efer::LMA, self.efer.contains(Efer::LMA));
        let changed = self.efer ^ new;
        self.require(!(changed.contains(Efer::LME) && self.cr0.contains(Cr0::PG)))?;
        self.efer = new;
        if changed.contains(Efer::NXE) {
            self.flush_tlb();
        }
        self.refresh();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpuid::CpuModel;
    use crate::fixture::{Machine, Mode};

    #[test]
    fn a_guest_is_told_that_nothing_leaks_from_speculation() {
        let mut m = Machine::new(Mode::Long);
        let told = m.cpu.read_msr(&mut m.bus, IA32_ARCH_CAPABILITIES).expect("announced");
        assert_eq!(told & 0b11, 0b11, "neither Meltdown nor a need for retpolines");
        m.cpu.write_msr(&mut m.bus, IA32_SPEC_CTRL, 1).expect("IBRS may be set");
        assert_eq!(m.cpu.read_msr(&mut m.bus, IA32_SPEC_CTRL), Ok(1));
        m.cpu.write_msr(&mut m.bus, IA32_PRED_CMD, 1).expect("a barrier is nothing to do");
        assert_eq!(m.cpu.read_msr(&mut m.bus, IA32_PRED_CMD), Err(Fault::GP0), "a command cannot be read");
        assert_eq!(m.cpu.write_msr(&mut m.bus, IA32_SPEC_CTRL, 4), Err(Fault::GP0), "SSBD is not announced");
    }

    #[test]
    fn a_kernel_finds_no_performance_counters() {
        let mut m = Machine::new(Mode::Long);
        m.cpu.write_msr(&mut m.bus, AMD_PERF_FIRST, 0xabcd).expect("a K7 has it");
        assert_eq!(m.cpu.read_msr(&mut m.bus, AMD_PERF_FIRST), Ok(0), "else an NMI would be taken for a counter's");
    }

    #[test]
    fn what_is_not_announced_is_not_there() {
        let mut m = Machine::new(Mode::Long);
        m.cpu.model = CpuModel::named("qemu64").expect("a model");
        for msr in [IA32_SPEC_CTRL, IA32_PRED_CMD, IA32_ARCH_CAPABILITIES] {
            assert_eq!(m.cpu.read_msr(&mut m.bus, msr), Err(Fault::GP0));
            assert_eq!(m.cpu.write_msr(&mut m.bus, msr, 0), Err(Fault::GP0));
        }
    }
}
