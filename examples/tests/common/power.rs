//! A disk of its own, in a file, whose power can be cut: ext4 on a loop device, and the call that stops it without writing anything more.
//!
//! It is mounted where only the process that holds it sees it, and those that are told the way through that process. So it is gone with
//! that process, whatever becomes of the test.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

const BYTES: u64 = 64 << 20;

/// `EXT4_IOC_SHUTDOWN` with `EXT4_GOING_FLAGS_NOLOGFLUSH`, in languages that are there on most machines: it is no call that Rust can make
/// without `unsafe`.
const STOP: [[&str; 3]; 2] = [
    [
        "perl",
        "-e",
        r#"use Fcntl; sysopen(my $d, $ARGV[0], O_RDONLY) or die "$!\n"; my $f = pack("L", 2); ioctl($d, 0x8004587d, $f) or die "$!\n";"#,
    ],
    [
        "python3",
        "-c",
        "import fcntl,os,struct,sys; fcntl.ioctl(os.open(sys.argv[1], os.O_RDONLY), 0x8004587d, struct.pack('I', 2))",
    ],
];

/// A command whose program may lie where only root looks for it.
fn of_root(program: &str) -> Command {
    let mut command = Command::new(program);
    let path = std::env::var("PATH").unwrap_or_default();
    command.env("PATH", format!("{path}:/usr/local/sbin:/usr/sbin:/sbin")).stdin(Stdio::null());
    command
}

/// Runs it; an error is why it did not succeed.
fn done(command: &mut Command) -> Result<(), String> {
    let program = command.get_program().to_string_lossy().into_owned();
    match command.output() {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => Err(format!("{program}: {}", super::text(&output.stderr).trim())),
        Err(error) => Err(format!("{program}: {error}")),
    }
}

/// The disk.
pub(crate) struct LoopDisk {
    image: PathBuf,
    at: PathBuf,
    holder: Option<Child>,
}

impl LoopDisk {
    /// Makes one whose parts lie in this folder. An error is why there can be none on this machine: it needs root, loop devices, ext4,
    /// and perl or python.
    pub(crate) fn make(folder: &Path) -> Result<LoopDisk, String> {
        let (image, at) = (folder.join("image"), folder.join("disk"));
        fs::create_dir(&at).expect("the folder is writable");
        let file = fs::File::create(&image).expect("the folder is writable");
        file.set_len(BYTES).expect("a file can have holes");
        done(of_root("mkfs.ext4").args(["-q", "-F"]).arg(&image))?;
        let mut disk = LoopDisk { image, at, holder: None };
        disk.mount()?;
        disk.loses_what_is_not_synced()?;
        Ok(disk)
    }

    fn mount(&mut self) -> Result<(), String> {
        // It unmounts when nobody holds the other end of its input any more.
        let script =
            "mount -o loop \"$0\" \"$1\" && echo mounted && cat > /dev/null; umount \"$1\"";
        let mut holder = of_root("unshare")
            .args(["--mount", "sh", "-c", script])
            .args([&self.image, &self.at])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| format!("unshare: {error}"))?;
        let mut said = String::new();
        let stdout = holder.stdout.take().expect("it is piped");
        let read = BufReader::new(stdout).read_line(&mut said);
        if read.is_ok() && said == "mounted\n" {
            self.holder = Some(holder);
            return Ok(());
        }
        let mut why = String::new();
        if let Some(mut stderr) = holder.stderr.take() {
            let _ = stderr.read_to_string(&mut why);
        }
        let _ = holder.wait();
        Err(format!("no disk in a file can be mounted: {}", why.lines().next().unwrap_or("")))
    }

    /// Where it is seen. Another path after each [`restore`](LoopDisk::restore).
    pub(crate) fn path(&self) -> PathBuf {
        let holder = self.holder.as_ref().expect("it is mounted");
        PathBuf::from(format!("/proc/{}/root{}", holder.id(), self.at.display()))
    }

    /// Cuts the power: what is not on the disk is lost, and every call that wants something of it fails.
    pub(crate) fn cut(&self) -> Result<(), String> {
        let path = self.path();
        let mut why = Vec::new();
        for [program, flag, script] in STOP {
            match done(Command::new(program).args([flag, script]).arg(&path)) {
                Ok(()) => return Ok(()),
                Err(error) => why.push(error),
            }
        }
        Err(format!("the file system cannot be stopped: {}", why.join("; ")))
    }

    /// Gives it power again. No process may have files open on it any more.
    pub(crate) fn restore(&mut self) -> Result<(), String> {
        self.unmount();
        self.mount()
    }

    fn unmount(&mut self) {
        if let Some(mut holder) = self.holder.take() {
            drop(holder.stdin.take());
            let _ = holder.wait();
        }
    }

    /// Whether a cut loses anything here: else the tests on it would show nothing.
    fn loses_what_is_not_synced(&mut self) -> Result<(), String> {
        let write = |path: &Path, name: &str, syncs: bool| {
            let file = fs::File::create(path.join(name));
            file.and_then(|mut file| {
                std::io::Write::write_all(&mut file, &[7; 5000])?;
                if syncs { file.sync_all() } else { Ok(()) }
            })
        };
        let path = self.path();
        write(&path, "synced", true).expect("the disk is writable");
        fs::File::open(&path).and_then(|folder| folder.sync_all()).expect("the disk is writable");
        write(&path, "lost", false).expect("the disk is writable");
        self.cut()?;
        self.restore()?;
        let holds =
            |name: &str| fs::read(self.path().join(name)).is_ok_and(|bytes| bytes == [7; 5000]);
        assert!(holds("synced"), "a file system has lost what was synced");
        match holds("lost") {
            false => Ok(()),
            true => Err("a cut loses nothing here".to_owned()),
        }
    }
}

impl Drop for LoopDisk {
    fn drop(&mut self) {
        self.unmount();
    }
}
