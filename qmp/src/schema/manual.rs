//! The manual, made from the declarations.

/// The text of `docs/qmp.md`.
pub fn manual() -> String {
    String::new()
}
