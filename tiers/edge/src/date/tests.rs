use super::*;

#[test]
fn dates_are_written_as_rfc_9110_says() {
    let check = |unix_s, text: &str| assert_eq!(String::from_utf8_lossy(&imf_fixdate(unix_s)), text);
    check(0, "Thu, 01 Jan 1970 00:00:00 GMT");
    check(784_111_777, "Sun, 06 Nov 1994 08:49:37 GMT"); // the example of §5.6.7
    check(951_782_400, "Tue, 29 Feb 2000 00:00:00 GMT");
    check(4_107_542_399, "Sun, 28 Feb 2100 23:59:59 GMT");
    check(4_107_542_400, "Mon, 01 Mar 2100 00:00:00 GMT"); // 2100 is no leap year
    assert_eq!(common_log(784_111_777), "06/Nov/1994:08:49:37 +0000");
}
