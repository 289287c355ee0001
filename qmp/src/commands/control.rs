//! The monitor itself: what it speaks, what it can do, who it is.

use crate::schema::declare::declare;
use serde_json::Value;

declare! {
    family "Monitor control";

    /// Ends the negotiation of capabilities. It has to be a client's first command, and is refused ever after.
    command observes "qmp_capabilities" QmpCapabilities {
        /// The capabilities to use, of those that the greeting offers.
        enable: Option<Vec<QmpCapability>>,
    };

    /// What a client and the monitor may agree on.
    enum QmpCapability {
        /// Commands that may, run out-of-band with `exec-oob`: at once, ahead of those that wait.
        Oob = "oob",
    }

    /// A version in three parts.
    struct VersionTriple {
        /// The major version.
        major: i64,
        /// The minor version.
        minor: i64,
        /// The micro version.
        micro: i64,
    }

    /// What this program is, as far as a client of QEMU is concerned.
    struct VersionInfo {
        /// The version of QEMU whose behaviour clients may expect; see `-compat-version`.
        qemu: VersionTriple,
        /// `lockstep-` and Lockstep's own version.
        package: String,
    }

    /// Tells the version.
    command observes "query-version" QueryVersion {} -> VersionInfo;

    /// One command.
    struct CommandInfo {
        /// The command's name.
        name: String,
    }

    /// Lists the commands that this monitor carries out.
    command observes "query-commands" QueryCommands {} -> Vec<CommandInfo>;

    /// One event.
    struct EventInfo {
        /// The event's name.
        name: String,
    }

    /// Lists the events that may be sent.
    command observes "query-events" QueryEvents {} -> Vec<EventInfo>;

    /// Describes all commands, events and types to programs.
    command observes "query-qmp-schema" QueryQmpSchema {} -> Vec<SchemaInfo>;

    /// One command, event or type. `meta-type` says which members stand beside it.
    union SchemaInfo {
        /// The name; types other than builtin ones have numbers.
        name: String,
    }
    /// What it is.
    by meta_type = "meta-type": SchemaMetaType as SchemaInfoOf {
        Builtin = "builtin": SchemaInfoBuiltin,
        Enum = "enum": SchemaInfoEnum,
        Array = "array": SchemaInfoArray,
        Object = "object": SchemaInfoObject,
        Alternate = "alternate": SchemaInfoAlternate,
        Command = "command": SchemaInfoCommand,
        Event = "event": SchemaInfoEvent,
    }

    /// What an entry of the schema can be.
    enum SchemaMetaType {
        Builtin = "builtin",
        Enum = "enum",
        Array = "array",
        Object = "object",
        Alternate = "alternate",
        Command = "command",
        Event = "event",
    }

    /// JSON's types.
    enum JsonType {
        String = "string",
        Number = "number",
        Int = "int",
        Boolean = "boolean",
        Null = "null",
        Object = "object",
        Array = "array",
        Value = "value",
    }

    /// A builtin type.
    struct SchemaInfoBuiltin {
        /// How its values look in JSON.
        json_type: JsonType,
    }

    /// A set of strings.
    struct SchemaInfoEnum {
        /// The strings.
        values: Vec<String>,
        /// The strings again, in newer versions of QEMU, each with what more there is to know. Nothing is, here.
        members: Option<Vec<SchemaInfoEnumMember>>,
    }

    /// One string of a set.
    struct SchemaInfoEnumMember {
        /// The string.
        name: String,
    }

    /// An array.
    struct SchemaInfoArray {
        /// The type of its elements.
        element_type: String,
    }

    /// An object.
    struct SchemaInfoObject {
        /// Its members.
        members: Vec<SchemaInfoObjectMember>,
        /// The member that selects one of `variants`.
        tag: Option<String>,
        /// What values of the tag add.
        variants: Option<Vec<SchemaInfoObjectVariant>>,
    }

    /// A member of an object.
    struct SchemaInfoObjectMember {
        /// The name.
        name: String,
        /// The type's name.
        ty as "type": String,
        /// There, and null, if the member may be absent.
        #[serde(default, deserialize_with = "crate::schema::present")]
        default: Option<Value>,
    }

    /// What a value of a tag adds.
    struct SchemaInfoObjectVariant {
        /// The tag's value.
        case: String,
        /// The name of the object type whose members are added.
        ty as "type": String,
    }

    /// A value of one of several types.
    struct SchemaInfoAlternate {
        /// The types.
        members: Vec<SchemaInfoAlternateMember>,
    }

    /// One of several types.
    struct SchemaInfoAlternateMember {
        /// The type's name.
        ty as "type": String,
    }

    /// A command.
    struct SchemaInfoCommand {
        /// The name of the object type of its arguments.
        arg_type: String,
        /// The name of the type of what it returns.
        ret_type: String,
        /// It may run out-of-band. Absent means no.
        allow_oob: Option<bool>,
    }

    /// An event.
    struct SchemaInfoEvent {
        /// The name of the object type of its data.
        arg_type: String,
    }

    /// The guest's name.
    struct NameInfo {
        /// What `-name` says, if it was given.
        name: Option<String>,
    }

    /// Tells the guest's name.
    command observes "query-name" QueryName {} -> NameInfo;

    /// Whether KVM runs the guest.
    struct KvmInfo {
        /// It does; never so here.
        enabled: bool,
        /// It could; never so here.
        present: bool,
    }

    /// Tells that KVM does not run the guest.
    command observes "query-kvm" QueryKvm {} -> KvmInfo;

    /// The guest's UUID.
    struct UuidInfo {
        /// What `-uuid` says, in lower case with hyphens; all zeros if it was not given.
        uuid as "UUID": String,
    }

    /// Tells the guest's UUID.
    command observes "query-uuid" QueryUuid {} -> UuidInfo;

    /// The processor architecture that is emulated.
    struct TargetInfo {
        /// `x86_64`.
        arch: String,
    }

    /// Tells which architecture is emulated.
    command observes "query-target" QueryTarget {} -> TargetInfo;

    /// Ends Lockstep. The reply is sent first.
    command observes "quit" Quit {};

    /// Carries out a command of the human monitor and returns what it would have shown, lines ending in CR LF. What the
    /// command does to the machine passes the gate by itself.
    command observes "human-monitor-command" HumanMonitorCommand {
        /// The command's line, as it would be typed.
        command_line: String,
        /// The vCPU that the command is about, if it is about one; default 0.
        cpu_index: Option<i64>,
    } -> String;

    /// What kind of value a command-line parameter has.
    enum CommandLineParameterType {
        /// Any text.
        String = "string",
        /// `on` or `off`.
        Boolean = "boolean",
        /// A number.
        Number = "number",
        /// A number, perhaps with a suffix K, M, G or T.
        Size = "size",
    }

    /// One parameter of a command-line option.
    struct CommandLineParameterInfo {
        /// The name.
        name: String,
        /// The kind of value.
        ty as "type": CommandLineParameterType,
        /// What it is for, in English.
        help: Option<String>,
        /// What holds without it.
        default: Option<String>,
    }

    /// A command-line option.
    struct CommandLineOptionInfo {
        /// The option, without its hyphen.
        option: String,
        /// Its parameters.
        parameters: Vec<CommandLineParameterInfo>,
    }

    /// Describes the command line's options that have parameters.
    command observes "query-command-line-options" QueryCommandLineOptions {
        /// Only this option; it must exist.
        option: Option<String>,
    } -> Vec<CommandLineOptionInfo>;
}
