//! The `harness` binary: parses, calls one function, maps the result to an exit code.

fn main() -> std::process::ExitCode {
    harness::commands::main().into()
}
