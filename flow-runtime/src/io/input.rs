//! Which files a source reads: one, several, a folder, a pattern. A partition is a file; its name is its path below what
//! was given, so that a whole folder can be moved.

use glob::{MatchOptions, Pattern};
use std::collections::BTreeMap;
use std::io;
use std::path::{Component, Path, PathBuf};

use crate::error::{Error, ErrorKind};
use crate::io::file::PathKind;
use crate::io::text::{FilePosition, Text, cannot_read};
use crate::io::{Io, PartitionId, Resume};

/// The largest line or row unless it is set: 64 MiB.
const RECORD_MAX: usize = 64 * 1024 * 1024;
/// Folders below one another; more are taken for a circle of links.
const DEPTH_MAX: usize = 64;

/// The files of a source.
#[derive(Clone, Debug)]
pub(crate) struct Input {
    what: What,
    pub(crate) record_max: usize,
    /// A carriage return alone ends a record, too.
    pub(crate) ends_at_return: bool,
}

#[derive(Clone, Debug)]
enum What {
    /// A file, named by its file name, or a folder, whose files are named by their paths below it.
    Path(PathBuf),
    /// Files and folders, named as they are given.
    Paths(Vec<PathBuf>),
    /// Files named by their paths below the part of the pattern that has no wildcards.
    Glob(String),
}

/// A partition's name and the file's path.
type Found = BTreeMap<String, PathBuf>;

impl Input {
    pub(crate) fn path(path: PathBuf) -> Self {
        Input { what: What::Path(path), record_max: RECORD_MAX, ends_at_return: false }
    }

    pub(crate) fn paths(paths: Vec<PathBuf>) -> Self {
        Input { what: What::Paths(paths), record_max: RECORD_MAX, ends_at_return: false }
    }

    pub(crate) fn glob(pattern: String) -> Self {
        Input { what: What::Glob(pattern), record_max: RECORD_MAX, ends_at_return: false }
    }

    pub(crate) fn partitions(&self, io: &Io) -> Result<Vec<PartitionId>, Error> {
        let partitions: Vec<_> = self.find(io)?.into_keys().map(PartitionId::new).collect();
        partitions.iter().for_each(|partition| io.will_read(&self.path_of(io, partition)));
        Ok(partitions)
    }

    /// The file of a partition, where it is to be read.
    pub(crate) fn open(
        &self,
        io: &Io,
        partition: &PartitionId,
        resume: Resume<FilePosition>,
    ) -> Result<Text, Error> {
        let Resume::At { position, .. } = resume else { return self.fresh(io, partition) };
        let path = self.path_of(io, partition);
        if let Err(error) = io.files().kind(&path)
            && error.kind() == io::ErrorKind::NotFound
        {
            return match position.ended() {
                true => Ok(Text::done(io, &path, position)),
                false => Err(self.gone(io, &path, &position)),
            };
        }
        let mut text = Text::open(io, &path, self.record_max)?;
        text.go_to(&position, self.ends_at_return)?;
        Ok(text)
    }

    /// The file of a partition from its beginning.
    pub(crate) fn fresh(&self, io: &Io, partition: &PartitionId) -> Result<Text, Error> {
        Text::open(io, &self.path_of(io, partition), self.record_max)
    }

    fn path_of(&self, io: &Io, partition: &PartitionId) -> PathBuf {
        match &self.what {
            What::Path(path) => match io.files().kind(path) {
                Ok(PathKind::Folder) => path.join(partition.as_str()),
                _ => path.clone(),
            },
            What::Paths(_) => PathBuf::from(partition.as_str()),
            What::Glob(pattern) => split(pattern).0.join(partition.as_str()),
        }
    }

    fn find(&self, io: &Io) -> Result<Found, Error> {
        let mut found = Found::new();
        match &self.what {
            What::Path(path) => match io.files().kind(path) {
                Ok(PathKind::Folder) => below(io, path, Path::new(""), 0, &mut found)?,
                // One that is not there is reported where it is opened: it may have been read to its end before.
                _ => {
                    let name = Path::new(path.file_name().unwrap_or(path.as_os_str()));
                    found.insert(name_of(name)?, path.clone());
                }
            },
            What::Paths(paths) => {
                for path in paths {
                    self.find_given(io, path, &mut found)?;
                }
            }
            What::Glob(pattern) => find_glob(io, pattern, &mut found)?,
        }
        Ok(found)
    }

    fn find_given(&self, io: &Io, path: &Path, found: &mut Found) -> Result<(), Error> {
        let path: PathBuf = path.components().filter(|part| *part != Component::CurDir).collect();
        let mut new = Found::new();
        match io.files().kind(&path) {
            Ok(PathKind::Folder) => below(io, &path, &path, 0, &mut new)?,
            _ => drop(new.insert(name_of(&path)?, path)),
        }
        for (name, path) in new {
            if found.insert(name, path.clone()).is_some() {
                return Err(Error::new(
                    ErrorKind::Configuration,
                    format!("the file `{}` is given twice", path.display()),
                )
                .help("a file is read once: take it out of the list, or read it by a source of its own"));
            }
        }
        Ok(())
    }

