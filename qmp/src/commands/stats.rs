//! Statistics.

use crate::schema::Nothing;
use crate::schema::declare::declare;

declare! {
    family "Statistics";

    /// What counts.
    enum StatsProvider {
        /// KVM.
        Kvm = "kvm",
    }

    /// What is counted of.
    enum StatsTarget {
        /// The machine.
        Vm = "vm",
        /// Its vCPUs.
        Vcpu = "vcpu",
    }

    /// Which statistics are wanted.
    struct StatsRequest {
        /// Whose.
        provider: StatsProvider,
        /// Only these.
        names: Option<Vec<String>>,
    }

    /// Which vCPUs' statistics are wanted.
    struct StatsVCPUFilter {
        /// Their paths in the object model; all if absent.
        vcpus: Option<Vec<String>>,
    }

    /// Which statistics are wanted.
    union StatsFilter {
        /// Whose; all if absent.
        providers: Option<Vec<StatsRequest>>,
    }
    /// Of what.
    by target = "target": StatsTarget as StatsFilterOf {
        Vm = "vm": Nothing,
        Vcpu = "vcpu": StatsVCPUFilter,
    }

    /// A value.
    alternate StatsValue {
        /// A number.
        Scalar: u64,
        /// Yes or no.
        Boolean: bool,
        /// A histogram.
        List: Vec<u64>,
    }

    /// One statistic.
    struct Stats {
        /// Its name.
        name: String,
        /// Its value.
        value: StatsValue,
    }

    /// The statistics of one thing.
    struct StatsResult {
        /// Who counted.
        provider: StatsProvider,
        /// The thing's path in the object model, unless it is the machine.
        qom_path: Option<String>,
        /// The statistics.
        stats: Vec<Stats>,
    }

    /// Tells statistics. KVM's are the only ones that clients know of, and it does not run the guest.
    command observes "query-stats" as StatsFilter -> Vec<StatsResult>;

    /// What a value means.
    enum StatsType {
        Cumulative = "cumulative",
        Instant = "instant",
        Peak = "peak",
        LinearHistogram = "linear-histogram",
        Log2Histogram = "log2-histogram",
    }

    /// What a value is measured in.
    enum StatsUnit {
        Bytes = "bytes",
        Seconds = "seconds",
        Cycles = "cycles",
        Boolean = "boolean",
    }

    /// What a statistic means.
    struct StatsSchemaValue {
        /// Its name.
        name: String,
        /// What its value means.
        ty as "type": StatsType,
        /// What it is measured in.
        unit: Option<StatsUnit>,
        /// The unit is to be multiplied by a power of this,
        base: Option<i8>,
        /// namely this one.
        exponent: i16,
        /// How wide a column of the histogram is.
        bucket_size: Option<u32>,
    }

    /// What statistics mean.
    struct StatsSchema {
        /// Who counts.
        provider: StatsProvider,
        /// Of what.
        target: StatsTarget,
        /// The statistics.
        stats: Vec<StatsSchemaValue>,
    }

    /// Tells what statistics there are.
    command observes "query-stats-schemas" QueryStatsSchemas {
        /// Only this one's.
        provider: Option<StatsProvider>,
    } -> Vec<StatsSchema>;

    /// What the human monitor would show.
    struct HumanReadableText {
        /// Lines.
        human_readable_text: String,
    }

    /// Shows the ROMs that were loaded, as `info roms`.
    command observes "x-query-roms" XQueryRoms {} -> HumanReadableText;

    /// Shows how many interrupts there were, as `info irq`.
    command observes "x-query-irq" XQueryIrq {} -> HumanReadableText;

    /// Shows the blocks of memory, as `info ramblock`.
    command observes "x-query-ramblock" XQueryRamblock {} -> HumanReadableText;

    /// Shows the NUMA nodes, as `info numa`.
    command observes "x-query-numa" XQueryNuma {} -> HumanReadableText;

    /// Shows what is known of translated code, as `info jit`.
    command observes "x-query-jit" XQueryJit {} -> HumanReadableText;

    /// Shows how often instructions were translated, as `info opcount`.
    command observes "x-query-opcount" XQueryOpcount {} -> HumanReadableText;

    /// Shows where time goes, as `info profile`.
    command observes "x-query-profile" XQueryProfile {} -> HumanReadableText;

    /// Shows USB devices, as `info usb`.
    command observes "x-query-usb" XQueryUsb {} -> HumanReadableText;

    /// A virtio device.
    struct VirtioInfo {
        /// Its path in the object model.
        path: String,
        /// Its kind.
        name: String,
    }

    /// Lists the virtio devices.
    command observes "x-query-virtio" XQueryVirtio {} -> Vec<VirtioInfo>;
}
