//! How the file sinks and standard output turn items into bytes: one row for each item, in CSV, JSON or plain text.

use serde::{Deserialize, Serialize};
use std::cell::RefCell;
use std::fmt::{self, Display};
use std::io::{self, Write};
use std::mem;
use std::rc::Rc;

use crate::error::{Error, ErrorKind};
use crate::io::Encoder;
use crate::stream::{Keyed, NoKey, Stream};

/// A batch of encoded items.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rows {
    bytes: Vec<u8>,
    /// The length of the header that the bytes begin with. Every block has it, since the encoder cannot know which one comes
    /// first in the file.
    header: usize,
}

impl Rows {
    /// What is to be written behind `length` bytes.
    pub(crate) fn behind(&self, length: u64) -> &[u8] {
        if length == 0 { &self.bytes } else { &self.bytes[self.header.min(self.bytes.len())..] }
    }

    #[cfg(test)]
    pub(crate) fn of(bytes: &[u8]) -> Self {
        Rows { bytes: bytes.to_vec(), header: 0 }
    }
}

/// A row is an item's fields in CSV; before them those of the key.
pub struct CsvRows {
    delimiter: u8,
    /// Whether there is one, and when the first item has come, the line.
    header: Option<Option<Vec<u8>>>,
    writer: csv::Writer<Shared>,
    /// Where the writer writes to: the block that is being filled, for the time of one call.
    block: Shared,
}

/// A buffer that a `csv::Writer` writes to and that can be taken out again.
#[derive(Clone, Default)]
struct Shared(Rc<RefCell<Vec<u8>>>);

impl Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.borrow_mut().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl fmt::Debug for CsvRows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CsvRows")
    }
}

impl CsvRows {
    pub(crate) fn new(delimiter: u8, header: bool) -> Self {
        let block = Shared::default();
        let writer = csv::WriterBuilder::new()
            .has_headers(false)
            .delimiter(delimiter)
            .from_writer(block.clone());
        CsvRows { delimiter, header: header.then_some(None), writer, block }
    }

    #[inline]
    fn row(&mut self, row: &impl Serialize, block: &mut Rows) -> Result<usize, Error> {
        if block.bytes.is_empty()
            && let Some(Some(header)) = &self.header
        {
            block.bytes.extend_from_slice(header);
            block.header = header.len();
        }
        mem::swap(&mut block.bytes, &mut self.block.0.borrow_mut());
        let written = self.writer.serialize(row).and_then(|()| Ok(self.writer.flush()?));
        mem::swap(&mut block.bytes, &mut self.block.0.borrow_mut());
        written.map_err(|error| unencodable("CSV", error))?;
        Ok(block.bytes.len())
    }

    /// The columns of a key or an item: the names of its fields, or `name` where they have none.
    fn columns(&self, name: &str, row: &impl Serialize) -> Result<Vec<String>, Error> {
        let mut writer =
            csv::WriterBuilder::new().flexible(true).delimiter(self.delimiter).from_writer(vec![]);
        writer.serialize(row).map_err(|error| unencodable("CSV with a header", error))?;
        let bytes = writer.into_inner().map_err(|error| unencodable("CSV", error.into_error()))?;
        let mut reader = csv::ReaderBuilder::new()
            .has_headers(false)
            .flexible(true)
            .delimiter(self.delimiter)
            .from_reader(&bytes[..]);
        let rows = reader.records().collect::<Result<Vec<_>, _>>();
        let rows = rows.map_err(|error| unencodable("CSV", error))?;
        Ok(match &rows[..] {
            [header, _] => header.iter().map(str::to_owned).collect(),
            [row] if row.len() > 1 => (1..=row.len()).map(|n| format!("{name}_{n}")).collect(),
            _ => vec![name.to_owned()],
        })
    }

    fn set_header(&mut self, columns: Vec<String>) -> Result<(), Error> {
        let mut writer =
            csv::WriterBuilder::new().delimiter(self.delimiter).from_writer(Vec::new());
        writer.write_record(columns).map_err(|error| unencodable("CSV", error))?;
        let line = writer.into_inner().map_err(|error| unencodable("CSV", error.into_error()))?;
        self.header = Some(Some(line));
        Ok(())
    }
}

impl<T: Serialize + 'static> Encoder<Stream<T>> for CsvRows {
    type Block = Rows;
    #[inline]
    fn encode(&mut self, _: &NoKey, item: T, block: &mut Rows) -> Result<usize, Error> {
        if let Some(None) = self.header {
            let columns = self.columns("value", &item)?;
            self.set_header(columns)?;
        }
        self.row(&item, block)
    }
}

