//! `-readconfig` and `-set`: options that are written elsewhere, or in several pieces. Both become plain options before the
//! command line is read, so that what is read, and kept with a recording, needs no other file.

use super::draft::{Draft, Handled};
use super::error::{OptionError, Reason};
use super::table;

const READ: &str = "readconfig";
const SET: &str = "set";

/// The options that a group's sections stand for, where the two have different names.
const GROUPS: [(&str, &str); 3] = [("boot-opts", "boot"), ("smp-opts", "smp"), ("memory", "m")];
/// Groups whose option has their name.
const SAME: [&str; 21] = [
    "accel",
    "action",
    "add-fd",
    "blockdev",
    "chardev",
    "device",
    "drive",
    "fw_cfg",
    "global",
    "icount",
    "machine",
    "mon",
    "msg",
    "name",
    "netdev",
    "numa",
    "object",
    "overcommit",
    "rtc",
    "sandbox",
    "smbios",
];

/// A section of a configuration file, `[group "id"]`.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Section {
    group: String,
    id: Option<String>,
    settings: Vec<(String, String)>,
}

/// Replaces every `-readconfig FILE` by the options in the file, as `read` gives its text, and lets every
/// `-set GROUP.ID.ARG=VALUE` add to the option before it that it is about.
pub fn expand(argv: &[String], read: impl Fn(&str) -> Result<String, String>) -> Result<Vec<String>, OptionError> {
    let mut expanded: Vec<String> = Vec::new();
    let mut rest = argv.iter();
    while let Some(typed) = rest.next() {
        let name = typed.strip_prefix("--").or_else(|| typed.strip_prefix('-'));
        let takes_one = name.and_then(table::find).is_some_and(|option| !option.argument.is_empty());
        let argument = if takes_one { rest.next() } else { None };
        let blame = |reason: Reason| OptionError {
            option: std::iter::once(typed).chain(argument).map(String::as_str).collect::<Vec<_>>().join(" "),
            reason,
        };
        match (name, argument) {
            (Some(READ), Some(file)) => {
                let text = read(file)
                    .map_err(|why| blame(Reason::refused(format!("Cannot read config file {file}: {why}"))))?;
                let sections =
                    parse(&text).map_err(|line| blame(Reason::refused(format!("{file}:{line}: parse error"))))?;
                for section in sections {
                    expanded.extend(section.option().map_err(blame)?);
                }
            }
            (Some(SET), Some(setting)) => set(&mut expanded, setting).map_err(blame)?,
            _ => {
                expanded.push(typed.clone());
                expanded.extend(argument.cloned());
            }
        }
    }
    Ok(expanded)
}

/// For whoever has not expanded the command line.
pub(super) fn elsewhere(_draft: &mut Draft<'_>, _: &str) -> Handled {
    Err(Reason::refused("only where a user types it"))
}

/// The option of a group.
fn option_of(group: &str) -> Option<&str> {
    let renamed = GROUPS.iter().find(|(name, _)| *name == group).map(|(_, option)| *option);
    renamed.or_else(|| SAME.into_iter().find(|name| *name == group))
}

/// A comma inside a value is doubled.
fn setting(key: &str, value: &str) -> String {
    format!("{key}={}", value.replace(',', ",,"))
}

impl Section {
    /// As it would be typed.
    fn option(self) -> Result<[String; 2], Reason> {
        let unknown = || Reason::refused(format!("There is no option group '{}'", self.group));
        let option = option_of(&self.group).ok_or_else(unknown)?;
        let id = self.id.iter().map(|id| setting("id", id));
        let settings: Vec<_> = id.chain(self.settings.iter().map(|(key, value)| setting(key, value))).collect();
        Ok([format!("-{option}"), settings.join(",")])
    }
}

/// The sections of a configuration file; the number of the first line that is none of what may be there.
fn parse(text: &str) -> Result<Vec<Section>, usize> {
    let mut sections: Vec<Section> = Vec::new();
    for (line, number) in text.lines().map(str::trim).zip(1usize..) {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if let Some(head) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            let (group, id) = match head.split_once(char::is_whitespace) {
                Some((group, id)) => (group, Some(quoted(id).ok_or(number)?)),
                None => (head, None),
            };
            sections.push(Section { group: group.into(), id, settings: Vec::new() });
            continue;
        }
        let section = sections.last_mut().ok_or(number)?;
        let (key, value) = line.split_once('=').ok_or(number)?;
        section.settings.push((key.trim().into(), quoted(value).ok_or(number)?));
    }
    Ok(sections)
}

