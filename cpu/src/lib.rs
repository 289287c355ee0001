//! The x86 core: state, decode, mmu, instructions by family, and the interpreter.
