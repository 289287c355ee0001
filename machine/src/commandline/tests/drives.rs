//! What the options about drives and images mean.

use super::*;
use lockstep_fabric::Rate;

fn drive(line: &str) -> DriveConfig {
    let mut drives = config(&format!("-nodefaults {line}")).drives;
    assert_eq!(drives.len(), 1, "{line}");
    drives.remove(0)
}

fn image(line: &str) -> ImageConfig {
    drive(line).image.expect("an image")
}

fn place(line: &str) -> (DriveInterface, u8, u8, Media, String) {
    let drive = drive(line);
    (drive.interface, drive.bus, drive.unit, drive.media, drive.id)
}

#[test]
fn short_options_are_drives_at_their_places() {
    use DriveInterface::{Floppy, Ide};
    let ide = |bus, unit, id: &str| (Ide, bus, unit, Media::Disk, id.to_owned());
    assert_eq!(place("-hda d.img"), ide(0, 0, "ide0-hd0"));
    assert_eq!(place("d.img"), ide(0, 0, "ide0-hd0"));
    assert_eq!(place("-hdb d.img"), ide(0, 1, "ide0-hd1"));
    assert_eq!(place("-hdc d.img"), ide(1, 0, "ide1-hd0"));
    assert_eq!(place("-hdd d.img"), ide(1, 1, "ide1-hd1"));
    assert_eq!(place("-cdrom d.iso"), (Ide, 1, 0, Media::Cdrom, "ide1-cd0".to_owned()));
    assert_eq!(place("-fda d.img"), (Floppy, 0, 0, Media::Disk, "floppy0".to_owned()));
    assert_eq!(place("-fdb d.img"), (Floppy, 0, 1, Media::Disk, "floppy1".to_owned()));
    assert_eq!(image("-hda a,b=c").path, Path::new("a,b=c"));
    assert_eq!(image("-cdrom d.iso").access, Access::ReadOnly);
}

#[test]
fn drives_without_a_place_take_the_next_one() {
    let drives =
        config("-drive file=a -drive file=b -drive file=c -drive if=virtio,file=d -drive if=none,file=e").drives;
    let names: Vec<&str> = drives.iter().filter(|d| d.image.is_some()).map(|d| d.id.as_str()).collect();
    assert_eq!(names, ["ide0-hd0", "ide0-hd1", "ide1-hd0", "virtio0", "none0"]);
    assert_eq!(place("-drive file=a,bus=1").4, "ide1-hd0");
    assert_eq!(place("-drive file=a,bus=1,unit=1,id=x").4, "x");
    assert_eq!(place("-drive file=a,if=virtio,index=3").4, "virtio3");
}

#[test]
fn every_pc_has_an_empty_cd_and_floppy_drive_unless_told_otherwise() {
    let empty = |line: &str| {
        let drives = config(line).drives;
        drives.into_iter().filter(|d| d.image.is_none()).map(|d| d.id).collect::<Vec<_>>()
    };
    assert_eq!(empty(""), ["ide1-cd0", "floppy0"]);
    assert_eq!(empty("-hdc a"), ["floppy0"]);
    assert_eq!(empty("-cdrom a -fda b"), Vec::<String>::new());
    assert_eq!(empty("-nodefaults"), Vec::<String>::new());
}

#[test]
fn images_are_accessed_as_asked() {
    let plain = ImageConfig::at("a");
    assert_eq!(image("-drive file=a"), plain);
    assert_eq!(image("-drive file=file:a,aio=io_uring,copy-on-read=off,cache.direct=on"), plain);
    assert_eq!(image("-drive file.driver=file,file.filename=a,driver=qcow2").format, Some(ImageFormat::Qcow2));
    let all = "-drive file=a,format=raw,readonly=on,snapshot=on,cache=unsafe,discard=unmap,detect-zeroes=unmap,file.locking=off";
    let expected = ImageConfig {
        format: Some(ImageFormat::Raw),
        access: Access::ReadOnly,
        snapshot: true,
        unmap: true,
        cache: Cache::Unsafe,
        detect_zeroes: DetectZeroes::Unmap,
        lock: false,
        ..plain
    };
    assert_eq!(image(all), expected);
    assert!(image("-hda a -snapshot").snapshot);
    assert!(image("-snapshot -hda a").snapshot);
    for (mode, cache) in [
        ("writeback", Cache::Writeback),
        ("none", Cache::Writeback),
        ("writethrough", Cache::Writethrough),
        ("directsync", Cache::Writethrough),
        ("writethrough,cache.writeback=on", Cache::Writeback),
        ("none,cache.no-flush=on", Cache::Unsafe),
    ] {
        assert_eq!(image(&format!("-drive file=a,cache={mode}")).cache, cache, "{mode}");
    }
}

