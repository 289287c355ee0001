#!/usr/bin/env python3
"""Holds Lockstep's dumps against those of qemu-system-x86_64, field by field: the same kernel boots in each, with two processors, and
both write ELF and kdump-zlib. Every field that differs must be among those that are explained here, and every one that is
explained must differ; the table is the one in docs/dumps.md. Then an independent reader, libkdumpfile, reads every page of
Lockstep's dumps that it can open, and each is as pmemsave of the same moment has it.

usage: beside_qemu.py LOCKSTEP GUESTS [--write]
  --write   write the table into docs/dumps.md instead of comparing it
Needs qemu-system-x86_64 and Debian's python3-libkdumpfile."""

import json
import os
import socket
import struct
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
MEMORY = 128
PATIENCE = 600
PAGE = 4096
# By field, why it is not as QEMU has it.
REASONS = {
    "elf e_phoff": "section headers come first there; here there are none",
    "elf e_shoff": "no section headers: they are needed only for more than 65534 segments",
    "elf e_ehsize": "the header's length; there it is that of a pointer",
    "elf e_shentsize": "as above",
    "elf e_shnum": "as above",
    "elf e_shstrndx": "as above",
    "elf e_phnum": "the ranges are others",
    "elf PT_NOTE p_offset": "as above",
    "elf PT_LOAD p_type, p_flags, p_vaddr, p_align": "without paging no range has a virtual address, that of the ROM neither",
    "elf memory begins on a page": "so that the file can be mapped, and holes be left out of it",
    "elf ranges": "what is no memory for the guest (video registers at a0000h) is none here; the ROM at the end is as long as its image",
    "elf notes": "VMCOREINFO is found without a vmcoreinfo device",
    "elf QEMU segment flags": "bits 19 to 16 of the limit are in the limit alone; the accessed and busy bits are as the processor has them",
    "kdump utsname": "the guest's own: readers learn the architecture of a sysname and a release",
    "kdump sub_hdr_size": "VMCOREINFO is among the notes",
    "kdump max_mapnr": "RAM ends there; the ROM below 4 GiB counts there",
    "kdump bitmap_blocks": "as above",
    "kdump max_mapnr_64": "as above",
    "kdump phys_base": "the guest's own; there only with a vmcoreinfo device",
    "kdump vmcoreinfo": "found without a vmcoreinfo device",
    "kdump size_note": "VMCOREINFO is among the notes",
    "kdump segment": "of the flattened layout: readers sort them, some slowly, so there should be few",
}


def run(command, folder, name):
    """Boots the kernel, has it dumped, and gives the files."""
    qmp, serial = os.path.join(folder, f"{name}.qmp"), os.path.join(folder, f"{name}.serial")
    kernel = ["-kernel", f"{GUESTS}/vmlinuz", "-initrd", f"{GUESTS}/initrd.gz", "-append", "console=ttyS0"]
    common = ["-cpu", "max", "-smp", "2", "-m", str(MEMORY), "-nodefaults", "-display", "none", "-serial", f"file:{serial}"]
    process = subprocess.Popen([*command, *common, *kernel, "-qmp", f"unix:{qmp},server=on,wait=off"])
    deadline = time.monotonic() + PATIENCE

    def until(done, what):
        while not done():
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{name}: {what}")
            time.sleep(0.05)

    try:
        client = socket.socket(socket.AF_UNIX)
        until(lambda: client.connect_ex(qmp) == 0, "no QMP")
        lines = client.makefile("r")
        lines.readline()

        def ask(what, **arguments):
            client.sendall(json.dumps({"execute": what, "arguments": arguments}).encode())
            while "return" not in (answer := json.loads(lines.readline())):
                if "error" in answer:
                    raise RuntimeError(f"{name}: {what}: {answer['error']['desc']}")

        ask("qmp_capabilities")
        until(lambda: os.path.exists(serial) and b"INIT-REACHED" in open(serial, "rb").read(), "it does not boot")
        time.sleep(1)
        ask("stop")
        files = {form: os.path.join(folder, f"{name}.{form}") for form in ("elf", "kdump-zlib")}
        for form, path in files.items():
            ask("dump-guest-memory", paging=False, protocol=f"file:{path}", format=form)
        if name == "lockstep":
            files["pmem"] = os.path.join(folder, "pmem")
            ask("pmemsave", val=0, size=MEMORY << 20, filename=files["pmem"])
            for option, codec in (("-z", "zlib"), ("-l", "lzo"), ("-s", "snappy"), ("-Z", "zstd")):
                files[f"raw-{codec}"] = os.path.join(folder, f"raw-{codec}")
                ask("human-monitor-command", **{"command-line": f"dump-guest-memory {option} -R {files[f'raw-{codec}']}"})
        return files
    finally:
        process.kill()
        process.wait()


