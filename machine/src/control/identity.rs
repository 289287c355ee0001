//! The monitor itself, and who the machine is.

use crate::chardev::QuitCause;
use crate::commandline::{self, ParameterKind};
use crate::monitor::{Desk, carry_out};
use crate::run::Control;
use lockstep_qmp::Error;
use lockstep_qmp::commands::control::{
    CommandLineOptionInfo, CommandLineParameterInfo, CommandLineParameterType, HumanMonitorCommand, KvmInfo, NameInfo,
    QueryCommandLineOptions, QueryKvm, QueryName, QueryTarget, QueryUuid, QueryVersion, Quit, TargetInfo, UuidInfo,
    VersionInfo, VersionTriple,
};
use lockstep_qmp::registry::{Answer, Registry};

pub(super) fn register(registry: &mut Registry<Control>) {
    registry.on(query_version).on(query_name).on(query_uuid).on(query_kvm).on(query_target).on(quit);
    registry.on(human_monitor_command).on(query_command_line_options);
}

/// The version of QEMU whose behaviour clients may expect, without `-compat-version`.
const COMPATIBLE: [u32; 3] = [7, 2, 0];

/// What clients are told of the version: QEMU's, and ours as the package.
pub fn compatible_version(asked: Option<[u32; 3]>) -> VersionInfo {
    let [major, minor, micro] = asked.unwrap_or(COMPATIBLE).map(i64::from);
    let package = concat!("lockstep-", env!("CARGO_PKG_VERSION")).to_owned();
    VersionInfo { qemu: VersionTriple { major, minor, micro }, package }
}

fn query_version(control: &mut Control, _: QueryVersion) -> Answer<VersionInfo> {
    Ok(compatible_version(control.config.compatible_version))
}

pub(crate) fn query_name(control: &mut Control, _: QueryName) -> Answer<NameInfo> {
    Ok(NameInfo { name: control.config.name.clone() })
}

pub(crate) fn query_uuid(control: &mut Control, _: QueryUuid) -> Answer<UuidInfo> {
    let digits: String = control.config.uuid.unwrap_or_default().iter().map(|byte| format!("{byte:02x}")).collect();
    let parts = [&digits[..8], &digits[8..12], &digits[12..16], &digits[16..20], &digits[20..]];
    Ok(UuidInfo { uuid: parts.join("-") })
}

pub(crate) fn query_kvm(_: &mut Control, _: QueryKvm) -> Answer<KvmInfo> {
    Ok(KvmInfo { enabled: false, present: false })
}

fn query_target(_: &mut Control, _: QueryTarget) -> Answer<TargetInfo> {
    Ok(TargetInfo { arch: "x86_64".into() })
}

fn quit(control: &mut Control, _: Quit) -> Answer<()> {
    control.quit(QuitCause::Qmp);
    Ok(())
}

fn human_monitor_command(control: &mut Control, command: HumanMonitorCommand) -> Answer<String> {
    let selected = command.cpu_index.unwrap_or(0);
    let there = |index: &usize| control.board.machine.cpu(*index).is_some();
    let selected = usize::try_from(selected).ok().filter(there);
    let selected = selected.ok_or_else(|| Error::expects("cpu-index", "a CPU number"))?;
    let says = carry_out(&command.command_line, control, &mut Desk::of(selected));
    Ok(says.lines().map(|line| format!("{line}\r\n")).collect())
}

fn query_command_line_options(_: &mut Control, command: QueryCommandLineOptions) -> Answer<Vec<CommandLineOptionInfo>> {
    let asked = |name: &str| command.option.as_ref().is_none_or(|option| option == name);
    let options = commandline::options().into_iter().filter(|option| asked(option.name));
    let told: Vec<_> = options
        .map(|option| CommandLineOptionInfo {
            option: option.name.into(),
            parameters: option.parameters.into_iter().map(parameter).collect(),
        })
        .collect();
    if told.is_empty() { Err(Error::new("Invalid parameter 'option'")) } else { Ok(told) }
}

fn parameter(parameter: commandline::ParameterInfo) -> CommandLineParameterInfo {
    let ty = match parameter.takes {
        ParameterKind::Text => CommandLineParameterType::String,
        ParameterKind::Switch => CommandLineParameterType::Boolean,
        ParameterKind::Number => CommandLineParameterType::Number,
        ParameterKind::Size => CommandLineParameterType::Size,
    };
    CommandLineParameterInfo { name: parameter.name, ty, help: None, default: None }
}
