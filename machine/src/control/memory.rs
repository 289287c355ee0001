//! The guest's memory: how much there is and what backs it.

use crate::run::Control;
use lockstep_qmp::commands::memory::{
    HostMemPolicy, Memdev, MemoryDeviceInfo, MemoryInfo, QueryMemdev, QueryMemoryDevices, QueryMemorySizeSummary,
};
use lockstep_qmp::registry::{Answer, Registry};

pub(super) fn register(registry: &mut Registry<Control>) {
    registry.on(query_memory_size_summary).on(query_memdev).on(query_memory_devices);
}

fn query_memory_size_summary(control: &mut Control, _: QueryMemorySizeSummary) -> Answer<MemoryInfo> {
    Ok(MemoryInfo { base_memory: control.config.memory.size, plugged_memory: Some(0) })
}

fn query_memdev(control: &mut Control, _: QueryMemdev) -> Answer<Vec<Memdev>> {
    Ok(vec![Memdev {
        id: Some("pc.ram".into()),
        size: control.config.memory.size,
        merge: false,
        dump: true,
        prealloc: false,
        share: Some(false),
        reserve: Some(false),
        host_nodes: Vec::new(),
        policy: HostMemPolicy::Default,
    }])
}

fn query_memory_devices(_: &mut Control, _: QueryMemoryDevices) -> Answer<Vec<MemoryDeviceInfo>> {
    Ok(Vec::new())
}
