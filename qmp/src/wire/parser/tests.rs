use super::*;
use proptest::prelude::*;
use serde_json::json;

/// All messages of a stream, its end marked by a line end.
fn read(stream: &[u8]) -> Vec<Result<Value, String>> {
    read_pieces(&[stream, b"\n"])
}

fn read_pieces(pieces: &[&[u8]]) -> Vec<Result<Value, String>> {
    let mut parser = Parser::new();
    let mut messages = Vec::new();
    for piece in pieces {
        let mut input = *piece;
        while let Some(message) = parser.next(&mut input) {
            messages.push(message.map_err(|error| error.to_string()));
        }
        assert!(input.is_empty());
    }
    messages
}

fn error(why: &str) -> Result<Value, String> {
    Err(format!("JSON parse error, {why}"))
}

#[test]
fn messages_need_no_line_ends_between_them() {
    assert_eq!(read(br#"{"a":1}{"b":[2,3]} [] "x" 5"#).len(), 5);
    assert_eq!(read(b"\r\n\t {\n\"a\"\r:\t1 }\n"), [Ok(json!({ "a": 1 }))]);
}

#[test]
fn strings_may_have_single_quotes() {
    assert_eq!(read(br#"{'execute': 'it\'s "so"'}"#), [Ok(json!({ "execute": "it's \"so\"" }))]);
}

#[test]
fn integers_are_exact() {
    for text in ["9223372036854775807", "-9223372036854775808", "18446744073709551615", "0"] {
        assert_eq!(read(text.as_bytes())[0].as_ref().unwrap().to_string(), text);
    }
    assert_eq!(read(b"18446744073709551616"), [Ok(json!(18446744073709551616.0))]);
    assert_eq!(read(b"-1.5e3"), [Ok(json!(-1500.0))]);
    assert_eq!(read(b"[1e400]"), [error("number 1e400 is out of range")]);
}

#[test]
fn escapes() {
    assert_eq!(read(br#""\u00e9\ud83d\ude00\n\/\b\f\r\t\\""#), [Ok(json!("é😀\n/\u{8}\u{c}\r\t\\"))]);
    assert_eq!(read("\"é😀\"".as_bytes()), [Ok(json!("é😀"))]);
    assert_eq!(read(br#""\ud83d""#), [error("\\ud83d is not a valid Unicode character")]);
    assert_eq!(read(br#""\ud83d\u0041""#), [error("\\ud83d\\u0041 is not a valid Unicode character")]);
    assert_eq!(read(br#"["\q"]"#), [error("invalid escape sequence in string")]);
    assert_eq!(read(br#""\u12g4""#), [error("invalid hex escape in string")]);
    assert_eq!(read(b"\"\xc3\""), [error("invalid UTF-8 sequence in string")]);
}

/// What QEMU 7.2 says of each.
#[test]
fn what_is_not_json_is_named() {
    let cases: &[(&[u8], &[&str])] = &[
        (b"nonsense", &["invalid keyword 'nonsense'"]),
        (br#"{"a":1,}"#, &["expecting value"]),
        (br#"{"a" "b"}"#, &["missing : in object pair"]),
        (b"{5:3}", &["key is not a string in object"]),
        (b"}", &["expecting value"]),
        (b"]", &["expecting value"]),
        (br#"{"id":%p}"#, &["stray '%'", "expecting value"]),
        (br#"{"id":tru}"#, &["invalid keyword 'tru'"]),
        (br#"{"id":-}"#, &["stray '-}'"]),
        (br#"{"id":01}"#, &["stray '01'", "expecting value"]),
        (br#"{"id":1.}"#, &["stray '1.}'"]),
        (b"{\"id\":\"\xff\"}", &["stray '\"\u{fffd}'", "expecting value"]),
    ];
    for (stream, errors) in cases {
        let expected: Vec<_> = errors.iter().map(|why| error(why)).collect();
        assert_eq!(read(stream), expected, "{}", String::from_utf8_lossy(stream));
    }
    assert_eq!(read(br#"{"a":1,"a":2}"#), [error("duplicate key")]);
    assert_eq!(read(br#"{"a":[}{"b":1}"#), [error("expecting value"), Ok(json!({ "b": 1 }))]);
    assert_eq!(
        read(br#"[1 2]{"a":1 "b":2}"#),
        [error("expected separator in list"), error("expected separator in dict")]
    );
}

#[test]
fn an_error_inside_a_message_is_told_once_and_the_next_message_is_read() {
    assert_eq!(
        read(br#"{"a":bad,"b":[worse,{}],"c":} {"d":4}"#),
        [error("invalid keyword 'bad'"), Ok(json!({ "d": 4 }))]
    );
}

#[test]
fn control_characters_and_0xff_begin_anew() {
    for reset in [&b"\x01"[..], b"\xff", b"\x00", b"\xfe"] {
        for begun in [&b""[..], b"{", b"{\"execute\":\"query-na", b"[[[[", b"[12", b"tru", b"{\"a\":'"] {
            let messages = read(&[begun, reset, b"{\"b\":1}"].concat());
            assert_eq!(messages.last(), Some(&Ok(json!({ "b": 1 }))), "{begun:?} {reset:?}");
            assert!(messages.len() <= 3 && messages[..messages.len() - 1].iter().all(Result::is_err));
        }
    }
}

#[test]
fn depth_and_number_of_tokens_are_bounded() {
    let deep = |depth: usize| [vec![b'['; depth], vec![b']'; depth]].concat();
    assert!(matches!(read(&deep(MAX_DEPTH))[..], [Ok(_)]));
    assert_eq!(read(&deep(MAX_DEPTH + 1))[0], Err("JSON nesting depth limit exceeded".into()));
    let many = [b"[".to_vec(), b"0,".repeat(MAX_TOKENS / 2)].concat();
    assert_eq!(read(&many), [Err("JSON token count limit exceeded".into())]);
}

#[test]
fn a_string_without_end_is_given_up_and_its_memory_with_it() {
    let mut parser = Parser::new();
    let piece = vec![b'x'; 1 << 20];
    let mut errors = Vec::new();
    parser.next(&mut &b"{\"a\":\""[..]);
    for _ in 0..100 {
        errors.extend(parser.next(&mut piece.as_slice()));
        assert!(parser.lexer.pending() <= MAX_MESSAGE_SIZE);
    }
    assert_eq!(errors, [Err(ParseError::Size)]);
    assert_eq!(parser.lexer.pending(), 0);
    assert_eq!(parser.next(&mut &b"\n{}"[..]), Some(Ok(json!({}))));
}

#[test]
fn the_size_of_a_message_is_that_of_its_tokens_together() {
    let mut parser = Parser::new();
    let string = [&b"\""[..], &vec![b'x'; 1 << 20], b"\","].concat();
    parser.next(&mut &b"["[..]);
    let errors: Vec<_> = (0..70).filter_map(|_| parser.next(&mut string.as_slice())).collect();
    assert_eq!(errors.first(), Some(&Err(ParseError::Size)));
}

/// Any JSON value.
fn values() -> impl Strategy<Value = Value> {
    let scalar = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    scalar.prop_recursive(4, 32, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::btree_map(any::<String>(), inner, 0..6)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    /// What serde_json reads, this reads, however it is cut.
    #[test]
    fn any_value_in_any_pieces(values in prop::collection::vec(values(), 1..4), cut in 1usize..9) {
        let stream: Vec<u8> = values.iter().flat_map(|value| format!("{value} ").into_bytes()).collect();
        let pieces: Vec<&[u8]> = stream.chunks(cut).collect();
        prop_assert_eq!(read_pieces(&pieces), values.into_iter().map(Ok).collect::<Vec<_>>());
    }

    /// What is written is ASCII, and read as it was.
    #[test]
    fn any_value_written_and_read(value in values()) {
        for layout in [super::super::Layout::Compact, super::super::Layout::Pretty] {
            let line = super::super::to_line(&value, layout);
            prop_assert!(line.is_ascii() && line.ends_with(b"\r\n"));
            prop_assert_eq!(read(&line), vec![Ok(value.clone())]);
        }
    }

    /// Nothing panics, and after whatever it was, a reset brings the next message through.
    #[test]
    fn any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..200), cut in 1usize..20) {
        let mut pieces: Vec<&[u8]> = bytes.chunks(cut).collect();
        pieces.push(b"\xff{\"b\":1}");
        let messages = read_pieces(&pieces);
        prop_assert_eq!(messages.last(), Some(&Ok(json!({ "b": 1 }))));
    }

    /// The same with bytes that mean something.
    #[test]
    fn almost_json(text in "[\\[\\]{}:,'\"\\\\u0-9eE.a-f \\-]{0,60}", cut in 1usize..20) {
        let mut pieces: Vec<&[u8]> = text.as_bytes().chunks(cut).collect();
        pieces.push(b"\xff{\"b\":1}");
        let messages = read_pieces(&pieces);
        prop_assert_eq!(messages.last(), Some(&Ok(json!({ "b": 1 }))));
        if let Ok(value) = serde_json::from_str::<Value>(&text) {
            let messages = read(text.as_bytes());
            // An object with a key twice is the one thing that serde_json takes and QMP does not.
            prop_assert!(messages == vec![Ok(value)] || messages == vec![error("duplicate key")], "{:?}", messages);
        }
    }
}
