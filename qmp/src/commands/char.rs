//! Character devices.

use crate::schema::declare::declare;

declare! {
    family "Character devices";

    /// A character device.
    struct ChardevInfo {
        /// Its name.
        label: String,
        /// What is behind it.
        filename: String,
        /// A device or monitor uses it.
        frontend_open: bool,
    }

    /// Lists the character devices.
    command observes "query-chardev" QueryChardev {} -> Vec<ChardevInfo>;

    /// A kind of character devices.
    struct ChardevBackendInfo {
        /// Its name, for `-chardev`.
        name: String,
    }

    /// Lists kinds of character devices.
    command observes "query-chardev-backends" QueryChardevBackends {} -> Vec<ChardevBackendInfo>;

    /// How bytes are put into a string.
    enum DataFormat {
        /// As UTF-8.
        Utf8 = "utf8",
        /// In base 64.
        Base64 = "base64",
    }

    /// Writes to a character device of the kind `ringbuf`, as if the guest had.
    command observes "ringbuf-write" RingbufWrite {
        /// The device's name.
        device: String,
        /// The bytes.
        data: String,
        /// How they are put; default `utf8`.
        format: Option<DataFormat>,
    };

    /// Takes out what the guest has written to a character device of the kind `ringbuf`.
    command observes "ringbuf-read" RingbufRead {
        /// The device's name.
        device: String,
        /// How many bytes at most.
        size: i64,
        /// How they are put; default `utf8`.
        format: Option<DataFormat>,
    } -> String;

    /// What `-chardev` options all kinds have.
    struct ChardevCommon {
        /// A file that is written all that the guest writes.
        logfile: Option<String>,
        /// The file is not emptied first.
        logappend: Option<bool>,
    }

    /// A file.
    struct ChardevFile {
        /// A file that is written all that the guest writes.
        logfile: Option<String>,
        /// The log is not emptied first.
        logappend: Option<bool>,
        /// The file that the guest reads.
        input as "in": Option<String>,
        /// The file that the guest writes.
        out: String,
        /// The file is not emptied first.
        append: Option<bool>,
    }

    /// A host's device.
    struct ChardevHostdev {
        /// A file that is written all that the guest writes.
        logfile: Option<String>,
        /// The log is not emptied first.
        logappend: Option<bool>,
        /// The device's path.
        device: String,
    }

    /// A host and a port.
    struct InetSocketAddress {
        /// The host.
        host: String,
        /// The port.
        port: String,
        /// Whether host and port are numbers.
        numeric: Option<bool>,
        /// Ports up to this are tried.
        to: Option<u16>,
        /// IPv4 may be used.
        ipv4: Option<bool>,
        /// IPv6 may be used.
        ipv6: Option<bool>,
        /// The peer is asked now and then whether it is there.
        keep_alive: Option<bool>,
    }

    /// A name in the file system.
    struct UnixSocketAddress {
        /// The name.
        path: String,
        /// It is in the abstract name space, not in the file system.
        is_abstract as "abstract": Option<bool>,
        /// An abstract name is not filled up with zeros.
        tight: Option<bool>,
    }

    /// A file descriptor.
    struct FdSocketAddress {
        /// What `getfd` called it, or its number.
        str: String,
    }

    /// The members of a host and port stand in an object of their own.
    struct InetSocketAddressWrapper {
        /// Host and port.
        data: InetSocketAddress,
    }

    /// The members of a name stand in an object of their own.
    struct UnixSocketAddressWrapper {
        /// The name.
        data: UnixSocketAddress,
    }

    /// The members of a file descriptor stand in an object of their own.
    struct FdSocketAddressWrapper {
        /// The file descriptor.
        data: FdSocketAddress,
    }

    /// Kinds of socket addresses.
    enum SocketAddressType {
        /// A host and a port.
        Inet = "inet",
        /// A name in the file system.
        Unix = "unix",
        /// A file descriptor.
        Fd = "fd",
    }

    /// The address of a socket.
    union SocketAddressLegacy {}
    /// Its kind.
    by kind = "type": SocketAddressType as SocketAddressLegacyOf {
        Inet = "inet": InetSocketAddressWrapper,
        Unix = "unix": UnixSocketAddressWrapper,
        Fd = "fd": FdSocketAddressWrapper,
    }

    /// A stream socket.
    struct ChardevSocket {
        /// A file that is written all that the guest writes.
        logfile: Option<String>,
        /// The log is not emptied first.
        logappend: Option<bool>,
        /// Where it is.
        addr: SocketAddressLegacy,
        /// Credentials for TLS.
        tls_creds: Option<String>,
        /// Who may come in with TLS.
        tls_authz: Option<String>,
        /// It listens; default.
        server: Option<bool>,
        /// The command is answered when a client is there.
        wait: Option<bool>,
        /// What is written is sent at once.
        nodelay: Option<bool>,
        /// It speaks telnet.
        telnet: Option<bool>,
        /// It speaks TN3270.
        tn3270: Option<bool>,
        /// It speaks WebSocket.
        websocket: Option<bool>,
        /// After how many seconds a connection that has broken is tried again; 0 means never.
        reconnect: Option<i64>,
    }

    /// Datagrams.
    struct ChardevUdp {
        /// A file that is written all that the guest writes.
        logfile: Option<String>,
        /// The log is not emptied first.
        logappend: Option<bool>,
        /// Where they go to.
        remote: SocketAddressLegacy,
        /// Where they come in.
        local: Option<SocketAddressLegacy>,
    }

    /// The terminal.
    struct ChardevStdio {
        /// A file that is written all that the guest writes.
        logfile: Option<String>,
        /// The log is not emptied first.
        logappend: Option<bool>,
        /// Ctrl-C ends Lockstep.
        signal: Option<bool>,
    }

    /// Memory that holds what was written last.
    struct ChardevRingbuf {
        /// A file that is written all that the guest writes.
        logfile: Option<String>,
        /// The log is not emptied first.
        logappend: Option<bool>,
        /// How many bytes; a power of two, default 65536.
        size: Option<i64>,
    }

    /// The options stand in an object of their own.
    struct ChardevCommonWrapper {
        /// The options.
        data: ChardevCommon,
    }

    /// The options stand in an object of their own.
    struct ChardevFileWrapper {
        /// The options.
        data: ChardevFile,
    }

    /// The options stand in an object of their own.
    struct ChardevHostdevWrapper {
        /// The options.
        data: ChardevHostdev,
    }

    /// The options stand in an object of their own.
    struct ChardevSocketWrapper {
        /// The options.
        data: ChardevSocket,
    }

    /// The options stand in an object of their own.
    struct ChardevUdpWrapper {
        /// The options.
        data: ChardevUdp,
    }

    /// The options stand in an object of their own.
    struct ChardevStdioWrapper {
        /// The options.
        data: ChardevStdio,
    }

    /// The options stand in an object of their own.
    struct ChardevRingbufWrapper {
        /// The options.
        data: ChardevRingbuf,
    }

    /// Kinds of character devices.
    enum ChardevBackendKind {
        /// A file.
        File = "file",
        /// A host's serial port.
        Serial = "serial",
        /// Two named pipes.
        Pipe = "pipe",
        /// A stream socket.
        Socket = "socket",
        /// Datagrams.
        Udp = "udp",
        /// A terminal of its own.
        Pty = "pty",
        /// Nothing.
        Null = "null",
        /// The terminal.
        Stdio = "stdio",
        /// Memory that holds what was written last.
        Ringbuf = "ringbuf",
        /// An old name of `ringbuf`.
        Memory = "memory",
    }

    /// What is to be behind a character device.
    union ChardevBackend {}
    /// Its kind.
    by kind = "type": ChardevBackendKind as ChardevBackendOf {
        File = "file": ChardevFileWrapper,
        Serial = "serial": ChardevHostdevWrapper,
        Pipe = "pipe": ChardevHostdevWrapper,
        Socket = "socket": ChardevSocketWrapper,
        Udp = "udp": ChardevUdpWrapper,
        Pty = "pty": ChardevCommonWrapper,
        Null = "null": ChardevCommonWrapper,
        Stdio = "stdio": ChardevStdioWrapper,
        Ringbuf = "ringbuf": ChardevRingbufWrapper,
        Memory = "memory": ChardevRingbufWrapper,
    }

    /// What has become of a new character device.
    struct ChardevReturn {
        /// The path of its terminal, for the kind `pty`.
        pty: Option<String>,
    }

    /// Makes a character device.
    command steers "chardev-add" ChardevAdd {
        /// Its name.
        id: String,
        /// What is behind it.
        backend: ChardevBackend,
    } -> ChardevReturn;

    /// Puts something else behind a character device.
    command steers "chardev-change" ChardevChange {
        /// Its name.
        id: String,
        /// What is to be behind it.
        backend: ChardevBackend,
    } -> ChardevReturn;

    /// Removes a character device that nothing uses.
    command steers "chardev-remove" ChardevRemove {
        /// Its name.
        id: String,
    };

    /// Sends a break condition into a serial line.
    command steers "chardev-send-break" ChardevSendBreak {
        /// Its name.
        id: String,
    };

    /// The guest has opened or closed a port of a virtio-serial device.
    event "VSERPORT_CHANGE" VserportChange {
        /// The port's name.
        id: String,
        /// It is open now.
        open: bool,
    } limited by "id";
}
