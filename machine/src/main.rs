//! The `lockstep` command.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use lockstep::background::{self, Side};
use lockstep::commandline::{Invocation, Vocabulary, parse};

fn main() -> ExitCode {
    match start() {
        Ok(status) => ExitCode::from(status),
        Err(line) => {
            eprintln!("lockstep: {line}");
            ExitCode::FAILURE
        }
    }
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

/// The file that holds the process's number while it runs.
struct PidFile(PathBuf);

impl PidFile {
    fn create(path: &Path) -> Result<Self, String> {
        fs::write(path, format!("{}\n", std::process::id()))
            .map_err(|error| format!("-pidfile {}: {error}", path.display()))?;
        Ok(PidFile(path.to_owned()))
    }
}

impl Drop for PidFile {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}
