"""Key constructors and fields, and their compilation into a plan for the Rust core."""
