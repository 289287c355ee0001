//! A machine that is divided into NUMA nodes, as Debian's kernel sees it.

use lockstep_tests::guest::{Guest, debian, guest_file};

const MINUTE: u64 = 60_000_000_000;

/// Two nodes, the second of which takes the module that is there from the start.
fn seen_by_linux(firmware: &[&str]) {
    let machine =
        ["-m", "384M,slots=1,maxmem=1G", "-smp", "3,sockets=3", "-cpu", "max", "-numa", "node,mem=256M,cpus=0,cpus=2"];
    let nodes = ["-numa", "node,mem=128M,cpus=1", "-numa", "dist,src=0,dst=1,val=33"];
    let module = ["-object", "memory-backend-ram,id=m,size=128M", "-device", "pc-dimm,memdev=m,node=1"];
    let all = [&machine[..], &nodes, &module, firmware].concat();
    let arguments =
        [debian("memhp_default_state=online_movable"), all.iter().map(|a| (*a).to_owned()).collect()].concat();
    let mut guest = Guest::start(&arguments, &[]);
    guest.expect("# ", MINUTE);
    guest.type_in(
        "cd /sys/devices/system/node; for n in 0 1; do echo $n: $(cat node$n/cpulist node$n/distance); done\n",
    );
    guest.expect("0: 0,2 10 33\r\n", MINUTE);
    guest.expect("1: 1 33 10\r\n", MINUTE);
    guest.type_in("for n in 0 1; do echo blocks $n: $(ls -d node$n/memory* | wc -l); done\n");
    guest.expect("blocks 0: 2\r\n", MINUTE);
    guest.expect("blocks 1: 2\r\n", MINUTE);
}

#[test]
fn linux_sees_nodes_their_distances_and_what_is_in_them() {
    seen_by_linux(&[]);
}

#[test]
fn seabios_hands_the_nodes_on() {
    seen_by_linux(&["-bios", &guest_file("bios-256k.bin")]);
}

#[test]
fn linux_reads_how_fast_each_nodes_memory_is_and_its_caches() {
    let lb = |target: u8, what: &str| {
        format!("hmat-lb,initiator=0,target={target},hierarchy=memory,data-type=access-{what}")
    };
    let cache = "hmat-cache,node-id=1,size=10K,level=1,associativity=direct,policy=write-back,line=8".to_owned();
    let options = [
        "node,mem=128M,cpus=0-1".into(),
        "node,mem=128M,initiator=0".into(),
        lb(0, "latency,latency=5"),
        lb(0, "bandwidth,bandwidth=200M"),
        lb(1, "latency,latency=10"),
        lb(1, "bandwidth,bandwidth=100M"),
        cache,
    ];
    let mut arguments = debian("");
    arguments.extend(["-M", "pc,hmat=on", "-m", "256M", "-smp", "2", "-cpu", "max"].map(str::to_owned));
    arguments.extend(options.into_iter().flat_map(|option| ["-numa".to_owned(), option]));
    for firmware in [&[][..], &["-bios", &guest_file("bios-256k.bin")]] {
        let mut guest = Guest::start(&arguments, firmware);
        guest.expect("acpi/hmat: Memory Flags:0001 Processor Domain:0 Memory Domain:1", MINUTE);
        guest.expect("acpi/hmat: Cache: Domain:1 Size:10240 Attrs:00081111", MINUTE);
        guest.expect("# ", MINUTE);
        guest.type_in("cd /sys/devices/system/node; for n in 0 1; do cd node$n/access0/initiators; echo $n: $(cat read_latency write_bandwidth); cd ../../..; done\n");
        guest.expect("0: 5 200\r\n", MINUTE);
        guest.expect("1: 10 100\r\n", MINUTE);
    }
}
