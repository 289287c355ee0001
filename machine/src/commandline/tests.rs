//! What a command line means, option by option.

use lockstep_fabric::{Actions, PanicAction, WatchdogAction};
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};

use super::*;

/// Splits at spaces; no argument in these tests has one.
fn words(line: &str) -> Vec<String> {
    line.split_whitespace().map(str::to_owned).collect()
}

fn config(line: &str) -> Config {
    match parse(&words(line), &Vocabulary::default()) {
        Ok(Invocation::Run(config)) => *config,
        other => panic!("{line}: {other:?}"),
    }
}

fn error(line: &str) -> String {
    match parse(&words(line), &Vocabulary::default()) {
        Err(error) => error.to_string(),
        Ok(invocation) => panic!("{line}: {invocation:?}"),
    }
}

fn printed(line: &str) -> String {
    match parse(&words(line), &Vocabulary::default()) {
        Ok(Invocation::Print(text)) => text,
        other => panic!("{line}: {other:?}"),
    }
}

fn backend<'a>(config: &'a Config, id: &str) -> &'a Backend {
    &config.chardev(id).expect("the character device exists").backend
}

#[test]
fn nothing_at_all_is_a_pc_on_the_terminal() {
    let config = config("");
    assert_eq!(config.machine.kind, MachineKind::Pc);
    assert_eq!(config.memory.size, 128 << 20);
    assert_eq!(config.smp.cpus, 1);
    assert_eq!(config.serial, [Some("serial0".to_owned())]);
    assert_eq!(config.monitors, ["serial0"]);
    assert_eq!(*backend(&config, "serial0"), Backend::Stdio { signals: false });
    assert!(config.chardev("serial0").expect("it exists").mux);
    assert!(config.icount.sleep);
    assert_eq!(config.boot, BootConfig { floppy_signature_check: true, ..BootConfig::default() });
}

#[test]
fn both_dashes_are_the_same() {
    assert_eq!(config("--smp 2").smp, config("-smp 2").smp);
}

#[test]
fn arguments_are_kept_as_typed() {
    assert_eq!(config("-m 1G -S").argv, ["-m", "1G", "-S"]);
}

#[test]
fn configuration_survives_a_trip_through_json() {
    let config = config(
        "-smp 2 -device isa-debug-exit,iobase=0xf4 -icount shift=2,rr=record,rrfile=/tmp/log -serial unix:/tmp/s,server=on",
    );
    let text = serde_json::to_string(&config).expect("it can be written");
    assert_eq!(serde_json::from_str::<Config>(&text).expect("it can be read"), config);
}

#[test]
fn options_that_nobody_has_are_unknown() {
    assert_eq!(error("-foo"), "-foo: unknown option (-help lists them)");
    assert_eq!(error("--"), "--: unknown option (-help lists them)");
}

#[test]
fn options_of_qemu_that_are_not_built_are_refused_by_name() {
    assert_eq!(error("-netdev user,id=n"), "-netdev: not built in this version of Lockstep");
    assert_eq!(error("-spice port=1"), "-spice: not built in this version of Lockstep");
}

#[test]
fn what_libvirt_writes_is_read() {
    let line = r#"-name guest=moon,debug-threads=on -S -object memory-backend-ram,id=pc.ram,size=268435456
        -object {"qom-type":"secret","id":"masterKey0","format":"raw","file":"/x"} -accel tcg -overcommit mem-lock=off
        -machine pc-i440fx-7.2,usb=off,dump-guest-core=off,memory-backend=pc.ram -m 256 -display none -no-user-config
        -nodefaults -chardev socket,id=charmonitor,fd=23,server=on,wait=off -mon chardev=charmonitor,id=monitor,mode=control
        -no-shutdown -boot strict=on -chardev pty,id=charserial0 -audiodev {"id":"audio1","driver":"none"}
        -device {"driver":"isa-serial","chardev":"charserial0","id":"serial0","index":0} -msg timestamp=on"#;
    let config = config(line);
    assert_eq!(config.machine.memory_backend.as_deref(), Some("pc.ram"));
    let [serial] = &config.devices[..] else { panic!("{:?}", config.devices) };
    assert_eq!((serial.driver.as_str(), serial.id.as_deref()), ("isa-serial", Some("serial0")));
    assert_eq!((serial.property("chardev"), serial.number("index")), (Some("charserial0"), Some(0)));
    assert_eq!(error("-device {"), "-device {: expected a JSON object");
    assert!(error("-audiodev alsa,id=a").contains("audio driver 'alsa' is not built"));
}

