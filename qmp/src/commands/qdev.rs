//! Devices that come and go.

use crate::schema::declare::declare;
use serde_json::Value;

declare! {
    family "Devices";

    /// A property of a device.
    struct DevicePropertyInfo {
        /// The name.
        name: String,
        /// The type, as in `ObjectPropertyInfo`.
        ty as "type": String,
        /// What it is, in English.
        description: Option<String>,
        /// What it is unless it is set.
        #[serde(default, deserialize_with = "crate::schema::present")]
        default_value: Option<Value>,
    }

    /// Lists the properties of a device, which `-device` and `device_add` take.
    command observes "device-list-properties" DeviceListProperties {
        /// The device's type.
        typename: String,
    } -> Vec<DevicePropertyInfo>;

    /// Adds a device. The device's own properties are further arguments.
    command steers "device_add" DeviceAdd {
        /// The device's type.
        driver: String,
        /// The bus that it is plugged into; the first that fits if absent.
        bus: Option<String>,
        /// The device's name, which no other has.
        id: Option<String>;
        ..properties
    };

    /// Asks the guest to give a device up. DEVICE_DELETED tells when it is gone; a reset takes it away in any case.
    command steers "device_del" DeviceDel {
        /// The device's name, or its path in the object model.
        id: String,
    };

    /// A device is gone, and its name is free.
    event "DEVICE_DELETED" DeviceDeleted {
        /// Its name, if it had one.
        device: Option<String>,
        /// Its path in the object model.
        path: String,
    };

    /// The guest does not give a device up.
    event "DEVICE_UNPLUG_GUEST_ERROR" DeviceUnplugGuestError {
        /// Its name, if it has one.
        device: Option<String>,
        /// Its path in the object model.
        path: String,
    };
}