fn quoted(text: &str) -> Option<String> {
    text.trim().strip_prefix('"')?.strip_suffix('"').map(str::to_owned)
}

/// Adds to the last option of a group with this id.
fn set(options: &mut [String], what: &str) -> Result<(), Reason> {
    let malformed = || Reason::refused(format!("can't parse: \"{what}\""));
    let (place, value) = what.split_once('=').ok_or_else(malformed)?;
    let mut names = place.splitn(3, '.');
    let (Some(group), Some(id), Some(key)) = (names.next(), names.next(), names.next()) else {
        return Err(malformed());
    };
    let option = option_of(group).ok_or_else(|| Reason::refused(format!("There is no option group '{group}'")))?;
    let wanted = format!("id={id}");
    let is_it = |at: &usize| {
        let (name, argument) = (&options[at - 1], &options[*at]);
        name.trim_start_matches('-') == option && argument.split(',').any(|part| part == wanted)
    };
    if let Some(at) = (1..options.len()).rev().find(is_it) {
        options[at] = format!("{},{}", options[at], setting(key, value));
        return Ok(());
    }
    Err(Reason::refused(format!("there is no {group} \"{id}\" defined")))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = r#"
# A machine.
[machine]
  type = "pc"
  graphics = "off"

[drive "disk"]
  file = "/a,b"
  if = "none"
[device "d0"]
  driver = "virtio-blk-pci"
  drive = "disk"
"#;

    fn expanded(line: &[&str]) -> Result<Vec<String>, String> {
        let argv: Vec<_> = line.iter().map(|word| (*word).to_owned()).collect();
        let read = |file: &str| if file == "absent" { Err("no such file".into()) } else { Ok(FILE.to_owned()) };
        expand(&argv, read).map_err(|why| why.to_string())
    }

    #[test]
    fn a_file_s_sections_become_options_where_it_is_named() {
        let options = expanded(&["-m", "64", "-readconfig", "pc.cfg", "-S"]).unwrap();
        let expected = [
            "-m",
            "64",
            "-machine",
            "type=pc,graphics=off",
            "-drive",
            "id=disk,file=/a,,b,if=none",
            "-device",
            "id=d0,driver=virtio-blk-pci,drive=disk",
            "-S",
        ];
        assert_eq!(options, expected);
    }

    #[test]
    fn a_setting_is_added_to_the_option_that_it_is_about() {
        let line = ["-device", "edu,id=a", "-device", "edu,id=ab", "-set", "device.a.dma_mask=1,2", "-S"];
        assert_eq!(expanded(&line).unwrap(), ["-device", "edu,id=a,dma_mask=1,,2", "-device", "edu,id=ab", "-S"]);
        let options = expanded(&["--readconfig", "pc.cfg", "-set", "drive.disk.cache=none"]).unwrap();
        assert_eq!(options[3], "id=disk,file=/a,,b,if=none,cache=none");
    }

    #[test]
    fn what_cannot_be_followed_is_told() {
        for (line, why) in [
            (["-readconfig", "absent"], "Cannot read config file absent: no such file"),
            (["-set", "device.x.y=1"], "there is no device \"x\" defined"),
            (["-set", "device.x=1"], "can't parse: \"device.x=1\""),
            (["-set", "nothing.x.y=1"], "There is no option group 'nothing'"),
        ] {
            let said = expanded(&line).unwrap_err();
            assert!(said.ends_with(why), "{said}");
        }
        for (text, line) in [("x = \"1\"", 1), ("[drive]\nx = 1", 2), ("\n\n[drive x]", 3), ("[drive]\nhello", 2)] {
            assert_eq!(parse(text), Err(line), "{text}");
        }
    }

    #[test]
    fn what_looks_like_one_but_is_an_argument_stays() {
        let line = ["-append", "-readconfig", "-name", "-set"];
        assert_eq!(expanded(&line).unwrap(), line);
    }
}