#[test]
fn memory_comes_from_the_backend_that_the_machine_names() {
    let with = |size: &str, more: &str| {
        format!("-object memory-backend-ram,id=r,size={size} -machine pc,memory-backend=r {more}")
    };
    assert_eq!(config(&with("64M", "")).memory.size, 64 << 20);
    assert_eq!(config(&with("64M", "-m 64")).memory.size, 64 << 20);
    assert!(error(&with("64M", "-m 128")).contains("does not match the size of the memory backend"));
    assert!(error(&with("1000", "")).contains("units of 8 KiB"));
    assert!(error("-machine pc,memory-backend=r").contains("Memory backend 'r' not found"));
    let other = "-machine pc,memory-backend=r -object";
    assert!(error(&format!("{other} iothread,id=r")).contains("'r' is of type iothread, no memory backend"));
    assert!(
        error(&format!("{other} memory-backend-file,id=r,size=64M,mem-path=/x")).contains("in a file is not built")
    );
}

#[test]
fn no_option_is_both_built_and_not() {
    for name in unbuilt::UNBUILT {
        assert!(table::find(name).is_none(), "-{name} is in both lists");
    }
    assert!(unbuilt::UNBUILT.is_sorted());
}

#[test]
fn missing_argument_names_the_option() {
    assert_eq!(error("-m"), "-m: needs an argument");
}

#[test]
fn error_stays_on_one_line() {
    let argv = ["-cpu".to_owned(), "a\nb".to_owned()];
    let error = parse(&argv, &Vocabulary::default()).expect_err("no such model").to_string();
    assert!(error.starts_with("-cpu a b: "), "{error}");
}

#[test]
fn help_lists_every_option_with_its_text() {
    let help = printed("-help");
    assert_eq!(printed("-h"), help);
    for spec in table::OPTIONS {
        assert!(help.contains(&format!("-{}", spec.name)), "-{} is missing", spec.name);
        assert!(help.contains(spec.about));
    }
    assert!(help.lines().all(|line| line.len() <= 240));
}

#[test]
fn version_speaks_to_people_and_to_tools() {
    for spelling in ["-version", "--version"] {
        let text = printed(spelling);
        assert!(text.starts_with("Lockstep 0."), "{text}");
        assert!(text.lines().any(|line| line.starts_with("QEMU emulator version 7.2.")), "{text}");
    }
}

#[test]
fn lists_are_printed_on_request() {
    assert!(printed("-M help").contains("pc "));
    assert!(printed("-cpu help").contains("qemu64"));
    assert!(printed("-device help").contains("isa-debug-exit"));
    assert!(printed("-device isa-debugcon,help").contains("readback"));
    assert!(printed("-chardev help").contains("socket"));
    assert!(printed("-accel help").contains("tcg"));
    assert!(printed("-d help").contains("guest_errors"));
    assert!(printed("-L /fw -L help").starts_with("/fw\n/usr/share/seabios\n"));
}

mod drives;
mod firmware;
mod host;

mod machine {
    use super::*;

    #[test]
    fn pc_has_qemu_s_versioned_names() {
        for name in ["pc", "pc-i440fx-7.2", "pc-i440fx-10.1", "type=pc"] {
            assert_eq!(config(&format!("-M {name}")).machine.kind, MachineKind::Pc);
        }
    }

    #[test]
    fn other_boards_are_refused_by_name() {
        assert_eq!(error("-M q35"), "-M q35: machine 'q35' is not built in this version of Lockstep");
        assert_eq!(error("-machine vax"), "-machine vax: unknown machine 'vax' (-machine help lists them)");
        assert!(error("-M pc-i440fx-").contains("unknown machine"));
    }

    #[test]
    fn switches_of_the_board_are_set() {
        let machine = config("-M pc,hpet=off,acpi=no -machine smm=off,pit=on").machine;
        assert!(!machine.hpet && !machine.acpi && !machine.smm && machine.pit && machine.i8042);
        assert!(config("-M pc,smm=auto").machine.smm);
        assert!(!config("-no-hpet").machine.hpet);
        assert!(!config("-no-acpi").machine.acpi);
    }

