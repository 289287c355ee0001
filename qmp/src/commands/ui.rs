//! Screen, keyboard and mouse.

use crate::schema::declare::declare;

declare! {
    family "Screen and input";

    /// What a picture of the screen looks like.
    enum ImageFormat {
        /// PPM.
        Ppm = "ppm",
        /// PNG.
        Png = "png",
    }

    /// Writes a picture of the screen to a file.
    command observes "screendump" Screendump {
        /// The file.
        filename: String,
        /// The name of the display adapter; the first if absent.
        device: Option<String>,
        /// Which of the adapter's screens; default 0.
        head: Option<i64>,
        /// What it looks like; default `ppm`.
        format: Option<ImageFormat>,
    };

    /// Names of keys.
    enum QKeyCode {
        Unmapped = "unmapped",
        Shift = "shift",
        ShiftR = "shift_r",
        Alt = "alt",
        AltR = "alt_r",
        Ctrl = "ctrl",
        CtrlR = "ctrl_r",
        Menu = "menu",
        Esc = "esc",
        Digit1 = "1",
        Digit2 = "2",
        Digit3 = "3",
        Digit4 = "4",
        Digit5 = "5",
        Digit6 = "6",
        Digit7 = "7",
        Digit8 = "8",
        Digit9 = "9",
        Digit0 = "0",
        Minus = "minus",
        Equal = "equal",
        Backspace = "backspace",
        Tab = "tab",
        Q = "q",
        W = "w",
        E = "e",
        R = "r",
        T = "t",
        Y = "y",
        U = "u",
        I = "i",
        O = "o",
        P = "p",
        BracketLeft = "bracket_left",
        BracketRight = "bracket_right",
        Ret = "ret",
        A = "a",
        S = "s",
        D = "d",
        F = "f",
        G = "g",
        H = "h",
        J = "j",
        K = "k",
        L = "l",
        Semicolon = "semicolon",
        Apostrophe = "apostrophe",
        GraveAccent = "grave_accent",
        Backslash = "backslash",
        Z = "z",
        X = "x",
        C = "c",
        V = "v",
        B = "b",
        N = "n",
        M = "m",
        Comma = "comma",
        Dot = "dot",
        Slash = "slash",
        Asterisk = "asterisk",
        Spc = "spc",
        CapsLock = "caps_lock",
        F1 = "f1",
        F2 = "f2",
        F3 = "f3",
        F4 = "f4",
        F5 = "f5",
        F6 = "f6",
        F7 = "f7",
        F8 = "f8",
        F9 = "f9",
        F10 = "f10",
        NumLock = "num_lock",
        ScrollLock = "scroll_lock",
        KpDivide = "kp_divide",
        KpMultiply = "kp_multiply",
        KpSubtract = "kp_subtract",
        KpAdd = "kp_add",
        KpEnter = "kp_enter",
        KpDecimal = "kp_decimal",
        Sysrq = "sysrq",
        Kp0 = "kp_0",
        Kp1 = "kp_1",
        Kp2 = "kp_2",
        Kp3 = "kp_3",
        Kp4 = "kp_4",
        Kp5 = "kp_5",
        Kp6 = "kp_6",
        Kp7 = "kp_7",
        Kp8 = "kp_8",
        Kp9 = "kp_9",
        Less = "less",
        F11 = "f11",
        F12 = "f12",
        Print = "print",
        Home = "home",
        Pgup = "pgup",
        Pgdn = "pgdn",
        End = "end",
        Left = "left",
        Up = "up",
        Down = "down",
        Right = "right",
        Insert = "insert",
        Delete = "delete",
        Stop = "stop",
        Again = "again",
        Props = "props",
        Undo = "undo",
        Front = "front",
        Copy = "copy",
        Open = "open",
        Paste = "paste",
        Find = "find",
        Cut = "cut",
        Lf = "lf",
        Help = "help",
        MetaL = "meta_l",
        MetaR = "meta_r",
        Compose = "compose",
        Pause = "pause",
        Ro = "ro",
        Hiragana = "hiragana",
        Henkan = "henkan",
        Yen = "yen",
        Muhenkan = "muhenkan",
        Katakanahiragana = "katakanahiragana",
        KpComma = "kp_comma",
        KpEquals = "kp_equals",
        Power = "power",
        Sleep = "sleep",
        Wake = "wake",
        Audionext = "audionext",
        Audioprev = "audioprev",
        Audiostop = "audiostop",
        Audioplay = "audioplay",
        Audiomute = "audiomute",
        Volumeup = "volumeup",
        Volumedown = "volumedown",
        Mediaselect = "mediaselect",
        Mail = "mail",
        Calculator = "calculator",
        Computer = "computer",
        AcHome = "ac_home",
        AcBack = "ac_back",
        AcForward = "ac_forward",
        AcRefresh = "ac_refresh",
        AcBookmarks = "ac_bookmarks",
        Lang1 = "lang1",
        Lang2 = "lang2",
    }

    /// Ways to name a key.
    enum KeyValueKind {
        /// By its scan code.
        Number = "number",
        /// By its name.
        Qcode = "qcode",
    }

    /// The scan code stands in an object of its own.
    struct IntWrapper {
        /// A PC keyboard's code of set 1; extended ones have 0x80 added.
        data: i64,
    }

    /// The name stands in an object of its own.
    struct QKeyCodeWrapper {
        /// The name.
        data: QKeyCode,
    }

    /// A key.
    union KeyValue {}
    /// How it is named.
    by kind = "type": KeyValueKind as KeyValueOf {
        Number = "number": IntWrapper,
        Qcode = "qcode": QKeyCodeWrapper,
    }

    /// Presses keys, all together, and releases them.
    command steers "send-key" SendKey {
        /// The keys.
        keys: Vec<KeyValue>,
        /// After how many milliseconds they are released; default 100.
        hold_time: Option<i64>,
    };

    /// Buttons of a mouse.
    enum InputButton {
        Left = "left",
        Middle = "middle",
        Right = "right",
        WheelUp = "wheel-up",
        WheelDown = "wheel-down",
        Side = "side",
        Extra = "extra",
        WheelLeft = "wheel-left",
        WheelRight = "wheel-right",
    }

    /// Axes of a mouse.
    enum InputAxis {
        X = "x",
        Y = "y",
    }

    /// A key goes down or up.
    struct InputKeyEvent {
        /// Which.
        key: KeyValue,
        /// It goes down.
        down: bool,
    }

    /// A button goes down or up.
    struct InputBtnEvent {
        /// Which.
        button: InputButton,
        /// It goes down.
        down: bool,
    }

    /// A mouse moves.
    struct InputMoveEvent {
        /// Along which axis.
        axis: InputAxis,
        /// By how much, or where to: from 0 to 32767 across the screen.
        value: i64,
    }

    /// The members stand in an object of their own.
    struct InputKeyEventWrapper {
        /// The event.
        data: InputKeyEvent,
    }

    /// The members stand in an object of their own.
    struct InputBtnEventWrapper {
        /// The event.
        data: InputBtnEvent,
    }

    /// The members stand in an object of their own.
    struct InputMoveEventWrapper {
        /// The event.
        data: InputMoveEvent,
    }

    /// What a user can do.
    enum InputEventKind {
        /// Press or release a key.
        Key = "key",
        /// Press or release a button.
        Btn = "btn",
        /// Move a mouse.
        Rel = "rel",
        /// Touch a tablet.
        Abs = "abs",
    }

    /// Something that a user does.
    union InputEvent {}
    /// What it is.
    by kind = "type": InputEventKind as InputEventOf {
        Key = "key": InputKeyEventWrapper,
        Btn = "btn": InputBtnEventWrapper,
        Rel = "rel": InputMoveEventWrapper,
        Abs = "abs": InputMoveEventWrapper,
    }

    /// Does what a user would do, all at once.
    command steers "input-send-event" InputSendEvent {
        /// The display adapter whose screen it is about.
        device: Option<String>,
        /// Which of its screens.
        head: Option<i64>,
        /// What.
        events: Vec<InputEvent>,
    };

    /// A mouse or tablet.
    struct MouseInfo {
        /// Its name.
        name: String,
        /// Its number.
        index: i64,
        /// It is the one that is used.
        current: bool,
        /// It is a tablet.
        absolute: bool,
    }

    /// Lists mice and tablets.
    command observes "query-mice" QueryMice {} -> Vec<MouseInfo>;

    /// A VNC server.
    struct VncInfo {
        /// It is there; never so here.
        enabled: bool,
    }

    /// Tells whether there is a VNC server.
    command observes "query-vnc" QueryVnc {} -> VncInfo;
}
