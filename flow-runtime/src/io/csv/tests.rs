use proptest::prelude::*;
use serde::Deserialize;

use super::*;
use crate::io::testing::{Memory, drain, poll, reopen, rest};

#[derive(Clone, Debug, PartialEq, Deserialize)]
struct Ride {
    from: String,
    miles: f64,
    tip: Option<u32>,
}

fn disk(text: impl AsRef<[u8]>) -> Memory {
    let disk = Memory::default();
    disk.put("a.csv", text);
    disk
}

fn ride(from: &str, miles: f64, tip: Option<u32>) -> Ride {
    Ride { from: from.into(), miles, tip }
}

#[test]
fn structs_take_fields_by_name() {
    let text = "\u{feff}tip,from,miles\r\n3,\"a, \"\"b\"\"\",1.5\r\n,\"two\nlines\",2";
    let expected = [ride("a, \"b\"", 1.5, Some(3)), ride("two\nlines", 2.0, None)];
    assert_eq!(drain(&Csv::of("a.csv"), &disk(text).io()), Ok(expected.into()));
}

#[test]
fn tuples_take_fields_in_order() {
    let rows = Ok(vec![("a".to_owned(), 1), ("b".to_owned(), 2)]);
    let source = Csv::<(String, i32)>::of("a.csv");
    assert_eq!(drain(&source, &disk("word,count\na,1\nb,2\n").io()), rows);
    assert_eq!(drain(&source.clone().header(false), &disk("a,1\n\n\r\nb,2\n\n").io()), rows);
    assert_eq!(drain(&source.clone().header(false).delimiter(b';'), &disk("a;1\rb;2").io()), rows);
    assert_eq!(drain(&source, &disk("").io()), Ok(vec![]));
    assert_eq!(drain(&source, &disk("word,count").io()), Ok(vec![]));
    assert_eq!(drain(&Csv::<u8>::of("a.csv").header(false), &disk("1\n2").io()), Ok(vec![1, 2]));
}

#[test]
fn a_row_that_does_not_fit_is_named_by_its_line() {
    let text = "from,miles,tip\n\"two\nlines\",1,\n\n\nb,far,\n\"c\nd\",2\ne,3,\n";
    let source = Csv::<Ride>::of("a.csv");
    let error = drain(&source, &disk(text).io()).expect_err("does not fit");
    assert_eq!(
        error.lines().next(),
        Some("line 6 of `a.csv`: field 2 (`miles`): invalid float literal, so it is no `Ride`")
    );
    let good = drain(&source.clone().skip_bad_rows(), &disk(text).io()).expect("goes on");
    assert_eq!(good, [ride("two\nlines", 1.0, None), ride("e", 3.0, None)]);
    let rows = drain(&source.rows(), &disk(text).io()).expect("goes on");
    let bad: Vec<_> = rows.iter().filter_map(|row| row.as_ref().err()).collect();
    assert_eq!(rows.len(), 4);
    assert_eq!((bad[0].line, &*bad[0].text), (6, "b,far,"));
    assert_eq!((bad[1].line, &*bad[1].text), (7, "\"c\nd\",2"));
    assert_eq!(bad[1].message, "there are 2 fields and not 3");
    assert_eq!(rows[3], Ok(ride("e", 3.0, None)));
}

#[test]
fn without_a_header_the_first_row_gives_the_number_of_fields() {
    let source = Csv::<(i32, i32)>::of("a.csv").header(false).rows();
    let disk = disk("1,2\n3\n4,5,6\n7,8\n");
    let all = drain(&source, &disk.io()).expect("goes on");
    assert_eq!(all.iter().map(Result::is_ok).collect::<Vec<_>>(), [true, false, false, true]);
    // Also when reading goes on behind it.
    let partition = PartitionId::new("a.csv");
    let mut reader = source.open(&disk.io(), &partition, Resume::Fresh).expect("opens");
    poll(&mut reader, 1).1.expect("reads");
    let mut reader = reopen(&source, &disk.io(), reader.position()).expect("resumes");
    assert_eq!(rest(&mut reader, 9).as_deref(), Ok(&all[1..]));
}

#[test]
fn an_open_quote_does_not_eat_the_file() {
    let text = "a\n\"open\n".to_owned() + &"x\n".repeat(200_000);
    let source = Csv::<String>::of("a.csv").max_row_bytes(10_000);
    let error = drain(&source, &disk(&text).io()).expect_err("is too long");
    assert!(error.contains("line 2 of `a.csv` begins a row of more than 10000 bytes"), "{error}");
    let long = format!("a\n{}\n", "x".repeat(10_001));
    let error = drain(&source, &disk(long).io()).expect_err("is too long");
    assert!(error.contains("line 2 of `a.csv` begins a row"), "{error}");
}

