//! Reading a lock. The grammar stands in `write`.

use super::Lock;
use super::write::is_of_word;
use crate::describe::StepId;
use crate::recovery::manifest::{Reads, Slot, StepSpec};
use crate::state::Shape;

/// How deep shapes may nest: as deep as in a log.
const DEPTH: usize = 128;

/// A line, and what is wrong with it.
pub(super) type Wrong = (usize, String);

/// The lock that this text is.
pub(super) fn lock(text: &str) -> Result<Lock, Wrong> {
    let mut parser = Parser { text, rest: text };
    parser.expect_word("dataflow")?;
    let dataflow = parser.rest_of_line();
    let mut steps: Vec<(StepId, StepSpec)> = Vec::new();
    while !parser.at_end() {
        parser.expect_word("step")?;
        let id = parser.rest_of_line();
        if let Some((last, _)) = steps.last()
            && last.as_str() >= &*id
        {
            return Err(parser
                .wrong(format!("step `{id}` stands behind `{last}`: they are sorted, each once")));
        }
        steps.push((StepId::of(&id), parser.step()?));
    }
    Ok(Lock { dataflow, steps })
}

struct Parser<'a> {
    text: &'a str,
    rest: &'a str,
}

impl<'a> Parser<'a> {
    /// Here something is wrong.
    fn wrong(&self, what: impl Into<String>) -> Wrong {
        let read = &self.text[..self.text.len() - self.rest.len()];
        (1 + read.matches('\n').count(), what.into())
    }

    /// Skips spaces, lines and comments.
    fn skip(&mut self) {
        self.rest = self.rest.trim_start();
        while self.rest.starts_with('#') {
            self.rest = self.rest.split_once('\n').map_or("", |(_, rest)| rest).trim_start();
        }
    }

    fn at_end(&mut self) -> bool {
        self.skip();
        self.rest.is_empty()
    }

    /// Takes this character, if it is the next one.
    fn takes(&mut self, c: char) -> bool {
        self.skip();
        let rest = self.rest.strip_prefix(c);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    fn expect(&mut self, c: char) -> Result<(), Wrong> {
        if self.takes(c) { Ok(()) } else { Err(self.expected(&format!("`{c}`"))) }
    }

    fn expected(&self, what: &str) -> Wrong {
        let found = self.rest.lines().next().unwrap_or_default().trim_end();
        match found {
            "" => self.wrong(format!("expected {what}, and here it ends")),
            found => self.wrong(format!("expected {what}, found `{found}`")),
        }
    }

    /// The next word, which is left there.
    fn peek_word(&mut self) -> Option<&'a str> {
        self.skip();
        let end = self.rest.find(|c| !is_of_word(c)).unwrap_or(self.rest.len());
        Some(&self.rest[..end]).filter(|word| !word.is_empty())
    }

    fn expect_word(&mut self, word: &str) -> Result<(), Wrong> {
        if self.peek_word() != Some(word) {
            return Err(self.expected(&format!("`{word}`")));
        }
        self.rest = &self.rest[word.len()..];
        Ok(())
    }

    fn rest_of_line(&mut self) -> String {
        let (line, rest) = self.rest.split_once('\n').unwrap_or((self.rest, ""));
        self.rest = rest;
        line.trim().to_owned()
    }

    /// A word, or a string.
    fn name(&mut self) -> Result<String, Wrong> {
        if let Some(word) = self.peek_word() {
            self.rest = &self.rest[word.len()..];
            return Ok(word.to_owned());
        }
        self.string()
    }

    fn string(&mut self) -> Result<String, Wrong> {
        self.skip();
        let mut strings = serde_json::Deserializer::from_str(self.rest).into_iter::<String>();
        match strings.next() {
            Some(Ok(string)) => {
                self.rest = &self.rest[strings.byte_offset()..];
                Ok(string)
            }
            _ => Err(self.expected("a name")),
        }
    }

    fn number<N: std::str::FromStr>(&mut self, what: &str) -> Result<N, Wrong> {
        let number = self.peek_word().and_then(|word| Some((word.len(), word.parse().ok()?)));
        let (length, number) = number.ok_or_else(|| self.expected(what))?;
        self.rest = &self.rest[length..];
        Ok(number)
    }

