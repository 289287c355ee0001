//! `-numa hmat-lb` and `-numa hmat-cache`: how fast memory is reached, and what caches are in front of it. What does not fit together
//! is refused in QEMU's words.

use super::draft::Draft;
use super::error::Reason;
use super::numa::NumaConfig;
use super::suboptions::Suboptions;
use super::values::MIB;
use serde::{Deserialize, Serialize};

/// The words for levels of the memory hierarchy, in the order of their numbers.
const HIERARCHY: [&str; 4] = ["memory", "first-level", "second-level", "third-level"];
/// The words for kinds of data, in the order of their numbers: latencies, then bandwidths.
const DATA_TYPES: [&str; 6] =
    ["access-latency", "read-latency", "write-latency", "access-bandwidth", "read-bandwidth", "write-bandwidth"];
const FIRST_BANDWIDTH: u8 = 3;
const ASSOCIATIVITY: [&str; 3] = ["none", "direct", "complex"];
const POLICY: [&str; 3] = ["none", "write-back", "write-through"];
/// Caches are numbered from 1 to this.
const LAST_LEVEL: u8 = 3;
/// Values are told in units of a common base; none is as many as this.
const TOO_MANY_UNITS: u64 = u16::MAX as u64;

/// `-numa hmat-lb`: how fast the memory of one node is reached from another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LocalityConfig {
    /// The node with the processors.
    pub initiator: u16,
    /// The node with the memory.
    pub target: u16,
    /// 0: the memory; 1 to 3: the cache of that level in front of it.
    pub hierarchy: u8,
    /// 0 to 2: latency of an access, a read, a write; 3 to 5: the same of bandwidth.
    pub data_type: u8,
    /// Nanoseconds, or bytes in a second; 0: it cannot be reached.
    pub value: u64,
}

impl LocalityConfig {
    /// Whether it is about bandwidth.
    pub fn is_bandwidth(&self) -> bool {
        self.data_type >= FIRST_BANDWIDTH
    }

    /// Whether both belong into one table.
    fn is_beside(&self, other: &Self) -> bool {
        (self.hierarchy, self.data_type) == (other.hierarchy, other.data_type)
    }
}

/// `-numa hmat-cache`: a cache in front of a node's memory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SideCacheConfig {
    /// The node.
    pub node: u16,
    /// Bytes.
    pub size: u64,
    /// 1 to 3.
    pub level: u8,
    /// 0: none, 1: direct mapped, 2: complex.
    pub associativity: u8,
    /// 0: none, 1: write-back, 2: write-through.
    pub policy: u8,
    /// Bytes of a line.
    pub line: u16,
}

/// The common base of values that belong into one table: nanoseconds, or bytes in a second.
pub fn base(values: impl Iterator<Item = u64>, bandwidth: bool) -> u64 {
    let given = values.filter(|value| *value != 0);
    if bandwidth {
        return given.map(|value| 1 << value.trailing_zeros()).min().unwrap_or(1);
    }
    let power = |mut value: u64| {
        let mut base = 1;
        while value.is_multiple_of(10) {
            (value, base) = (value / 10, base * 10);
        }
        base
    };
    given.map(power).min().unwrap_or(1)
}

fn word(options: &mut Suboptions, key: &'static str, words: &[&str]) -> Result<u8, Reason> {
    let text = options.required(key)?;
    let found = words.iter().position(|word| *word == text);
    found.map(|at| at as u8).ok_or_else(|| Reason::refused(format!("Parameter '{key}' does not accept value '{text}'")))
}

fn needed<T: TryFrom<u64>>(options: &mut Suboptions, key: &'static str) -> Result<T, Reason> {
    options.small(key)?.ok_or(Reason::MissingProperty(key))
}

