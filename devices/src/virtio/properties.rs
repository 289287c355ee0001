//! The properties that every virtio function over PCI has.

use crate::properties::{Kind, PropertyValue, switch};
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

impl PropertyValue for OnOffAuto {
    const KIND: Kind = Kind::OnOffAuto;
    fn read(text: &str) -> Result<Self, &'static str> {
        match switch(text) {
            Some(true) => Ok(Self::On),
            Some(false) => Ok(Self::Off),
            None if text == "auto" => Ok(Self::Auto),
            None => Err("use on, off or auto"),
        }
    }
    fn show(&self) -> Option<String> {
        Some(["auto", "on", "off"][*self as usize].into())
    }
}

/// Declares a device's configuration: its own properties and those of the transport in one flat struct.
macro_rules! config_with_transport {
    (
        $(#[$meta:meta])*
        pub struct $name:ident { $($own:tt)* }
    ) => {
        $crate::properties::configuration! {
            $(#[$meta])*
            pub struct $name {
                $($own)*
                /// No legacy interface; auto keeps it, as this is conventional PCI.
                pub disable_legacy as "disable-legacy": $crate::virtio::OnOffAuto = $crate::virtio::OnOffAuto::Auto,
                /// No modern interface.
                pub disable_modern as "disable-modern": bool = false,
                /// Offers packed rings.
                pub packed: bool = false,
                /// Offers the event index.
                pub event_idx: bool = true,
                /// Offers tables of descriptors.
                pub indirect_desc: bool = true,
                /// Offers any layout of messages, to legacy drivers.
                pub any_layout: bool = true,
                /// Offers to use buffers in order.
                pub in_order: bool = false,
                /// Offers to reset single queues.
                pub queue_reset: bool = true,
                /// How many MSI-X vectors, 0 for none; enough for the queues, if not given.
                pub vectors: Option<u16> = None,
                /// Accepted: notifications are always handled at once.
                pub ioeventfd: bool = true,
                /// Accepted: host I/O is never done in the machine's thread.
                pub iothread: Option<String> = None,
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