    #[test]
    fn what_only_tunes_the_host_is_accepted() {
        config("-M pc,usb=off,vmport=off,dump-guest-core=off,mem-merge=off,nvdimm=off,graphics=off,kernel_irqchip=on");
        config("-overcommit mem-lock=off -msg timestamp=on -sandbox off -no-user-config -k de -no-fd-bootchk");
        config("-mem-prealloc -compat deprecated-input=accept,deprecated-output=accept");
        assert!(error("-compat deprecated-input=reject").contains("not built"));
        assert!(!config("-singlestep").machine.translates);
    }

    #[test]
    fn serial_ports_that_say_no_number_are_counted() {
        let config = config(
            "-nodefaults -device isa-serial -device isa-serial,index=3 -device isa-serial -device isa-serial,iobase=0x200",
        );
        let index = |device: &DeviceConfig| device.properties.iter().find(|(name, _)| name == "index").cloned();
        let numbers: Vec<_> = config.devices.iter().filter_map(index).map(|(_, number)| number).collect();
        assert_eq!(numbers, ["0", "3", "1", "2"]);
    }

    #[test]
    fn what_would_add_a_device_is_refused() {
        assert!(error("-M pc,usb=on").contains("usb=on is not built"));
        assert!(error("-M pc,colour=red").ends_with("unknown property 'colour'"));
        assert!(error("-M pc,hpet=perhaps").contains("'perhaps' is no value for 'hpet'"));
    }

    #[test]
    fn kernel_may_be_a_property_of_the_machine() {
        let boot = config("-M pc,kernel=/k,append=quiet").boot;
        assert_eq!(boot.kernel.as_deref(), Some(Path::new("/k")));
        assert_eq!(boot.append, "quiet");
    }

    #[test]
    fn only_software_accelerates() {
        config("-accel tcg -accel tcg,thread=multi,tb-size=64 -M pc,accel=tcg -M accel=kvm:tcg -accel kvm:tcg");
        for line in ["-enable-kvm", "-accel kvm", "-M pc,accel=kvm", "-accel hvf:kvm"] {
            let text = error(line);
            assert!(text.contains("is not supported: Lockstep runs every instruction in software"), "{text}");
        }
        assert!(error("-accel warp").contains("unknown accelerator 'warp'"));
    }

    #[test]
    fn name_and_uuid_are_kept() {
        let config = config("-name guest=web,debug-threads=on -uuid 01234567-89ab-cdef-0123-456789abcdef");
        assert_eq!(config.name.as_deref(), Some("web"));
        assert_eq!(config.uuid.map(|uuid| uuid[0]), Some(0x01));
        assert!(error("-uuid 1234").contains("expected a UUID"));
    }
}

mod processors {
    use super::*;

    fn topology(line: &str) -> (u32, u32, u32, u32, u32) {
        let smp = config(line).smp;
        (smp.cpus, smp.maxcpus, smp.sockets, smp.cores, smp.threads)
    }

    #[test]
    fn processors_are_cores_of_one_socket_unless_told_otherwise() {
        assert_eq!(topology("-smp 4"), (4, 4, 1, 4, 1));
        assert_eq!(topology("-smp cpus=4,sockets=2"), (4, 4, 2, 2, 1));
        assert_eq!(topology("-smp 8,sockets=2,cores=2,threads=2"), (8, 8, 2, 2, 2));
        assert_eq!(topology("-smp cores=2,threads=2"), (4, 4, 1, 2, 2));
        assert_eq!(topology("-smp 4,cores=2"), (4, 4, 2, 2, 1));
        assert_eq!(topology("-smp 2,maxcpus=4"), (2, 4, 1, 4, 1));
        assert_eq!(topology("-smp 8,dies=2"), (8, 8, 1, 4, 1));
    }

    #[test]
    fn board_has_one_to_eight() {
        assert_eq!(error("-smp 300"), "-smp 300: invalid SMP CPUs 300: the machine pc supports 1 to 8");
        assert!(error("-smp 9").contains("supports 1 to 8"));
        assert!(error("-smp sockets=18446744073709551615,cores=2").contains("supports 1 to 8"));
        assert_eq!(error("-smp 0"), "-smp 0: cpus must be greater than zero");
        assert!(error("-smp many").contains("use a number"));
    }

    #[test]
    fn contradictory_topologies_are_refused() {
        assert!(error("-smp 4,sockets=3").contains("invalid CPU topology"));
        assert!(error("-smp 4,cores=8").contains("invalid CPU topology"));
        assert!(error("-smp 4,maxcpus=2").contains("exceed maxcpus"));
        assert!(error("-smp 4,clusters=2").contains("clusters"));
    }

