//! The page on `flow-log`: its commands are run, and must say what the page says.
//!
//! Times, ages and sizes are others each time, and the order of keys follows from the seed of a log, so lines are compared without the former and
//! in any order. `FLOW_BLESS=1` writes what was said into the page.

mod common;

use std::path::Path;

use common::{Place, damage};

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/flow-log.md");

/// A line without what is another one each time.
fn plain(line: &str) -> String {
    const UNITS: [&str; 11] = ["B", "kB", "MB", "s", "min", "h", "days", "B;", "kB,", "kB;", "s."];
    let is_time = |word: &str| {
        word.contains('T') && word.trim_end_matches(',').ends_with('Z') && word.starts_with("20")
    };
    let mut words: Vec<String> = Vec::new();
    for word in line.split_whitespace() {
        let is_number = words.last().is_some_and(|last| last.parse::<f64>().is_ok());
        if UNITS.contains(&word) && is_number {
            words.pop();
            words.push("SOME".to_owned());
        } else if is_time(word) {
            words.push("TIME".to_owned());
        } else if words.last().is_some_and(|last| last == "process" || last == "byte") {
            words.push("N".to_owned());
        } else {
            words.push(word.to_owned());
        }
    }
    words.join(" ")
}

fn lines(text: &str) -> Vec<String> {
    let mut lines: Vec<String> = text.lines().map(plain).filter(|line| !line.is_empty()).collect();
    lines.sort();
    lines
}

/// What happens between the commands of the page.
fn happens(place: &Place, what: &str) {
    match what {
        "the program runs on" => drop(place.run(14).expect("runs")),
        "the program runs on, and a bit flips" => {
            place.run(16).expect("runs");
            let segment = place.file("seg", ".seg");
            let length = std::fs::read(&segment).expect("can be read").len();
            damage(&segment, length - 30);
        }
        other => panic!("the page says that `{other}` happens, and the test does not know how"),
    }
}

#[test]
fn the_page_says_what_the_program_says() {
    let page = std::fs::read_to_string(Path::new(PAGE)).expect("is there");
    let place = Place::after(7);
    place.run(12).expect("runs");
    let bless = std::env::var_os("FLOW_BLESS").is_some();
    let (mut blessed, mut commands) = (String::new(), 0);
    let mut rest = page.as_str();
    while let Some((before, block)) = rest.split_once("```console\n") {
        let (block, after) = block.split_once("```").expect("the block ends");
        if let Some((_, what)) = before.rsplit_once("<!-- ") {
            let (what, behind) = what.split_once(" -->").expect("the remark ends");
            if behind.trim().is_empty() {
                happens(&place, what);
            }
        }
        blessed += before;
        blessed += "```console\n";
        for command in block.split("$ ").skip(1) {
            let (command, said) = command.split_once('\n').expect("a command is a line");
            let args: Vec<String> =
                command.split(' ').skip(1).map(|arg| arg.trim_matches('\'').to_owned()).collect();
            let args: Vec<&str> = args.iter().map(String::as_str).collect();
            let done = place.flow_log(&args);
            let says = format!("{}{}", done.out, done.err);
            if !bless {
                assert_eq!(lines(&says), lines(said), "`{command}` says:\n{says}");
            }
            blessed += &format!("$ {command}\n{says}");
            commands += 1;
        }
        blessed += "```";
        rest = after;
    }
    blessed += rest;
    assert!(commands >= 12, "only {commands} commands were found");
    if bless {
        std::fs::write(PAGE, blessed).expect("can be written");
    }
}
