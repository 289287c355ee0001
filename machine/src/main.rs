//! The `lockstep` command.

use std::io::Write;
use std::process::ExitCode;

use lockstep::background::{self, Side};
use lockstep::commandline::{Invocation, Vocabulary, expand, parse};
use lockstep::pid_file::PidFile;

fn main() -> ExitCode {
    abort_on_panic();
    match start() {
        Ok(status) => ExitCode::from(status),
        Err(line) => {
            eprintln!("lockstep: {line}");
            ExitCode::FAILURE
        }
    }
}

/// A defect of the program ends it at once, whichever thread it shows in: a machine that lost a part must not go on.
fn abort_on_panic() {
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        report(panic);
        std::process::abort();
    }));
}

/// Does what the command line says. An error is one line.
fn start() -> Result<u8, String> {
    let arguments = arguments()?;
    if let Some((command, rest)) = arguments.split_first()
        && command == "dump-info"
    {
        let (text, sound) = lockstep::dump::info(rest)?;
        print(&text);
        return Ok(u8::from(!sound));
    }
    let read = |path: &str| std::fs::read_to_string(path).map_err(|why| why.to_string());
    let arguments = expand(&arguments, read).map_err(|error| error.to_string())?;
    match parse(&arguments, &Vocabulary::default()).map_err(|error| error.to_string())? {
        Invocation::Print(text) => {
            print(&text);
            Ok(0)
        }
        Invocation::Run(config) => {
            let mut ready: Box<dyn FnOnce()> = Box::new(|| {});
            if config.daemonize {
                match background::part().map_err(|why| format!("-daemonize: {why}"))? {
                    Side::Parent(status) => return Ok(status),
                    Side::Child(tell) => ready = Box::new(tell),
                }
            }
            let _pidfile = config.pidfile.as_deref().map(PidFile::create).transpose()?;
            lockstep::run(&config, ready).map(|status| status.0).map_err(|error| error.to_string())
        }
    }
}

fn print(text: &str) {
    // A reader that left (`lockstep -help | head`) has seen enough.
    let _ = std::io::stdout().write_all(text.as_bytes());
}

/// The arguments after the program's name.
fn arguments() -> Result<Vec<String>, String> {
    std::env::args_os()
        .skip(1)
        .map(|argument| {
            argument.into_string().map_err(|bad| format!("{}: the argument is not UTF-8", bad.to_string_lossy()))
        })
        .collect()
}