    #[test]
    fn features_are_added_and_removed() {
        let cpu = config("-cpu qemu64,+popcnt,-sse3,sse4_1=on,x2apic=off,fsgsbase,phys-bits=40").cpu;
        assert_eq!(cpu.model, "qemu64");
        assert_eq!(cpu.feature("popcnt"), Some(true));
        assert_eq!(cpu.feature("sse3"), Some(false));
        assert_eq!(cpu.feature("sse4.1"), Some(true));
        assert_eq!(cpu.feature("x2apic"), Some(false));
        assert_eq!(cpu.feature("fsgsbase"), Some(true));
        assert_eq!(cpu.feature("aes"), None);
        assert_eq!(cpu.value("phys-bits"), Some("40"));
    }

    #[test]
    fn removal_beats_addition_and_both_beat_assignment() {
        let cpu = config("-cpu max,-a,+a,+b,b=off,c=on,c=off").cpu;
        assert_eq!(cpu.feature("a"), Some(false));
        assert_eq!(cpu.feature("b"), Some(true));
        assert_eq!(cpu.feature("c"), Some(false));
    }

    #[test]
    fn models_that_do_not_exist_are_refused() {
        assert_eq!(error("-cpu z80"), "-cpu z80: unknown CPU model 'z80' (-cpu help lists them)");
        assert!(error("-cpu host").contains("-cpu max"));
        assert!(error("-cpu max,+").contains("expected MODEL"));
    }

    #[test]
    fn help_lists_models_and_features() {
        let help = printed("-cpu help");
        for name in ["qemu64", "Nehalem", "sse4.2", "la57"] {
            assert!(help.contains(name), "{name}");
        }
    }
}

mod memory {
    use super::*;

    #[test]
    fn bare_number_counts_mebibytes() {
        assert_eq!(config("-m 512").memory.size, 512 << 20);
        assert_eq!(config("-m 4G").memory.size, 4 << 30);
        assert_eq!(
            config("-m size=1.5G,slots=2,maxmem=4G").memory,
            MemoryConfig { size: 3 << 29, slots: 2, max: 4 << 30 }
        );
    }

    #[test]
    fn size_is_rounded_up_to_8_kib() {
        assert_eq!(config("-m 1048577b").memory.size, (1 << 20) + 8192);
    }

    #[test]
    fn no_memory_is_no_machine() {
        assert_eq!(error("-m 0"), "-m 0: the machine pc needs at least 1 MiB of memory");
        assert!(error("-m 1k").contains("at least 1 MiB"));
        assert!(error("-m lots").contains("'lots' is no value for 'size'"));
        assert!(error("-m -5").contains("is no value for 'size'"));
        assert!(error("-m 16777216T").contains("no value"));
        assert!(error("-m 2G,maxmem=1G").contains("maxmem"));
    }
}

mod booting {
    use super::*;

    #[test]
    fn kernel_comes_with_its_companions() {
        let argv: Vec<String> = ["-kernel", "vmlinuz", "-initrd", "initrd.gz", "-append", "console=ttyS0 quiet,debug"]
            .map(String::from)
            .into();
        let Ok(Invocation::Run(config)) = parse(&argv, &Vocabulary::default()) else { panic!("refused") };
        assert_eq!(config.boot.kernel, Some(PathBuf::from("vmlinuz")));
        assert_eq!(config.boot.initrd, Some(PathBuf::from("initrd.gz")));
        assert_eq!(config.boot.append, "console=ttyS0 quiet,debug");
    }

    #[test]
    fn companions_without_a_kernel_are_refused() {
        assert_eq!(error("-append quiet"), "-append quiet: only makes sense with -kernel");
        assert_eq!(error("-initrd x"), "-initrd x: only makes sense with -kernel");
    }

    #[test]
    fn files_that_cannot_be_read_name_their_option() {
        let boot = config("-kernel /nonexistent/vmlinuz -initrd /").boot;
        let error = boot.read_kernel().expect_err("there is none");
        assert_eq!(error.to_string(), "-kernel /nonexistent/vmlinuz: No such file or directory");
        assert_eq!(boot.read_initrd().expect_err("no file").to_string(), "-initrd /: Is a directory");
        assert_eq!(config("").boot.read_kernel(), Ok(None));
    }

