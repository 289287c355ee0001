//! What a Linux guest tells of itself, found in its memory without asking: VMCOREINFO, where its kernel lies, its utsname.

mod search;
mod utsname;
mod vmcoreinfo;

pub use vmcoreinfo::Vmcoreinfo;

use crate::{Architecture, DumpError, PAGE_SIZE, PhysicalMemory, Progress, Range, Registers, paging};
use utsname::UTSNAME_LEN;

/// Where the kernel's image is mapped on x86-64 (`__START_KERNEL_map`), and where that ends.
const KERNEL_MAP: u64 = 0xffff_ffff_8000_0000;
const KERNEL_MAP_END: u64 = 0xffff_ffff_c000_0000;
/// Kernels are mapped in pages of this size.
const KERNEL_ALIGN: u64 = 2 << 20;
/// Where memory is mapped on i386 (`PAGE_OFFSET` as nearly every configuration has it).
const I386_PAGE_OFFSET: u64 = 0xc000_0000;

/// What is known of a guest that may be Linux.
#[derive(Clone, Debug, Default)]
pub struct Linux {
    /// The note that its kernel keeps for readers of dumps.
    pub vmcoreinfo: Option<Vmcoreinfo>,
    /// How far its image lies from where it was linked to (`phys_base`); 0 if that is not known.
    pub phys_base: i64,
    /// Its utsname, as it lies in its memory.
    utsname: Option<Box<[u8; UTSNAME_LEN]>>,
}

/// How sure it is that a VMCOREINFO is the running kernel's: a reset leaves those of earlier ones in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Belief {
    /// It has the form of one.
    Form,
    /// Its kernel is in memory where it says.
    InMemory,
    /// And a processor has it mapped there.
    Mapped,
}

/// The most believable VMCOREINFO so far.
struct Best<'a> {
    place: &'a Place<'a>,
    held: Option<(Belief, Linux)>,
}

impl Best<'_> {
    /// Whether there is no need to look at others.
    fn consider(&mut self, vmcoreinfo: Vmcoreinfo) -> bool {
        let found = self.place.kernel(vmcoreinfo);
        let sure = found.0 == Belief::Mapped;
        if self.held.as_ref().is_none_or(|(belief, _)| found.0 > *belief) {
            self.held = Some(found);
        }
        sure
    }
}

/// Where to look.
struct Place<'a> {
    memory: &'a dyn PhysicalMemory,
    ranges: &'a [Range],
    processors: &'a [Registers],
}

impl Linux {
    /// Looks for Linux in a guest's memory; `given` is a VMCOREINFO note that the guest handed out.
    pub(crate) fn find(
        memory: &dyn PhysicalMemory,
        ranges: &[Range],
        processors: &[Registers],
        given: Option<&[u8]>,
        progress: &Progress,
    ) -> Result<Self, DumpError> {
        let place = Place { memory, ranges, processors };
        if let Some(vmcoreinfo) = given.and_then(Vmcoreinfo::of_note) {
            return Ok(place.kernel(vmcoreinfo).1);
        }
        let mut best = Best { place: &place, held: None };
        // Kernels since 4.13 have their note at the beginning of a page; so it is found by looking at one line of each.
        let sure = search::notes_on_pages(memory, ranges, progress, &mut |note| best.consider(note))?;
        let mut names = Vec::new();
        if !sure && best.held.as_ref().is_none_or(|(belief, _)| *belief == Belief::Form) {
            let every = search::everywhere(memory, ranges, progress)?;
            every.notes.into_iter().any(|note| best.consider(note));
            names = every.utsnames;
        }
        let mut found = best.held.map(|(_, linux)| linux).unwrap_or_default();
        if found.utsname.is_none() {
            found.utsname = names.into_iter().next().map(Box::new);
        }
        if found.vmcoreinfo.is_none() && found.utsname.is_some() {
            found.phys_base = place.mapped_base().unwrap_or(0);
        }
        Ok(found)
    }

