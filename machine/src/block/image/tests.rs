//! Images on the host's file system.

use super::*;
use crate::commandline::{Access, Backing, ImageConfig, ImageFormat};
use imago::file::File as Storage;
use imago::qcow2::Qcow2;
use imago::{FormatCreateBuilder, StorageCreateOptions};
use std::fs;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use tempfile::TempDir;

const MIB: u64 = 1 << 20;

fn folder() -> TempDir {
    tempfile::tempdir().expect("a folder")
}

fn raw(folder: &TempDir, name: &str, len: u64) -> ImageConfig {
    let path = folder.path().join(name);
    let bytes: Vec<u8> = (0..len).map(|at| (at / 512 * 3 + at) as u8).collect();
    fs::write(&path, bytes).expect("a file");
    ImageConfig { format: Some(ImageFormat::Raw), ..ImageConfig::at(path) }
}

fn qcow2(folder: &TempDir, name: &str, len: u64, backing: Option<(&str, &str)>) -> ImageConfig {
    use imago::Storage as _;
    let path = folder.path().join(name);
    let file = Storage::create_open(StorageCreateOptions::new().filename(&path)).expect("a file");
    let mut builder = Qcow2::<Storage>::create_builder(file).size(len);
    if let Some((name, format)) = backing {
        builder = builder.backing(name.into(), format.into());
    }
    builder.create().expect("an image");
    ImageConfig { format: Some(ImageFormat::Qcow2), ..ImageConfig::at(path) }
}

fn opened(config: &ImageConfig) -> Box<dyn Image> {
    open(config).unwrap_or_else(|why| panic!("{why}")).image
}

fn refused(config: &ImageConfig) -> String {
    match open(config) {
        Ok(_) => panic!("{} opens", config.path.display()),
        Err(why) => why.to_string(),
    }
}

fn bytes(image: &mut dyn Image) -> Vec<u8> {
    let mut all = vec![0; image.len() as usize];
    image.read(0, &mut all).expect("a read");
    all
}

struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}

/// Does random things to an image and to plain bytes, and compares.
fn behaves(image: &mut dyn Image, seed: u64) -> Vec<u8> {
    let mut model = bytes(image);
    let mut random = Random(seed);
    for step in 0..300 {
        let offset = random.below(model.len() as u64);
        let longest = if random.below(4) == 0 { 300_000 } else { 5_000 };
        let len = (random.below(longest) + 1).min(model.len() as u64 - offset);
        let part = &mut model[offset as usize..][..len as usize];
        match random.below(5) {
            0 | 1 => {
                part.fill(step as u8);
                image.write(offset, part).expect("a write");
            }
            2 => {
                part.fill(0);
                image.write_zeroes(offset, len, random.below(2) == 0).expect("zeroes");
            }
            3 => image.flush().expect("a flush"),
            _ => {
                let mut read = vec![0xee; len as usize];
                image.read(offset, &mut read).expect("a read");
                assert!(read == part, "step {step}: {len} bytes at {offset}");
            }
        }
    }
    assert!(bytes(image) == model);
    model
}

#[test]
fn images_of_every_kind_hold_what_is_written_and_keep_it() {
    let folder = folder();
    raw(&folder, "base", MIB);
    let kinds = [
        raw(&folder, "raw", MIB),
        qcow2(&folder, "plain", MIB, None),
        qcow2(&folder, "overlay", MIB, Some(("base", "raw"))),
        qcow2(&folder, "taller", MIB, Some(("overlay", "qcow2"))),
    ];
    let base = fs::read(folder.path().join("base")).expect("a file");
    for (seed, config) in kinds.iter().enumerate() {
        let kept = behaves(opened(config).as_mut(), seed as u64 + 1);
        assert!(bytes(opened(config).as_mut()) == kept, "{}", config.path.display());
    }
    assert!(fs::read(folder.path().join("base")).expect("a file") == base);
}

#[test]
fn snapshots_leave_their_images_as_they_are() {
    let folder = folder();
    for config in [raw(&folder, "raw", MIB), qcow2(&folder, "qcow2", MIB, None)] {
        let before = fs::read(&config.path).expect("a file");
        let config = ImageConfig { snapshot: true, ..config };
        let mut image = open(&config).expect("an image");
        assert!(!image.read_only);
        behaves(image.image.as_mut(), 5);
        drop(image);
        assert!(fs::read(&config.path).expect("a file") == before);
    }
}

#[test]
fn last_sector_of_a_raw_image_need_not_be_whole() {
    let folder = folder();
    let config = raw(&folder, "odd", 1000);
    let mut image = opened(&config);
    assert_eq!(image.len(), 1024);
    let mut tail = [1; 24];
    image.read(1000, &mut tail).expect("a read");
    assert_eq!(tail, [0; 24]);
    image.write(512, &[9; 512]).expect("a write");
    assert_eq!(fs::metadata(&config.path).expect("a file").len(), 1024);
    assert_eq!(opened(&raw(&folder, "empty", 0)).len(), 0);
}

