//! Memory that the guest says it has no use for: it is zeroes from then on, and the host has its pages back.

use super::{Memory, PAGE_SIZE, Target};

impl Memory {
    /// Zeroes the whole pages of RAM within these physical addresses and gives the host its memory back. What no RAM backs,
    /// and pages in part, stay as they are.
    pub fn forget_bytes(&mut self, address: u64, len: u64) {
        let mut done = 0;
        while done < len {
            let (target, run) = self.run(address.wrapping_add(done), len - done, true);
            if let Some(Target::Ram(offset)) = target {
                self.forget(offset, run);
            }
            done += run;
        }
    }

    /// The same by arena offset. To all that watches stores this is one of zeroes.
    fn forget(&mut self, offset: u64, len: u64) {
        let (mut page, end) = (offset.div_ceil(PAGE_SIZE), (offset + len) / PAGE_SIZE);
        let mut any = false;
        while let Some(written) = self.marks.touched_run(page..end) {
            let (at, len) = (written.start * PAGE_SIZE, (written.end - written.start) * PAGE_SIZE);
            self.before_store(at, len);
            self.arena.clear(at, len as usize);
            self.written(at, len);
            self.marks.set_untouched(written.clone());
            (page, any) = (written.end, true);
        }
        if any {
            // A store without asking would not mark these pages again.
            self.write_epoch += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Backing, Region, StaleCode};
    use super::*;
    use crate::DeviceId;

    const PAGES: u64 = 8;

    /// RAM of pages that each hold their number, from address 0, and a page of ROM behind it.
    fn numbered() -> Memory {
        let mut memory = Memory::new((PAGES + 1) * PAGE_SIZE).unwrap();
        let ram = memory.allocate(PAGES * PAGE_SIZE).unwrap();
        let rom = memory.allocate(PAGE_SIZE).unwrap();
        let backed = [(0, PAGES * PAGE_SIZE, Backing::Ram(ram)), (PAGES * PAGE_SIZE, PAGE_SIZE, Backing::Rom(rom))];
        for (index, (base, len, backing)) in (0..).zip(backed) {
            let (owner, base) = (DeviceId(0), Some(base));
            memory.add_region(Region { owner, index, base, len, priority: 0, reads: true, writes: true, backing });
        }
        (0..=PAGES).for_each(|page| assert!(memory.fill(page * PAGE_SIZE, &[page as u8 + 1; PAGE_SIZE as usize])));
        memory.take_dirty();
        memory
    }

    fn firsts(memory: &Memory) -> Vec<u8> {
        (0..=PAGES).map(|page| memory.load(page * PAGE_SIZE)).collect()
    }

    #[test]
    fn whole_pages_of_ram_become_zeroes_and_nothing_else_does() {
        let mut memory = numbered();
        memory.forget_bytes(2 * PAGE_SIZE - 1, 2 * PAGE_SIZE);
        assert_eq!(firsts(&memory), [1, 2, 0, 4, 5, 6, 7, 8, 9]);
        memory.forget_bytes(5 * PAGE_SIZE, PAGE_SIZE - 1);
        memory.forget_bytes(7 * PAGE_SIZE, u64::MAX - 7 * PAGE_SIZE);
        assert_eq!(firsts(&memory), [1, 2, 0, 4, 5, 6, 7, 0, 9], "ROM stays");
        assert!(memory.arena().bytes(2 * PAGE_SIZE, PAGE_SIZE as usize).unwrap().iter().all(|byte| *byte == 0));
        assert_eq!(memory.take_dirty(), [2, 7]);
    }

    #[test]
    fn what_was_forgotten_is_as_if_never_written_until_it_is() {
        let mut memory = numbered();
        assert!(memory.store_marked(3 * PAGE_SIZE, 1u8) || memory.free_to_write(3 * PAGE_SIZE));
        let epoch = memory.write_epoch();
        memory.forget_bytes(3 * PAGE_SIZE, PAGE_SIZE);
        assert_ne!(memory.write_epoch(), epoch, "rights that were given are void");
        assert!(!memory.touched()[3] && !memory.free_to_write(3 * PAGE_SIZE));
        assert_eq!(memory.take_dirty(), [3]);
        memory.forget_bytes(3 * PAGE_SIZE, PAGE_SIZE);
        assert_eq!(memory.take_dirty(), [0; 0], "there is nothing left to forget");
        memory.store_marked(3 * PAGE_SIZE, 7u8);
        assert!(memory.touched()[3] && memory.free_to_write(3 * PAGE_SIZE));
    }

    #[test]
    fn decoded_code_is_told_and_a_held_page_keeps_what_it_was() {
        let mut memory = numbered();
        memory.mark_code(PAGE_SIZE, 1);
        memory.hold(&[(0, 2 * PAGE_SIZE)]);
        memory.forget_bytes(0, 2 * PAGE_SIZE);
        assert_eq!(memory.take_stale(), [StaleCode { page: PAGE_SIZE, lines: 1 }]);
        let mut held = Vec::new();
        assert!(memory.take_held(0, 2 * PAGE_SIZE as usize, &mut held));
        assert_eq!((held[0], held[PAGE_SIZE as usize]), (1, 2));
        assert_eq!(firsts(&memory)[..3], [0, 0, 3]);
    }
}