    #[test]
    fn boot_order_is_letters() {
        let boot = config("-boot order=dc,menu=on,strict=on,once=n").boot;
        assert_eq!(
            (boot.order.as_deref(), boot.once.as_deref(), boot.menu, boot.strict),
            (Some("dc"), Some("n"), true, true)
        );
        assert_eq!(config("-boot d").boot.order.as_deref(), Some("d"));
        for wrong in ["cc", "z", "abcd", "order=e", "once=p"] {
            assert!(error(&format!("-boot {wrong}")).contains("use up to three different letters"), "{wrong}");
        }
    }

    #[test]
    fn the_order_is_kept_in_cmos() {
        let cmos = |line: &str| {
            let boot = config(line).boot;
            boot.letters(boot.order.as_deref()).map(|(_, value)| value)
        };
        assert_eq!([cmos(""), cmos("-boot d"), cmos("-boot nda")], [[0x12, 0x30], [0x03, 0x00], [0x34, 0x10]]);
        assert_eq!(cmos("-boot c -no-fd-bootchk"), [0x02, 0x01]);
    }

    #[test]
    fn booting_waits_as_long_as_it_is_told() {
        let boot = config("-boot splash-time=1000,reboot-timeout=5000,splash=a.bmp").boot;
        assert_eq!(
            (boot.splash_time, boot.reboot_timeout, boot.splash.as_deref()),
            (Some(1000), Some(5000), Some("a.bmp"))
        );
        assert_eq!(config("-boot reboot-timeout=5 -boot reboot-timeout=-1").boot.reboot_timeout, None);
        assert!(error("-boot splash-time=65536").contains("'65536' is no value for 'splash-time'"));
        assert!(error("-boot reboot-timeout=-2").contains("'-2' is no value for 'reboot-timeout'"));
        let lost = config("-boot splash=/nowhere/a.bmp").boot.read_splash().expect_err("it is nowhere").to_string();
        assert!(lost.starts_with("-boot splash=/nowhere/a.bmp: no such file"), "{lost}");
    }

    #[test]
    fn firmware_is_looked_for_as_it_stands_and_then_in_the_directories() {
        let dir = std::env::temp_dir().join(format!("lockstep-firmware-{}", std::process::id()));
        std::fs::create_dir_all(&dir).expect("a temporary directory");
        std::fs::write(dir.join("test-bios.bin"), [0xf4]).expect("a file in it");
        let line = format!("-L /nowhere -L {} -bios test-bios.bin", dir.display());
        assert_eq!(config(&line).boot.bios_file(), Ok(Some(dir.join("test-bios.bin"))));
        let whole = format!("-bios {}", dir.join("test-bios.bin").display());
        assert_eq!(config(&whole).boot.bios_file(), Ok(Some(dir.join("test-bios.bin"))));
        let image = config(&line).boot.read_bios().expect("it can be read").expect("there is one");
        assert_eq!(image.bytes, [0xf4]);
        assert_eq!(image.refused("too short").to_string(), "-bios test-bios.bin: too short");
        let error = config("-bios no-such.bin").boot.bios_file().expect_err("it is nowhere");
        assert!(error.to_string().starts_with("-bios no-such.bin: no such file"), "{error}");
        assert_eq!(config("").boot.bios_file(), Ok(None));
        std::fs::remove_dir_all(dir).expect("the directory can go");
    }
}

mod characters {
    use super::*;

    #[test]
    fn serial_ports_come_in_order_and_none_leaves_a_gap() {
        let config = config("-serial null -serial none -serial file:/tmp/out,put -monitor none");
        assert_eq!(config.serial, [Some("serial0".to_owned()), None, Some("serial2".to_owned())]);
        assert_eq!(*backend(&config, "serial0"), Backend::Null);
        let path = PathBuf::from("/tmp/out,put");
        assert_eq!(*backend(&config, "serial2"), Backend::File { path, append: false });
        assert!(config.monitors.is_empty());
    }

    #[test]
    fn there_are_four_serial_ports() {
        config("-serial null -serial null -serial null -serial null");
        assert!(
            error("-serial null -serial null -serial null -serial null -serial null").contains("has 4 serial ports")
        );
    }

    #[test]
    fn plain_stdio_leaves_ctrl_c_to_the_host_and_mon_stdio_gives_it_to_the_guest() {
        let plain = config("-serial stdio");
        assert_eq!(*backend(&plain, "serial0"), Backend::Stdio { signals: true });
        assert!(plain.monitors.is_empty());
        let shared = config("-serial mon:stdio");
        assert_eq!(*backend(&shared, "serial0"), Backend::Stdio { signals: false });
        assert_eq!(shared.monitors, ["serial0"]);
        assert_eq!(config("-nographic").chardevs.len(), 1);
    }

