use std::os::unix::fs::PermissionsExt;

use super::*;

#[test]
fn a_token_is_made_once_and_only_its_owner_can_read_it() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("console-token");
    let made = Token::load_or_create(&path).unwrap();
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let text = std::fs::read_to_string(&path).unwrap();
    let read = Token::load_or_create(&path).unwrap();
    for token in [&made, &read] {
        assert!(token.matches(&text) && token.matches(text.trim()), "with and without its line end");
        assert!(!token.matches("") && !token.matches(&text.trim()[1..]) && !token.matches(&format!("{}0", text.trim())));
    }
    assert!(!format!("{made:?}").contains(text.trim()), "a log never shows it");
}

#[test]
fn a_token_that_can_be_guessed_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("console-token");
    std::fs::write(&path, "hunter2\n").unwrap();
    assert!(matches!(Token::load_or_create(&path), Err(TokenError::Short { .. })));
    let missing = directory.path().join("no/such/directory");
    assert!(matches!(Token::load_or_create(&missing), Err(TokenError::File { .. })));
}

#[test]
fn sessions_are_bounded_and_can_be_closed() {
    let sessions = Sessions::default();
    let ids: Vec<String> = (0..=SESSIONS_MAX).map(|_| sessions.open().unwrap()).collect();
    assert!(!sessions.knows(&ids[0]), "the oldest made room");
    assert!(ids[1..].iter().all(|id| sessions.knows(id)));
    assert!(!sessions.knows(""));
    sessions.close(&ids[5]);
    assert!(!sessions.knows(&ids[5]) && sessions.knows(&ids[6]));
}
