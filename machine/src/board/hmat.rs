//! What the HMAT says of the NUMA nodes.

use super::numa::node_of;
use crate::commandline::{Config, LocalityConfig, OptionError, hmat_base};
use lockstep_firmware::platform::{Hmat, Locality, SideCache};

const DISABLED: &str = "ACPI Heterogeneous Memory Attribute Table (HMAT) is disabled, enable it with -machine hmat=on before using \
                        any of hmat specific options";
/// A latency's unit in the table, in nanoseconds' parts; a bandwidth's, in bytes.
const PICOSECONDS: u64 = 1000;
const MEGABYTE: u64 = 1 << 20;

/// What the table says, if there is one; `memory` is what the nodes have of the machine's own.
pub(super) fn plan(config: &Config, memory: &[u64]) -> Result<Option<Hmat>, OptionError> {
    let numa = &config.numa;
    let refused = |why: String| OptionError::refused("-numa", why);
    let special = !numa.localities.is_empty() || !numa.side_caches.is_empty();
    if !config.machine.hmat {
        let named = special || numa.nodes.iter().any(|node| node.initiator.is_some());
        return if named { Err(refused(DISABLED.into())) } else { Ok(None) };
    }
    if node_of(config, 0).is_none() {
        // There is nothing to tell of a machine that is not divided.
        return Ok(None);
    }
    let mut with_processors: Vec<_> = (0..config.smp.maxcpus).filter_map(|cpu| node_of(config, cpu)).collect();
    with_processors.sort_unstable();
    with_processors.dedup();
    let mut nodes = Vec::new();
    for (id, memory) in (0..).zip(memory) {
        let said = numa.nodes.iter().find(|node| node.id == id).and_then(|node| node.initiator);
        let own = with_processors.contains(&id);
        match said {
            Some(other) if numa.nodes.iter().all(|node| node.id != other) => {
                let why = "is missing, use '-numa node' option to declare it first";
                return Err(refused(format!("NUMA node {other} {why}")));
            }
            Some(other) if own && other != id => {
                return Err(refused(format!("The initiator of CPU NUMA node {id} should be itself (got {other})")));
            }
            Some(other) if !with_processors.contains(&other) => {
                return Err(refused(format!("The initiator of NUMA node {id} is invalid")));
            }
            // As QEMU has it: Linux takes no table that speaks of memory where there is none.
            _ if *memory == 0 => {}
            said => nodes.push((id, if own { Some(id) } else { said })),
        }
    }
    Ok(Some(Hmat {
        nodes,
        targets: memory.len() as u16,
        localities: localities(&numa.localities, &with_processors, memory.len()),
        initiators: with_processors,
        caches: numa
            .side_caches
            .iter()
            .map(|cache| SideCache {
                node: cache.node,
                size: cache.size,
                level: cache.level,
                levels: numa.side_caches.iter().filter(|other| other.node == cache.node).count() as u8,
                associativity: cache.associativity,
                policy: cache.policy,
                line: cache.line,
            })
            .collect(),
    }))
}

