//! The vCPUs that `-cpu` and `-smp` ask for.

use super::BoardError;
use crate::commandline::Config;
use lockstep_cpu::Vcpu;
use lockstep_cpu::cpuid::CpuModel;

/// Makes the vCPUs.
pub(super) fn build(config: &Config) -> Result<Vec<Vcpu>, BoardError> {
    let _ = config;
    let model = CpuModel::max();
    let seed = config.seed.unwrap_or_default();
    Ok((0..config.smp.cpus).map(|index| Vcpu::new(index as u8, model.clone(), seed)).collect())
}
