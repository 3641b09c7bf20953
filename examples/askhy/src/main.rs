use std::process::ExitCode;

fn main() -> ExitCode {
    askhy::main()
}
