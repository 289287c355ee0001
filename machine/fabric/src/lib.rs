//! Guest memory, the bus, devices' contract, pins, the tick clock, the gate and state. Knows no x86 and no device.
