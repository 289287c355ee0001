//! How vCPUs are arranged, and the APIC IDs that say so: a field of bits for each level, as wide as its count needs (Intel SDM
//! volume 3, section 9.9.1).

use serde::{Deserialize, Serialize};

/// How vCPUs are arranged. vCPUs are numbered thread by thread, core by core, die by die, package by package.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Topology {
    /// Packages.
    pub sockets: u32,
    /// Dies of each package.
    pub dies: u32,
    /// Cores of each die.
    pub cores: u32,
    /// Threads of each core.
    pub threads: u32,
}

impl Default for Topology {
    fn default() -> Self {
        Self { sockets: 1, dies: 1, cores: 1, threads: 1 }
    }
}

impl Topology {
    /// vCPUs in a package.
    pub fn per_socket(&self) -> u32 {
        self.dies * self.cores * self.threads
    }

    /// Width of the thread's field.
    pub fn thread_bits(&self) -> u32 {
        bits_for(self.threads)
    }

    /// Width of the fields within a package: what an ID is shifted by to give the package's.
    pub fn package_shift(&self) -> u32 {
        self.die_shift() + bits_for(self.dies)
    }

    fn die_shift(&self) -> u32 {
        self.thread_bits() + bits_for(self.cores)
    }

    /// How many IDs a package takes, unused ones among them.
    pub fn ids_per_socket(&self) -> u32 {
        1 << self.package_shift()
    }

    /// The APIC ID of the vCPU of this number.
    pub fn apic_id(&self, index: u32) -> u32 {
        let [dies, cores, threads] = [self.dies, self.cores, self.threads].map(|count| count.max(1));
        let (core, thread) = (index / threads, index % threads);
        let (die, core) = (core / cores, core % cores);
        let (package, die) = (die / dies, die % dies);
        package << self.package_shift() | die << self.die_shift() | core << self.thread_bits() | thread
    }
}

/// Bits that number so many things.
fn bits_for(count: u32) -> u32 {
    count.max(1).next_power_of_two().trailing_zeros()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(sockets: u32, dies: u32, cores: u32, threads: u32) -> Vec<u32> {
        let topology = Topology { sockets, dies, cores, threads };
        (0..sockets * topology.per_socket()).map(|index| topology.apic_id(index)).collect()
    }

    #[test]
    fn powers_of_two_leave_no_gaps() {
        assert_eq!(ids(8, 1, 1, 1), [0, 1, 2, 3, 4, 5, 6, 7]);
        assert_eq!(ids(1, 2, 2, 2), [0, 1, 2, 3, 4, 5, 6, 7]);
    }

    #[test]
    fn other_counts_leave_ids_unused() {
        assert_eq!(ids(2, 1, 3, 1), [0, 1, 2, 4, 5, 6]);
        assert_eq!(ids(1, 1, 2, 3), [0, 1, 2, 4, 5, 6]);
        assert_eq!(ids(1, 3, 1, 2), [0, 1, 2, 3, 4, 5]);
        assert_eq!(ids(2, 1, 1, 3), [0, 1, 2, 4, 5, 6]);
        assert_eq!(Topology { sockets: 1, dies: 1, cores: 5, threads: 3 }.ids_per_socket(), 32);
    }
}
