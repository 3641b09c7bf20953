//! Whatever a client sends, a server reads it as a value or an error, and what it reads as a command is written back byte for byte.
#![no_main]
use libfuzzer_sys::fuzz_target;
use pumasi_mysqlwire::{Capabilities, Command, Execution, FirstPacket, LongData, decode_change_user};

fuzz_target!(|input: (u8, &[u8])| {
    let (count, bytes) = input;
    if let Ok(FirstPacket::Login(login)) = FirstPacket::decode(bytes) {
        login.encode(&mut Vec::new());
    }
    for capabilities in [Capabilities(0), Capabilities(u64::MAX)] {
        let _ = decode_change_user(bytes, capabilities);
    }
    if let Ok(execution) = Execution::decode(bytes) {
        let _ = execution.parameters(usize::from(count), &mut Vec::new(), &LongData::new());
    }
    if let Ok(command) = Command::decode(bytes) {
        let mut again = Vec::new();
        command.encode(&mut again);
        assert_eq!(Command::decode(&again), Ok(command));
    }
});
