//! What QMP's clients are told of the options: read out of the table, from how each argument is written.

use super::board;
use super::table::{OPTIONS, Spec};

/// An option that has parameters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OptionInfo {
    /// The name of its group of parameters, which for some is not the option's.
    pub name: &'static str,
    /// The parameters.
    pub parameters: Vec<ParameterInfo>,
}

/// A parameter of an option.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParameterInfo {
    /// Its name.
    pub name: String,
    /// What values it takes.
    pub takes: ParameterKind,
}

/// The values of a parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParameterKind {
    /// Any text, or some words.
    Text,
    /// On or off.
    Switch,
    /// A number.
    Number,
    /// A number with a suffix.
    Size,
}

/// Groups of parameters under QEMU's names, where these are not the options'.
const GROUPS: [(&str, &str); 4] = [("acpitable", "acpi"), ("boot", "boot-opts"), ("m", "memory"), ("smp", "smp-opts")];
/// A second name of an option.
const ALIAS: &str = "M";
/// Options whose parameters are those of what is named first.
const OPEN: [&str; 2] = ["device", "object"];

/// All options that have parameters.
pub fn options() -> Vec<OptionInfo> {
    OPTIONS.iter().filter(|spec| spec.name != ALIAS).filter_map(option).collect()
}

fn option(spec: &Spec) -> Option<OptionInfo> {
    let name = GROUPS.iter().find(|(option, _)| *option == spec.name).map_or(spec.name, |(_, group)| group);
    let mut parameters = parameters(spec.argument);
    if spec.name == "machine" {
        let more = board::parameters().map(|(name, takes)| ParameterInfo { name: name.into(), takes });
        parameters.extend(more);
    }
    (!parameters.is_empty() || OPEN.contains(&spec.name)).then_some(OptionInfo { name, parameters })
}

/// The `name=VALUE` of an argument's syntax. What is written in capitals stands for a name and is none.
fn parameters(syntax: &str) -> Vec<ParameterInfo> {
    let mut found: Vec<ParameterInfo> = Vec::new();
    let mut pieces = syntax.split('=').peekable();
    while let (Some(left), Some(right)) = (pieces.next(), pieces.peek()) {
        let in_name = |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit() || "-_.".contains(letter);
        // `[type=]NAME`: the bracket belongs to the syntax.
        let name = &left[left.rfind(|letter| !in_name(letter)).map_or(0, |at| at + 1)..];
        let after_capital = left[..left.len() - name.len()].ends_with(|letter: char| letter.is_ascii_alphanumeric());
        let value = right.trim_start_matches(']');
        let value = &value[..value.find([',', '[', ']']).unwrap_or(value.len())];
        if !name.is_empty() && !after_capital && found.iter().all(|parameter| parameter.name != name) {
            found.push(ParameterInfo { name: name.to_owned(), takes: takes(name, value) });
        }
    }
    found
}

fn takes(name: &str, value: &str) -> ParameterKind {
    const COUNTS: [&str; 11] = [
        "index",
        "bus",
        "unit",
        "sockets",
        "dies",
        "cores",
        "threads",
        "maxcpus",
        "rev",
        "oem_rev",
        "asl_compiler_rev",
    ];
    match value {
        "on" | "off" | "on|off" => ParameterKind::Switch,
        "N" | "MS" => ParameterKind::Number,
        "SIZE" | "MEGS" => ParameterKind::Size,
        _ if COUNTS.contains(&name) => ParameterKind::Number,
        _ => ParameterKind::Text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_what_the_table_writes_with_an_equals_sign() {
        let found = |syntax| parameters(syntax).into_iter().map(|p| (p.name, p.takes)).collect::<Vec<_>>();
        let expected =
            [("size", ParameterKind::Size), ("slots", ParameterKind::Number), ("maxmem", ParameterKind::Size)];
        assert_eq!(found("[size=]MEGS[,slots=N,maxmem=SIZE]"), expected.map(|(name, takes)| (name.to_owned(), takes)));
        assert_eq!(found("DRIVER[,PROP=VALUE...]"), []);
        assert_eq!(found("FILE"), []);
    }

    #[test]
    fn options_are_told_under_the_names_that_clients_look_for() {
        let options = options();
        let find =
            |name: &str| options.iter().find(|option| option.name == name).unwrap_or_else(|| panic!("no {name}"));
        let has = |name: &str, parameter: &str, takes| {
            find(name).parameters.iter().any(|known| known.name == parameter && known.takes == takes)
        };
        assert!(has("smp-opts", "dies", ParameterKind::Number));
        assert!(has("boot-opts", "strict", ParameterKind::Switch));
        assert!(has("memory", "maxmem", ParameterKind::Size));
        assert!(has("machine", "hpet", ParameterKind::Switch));
        assert!(has("machine", "kernel", ParameterKind::Text));
        assert!(has("drive", "werror", ParameterKind::Text));
        assert!(has("mon", "chardev", ParameterKind::Text) || has("mon", "mode", ParameterKind::Text));
        assert!(find("device").parameters.is_empty());
        assert!(options.iter().all(|option| !["M", "m", "S"].contains(&option.name)));
    }
}
