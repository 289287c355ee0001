//! `memsave` and `pmemsave`: memory as it is, to a file.

use super::expression::{Arguments, STRING};
use super::{Answer, CommandError, Desk, registers};
use crate::control;
use crate::run::Control;
use lockstep_qmp::commands::dump::{Memsave, Pmemsave};

/// What is to be saved where.
struct Saved {
    val: i64,
    size: i64,
    filename: String,
}

fn read(control: &Control, desk: &Desk, arguments: &mut Arguments<'_>) -> Result<Saved, CommandError> {
    let cpu = desk.cpu(control)?;
    let mut number = || arguments.number(&|name| registers::value(control, cpu, name));
    let (val, size) = (number()?.cast_signed(), number()?.cast_signed());
    let filename = arguments.expect_text(STRING)?;
    arguments.finish()?;
    Ok(Saved { val, size, filename })
}

/// `memsave ADDR SIZE FILE`: by linear address, as the chosen vCPU sees it.
pub(super) fn linear(control: &mut Control, desk: &mut Desk, arguments: &mut Arguments<'_>) -> Answer {
    let Saved { val, size, filename } = read(control, desk, arguments)?;
    let cpu_index = i64::try_from(desk.selected).ok();
    control::memsave(control, Memsave { val, size, filename, cpu_index })?;
    Ok(String::new())
}

/// `pmemsave ADDR SIZE FILE`: by physical address.
pub(super) fn physical(control: &mut Control, desk: &mut Desk, arguments: &mut Arguments<'_>) -> Answer {
    let Saved { val, size, filename } = read(control, desk, arguments)?;
    control::pmemsave(control, Pmemsave { val, size, filename })?;
    Ok(String::new())
}
