//! QEMU's suboption syntax: `value,key=value,flag`, with `,,` for a comma inside a value.

use super::error::Reason;
use super::values;
use serde_json::Value;

/// The suboptions of one option, taken out one by one; what nobody took is unknown ([`Suboptions::finish`]).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Suboptions {
    entries: Vec<Entry>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Entry {
    key: String,
    /// `None` for a bare flag, which means `on`.
    value: Option<String>,
}

impl Suboptions {
    /// Splits `text`. If its first element has no `=` and there is an `implied` key, it is that key's value.
    pub fn parse(text: &str, implied: Option<&str>) -> Self {
        let entries = split(text)
            .into_iter()
            .enumerate()
            .filter(|(_, element)| !element.is_empty())
            .map(|(at, element)| match (element.split_once('='), implied) {
                (Some((key, value)), _) => Entry { key: key.to_owned(), value: Some(value.to_owned()) },
                (None, Some(key)) if at == 0 => Entry { key: key.to_owned(), value: Some(element) },
                (None, _) => Entry { key: element, value: None },
            })
            .collect();
        Suboptions { entries }
    }

    /// Reads a JSON object, which some options take instead; anything else is read by [`Suboptions::parse`].
    pub fn parse_or_json(text: &str, implied: Option<&str>) -> Result<Self, Reason> {
        if !text.trim_start().starts_with('{') {
            return Ok(Self::parse(text, implied));
        }
        serde_json::from_str(text).map(|json| Self::of_json(&json)).map_err(|_| Reason::Expected("a JSON object"))
    }

    /// The members of a JSON object, those of objects in it under dotted keys.
    pub fn of_json(json: &Value) -> Self {
        let mut pairs = Vec::new();
        flatten("", json, &mut pairs);
        Self::of(pairs)
    }

    /// Suboptions that came in another syntax.
    pub fn of(pairs: impl IntoIterator<Item = (String, String)>) -> Self {
        Suboptions { entries: pairs.into_iter().map(|(key, value)| Entry { key, value: Some(value) }).collect() }
    }

    /// Takes every suboption whose key begins with `prefix` and a dot out, and gives them without it.
    pub fn group(&mut self, prefix: &str) -> Suboptions {
        let inner = |entry: &Entry| entry.key.strip_prefix(prefix)?.strip_prefix('.').map(str::to_owned);
        let (taken, left) = std::mem::take(&mut self.entries).into_iter().partition(|entry| inner(entry).is_some());
        self.entries = left;
        let strip = |entry: Entry| inner(&entry).map(|key| Entry { key, value: entry.value });
        let taken: Vec<Entry> = taken;
        Suboptions { entries: taken.into_iter().filter_map(strip).collect() }
    }

    /// Whether none are left.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Takes every `key` out and returns the last one's value: later suboptions override earlier ones.
    pub fn text(&mut self, key: &str) -> Option<String> {
        let mut found = None;
        self.entries.retain(|entry| {
            let hit = entry.key == key;
            if hit {
                found = Some(entry.value.clone().unwrap_or_else(|| "on".to_owned()));
            }
            !hit
        });
        found
    }

    /// Takes a suboption that must be there.
    pub fn required(&mut self, key: &'static str) -> Result<String, Reason> {
        self.text(key).filter(|value| !value.is_empty()).ok_or(Reason::MissingProperty(key))
    }

    /// Takes a boolean: `key=on|off|yes|no|true|false|y|n`, the flag `key`, or the old flag `nokey`.
    pub fn switch(&mut self, key: &str) -> Result<Option<bool>, Reason> {
        let negated = format!("no{key}");
        let mut found = None;
        let mut wrong = None;
        self.entries.retain(|entry| match &entry.value {
            None if entry.key == negated => {
                found = Some(false);
                false
            }
            value if entry.key == key => {
                match value.as_deref().map_or(Some(true), values::switch) {
                    Some(on) => found = Some(on),
                    None => wrong = value.clone(),
                }
                false
            }
            _ => true,
        });
        match wrong {
            Some(value) => Err(Reason::bad(key, &value, "use on or off")),
            None => Ok(found),
        }
    }

    /// Takes a number: decimal, `0x` hexadecimal or `0` octal.
    pub fn number(&mut self, key: &str) -> Result<Option<u64>, Reason> {
        self.text(key)
            .map(|text| values::number(&text).ok_or_else(|| Reason::bad(key, &text, "use a number")))
            .transpose()
    }

    /// Takes a number of few bits.
    pub fn small<T: TryFrom<u64>>(&mut self, key: &str) -> Result<Option<T>, Reason> {
        let Some(text) = self.text(key) else { return Ok(None) };
        let number = values::number(&text).ok_or_else(|| Reason::bad(key, &text, "use a number"))?;
        T::try_from(number).map(Some).map_err(|_| Reason::bad(key, &text, "the number is too large"))
    }

    /// Takes every suboption with one of these keys out, in order: what may be given several times.
    pub fn each(&mut self, keys: &[&str]) -> Vec<(String, String)> {
        let wanted = |entry: &Entry| keys.contains(&entry.key.as_str());
        let (taken, left) = std::mem::take(&mut self.entries).into_iter().partition(wanted);
        self.entries = left;
        let taken: Vec<Entry> = taken;
        taken.into_iter().map(|entry| (entry.key, entry.value.unwrap_or_else(|| "on".to_owned()))).collect()
    }

