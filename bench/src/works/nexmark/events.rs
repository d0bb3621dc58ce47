//! The events: those of the crate `nexmark` with its default rates, as small values. Texts are numbers, equal for equal texts; descriptions
//! and filler, which no query here reads, are left out.

use std::collections::HashMap;
use std::io::{BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::{fs, io, process};

use nexmark::EventGenerator;
use nexmark::config::NexmarkConfig;
use nexmark::event::Event as Made;
use serde::{Deserialize, Serialize};

use crate::input::part;
use crate::options::Job;

const EVENTS: u64 = 10_000_000;

/// The number of the state of Oregon.
pub const OREGON: u32 = 0;
/// The number of the state of Idaho.
pub const IDAHO: u32 = 1;
/// The number of the state of California.
pub const CALIFORNIA: u32 = 2;
/// Texts whose numbers are known beforehand.
const KNOWN: [&str; 3] = ["or", "id", "ca"];

/// An event of 56 bytes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Event {
    /// Somebody is new.
    Person(Person),
    /// Something is offered.
    Auction(Auction),
    /// Somebody bids.
    Bid(Bid),
}

/// A person.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Person {
    /// Their number.
    pub id: u64,
    /// When they came, in milliseconds.
    pub time_ms: u64,
    /// Their name.
    pub name: u32,
    /// Their address.
    pub email: u32,
    /// Their city.
    pub city: u32,
    /// Its state.
    pub state: u32,
}

/// An auction.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Auction {
    /// Its number.
    pub id: u64,
    /// The person who sells.
    pub seller: u64,
    /// When it begins, in milliseconds.
    pub time_ms: u64,
    /// When it ends, in milliseconds.
    pub expires_ms: u64,
    /// What kind of thing it is.
    pub category: u32,
    /// What it is.
    pub item: u32,
    /// The first price, in cents.
    pub initial_bid: u32,
    /// The least price, in cents.
    pub reserve: u32,
}

/// A bid.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Bid {
    /// The auction.
    pub auction: u64,
    /// The person who bids.
    pub bidder: u64,
    /// In cents.
    pub price: u64,
    /// When, in milliseconds.
    pub time_ms: u64,
    /// By which channel.
    pub channel: u32,
    /// At which address.
    pub url: u32,
}

/// The events of a run. Making them takes ten times as long as a query, so they are kept in a file beside the program for the next run.
pub fn events(job: &Job) -> &'static [Event] {
    let count = job.scaled(EVENTS);
    let path = path(count);
    let read = fs::File::open(&path).and_then(|file| read(file, count));
    let events = read.unwrap_or_else(|_| {
        let events = make(count);
        // If this fails the next run makes them again.
        let _ = keep(&path, &events);
        events
    });
    events.leak()
}

