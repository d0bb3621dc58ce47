//! Folders and their entries, apart from the files that these name: a file outlives its name, and a name may be lost though the file
//! was synced.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use super::content::Content;
use super::luck::Luck;
use crate::io::Random;

/// The number of a file or folder.
pub(super) type Id = usize;

type Entries = BTreeMap<OsString, Id>;

const ROOT: Id = 0;

/// A file system. A clone copies little.
#[derive(Clone)]
pub(super) struct Tree {
    nodes: Vec<Option<Node>>,
    /// Changes of entries that are not durable, in their order.
    pending: Vec<Arc<[Change]>>,
}

#[derive(Clone)]
enum Node {
    File(Content),
    Folder(Folder),
}

#[derive(Clone, Default)]
struct Folder {
    live: Arc<Entries>,
    durable: Arc<Entries>,
}

/// What becomes of an entry. What belongs together, as the two of a renaming do, is durable together.
struct Change {
    folder: Id,
    name: OsString,
    becomes: Option<Id>,
}

fn not_found() -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, "No such file or directory (os error 2)")
}

impl Default for Tree {
    fn default() -> Tree {
        Tree { nodes: vec![Some(Node::Folder(Folder::default()))], pending: Vec::new() }
    }
}

impl Tree {
    fn folder(&self, id: Id) -> io::Result<&Folder> {
        match self.nodes.get(id) {
            Some(Some(Node::Folder(folder))) => Ok(folder),
            Some(Some(Node::File(_))) => Err(io::ErrorKind::NotADirectory.into()),
            _ => Err(not_found()),
        }
    }

    /// What a file holds.
    pub(super) fn content(&self, id: Id) -> io::Result<&Content> {
        match self.nodes.get(id) {
            Some(Some(Node::File(content))) => Ok(content),
            Some(Some(Node::Folder(_))) => Err(io::ErrorKind::IsADirectory.into()),
            _ => Err(not_found()),
        }
    }

    pub(super) fn content_mut(&mut self, id: Id) -> io::Result<&mut Content> {
        match self.nodes.get_mut(id) {
            Some(Some(Node::File(content))) => Ok(content),
            Some(Some(Node::Folder(_))) => Err(io::ErrorKind::IsADirectory.into()),
            _ => Err(not_found()),
        }
    }

    pub(super) fn is_folder(&self, id: Id) -> bool {
        self.folder(id).is_ok()
    }

    /// What lies at a path.
    pub(super) fn resolve(&self, path: &Path) -> io::Result<Id> {
        let mut above = Vec::new();
        let mut at = ROOT;
        for part in path.components() {
            match part {
                Component::Normal(name) => {
                    above.push(at);
                    at = *self.folder(at)?.live.get(name).ok_or_else(not_found)?;
                }
                Component::ParentDir => at = above.pop().unwrap_or(ROOT),
                Component::CurDir | Component::RootDir | Component::Prefix(_) => {}
            }
        }
        Ok(at)
    }