impl<K: Serialize + 'static, T: Serialize + 'static> Encoder<Keyed<K, T>> for CsvRows {
    type Block = Rows;
    #[inline]
    fn encode(&mut self, key: &K, item: T, block: &mut Rows) -> Result<usize, Error> {
        if let Some(None) = self.header {
            let mut columns = self.columns("key", key)?;
            columns.extend(self.columns("value", &item)?);
            self.set_header(columns)?;
        }
        self.row(&(key, &item), block)
    }
}

/// A row is an item in JSON, or `[key,item]`.
#[derive(Debug)]
pub struct JsonRows;

impl JsonRows {
    #[inline]
    fn row(row: &impl Serialize, block: &mut Rows) -> Result<usize, Error> {
        serde_json::to_writer(&mut block.bytes, row).map_err(|error| unencodable("JSON", error))?;
        block.bytes.push(b'\n');
        Ok(block.bytes.len())
    }
}

impl<T: Serialize + 'static> Encoder<Stream<T>> for JsonRows {
    type Block = Rows;
    #[inline]
    fn encode(&mut self, _: &NoKey, item: T, block: &mut Rows) -> Result<usize, Error> {
        JsonRows::row(&item, block)
    }
}

impl<K: Serialize + 'static, T: Serialize + 'static> Encoder<Keyed<K, T>> for JsonRows {
    type Block = Rows;
    #[inline]
    fn encode(&mut self, key: &K, item: T, block: &mut Rows) -> Result<usize, Error> {
        JsonRows::row(&(key, &item), block)
    }
}

/// A row is an item as it displays itself, or the key, a tabulator and the item.
#[derive(Debug)]
pub struct TextRows;

impl TextRows {
    #[inline]
    fn row(row: fmt::Arguments<'_>, block: &mut Rows) -> Result<usize, Error> {
        block.bytes.write_fmt(row).map_err(|error| unencodable("text", error))?;
        Ok(block.bytes.len())
    }
}

impl<T: Display + 'static> Encoder<Stream<T>> for TextRows {
    type Block = Rows;
    #[inline]
    fn encode(&mut self, _: &NoKey, item: T, block: &mut Rows) -> Result<usize, Error> {
        TextRows::row(format_args!("{item}\n"), block)
    }
}

impl<K: Display + 'static, T: Display + 'static> Encoder<Keyed<K, T>> for TextRows {
    type Block = Rows;
    #[inline]
    fn encode(&mut self, key: &K, item: T, block: &mut Rows) -> Result<usize, Error> {
        TextRows::row(format_args!("{key}\t{item}\n"), block)
    }
}

#[cold]
fn unencodable(what: &str, error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::new(ErrorKind::Encoding, format!("an item cannot be written as {what}: {error}"))
        .caused_by(error)
}

/// Implements [`Sink`](crate::io::Sink) for a sink of rows, for plain and keyed streams.
///
/// `$sink` has the functions `list`, `rows` and `open_partition`.
macro_rules! row_sink {
    ($sink:ty, $rows:ty, $bound:path, $writer:ty, $delivery:ty) => {
        impl<T: $bound + 'static> crate::io::Sink<crate::stream::Stream<T>> for $sink {
            crate::io::rows::row_sink!(@body $rows, $writer, $delivery);
        }
        impl<K: $bound + 'static, T: $bound + 'static>
            crate::io::Sink<crate::stream::Keyed<K, T>> for $sink
        {
            crate::io::rows::row_sink!(@body $rows, $writer, $delivery);
        }
    };
    (@body $rows:ty, $writer:ty, $delivery:ty) => {
        type Block = crate::io::Rows;
        type Position = <$writer as crate::io::SinkWriter>::Position;
        type Encoder = $rows;
        type Writer = $writer;
        type Delivery = $delivery;

        fn partitions(
            &self,
            io: &crate::io::Io,
        ) -> Result<Vec<crate::io::PartitionId>, crate::error::Error> {
            self.list(io)
        }
        fn encoder(&self) -> $rows {
            self.rows()
        }
        fn open(
            &self,
            io: &crate::io::Io,
            partition: &crate::io::PartitionId,
            resume: crate::io::Resume<Self::Position>,
        ) -> Result<$writer, crate::error::Error> {
            self.open_partition(io, partition, resume)
        }
    };
}
pub(crate) use row_sink;
