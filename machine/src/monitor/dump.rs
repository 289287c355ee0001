//! `dump-guest-memory`: memory and registers to a file that crash, drgn and gdb read.

use super::error::CommandError;
use super::expression::Arguments;
use super::{Answer, Desk};
use crate::dump;
use crate::run::Control;
use lockstep_dump::codec::Codec;
use lockstep_dump::{Format, Options, Progress, Range, Target};
use std::path::Path;

/// What `help` says of the arguments.
pub(super) const ARGUMENTS: &str = "[-p] [-z|-l|-s|-Z] [-R] FILE [BEGIN LENGTH]";

/// `dump-guest-memory`: ELF, with `-p` by the guest's page tables; or kdump-compressed with zlib, lzo, snappy or zstd,
/// flattened unless `-R` asks for it raw.
pub(super) fn dump(control: &mut Control, _: &mut Desk, arguments: &mut Arguments<'_>) -> Answer {
    let (options, file) = read(arguments)?;
    let refused = |why: lockstep_dump::DumpError| CommandError::Host(why.to_string());
    let target = Target::create(Path::new(file)).map_err(refused)?;
    dump::dump(&control.board.machine, &options, target, &Progress::default()).map_err(refused)?;
    Ok(String::new())
}

/// What the arguments ask for.
fn read<'a>(arguments: &mut Arguments<'a>) -> Result<(Options, &'a str), CommandError> {
    let mut options = Options { format: Format::Elf, paging: false, only: None };
    let (mut codec, mut raw) = (None, false);
    let file = loop {
        let word = arguments.expect_word("FILE")?;
        let chosen = match word {
            "-p" => {
                options.paging = true;
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
            option if option.starts_with('-') => return Err(CommandError::Unexpected(option.to_owned())),
            file => break file,
        };
        if codec.replace(chosen).is_some_and(|other| other != chosen) {
            return Err(CommandError::Unexpected(word.to_owned()));
        }
    };
    match codec {
        Some(codec) => options.format = Format::Kdump { codec, raw },
        None if raw => return Err(CommandError::Unexpected("-R".to_owned())),
        None => {}
    }
    let mut more = arguments.clone();
    if more.word().is_some() {
        let start = arguments.number("BEGIN", &|_| None)?;
        let len = arguments.number("LENGTH", &|_| None)?;
        options.only = Some(Range { start, len });
    }
    arguments.finish()?;
    Ok((options, file))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(line: &str) -> Result<(Options, &str), CommandError> {
        read(&mut Arguments::new(line))
    }

    #[test]
    fn options_choose_the_format() {
        let elf = Options { format: Format::Elf, paging: false, only: None };
        assert_eq!(asked("file"), Ok((elf, "file")));
        assert_eq!(asked("-p file"), Ok((Options { paging: true, ..elf }, "file")));
        let only = Some(Range { start: 0x1000, len: 0x3000 });
        assert_eq!(asked("file 0x1000 0x1000*3"), Ok((Options { only, ..elf }, "file")));
        for (line, codec, raw) in [
            ("-z f", Codec::Zlib, false),
            ("-R -l f", Codec::Lzo, true),
            ("-s -R f", Codec::Snappy, true),
            ("-Z f", Codec::Zstd, false),
        ] {
            assert_eq!(asked(line), Ok((Options { format: Format::Kdump { codec, raw }, ..elf }, "f")), "{line}");
        }
    }

    #[test]
    fn what_contradicts_or_is_missing_is_refused() {
        assert_eq!(asked(""), Err(CommandError::Missing("FILE")));
        assert_eq!(asked("-p"), Err(CommandError::Missing("FILE")));
        assert_eq!(asked("-z -l f"), Err(CommandError::Unexpected("-l".into())));
        assert_eq!(asked("-R f"), Err(CommandError::Unexpected("-R".into())));
        assert_eq!(asked("-x f"), Err(CommandError::Unexpected("-x".into())));
        assert_eq!(asked("f 1"), Err(CommandError::Missing("LENGTH")));
        assert_eq!(asked("f 1 2 3"), Err(CommandError::Unexpected("3".into())));
    }
}