    /// The folder that a path lies in, and its name there.
    pub(super) fn place<'a>(&self, path: &'a Path) -> io::Result<(Id, &'a OsStr)> {
        let name = path.file_name().ok_or(io::ErrorKind::IsADirectory)?;
        let folder = self.resolve(path.parent().unwrap_or(Path::new("")))?;
        self.folder(folder)?;
        Ok((folder, name))
    }

    pub(super) fn entry(&self, folder: Id, name: &OsStr) -> Option<Id> {
        self.folder(folder).ok()?.live.get(name).copied()
    }

    /// The names in a folder, sorted.
    pub(super) fn names(&self, folder: Id) -> io::Result<impl Iterator<Item = &OsStr>> {
        Ok(self.folder(folder)?.live.keys().map(OsString::as_os_str))
    }

    fn add(&mut self, node: Node) -> Id {
        self.nodes.push(Some(node));
        self.nodes.len() - 1
    }

    fn change(&mut self, changes: Vec<Change>) {
        for Change { folder, name, becomes } in &changes {
            if let Some(Some(Node::Folder(folder))) = self.nodes.get_mut(*folder) {
                set(&mut folder.live, name, *becomes);
            }
        }
        self.pending.push(changes.into());
    }

    pub(super) fn make_file(&mut self, folder: Id, name: &OsStr) -> Id {
        let id = self.add(Node::File(Content::default()));
        self.change(vec![Change { folder, name: name.to_owned(), becomes: Some(id) }]);
        id
    }

    pub(super) fn make_folder(&mut self, folder: Id, name: &OsStr) -> Id {
        let id = self.add(Node::Folder(Folder::default()));
        self.change(vec![Change { folder, name: name.to_owned(), becomes: Some(id) }]);
        id
    }

    /// Removes a name. The file stays for those that have it open.
    pub(super) fn unlink(&mut self, folder: Id, name: &OsStr) {
        self.change(vec![Change { folder, name: name.to_owned(), becomes: None }]);
    }

    pub(super) fn rename(&mut self, from: (Id, &OsStr), to: (Id, &OsStr)) -> io::Result<()> {
        let moved = self.entry(from.0, from.1).ok_or_else(not_found)?;
        match self.entry(to.0, to.1) {
            Some(same) if same == moved => return Ok(()),
            Some(other) if self.is_folder(other) => return Err(io::ErrorKind::IsADirectory.into()),
            _ => {}
        }
        self.change(vec![
            Change { folder: from.0, name: from.1.to_owned(), becomes: None },
            Change { folder: to.0, name: to.1.to_owned(), becomes: Some(moved) },
        ]);
        Ok(())
    }

    /// Makes the entries of a folder durable.
    pub(super) fn sync_folder(&mut self, folder: Id) -> io::Result<()> {
        self.folder(folder)?;
        // Of two folders that a renaming has to do with the other must not fall behind it.
        let mut folders = vec![folder];
        for changes in self.pending.iter().rev() {
            if changes.iter().any(|change| folders.contains(&change.folder)) {
                folders.extend(changes.iter().map(|change| change.folder));
            }
        }
        for changes in std::mem::take(&mut self.pending) {
            if changes.iter().any(|change| folders.contains(&change.folder)) {
                self.make_durable(&changes);
            } else {
                self.pending.push(changes);
            }
        }
        Ok(())
    }

    fn make_durable(&mut self, changes: &[Change]) {
        for Change { folder, name, becomes } in changes {
            if let Some(Some(Node::Folder(folder))) = self.nodes.get_mut(*folder) {
                set(&mut folder.durable, name, *becomes);
            }
        }
    }

    /// As the next process finds it.
    pub(super) fn after_kill(&self) -> Tree {
        let mut tree = self.clone();
        let mut roots = vec![ROOT];
        roots.extend(tree.pending.iter().flat_map(|all| all.iter()).filter_map(|one| one.becomes));
        tree.drop_unnamed(roots);
        tree
    }

    /// As it is found when the power comes back.
    pub(super) fn after_power_cut(&self, random: &mut Random) -> Tree {
        let mut tree = self.clone();
        let mut luck = Luck::draw(random);
        for changes in std::mem::take(&mut tree.pending) {
            if luck.survives() {
                tree.make_durable(&changes);
            }
        }
        for node in tree.nodes.iter_mut().flatten() {
            match node {
                Node::File(content) => {
                    content.lose_some(&mut luck);
                    content.forget_cache();
                }
                Node::Folder(folder) => folder.live = Arc::clone(&folder.durable),
            }
        }
        tree.drop_unnamed(vec![ROOT]);
        tree
    }

    /// Drops what no name leads to, from these on.
    fn drop_unnamed(&mut self, mut look: Vec<Id>) {
        let mut named = vec![false; self.nodes.len()];
        while let Some(id) = look.pop() {
            if std::mem::replace(&mut named[id], true) {
                continue;
            }
            if let Some(Node::Folder(folder)) = &self.nodes[id] {
                look.extend(folder.live.values().chain(folder.durable.values()));
            }
        }
        for (node, named) in self.nodes.iter_mut().zip(named) {
            if !named {
                *node = None;
            }
        }
    }

    /// Writes a file and makes the folders above it, all of it durable.
    pub(super) fn put(&mut self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let mut folder = ROOT;
        let mut made = Vec::new();
        let above = path.parent().unwrap_or(Path::new(""));
        for name in above.components().filter_map(normal) {
            let next = match self.entry(folder, name) {
                Some(there) => there,
                None => self.add(Node::Folder(Folder::default())),
            };
            made.push(Change { folder, name: name.to_owned(), becomes: Some(next) });
            folder = next;
        }
        self.folder(folder)?;
        let name = path.file_name().ok_or(io::ErrorKind::IsADirectory)?;
        let id = match self.entry(folder, name) {
            Some(there) => there,
            None => self.add(Node::File(Content::default())),
        };
        *self.content_mut(id)? = Content::durable(bytes);
        made.push(Change { folder, name: name.to_owned(), becomes: Some(id) });
        for Change { folder, name, becomes } in made {
            if let Some(Some(Node::Folder(folder))) = self.nodes.get_mut(folder) {
                set(&mut folder.live, &name, becomes);
                set(&mut folder.durable, &name, becomes);
            }
        }
        Ok(())
    }

    /// A path of a file or folder; `None` of one that has no name any more.
    pub(super) fn path_of(&self, id: Id) -> Option<PathBuf> {
        let mut folders = vec![(PathBuf::new(), ROOT)];
        while let Some((path, at)) = folders.pop() {
            if at == id {
                return Some(path);
            }
            if let Ok(folder) = self.folder(at) {
                folders.extend(folder.live.iter().map(|(name, id)| (path.join(name), *id)));
            }
        }
        None
    }

    /// All files, by their paths, sorted.
    pub(super) fn files(&self) -> Vec<(PathBuf, &Content)> {
        let mut found = Vec::new();
        let mut folders = vec![(PathBuf::new(), ROOT)];
        while let Some((path, id)) = folders.pop() {
            let Ok(folder) = self.folder(id) else { continue };
            for (name, id) in &*folder.live {
                match self.nodes.get(*id) {
                    Some(Some(Node::File(content))) => found.push((path.join(name), content)),
                    Some(Some(Node::Folder(_))) => folders.push((path.join(name), *id)),
                    _ => {}
                }
            }
        }
        found.sort_by(|(one, _), (other, _)| one.cmp(other));
        found
    }
}

pub(super) fn normal(part: Component<'_>) -> Option<&OsStr> {
    match part {
        Component::Normal(name) => Some(name),
        _ => None,
    }
}

fn set(entries: &mut Arc<Entries>, name: &OsStr, becomes: Option<Id>) {
    if entries.get(name).copied() == becomes {
        return;
    }
    let entries = Arc::make_mut(entries);
    match becomes {
        Some(id) => drop(entries.insert(name.to_owned(), id)),
        None => drop(entries.remove(name)),
    }
}
