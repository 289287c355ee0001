//! Lockstep is GPL-2.0, so every crate that is linked into it must come under a licence that goes with that.

use std::process::Command;

use serde_json::Value;

/// Licences that may be combined with GPL-2.0. Apache-2.0 is not among them, unless with LLVM's exception.
const COMPATIBLE: [&str; 17] = [
    "0BSD",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "GPL-2.0",
    "GPL-2.0-only",
    "GPL-2.0-or-later",
    "ISC",
    "LGPL-2.1-or-later",
    "MIT",
    "MIT-0",
    "MPL-2.0",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
];

/// Whether an SPDX expression leaves a compatible choice; an expression that cannot be read does not.
fn is_compatible(expression: &str) -> bool {
    // The old way to write OR.
    let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let mut tokens = spaced.split_whitespace().peekable();
    alternatives(&mut tokens) == Some(true) && tokens.next().is_none()
}

type Tokens<'a> = std::iter::Peekable<std::str::SplitWhitespace<'a>>;

fn alternatives(tokens: &mut Tokens<'_>) -> Option<bool> {
    let mut any = requirements(tokens)?;
    while tokens.next_if_eq(&"OR").is_some() {
        any |= requirements(tokens)?;
    }
    Some(any)
}

fn requirements(tokens: &mut Tokens<'_>) -> Option<bool> {
    let mut all = licence(tokens)?;
    while tokens.next_if_eq(&"AND").is_some() {
        all &= licence(tokens)?;
    }
    Some(all)
}

fn licence(tokens: &mut Tokens<'_>) -> Option<bool> {
    if tokens.next_if_eq(&"(").is_some() {
        let inner = alternatives(tokens)?;
        return tokens.next_if_eq(&")").map(|_| inner);
    }
    let name = tokens.next().filter(|name| !matches!(*name, "AND" | "OR" | "WITH" | ")"))?;
    let full = match tokens.next_if_eq(&"WITH") {
        Some(with) => format!("{name} {with} {}", tokens.next()?),
        None => name.to_owned(),
    };
    Some(COMPATIBLE.contains(&full.as_str()))
}

#[test]
fn expressions_are_read_as_spdx_defines_them() {
    for good in [
        "MIT",
        "MIT OR Apache-2.0",
        "MIT/Apache-2.0",
        "Apache-2.0 WITH LLVM-exception OR Apache-2.0 OR MIT",
        "(MIT OR Apache-2.0) AND Unicode-3.0",
        "GPL-2.0-only",
    ] {
        assert!(is_compatible(good), "{good}");
    }
    for bad in [
        "Apache-2.0",
        "MIT AND Apache-2.0",
        "Apache-2.0 OR MIT AND OpenSSL",
        "GPL-3.0-only",
        "Apache-2.0 WITH some-exception",
        "",
        "MIT OR",
        "(MIT",
        "MIT)",
        "MIT WITH",
        "Proprietary",
    ] {
        assert!(!is_compatible(bad), "{bad}");
    }
}

/// The output of cargo or rustc.
fn output(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().expect("the toolchain can be run");
    assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("it is text")
}

#[test]
fn every_dependency_goes_with_gpl_2() {
    // Crates for other hosts are not linked, and an offline host has not got them.
    let rustc = output("rustc", &["-vV"]);
    let host = rustc.lines().find_map(|line| line.strip_prefix("host: ")).expect("rustc names its host");
    let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.toml");
    let metadata = output(
        env!("CARGO"),
        &["metadata", "--format-version=1", "--locked", "--filter-platform", host, "--manifest-path", manifest],
    );
    let metadata: Value = serde_json::from_str(&metadata).expect("cargo writes JSON");
    let packages = metadata["packages"].as_array().expect("there are packages");
    assert!(packages.iter().any(|package| package["name"] == "lockstep"), "this is the wrong workspace");
    let offenders: Vec<String> = packages
        .iter()
        .filter(|package| !is_compatible(package["license"].as_str().unwrap_or_default()))
        .map(|package| format!("{} {}: {}", package["name"], package["version"], package["license"]))
        .collect();
    assert!(offenders.is_empty(), "not compatible with GPL-2.0, or unknown:\n{}", offenders.join("\n"));
}
