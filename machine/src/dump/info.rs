//! `lockstep dump-info FILE [--verify]`: what is in a dump.

use lockstep_dump::Progress;
use lockstep_dump::read::{Dump, report};
use std::path::Path;

/// What is said to those who ask in another way.
const USAGE: &str = "usage: lockstep dump-info FILE [--verify]";

/// Looks at the file that the arguments name: a text of what is in it, and whether it is sound. With `--verify`, every page is
/// looked at, and not only its descriptor.
pub fn info(arguments: &[String]) -> Result<(String, bool), String> {
    let (options, files): (Vec<_>, Vec<_>) = arguments.iter().partition(|argument| argument.starts_with("--"));
    let [file] = files[..] else { return Err(USAGE.into()) };
    if options.iter().any(|option| *option != "--verify") {
        return Err(USAGE.into());
    }
    let fail = |why: &dyn std::fmt::Display| format!("{file}: {why}");
    let dump = Dump::open(Path::new(file)).map_err(|why| fail(&why))?;
    let thorough = !options.is_empty();
    let verdict = dump.verify(thorough, &Progress::default()).map_err(|why| fail(&why))?;
    let mut text = report(&dump, &verdict);
    let sound = verdict.fault_count == 0;
    if thorough && sound {
        text.push_str("every page is sound\n");
    }
    Ok((text, sound))
}
