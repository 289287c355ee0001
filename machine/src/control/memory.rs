//! The guest's memory: how much there is and what backs it.

use crate::object_model::Backend;
use crate::plug::Module;
use crate::run::Control;
use lockstep_qmp::commands::memory::{
    HostMemPolicy, Memdev, MemoryDeviceInfo, MemoryDeviceInfoOf, MemoryInfo, PCDIMMDeviceInfo, PCDIMMDeviceInfoWrapper,
    QueryMemdev, QueryMemoryDevices, QueryMemorySizeSummary,
};
use lockstep_qmp::registry::{Answer, Registry};

pub(super) fn register(registry: &mut Registry<Control>) {
    registry.on(query_memory_size_summary).on(query_memdev).on(query_memory_devices);
}

pub(crate) fn query_memory_size_summary(control: &mut Control, _: QueryMemorySizeSummary) -> Answer<MemoryInfo> {
    let plugged = control.board.machine.modules().map(|(_, module)| module.size).sum();
    Ok(MemoryInfo { base_memory: control.config.memory.size, plugged_memory: Some(plugged) })
}

pub(crate) fn query_memdev(control: &mut Control, _: QueryMemdev) -> Answer<Vec<Memdev>> {
    let machines = control.config.machine.memory_backend.is_none().then(|| Memdev {
        id: Some("pc.ram".into()),
        size: control.config.memory.size,
        merge: false,
        dump: true,
        prealloc: false,
        share: Some(false),
        reserve: Some(false),
        host_nodes: Vec::new(),
        policy: HostMemPolicy::Default,
    });
    let others = control.objects.iter().filter(|object| object.kind.ty.starts_with("memory-backend-"));
    // Nodes' backends take the place of the machine's own.
    let own = control.config.numa.nodes.iter().all(|node| node.backend.is_none());
    Ok(machines.filter(|_| own).into_iter().chain(others.map(memdev)).collect())
}

fn memdev(object: &Backend) -> Memdev {
    let nodes = object.value("host-nodes").unwrap_or_default();
    let policy = object.value("policy").unwrap_or_default();
    Memdev {
        id: Some(object.id.clone()),
        size: object.value("size").and_then(|size| size.as_u64()).unwrap_or_default(),
        merge: object.switch("merge"),
        dump: object.switch("dump"),
        prealloc: object.switch("prealloc"),
        share: Some(object.switch("share")),
        reserve: Some(object.switch("reserve")),
        host_nodes: serde_json::from_value(nodes).unwrap_or_default(),
        policy: serde_json::from_value(policy).unwrap_or(HostMemPolicy::Default),
    }
}

pub(crate) fn query_memory_devices(control: &mut Control, _: QueryMemoryDevices) -> Answer<Vec<MemoryDeviceInfo>> {
    let mut modules: Vec<_> = control.board.machine.modules().map(|(_, module)| module).collect();
    modules.sort_by_key(|module| module.address);
    let info = |module: &Module| PCDIMMDeviceInfo {
        id: module.device.id.clone(),
        addr: module.address.cast_signed(),
        size: module.size.cast_signed(),
        slot: module.slot.into(),
        node: module.node.into(),
        memdev: format!("/objects/{}", module.backend),
        hotplugged: module.hotplugged,
        hotpluggable: true,
    };
    let kind = |data| MemoryDeviceInfoOf::Dimm(PCDIMMDeviceInfoWrapper { data });
    Ok(modules.into_iter().map(|module| MemoryDeviceInfo { kind: kind(info(module)) }).collect())
}
