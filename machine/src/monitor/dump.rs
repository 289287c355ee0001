//! `dump-guest-memory`: memory and registers to a file that crash, drgn and gdb read.

use super::error::CommandError;
use super::expression::{Arguments, FILE};
use super::{Answer, Desk};
use crate::control::named_target;
use crate::run::{Control, Dumps};
use lockstep_dump::codec::Codec;
use lockstep_dump::{Format, Options, Range};
use lockstep_qmp::Error;
use lockstep_qmp::commands::dump::{DumpQueryResult, DumpStatus};
use std::path::Path;

/// What `help` says of the arguments.
pub(super) const ARGUMENTS: &str = "[-p] [-d] [-z|-l|-s|-Z] [-R] filename [begin length]";

const ONE_FORMAT: &str = "only one of '-z|-l|-s|-Z' can be set";
const RAW_WITHOUT_FORMAT: &str = "-R needs one of '-z|-l|-s|-Z'";

/// `dump-guest-memory`: ELF, with `-p` by the guest's page tables; or kdump-compressed with zlib, lzo, snappy or zstd,
/// flattened unless `-R` asks for it raw. With `-d` the guest runs on meanwhile.
pub(super) fn dump(control: &mut Control, desk: &mut Desk, arguments: &mut Arguments<'_>) -> Answer {
    let Asked { options, detach, file } = read(arguments)?;
    control.not_while_dumping()?;
    let refused = |why: lockstep_dump::DumpError| CommandError::Host(why.to_string());
    let target = named_target(Path::new(&file)).map_err(refused)?;
    if detach {
        control.begin_dump(&options, target).map_err(refused)?;
        desk.follows_dump = Some(0);
    } else {
        control.dump(&options, target).map_err(refused)?;
    }
    Ok(String::new())
}

/// `info dump`: how the latest one went.
pub(super) fn show(control: &mut Control, _: &mut Desk, arguments: &mut Arguments<'_>) -> Answer {
    arguments.finish()?;
    let DumpQueryResult { status, completed, total } = control.dumps.result();
    let percent = completed as f64 * 100.0 / (total.max(1)) as f64;
    Ok(match status {
        DumpStatus::None => "Status: none".into(),
        DumpStatus::Active => format!("Status: active\nFinished: {percent:.2} %"),
        DumpStatus::Completed => "Status: completed".into(),
        DumpStatus::Failed => "Status: failed".into(),
    })
}

/// How many percent more are worth a line.
const STEP: u64 = 10;

/// What is new of a dump since `shown` percent, and up to where that is; nowhere, if it has ended.
pub(super) fn news(dumps: &Dumps, shown: u64) -> Option<(String, Option<u64>)> {
    let DumpQueryResult { status, completed, total } = dumps.result();
    if let Some(why) = dumps.failure() {
        return Some((format!("dump: {why}"), None));
    }
    match status {
        DumpStatus::Active => {
            let percent = completed.unsigned_abs().saturating_mul(100) / total.unsigned_abs().max(1);
            let step = percent - percent % STEP;
            (step > shown && step < 100).then(|| (format!("dump: {step} %"), Some(step)))
        }
        DumpStatus::Completed => Some((format!("dump: complete, {total} bytes of memory"), None)),
        DumpStatus::None | DumpStatus::Failed => None,
    }
}

/// What the arguments ask for.
#[derive(Debug, PartialEq, Eq)]
struct Asked {
    options: Options,
    /// The guest runs on.
    detach: bool,
    file: String,
}

fn read(arguments: &mut Arguments<'_>) -> Result<Asked, CommandError> {
    let mut options = Options { format: Format::Elf, paging: false, only: None };
    let (mut codec, mut raw, mut detach) = (None, false, false);
    let file = loop {
        let word = arguments.expect_text(FILE)?;
        let chosen = match word.as_str() {
            "-p" => {
                options.paging = true;
                continue;
            }
            "-d" => {
                detach = true;
                continue;
            }
            "-R" => {
                raw = true;
                continue;
            }
            "-z" => Codec::Zlib,
            "-l" => Codec::Lzo,
            "-s" => Codec::Snappy,
            "-Z" => Codec::Zstd,
            option if option.starts_with('-') => return Err(CommandError::Flag(option.chars().nth(1).unwrap_or(' '))),
            _ => break word,
        };
        if codec.replace(chosen).is_some_and(|other| other != chosen) {
            return Err(CommandError::Host(ONE_FORMAT.to_owned()));
        }
    };
    match codec {
        Some(codec) => options.format = Format::Kdump { codec, raw },
        None if raw => return Err(CommandError::Host(RAW_WITHOUT_FORMAT.to_owned())),
        None => {}
    }
    if let Some(start) = arguments.plain_number()? {
        let len = arguments.plain_number()?.ok_or_else(|| CommandError::from(Error::missing("length")))?;
        options.only = Some(Range { start, len });
    }
    arguments.finish()?;
    Ok(Asked { options, detach, file })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(line: &str) -> Result<(Options, String), CommandError> {
        read(&mut Arguments::new(line)).map(|asked| (asked.options, asked.file))
    }

    #[test]
    fn options_choose_the_format() {
        let elf = Options { format: Format::Elf, paging: false, only: None };
        assert_eq!(asked("file"), Ok((elf, "file".into())));
        assert_eq!(asked("-p file"), Ok((Options { paging: true, ..elf }, "file".into())));
        let only = Some(Range { start: 0x1000, len: 0x3000 });
        assert!(read(&mut Arguments::new("-d file")).is_ok_and(|asked| asked.detach && asked.options == elf));
        assert_eq!(asked("file 0x1000 0x1000*3"), Ok((Options { only, ..elf }, "file".into())));
        for (line, codec, raw) in [
            ("-z f", Codec::Zlib, false),
            ("-R -l f", Codec::Lzo, true),
            ("-s -R f", Codec::Snappy, true),
            ("-Z f", Codec::Zstd, false),
        ] {
            assert_eq!(
                asked(line),
                Ok((Options { format: Format::Kdump { codec, raw }, ..elf }, "f".into())),
                "{line}"
            );
        }
    }

    #[test]
    fn what_contradicts_or_is_missing_is_refused() {
        assert_eq!(asked(""), Err(CommandError::Missing(FILE)));
        assert_eq!(asked("-p"), Err(CommandError::Missing(FILE)));
        assert_eq!(asked("-z -l f"), Err(CommandError::Host(ONE_FORMAT.into())));
        assert_eq!(asked("-R f"), Err(CommandError::Host(RAW_WITHOUT_FORMAT.into())));
        assert_eq!(asked("-x f"), Err(CommandError::Flag('x')));
        assert_eq!(asked("f 1"), Err(CommandError::Host("Parameter 'length' is missing".into())));
        assert_eq!(asked("f 1 2 3"), Err(CommandError::Extraneous));
    }
}