    /// Takes a size with an optional suffix; a bare number counts `unit` bytes.
    pub fn size(&mut self, key: &str, unit: u64) -> Result<Option<u64>, Reason> {
        self.text(key)
            .map(|text| values::size(&text, unit).ok_or_else(|| Reason::bad(key, &text, values::SIZE_SYNTAX)))
            .transpose()
    }

    /// Takes every pair that is left, in order; flags have the value `on`.
    pub fn rest(&mut self) -> Vec<(String, String)> {
        let value = |entry: Entry| (entry.key, entry.value.unwrap_or_else(|| "on".to_owned()));
        self.entries.drain(..).map(value).collect()
    }

    /// Refuses the first suboption that nobody took.
    pub fn finish(self) -> Result<(), Reason> {
        match self.entries.into_iter().next() {
            Some(entry) => Err(Reason::UnknownProperty(entry.key)),
            None => Ok(()),
        }
    }
}

/// One object of JSON as dotted keys, as QEMU's other syntax has them.
fn flatten(prefix: &str, value: &Value, into: &mut Vec<(String, String)>) {
    let key = |name: &str| if prefix.is_empty() { name.to_owned() } else { format!("{prefix}.{name}") };
    match value {
        Value::Object(fields) => fields.iter().for_each(|(name, value)| flatten(&key(name), value, into)),
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(at, value)| flatten(&key(&at.to_string()), value, into));
        }
        Value::Bool(on) => into.push((prefix.to_owned(), if *on { "on" } else { "off" }.to_owned())),
        Value::Null => into.push((prefix.to_owned(), String::new())),
        Value::String(text) => into.push((prefix.to_owned(), text.clone())),
        Value::Number(number) => into.push((prefix.to_owned(), number.to_string())),
    }
}

/// Splits at single commas; a doubled comma is one comma of the element.
fn split(text: &str) -> Vec<String> {
    let mut elements = vec![String::new()];
    let mut characters = text.chars().peekable();
    while let Some(c) = characters.next() {
        match (c, elements.last_mut()) {
            (',', Some(element)) if characters.peek() == Some(&',') => {
                characters.next();
                element.push(',');
            }
            (',', _) => elements.push(String::new()),
            (_, Some(element)) => element.push(c),
            (_, None) => {}
        }
    }
    elements
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_element_without_a_key_belongs_to_the_implied_one() {
        let mut options = Suboptions::parse("512,slots=2", Some("size"));
        assert_eq!(options.text("size").as_deref(), Some("512"));
        assert_eq!(options.number("slots"), Ok(Some(2)));
        assert_eq!(options.finish(), Ok(()));
    }

    #[test]
    fn without_an_implied_key_a_bare_first_element_is_a_flag() {
        assert_eq!(Suboptions::parse("server", None).switch("server"), Ok(Some(true)));
    }

    #[test]
    fn doubled_comma_is_a_comma_in_the_value() {
        let mut options = Suboptions::parse("file,path=/tmp/a,,b,,,append=on", Some("backend"));
        assert_eq!(options.text("path").as_deref(), Some("/tmp/a,b,"));
        assert_eq!(options.switch("append"), Ok(Some(true)));
    }

    #[test]
    fn value_may_contain_equals_signs() {
        assert_eq!(Suboptions::parse("a=b=c", None).text("a").as_deref(), Some("b=c"));
    }

    #[test]
    fn last_mention_of_a_key_wins() {
        let mut options = Suboptions::parse("cpus=2,cpus=4", None);
        assert_eq!(options.number("cpus"), Ok(Some(4)));
        assert_eq!(options.finish(), Ok(()));
    }

    #[test]
    fn booleans_come_in_every_spelling_of_qemu() {
        for (text, want) in [("x", true), ("x=on", true), ("x=yes", true), ("x=true", true), ("x=y", true)] {
            assert_eq!(Suboptions::parse(text, None).switch("x"), Ok(Some(want)), "{text}");
        }
        for text in ["nox", "x=off", "x=no", "x=false", "x=n"] {
            assert_eq!(Suboptions::parse(text, None).switch("x"), Ok(Some(false)), "{text}");
        }
        assert_eq!(Suboptions::parse("", None).switch("x"), Ok(None));
        assert!(Suboptions::parse("x=maybe", None).switch("x").is_err());
    }

    #[test]
    fn a_json_object_is_the_same_as_keys_with_dots() {
        let text = r#"{"driver":"file","cache":{"direct":true},"size":3,"server":["a","b"]}"#;
        let json = Suboptions::parse_or_json(text, None);
        let typed = Suboptions::parse("cache.direct=on,driver=file,server.0=a,server.1=b,size=3", None);
        let sorted = |mut options: Suboptions| {
            let mut pairs = options.rest();
            pairs.sort();
            pairs
        };
        assert_eq!(json.map(sorted), Ok(sorted(typed)));
        assert_eq!(Suboptions::parse_or_json("{\"a\":", None), Err(Reason::Expected("a JSON object")));
        assert_eq!(Suboptions::parse_or_json("a,b=1", Some("x")), Ok(Suboptions::parse("a,b=1", Some("x"))));
    }

    #[test]
    fn what_nobody_takes_is_unknown() {
        assert_eq!(Suboptions::parse("colour=red", None).finish(), Err(Reason::UnknownProperty("colour".to_owned())));
    }
}
