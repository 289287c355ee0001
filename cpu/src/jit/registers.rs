//! Where translated code keeps what.
//!
//! | host | holds |
//! |---|---|
//! | RBP | the [`Vcpu`](crate::Vcpu) |
//! | RAX, R8, R9 | scratch; R8 the address of a memory operand |
//! | RCX, RDX, RBX, RSI, RDI, R12, R13, R14 | the guest's registers of the same names |
//! | R10, R15, R11 | the guest's RAX, RSP, RBP |
//!
//! The guest's R8 to R11 and R15 stay in memory.

use iced_x86::Register;

/// A general register of the host, by its number in the encoding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Host(pub(super) u8);

impl Host {
    pub(super) const RAX: Self = Self(0);
    pub(super) const RCX: Self = Self(1);
    pub(super) const RDX: Self = Self(2);
    pub(super) const RBX: Self = Self(3);
    pub(super) const RSP: Self = Self(4);
    pub(super) const RBP: Self = Self(5);
    pub(super) const RSI: Self = Self(6);
    pub(super) const RDI: Self = Self(7);
    pub(super) const R8: Self = Self(8);
    pub(super) const R9: Self = Self(9);
    pub(super) const R10: Self = Self(10);
    pub(super) const R11: Self = Self(11);
    pub(super) const R12: Self = Self(12);
    pub(super) const R13: Self = Self(13);
    pub(super) const R14: Self = Self(14);
    pub(super) const R15: Self = Self(15);

    /// The part of the register that is `bytes` wide, as iced names it.
    pub(super) fn part(self, bytes: usize) -> Register {
        let number = u32::from(self.0);
        match bytes {
            // AH to BH stand between BL and SPL.
            1 if number < 4 => Register::AL + number,
            1 => Register::SPL + (number - 4),
            2 => Register::AX + number,
            4 => Register::EAX + number,
            _ => Register::RAX + number,
        }
    }
}

/// The guest's stack pointer.
pub(super) const GUEST_RSP: Host = Host::R15;
/// The guest's frame pointer.
pub(super) const GUEST_RBP: Host = Host::R11;
/// The guest's accumulator.
pub(super) const GUEST_RAX: Host = Host::R10;

/// For each register of the guest its register of the host, if it has one.
const PLACES: [Option<Host>; 16] = [
    Some(GUEST_RAX),
    Some(Host::RCX),
    Some(Host::RDX),
    Some(Host::RBX),
    Some(GUEST_RSP),
    Some(GUEST_RBP),
    Some(Host::RSI),
    Some(Host::RDI),
    None,
    None,
    None,
    None,
    Some(Host::R12),
    Some(Host::R13),
    Some(Host::R14),
    None,
];

/// The host's register that holds a guest's register of this number.
pub(super) fn place(guest: usize) -> Option<Host> {
    PLACES.get(guest).copied().flatten()
}

/// The guest's registers that are kept in registers, with these.
pub(super) fn pinned() -> impl Iterator<Item = (usize, Host)> {
    PLACES.into_iter().enumerate().filter_map(|(guest, host)| Some((guest, host?)))
}