    #[test]
    fn monitor_takes_the_terminal_when_the_serial_port_is_elsewhere() {
        let config = config("-nographic -serial null");
        assert_eq!(config.monitors, ["compat_monitor0"]);
        assert_eq!(*backend(&config, "compat_monitor0"), Backend::Stdio { signals: true });
    }

    #[test]
    fn monitor_none_leaves_the_serial_port_on_the_terminal() {
        let config = config("-nographic -monitor none");
        assert_eq!(config.serial, [Some("serial0".to_owned())]);
        assert!(config.monitors.is_empty());
        assert_eq!(*backend(&config, "serial0"), Backend::Stdio { signals: true });
    }

    #[test]
    fn display_none_or_nodefaults_is_quiet() {
        for line in ["-display none", "-nodefaults", "-nographic -nodefaults"] {
            let config = config(line);
            assert!(config.serial.is_empty() && config.monitors.is_empty() && config.chardevs.is_empty(), "{line}");
        }
        assert_eq!(config("-display none -serial stdio").chardevs.len(), 1);
        assert_eq!(config("-display none -nographic").chardevs.len(), 1);
    }

    #[test]
    fn terminal_has_one_owner() {
        assert_eq!(
            error("-serial stdio -monitor stdio"),
            "-monitor stdio: the terminal is already taken by -serial stdio"
        );
    }

    #[test]
    fn sockets_listen_or_call() {
        let config = config(
            "-serial unix:/tmp/s,server=on,wait=off -serial tcp:127.0.0.1:4444,server,nowait -serial tcp:localhost:0 -serial unix:/tmp/t,server",
        );
        let local = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let expect = [
            (SocketAddress::Unix("/tmp/s".into()), SocketRole::Server { wait: false }),
            (SocketAddress::Tcp(local, 4444), SocketRole::Server { wait: false }),
            (SocketAddress::Tcp(local, 0), SocketRole::Client { reconnect: None }),
            (SocketAddress::Unix("/tmp/t".into()), SocketRole::Server { wait: true }),
        ];
        for (port, (address, role)) in expect.into_iter().enumerate() {
            assert_eq!(*backend(&config, &format!("serial{port}")), Backend::Socket { address, role });
        }
    }

    #[test]
    fn sockets_stay_on_this_host() {
        assert!(error("-serial tcp:0.0.0.0:4444,server").contains("'0.0.0.0' is not on the loopback interface"));
        assert!(error("-serial tcp:example.org:1").contains("loopback"));
        assert!(error("-serial tcp:localhost:65536").contains("0 to 65535"));
        assert!(error("-serial tcp:4444").contains("tcp:HOST:PORT"));
        assert_eq!(
            *backend(&config("-serial tcp:[::1]:7"), "serial0"),
            Backend::Socket {
                address: SocketAddress::Tcp("::1".parse().expect("an address"), 7),
                role: SocketRole::Client { reconnect: None }
            }
        );
        assert!(error("-serial unix:/tmp/s,wait=off").contains("only makes sense with 'server'"));
    }

    #[test]
    fn other_kinds_are_refused_by_name() {
        assert!(error("-serial vc").contains("'vc' is not built"));
        let behind_pty = error("-chardev pty,id=x -mon x,mode=control");
        assert!(
            behind_pty.contains("QMP on something other than a socket or the terminal is not built"),
            "{behind_pty}"
        );
        assert!(error("-serial nonsense").contains("expected stdio"));
        assert!(error("-chardev udp,id=x").contains("'port' is missing"));
        assert!(error("-chardev telnet,id=x").contains("backend 'telnet' is not built"));
        assert!(error("-serial udp:192.0.2.1:7").contains("is not on the loopback interface"));
        assert!(error("-serial udp:7").contains("udp:[HOST]:PORT[@[HOST]:PORT]"));
        assert!(error("-vga cirrus").contains("graphic card 'cirrus' is not built"));
        assert!(error("-display gtk,gl=on").contains("display 'gtk' is not built"));
        config("-vga none -vnc none -parallel none -net none -nic none");
        assert!(error("-net user").contains("a network card is not built"));
    }