#[test]
fn errors_of_the_host_have_their_policies() {
    let usual = drive("-hda a");
    assert_eq!((usual.write_errors, usual.read_errors), (ErrorPolicy::StopOnNoSpace, ErrorPolicy::Report));
    let told = drive("-drive file=a,werror=ignore,rerror=stop,serial=S1");
    assert_eq!((told.write_errors, told.read_errors), (ErrorPolicy::Ignore, ErrorPolicy::Stop));
    assert_eq!(told.serial.as_deref(), Some("S1"));
    assert!(error("-drive file=a,rerror=enospc").contains("use report, ignore or stop"));
    assert!(error("-drive if=floppy,file=a,werror=stop").contains("has no werror"));
}

#[test]
fn drives_that_cannot_be_are_refused_with_the_reason() {
    for (line, text) in [
        ("-drive file=a,index=4", "no such place"),
        ("-drive if=floppy,file=a,unit=2", "no such place"),
        ("-hda a -drive file=b,index=0", "already a drive at bus 0, unit 0"),
        ("-drive file=a,id=x -drive file=b,id=x", "already a drive 'x'"),
        ("-drive file=a,index=1,unit=0", "index cannot be used with bus and unit"),
        ("-hda a -hdb b -hdc c -hdd d -drive file=e", "no such place"),
        ("-drive if=scsi,file=a", "if=scsi is not built"),
        ("-drive if=sata,file=a", "use ide, virtio, floppy or none"),
        ("-drive file=nbd:localhost:10809", "protocol 'nbd' is not built"),
        ("-drive file=a,format=vmdk", "format=vmdk is not built"),
        ("-drive file=a,media=tape", "use disk or cdrom"),
        ("-drive file=a,media=cdrom,readonly=off", "a CD cannot be written"),
        ("-drive file=a,throttling.iops-size=5", "iops size requires an iops value to be set"),
        ("-drive file=a,bps=5,throttling.bps-read=1", "bps/iops/max total values and read/write values"),
        ("-drive file=a,throttling.iops=5", "unknown property 'iops'"),
        (
            "-blockdev driver=throttle,node-name=n,throttle-group=g,file.driver=file,file.filename=a",
            "'g' does not exist",
        ),
        ("-drive file=a,copy-on-read=on", "copy-on-read is not built"),
        ("-drive file=a,detect-zeroes=unmap", "needs discard=unmap"),
        ("-drive file=a,colour=red", "unknown property 'colour'"),
    ] {
        let line_error = error(line);
        assert!(line_error.contains(text), "{line}: {line_error}");
    }
}

#[test]
fn drives_are_throttled_by_themselves_or_in_a_group() {
    let throttle = |line: &str| drive(line).throttle;
    assert_eq!(throttle("-drive file=a,group=unused"), None);
    let alone = throttle("-drive file=a,id=d,iops=5,bps_rd=7,throttling.bps-read-max=9").expect("limits");
    assert_eq!(alone.group, "d");
    assert_eq!((alone.limits.iops_total.average, alone.limits.iops_size), (5, 0));
    assert_eq!(alone.limits.bps_read, Rate { average: 7, max: 9, max_length: 1 });
    let grouped = throttle("-drive file=a,throttling.iops-write=5,throttling.group=g,iops_wr=6").expect("limits");
    assert_eq!((grouped.group.as_str(), grouped.limits.iops_write.average), ("g", 5));
}

#[test]
fn a_throttled_node_shows_what_is_below_it() {
    let below = "-object throttle-group,id=g,x-iops-total=5 -blockdev driver=file,filename=a,node-name=f";
    let config = config(&format!(
        "{below} -blockdev driver=raw,file=f,node-name=r -blockdev driver=throttle,throttle-group=g,file=r,node-name=t"
    ));
    let [_, raw, throttled] = &config.nodes[..] else { panic!("three nodes") };
    assert_eq!(throttled.image.throttle_group.as_deref(), Some("g"));
    assert!(!throttled.is_file);
    assert_eq!(raw.image, ImageConfig { throttle_group: None, ..throttled.image.clone() });
}