#[test]
fn a_file_that_was_empty_may_get_a_header() {
    let disk = disk("");
    let source = Csv::<(String, i32)>::of("a.csv");
    let partition = PartitionId::new("a.csv");
    let mut reader = source.open(&disk.io(), &partition, Resume::Fresh).expect("opens");
    assert_eq!(rest(&mut reader, 9), Ok(vec![]));
    disk.put("a.csv", "word,count\na,1\n");
    let mut reader = reopen(&source, &disk.io(), reader.position()).expect("resumes");
    assert_eq!(rest(&mut reader, 9), Ok(vec![("a".to_owned(), 1)]));
    disk.put("a.csv", "word,count\na,1\nb,2\n");
    let mut reader = reopen(&source, &disk.io(), reader.position()).expect("resumes");
    assert_eq!(rest(&mut reader, 9), Ok(vec![("b".to_owned(), 2)]));
}

#[test]
fn a_last_row_that_grew_is_refused() {
    let disk = disk("word\na\nb");
    let source = Csv::<String>::of("a.csv");
    let partition = PartitionId::new("a.csv");
    let mut reader = source.open(&disk.io(), &partition, Resume::Fresh).expect("opens");
    rest(&mut reader, 9).expect("reads");
    disk.put("a.csv", "word\na\nbc\n");
    let error = reopen(&source, &disk.io(), reader.position()).expect_err("has grown");
    assert!(error.contains("`a.csv` has grown in its line 3"), "{error}");
    disk.put("a.csv", "word\na\nb\nc\n");
    let mut reader = reopen(&source, &disk.io(), reader.position()).expect("resumes");
    assert_eq!(rest(&mut reader, 9), Ok(vec!["c".to_owned()]));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever the fields, the line ends, the header, the size of the pieces and the stops: what is read equals what
    /// the crate `csv` reads.
    #[test]
    fn stops_change_nothing(
        rows in prop::collection::vec((prop_oneof![3 => "[a-c]{0,9}", 1 => "[\u{feff}a\"\r\n,]{1,5}"], 0..99_u8), 0..40),
        crlf in any::<bool>(),
        header in any::<bool>(),
        final_end in any::<bool>(),
        piece in 1_usize..40,
        stops in prop::collection::vec(1_usize..9, 0..20),
    ) {
        let terminator = if crlf { csv::Terminator::CRLF } else { csv::Terminator::Any(b'\n') };
        let mut writer =
            csv::WriterBuilder::new().has_headers(false).terminator(terminator).from_writer(vec![]);
        for row in &rows {
            writer.serialize(row).expect("is plain data");
        }
        let mut text = writer.into_inner().expect("memory takes it");
        if !final_end {
            text.truncate(text.trim_ascii_end().len());
        }
        let mut reader = csv::ReaderBuilder::new().has_headers(header).from_reader(&text[..]);
        let expected: Vec<(String, u8)> =
            reader.deserialize().collect::<Result<_, _>>().expect("was just written");
        let disk = Memory::default();
        disk.read_at_most(piece);
        disk.put("a.csv", &text);
        let source = Csv::<(String, u8)>::of("a.csv").header(header);
        let partition = PartitionId::new("a.csv");
        let mut reader = source.open(&disk.io(), &partition, Resume::Fresh).expect("opens");
        let mut all = Vec::new();
        for limit in stops {
            all.extend(poll(&mut reader, limit).0);
            reader = reopen(&source, &disk.io(), reader.position()).expect("resumes");
        }
        all.extend(rest(&mut reader, 7).expect("reads"));
        prop_assert_eq!(all, expected);
    }
}

#[test]
fn a_row_that_ends_in_a_carriage_return_alone_is_whole() {
    let disk = disk("a,1\rb,2\r\nc,3\rd,4");
    let source = Csv::<(String, i32)>::of("a.csv").header(false);
    let mut reader =
        source.open(&disk.io(), &PartitionId::new("a.csv"), Resume::Fresh).expect("opens");
    let mut names = String::new();
    while let (rows, Ok(Poll::Ready)) = poll(&mut reader, 1) {
        names.extend(rows.into_iter().map(|(name, _)| name));
        reader = reopen(&source, &disk.io(), reader.position()).expect("is as it was");
    }
    assert_eq!(names, "abcd");
}
