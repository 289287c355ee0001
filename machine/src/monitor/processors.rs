//! `info cpus`, `info hotpluggable-cpus` and `info iothreads`: what runs the guest's code, and its requests.

use super::expression::Arguments;
use super::{Answer, Desk, registers};
use crate::control;
use crate::run::Control;
use lockstep_cpu::state::Activity;
use lockstep_qmp::commands::machine::{
    CpuInstanceProperties, HotpluggableCPU, IOThreadInfo, QueryCpusFast, QueryHotpluggableCpus, QueryIothreads,
};
use std::fmt::Write;

/// `info cpus`: where each is, what it is doing, and the host's thread, which is one for all.
pub(super) fn show(control: &mut Control, desk: &mut Desk, arguments: &mut Arguments<'_>) -> Answer {
    arguments.finish()?;
    let threads = control::query_cpus_fast(control, QueryCpusFast {})?;
    let mut text = String::new();
    for (cpu, info) in control.board.machine.cpus.iter().zip(threads) {
        let index = usize::from(cpu.index);
        let mark = if index == desk.selected { '*' } else { ' ' };
        let activity = match cpu.activity {
            Activity::Running => "",
            Activity::Halted => " (halted)",
            Activity::WaitForStartup => " (waiting for start-up)",
            Activity::Shutdown => " (shut down)",
        };
        let (pc, thread) = (registers::program_counter(cpu), info.thread_id);
        let _ = writeln!(text, "{mark} CPU #{index}: pc=0x{pc:016x}{activity} thread_id={thread}");
    }
    Ok(text)
}

/// `info hotpluggable-cpus`: the places for processors.
pub(super) fn places(control: &mut Control, _: &mut Desk, arguments: &mut Arguments<'_>) -> Answer {
    arguments.finish()?;
    let mut text = "Hotpluggable CPUs:\n".to_owned();
    for place in control::query_hotpluggable_cpus(control, QueryHotpluggableCpus {})? {
        let HotpluggableCPU { ty, vcpus_count, props, qom_path } = place;
        let _ = writeln!(text, "  type: \"{ty}\"\n  vcpus_count: \"{vcpus_count}\"");
        if let Some(path) = qom_path {
            let _ = writeln!(text, "  qom_path: \"{path}\"");
        }
        let CpuInstanceProperties { node_id, socket_id, die_id, cluster_id, core_id, thread_id } = props;
        text.push_str("  CPUInstance Properties:\n");
        for (name, id) in [
            ("node-id", node_id),
            ("socket-id", socket_id),
            ("die-id", die_id),
            ("cluster-id", cluster_id),
            ("core-id", core_id),
            ("thread-id", thread_id),
        ] {
            let _ = id.map_or(Ok(()), |id| writeln!(text, "    {name}: \"{id}\""));
        }
    }
    Ok(text)
}

/// `info iothreads`.
pub(super) fn iothreads(control: &mut Control, _: &mut Desk, arguments: &mut Arguments<'_>) -> Answer {
    arguments.finish()?;
    let mut text = String::new();
    for iothread in control::query_iothreads(control, QueryIothreads {})? {
        let IOThreadInfo { id, thread_id, poll_max_ns, poll_grow, poll_shrink, aio_max_batch } = iothread;
        let _ = writeln!(text, "{id}:\n  thread_id={thread_id}\n  poll-max-ns={poll_max_ns}\n  poll-grow={poll_grow}");
        let batch = aio_max_batch.unwrap_or_default();
        let _ = writeln!(text, "  poll-shrink={poll_shrink}\n  aio-max-batch={batch}");
    }
    Ok(text)
}