    #[test]
    fn what_is_read_and_written_elsewhere_is_named_by_its_path() {
        let config = config("-serial pty -serial pipe:/tmp/p -serial /dev/ttyS0 -chardev tty,id=t,path=/dev/ttyS1");
        assert_eq!(*backend(&config, "serial0"), Backend::Pty);
        assert_eq!(*backend(&config, "serial1"), Backend::Pipe { path: "/tmp/p".into() });
        assert_eq!(*backend(&config, "serial2"), Backend::SerialLine { path: "/dev/ttyS0".into() });
        assert_eq!(*backend(&config, "t"), Backend::SerialLine { path: "/dev/ttyS1".into() });
        assert!(error("-chardev pipe,id=p").contains("'path' is missing"));
    }

    #[test]
    fn the_last_word_on_the_graphics_card_counts() {
        let cards = |line: &str| config(line).devices.iter().filter(|device| device.driver == "VGA").count();
        assert_eq!((cards("-vga none"), cards("-vga std"), cards("-vga none -vga std")), (0, 1, 1));
        assert_eq!((cards("-vga std -vga none"), cards("-vga std -vga none -device VGA")), (0, 1));
        assert_eq!((cards("-m 64"), cards("-device VGA"), cards("-nodefaults")), (1, 1, 0));
    }

    #[test]
    fn chardevs_are_defined_once_and_used_by_name() {
        let config = config(
            "-chardev socket,id=c0,path=/tmp/a,,b,server=on,wait=off -serial chardev:c0 -chardev file,id=f,path=x,append=on",
        );
        assert_eq!(config.serial, [Some("c0".to_owned())]);
        assert_eq!(
            *backend(&config, "c0"),
            Backend::Socket {
                address: SocketAddress::Unix("/tmp/a,b".into()),
                role: SocketRole::Server { wait: false }
            }
        );
        assert_eq!(*backend(&config, "f"), Backend::File { path: "x".into(), append: true });
        assert!(error("-chardev null,id=a -chardev null,id=a").contains("already a character device 'a'"));
        assert!(error("-chardev null").contains("'id' is missing"));
        assert!(error("-chardev file,id=a").contains("'path' is missing"));
        assert!(error("-chardev warp,id=a").contains("unknown backend 'warp'"));
        assert!(error("-chardev null,id=a,speed=9600").contains("unknown property 'speed'"));
        assert_eq!(error("-serial chardev:nobody"), "-serial chardev:nobody: there is no -chardev 'nobody'");
    }

    #[test]
    fn only_a_mux_is_shared() {
        config("-chardev stdio,id=c,mux=on,signal=off -serial chardev:c -monitor chardev:c");
        let text = error("-chardev null,id=c -serial chardev:c -serial chardev:c");
        assert!(text.contains("'c' is already used by -serial chardev:c"), "{text}");
    }

    #[test]
    fn escape_character_can_be_moved() {
        assert_eq!(config("-echr 0x14").escape, 0x14);
        assert!(error("-echr 300").contains("0 to 255"));
    }
}

mod devices {
    use super::*;

    #[test]
    fn properties_are_kept_as_text() {
        let config = config("-device isa-debug-exit,iobase=0xf4,iosize=0x04,id=quit");
        let device = &config.devices[0];
        assert_eq!((device.driver.as_str(), device.id.as_deref()), ("isa-debug-exit", Some("quit")));
        assert_eq!(device.number("iobase"), Some(0xf4));
        assert_eq!(device.number("iosize"), Some(4));
        assert_eq!(device.number("nothing"), None);
    }

    #[test]
    fn debugcon_is_a_device_with_a_chardev() {
        let config = config("-debugcon file:/tmp/log -global isa-debugcon.iobase=0x402");
        let device = &config.devices[0];
        assert_eq!(device.driver, "isa-debugcon");
        assert_eq!(device.number("iobase"), Some(0x402));
        assert_eq!(device.property("chardev"), Some("debugcon"));
    }

    #[test]
    fn what_is_typed_on_the_device_beats_a_global() {
        let config = config("-global isa-debug-exit.iobase=1 -device isa-debug-exit,iobase=2");
        assert_eq!(config.devices[0].number("iobase"), Some(2));
        assert_eq!(super::config("-global driver=PIIX4_PM,property=disable_s3,value=1").globals.len(), 1);
        assert!(error("-global nonsense").contains("expected DRIVER.PROPERTY=VALUE"));
        assert!(
            error("-global isa-debug-exit.x=1 -device isa-debug-exit")
                .contains("Property 'isa-debug-exit.x' not found")
        );
    }

