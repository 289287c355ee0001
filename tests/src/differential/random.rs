//! Random values that look for trouble: a known sequence from a seed, weighted to where instructions change behaviour.

/// SplitMix64.
#[derive(Clone, Debug)]
pub struct Random(u64);

const EDGES: [u64; 24] = [
    0,
    1,
    2,
    3,
    7,
    8,
    0x1f,
    0x20,
    0x3f,
    0x40,
    0x7f,
    0x80,
    0xff,
    0x100,
    0x7fff,
    0x8000,
    0xffff,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_ffff,
    0x1_0000_0000,
    0x7fff_ffff_ffff_ffff,
    0x8000_0000_0000_0000,
    u64::MAX,
];

const SINGLES: [u32; 24] = [
    0,
    1,
    2,
    0x007f_ffff,
    0x0080_0000,
    0x0080_0001,
    0x3f80_0000,
    0x3f80_0001,
    0x3f7f_ffff,
    0x3f00_0000,
    0x3fc0_0000,
    0x4020_0000,
    0x4000_0000,
    0x4b00_0000,
    0x4b80_0000,
    0x4eff_ffff,
    0x4f00_0000,
    0x5f00_0000,
    0x7f00_0000,
    0x7f7f_ffff,
    0x7f80_0000,
    0x7f80_0001,
    0x7fbf_ffff,
    0x7fc0_0000,
];

const DOUBLES: [u64; 24] = [
    0,
    1,
    2,
    0x000f_ffff_ffff_ffff,
    0x0010_0000_0000_0000,
    0x3690_0000_0000_0000,
    0x380f_ffff_ffff_ffff,
    0x3ff0_0000_0000_0000,
    0x3ff0_0000_0000_0001,
    0x3fef_ffff_ffff_ffff,
    0x3fe0_0000_0000_0000,
    0x3ff8_0000_0000_0000,
    0x4004_0000_0000_0000,
    0x41df_ffff_ffc0_0000,
    0x41e0_0000_0000_0000,
    0x4330_0000_0000_0000,
    0x43e0_0000_0000_0000,
    0x47ef_ffff_ffff_ffff,
    0x47f0_0000_0000_0000,
    0x7fef_ffff_ffff_ffff,
    0x7ff0_0000_0000_0000,
    0x7ff0_0000_0000_0001,
    0x7ff7_ffff_ffff_ffff,
    0x7ff8_0000_0000_0000,
];

/// Sign and exponent, significand.
const EXTENDED: [(u16, u64); 24] = [
    (0, 0),
    (0, 1),
    (0, 0x7fff_ffff_ffff_ffff),
    (0, 0x8000_0000_0000_0000),
    (1, 0x8000_0000_0000_0000),
    (0x3c01, 0x8000_0000_0000_0000),
    (0x3f81, 0xffff_ff80_0000_0000),
    (0x3ffe, 0xffff_ffff_ffff_ffff),
    (0x3ffe, 0x8000_0000_0000_0000),
    (0x3fff, 0x8000_0000_0000_0000),
    (0x3fff, 0x8000_0000_0000_0001),
    (0x3fff, 0xc000_0000_0000_0000),
    (0x4000, 0xc90f_daa2_2168_c235),
    (0x400d, 0xffff_0000_0000_0000),
    (0x401e, 0x8000_0000_0000_0000),
    (0x403a, 0xde0b_6b3a_763f_ffff),
    (0x403e, 0x8000_0000_0000_0000),
    (0x407e, 0xffff_ff80_0000_0000),
    (0x43fe, 0xffff_ffff_ffff_fc00),
    (0x7ffe, 0xffff_ffff_ffff_ffff),
    (0x7fff, 0x8000_0000_0000_0000),
    (0x7fff, 0x8000_0000_0000_0001),
    (0x7fff, 0xc000_0000_0000_0000),
    (0x4001, 0x0000_0000_0000_0001),
];

impl Random {
    /// The sequence of a seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Any 64 bits.
    pub fn word(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    /// Any number below `limit`.
    pub fn below(&mut self, limit: u64) -> u64 {
        ((u128::from(self.word()) * u128::from(limit)) >> 64) as u64
    }

    /// Whether something happens that does so once in `times`.
    pub fn once_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }

    /// One of some.
    pub fn one_of<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len() as u64) as usize]
    }

    /// An integer: an edge or beside one, a small count, a power of two, or anything.
    pub fn integer(&mut self) -> u64 {
        match self.below(8) {
            0 | 1 => {
                let edge = self.one_of(&EDGES);
                if self.once_in(2) { edge } else { edge.wrapping_neg() }
            }
            2 => self.below(130),
            3 => 1 << self.below(64),
            4 => self.word() >> self.below(64),
            5 => ((self.word() as i64) >> self.below(64)) as u64,
            _ => self.word(),
        }
    }

    /// A single's bits.
    pub fn single(&mut self) -> u32 {
        let sign = (self.word() as u32) & 0x8000_0000;
        match self.below(6) {
            0 | 1 => self.one_of(&SINGLES) ^ sign,
            // Near one, so that sums and products stay finite and round.
            2 | 3 => sign | (0x7f - 12 + self.below(24) as u32) << 23 | self.word() as u32 & 0x7f_ffff,
            4 => (self.below(200) as f32 - 100.0).to_bits(),
            _ => self.word() as u32,
        }
    }

    /// A double's bits.
    pub fn double(&mut self) -> u64 {
        let sign = self.word() & 1 << 63;
        match self.below(6) {
            0 | 1 => self.one_of(&DOUBLES) ^ sign,
            2 | 3 => sign | (0x3ff - 30 + self.below(60)) << 52 | self.word() >> 12,
            4 => (self.below(200) as f64 - 100.0).to_bits(),
            _ => self.word(),
        }
    }

    /// An extended double's eighty bits.
    pub fn extended(&mut self) -> u128 {
        let sign = (self.word() as u16) & 0x8000;
        let (exponent, significand) = match self.below(6) {
            0 | 1 => {
                let (exponent, significand) = self.one_of(&EXTENDED);
                (exponent ^ sign, significand)
            }
            2 | 3 => (sign | (0x3fff - 30 + self.below(60)) as u16, self.word() | 1 << 63),
            4 => (sign | (0x3fff + self.below(70) as u16), 1 << 63 | self.word() & u64::MAX << self.below(64)),
            _ => (self.word() as u16, self.word()),
        };
        u128::from(exponent) << 64 | u128::from(significand)
    }

    /// 128 bits of integers, singles or doubles.
    pub fn vector(&mut self) -> u128 {
        let half = |r: &mut Self, kind| match kind {
            0 => u64::from(r.single()) | u64::from(r.single()) << 32,
            1 => r.double(),
            2 => r.integer(),
            _ => r.word(),
        };
        let kind = self.below(5);
        match kind {
            4 => self.vector_of_bytes(),
            _ => u128::from(half(self, kind)) | u128::from(half(self, kind)) << 64,
        }
    }

    /// Bytes at the ends of their range.
    fn vector_of_bytes(&mut self) -> u128 {
        let bytes: [u8; 16] = core::array::from_fn(|_| {
            let any = self.word() as u8;
            self.one_of(&[0, 1, 0x7f, 0x80, 0xff, any, any & 15, any])
        });
        u128::from_le_bytes(bytes)
    }
}
