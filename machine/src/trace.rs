//! `-d`: what the vCPUs do, line by line, for whoever has to find out why a guest went wrong.

use crate::commandline::LogConfig;
use crate::machine::Machine;
use iced_x86::{Decoder, DecoderOptions, Formatter, Instruction, IntelFormatter};
use lockstep_cpu::state::seg;
use lockstep_cpu::{Fault, Traced, Vcpu};
use lockstep_fabric::{Bus, Tick};
use std::fs::File;
use std::io::{self, BufWriter, Write};

/// Longest instruction.
const INSTRUCTION_BYTES: usize = 15;

/// Which lines are wanted.
#[derive(Clone, Copy, Debug, Default)]
struct Wanted {
    exceptions: bool,
    instructions: bool,
    registers: bool,
    from: Tick,
}

/// Starts tracing as the command line asks.
pub(crate) fn start(log: &LogConfig, machine: &mut Machine) -> io::Result<()> {
    if let Some(path) = &log.file {
        File::create(path)?;
    }
    change(log, machine)
}

/// Traces from now on what `log` says, and goes on in the file that [`start`] made.
pub(crate) fn change(log: &LogConfig, machine: &mut Machine) -> io::Result<()> {
    let item = |name: &str| log.items.iter().any(|item| item == name);
    let from = log.items.iter().find_map(|item| item.strip_prefix("from:")?.parse().ok());
    let wanted = Wanted {
        exceptions: item("int"),
        instructions: item("in_asm") || item("exec"),
        registers: item("cpu"),
        from: from.unwrap_or(0),
    };
    if !(wanted.exceptions || wanted.instructions || wanted.registers) {
        machine.set_tracer(None, false);
        return Ok(());
    }
    let mut out: Box<dyn Write + Send> = match &log.file {
        Some(path) => Box::new(BufWriter::new(File::options().append(true).create(true).open(path)?)),
        None => Box::new(BufWriter::new(io::stderr())),
    };
    let each_instruction = wanted.instructions || wanted.registers;
    let tracer = move |cpu: &Vcpu, bus: &Bus, what: Traced| {
        if cpu.tick < wanted.from {
            return;
        }
        // A trace that cannot be written is no reason to stop the guest.
        let _ = match what {
            Traced::Instruction if wanted.registers => {
                instruction(&mut out, cpu, bus).and_then(|()| registers(&mut out, cpu))
            }
            Traced::Instruction => instruction(&mut out, cpu, bus),
            Traced::Exception(fault) if wanted.exceptions => exception(&mut out, cpu, fault),
            Traced::Exception(_) => Ok(()),
        };
        let _ = out.flush();
    };
    machine.set_tracer(Some(Box::new(tracer)), each_instruction);
    Ok(())
}

fn place(cpu: &Vcpu) -> String {
    format!("{} cpu{} {:04x}:{:016x}", cpu.tick, cpu.index, cpu.seg[seg::CS].selector, cpu.ip)
}

fn exception(out: &mut dyn Write, cpu: &Vcpu, fault: Fault) -> io::Result<()> {
    let vector = fault.vector().unwrap_or(0xff);
    let error = fault.error().map_or(String::new(), |e| format!(" error {e:04x}"));
    let address = if vector == lockstep_cpu::fault::vector::PF {
        format!(" address {:016x}", cpu.fault_address)
    } else {
        String::new()
    };
    writeln!(out, "{} exception {vector:02x}{error}{address}", place(cpu))
}

fn instruction(out: &mut dyn Write, cpu: &Vcpu, bus: &Bus) -> io::Result<()> {
    let base = if cpu.code64() { 0 } else { cpu.seg[seg::CS].base };
    let mut bytes = [0; INSTRUCTION_BYTES];
    let read = cpu.peek_code(bus, base.wrapping_add(cpu.ip), &mut bytes);
    let mut decoder = Decoder::with_ip(cpu.mode.size().bits(), &bytes[..read], cpu.ip, DecoderOptions::NONE);
    let mut decoded = Instruction::default();
    decoder.decode_out(&mut decoded);
    let mut text = String::new();
    IntelFormatter::new().format(&decoded, &mut text);
    writeln!(out, "{} {text}", place(cpu))
}

fn registers(out: &mut dyn Write, cpu: &Vcpu) -> io::Result<()> {
    const NAMES: [&str; 16] =
        ["ax", "cx", "dx", "bx", "sp", "bp", "si", "di", "8", "9", "10", "11", "12", "13", "14", "15"];
    for (name, value) in NAMES.iter().zip(cpu.gpr) {
        write!(out, "{name}={value:x} ")?;
    }
    writeln!(out, "fl={:x} cr0={:x} cr3={:x} cpl={}", cpu.flags.get().bits(), cpu.cr0.bits(), cpu.cr3, cpu.cpl)
}