    /// What stands of a step behind its id.
    fn step(&mut self) -> Result<StepSpec, Wrong> {
        self.expect_word("kind")?;
        self.expect(':')?;
        let kind = self.rest_of_line();
        let mut spec = StepSpec { kind, key: None, slots: Vec::new(), meaning: String::new() };
        while self.peek_word().is_some_and(|word| word != "step") {
            let name = self.name()?;
            self.expect(':')?;
            match &*name {
                "meaning" => spec.meaning = self.string()?,
                "key" => spec.key = Some(self.shape(DEPTH)?),
                _ => {
                    let shape = self.shape(DEPTH)?;
                    spec.slots.push(Slot { name, shape, reads: Reads::default() });
                }
            }
        }
        Ok(spec)
    }

    fn shape(&mut self, room: usize) -> Result<Shape, Wrong> {
        let Some(room) = room.checked_sub(1) else {
            return Err(self.wrong("it nests too deep"));
        };
        let boxed = |parser: &mut Self| parser.shape(room).map(Box::new);
        if self.takes('(') {
            return self.tuple(room);
        }
        if self.takes('[') {
            let element = boxed(self)?;
            let length = if self.takes(';') { Some(self.number("a length")?) } else { None };
            self.expect(']')?;
            return Ok(match length {
                Some(length) => Shape::Array(element, length),
                None => Shape::List(element),
            });
        }
        if self.takes('{') {
            let key = boxed(self)?;
            self.expect(':')?;
            let value = boxed(self)?;
            self.expect('}')?;
            return Ok(Shape::Map(key, value));
        }
        let is_word = self.peek_word();
        let start = self.rest;
        let name = self.name().map_err(|_| self.expected("a shape"))?;
        match is_word {
            Some("plain") => return Ok(Shape::Plain(self.string()?)),
            Some("foreign") => return Ok(Shape::Foreign(self.string()?)),
            Some("serde") if self.takes('(') => {
                let inner = boxed(self)?;
                self.expect(')')?;
                return Ok(Shape::Serde(inner));
            }
            Some("Option") if self.takes('<') => {
                let some = boxed(self)?;
                self.expect('>')?;
                return Ok(Shape::Option(some));
            }
            Some("ListState") if self.takes('<') => {
                let element = boxed(self)?;
                self.expect('>')?;
                return Ok(Shape::ListState(element));
            }
            Some("MapState") if self.takes('<') => {
                let key = boxed(self)?;
                self.expect(',')?;
                let value = boxed(self)?;
                self.expect('>')?;
                return Ok(Shape::MapState(key, value));
            }
            _ => {}
        }
        match (self.version(), is_word) {
            (Some((version, '{')), _) => {
                Ok(Shape::Struct { name, version, fields: self.fields(room)? })
            }
            (Some((version, _)), _) => {
                Ok(Shape::Enum { name, version, variants: self.variants(room)? })
            }
            (None, Some(_)) => Ok(Shape::Plain(name)),
            (None, None) => {
                self.rest = start;
                Err(self.expected("a shape"))
            }
        }
    }

    /// The version behind a name, and the bracket that it opens; both are taken. A field `v1: ..` of whatever this is inside of
    /// is none.
    fn version(&mut self) -> Option<(u32, char)> {
        let start = self.rest;
        let word = self.peek_word();
        let version = word.and_then(|word| word.strip_prefix('v')?.parse().ok());
        self.rest = &self.rest[word.map_or(0, str::len)..];
        for open in ['{', '<'] {
            if let Some(version) = version
                && self.takes(open)
            {
                return Some((version, open));
            }
        }
        self.rest = start;
        None
    }

    fn tuple(&mut self, room: usize) -> Result<Shape, Wrong> {
        if self.takes(')') {
            return Ok(Shape::Plain("()".to_owned()));
        }
        let mut parts = Vec::new();
        if self.takes(',') {
            self.expect(')')?;
            return Ok(Shape::Tuple(parts));
        }
        while !self.takes(')') {
            parts.push(self.shape(room)?);
            if !self.takes(',') {
                self.expect(')')?;
                break;
            }
        }
        Ok(Shape::Tuple(parts))
    }

    /// Fields, up to the bracket that closes them.
    fn fields(&mut self, room: usize) -> Result<Vec<(String, Shape)>, Wrong> {
        let mut fields = Vec::new();
        while !self.takes('}') {
            let name = self.name()?;
            self.expect(':')?;
            fields.push((name, self.shape(room)?));
        }
        Ok(fields)
    }

    /// Variants, up to the bracket that closes them.
    #[allow(clippy::type_complexity)]
    fn variants(&mut self, room: usize) -> Result<Vec<(String, Vec<(String, Shape)>)>, Wrong> {
        let mut variants = Vec::new();
        while !self.takes('>') {
            let name = self.name()?;
            let fields = if self.takes('{') { self.fields(room)? } else { Vec::new() };
            variants.push((name, fields));
        }
        Ok(variants)
    }
}
