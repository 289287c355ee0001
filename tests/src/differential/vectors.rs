//! Recorded cases: what a host's CPU made of them, for hosts that have none.
//!
//! The file is gzipped JSON: a list of [`Vector`]. Registers are written by name where they differ: before the instruction
//! from [`Registers::default`], after it from before. A case to be recorded is first cut down to the registers that its
//! instruction names, so that the file stays small.

use super::campaign::{next_case, row_seed, rows};
use super::latitude::{excluded, untried};
use super::random::Random;
use super::state::{Case, DATA_LEN, Mode, Outcome, Poke, Registers, Stop};
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use iced_x86::{Decoder, DecoderOptions, InstructionInfoFactory, Mnemonic, Register};
use lockstep_cpu::table::{Row, Unit};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io;
use std::path::Path;

/// Registers by name, in hexadecimal.
type Named = BTreeMap<String, String>;

/// A recorded case.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Vector {
    /// The row: iced's name of the code.
    pub code: String,
    /// The code segment's size.
    pub mode: Mode,
    /// The instruction.
    pub bytes: Vec<u8>,
    /// Registers before that differ from [`Registers::default`].
    pub before: Named,
    /// Data before that differs from the background.
    pub pokes: Vec<Poke>,
    /// How it ended.
    pub stop: Stop,
    /// Registers after that differ from before.
    pub after: Named,
    /// Data after that differs from before.
    pub stores: Vec<Poke>,
}

/// Every register with its name.
fn fields(registers: &Registers) -> Vec<(String, u128)> {
    let single = [
        ("ip", registers.ip.into()),
        ("flags", registers.flags.into()),
        ("cs", registers.cs.into()),
        ("ss", registers.ss.into()),
        ("ds", registers.ds.into()),
        ("es", registers.es.into()),
        ("mxcsr", registers.mxcsr.into()),
        ("control", registers.control.into()),
        ("status", registers.status.into()),
        ("valid", registers.valid.into()),
    ];
    let single = single.into_iter().map(|(name, value): (&str, u128)| (name.to_owned(), value));
    let gpr = registers.gpr.iter().enumerate().map(|(i, v)| (format!("r{i}"), u128::from(*v)));
    let xmm = registers.xmm.iter().enumerate().map(|(i, v)| (format!("x{i}"), *v));
    let st = registers.st.iter().enumerate().map(|(i, v)| (format!("s{i}"), *v));
    single.chain(gpr).chain(xmm).chain(st).collect()
}

fn set_field(registers: &mut Registers, name: &str, value: u128) -> Option<()> {
    match name {
        "ip" => registers.ip = value as u64,
        "flags" => registers.flags = value as u64,
        "cs" => registers.cs = value as u16,
        "ss" => registers.ss = value as u16,
        "ds" => registers.ds = value as u16,
        "es" => registers.es = value as u16,
        "mxcsr" => registers.mxcsr = value as u32,
        "control" => registers.control = value as u16,
        "status" => registers.status = value as u16,
        "valid" => registers.valid = value as u8,
        _ => {
            let (file, number) = name.split_at_checked(1)?;
            let number: usize = number.parse().ok()?;
            match file {
                "r" => *registers.gpr.get_mut(number)? = value as u64,
                "x" => *registers.xmm.get_mut(number)? = value,
                "s" => *registers.st.get_mut(number)? = value,
                _ => return None,
            }
        }
    }
    Some(())
}

fn changes(from: &Registers, to: &Registers) -> Named {
    let from = fields(from);
    let differing = fields(to).into_iter().zip(from).filter(|(to, from)| to.1 != from.1);
    differing.map(|((name, value), _)| (name, format!("{value:x}"))).collect()
}

fn changed(from: &Registers, by: &Named) -> io::Result<Registers> {
    let mut registers = from.clone();
    for (name, value) in by {
        let value = u128::from_str_radix(value, 16).map_err(|_| io::ErrorKind::InvalidData)?;
        set_field(&mut registers, name, value).ok_or(io::ErrorKind::InvalidData)?;
    }
    Ok(registers)
}

/// The runs of bytes in which `to` differs from `from`.
fn stores(from: &[u8], to: &[u8]) -> Vec<Poke> {
    let mut runs: Vec<Poke> = Vec::new();
    for (at, byte) in to.iter().enumerate().filter(|(at, byte)| from[*at] != **byte) {
        match runs.last_mut() {
            Some(run) if run.at + run.bytes.len() == at => run.bytes.push(*byte),
            _ => runs.push(Poke { at, bytes: vec![*byte] }),
        }
    }
    runs
}

