//! `getfd` and `closefd`: file descriptors, which no monitor for people can be passed.

use super::expression::{Arguments, STRING};
use super::{Answer, Desk};
use crate::control;
use crate::run::Control;
use lockstep_qmp::commands::descriptors::{Closefd, Getfd};
use lockstep_qmp::registry::Caller;

/// `getfd NAME`.
pub(super) fn get(control: &mut Control, _: &mut Desk, arguments: &mut Arguments<'_>) -> Answer {
    let fdname = arguments.expect_text(STRING)?;
    arguments.finish()?;
    control::getfd(control, &mut Caller::nobody(), Getfd { fdname })?;
    Ok(String::new())
}

/// `closefd NAME`.
pub(super) fn close(control: &mut Control, _: &mut Desk, arguments: &mut Arguments<'_>) -> Answer {
    let fdname = arguments.expect_text(STRING)?;
    arguments.finish()?;
    control::closefd(control, &mut Caller::nobody(), Closefd { fdname })?;
    Ok(String::new())
}
