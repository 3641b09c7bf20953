use proptest::prelude::*;

use super::*;

/// Decodes an execution's parameters as a server does that has seen nothing of the statement before.
fn decode(payload: &[u8], count: usize) -> Result<Vec<Value>, WireError> {
    Execution::decode(payload)?.parameters(count, &mut Vec::new(), &LongData::new())
}

fn head(rest: &[u8]) -> Vec<u8> {
    [&[1, 0, 0, 0, 0, 1, 0, 0, 0], rest].concat()
}

/// The documentation's example of COM_STMT_EXECUTE: one VARCHAR parameter, "foo".
#[test]
fn the_documented_execution_is_understood() {
    let payload = [0x01, 0, 0, 0, 0, 0x01, 0, 0, 0, 0x00, 0x01, 0x0f, 0x00, 0x03, 0x66, 0x6f, 0x6f];
    assert_eq!(decode(&payload, 1), Ok(vec![Value::Bytes(b"foo".to_vec())]));
}

#[test]
fn every_type_of_parameter_is_understood() {
    for (kind, sign, bytes, value) in [
        (0x01, 0x00, &[0xff][..], Value::Int(-1)),
        (0x01, 0x80, &[0xff], Value::UInt(255)),
        (0x02, 0x00, &[0xfe, 0xff], Value::Int(-2)),
        (0x02, 0x80, &[0xfe, 0xff], Value::UInt(65_534)),
        (0x0d, 0x80, &[0xea, 0x07], Value::UInt(2026)),
        (0x03, 0x00, &[0xff; 4], Value::Int(-1)),
        (0x09, 0x80, &[0xff, 0xff, 0xff, 0], Value::UInt(0xff_ffff)),
        (0x08, 0x00, &[0xff; 8], Value::Int(-1)),
        (0x08, 0x80, &[0xff; 8], Value::UInt(u64::MAX)),
        (0x04, 0x00, &[0x33, 0x33, 0x23, 0x41], Value::Float(10.2)),
        (0x05, 0x00, &[0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x24, 0x40], Value::Double(10.2)),
        (0x06, 0x00, &[], Value::Null),
        (0x00, 0x00, b"\x031.5", Value::Bytes(b"1.5".to_vec())),
        (0xf6, 0x00, b"\x031.5", Value::Bytes(b"1.5".to_vec())),
        (0xfe, 0x00, b"\x01x", Value::Bytes(b"x".to_vec())),
        (0xfc, 0x00, b"\x01\0", Value::Bytes(vec![0])),
        (0x0a, 0x00, &[4, 0xda, 7, 10, 17], Value::DateTime { year: 2010, month: 10, day: 17, hour: 0, minute: 0, second: 0, micros: 0 }),
        (
            0x0c,
            0x00,
            &[7, 0xda, 7, 10, 17, 19, 27, 30],
            Value::DateTime { year: 2010, month: 10, day: 17, hour: 19, minute: 27, second: 30, micros: 0 },
        ),
        (0x0b, 0x00, &[8, 1, 1, 0, 0, 0, 2, 3, 4], Value::Time { negative: true, hours: 26, minutes: 3, seconds: 4, micros: 0 }),
    ] {
        let payload = head(&[&[0x00, 0x01, kind, sign], bytes].concat());
        assert_eq!(decode(&payload, 1), Ok(vec![value]), "type {kind:#x}");
        if !bytes.is_empty() {
            assert!(decode(&payload[..payload.len() - 1], 1).is_err(), "type {kind:#x} cut short");
        }
    }
}

#[test]
fn nulls_are_bits_from_the_first_on() {
    let payload = head(&[0b0000_0010, 1, 1, 0, 1, 0, 1, 0, 7, 9]);
    assert_eq!(decode(&payload, 3), Ok(vec![Value::Int(7), Value::Null, Value::Int(9)]));
}

#[test]
fn types_are_remembered_from_the_execution_before() {
    let mut types = Vec::new();
    let first = head(&[0, 1, 1, 0x80, 200]);
    Execution::decode(&first).unwrap().parameters(1, &mut types, &LongData::new()).unwrap();
    let second = head(&[0, 0, 201]);
    let values = Execution::decode(&second).unwrap().parameters(1, &mut types, &LongData::new());
    assert_eq!(values, Ok(vec![Value::UInt(201)]));
    assert!(decode(&second, 1).is_err(), "types that nobody ever sent");
}

#[test]
fn long_data_takes_the_place_of_the_value() {
    let long_data = LongData::from([(0, b"long".to_vec())]);
    let payload = head(&[0, 1, 0xfc, 0, 1, 0, 5]);
    let values = Execution::decode(&payload).unwrap().parameters(2, &mut Vec::new(), &long_data);
    assert_eq!(values, Ok(vec![Value::Bytes(b"long".to_vec()), Value::Int(5)]));
}

#[test]
fn a_statement_without_parameters_needs_only_the_head() {
    assert_eq!(decode(&head(&[]), 0), Ok(vec![]));
    let execution = [1, 0, 0, 0, 1, 1, 0, 0, 0];
    assert!(Execution::decode(&execution).unwrap().cursor);
}

#[test]
fn executions_that_make_no_sense_are_errors() {
    for payload in [vec![1, 0, 0], vec![1, 0, 0, 0, 2, 1, 0, 0, 0], vec![1, 0, 0, 0, 0, 2, 0, 0, 0]] {
        assert!(Execution::decode(&payload).is_err(), "{payload:?}");
    }
    for rest in [&[][..], &[0], &[0, 1], &[0, 1, 0x0e, 0], &[0, 1, 1, 0], &[0, 1, 1, 0, 7, 8]] {
        assert!(decode(&head(rest), 1).is_err(), "{rest:?}");
    }
}

#[test]
fn what_preparing_answers_is_laid_out_as_documented() {
    let prepared = Prepared { statement: 1, columns: 1, parameters: 2, warnings: 0 };
    let mut out = Vec::new();
    prepared.encode(&mut out);
    // The documentation's example.
    assert_eq!(out, [0, 1, 0, 0, 0, 1, 0, 2, 0, 0, 0, 0]);
    assert_eq!(Prepared::decode(&out), Ok(prepared));
}

proptest! {
    #[test]
    fn any_bytes_are_an_execution_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..100), count in 0_usize..70_000) {
        let _ = decode(&bytes, count % 40);
        let _ = decode(&head(&bytes), count);
        let _ = Prepared::decode(&bytes);
    }
}
