//! Machine types, processors and threads of a machine.

use crate::schema::declare::declare;

declare! {
    family "Machine";

    /// A type of machines.
    struct MachineInfo {
        /// Its name, for `-machine`.
        name: String,
        /// Another name.
        alias: Option<String>,
        /// It is what there is without `-machine`. Absent means no.
        is_default: Option<bool>,
        /// How many vCPUs it may have.
        cpu_max: i64,
        /// Processors can be plugged in with `device_add`.
        hotpluggable_cpus: bool,
        /// A NUMA node's memory can be given without a backend.
        numa_mem_supported: Option<bool>,
        /// It will go.
        deprecated: Option<bool>,
        /// The type of its processors without `-cpu`.
        default_cpu_type: Option<String>,
        /// The name of its memory's backend without one.
        default_ram_id: Option<String>,
        /// It has ACPI.
        acpi: Option<bool>,
    }

    /// Lists types of machines.
    command observes "query-machines" QueryMachines {} -> Vec<MachineInfo>;

    /// The machine that there is.
    struct CurrentMachineParams {
        /// It can be woken from suspension to RAM.
        wakeup_suspend_support: bool,
    }

    /// Tells what the machine can do.
    command observes "query-current-machine" QueryCurrentMachine {} -> CurrentMachineParams;

    /// Where a processor sits.
    struct CpuInstanceProperties {
        /// Its NUMA node.
        node_id: Option<i64>,
        /// Its socket.
        socket_id: Option<i64>,
        /// Its die in the socket.
        die_id: Option<i64>,
        /// Its cluster in the die.
        cluster_id: Option<i64>,
        /// Its core in the die, or in the socket.
        core_id: Option<i64>,
        /// Its thread in the core.
        thread_id: Option<i64>,
    }

    /// Architectures that have members of their own in `CpuInfo`.
    enum CpuInfoArch {
        X86 = "x86",
        Sparc = "sparc",
        Ppc = "ppc",
        Mips = "mips",
        Tricore = "tricore",
        Other = "other",
    }

    /// A vCPU.
    union CpuInfo {
        /// Its number.
        cpu as "CPU": i64,
        /// It is vCPU 0, for clients that are very old.
        current: bool,
        /// It waits for an interrupt.
        halted: bool,
        /// Its path in the object model.
        qom_path as "qom_path": String,
        /// The host's id of the thread that it runs on.
        thread_id as "thread_id": i64,
        /// Where it sits.
        props: Option<CpuInstanceProperties>,
    }
    /// Its architecture, here always `x86`.
    by arch = "arch": CpuInfoArch as CpuInfoOf {
        X86 = "x86": CpuInfoX86,
        Sparc = "sparc": CpuInfoSPARC,
        Ppc = "ppc": CpuInfoPPC,
        Mips = "mips": CpuInfoMIPS,
        Tricore = "tricore": CpuInfoTricore,
        Other = "other": CpuInfoOther,
    }

    /// An x86 processor.
    struct CpuInfoX86 {
        /// RIP, with the base of CS.
        pc: i64,
    }

    /// A SPARC processor.
    struct CpuInfoSPARC {
        /// PC.
        pc: i64,
        /// NPC.
        npc: i64,
    }

    /// A PowerPC processor.
    struct CpuInfoPPC {
        /// NIP.
        nip: i64,
    }

    /// A MIPS processor.
    struct CpuInfoMIPS {
        /// PC.
        pc as "PC": i64,
    }

    /// A TriCore processor.
    struct CpuInfoTricore {
        /// PC.
        pc as "PC": i64,
    }

    /// Any other processor.
    struct CpuInfoOther {}

    /// Lists the vCPUs, with what they are doing.
    command observes "query-cpus" QueryCpus {} -> Vec<CpuInfo>;

    /// Architectures of vCPUs.
    enum SysEmuTarget {
        I386 = "i386",
        X8664 = "x86_64",
    }

    /// A vCPU.
    struct CpuInfoFast {
        /// Its number.
        cpu_index: i64,
        /// Its path in the object model.
        qom_path: String,
        /// The host's id of the thread that it runs on.
        thread_id: i64,
        /// Where it sits.
        props: Option<CpuInstanceProperties>,
        /// Its architecture.
        target: SysEmuTarget,
    }

    /// Lists the vCPUs.
    command observes "query-cpus-fast" QueryCpusFast {} -> Vec<CpuInfoFast>;

    /// Plugs in a processor.
    command steers "cpu-add" CpuAdd {
        /// Its number, below `-smp maxcpus=`.
        id: i64,
    };

    /// A place for a processor.
    struct HotpluggableCPU {
        /// The type to plug in there with `device_add`.
        ty as "type": String,
        /// How many vCPUs it makes.
        vcpus_count: i64,
        /// What to give `device_add` to plug it in there.
        props: CpuInstanceProperties,
        /// The path in the object model of the processor that is there; absent if there is none.
        qom_path: Option<String>,
    }

    /// Lists the places for processors.
    command observes "query-hotpluggable-cpus" QueryHotpluggableCpus {} -> Vec<HotpluggableCPU>;

    /// A thread for input and output.
    struct IOThreadInfo {
        /// Its name.
        id: String,
        /// The host's id of the thread.
        thread_id: i64,
        /// For how many nanoseconds it polls at most.
        poll_max_ns: i64,
        /// By how much it polls longer when that pays; 0 means doubling.
        poll_grow: i64,
        /// By how much it polls shorter when it does not; 0 means not at all.
        poll_shrink: i64,
        /// How many requests it takes at once; 0 means as many as it likes.
        aio_max_batch: Option<i64>,
    }

    /// Lists the objects of the type `iothread`.
    command observes "query-iothreads" QueryIothreads {} -> Vec<IOThreadInfo>;

    /// An interrupt controller of the Arm architecture.
    struct GICCapability {
        /// Its version.
        version: i64,
        /// It can be emulated.
        emulated: bool,
        /// KVM has it.
        kernel: bool,
    }

    /// Lists interrupt controllers of the Arm architecture, which an x86 machine has not.
    command observes "query-gic-capabilities" QueryGicCapabilities {} -> Vec<GICCapability>;

    /// Switches Xen's log of dirty memory, where Xen is.
    command observes "xen-set-global-dirty-log" XenSetGlobalDirtyLog {
        /// On.
        enable: bool,
    };

    /// Loads the devices' state from a file, where Xen is.
    command steers "xen-load-devices-state" XenLoadDevicesState {
        /// The file.
        filename: String,
    };
}
