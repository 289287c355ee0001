//! `declare!`: one text from which a command's, a type's or an event's Rust type and its schema are made.
//!
//! ```text
//! declare! {
//!     family "Title";
//!
//!     /// Documentation of everything is mandatory.
//!     struct StatusInfo {
//!         /// `status` in JSON; an underscore is a hyphen there, unless `as "..."` gives the name.
//!         status: RunState,
//!         ///
//!         thread_id as "thread_id": Option<i64>,
//!     }
//!     /// ...
//!     enum RunState {
//!         /// ...
//!         Paused = "paused",
//!     }
//!     /// The members of the struct named after the tag's value stand beside the tag.
//!     union CpuInfo { ... } by arch = "arch": CpuInfoArch as CpuInfoOfArch { X86 = "x86": CpuInfoX86 }
//!     /// ...
//!     alternate StatsValue { Scalar: u64, List: Vec<u64> }
//!     /// `observes` or `steers`; then perhaps `oob`, it may run out-of-band, or `descriptor`, it is given the next file
//!     /// descriptor that came in; `; ..rest` after the arguments takes undeclared arguments.
//!     command observes "query-status" QueryStatus {} -> StatusInfo;
//!     /// A command whose arguments are a type that is declared elsewhere.
//!     command steers "blockdev-add" as BlockdevOptions;
//!     /// ... `limited`: at most one a second; `limited by "id"`: one for each value of that member.
//!     event "STOP" Stopped {};
//! }
//! ```
//!
//! The family's [`FAMILY`](crate::registry::Family) lists all of it.

/// A member's name in JSON.
macro_rules! wire_name {
    ($member:ident $wire:literal) => {
        $wire
    };
    ($member:ident) => {{
        const BYTES: [u8; stringify!($member).len()] = $crate::schema::declare::kebab(stringify!($member).as_bytes());
        match core::str::from_utf8(&BYTES) {
            Ok(name) => name,
            Err(_) => panic!("identifiers are UTF-8"),
        }
    }};
}
pub(crate) use wire_name;

/// `name` with hyphens for underscores. Raw identifiers need a name of their own.
pub(crate) const fn kebab<const LENGTH: usize>(name: &[u8]) -> [u8; LENGTH] {
    let mut kebab = [0; LENGTH];
    let mut at = 0;
    while at < LENGTH {
        assert!(name[at] != b'#', "give a raw identifier its name with `as`");
        kebab[at] = if name[at] == b'_' { b'-' } else { name[at] };
        at += 1;
    }
    kebab
}

macro_rules! member {
    ([$($doc:literal)*] $member:ident $(as $wire:literal)? : $ty:ty) => {
        $crate::schema::Member {
            name: $crate::schema::declare::wire_name!($member $($wire)?),
            docs: &[$($doc),*],
            ty: <$ty as $crate::schema::Qapi>::ty,
            optional: <$ty as $crate::schema::Qapi>::is_optional,
        }
    };
}
pub(crate) use member;

