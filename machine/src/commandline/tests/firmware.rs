//! What is handed to firmware: -fw_cfg, -acpitable, -smbios.

use super::*;

#[test]
fn files_for_firmware_have_a_name_and_one_content() {
    let files = config("-fw_cfg opt/a,string=x -fw_cfg name=opt/b,file=/tmp/b").firmware.fw_cfg;
    assert_eq!((files[0].name.as_str(), &files[0].content), ("opt/a", &Content::Text("x".into())));
    assert_eq!((files[1].name.as_str(), &files[1].content), ("opt/b", &Content::File("/tmp/b".into())));
    for wrong in ["opt/a", "string=x", "opt/a,string=", "opt/a,string=x,file=y", "name=,string=x"] {
        assert!(error(&format!("-fw_cfg {wrong}")).ends_with("a name and either file or string are needed"), "{wrong}");
    }
    assert!(error("-fw_cfg opt/a,gen_id=x").contains("gen_id is not built"));
    assert!(error("-fw_cfg opt/a,string=x,mode=1").contains("unknown property 'mode'"));
    assert!(error("-fw_cfg opt/a,string=x -fw_cfg opt/a,string=y").contains("already a fw_cfg file 'opt/a'"));
    let name = "n".repeat(56);
    assert!(error(&format!("-fw_cfg {name},string=x")).contains("at most 55 bytes"));
    assert_eq!(config(&format!("-fw_cfg {},string=x", &name[1..])).firmware.fw_cfg.len(), 1);
}

#[test]
fn acpi_tables_come_with_their_header_or_without() {
    let line = "-acpitable sig=TEST,rev=0x10,oem_id=ME,oem_table_id=T,oem_rev=3,asl_compiler_id=C,asl_compiler_rev=4";
    let table = config(&format!("{line},data=/tmp/a:/tmp/b")).firmware.acpi_tables.remove(0);
    assert_eq!((table.files.len(), table.has_header), (2, false));
    assert_eq!((table.header.signature.as_deref(), table.header.revision), (Some("TEST"), Some(16)));
    assert_eq!((table.header.oem_revision, table.header.compiler_revision), (Some(3), Some(4)));
    assert!(config("-acpitable file=/tmp/a").firmware.acpi_tables[0].has_header);
    for wrong in ["sig=TEST", "data=a,file=b"] {
        assert!(error(&format!("-acpitable {wrong}")).contains("needs either data= or file="), "{wrong}");
    }
    assert!(error("-acpitable data=a,rev=256").contains("'256' is no value for 'rev'"));
    assert!(error("-acpitable data=a,colour=red").contains("unknown property 'colour'"));
    assert!(error("-acpitable data=a::b").contains("the name of a file is missing"));
}

#[test]
fn smbios_fields_are_set_by_type_and_add_up() {
    let smbios = config("-smbios type=1,serial=7 -smbios type=1,manufacturer=m -smbios type=0,release=2.7,uefi=on");
    let (system, firmware) = (smbios.firmware.smbios.fields.system, smbios.firmware.smbios.fields.firmware.unwrap());
    assert_eq!((system.serial.as_deref(), system.manufacturer.as_deref()), (Some("7"), Some("m")));
    assert_eq!((firmware.release, firmware.uefi), (Some((2, 7)), true));
    let fields = config(
        "-smbios type=2,location=l -smbios type=3,asset=a -smbios type=4,sock_pfx=P,max-speed=5000,processor-id=0x1 \
         -smbios type=8,internal_reference=i,port_type=3 -smbios type=17,speed=3200,loc_pfx=D",
    )
    .firmware
    .smbios
    .fields;
    assert_eq!((fields.board.location.as_deref(), fields.chassis.asset.as_deref()), (Some("l"), Some("a")));
    assert_eq!((fields.processor.max_speed, fields.processor.id), (Some(5000), Some(1)));
    assert_eq!((fields.ports[0].internal.as_str(), fields.ports[0].port_type, fields.memory.speed), ("i", 3, 3200));
    let strings = config("-smbios type=11,value=a,path=/tmp/f,value=b").firmware.smbios.oem_strings;
    let strings: Vec<_> = strings.into_iter().map(|(_, content)| content).collect();
    assert_eq!(strings, [Content::Text("a".into()), Content::File("/tmp/f".into()), Content::Text("b".into())]);
}

#[test]
fn the_uuid_of_type_1_is_the_machines() {
    let uuid = "00112233-4455-6677-8899-aabbccddeeff";
    assert_eq!(config(&format!("-smbios type=1,uuid={uuid}")).uuid, config(&format!("-uuid {uuid}")).uuid);
    assert!(error("-smbios type=1,uuid=7").contains("'7' is no value for 'uuid'"));
}

#[test]
fn smbios_fields_that_are_none_are_refused() {
    assert!(error("-smbios serial=1").ends_with("needs type= or file="));
    assert!(error("-smbios type=200,serial=1").ends_with("types are numbers from 0 to 127"));
    assert!(error("-smbios type=7,serial=1").contains("structures of type 7 have no fields to set"));
    assert!(error("-smbios type=1,location=x").contains("unknown property 'location'"));
    assert!(error("-smbios type=0,release=256.1").contains("'256.1' is no value for 'release'"));
    assert!(error("-smbios type=4,max-speed=65536").contains("'65536' is no value for 'max-speed'"));
    assert!(error("-smbios file=x,type=1").contains("unknown property 'type'"));
}