    /// The error for a file that was being read and is not there. It may have got another name.
    fn gone(&self, io: &Io, path: &Path, position: &FilePosition) -> Error {
        let error = Error::new(
            ErrorKind::Source,
            format!(
                "`{}` is gone; {} lines of it had been read, but not all",
                path.display(),
                position.line()
            ),
        );
        let is_it = |candidate: &&PathBuf| {
            position.offset() > 0
                && Text::open(io, candidate, self.record_max)
                    .and_then(|mut text| text.go_to(position, self.ends_at_return))
                    .is_ok()
        };
        match self.find(io).ok().and_then(|found| found.into_values().find(|path| is_it(&path))) {
            Some(renamed) => error.help(format!(
                "was it renamed to `{}`? a file must keep its name until it has been read",
                renamed.display()
            )),
            None => error.help("put the file back: reading goes on in it"),
        }
    }
}

/// The files below `folder`, which is itself named `name`. Hidden ones are left out.
fn below(
    io: &Io,
    folder: &Path,
    name: &Path,
    depth: usize,
    found: &mut Found,
) -> Result<(), Error> {
    too_deep(folder, depth)?;
    for path in io.files().list(folder).map_err(|error| cannot_read(folder, error))? {
        let Some(last) = path.file_name() else { continue };
        if last.to_string_lossy().starts_with('.') {
            continue;
        }
        let name = name.join(last);
        match io.files().kind(&path).map_err(|error| cannot_read(&path, error))? {
            PathKind::File => drop(found.insert(name_of(&name)?, path)),
            PathKind::Folder => below(io, &path, &name, depth + 1, found)?,
            PathKind::Other => {}
        }
    }
    Ok(())
}

/// The folder that a pattern begins with, and its other parts.
fn split(pattern: &str) -> (PathBuf, PathBuf) {
    let wild = |part: &Component<'_>| part.as_os_str().to_string_lossy().contains(['*', '?', '[']);
    let parts: Vec<_> = Path::new(pattern).components().collect();
    let fixed = parts.iter().position(wild).unwrap_or(parts.len().saturating_sub(1));
    (parts[..fixed].iter().collect(), parts[fixed..].iter().collect())
}

fn find_glob(io: &Io, pattern: &str, found: &mut Found) -> Result<(), Error> {
    let (folder, rest) = split(pattern);
    let parts = rest.components().map(|part| Pattern::new(&part.as_os_str().to_string_lossy()));
    let mut parts = parts.collect::<Result<Vec<_>, _>>().map_err(|error| {
        Error::new(
            ErrorKind::Configuration,
            format!("the pattern `{pattern}` is wrong: {}", error.msg),
        )
        .help("`*` and `?` stand for characters of a name, `[..]` for one of several, `**` for any folders")
    })?;
    if parts.last().is_some_and(|last| last.as_str() == ANY_FOLDERS) {
        parts.extend(Pattern::new("*"));
    }
    let root = if folder.as_os_str().is_empty() { Path::new(".") } else { &folder };
    matching(io, root, Path::new(""), &parts, 0, found)?;
    if found.is_empty() {
        return Err(Error::new(ErrorKind::Source, format!("no file matches `{pattern}`")).help(
            "check the pattern; unless it begins with `/` it is relative to the folder in which the program was started",
        ));
    }
    Ok(())
}

/// The part of a pattern that stands for any number of folders.
const ANY_FOLDERS: &str = "**";

/// The files below `folder`, which is itself named `name`, that the parts of a pattern match.
fn matching(
    io: &Io,
    folder: &Path,
    name: &Path,
    parts: &[Pattern],
    depth: usize,
    found: &mut Found,
) -> Result<(), Error> {
    let Some((first, others)) = parts.split_first() else { return Ok(()) };
    too_deep(folder, depth)?;
    let any_folders = first.as_str() == ANY_FOLDERS;
    if any_folders {
        matching(io, folder, name, others, depth, found)?;
    }
    let options = MatchOptions { require_literal_leading_dot: true, ..MatchOptions::new() };
    for path in io.files().list(folder).map_err(|error| cannot_read(folder, error))? {
        let Some(last) = path.file_name() else { continue };
        let hidden = last.to_string_lossy().starts_with('.');
        let goes_on = if any_folders { parts } else { others };
        let fits = match any_folders {
            true => !hidden,
            false => first.matches_with(&last.to_string_lossy(), options),
        };
        if !fits {
            continue;
        }
        let name = name.join(last);
        match io.files().kind(&path).map_err(|error| cannot_read(&path, error))? {
            PathKind::Folder => matching(io, &path, &name, goes_on, depth + 1, found)?,
            PathKind::File if goes_on.is_empty() => drop(found.insert(name_of(&name)?, path)),
            _ => {}
        }
    }
    Ok(())
}

fn too_deep(folder: &Path, depth: usize) -> Result<(), Error> {
    if depth <= DEPTH_MAX {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::Source,
        format!("`{}` lies more than {DEPTH_MAX} folders deep", folder.display()),
    )
    .help("is there a link from a folder to one above it?"))
}

/// A path as the name of a partition, the same on every system.
fn name_of(path: &Path) -> Result<String, Error> {
    let parts = path.components().map(|part| match part {
        Component::RootDir => Some(""),
        part => part.as_os_str().to_str(),
    });
    let name = parts.collect::<Option<Vec<_>>>().map(|parts| parts.join("/"));
    name.ok_or_else(|| {
        Error::new(ErrorKind::Source, format!("the name of `{}` is not text", path.display()))
            .help("a file is known again by its name, which must be UTF-8")
    })
}

#[cfg(test)]
mod tests;