/// A JSON object: a struct.
macro_rules! object {
    (
        [$($doc:literal)*] $name:ident {
            $(
                $(#[doc = $member_doc:literal])* $(#[serde($($attribute:tt)*)])?
                $member:ident $(as $wire:literal)? : $ty:ty
            ),* $(,)?
            $( ; .. $rest:ident )?
        }
    ) => {
        $(#[doc = $doc])*
        #[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
        #[serde(rename_all = "kebab-case")]
        pub struct $name {
            $(
                $(#[doc = $member_doc])*
                $(#[serde(rename = $wire)])?
                $(#[serde($($attribute)*)])?
                #[serde(skip_serializing_if = "crate::schema::is_absent")]
                pub $member: $ty,
            )*
            $(
                /// What is not declared.
                #[serde(flatten)]
                pub $rest: serde_json::Map<String, serde_json::Value>,
            )?
        }

        impl $crate::schema::Qapi for $name {
            fn ty() -> $crate::schema::Type {
                static OBJECT: $crate::schema::Object = $crate::schema::Object {
                    name: stringify!($name),
                    docs: &[$($doc),*],
                    members: &[
                        $($crate::schema::declare::member!([$($member_doc)*] $member $(as $wire)? : $ty)),*
                    ],
                    union: None,
                    open: $crate::schema::declare::is_there!($($rest)?),
                };
                $crate::schema::Type::Object(&OBJECT)
            }
        }
    };
}
pub(crate) use object;

macro_rules! is_there {
    () => {
        false
    };
    ($token:tt) => {
        true
    };
}
pub(crate) use is_there;

/// A set of strings: an enum.
macro_rules! enumeration {
    ([$($doc:literal)*] $name:ident {
        $( $(#[doc = $value_doc:literal])* $variant:ident = $wire:literal ),* $(,)?
    }) => {
        $(#[doc = $doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
        #[allow(missing_docs)]
        pub enum $name {
            $( $(#[doc = $value_doc])* #[serde(rename = $wire)] $variant ),*
        }

        impl $name {
            /// The string in JSON.
            pub fn name(self) -> &'static str {
                match self {
                    $( Self::$variant => $wire ),*
                }
            }

            /// All values, in the order of their declaration.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];
        }

        impl $crate::schema::Qapi for $name {
            fn ty() -> $crate::schema::Type {
                static ENUMERATION: $crate::schema::Enumeration = $crate::schema::Enumeration {
                    name: stringify!($name),
                    docs: &[$($doc),*],
                    values: &[
                        $($crate::schema::EnumValue { name: $wire, docs: &[$($value_doc),*] }),*
                    ],
                };
                $crate::schema::Type::Enum(&ENUMERATION)
            }
        }
    };
}
pub(crate) use enumeration;

/// An object whose tag adds members: a struct with an enum in it.
macro_rules! tagged {
    (
        [$($doc:literal)*] $name:ident {
            $( $(#[doc = $member_doc:literal])* $member:ident $(as $wire:literal)? : $ty:ty ),* $(,)?
        }
        $(#[doc = $tag_doc:literal])* $tag:ident = $tag_name:literal : $tag_ty:ty as $branches:ident {
            $( $variant:ident = $case:literal : $branch:ty ),* $(,)?
        }
    ) => {
        $(#[doc = $doc])*
        #[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
        #[serde(rename_all = "kebab-case")]
        pub struct $name {
            $(
                $(#[doc = $member_doc])*
                $(#[serde(rename = $wire)])?
                #[serde(skip_serializing_if = "crate::schema::is_absent")]
                pub $member: $ty,
            )*
            $(#[doc = $tag_doc])*
            #[serde(flatten)]
            pub $tag: $branches,
        }

        #[doc = concat!("What the value of `", $tag_name, "` adds to [`", stringify!($name), "`].")]
        #[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
        #[serde(tag = $tag_name)]
        pub enum $branches {
            $(
                #[doc = concat!("`", $case, "`")]
                #[serde(rename = $case)]
                $variant($branch),
            )*
        }

        impl $crate::schema::Qapi for $name {
            fn ty() -> $crate::schema::Type {
                static UNION: $crate::schema::Union = $crate::schema::Union {
                    tag: $crate::schema::declare::member!([$($tag_doc)*] $tag as $tag_name : $tag_ty),
                    branches: &[
                        $($crate::schema::Branch { case: $case, ty: <$branch as $crate::schema::Qapi>::ty }),*
                    ],
                };
                static OBJECT: $crate::schema::Object = $crate::schema::Object {
                    name: stringify!($name),
                    docs: &[$($doc),*],
                    members: &[
                        $($crate::schema::declare::member!([$($member_doc)*] $member $(as $wire)? : $ty)),*
                    ],
                    union: Some(&UNION),
                    open: false,
                };
                $crate::schema::Type::Object(&OBJECT)
            }
        }
    };
}
pub(crate) use tagged;

/// A value whose JSON type says what it is: an untagged enum.
macro_rules! alternate {
    ([$($doc:literal)*] $name:ident {
        $( $(#[doc = $variant_doc:literal])* $variant:ident : $ty:ty ),* $(,)?
    }) => {
        $(#[doc = $doc])*
        #[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
        #[serde(untagged)]
        pub enum $name {
            $( $(#[doc = $variant_doc])* $variant($ty) ),*
        }

        impl $crate::schema::Qapi for $name {
            fn ty() -> $crate::schema::Type {
                static ALTERNATE: $crate::schema::Alternate = $crate::schema::Alternate {
                    name: stringify!($name),
                    docs: &[$($doc),*],
                    types: &[$(<$ty as $crate::schema::Qapi>::ty),*],
                };
                $crate::schema::Type::Alternate(&ALTERNATE)
            }
        }
    };
}
pub(crate) use alternate;

macro_rules! kind {
    (observes) => {
        $crate::registry::Kind::Observes
    };
    (steers) => {
        $crate::registry::Kind::Steers
    };
}
pub(crate) use kind;

macro_rules! way {
    () => {
        $crate::registry::Way::Plain
    };
    (oob) => {
        $crate::registry::Way::OutOfBand
    };
    (descriptor) => {
        $crate::registry::Way::WithDescriptor
    };
}
pub(crate) use way;

/// A command whose arguments are an object type that is there already.
macro_rules! command {
    ([$($doc:literal)*] $kind:ident [$($way:ident)?] $wire:literal $name:ident $($returns:ty)?) => {
        impl $crate::registry::Command for $name {
            type Returns = $crate::schema::declare::returned!($($returns)?);
            const DECLARATION: &'static $crate::registry::Declaration = &$crate::registry::Declaration {
                name: $wire,
                docs: &[$($doc),*],
                kind: $crate::schema::declare::kind!($kind),
                way: $crate::schema::declare::way!($($way)?),
                arguments: <$name as $crate::schema::Qapi>::ty,
                returns: <Self::Returns as $crate::schema::Qapi>::ty,
            };
        }
    };
}
pub(crate) use command;

/// Takes the items of a family one by one; the lists in brackets gather what the family has.
macro_rules! declare {
    (family $title:literal; $($items:tt)*) => {
        $crate::schema::declare::declare! { @ $title [] [] [] $($items)* }
    };

    (@ $title:literal [$($command:ident)*] [$($event:ident)*] [$($ty:ident)*]) => {
        #[doc = concat!("Everything that is declared here: ", $title)]
        pub static FAMILY: $crate::registry::Family = $crate::registry::Family {
            title: $title,
            commands: &[$(<$command as $crate::registry::Command>::DECLARATION),*],
            events: &[$(<$event as $crate::event::Event>::DECLARATION),*],
            types: &[$(<$ty as $crate::schema::Qapi>::ty),*],
        };
    };

    (@ $title:literal $commands:tt $events:tt [$($types:tt)*]
        $(#[doc = $doc:literal])* struct $name:ident $body:tt $($items:tt)*
    ) => {
        $crate::schema::declare::object! { [$($doc)*] $name $body }
        $crate::schema::declare::declare! { @ $title $commands $events [$($types)* $name] $($items)* }
    };

    (@ $title:literal $commands:tt $events:tt [$($types:tt)*]
        $(#[doc = $doc:literal])* enum $name:ident $body:tt $($items:tt)*
    ) => {
        $crate::schema::declare::enumeration! { [$($doc)*] $name $body }
        $crate::schema::declare::declare! { @ $title $commands $events [$($types)* $name] $($items)* }
    };

    (@ $title:literal $commands:tt $events:tt [$($types:tt)*]
        $(#[doc = $doc:literal])* union $name:ident $base:tt
            $(#[doc = $tag_doc:literal])* by $tag:ident = $tag_name:literal : $tag_ty:ident as $union:ident $branches:tt
        $($items:tt)*
    ) => {
        $crate::schema::declare::tagged! {
            [$($doc)*] $name $base $(#[doc = $tag_doc])* $tag = $tag_name : $tag_ty as $union $branches
        }
        $crate::schema::declare::declare! { @ $title $commands $events [$($types)* $name] $($items)* }
    };

    (@ $title:literal $commands:tt $events:tt [$($types:tt)*]
        $(#[doc = $doc:literal])* alternate $name:ident $body:tt $($items:tt)*
    ) => {
        $crate::schema::declare::alternate! { [$($doc)*] $name $body }
        $crate::schema::declare::declare! { @ $title $commands $events [$($types)* $name] $($items)* }
    };

    (@ $title:literal [$($commands:tt)*] $events:tt $types:tt
        $(#[doc = $doc:literal])* command $kind:ident $($way:ident)? $wire:literal as $name:ident $(-> $returns:ty)? ;
        $($items:tt)*
    ) => {
        $crate::schema::declare::command! { [$($doc)*] $kind [$($way)?] $wire $name $($returns)? }
        $crate::schema::declare::declare! { @ $title [$($commands)* $name] $events $types $($items)* }
    };

    (@ $title:literal [$($commands:tt)*] $events:tt $types:tt
        $(#[doc = $doc:literal])* command $kind:ident $($way:ident)? $wire:literal $name:ident $arguments:tt
            $(-> $returns:ty)? ;
        $($items:tt)*
    ) => {
        $crate::schema::declare::object! { [$($doc)*] $name $arguments }

        $crate::schema::declare::command! { [$($doc)*] $kind [$($way)?] $wire $name $($returns)? }
        $crate::schema::declare::declare! { @ $title [$($commands)* $name] $events $types $($items)* }
    };

    (@ $title:literal $commands:tt [$($events:tt)*] $types:tt
        $(#[doc = $doc:literal])* event $wire:literal $name:ident $data:tt $(limited $(by $key:literal)?)? ;
        $($items:tt)*
    ) => {
        $crate::schema::declare::object! { [$($doc)*] $name $data }

        impl $crate::event::Event for $name {
            const DECLARATION: &'static $crate::event::EventDeclaration = &$crate::event::EventDeclaration {
                name: $wire,
                docs: &[$($doc),*],
                data: <$name as $crate::schema::Qapi>::ty,
                limit: $crate::schema::declare::limit!($(limited $($key)?)?),
            };
        }

        $crate::schema::declare::declare! { @ $title $commands [$($events)* $name] $types $($items)* }
    };
}
pub(crate) use declare;

macro_rules! limit {
    () => {
        $crate::event::Limit::None
    };
    (limited) => {
        $crate::event::Limit::Together
    };
    (limited $key:literal) => {
        $crate::event::Limit::ForEach($key)
    };
}
pub(crate) use limit;

macro_rules! returned {
    () => {
        ()
    };
    ($ty:ty) => {
        $ty
    };
}
pub(crate) use returned;
