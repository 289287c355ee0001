//! QMP: wire protocol, types and registry. Knows no machine.
