use proptest::prelude::*;

use super::*;

#[test]
fn commands_are_laid_out_as_documented() {
    for (command, bytes) in [
        (Command::Quit, &b"\x01"[..]),
        (Command::InitDb(b"test"), b"\x02test"),
        (Command::Query(b"select 1"), b"\x03select 1"),
        (Command::FieldList { table: b"ask", wildcard: b"i%" }, b"\x04ask\0i%"),
        (Command::Statistics, b"\x09"),
        (Command::ProcessKill(7), b"\x0c\x07\0\0\0"),
        (Command::Ping, b"\x0e"),
        (Command::ChangeUser(b"root\0\0\0"), b"\x11root\0\0\0"),
        (Command::Prepare(b"do 1"), b"\x16do 1"),
        (Command::Execute(b"\x01\0\0\0\0\x01\0\0\0"), b"\x17\x01\0\0\0\0\x01\0\0\0"),
        (Command::LongData { statement: 1, parameter: 2, data: b"abc" }, b"\x18\x01\0\0\0\x02\0abc"),
        (Command::CloseStatement(1), b"\x19\x01\0\0\0"),
        (Command::ResetStatement(1), b"\x1a\x01\0\0\0"),
        (Command::SetMultiStatements(true), b"\x1b\0\0"),
        (Command::SetMultiStatements(false), b"\x1b\x01\0"),
        (Command::Fetch { statement: 1, rows: 5 }, b"\x1c\x01\0\0\0\x05\0\0\0"),
        (Command::ResetConnection, b"\x1f"),
        (Command::Administer(b"\x0d"), b"\x0d"),
        (Command::Other(0x0f), b"\x0f"),
    ] {
        assert_eq!(Command::decode(bytes), Ok(command));
        let mut out = Vec::new();
        command.encode(&mut out);
        assert_eq!(out, bytes);
    }
}

#[test]
fn commands_cut_short_are_errors() {
    for bytes in [&b""[..], b"\x04ask", b"\x0c\x07", b"\x18\x01\0\0\0", b"\x19", b"\x1a\x01", b"\x1b", b"\x1b\x02\0", b"\x1c\x01\0\0\0"] {
        assert!(Command::decode(bytes).is_err(), "{bytes:?}");
    }
}

proptest! {
    #[test]
    fn any_bytes_are_a_command_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
        let _ = Command::decode(&bytes);
    }
}