def notes(data):
    """Name, type and descriptor of each."""
    found, at = [], 0
    while at + 12 <= len(data):
        name, length, kind = struct.unpack_from("<III", data, at)
        begin = at + 12 + -(-name // 4) * 4
        found.append((data[at + 12 : at + 12 + name].rstrip(b"\0").decode(), kind, data[begin : begin + length]))
        at = begin + -(-length // 4) * 4
    return found


def elf(path):
    with open(path, "rb") as file:
        head = file.read(64)
        names = "e_type e_machine e_version e_entry e_phoff e_shoff e_flags e_ehsize e_phentsize e_phnum e_shentsize e_shnum e_shstrndx".split()
        fields = {"e_ident": head[:16].hex()} | dict(zip(names, struct.unpack_from("<HHIQQQIHHHHHH", head, 16)))
        file.seek(fields["e_phoff"])
        programs = [struct.unpack("<IIQQQQQQ", file.read(56)) for _ in range(fields["e_phnum"])]
        note, loads = programs[0], programs[1:]
        file.seek(note[2])
        held = notes(file.read(note[5]))
    fields["PT_NOTE p_offset"] = note[2]
    fields["PT_NOTE p_type, p_flags, addresses, p_align"] = (note[0], note[1], note[3], note[4], note[7])
    fields["PT_LOAD p_type, p_flags, p_vaddr, p_align"] = sorted({(load[0], load[1], load[3], load[7]) for load in loads})
    fields["memory begins on a page"] = loads[0][2] % PAGE == 0
    fields["ranges"] = ", ".join(f"{load[4]:x}+{load[5]:x}" for load in loads)
    fields["notes"] = ", ".join(f"{name} {kind}" for name, kind, _ in held)
    fields["CORE length"] = sorted({len(d) for name, _, d in held if name == "CORE"})
    fields["CORE pr_pid"] = [struct.unpack_from("<I", d, 32)[0] for name, _, d in held if name == "CORE"]
    states = [d for name, _, d in held if name == "QEMU"]
    fields["QEMU version, size"] = sorted({struct.unpack_from("<II", d) for d in states})
    # After 18 registers of 8 bytes: ten segments and tables of 24.
    segments = [[struct.unpack_from("<IIIIQ", d, 152 + 24 * n) for n in range(10)] for d in states]
    fields["QEMU selectors"] = [[s[0] for s in cpu] for cpu in segments]
    fields["QEMU segment limits"] = [[s[1] for s in cpu[:6]] for cpu in segments]
    fields["QEMU segment flags"] = [f"{s[2]:06x}" for s in segments[0][:3]]
    fields["QEMU CR0"] = [f"{struct.unpack_from('<Q', d, 392)[0]:x}" for d in states]
    return fields


def kdump(path):
    with open(path, "rb") as file:
        data = file.read()
    fields = {"flattened header": data[:32].hex()}
    whole, at, lengths = bytearray(), PAGE, []
    while True:
        offset, length = struct.unpack_from(">qq", data, at)
        at += 16
        if offset < 0:
            break
        whole.extend(bytes(max(0, offset + length - len(whole))))
        whole[offset : offset + length] = data[at : at + length]
        lengths.append(length)
        at += length
    fields["segment"] = "1 MiB and more, but for the last" if sum(n >= 1 << 20 for n in lengths) >= len(lengths) - 4 else "4 KiB to some more"
    fields["signature, header_version"] = (whole[:8].decode(), struct.unpack_from("<I", whole, 8)[0])
    names = [whole[12 + 65 * n : 77 + 65 * n].split(b"\0")[0].decode() for n in range(6)]
    fields["utsname"] = "the guest's" if names[0] else "only machine" if names[4] else "empty"
    fields["machine"] = names[4]
    fields["time"] = "zero" if not any(whole[408:424]) else "a time"
    keys = "status block_size sub_hdr_size bitmap_blocks max_mapnr total_ram_blocks device_blocks written_blocks current_cpu nr_cpus"
    fields |= dict(zip(keys.split(), struct.unpack_from("<IiiIIIIIII", whole, 424)))
    sub = struct.unpack_from("<QiiQQQQQQQQQQQ", whole, PAGE)
    base, level, split, start, end, vmcoreinfo, vmcoreinfo_len, note, note_len, erase, erase_len, start64, end64, mapnr = sub
    fields["phys_base"] = "the guest's" if base else "0"
    fields["dump_level, split, start_pfn, end_pfn"] = (level, split, start, end)
    fields["vmcoreinfo"] = "there" if vmcoreinfo and vmcoreinfo_len else "none"
    fields["offset_note"], fields["size_note"] = note, "with VMCOREINFO" if note_len > 2000 else note_len
    fields["eraseinfo, start_pfn_64, end_pfn_64"] = (erase, erase_len, start64, end64)
    fields["max_mapnr_64"] = mapnr
    first = (1 + fields["sub_hdr_size"] + fields["bitmap_blocks"]) * PAGE
    half = fields["bitmap_blocks"] // 2 * PAGE
    maps = whole[first - 2 * half : first - half], whole[first - half : first]
    fields["bitmaps are the same"] = maps[0] == maps[1]
    pages = sum(byte.bit_count() for byte in maps[0])
    held = [struct.unpack_from("<QIIQ", whole, first + 24 * n) for n in range(pages)]
    fields["descriptors' flags"] = sorted({d[2] for d in held})
    fields["descriptors' page_flags"] = sorted({d[3] for d in held})
    fields["a page that does not compress has size"] = max(d[1] for d in held)
    fields["first descriptor's page follows the last descriptor"] = min(d[0] for d in held) == first + 24 * pages
    return fields


def table(lockstep, qemu):
    """The table's lines, and what is wrong."""
    wrong, lines = [], ["| field | QEMU | Lockstep | why |", "|---|---|---|---|"]
    for form, read in (("elf", elf), ("kdump", kdump)):
        file = "kdump-zlib" if form == "kdump" else form
        ours, theirs = read(lockstep[file]), read(qemu[file])
        for field, value in theirs.items():
            name = f"{form} {field}"
            why = REASONS.get(name)
            if value == ours[field]:
                wrong += [f"{name} is explained, and does not differ: {value}"] if why else []
                lines.append(f"| {name} | {value} | the same | |")
            else:
                wrong += [] if why else [f"{name} differs: {value} in QEMU's, {ours[field]} in Lockstep's"]
                lines.append(f"| {name} | {value} | {ours[field]} | {why} |")
    return lines, wrong


def read_pages(files):
    """What an independent reader has to object."""
    script = (
        "import kdumpfile, sys\n"
        "memory = open(sys.argv[1], 'rb').read()\n"
        "for path in sys.argv[2:]:\n"
        "    dump = kdumpfile.kdumpfile(path)\n"
        "    assert dump.attr['arch.name'] == 'x86_64' and dump.attr['cpu.number'] == 2, path\n"
        "    for at in range(0, len(memory), 4096):\n"
        "        if not 0xa0000 <= at < 0xc0000:\n"
        "            page = bytes(dump.read(kdumpfile.KDUMP_MACHPHYSADDR, at, 4096))\n"
        "            assert page == memory[at:at + 4096], f'{path}: {at:#x}'\n"
    )
    dumps = [path for form, path in files.items() if form == "elf" or form.startswith("raw-")]
    said = subprocess.run(["/usr/bin/python3", "-c", script, files["pmem"], *dumps], capture_output=True, text=True)
    return [] if said.returncode == 0 else [said.stderr.strip().splitlines()[-1]]


def main():
    with tempfile.TemporaryDirectory(prefix="lockstep-beside-qemu-") as folder:
        lockstep = run([sys.argv[1], "-seed", "1", "-rtc", "base=2026-01-01T00:00:00"], folder, "lockstep")
        qemu = run(["qemu-system-x86_64", "-accel", "tcg"], folder, "qemu")
        lines, wrong = table(lockstep, qemu)
        wrong += read_pages(lockstep)
    document = os.path.join(ROOT, "docs", "dumps.md")
    with open(document, encoding="utf-8") as file:
        text = file.read()
    begin = text.index("| field |")
    if "--write" in sys.argv:
        with open(document, "w", encoding="utf-8") as file:
            file.write(text[:begin] + "\n".join(lines) + "\n")
    elif text[begin:].strip().splitlines() != lines:
        now = text[begin:].strip().splitlines()
        wrong += [f"docs/dumps.md lacks: {line}" for line in lines if line not in now] or ["docs/dumps.md has more lines"]
    print(*wrong, sep="\n", end="\n" if wrong else "")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    GUESTS = sys.argv[2]
    main()
