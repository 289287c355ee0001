//! `-rtc`, `-icount` and `-seed`: what time and chance the guest sees.

use std::path::PathBuf;

use super::config::{RecordReplay, RtcBase};
use super::draft::{Draft, Flow, Handled};
use super::error::Reason;
use super::suboptions::Suboptions;
use super::values;

/// The coarsest tick: 1024 ns.
const MOST_SHIFT: u64 = 10;

const FOLLOWS_THE_HOST: &str = "would follow the host's clock, which the guest must never see";

pub(super) fn rtc(draft: &mut Draft<'_>, argument: &str) -> Handled {
    let mut options = Suboptions::parse(argument, None);
    let base = options.text("base");
    let clock = options.text("clock");
    let driftfix = options.text("driftfix");
    options.finish()?;
    if let Some(base) = base {
        draft.config.rtc.base =
            match base.as_str() {
                "utc" => RtcBase::Utc,
                "localtime" => RtcBase::LocalTime,
                date => RtcBase::At(values::date(date).ok_or_else(|| {
                    Reason::bad("base", date, "use utc, localtime, YYYY-MM-DD or YYYY-MM-DDTHH:MM:SS")
                })?),
            };
    }
    // However the clock is asked to run, it counts ticks; and it never drifts, so there is nothing to fix.
    one_of("clock", clock, &["host", "rt", "vm"], "use host, rt or vm")?;
    one_of("driftfix", driftfix, &["none", "slew"], "use none or slew")?;
    Ok(Flow::Next)
}

fn one_of(key: &str, value: Option<String>, valid: &[&str], wanted: &'static str) -> Result<(), Reason> {
    match value {
        Some(value) if !valid.contains(&value.as_str()) => Err(Reason::bad(key, &value, wanted)),
        _ => Ok(()),
    }
}

pub(super) fn icount(draft: &mut Draft<'_>, argument: &str) -> Handled {
    let mut options = Suboptions::parse(argument, Some("shift"));
    let shift = options.text("shift");
    let align = options.switch("align")?;
    let sleep = options.switch("sleep")?;
    let mode = options.text("rr");
    let file = options.text("rrfile");
    if options.text("rrsnapshot").is_some() {
        return Err(Reason::not_built("rrsnapshot"));
    }
    options.finish()?;
    if shift.as_deref() == Some("auto") {
        return Err(Reason::refused(format!("shift=auto {FOLLOWS_THE_HOST}")));
    }
    if align == Some(true) {
        return Err(Reason::refused(format!("align=on {FOLLOWS_THE_HOST}")));
    }
    let icount = &mut draft.config.icount;
    if let Some(text) = shift {
        let number = values::number(&text).filter(|shift| *shift <= MOST_SHIFT);
        let shift = number.and_then(|shift| u8::try_from(shift).ok());
        icount.shift = shift.ok_or_else(|| Reason::bad("shift", &text, "use a number from 0 to 10"))?;
    }
    icount.sleep = sleep.unwrap_or(icount.sleep);
    let file = file.filter(|path| !path.is_empty()).map(PathBuf::from);
    icount.record_replay = match (mode.as_deref(), file) {
        (None, None) => return Ok(Flow::Next),
        (None, Some(_)) => return Err(Reason::refused("rrfile without rr=record or rr=replay")),
        (Some("record" | "replay"), None) => return Err(Reason::MissingProperty("rrfile")),
        (Some("record"), Some(file)) => RecordReplay::Record(file),
        (Some("replay"), Some(file)) => RecordReplay::Replay(file),
        (Some(other), _) => return Err(Reason::bad("rr", other, "use record or replay")),
    };
    Ok(Flow::Next)
}

pub(super) fn seed(draft: &mut Draft<'_>, argument: &str) -> Handled {
    draft.config.seed = Some(values::number(argument).ok_or(Reason::Expected("a number"))?);
    Ok(Flow::Next)
}

pub(super) fn digest(draft: &mut Draft<'_>, _: &str) -> Handled {
    draft.config.digest = true;
    Ok(Flow::Next)
}