/// What one of several workers reads.
pub fn share(events: &'static [Event], worker: usize, workers: usize) -> &'static [Event] {
    let range = part(events.len() as u64, worker, workers);
    &events[range.start as usize..range.end as usize]
}

fn path(count: u64) -> PathBuf {
    let program = std::env::current_exe().expect("a program has a path");
    program.with_file_name(format!("nexmark-{count}.events"))
}

/// Texts by number.
struct Texts(HashMap<String, u32>);

impl Texts {
    fn new() -> Texts {
        Texts((0..).zip(KNOWN).map(|(number, text)| (text.to_owned(), number)).collect())
    }

    fn number(&mut self, text: String) -> u32 {
        let next = self.0.len() as u32;
        *self.0.entry(text).or_insert(next)
    }
}

fn make(count: u64) -> Vec<Event> {
    // All else is derived from the event's number.
    let config = NexmarkConfig { base_time: 1_700_000_000_000, ..NexmarkConfig::default() };
    let mut texts = Texts::new();
    EventGenerator::new(config).take(count as usize).map(|event| small(event, &mut texts)).collect()
}

fn small(event: Made, texts: &mut Texts) -> Event {
    match event {
        Made::Person(person) => Event::Person(Person {
            id: person.id as u64,
            time_ms: person.date_time,
            name: texts.number(person.name),
            email: texts.number(person.email_address),
            city: texts.number(person.city),
            state: texts.number(person.state),
        }),
        Made::Auction(auction) => Event::Auction(Auction {
            id: auction.id as u64,
            seller: auction.seller as u64,
            time_ms: auction.date_time,
            expires_ms: auction.expires,
            category: auction.category as u32,
            item: texts.number(auction.item_name),
            initial_bid: auction.initial_bid as u32,
            reserve: auction.reserve as u32,
        }),
        Made::Bid(bid) => Event::Bid(Bid {
            auction: bid.auction as u64,
            bidder: bid.bidder as u64,
            price: bid.price as u64,
            time_ms: bid.date_time,
            channel: texts.number(bid.channel),
            url: texts.number(bid.url),
        }),
    }
}

/// An event in the file: seven numbers, of which the first says what it is.
type Words = [u64; 7];

fn pack(low: u32, high: u32) -> u64 {
    u64::from(low) | u64::from(high) << 32
}

fn unpack(word: u64) -> (u32, u32) {
    (word as u32, (word >> 32) as u32)
}

fn to_words(event: &Event) -> Words {
    match *event {
        Event::Person(Person { id, time_ms, name, email, city, state }) => {
            [0, id, time_ms, pack(name, email), pack(city, state), 0, 0]
        }
        Event::Auction(Auction {
            id,
            seller,
            time_ms,
            expires_ms,
            category,
            item,
            initial_bid,
            reserve,
        }) => {
            [1, id, seller, time_ms, expires_ms, pack(category, item), pack(initial_bid, reserve)]
        }
        Event::Bid(Bid { auction, bidder, price, time_ms, channel, url }) => {
            [2, auction, bidder, price, time_ms, pack(channel, url), 0]
        }
    }
}

fn from_words([kind, a, b, c, d, e, f]: Words) -> Event {
    match kind {
        0 => {
            let ((name, email), (city, state)) = (unpack(c), unpack(d));
            Event::Person(Person { id: a, time_ms: b, name, email, city, state })
        }
        1 => {
            let ((category, item), (initial_bid, reserve)) = (unpack(e), unpack(f));
            Event::Auction(Auction {
                id: a,
                seller: b,
                time_ms: c,
                expires_ms: d,
                category,
                item,
                initial_bid,
                reserve,
            })
        }
        _ => {
            let (channel, url) = unpack(e);
            Event::Bid(Bid { auction: a, bidder: b, price: c, time_ms: d, channel, url })
        }
    }
}

fn keep(path: &Path, events: &[Event]) -> io::Result<()> {
    // Written elsewhere first: a file of the right name is whole.
    let unfinished = path.with_extension(process::id().to_string());
    let mut file = BufWriter::with_capacity(1 << 20, fs::File::create(&unfinished)?);
    for event in events {
        for word in to_words(event) {
            file.write_all(&word.to_le_bytes())?;
        }
    }
    file.into_inner().map_err(|error| error.into_error())?;
    fs::rename(unfinished, path)
}

fn read(file: fs::File, count: u64) -> io::Result<Vec<Event>> {
    let mut file = BufReader::with_capacity(1 << 20, file);
    let mut events = Vec::with_capacity(count as usize);
    let mut bytes = [0; size_of::<Words>()];
    for _ in 0..count {
        file.read_exact(&mut bytes)?;
        let mut words = Words::default();
        for (word, bytes) in words.iter_mut().zip(bytes.chunks_exact(8)) {
            *word = u64::from_le_bytes(bytes.try_into().expect("eight of them"));
        }
        events.push(from_words(words));
    }
    Ok(events)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_what_was_made() {
        let events = make(1000);
        assert_eq!(size_of::<Event>(), 56);
        assert!(events.iter().any(|event| matches!(event, Event::Auction(_))));
        assert!(events.iter().all(|event| from_words(to_words(event)) == *event));
    }

    #[test]
    fn known_texts_have_their_numbers() {
        let mut texts = Texts::new();
        assert_eq!(texts.number("or".into()), OREGON);
        assert_eq!(texts.number("id".into()), IDAHO);
        assert_eq!(texts.number("ca".into()), CALIFORNIA);
    }
}
