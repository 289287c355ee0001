//! Getting loose from peers that hang.

use crate::schema::declare::declare;

declare! {
    family "Yank";

    /// Kinds of what can hang.
    enum YankInstanceType {
        /// A drive's image.
        BlockNode = "block-node",
        /// A character device.
        Chardev = "chardev",
        /// A migration.
        Migration = "migration",
    }

    /// A drive's image.
    struct YankInstanceBlockNode {
        /// Its name.
        node_name: String,
    }

    /// A character device.
    struct YankInstanceChardev {
        /// Its name.
        id: String,
    }

    /// A migration.
    struct YankInstanceMigration {}

    /// Something that can hang.
    union YankInstance {}
    /// Its kind.
    by kind = "type": YankInstanceType as YankInstanceOf {
        BlockNode = "block-node": YankInstanceBlockNode,
        Chardev = "chardev": YankInstanceChardev,
        Migration = "migration": YankInstanceMigration,
    }

    /// Cuts connections, so that what waits for their other ends waits no more.
    command observes oob "yank" Yank {
        /// Which.
        instances: Vec<YankInstance>,
    };

    /// Lists what can be cut.
    command observes oob "query-yank" QueryYank {} -> Vec<YankInstance>;
}