pub(super) fn locality(draft: &mut Draft<'_>, options: &mut Suboptions) -> Result<(), Reason> {
    let numa = &mut draft.config.numa;
    let (initiator, target) = (needed(options, "initiator")?, needed(options, "target")?);
    let (hierarchy, data_type) = (word(options, "hierarchy", &HIERARCHY)?, word(options, "data-type", &DATA_TYPES)?);
    let (latency, bandwidth) = (options.number("latency")?, options.size("bandwidth", 1)?);
    let refused = |why: String| Err(Reason::refused(why));
    let count = numa.nodes.len();
    for (what, id) in [("initiator", initiator), ("target", target)] {
        if usize::from(id) >= count {
            return refused(format!("Invalid {what}={id}, it should be less than {count}"));
        }
    }
    if !has_processors(numa, initiator) {
        return refused(format!("Invalid initiator={initiator}, it isn't an initiator proximity domain"));
    }
    let (kind, given, other, other_given) = match data_type < FIRST_BANDWIDTH {
        true => ("latency", latency, "bandwidth", bandwidth),
        false => ("bandwidth", bandwidth, "latency", latency),
    };
    let Some(value) = given else { return refused(format!("Missing '{kind}' option")) };
    if other_given.is_some() {
        return refused(format!("Invalid option '{other}' since the data type is {kind}"));
    }
    let locality = LocalityConfig { initiator, target, hierarchy, data_type, value };
    let between = format!("between initiator={initiator} and target={target} should");
    if locality.is_bandwidth() && value % MIB != 0 {
        return refused(format!("Bandwidth {value} {between} be 1MB aligned"));
    }
    let beside: Vec<_> = numa.localities.iter().filter(|other| other.is_beside(&locality)).collect();
    if beside.iter().any(|other| (other.initiator, other.target) == (initiator, target)) {
        return refused(format!("Duplicate configuration of the {kind} for initiator={initiator} and target={target}"));
    }
    let values = || beside.iter().map(|other| other.value).chain([value]);
    let base = base(values(), locality.is_bandwidth());
    if values().any(|value| value / base >= TOO_MANY_UNITS) {
        let most = TOO_MANY_UNITS - 1;
        return refused(match locality.is_bandwidth() {
            true => {
                format!("Bandwidth {value} {between} not differ from previously entered values on more than {most}")
            }
            false => format!(
                "Latency {value} {between} not differ from previously entered min or max values on more than {most}"
            ),
        });
    }
    numa.localities.push(locality);
    Ok(())
}

/// Whether processors were put into a node so far.
fn has_processors(numa: &NumaConfig, id: u16) -> bool {
    let listed = numa.nodes.iter().any(|node| node.id == id && !node.cpus.is_empty());
    listed || numa.cpus.iter().any(|cpu| cpu.node == id)
}

