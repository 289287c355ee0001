//! Networks.

use crate::schema::declare::declare;

declare! {
    family "Networks";

    /// Plugs a network cable in or out.
    command steers "set_link" SetLink {
        /// The name of a device or of a network.
        name: String,
        /// In.
        up: bool,
    };

    /// Makes a network's host side, as `-netdev` does. Its own properties are further arguments.
    command steers "netdev_add" NetdevAdd {
        /// Its kind.
        ty as "type": String,
        /// Its name.
        id: String;
        ..properties
    };

    /// Removes a network's host side.
    command steers "netdev_del" NetdevDel {
        /// Its name.
        id: String,
    };

    /// Which packets of a kind are received.
    enum RxState {
        /// Those that are in the table.
        Normal = "normal",
        /// None.
        None = "none",
        /// All.
        All = "all",
    }

    /// Which packets a network card receives.
    struct RxFilterInfo {
        /// The card's name.
        name: String,
        /// All of them.
        promiscuous: bool,
        /// Those to several.
        multicast: RxState,
        /// Those to one.
        unicast: RxState,
        /// Those of a VLAN.
        vlan: RxState,
        /// Those to everybody.
        broadcast_allowed: bool,
        /// There is no room for more multicast addresses.
        multicast_overflow: bool,
        /// There is no room for more unicast addresses.
        unicast_overflow: bool,
        /// The card's address.
        main_mac: String,
        /// VLANs.
        vlan_table: Vec<i64>,
        /// Unicast addresses.
        unicast_table: Vec<String>,
        /// Multicast addresses.
        multicast_table: Vec<String>,
    }

    /// Tells which packets network cards receive. An error if the named one does not tell.
    command observes "query-rx-filter" QueryRxFilter {
        /// Only this card.
        name: Option<String>,
    } -> Vec<RxFilterInfo>;

    /// The guest has changed which packets a network card receives. Not sent again before `query-rx-filter`.
    event "NIC_RX_FILTER_CHANGED" NicRxFilterChanged {
        /// The card's name.
        name: Option<String>,
        /// Its path in the object model.
        path: String,
    };
}
