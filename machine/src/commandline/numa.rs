//! `-numa`.

use super::draft::{Draft, Flow, Handled};
use super::error::Reason;
use super::hmat::{self, LocalityConfig, SideCacheConfig};
use super::suboptions::Suboptions;
use super::values::MIB;
use serde::{Deserialize, Serialize};

/// Nodes are numbered below this.
const MOST_NODES: u16 = 128;
/// How far a node is from itself, and the least distance.
const LOCAL: u8 = 10;

/// How the machine is divided.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NumaConfig {
    /// `-numa node`, in order.
    pub nodes: Vec<NumaNodeConfig>,
    /// `-numa dist`: from, to, how far.
    pub distances: Vec<(u16, u16, u8)>,
    /// `-numa cpu`.
    pub cpus: Vec<NumaCpuConfig>,
    /// `-numa hmat-lb`.
    #[serde(default)]
    pub localities: Vec<LocalityConfig>,
    /// `-numa hmat-cache`.
    #[serde(default)]
    pub side_caches: Vec<SideCacheConfig>,
}

/// A node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NumaNodeConfig {
    /// The option, for messages.
    pub origin: String,
    /// Its number.
    pub id: u16,
    /// Numbers of processors, first and last.
    pub cpus: Vec<(u16, u16)>,
    /// Bytes of memory.
    pub memory: Option<u64>,
    /// The memory backend that its memory comes from.
    pub backend: Option<String>,
    /// The node whose processors are nearest to its memory.
    #[serde(default)]
    pub initiator: Option<u16>,
}

/// Processors that belong to a node: those that sit where this says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NumaCpuConfig {
    /// The option, for messages.
    pub origin: String,
    /// The node.
    pub node: u16,
    /// The socket; any if absent, as the others.
    pub socket: Option<u32>,
    /// The die.
    pub die: Option<u32>,
    /// The core.
    pub core: Option<u32>,
    /// The thread.
    pub thread: Option<u32>,
}

pub(super) fn numa(draft: &mut Draft<'_>, argument: &str) -> Handled {
    let mut options = Suboptions::parse(argument, Some("type"));
    match options.required("type")?.as_str() {
        "node" => node(draft, &mut options)?,
        "dist" => dist(draft, &mut options)?,
        "cpu" => cpu(draft, &mut options)?,
        "hmat-lb" => hmat::locality(draft, &mut options)?,
        "hmat-cache" => hmat::side_cache(draft, &mut options)?,
        _ => return Err(Reason::Expected("node, dist, cpu, hmat-lb or hmat-cache")),
    }
    options.finish()?;
    Ok(Flow::Next)
}

fn node(draft: &mut Draft<'_>, options: &mut Suboptions) -> Result<(), Reason> {
    let next = draft.config.numa.nodes.len() as u16;
    let id = options.small("nodeid")?.unwrap_or(next);
    if id >= MOST_NODES {
        return Err(Reason::refused(format!("Max number of NUMA nodes reached: {id}")));
    }
    if draft.config.numa.nodes.iter().any(|node| node.id == id) {
        return Err(Reason::refused(format!("Duplicate NUMA nodeid: {id}")));
    }
    let initiator = options.small("initiator")?;
    if let Some(initiator) = initiator.filter(|id| *id >= MOST_NODES) {
        let most = MOST_NODES - 1;
        let why = format!("The initiator id {initiator} expects an integer between 0 and {most}");
        return Err(Reason::refused(why));
    }
    let cpus = options.each(&["cpus"]).into_iter().map(|(_, text)| range(&text)).collect::<Result<_, _>>()?;
    let memory = options.size("mem", MIB)?;
    let backend = options.text("memdev");
    if memory.is_some() && backend.is_some() {
        return Err(Reason::refused("cannot specify both mem= and memdev="));
    }
    let mixed = |node: &NumaNodeConfig| node.backend.is_some() != backend.is_some();
    if draft.config.numa.nodes.iter().any(mixed) {
        return Err(Reason::refused("memdev= is for all nodes, or for none"));
    }
    let origin = draft.current.clone();
    draft.config.numa.nodes.push(NumaNodeConfig { origin, id, cpus, memory, backend, initiator });
    Ok(())
}

/// `0-3`, or `2`.
fn range(text: &str) -> Result<(u16, u16), Reason> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    match (first.parse(), last.parse()) {
        (Ok(first), Ok(last)) if first <= last => Ok((first, last)),
        _ => Err(Reason::bad("cpus", text, "use FIRST[-LAST]")),
    }
}

fn dist(draft: &mut Draft<'_>, options: &mut Suboptions) -> Result<(), Reason> {
    let (from, to) = (options.small::<u16>("src")?, options.small::<u16>("dst")?);
    let far = options.small::<u8>("val")?.ok_or(Reason::MissingProperty("val"))?;
    let (from, to) = (from.ok_or(Reason::MissingProperty("src"))?, to.ok_or(Reason::MissingProperty("dst"))?);
    let known = |id: u16| draft.config.numa.nodes.iter().any(|node| node.id == id);
    if !known(from) || !known(to) {
        let why = "Source/Destination NUMA node is missing. Please use '-numa node' option to declare it first.";
        return Err(Reason::refused(why));
    }
    if far < LOCAL {
        return Err(Reason::refused(format!("NUMA distance ({far}) is invalid, it shouldn't be less than {LOCAL}.")));
    }
    if from == to && far != LOCAL {
        return Err(Reason::refused(format!("Local distance of node {from} should be {LOCAL}.")));
    }
    draft.config.numa.distances.push((from, to, far));
    Ok(())
}

fn cpu(draft: &mut Draft<'_>, options: &mut Suboptions) -> Result<(), Reason> {
    let node = options.small("node-id")?.ok_or_else(|| Reason::refused("Missing mandatory node-id property"))?;
    if !draft.config.numa.nodes.iter().any(|known| known.id == node) {
        let why =
            format!("Invalid node-id={node}, NUMA node must be defined with -numa node,nodeid=ID before it's used");
        return Err(Reason::refused(why));
    }
    let cpu = NumaCpuConfig {
        origin: draft.current.clone(),
        node,
        socket: options.small("socket-id")?,
        die: options.small("die-id")?,
        core: options.small("core-id")?,
        thread: options.small("thread-id")?,
    };
    draft.config.numa.cpus.push(cpu);
    Ok(())
}