    #[test]
    fn drivers_and_properties_are_checked() {
        assert_eq!(config("-nodefaults -device virtio-rng").devices[0].driver, "virtio-rng-pci");
        assert!(error("-device e1000").contains("device 'e1000' is not built"));
        assert!(error("-device isa-debug-exit,port=1").contains("Property 'isa-debug-exit.port' not found"));
        assert!(error("-device isa-debug-exit,iobase=zz").contains("'zz' is no value for 'iobase'"));
        assert!(error("-device isa-debug-exit,iobase=0x10000").contains("too large"));
        assert!(error("-device isa-debugcon,chardev=x").contains("there is no -chardev 'x'"));
        assert!(
            error("-device isa-debug-exit,id=a -device isa-debug-exit,id=a").contains("Duplicate ID 'a' for device")
        );
    }
}

mod time {
    use super::*;

    #[test]
    fn date_starts_where_it_is_told() {
        assert_eq!(config("").rtc.base, RtcBase::Utc);
        assert_eq!(config("-rtc base=localtime,clock=vm").rtc.base, RtcBase::LocalTime);
        assert_eq!(config("-rtc base=2026-01-01T00:00:00,driftfix=slew").rtc.base, RtcBase::At(1_767_225_600));
        assert_eq!(config("-rtc base=2026-01-01").rtc.base, RtcBase::At(1_767_225_600));
        assert!(error("-rtc base=tomorrow").contains("'tomorrow' is no value for 'base'"));
        assert!(error("-rtc clock=sundial").contains("'sundial'"));
    }

    #[test]
    fn ticks_are_powers_of_two_nanoseconds() {
        assert_eq!(config("-icount 3").icount.shift, 3);
        assert_eq!(config("-icount shift=10,sleep=off,align=off").icount.shift, 10);
        assert!(!config("-icount shift=0,sleep=off").icount.sleep);
        assert!(error("-icount shift=11").contains("from 0 to 10"));
        assert!(error("-icount auto").contains("would follow the host's clock"));
        assert!(error("-icount shift=1,align=on").contains("would follow the host's clock"));
    }

    #[test]
    fn recording_needs_a_file() {
        let mode = |line| config(line).icount.record_replay;
        assert_eq!(mode("-icount shift=0,rr=record,rrfile=F"), RecordReplay::Record("F".into()));
        assert_eq!(mode("-icount shift=0,rr=replay,rrfile=F"), RecordReplay::Replay("F".into()));
        assert_eq!(mode(""), RecordReplay::Off);
        assert!(error("-icount shift=0,rr=record").contains("'rrfile' is missing"));
        assert!(error("-icount shift=0,rr=rewind,rrfile=F").contains("use record or replay"));
        assert!(error("-icount shift=0,rrfile=F").contains("rrfile without rr"));
        assert!(error("-icount shift=0,rr=record,rrfile=F,rrsnapshot=s").contains("rrsnapshot is not built"));
    }

    #[test]
    fn seed_is_a_number() {
        assert_eq!(config("-seed 0x10 -digest").seed, Some(16));
        assert!(config("-digest").digest);
        assert!(error("-seed pepper").contains("expected a number"));
    }
}

#[test]
fn ways_to_end_are_chosen() {
    let config = config("-no-reboot -no-shutdown -S -pidfile /tmp/p -d guest_errors,unimp -D /tmp/log");
    assert_eq!((config.on_reboot, config.on_shutdown), (OnReboot::Shutdown, OnShutdown::Pause));
    assert!(config.start_stopped);
    assert_eq!(config.pidfile, Some(PathBuf::from("/tmp/p")));
    assert_eq!(config.log.items, ["guest_errors", "unimp"]);
    assert_eq!(config.log.file, Some(PathBuf::from("/tmp/log")));
    assert_eq!(super::tests::config("-action reboot=shutdown,shutdown=pause").on_reboot, OnReboot::Shutdown);
    assert!(error("-d everything").contains("unknown log item 'everything'"));
}

#[test]
fn what_a_panic_and_a_watchdog_do_is_chosen() {
    let actions = |line: &str| {
        let Actions { watchdog, panic } = config(line).actions;
        (watchdog, panic)
    };
    assert_eq!(actions(""), (WatchdogAction::Reset, PanicAction::Shutdown));
    let both = "-action panic=exit-failure,watchdog=debug -watchdog-action inject-nmi";
    assert_eq!(actions(both), (WatchdogAction::InjectNmi, PanicAction::ExitFailure));
    assert!(error("-watchdog-action bark").contains("inject-nmi"));
    assert!(error("-action panic=run").contains("'run' is no value for 'panic'"));
}
