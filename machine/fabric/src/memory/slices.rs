//! RAM that something outside writes by itself, such as a host's file that is read into it.

use super::{Memory, Target};

impl Memory {
    /// Ranges of RAM (physical addresses and lengths) to be written from outside, in their order, as slices of at least one
    /// byte; a range may be several. `None` if something else than RAM is among them, or a byte twice. They count as
    /// written whether they are or not.
    pub fn slices_mut(&mut self, spans: &[(u64, u64)]) -> Option<Vec<&mut [u8]>> {
        let mut runs = Vec::with_capacity(spans.len());
        for (address, len) in spans {
            let mut done = 0;
            while done < *len {
                let (target, run) = self.run(address.wrapping_add(done), len - done, true);
                let Some(Target::Ram(offset)) = target else { return None };
                runs.push((offset, run));
                done += run;
            }
        }
        let mut by_place: Vec<_> = (0..runs.len()).collect();
        by_place.sort_unstable_by_key(|run| runs[*run]);
        if by_place.windows(2).any(|pair| runs[pair[0]].0 + runs[pair[0]].1 > runs[pair[1]].0) {
            return None;
        }
        for (offset, len) in &runs {
            self.before_store(*offset, *len);
            self.written(*offset, *len);
        }
        let mut rest = self.arena.bytes_mut(0, self.arena.len())?;
        let mut at = 0;
        let mut slices: Vec<&mut [u8]> = runs.iter().map(|_| [].as_mut_slice()).collect();
        for run in by_place {
            let (offset, len) = runs[run];
            let (slice, after) =
                rest.split_at_mut_checked((offset - at) as usize)?.1.split_at_mut_checked(len as usize)?;
            (slices[run], rest, at) = (slice, after, offset + len);
        }
        Some(slices)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::two_pages_of_ram_and_a_rom;
    use super::super::{PAGE_SIZE, StaleCode};

    #[test]
    fn slices_come_in_the_order_asked_for() {
        let mut memory = two_pages_of_ram_and_a_rom();
        let spans = [(0x1800, 3), (0x10, 2), (0xfff, 2), (0x12, 0)];
        let slices = memory.slices_mut(&spans).unwrap();
        assert_eq!(slices.iter().map(|slice| slice.len()).collect::<Vec<_>>(), [3, 2, 2]);
        slices.into_iter().zip(1..).for_each(|(slice, number)| slice.fill(number));
        for ((address, len), number) in spans.into_iter().zip(1..).take(3) {
            let mut back = vec![0; len as usize];
            memory.read_bytes(address, &mut back);
            assert_eq!(back, vec![number; len as usize]);
        }
        assert_eq!(memory.take_dirty(), [0, 1], "pages");
    }

    #[test]
    fn what_is_no_ram_or_named_twice_cannot_be_had() {
        let mut memory = two_pages_of_ram_and_a_rom();
        for spans in [
            [(0x1ffe, 4), (0, 1)],
            [(0xf000, 4), (0, 1)],
            [(0x5000, 4), (0, 1)],
            [(0x100, 4), (0x103, 1)],
            [(0x100, 4), (0x100, 4)],
            [(0, u64::MAX), (0, 1)],
            [(u64::MAX, 2), (0, 1)],
        ] {
            assert!(memory.slices_mut(&spans).is_none(), "{spans:x?}");
        }
        assert!(memory.slices_mut(&[]).is_some_and(|slices| slices.is_empty()));
    }

    #[test]
    fn decoded_code_in_them_is_told_of() {
        let mut memory = two_pages_of_ram_and_a_rom();
        memory.mark_code(0x1040, 1);
        memory.slices_mut(&[(0x800, 0x100)]).unwrap();
        assert!(!memory.has_stale());
        memory.slices_mut(&[(0xf00, 0x200)]).unwrap();
        assert_eq!(memory.take_stale(), [StaleCode { page: PAGE_SIZE, lines: 1 << 1 }]);
    }
}