#[test]
fn discarded_space_is_given_back_and_reads_as_zeroes() {
    use std::os::unix::fs::MetadataExt;
    let folder = folder();
    let config = raw(&folder, "raw", MIB);
    let mut image = opened(&config);
    image.flush().expect("a flush");
    let before = fs::metadata(&config.path).expect("a file").blocks();
    image.write_zeroes(0, MIB / 2, true).expect("zeroes");
    assert!(fs::metadata(&config.path).expect("a file").blocks() < before);
    assert!(bytes(image.as_mut())[..MIB as usize / 2].iter().all(|byte| *byte == 0));
    assert_eq!(fs::metadata(&config.path).expect("a file").len(), MIB);
}

#[test]
fn formats_are_guessed_and_a_guessed_raw_image_stays_raw() {
    let folder = folder();
    let plain = qcow2(&folder, "qcow2", MIB, None);
    let guessed = open(&ImageConfig { format: None, ..plain.clone() }).expect("an image");
    assert!(guessed.image.len() == MIB && guessed.warning.is_none());
    drop(guessed);
    let header = fs::read(&plain.path).expect("a file");
    let config = raw(&folder, "raw", MIB);
    let mut guessed = open(&ImageConfig { format: None, ..config.clone() }).expect("an image");
    assert!(guessed.warning.as_ref().is_some_and(|text| text.contains("raw was guessed")));
    assert!(guessed.image.write(0, &header[..512]).is_err());
    assert!(guessed.image.write(0, &header[..3]).is_ok());
    assert!(guessed.image.write(3, &header[3..8]).is_err());
    assert!(guessed.image.write(512, &header[..512]).is_ok());
    drop(guessed);
    assert!(opened(&config).write(0, &header[..512]).is_ok());
    fs::write(&config.path, b"KDMV and more").expect("a file");
    assert!(
        refused(&ImageConfig { format: None, ..config })
            .ends_with("format vmdk are not built in this version of Lockstep")
    );
}

#[test]
fn two_writers_or_a_writer_and_a_reader_lock_each_other_out() {
    let folder = folder();
    for config in [raw(&folder, "raw", MIB), qcow2(&folder, "qcow2", MIB, None)] {
        let read_only = ImageConfig { access: Access::ReadOnly, ..config.clone() };
        let writer = open(&config).expect("an image");
        assert!(refused(&config).contains("is in use by another process"));
        assert!(refused(&read_only).contains("is in use by another process"));
        assert!(open(&ImageConfig { lock: false, ..read_only.clone() }).is_ok());
        drop(writer);
        let readers = (open(&read_only).expect("an image"), open(&read_only).expect("an image"));
        assert!(refused(&config).contains("is in use by another process"));
        assert!(open(&ImageConfig { snapshot: true, ..config.clone() }).is_ok());
        drop(readers);
        assert!(open(&config).is_ok());
    }
}

#[test]
fn a_backing_file_cannot_be_written_while_it_is_one() {
    let folder = folder();
    let base = raw(&folder, "base", MIB);
    let top = open(&qcow2(&folder, "top", MIB, Some(("base", "raw")))).expect("an image");
    assert_eq!(top.files, ["top", "base"].map(|name| folder.path().join(name)));
    assert!(refused(&base).contains("is in use by another process"));
}

#[test]
fn what_is_wrong_with_an_image_is_said_in_a_line_that_names_it() {
    let folder = folder();
    let at = |name: &str| folder.path().join(name);
    let says = |config: &ImageConfig, text: &str| {
        let line = refused(config);
        assert!(line.contains(text) && line.starts_with(&config.path.display().to_string()), "{line}");
        assert!(!line.contains('\n') && !line.contains("os error"), "{line}");
    };
    says(&ImageConfig::at(at("none")), "No such file or directory");
    says(
        &ImageConfig { access: Access::ReadOnly, ..ImageConfig::at(folder.path()) },
        "neither a file nor a block device",
    );
    let lost = qcow2(&folder, "lost", MIB, Some(("gone", "raw")));
    says(&lost, &format!("its backing file: {}: No such file or directory", at("gone").display()));
    assert!(open(&ImageConfig { backing: Backing::Nothing, ..lost }).is_ok());
    let strange = qcow2(&folder, "strange", MIB, Some(("gone", "vmdk")));
    says(&strange, "images of format vmdk are not built");
    let circle = qcow2(&folder, "circle", MIB, Some(("circle", "qcow2")));
    says(&ImageConfig { access: Access::ReadOnly, ..circle }, "the chain of backing files has no end");
    let image = qcow2(&folder, "image", MIB, None);
    let whole = fs::read(&image.path).expect("a file");
    let cases: [(&[u8], u64, &str); 7] = [
        (b"QFI\xfc", 0, "it does not begin as one"),
        (&[0, 0, 0, 9], 4, "version 9 is not known, only 2 and 3"),
        (&[0, 0, 0, 63], 20, "corrupt: clusters of 2^63 bytes"),
        (&[0, 0, 0, 1], 32, "encryption is not built"),
        (&[0xff; 8], 40, "corrupt: the L1 table"),
        (&[0, 0, 0, 0], 56, "no refcount table"),
        (&[0, 0, 0, 0, 0, 0, 0, 2], 72, "it is marked as corrupt"),
    ];
    for (change, offset, text) in cases {
        fs::write(&image.path, &whole).expect("a file");
        let file = fs::OpenOptions::new().write(true).open(&image.path).expect("a file");
        file.write_all_at(change, offset).expect("a write");
        says(&image, text);
    }
    for len in [0, 50, 90, 70_000] {
        fs::write(&image.path, &whole[..len]).expect("a file");
        let line = refused(&image);
        assert!(line.contains("cut short") || line.contains("no refcount"), "{len}: {line}");
    }
}