pub(super) fn side_cache(draft: &mut Draft<'_>, options: &mut Suboptions) -> Result<(), Reason> {
    let numa = &mut draft.config.numa;
    let node: u16 = needed(options, "node-id")?;
    let size = options.size("size", 1)?.ok_or(Reason::MissingProperty("size"))?;
    let level: u8 = needed(options, "level")?;
    let (associativity, policy) = (word(options, "associativity", &ASSOCIATIVITY)?, word(options, "policy", &POLICY)?);
    let line = needed(options, "line")?;
    let refused = |why: String| Err(Reason::refused(why));
    let count = numa.nodes.len();
    if usize::from(node) >= count {
        return refused(format!("Invalid node-id={node}, it should be less than {count}"));
    }
    let told = |bandwidth: bool| {
        let about = |told: &LocalityConfig| told.target == node && told.value != 0 && told.is_bandwidth() == bandwidth;
        numa.localities.iter().any(about)
    };
    if !(told(false) && told(true)) {
        return refused(format!(
            "The latency and bandwidth information of node-id={node} should be provided before memory side cache attributes"
        ));
    }
    if !(1..=LAST_LEVEL).contains(&level) {
        return refused(format!(
            "Invalid level={level}, it should be larger than 0 and less than or equal to {LAST_LEVEL}"
        ));
    }
    let at = |level: u8| numa.side_caches.iter().find(|cache| (cache.node, cache.level) == (node, level));
    if at(level).is_some() {
        return refused(format!("Duplicate configuration of the side cache for node-id={node} and level={level}"));
    }
    if level > 1 {
        let before = level - 1;
        let Some(smaller) = at(before) else { return refused(format!("Cache level={before} shall be defined first")) };
        if size <= smaller.size {
            return refused(format!(
                "Invalid size={size}, the size of level={level} should be larger than the size({}) of level={before}",
                smaller.size
            ));
        }
    }
    numa.side_caches.push(SideCacheConfig { node, size, level, associativity, policy, line });
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::commandline::{Vocabulary, parse};

    fn error(more: &str) -> String {
        let line = format!("-M pc,hmat=on -smp 1 -numa node,cpus=0,mem=64M -numa node,mem=64M {more}");
        let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        parse(&words, &Vocabulary::default()).expect_err("refused").to_string()
    }

    #[test]
    fn what_does_not_fit_together_is_refused_in_qemus_words() {
        let lb = |rest: &str| format!("-numa hmat-lb,initiator=0,target=1,hierarchy=memory,data-type={rest} ");
        let known = lb("access-latency,latency=10") + &lb("access-bandwidth,bandwidth=10M");
        let cache = |rest: &str| format!("-numa hmat-cache,associativity=none,policy=none,line=8,{rest} ");
        let cached = known.clone() + &cache("node-id=1,size=1M,level=1");
        let disabled = "-numa hmat-lb,hierarchy=memory,data-type=access-latency,latency=1";
        for (options, why) in [
            (format!("{disabled},initiator=2,target=0"), "Invalid initiator=2, it should be less than 2"),
            (format!("{disabled},initiator=0,target=2"), "Invalid target=2, it should be less than 2"),
            (format!("{disabled},initiator=1,target=0"), "Invalid initiator=1, it isn't an initiator proximity domain"),
            (lb("access-latency"), "Missing 'latency' option"),
            (lb("read-bandwidth,latency=1"), "Missing 'bandwidth' option"),
            (lb("read-latency,latency=1,bandwidth=1M"), "Invalid option 'bandwidth' since the data type is latency"),
            (lb("width"), "Parameter 'data-type' does not accept value 'width'"),
            (
                lb("access-bandwidth,bandwidth=1500K"),
                "Bandwidth 1536000 between initiator=0 and target=1 should be 1MB aligned",
            ),
            (
                known.clone() + &lb("access-latency,latency=3"),
                "Duplicate configuration of the latency for initiator=0 and target=1",
            ),
            (
                known.clone()
                    + "-numa hmat-lb,initiator=0,target=0,hierarchy=memory,data-type=access-latency,latency=65535",
                "Latency 65535 between initiator=0 and target=0 should not differ from previously entered min or max values \
                 on more than 65534",
            ),
            (
                cache("node-id=1,size=1M,level=1"),
                "The latency and bandwidth information of node-id=1 should be provided before memory side cache attributes",
            ),
            (known.clone() + &cache("node-id=2,size=1M,level=1"), "Invalid node-id=2, it should be less than 2"),
            (
                known.clone() + &cache("node-id=1,size=1M,level=4"),
                "Invalid level=4, it should be larger than 0 and less than or equal to 3",
            ),
            (known.clone() + &cache("node-id=1,size=1M,level=2"), "Cache level=1 shall be defined first"),
            (
                cached.clone() + &cache("node-id=1,size=1M,level=1"),
                "Duplicate configuration of the side cache for node-id=1 and level=1",
            ),
            (
                cached.clone() + &cache("node-id=1,size=1M,level=2"),
                "Invalid size=1048576, the size of level=2 should be larger than the size(1048576) of level=1",
            ),
        ] {
            assert!(error(&options).ends_with(&format!(": {why}")), "{options}: {}", error(&options));
        }
    }

    #[test]
    fn a_base_is_what_all_values_are_multiples_of() {
        assert_eq!(super::base([50, 1000, 0].into_iter(), false), 10);
        assert_eq!(super::base([6 << 20, 0, 16 << 20].into_iter(), true), 2 << 20);
        assert_eq!((super::base([0].into_iter(), true), super::base([0].into_iter(), false)), (1, 1));
    }
}
