"""The Rust core by itself."""