impl Vector {
    fn new(row: &Row, case: &Case, outcome: &Outcome) -> Self {
        let mut data = vec![0; DATA_LEN];
        case.data(&mut data);
        Self {
            code: format!("{:?}", row.code),
            mode: case.mode,
            bytes: case.bytes.clone(),
            before: changes(&Registers::default(), &case.before),
            pokes: case.pokes.clone(),
            stop: outcome.stop,
            after: changes(&case.before, &outcome.after),
            stores: stores(&data, &outcome.data),
        }
    }

    /// The case and what came of it.
    pub fn unfold(&self) -> io::Result<(Case, Outcome)> {
        let before = changed(&Registers::default(), &self.before)?;
        let after = changed(&before, &self.after)?;
        let case = Case { mode: self.mode, bytes: self.bytes.clone(), before, pokes: self.pokes.clone() };
        let mut data = vec![0; DATA_LEN];
        case.data(&mut data);
        for store in &self.stores {
            let place = data.get_mut(store.at..store.at + store.bytes.len()).ok_or(io::ErrorKind::InvalidData)?;
            place.copy_from_slice(&store.bytes);
        }
        Ok((case, Outcome { stop: self.stop, after, data }))
    }
}

/// Leaves of a case's registers only those that its instruction uses.
fn cut_down(row: &Row, case: &mut Case) {
    let instruction = Decoder::with_ip(case.mode.bits(), &case.bytes, case.before.ip, DecoderOptions::NONE).decode();
    let mut factory = InstructionInfoFactory::new();
    let used: BTreeSet<Register> =
        factory.info(&instruction).used_registers().iter().map(|r| r.register().full_register()).collect();
    let uses = |first: Register, i: usize| used.iter().any(|r| *r as usize == first as usize + i);
    let plain = Registers::default();
    let registers = &mut case.before;
    for i in 0..16 {
        if !uses(Register::RAX, i) {
            registers.gpr[i] = if i == 4 { registers.gpr[4] } else { 0 };
        }
        if !uses(Register::ZMM0, i) && !saves_all(instruction.mnemonic()) {
            registers.xmm[i] = 0;
        }
    }
    if row.unit == Unit::Integer || row.unit == Unit::Sse && !names_mmx(row) && !saves_all(instruction.mnemonic()) {
        (registers.control, registers.status, registers.valid) = (plain.control, plain.status, plain.valid);
        registers.st = plain.st;
    }
    if row.unit != Unit::Sse && !saves_all(instruction.mnemonic()) {
        registers.mxcsr = plain.mxcsr;
    }
}

fn saves_all(mnemonic: Mnemonic) -> bool {
    use Mnemonic as M;
    matches!(mnemonic, M::Fxsave | M::Fxsave64 | M::Fxrstor | M::Fxrstor64)
}

fn names_mmx(row: &Row) -> bool {
    use iced_x86::OpCodeOperandKind as Kind;
    row.code.op_code().op_kinds().iter().any(|k| matches!(k, Kind::mm_reg | Kind::mm_rm | Kind::mm_or_mem))
}

/// Whether a row's result can mean anything on another host.
pub fn recordable(row: &Row, mode: Mode) -> bool {
    excluded(row.code, mode).is_none() && !matches!(row.code.mnemonic(), Mnemonic::Rdfsbase | Mnemonic::Rdgsbase)
}

/// Records `cases` of every row that can be tried here.
pub fn record(mode: Mode, cases: usize, seed: u64, host: &mut dyn FnMut(&Case) -> Outcome) -> Vec<Vector> {
    let mut recorded = Vec::new();
    for row in rows().filter(|row| recordable(row, mode) && untried(row.code, mode).is_none()) {
        let mut random = Random::new(row_seed(seed, row.code, mode));
        for _ in 0..cases {
            let Some(mut case) = next_case(&mut random, row.code, mode) else { continue };
            cut_down(row, &mut case);
            let outcome = host(&case);
            recorded.push(Vector::new(row, &case, &outcome));
        }
    }
    recorded
}

/// Writes a file of vectors.
pub fn write(path: &Path, vectors: &[Vector]) -> io::Result<()> {
    // Whole or not at all: others may be reading.
    let draft = path.with_extension("draft");
    let mut to = GzEncoder::new(File::create(&draft)?, Compression::best());
    serde_json::to_writer(&mut to, vectors)?;
    to.finish()?.sync_all()?;
    std::fs::rename(draft, path)
}

/// Reads a file of vectors.
pub fn read(path: &Path) -> io::Result<Vec<Vector>> {
    Ok(serde_json::from_reader(io::BufReader::new(GzDecoder::new(File::open(path)?)))?)
}