/// A table for each level of the hierarchy and kind of data that anything is said of, in the order of their numbers.
fn localities(said: &[LocalityConfig], initiators: &[u16], targets: usize) -> Vec<Locality> {
    let mut kinds: Vec<_> = said.iter().map(|one| (one.hierarchy, one.data_type)).collect();
    kinds.sort_unstable();
    kinds.dedup();
    let table = |(hierarchy, data_type): (u8, u8)| {
        let of_kind = || said.iter().filter(|one| (one.hierarchy, one.data_type) == (hierarchy, data_type));
        let bandwidth = of_kind().any(LocalityConfig::is_bandwidth);
        let base = hmat_base(of_kind().map(|one| one.value), bandwidth);
        let mut entries = vec![0; initiators.len() * targets];
        for one in of_kind() {
            let row = initiators.iter().position(|id| *id == one.initiator).unwrap_or(0);
            let entry = entries.get_mut(row * targets + usize::from(one.target));
            entry.into_iter().for_each(|entry| *entry = (one.value / base) as u16);
        }
        let base = if bandwidth { base / MEGABYTE } else { base.saturating_mul(PICOSECONDS) };
        Locality { hierarchy, data_type, base, entries }
    };
    kinds.into_iter().map(table).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bare_guest::BareGuest;
    use crate::board::numa::memory;
    use lockstep_firmware::acpi;
    use lockstep_firmware::platform::PlatformConfig;

    const NODES: &str = "-m 256M -smp 2,sockets=2 -numa node,mem=128M,cpus=0-1";

    fn plan(line: &str) -> Result<Option<Hmat>, String> {
        let config = BareGuest::new("hmat").config(line);
        super::plan(&config, &memory(&config).expect("nodes")).map_err(|why| why.to_string())
    }

    #[test]
    fn the_table_is_qemus_to_the_byte() {
        let lb = "-numa hmat-lb,initiator=0,hierarchy=memory,target";
        let cache = "-numa hmat-cache,associativity=direct,policy=write-back,line=8";
        let line = format!(
            "-M pc,hmat=on {NODES} -numa node,mem=128M,initiator=0 \
             {lb}=0,data-type=access-latency,latency=5 {lb}=0,data-type=access-bandwidth,bandwidth=200M \
             {lb}=1,data-type=access-latency,latency=10 {lb}=1,data-type=access-bandwidth,bandwidth=100M \
             {cache},node-id=0,size=10K,level=1 {cache},node-id=1,size=10K,level=1 \
             -numa hmat-cache,node-id=1,size=1M,level=2,associativity=complex,policy=write-through,line=64"
        );
        let hmat = plan(&line).expect("it fits");
        let platform = PlatformConfig { hmat, ..PlatformConfig::pc(2, 256 << 20) };
        let tables =
            acpi::build(&platform).files.into_iter().find(|file| file.name == acpi::TABLES_FILE).expect("tables");
        let at = tables.bytes.windows(4).position(|at| at == b"HMAT").expect("an HMAT");
        // What a guest of QEMU 7.2.22 reads from /sys/firmware/acpi/tables/HMAT with the same options, behind the header.
        let qemus = "\
            000000000000000028000000010000000000000000000000\
            000000000000000000000000000000000000000000000000280000000100\
            000000000000010000000000000000000000000000000000000000000000\
            010000003000000000000000010000000200000000000000e80300000000\
            000000000000000000000100000005000a00010000003000000000030000\
            010000000200000000000000040000000000000000000000000000000100\
            000032001900020000002000000000000000000000000028000000000000\
            111108000000000002000000200000000100000000000000002800000000\
            000012110800000000000200000020000000010000000000000000001000\
            000000002222400000000000";
        let content = &tables.bytes[at + 36..][..qemus.len() / 2];
        assert_eq!(content.iter().map(|byte| format!("{byte:02x}")).collect::<String>(), qemus);
        assert_eq!((tables.bytes[at + 4..at + 8].to_vec(), tables.bytes[at + 8]), (vec![0x38, 1, 0, 0], 2));
    }

    #[test]
    fn initiators_are_nodes_with_processors_and_need_the_switch() {
        for (line, why) in [
            (format!("{NODES} -numa node,mem=128M,initiator=0"), DISABLED),
            (
                format!("-M pc,hmat=on {NODES} -numa node,mem=128M,initiator=1"),
                "The initiator of NUMA node 1 is invalid",
            ),
            (
                format!("-M pc,hmat=on {NODES} -numa node,mem=128M,initiator=7"),
                "NUMA node 7 is missing, use '-numa node' option to declare it first",
            ),
            (
                "-M pc,hmat=on -m 256M -smp 2 -numa node,mem=128M,cpus=0,initiator=1 -numa node,mem=128M,cpus=1".into(),
                "The initiator of CPU NUMA node 0 should be itself (got 1)",
            ),
        ] {
            assert_eq!(plan(&line).expect_err("refused"), format!("-numa: {why}"), "{line}");
        }
        let unknown = plan(&format!("-M pc,hmat=on {NODES} -numa node,mem=128M")).unwrap().expect("a table");
        assert_eq!(unknown.nodes, [(0, Some(0)), (1, None)]);
        assert_eq!(plan(&format!("{NODES} -numa node,mem=128M")), Ok(None));
        assert_eq!(plan("-M pc,hmat=on -m 64M"), Ok(None));
    }
}
