//! The x86 core: state, decode, mmu, instructions by family, and the interpreter.

pub mod float;
