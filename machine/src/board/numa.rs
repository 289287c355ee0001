//! How the machine is divided into NUMA nodes.

use super::memory_slots::{self, backends};
use super::processor_places;
use crate::commandline::{Config, NumaCpuConfig, OptionError};
use lockstep_firmware::platform::{Numa, NumaNode};

/// Memory that nobody divided is dealt out in units of this many bytes.
const UNIT: u64 = 8 << 20;
/// How far a node is from itself.
const LOCAL: u8 = 10;

/// How many nodes there are; a machine that is not divided counts as one.
pub(super) fn count(config: &Config) -> u32 {
    (config.numa.nodes.len() as u32).max(1)
}

/// The node that a processor belongs to, if the machine is divided. One with slots for memory is one node at least, since
/// modules have to belong to some.
pub(crate) fn node_of(config: &Config, cpu: u32) -> Option<u16> {
    let nodes = &config.numa.nodes;
    if nodes.is_empty() {
        return memory_slots::range(config).ok().flatten().map(|_| 0);
    }
    let smp = &config.smp;
    let (thread, core) = (cpu % smp.threads, cpu / smp.threads % smp.cores);
    let (die, socket) = (cpu / (smp.threads * smp.cores) % smp.dies, cpu / (smp.threads * smp.cores * smp.dies));
    let listed = nodes
        .iter()
        .find(|node| node.cpus.iter().any(|(first, last)| (u32::from(*first)..=u32::from(*last)).contains(&cpu)));
    let sits = |place: &&NumaCpuConfig| {
        let fits = |wanted: Option<u32>, is: u32| wanted.is_none_or(|wanted| wanted == is);
        fits(place.socket, socket) && fits(place.die, die) && fits(place.core, core) && fits(place.thread, thread)
    };
    let placed = config.numa.cpus.iter().find(sits);
    let said = listed.map(|node| node.id).or(placed.map(|place| place.node));
    let nothing_said = config.numa.cpus.is_empty() && nodes.iter().all(|node| node.cpus.is_empty());
    // Without a word, sockets are dealt out in turns; what is left out goes to the first node.
    Some(said.unwrap_or(if nothing_said { (socket % nodes.len() as u32) as u16 } else { 0 }))
}

/// Bytes of the machine's own memory in each node, in the order of the nodes' numbers.
pub(crate) fn memory(config: &Config) -> Result<Vec<u64>, OptionError> {
    let (nodes, total) = (&config.numa.nodes, config.memory.size);
    let mut sizes = vec![0; count(config) as usize];
    if nodes.iter().all(|node| node.memory.is_none() && node.backend.is_none()) {
        let share = total / sizes.len() as u64 / UNIT * UNIT;
        let others = share * (sizes.len() as u64 - 1);
        sizes.fill(share);
        sizes.iter_mut().last().into_iter().for_each(|last| *last = total - others);
        return Ok(sizes);
    }
    let stores = backends(config);
    for node in nodes {
        let refused = |why: String| OptionError::refused(&node.origin, why);
        let of_backend = |id: &String| match stores.get(id) {
            Some(store) if store.is_file => Err(refused("a file that is there is not built as a node's memory".into())),
            Some(store) => Ok(store.bytes),
            None => Err(refused(format!("object '{id}' not found"))),
        };
        let bytes = node.backend.as_ref().map(of_backend).transpose()?.or(node.memory);
        sizes.get_mut(usize::from(node.id)).into_iter().for_each(|size| *size = bytes.unwrap_or(0));
    }
    let sum = sizes.iter().fold(0_u64, |sum, size| sum.saturating_add(*size));
    if sum != total {
        let why = format!("total memory for NUMA nodes ({sum:#x}) should equal RAM size ({total:#x})");
        return Err(OptionError::refused("-numa", why));
    }
    Ok(sizes)
}

