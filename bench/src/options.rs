//! The program's arguments.

/// How to call the program.
pub const USAGE: &str = "usage: bench [--quick] [--work NAME,..] [--workers N] [--runs N]";

/// What the program is asked for.
#[derive(Clone, Debug)]
pub enum Command {
    /// To measure works.
    All(Options),
    /// To be one run: `one WORK SIDE WORKERS [--quick]`. The program calls itself like this.
    One(Job),
}

/// What to measure and how.
#[derive(Clone, Debug)]
pub struct Options {
    /// A tenth of the input.
    pub quick: bool,
    /// Only these works.
    pub works: Option<Vec<String>>,
    /// Workers, and threads of the loop; each number in turn.
    pub workers: Vec<usize>,
    /// How often each side is run.
    pub runs: usize,
}

/// One run.
#[derive(Clone, Debug)]
pub struct Job {
    /// The name of the work.
    pub work: String,
    /// The name of the side.
    pub side: String,
    /// Workers, and threads of the loop.
    pub workers: usize,
    /// A tenth of the input.
    pub quick: bool,
}

impl Job {
    /// How many of `items` to take.
    pub fn scaled(&self, items: u64) -> u64 {
        if self.quick { items / 10 } else { items }
    }
}

impl Command {
    /// Reads the arguments.
    ///
    /// # Errors
    /// With what is wrong with them.
    pub fn parse(args: &[String]) -> Result<Command, String> {
        match args {
            [one, work, side, workers, rest @ ..] if one == "one" => Ok(Command::One(Job {
                work: work.clone(),
                side: side.clone(),
                workers: number(workers)?,
                quick: rest.iter().any(|arg| arg == "--quick"),
            })),
            _ => {
                Options::parse(args).map(Command::All).map_err(|wrong| format!("{wrong}\n{USAGE}"))
            }
        }
    }
}

impl Options {
    fn parse(args: &[String]) -> Result<Options, String> {
        let (mut quick, mut works, mut workers, mut runs) = (false, None, vec![1, 2], None);
        let mut args = args.iter();
        while let Some(arg) = args.next() {
            let mut value = || args.next().ok_or(format!("`{arg}` needs a value"));
            match arg.as_str() {
                "--quick" => quick = true,
                "--work" => works = Some(value()?.split(',').map(str::to_owned).collect()),
                "--workers" => workers = vec![number(value()?)?],
                "--runs" => runs = Some(number(value()?)?),
                _ => return Err(format!("there is no option `{arg}`")),
            }
        }
        Ok(Options { quick, works, workers, runs: runs.unwrap_or(if quick { 3 } else { 5 }) })
    }
}

fn number(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|n| *n > 0).ok_or(format!("`{text}` is no number above 0"))
}
