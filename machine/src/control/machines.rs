//! Machine types, processors and threads of a machine.

use super::disabled;
use crate::commandline::{DeviceConfig, MOST_CPUS};
use crate::plug::Processor;
use crate::run::Control;
use lockstep_cpu::Vcpu;
use lockstep_cpu::state::{Activity, seg};
use lockstep_qmp::Error;
use lockstep_qmp::commands::machine::{
    CpuAdd, CpuInfo, CpuInfoFast, CpuInfoOf, CpuInfoX86, CpuInstanceProperties, CurrentMachineParams, GICCapability,
    HotpluggableCPU, IOThreadInfo, MachineInfo, QueryCpus, QueryCpusFast, QueryCurrentMachine, QueryGicCapabilities,
    QueryHotpluggableCpus, QueryIothreads, QueryMachines, SysEmuTarget, XenLoadDevicesState, XenSetGlobalDirtyLog,
};
use lockstep_qmp::registry::{Answer, Registry};

pub(super) fn register(registry: &mut Registry<Control>) {
    registry.on(query_machines).on(query_current_machine).on(query_cpus).on(query_cpus_fast).on(cpu_add);
    registry.on(query_hotpluggable_cpus).on(query_iothreads).on(query_gic_capabilities);
    registry.on(xen_set_global_dirty_log).on(xen_load_devices_state);
}

fn query_machines(_: &mut Control, _: QueryMachines) -> Answer<Vec<MachineInfo>> {
    let pc = MachineInfo {
        name: "pc-i440fx-7.2".into(),
        alias: Some("pc".into()),
        is_default: Some(true),
        cpu_max: MOST_CPUS as i64,
        hotpluggable_cpus: true,
        numa_mem_supported: Some(false),
        deprecated: Some(false),
        default_cpu_type: Some(super::processors::type_name("qemu64")),
        default_ram_id: Some("pc.ram".into()),
        acpi: Some(true),
    };
    let none = MachineInfo {
        name: "none".into(),
        alias: None,
        is_default: None,
        cpu_max: 1,
        hotpluggable_cpus: false,
        numa_mem_supported: Some(false),
        deprecated: Some(false),
        default_cpu_type: None,
        default_ram_id: None,
        acpi: Some(false),
    };
    Ok(vec![pc, none])
}

fn query_current_machine(control: &mut Control, _: QueryCurrentMachine) -> Answer<CurrentMachineParams> {
    Ok(CurrentMachineParams { wakeup_suspend_support: control.can_suspend() })
}

/// Where a processor is found in the object model. Those without a name have their numbers.
pub(crate) fn qom_path(processor: Option<&Processor>, number: u8) -> String {
    match processor.map(|processor| &processor.device.id) {
        None => format!("/machine/unattached/device[{number}]"),
        Some(Some(id)) => format!("/machine/peripheral/{id}"),
        Some(None) => format!("/machine/peripheral-anon/cpu[{number}]"),
    }
}

fn path_of(control: &Control, cpu: &Vcpu) -> String {
    qom_path(control.board.machine.processor(cpu.index), cpu.index)
}

/// Where a processor sits.
pub(crate) fn place(control: &Control, index: usize) -> CpuInstanceProperties {
    let topology = control.config.smp;
    let (threads, cores) = (i64::from(topology.threads.max(1)), i64::from(topology.cores.max(1)));
    let dies = i64::from(topology.dies.max(1));
    let index = index as i64;
    CpuInstanceProperties {
        node_id: crate::board::numa_node(&control.config, index as u32).map(i64::from),
        socket_id: Some(index / (threads * cores * dies)),
        die_id: Some(index / (threads * cores) % dies),
        cluster_id: None,
        core_id: Some(index / threads % cores),
        thread_id: Some(index % threads),
    }
}

/// One thread runs them all.
fn thread_id() -> i64 {
    rustix::thread::gettid().as_raw_nonzero().get().into()
}

