//! Dumps of the guest's memory.

use crate::schema::declare::declare;

declare! {
    family "Memory dumps";

    /// Writes guest memory to a file, read through a vCPU's page tables.
    command observes "memsave" Memsave {
        /// The first virtual address.
        val: i64,
        /// How many bytes.
        size: i64,
        /// The file, which is created or overwritten.
        filename: String,
        /// The vCPU whose page tables count; default 0.
        cpu_index: Option<i64>,
    };

    /// Writes physical guest memory to a file.
    command observes "pmemsave" Pmemsave {
        /// The first physical address.
        val: i64,
        /// How many bytes.
        size: i64,
        /// The file, which is created or overwritten.
        filename: String,
    };

    /// What a dump looks like.
    enum DumpGuestMemoryFormat {
        /// An ELF core file.
        Elf = "elf",
        /// The format of kdump's makedumpfile, pages compressed with zlib.
        KdumpZlib = "kdump-zlib",
        /// The same with LZO.
        KdumpLzo = "kdump-lzo",
        /// The same with Snappy.
        KdumpSnappy = "kdump-snappy",
    }

    /// Dumps the guest's memory and its vCPUs' registers for crash, gdb or drgn.
    command observes "dump-guest-memory" DumpGuestMemory {
        /// Take up the guest's page tables, so that the file knows virtual addresses; for the format `elf` only.
        paging: bool,
        /// `file:PATH`, or `fd:NAME` for a file descriptor that `getfd` keeps.
        protocol: String,
        /// Answer at once and dump in the background; DUMP_COMPLETED tells when it is done.
        detach: Option<bool>,
        /// The first physical address, with `length`; for the format `elf` only.
        begin: Option<i64>,
        /// How many bytes.
        length: Option<i64>,
        /// The format; default `elf`.
        format: Option<DumpGuestMemoryFormat>,
    };

    /// How far a dump is.
    enum DumpStatus {
        /// There has been none.
        None = "none",
        /// It is being written.
        Active = "active",
        /// It is complete.
        Completed = "completed",
        /// It has failed.
        Failed = "failed",
    }

    /// The latest dump.
    struct DumpQueryResult {
        /// How far it is.
        status: DumpStatus,
        /// How many bytes are done, before compression.
        completed: i64,
        /// How many bytes there are, before compression.
        total: i64,
    }

    /// Tells how far the latest dump is.
    command observes "query-dump" QueryDump {} -> DumpQueryResult;

    /// A dump in the background has ended.
    event "DUMP_COMPLETED" DumpCompleted {
        /// How.
        result: DumpQueryResult,
        /// Why it has failed, if it has.
        error: Option<String>,
    };

    /// What dumps can look like.
    struct DumpGuestMemoryCapability {
        /// The formats.
        formats: Vec<DumpGuestMemoryFormat>,
    }

    /// Tells what dumps can look like.
    command observes "query-dump-guest-memory-capability" QueryDumpGuestMemoryCapability {} -> DumpGuestMemoryCapability;

    /// Dumps storage keys, which only S/390 has.
    command observes "dump-skeys" DumpSkeys {
        /// The file.
        filename: String,
    };
}