/// What the tables say, if the machine is divided.
pub(super) fn plan(config: &Config) -> Result<Option<Numa>, OptionError> {
    let nodes = &config.numa.nodes;
    if nodes.is_empty() && memory_slots::range(config)?.is_none() {
        return Ok(None);
    }
    for (number, _) in (0..).zip(nodes) {
        if nodes.iter().all(|node| node.id != number) {
            return Err(OptionError::refused("-numa", format!("numa: Node ID missing: {number}")));
        }
    }
    let beyond = |node: &&crate::commandline::NumaNodeConfig| {
        node.cpus.iter().any(|(_, last)| u32::from(*last) >= config.smp.maxcpus)
    };
    if let Some(node) = nodes.iter().find(beyond) {
        let most = config.smp.maxcpus;
        let why = format!("CPU index should be smaller than maxcpus ({most})");
        return Err(OptionError::refused(&node.origin, why));
    }
    let mut planned: Vec<_> =
        memory(config)?.into_iter().map(|memory| NumaNode { memory, apic_ids: Vec::new() }).collect();
    for (cpu, apic_id) in (0..).zip(processor_places::apic_ids(config)) {
        let node = usize::from(node_of(config, cpu).unwrap_or(0));
        planned.get_mut(node).into_iter().for_each(|node| node.apic_ids.push(apic_id));
    }
    Ok(Some(Numa { nodes: planned, distances: distances(config)? }))
}

/// How far each node is from each, if anything is said of it: what is said of one way counts for the other too.
fn distances(config: &Config) -> Result<Option<Vec<Vec<u8>>>, OptionError> {
    let said = &config.numa.distances;
    if said.is_empty() {
        return Ok(None);
    }
    let nodes = 0..config.numa.nodes.len() as u16;
    let find = |from, to| said.iter().rev().find(|(a, b, _)| (*a, *b) == (from, to)).map(|(.., far)| *far);
    let far = |from: u16, to: u16| {
        let known = if from == to { Some(LOCAL) } else { find(from, to).or_else(|| find(to, from)) };
        known.ok_or_else(|| {
            let why = format!(
                "The distance between node {from} and {to} is missing, at least one distance value between each nodes \
                 should be provided."
            );
            OptionError::refused("-numa dist", why)
        })
    };
    nodes.clone().map(|from| nodes.clone().map(|to| far(from, to)).collect()).collect::<Result<_, _>>().map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bare_guest::BareGuest;

    const MIB: u64 = 1 << 20;

    fn plan(line: &str) -> Result<Option<Numa>, String> {
        super::plan(&BareGuest::new("numa").config(line)).map_err(|why| why.to_string())
    }

    #[test]
    fn memory_and_processors_are_dealt_out_unless_told() {
        assert_eq!(plan("-m 64M"), Ok(None));
        let dealt = plan("-m 100M -smp 4,sockets=2 -numa node -numa node").unwrap().expect("nodes");
        assert_eq!(dealt.nodes.iter().map(|node| node.memory / MIB).collect::<Vec<_>>(), [48, 52]);
        assert_eq!(dealt.nodes.iter().map(|node| node.apic_ids.clone()).collect::<Vec<_>>(), [[0, 1], [2, 3]]);
        let told = "-m 96M -smp 3 -numa node,nodeid=1,mem=64,cpus=0-1 -numa node,nodeid=0,mem=32 -numa dist,src=0,dst=1,val=33";
        let told = plan(told).unwrap().expect("nodes");
        assert_eq!(told.nodes.iter().map(|node| node.memory / MIB).collect::<Vec<_>>(), [32, 64]);
        assert_eq!(told.nodes.iter().map(|node| node.apic_ids.clone()).collect::<Vec<_>>(), [vec![2], vec![0, 1]]);
        assert_eq!(told.distances, Some(vec![vec![10, 33], vec![33, 10]]));
        let places = "-m 64M -smp 2,sockets=2 -numa node -numa node -numa cpu,node-id=1,socket-id=0";
        let places = plan(places).unwrap().expect("nodes");
        assert_eq!(places.nodes.iter().map(|node| node.apic_ids.clone()).collect::<Vec<_>>(), [[1], [0]]);
    }

    #[test]
    fn what_does_not_add_up_is_refused() {
        for (line, why) in [
            (
                "-m 64M -numa node,mem=32M",
                "-numa: total memory for NUMA nodes (0x2000000) should equal RAM size (0x4000000)",
            ),
            ("-m 64M -numa node,nodeid=1", "-numa: numa: Node ID missing: 0"),
            ("-m 64M -numa node,cpus=1", "-numa node,cpus=1: CPU index should be smaller than maxcpus (1)"),
            ("-m 64M -numa node,memdev=x", "-numa node,memdev=x: object 'x' not found"),
        ] {
            assert_eq!(plan(line).expect_err("refused"), why, "{line}");
        }
        let three = "-m 64M -numa node -numa node -numa node -numa dist,src=0,dst=1,val=20";
        assert!(plan(three).expect_err("refused").contains("The distance between node 0 and 2 is missing"));
    }
}
