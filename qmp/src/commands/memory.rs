//! The guest's memory: what it has, what backs it, what can be plugged in, and what a balloon takes out.

use crate::schema::declare::declare;

declare! {
    family "Memory";

    /// How much memory there is, in bytes.
    struct MemoryInfo {
        /// What `-m` gives.
        base_memory: u64,
        /// What is plugged in besides.
        plugged_memory: Option<u64>,
    }

    /// Tells how much memory there is.
    command observes "query-memory-size-summary" QueryMemorySizeSummary {} -> MemoryInfo;

    /// Which of the host's nodes memory is taken from.
    enum HostMemPolicy {
        /// Whichever the host likes.
        Default = "default",
        /// The named ones first.
        Preferred = "preferred",
        /// The named ones only.
        Bind = "bind",
        /// The named ones in turns.
        Interleave = "interleave",
    }

    /// A memory backend.
    struct Memdev {
        /// Its name, if it has one.
        id: Option<String>,
        /// How many bytes it has.
        size: u64,
        /// The host may merge equal pages.
        merge: bool,
        /// It is part of the host's core dumps.
        dump: bool,
        /// The host has given it all its pages from the start.
        prealloc: bool,
        /// Other processes can see it.
        share: Option<bool>,
        /// Swap space is reserved for it.
        reserve: Option<bool>,
        /// The host's nodes that `policy` is about.
        host_nodes: Vec<u16>,
        /// Which of the host's nodes it is taken from.
        policy: HostMemPolicy,
    }

    /// Lists all memory backends.
    command observes "query-memdev" QueryMemdev {} -> Vec<Memdev>;

    /// A memory module.
    struct PCDIMMDeviceInfo {
        /// Its name, if it has one.
        id: Option<String>,
        /// Its first physical address.
        addr: i64,
        /// How many bytes it has.
        size: i64,
        /// The slot that it is in.
        slot: i64,
        /// The NUMA node that it belongs to.
        node: i64,
        /// The path of its backend in the object model.
        memdev: String,
        /// It was plugged in while the machine ran.
        hotplugged: bool,
        /// It can be plugged in and out while the machine runs.
        hotpluggable: bool,
    }

    /// What kinds of memory devices there are.
    enum MemoryDeviceInfoKind {
        /// A memory module.
        Dimm = "dimm",
    }

    /// The members of a memory module stand in an object of their own.
    struct PCDIMMDeviceInfoWrapper {
        /// The memory module.
        data: PCDIMMDeviceInfo,
    }

    /// A memory device.
    union MemoryDeviceInfo {}
    /// What kind it is.
    by kind = "type": MemoryDeviceInfoKind as MemoryDeviceInfoOf {
        Dimm = "dimm": PCDIMMDeviceInfoWrapper,
    }

    /// Lists the memory devices that are plugged in.
    command observes "query-memory-devices" QueryMemoryDevices {} -> Vec<MemoryDeviceInfo>;

    /// A memory device could not be plugged out.
    event "MEM_UNPLUG_ERROR" MemUnplugError {
        /// Its name.
        device: String,
        /// Why.
        msg: String,
    };

    /// Kinds of `-numa`.
    enum NumaOptionsType {
        /// A node.
        Node = "node",
        /// How far one node is from another.
        Dist = "dist",
        /// Which node a processor belongs to.
        Cpu = "cpu",
    }

    /// A `-numa` option.
    union NumaOptions {}
    /// Its kind.
    by kind = "type": NumaOptionsType as NumaOptionsOf {
        Node = "node": NumaNodeOptions,
        Dist = "dist": NumaDistOptions,
        Cpu = "cpu": NumaCpuOptions,
    }

    /// A NUMA node.
    struct NumaNodeOptions {
        /// Its number; the next one if absent.
        nodeid: Option<u16>,
        /// Its processors; dealt in turns if absent.
        cpus: Option<Vec<u16>>,
        /// How many bytes of memory it has; an even share if both this and `memdev` are absent.
        mem: Option<u64>,
        /// The backend of its memory; for all nodes, or for none.
        memdev: Option<String>,
    }

    /// How far one NUMA node is from another.
    struct NumaDistOptions {
        /// The one.
        src: u16,
        /// The other.
        dst: u16,
        /// The distance; 10 is its own, 255 means that it cannot be reached.
        val: u8,
    }

    /// Which NUMA node a processor belongs to.
    struct NumaCpuOptions {
        /// The node.
        node_id: Option<i64>,
        /// The processor's socket.
        socket_id: Option<i64>,
        /// The processor's core in the socket.
        core_id: Option<i64>,
        /// The processor's thread in the core.
        thread_id: Option<i64>,
    }

    /// The balloon.
    struct BalloonInfo {
        /// How many bytes of memory the guest has left.
        actual: i64,
    }

    /// Tells how much memory the balloon leaves the guest. DeviceNotActive without a balloon.
    command observes "query-balloon" QueryBalloon {} -> BalloonInfo;

    /// Asks the guest to give memory to the balloon, or to take it back. BALLOON_CHANGE tells how far it goes along.
    command steers "balloon" Balloon {
        /// How many bytes of memory the guest is to have left.
        value: i64,
    };

    /// The guest has given memory to the balloon, or taken it back.
    event "BALLOON_CHANGE" BalloonChange {
        /// How many bytes of memory the guest has left.
        actual: i64,
    } limited;

    /// What the guest is told to know whether it is a copy of another.
    struct GuidInfo {
        /// A UUID.
        guid: String,
    }

    /// Tells the generation id of the virtual machine, see the device `vmgenid`.
    command observes "query-vm-generation-id" QueryVmGenerationId {} -> GuidInfo;
}