#[test]
fn no_change_to_a_qcow2_image_s_metadata_does_worse_than_an_error() {
    let folder = folder();
    let image = qcow2(&folder, "image", MIB, None);
    behaves(opened(&image).as_mut(), 3);
    let whole = fs::read(&image.path).expect("a file");
    let mut random = Random(0xfeed);
    for _ in 0..200 {
        let mut changed = whole.clone();
        // The header, and what of the rest is likely to be a table.
        let at =
            if random.below(2) == 0 { random.below(112) } else { random.below(6) * 65536 + random.below(64) } as usize;
        let Some(byte) = changed.get_mut(at) else { continue };
        *byte = random.below(256) as u8;
        fs::write(&image.path, &changed).expect("a file");
        if let Ok(mut opened) = open(&image) {
            let mut data = vec![0; 4096];
            for _ in 0..8 {
                let offset = random.below(opened.image.len().saturating_sub(4096).max(1));
                if opened.image.len() >= 4096 {
                    let _ = opened.image.read(offset, &mut data);
                    let _ = opened.image.write(offset, &data);
                }
            }
            let _ = opened.image.flush();
        }
    }
}

#[test]
fn an_image_s_identity_is_its_content() {
    let folder = folder();
    let (a, b) = (raw(&folder, "a", MIB + 5), raw(&folder, "b", MIB + 5));
    let of = |path: &PathBuf| identity::of(path).expect("an identity");
    assert_eq!(of(&a.path), of(&b.path));
    fs::OpenOptions::new().write(true).open(&b.path).expect("a file").write_all_at(b"x", MIB + 4).expect("a write");
    assert_ne!(of(&a.path), of(&b.path));
    let long = folder.path().join("long");
    let file = fs::File::create(&long).expect("a file");
    file.set_len(3 << 30).expect("a length");
    let before = of(&long);
    file.write_all_at(b"x", (3 << 30) - 1).expect("a write");
    assert_ne!(before, of(&long));
}

/// What the fixtures hold, made by `qemu-img convert -c -O qcow2 -o cluster_size=512` (and `compat=0.10`) of such sectors.
fn sector(number: usize) -> Vec<u8> {
    format!("sector {number:04} ").bytes().cycle().take(512).collect()
}

#[test]
fn compressed_clusters_are_read_and_written_over() {
    let folder = folder();
    for fixture in [&include_bytes!("fixtures/compressed-v2.qcow2")[..], include_bytes!("fixtures/compressed-v3.qcow2")]
    {
        let path = folder.path().join("image");
        fs::write(&path, fixture).expect("a file");
        let config = ImageConfig::at(path);
        let sectors: Vec<u8> = (0..32).flat_map(sector).collect();
        assert!(bytes(opened(&config).as_mut()) == sectors);
        behaves(opened(&config).as_mut(), 11);
    }
}

#[test]
fn images_grow_by_zeroes_and_are_cut() {
    let folder = folder();
    raw(&folder, "base", 2 * MIB);
    for config in [
        raw(&folder, "raw", MIB),
        qcow2(&folder, "plain", MIB, None),
        qcow2(&folder, "over", MIB, Some(("base", "raw"))),
        ImageConfig { snapshot: true, ..raw(&folder, "kept", MIB) },
    ] {
        let name = config.path.display().to_string();
        let mut image = opened(&config);
        image.write(MIB - 512, &[9; 512]).expect("a write");
        let before = bytes(image.as_mut());
        image.resize(2 * MIB).unwrap_or_else(|why| panic!("{name}: {why}"));
        let after = bytes(image.as_mut());
        assert_eq!(after.len() as u64, 2 * MIB, "{name}");
        assert!(after[..MIB as usize] == before[..], "{name}: what was there stays");
        assert!(after[MIB as usize..].iter().all(|byte| *byte == 0), "{name}: nothing shows through");
        image.write(2 * MIB - 512, &[8; 512]).expect("a write beyond the old end");
        image.resize(MIB / 2).unwrap_or_else(|why| panic!("{name}: {why}"));
        assert!(bytes(image.as_mut())[..] == before[..MIB as usize / 2], "{name}");
        image.flush().expect("a flush");
        drop(image);
        let kept = if config.snapshot { MIB } else { MIB / 2 };
        assert_eq!(opened(&ImageConfig { snapshot: false, ..config }).len(), kept, "{name}");
    }
    let mut odd = opened(&qcow2(&folder, "odd", MIB, None));
    assert_eq!(odd.resize(1000).expect_err("refused").to_string(), "The new size must be a multiple of 512");
}