/// Where a processor is in its code, with the base of CS.
fn linear_ip(cpu: &Vcpu) -> u64 {
    if cpu.code64() { cpu.ip } else { cpu.seg[seg::CS].base.wrapping_add(cpu.ip) }
}

fn query_cpus(control: &mut Control, _: QueryCpus) -> Answer<Vec<CpuInfo>> {
    let cpus = control.board.machine.cpus.iter();
    Ok(cpus
        .map(|cpu| CpuInfo {
            cpu: cpu.index.into(),
            current: cpu.index == 0,
            halted: cpu.activity != Activity::Running,
            qom_path: path_of(control, cpu),
            thread_id: thread_id(),
            props: Some(place(control, cpu.index.into())),
            arch: CpuInfoOf::X86(CpuInfoX86 { pc: linear_ip(cpu) as i64 }),
        })
        .collect())
}

pub(crate) fn query_cpus_fast(control: &mut Control, _: QueryCpusFast) -> Answer<Vec<CpuInfoFast>> {
    let cpus = control.board.machine.cpus.iter();
    Ok(cpus
        .map(|cpu| CpuInfoFast {
            cpu_index: cpu.index.into(),
            qom_path: path_of(control, cpu),
            thread_id: thread_id(),
            props: Some(place(control, cpu.index.into())),
            target: SysEmuTarget::X8664,
        })
        .collect())
}

/// As `device_add` of a processor, which has no name then.
fn cpu_add(control: &mut Control, command: CpuAdd) -> Answer<()> {
    let most = i64::from(control.config.smp.maxcpus);
    match command.id {
        id if id < 0 => Err(Error::new(format!("Invalid CPU id: {id}"))),
        id if id >= most => Err(Error::new(format!("Unable to add CPU: {id}, max allowed: {}", most - 1))),
        id => {
            let place = place(control, id as usize);
            let ids = [
                ("socket-id", place.socket_id),
                ("die-id", place.die_id),
                ("core-id", place.core_id),
                ("thread-id", place.thread_id),
            ];
            let typed = ids.into_iter().filter_map(|(name, id)| Some((name.to_owned(), id?.to_string())));
            let driver = super::processors::type_name(&control.config.cpu.model);
            let origin = format!("cpu-add {id}");
            let device = DeviceConfig { driver, id: None, origin, properties: typed.collect() };
            control.plug_processor(device).map_err(|why| Error::new(why.to_string()))
        }
    }
}

pub(crate) fn query_hotpluggable_cpus(control: &mut Control, _: QueryHotpluggableCpus) -> Answer<Vec<HotpluggableCPU>> {
    let ty = super::processors::type_name(&control.config.cpu.model);
    let numbers = 0..control.config.smp.maxcpus as usize;
    Ok(numbers
        .rev()
        .map(|number| HotpluggableCPU {
            ty: ty.clone(),
            vcpus_count: 1,
            props: place(control, number),
            qom_path: control.board.machine.cpu(number).map(|cpu| path_of(control, cpu)),
        })
        .collect())
}

pub(crate) fn query_iothreads(control: &mut Control, _: QueryIothreads) -> Answer<Vec<IOThreadInfo>> {
    let iothreads = control.objects.iter().filter(|object| object.kind.ty == "iothread");
    Ok(iothreads
        .map(|object| IOThreadInfo {
            id: object.id.clone(),
            thread_id: thread_id(),
            poll_max_ns: object.number("poll-max-ns"),
            poll_grow: object.number("poll-grow"),
            poll_shrink: object.number("poll-shrink"),
            aio_max_batch: Some(object.number("aio-max-batch")),
        })
        .collect())
}

fn query_gic_capabilities(_: &mut Control, _: QueryGicCapabilities) -> Answer<Vec<GICCapability>> {
    Err(disabled("query-gic-capabilities"))
}

fn xen_set_global_dirty_log(_: &mut Control, _: XenSetGlobalDirtyLog) -> Answer<()> {
    Err(disabled("xen"))
}

fn xen_load_devices_state(_: &mut Control, _: XenLoadDevicesState) -> Answer<()> {
    Err(disabled("xen"))
}
