//! The object model: a tree of objects with properties, and the types that there are.

use crate::schema::declare::declare;
use serde_json::Value;

declare! {
    family "Object model";

    /// A property of an object or of a type.
    struct ObjectPropertyInfo {
        /// The name.
        name: String,
        /// The type: `bool`, `str`, `uint16` and so on; `child<TYPE>` is a part of the object, `link<TYPE>` points at another.
        ty as "type": String,
        /// What it is, in English.
        description: Option<String>,
        /// What it is unless it is set.
        #[serde(default, deserialize_with = "crate::schema::present")]
        default_value: Option<Value>,
    }

    /// Lists the properties of an object.
    command observes "qom-list" QomList {
        /// Its path, see `qom-get`.
        path: String,
    } -> Vec<ObjectPropertyInfo>;

    /// Reads a property of an object.
    command observes "qom-get" QomGet {
        /// The object's path. With a slash in front it begins at the root; a path without one is tried at every level of
        /// the tree, and has to fit exactly once.
        path: String,
        /// The property's name.
        property: String,
    } -> Value;

    /// Writes a property of an object.
    command steers "qom-set" QomSet {
        /// The object's path, see `qom-get`.
        path: String,
        /// The property's name.
        property: String,
        /// The value, in the property's type.
        value: Value,
    };

    /// A type of objects.
    struct ObjectTypeInfo {
        /// The name.
        name: String,
        /// There is no object of just this type. Absent means no.
        is_abstract as "abstract": Option<bool>,
        /// The type that it is a kind of.
        parent: Option<String>,
    }

    /// Lists types of objects.
    command observes "qom-list-types" QomListTypes {
        /// Only those that are of this type, or implement this interface.
        implements: Option<String>,
        /// Abstract types too.
        with_abstract as "abstract": Option<bool>,
    } -> Vec<ObjectTypeInfo>;

    /// Lists the properties of a type.
    command observes "qom-list-properties" QomListProperties {
        /// The type.
        typename: String,
    } -> Vec<ObjectPropertyInfo>;

    /// Makes an object, as `-object` does. It is found under `/objects`.
    command steers "object-add" ObjectAdd {
        /// The type: `iothread`, `memory-backend-ram` and so on.
        qom_type: String,
        /// The new object's name.
        id: String,
        /// Its properties, in an object of their own; how QEMU 2.11 has them.
        #[serde(default, deserialize_with = "crate::schema::present")]
        props: Option<Value>;
        ..properties
    };

    /// Removes an object that nothing uses.
    command steers "object-del" ObjectDel {
        /// Its name.
        id: String,
    };
}
