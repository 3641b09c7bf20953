//! The guardian alone, for this crate's own tests: they cannot know where the `pumasi` binary is.
fn main() -> std::process::ExitCode {
    let arguments: Vec<String> = std::env::args().skip(2).collect();
    pumasi_web::guardian::main(&arguments)
}
