//! The properties that every virtio function over PCI has, by QEMU's names.

use serde::{Deserialize, Serialize};

/// A property that is on, off, or left to the place the device is put in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnOffAuto {
    /// As the place asks for.
    #[default]
    Auto,
    /// On.
    On,
    /// Off.
    Off,
}

/// Declares a device's configuration: its own properties and those of the transport, so that one flat struct with no
/// unknown fields tells them all.
macro_rules! config_with_transport {
    (
        $(#[$meta:meta])*
        pub struct $name:ident {
            $($(#[$field_meta:meta])* pub $field:ident: $type:ty = $default:expr,)*
        }
    ) => {
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(default, deny_unknown_fields)]
        pub struct $name {
            $($(#[$field_meta])* pub $field: $type,)*
            /// No legacy interface; `auto` keeps it, as this is conventional PCI.
            #[serde(rename = "disable-legacy")]
            pub disable_legacy: $crate::virtio::OnOffAuto,
            /// No modern interface.
            #[serde(rename = "disable-modern")]
            pub disable_modern: bool,
            /// Offers packed rings.
            pub packed: bool,
            /// Offers the event index.
            pub event_idx: bool,
            /// Offers tables of descriptors.
            pub indirect_desc: bool,
            /// Offers any layout of messages, to legacy drivers.
            pub any_layout: bool,
            /// Offers to use buffers in order.
            pub in_order: bool,
            /// Offers to reset single queues.
            pub queue_reset: bool,
            /// How many MSI-X vectors; zero: no MSI-X. As many as there are queues and one more, if not given.
            pub vectors: Option<u16>,
            /// Accepted: notifications are always handled at once.
            pub ioeventfd: bool,
            /// Accepted: host I/O is never done in the machine's thread.
            pub iothread: Option<String>,
        }

        impl Default for $name {
            fn default() -> Self {
                Self {
                    $($field: $default,)*
                    disable_legacy: $crate::virtio::OnOffAuto::Auto,
                    disable_modern: false,
                    packed: false,
                    event_idx: true,
                    indirect_desc: true,
                    any_layout: true,
                    in_order: false,
                    queue_reset: true,
                    vectors: None,
                    ioeventfd: true,
                    iothread: None,
                }
            }
        }

        impl $name {
            pub(in crate::virtio) fn transport(&self) -> $crate::virtio::TransportConfig {
                $crate::virtio::TransportConfig {
                    legacy: self.disable_legacy != $crate::virtio::OnOffAuto::On,
                    modern: !self.disable_modern,
                    packed: self.packed,
                    event_idx: self.event_idx,
                    indirect_desc: self.indirect_desc,
                    any_layout: self.any_layout,
                    in_order: self.in_order,
                    queue_reset: self.queue_reset,
                    vectors: self.vectors,
                }
            }
        }
    };
}

pub(super) use config_with_transport;

/// How a device's transport is set up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TransportConfig {
    /// With the legacy interface.
    pub legacy: bool,
    /// With the modern interface.
    pub modern: bool,
    /// Offers packed rings.
    pub packed: bool,
    /// Offers the event index.
    pub event_idx: bool,
    /// Offers tables of descriptors.
    pub indirect_desc: bool,
    /// Offers any layout of messages, to legacy drivers.
    pub any_layout: bool,
    /// Offers to use buffers in order.
    pub in_order: bool,
    /// Offers to reset single queues.
    pub queue_reset: bool,
    /// How many MSI-X vectors, if not one more than there are queues.
    pub vectors: Option<u16>,
}
