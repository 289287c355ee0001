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
