//! Writers of ELF and kdump files. Knows no machine.