    /// Its utsname, or as much of one as readers need to learn the architecture.
    pub(crate) fn utsname(&self, architecture: Architecture) -> [u8; UTSNAME_LEN] {
        let release = self.vmcoreinfo.as_ref().and_then(|note| note.value("OSRELEASE"));
        self.utsname.as_deref().copied().unwrap_or_else(|| utsname::default(architecture, release))
    }

    /// Its release, if its utsname was found.
    pub fn release(&self) -> Option<String> {
        self.utsname.as_ref().map(|name| utsname::field(&name[..], utsname::RELEASE))
    }
}

impl Place<'_> {
    /// What a VMCOREINFO leads to.
    fn kernel(&self, vmcoreinfo: Vmcoreinfo) -> (Belief, Linux) {
        let long_mode = self.processors.iter().any(Registers::long_mode);
        let address = vmcoreinfo.symbol("init_uts_ns");
        let mapped = address.and_then(|address| self.mapped(address));
        let from_mapping = address.zip(mapped).filter(|_| long_mode);
        let from_mapping = from_mapping.map(|(from, to)| to.wrapping_sub(from - KERNEL_MAP) as i64);
        let phys_base = vmcoreinfo.number("phys_base").or(from_mapping).unwrap_or(0);
        let physical = address.and_then(|address| match address {
            KERNEL_MAP.. => Some((address - KERNEL_MAP).wrapping_add(phys_base as u64)),
            _ => address.checked_sub(I386_PAGE_OFFSET).filter(|_| !long_mode),
        });
        let utsname = [mapped, physical].into_iter().flatten().find_map(|at| {
            let offset = vmcoreinfo.offset("uts_namespace.name");
            self.utsname_at(at, offset, vmcoreinfo.value("OSRELEASE"))
        });
        let agrees = mapped.is_some() && (mapped == physical || physical.is_none());
        let belief = match &utsname {
            Some(_) if agrees => Belief::Mapped,
            Some(_) => Belief::InMemory,
            None => Belief::Form,
        };
        (belief, Linux { vmcoreinfo: Some(vmcoreinfo), phys_base, utsname })
    }

    /// Where any processor has an address.
    fn mapped(&self, address: u64) -> Option<u64> {
        let paged = self.processors.iter().filter(|registers| registers.pages());
        paged.into_iter().find_map(|registers| paging::translate(self.memory, self.ranges, registers, address))
    }

    /// The utsname in `struct uts_namespace` at a physical address, if it is of the release that is expected.
    fn utsname_at(&self, at: u64, offset: Option<u64>, release: Option<&str>) -> Option<Box<[u8; UTSNAME_LEN]>> {
        // Before kernels told, it came after a reference count, or first.
        let (offset, len) = offset.map_or((0, 64), |offset| (offset, 0));
        let start = at.checked_add(offset)?;
        let room = UTSNAME_LEN as u64 + len;
        let range = self.ranges.iter().find(|range| range.holds(start) && range.end() - start >= room)?;
        debug_assert!(range.len >= room);
        let bytes = self.memory.read(start, room as usize);
        let mut names = (0..=len as usize).step_by(4).filter_map(|at| utsname::at(bytes.get(at..)?));
        names.find(|name| release.is_none_or(|release| utsname::field(&name[..], utsname::RELEASE) == release))
    }

    /// `phys_base` by the lowest page of the kernel's image that is mapped.
    fn mapped_base(&self) -> Option<i64> {
        let long = self.processors.iter().filter(|registers| registers.pages() && registers.long_mode());
        long.into_iter().find_map(|registers| {
            let mut pages = (KERNEL_MAP..KERNEL_MAP_END).step_by(KERNEL_ALIGN as usize);
            pages.find_map(|page| {
                let found = paging::translate(self.memory, self.ranges, registers, page)?;
                found.is_multiple_of(PAGE_SIZE).then(|| found.wrapping_sub(page - KERNEL_MAP) as i64)
            })
        })
    }
}