#[test]
fn a_node_may_be_part_of_a_file_or_no_file_at_all() {
    let node = |line: &str| config(line).nodes.pop().expect("a node").image;
    let part = node(
        "-blockdev driver=file,filename=a,node-name=f,aio-max-batch=4,drop-cache=on -blockdev driver=raw,file=f,node-name=r,offset=1024,size=512",
    );
    assert_eq!((part.path.as_path(), part.part), (Path::new("a"), Some(Part { offset: 1024, size: Some(512) })));
    assert_eq!(node("-blockdev driver=null-co,node-name=n").null, Some(1 << 30));
    assert_eq!(node("-blockdev driver=raw,node-name=n,file.driver=null-co,file.size=1000").null, Some(1024));
    assert!(!node("-blockdev driver=file,filename=a,node-name=f,read-only=on,force-share=on").lock);
    let shared = error("-blockdev driver=file,filename=a,node-name=f,force-share=on");
    assert!(shared.ends_with("force-share=on can only be used with read-only images"), "{shared}");
    let odd = error("-blockdev driver=raw,node-name=r,size=1000,file.driver=file,file.filename=a");
    assert!(odd.ends_with("Specified size is not multiple of 512"), "{odd}");
}

#[test]
fn nodes_are_defined_apart_nested_or_as_json() {
    let qcow2 = |line: &str| {
        let node = config(line).nodes.pop().expect("a node");
        assert_eq!((node.name.as_str(), node.is_file), ("d", false), "{line}");
        node.image
    };
    let apart =
        qcow2("-blockdev driver=file,node-name=f,filename=x -blockdev driver=qcow2,node-name=d,file=f,read-only=on");
    let nested = qcow2("-blockdev driver=qcow2,node-name=d,file.driver=file,file.filename=x,read-only=on");
    let json = qcow2(
        r#"-blockdev {"driver":"qcow2","node-name":"d","file":{"driver":"file","filename":"x"},"read-only":true}"#,
    );
    let expected = ImageConfig { format: Some(ImageFormat::Qcow2), access: Access::ReadOnly, ..ImageConfig::at("x") };
    assert_eq!([&apart, &nested, &json], [&expected; 3]);
    let chain = qcow2(
        "-blockdev driver=raw,node-name=b,file.driver=file,file.filename=y -blockdev driver=qcow2,node-name=d,file.driver=file,file.filename=x,backing=b",
    );
    assert!(matches!(&chain.backing, Backing::Image(b) if b.path == Path::new("y") && b.access == Access::ReadOnly));
    let alone =
        qcow2(r#"-blockdev {"driver":"qcow2","node-name":"d","file":{"driver":"file","filename":"x"},"backing":null}"#);
    assert_eq!(alone.backing, Backing::Nothing);
    let cached =
        qcow2("-blockdev driver=raw,node-name=d,file.driver=file,file.filename=x,cache.no-flush=on,discard=unmap");
    assert_eq!((cached.cache, cached.unmap), (Cache::Unsafe, true));
}

#[test]
fn nodes_that_cannot_be_are_refused_with_the_reason() {
    for (line, text) in [
        ("-blockdev driver=file,filename=x", "'node-name' is missing"),
        ("-blockdev driver=file,node-name=1x,filename=x", "a letter first"),
        ("-blockdev driver=file,node-name=f", "'filename' is missing"),
        ("-blockdev driver=raw,node-name=d", "'file' is missing"),
        ("-blockdev driver=raw,node-name=d,file=f", "there is no node 'f'"),
        ("-blockdev driver=nbd,node-name=d", "driver 'nbd' is not built"),
        ("-blockdev driver=file,node-name=f,filename=x -blockdev driver=file,node-name=f,filename=y", "already a node"),
        ("-blockdev {", "expected a JSON object"),
        ("-blockdev driver=file,node-name=f,filename=x,depth=3", "unknown property 'depth'"),
    ] {
        let line_error = error(line);
        assert!(line_error.contains(text), "{line}: {line_error}");
    }
}

#[test]
fn a_run_that_is_to_be_repeated_leaves_its_images_as_they_are() {
    let record = "-icount shift=0,rr=record,rrfile=log";
    for line in ["-hda a", "-drive file=a,if=none", "-blockdev driver=raw,node-name=d,file.driver=file,file.filename=x"]
    {
        let line_error = error(&format!("{record} {line}"));
        assert!(line_error.starts_with(line) && line_error.contains("need snapshot=on"), "{line_error}");
        config(&format!("{record} {line} -snapshot"));
    }
    config(&format!("{record} -cdrom a -drive file=b,readonly=on"));
}
