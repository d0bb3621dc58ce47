//! Runs in turns, medians, spreads.

use std::fs;
use std::time::Instant;

use crate::tally::Sum;

/// What to measure and how.
#[derive(Clone, Debug)]
pub struct Options {
    /// A tenth of the input.
    pub quick: bool,
    /// Only this work.
    pub work: Option<String>,
    /// Workers, and threads of the loop.
    pub workers: usize,
    /// How often each side is run.
    pub runs: usize,
}

impl Options {
    /// How to call the program.
    pub const USAGE: &str = "usage: bench [--quick] [--work NAME] [--workers N] [--runs N]";

    /// Reads the program's arguments.
    ///
    /// # Errors
    /// With what is wrong with them.
    pub fn parse(mut args: impl Iterator<Item = String>) -> Result<Options, String> {
        let mut options = Options { quick: false, work: None, workers: 1, runs: 7 };
        while let Some(arg) = args.next() {
            let mut value = || args.next().ok_or(format!("`{arg}` needs a value"));
            let number = |text: String| {
                text.parse().ok().filter(|n| *n > 0).ok_or(format!("`{text}` is no number above 0"))
            };
            match arg.as_str() {
                "--quick" => options.quick = true,
                "--work" => options.work = Some(value()?),
                "--workers" => options.workers = number(value()?)?,
                "--runs" => options.runs = number(value()?)?,
                _ => return Err(format!("there is no option `{arg}`")),
            }
        }
        Ok(options)
    }
}

/// What came out of measuring a work.
#[derive(Debug)]
pub struct Measured {
    work: &'static str,
    workers: usize,
    /// What flow is compared with.
    with: &'static str,
    ratio: f64,
    ratio_cpu: f64,
    with_rate: f64,
    flow: f64,
    /// More about flow's runs, as `name=value`.
    pub more: String,
    /// Whether both sides had the same result in all runs.
    pub agrees: bool,
}

impl Measured {
    /// One line for programs.
    pub fn line(&self) -> String {
        let Measured { work, workers, with, ratio, ratio_cpu, with_rate, flow, more, agrees } =
            self;
        format!(
            "work={work} workers={workers} vs_{with}={ratio:.2} vs_{with}_cpu={ratio_cpu:.2} {with}_per_s={with_rate:.0} flow_per_s={flow:.0}{more} agrees={agrees}"
        )
    }
}

/// Runs both sides in turns and prints what they took. `items` is what a second is measured in.
pub fn compare(
    work: &'static str,
    options: &Options,
    items: u64,
    hand: impl Fn() -> Sum,
    flow: impl Fn() -> Sum,
) -> Measured {
    compare_with("hand", work, options, items, hand, flow)
}

/// The same, beside something else than the loop.
pub fn compare_with(
    with: &'static str,
    work: &'static str,
    options: &Options,
    items: u64,
    other: impl Fn() -> Sum,
    flow: impl Fn() -> Sum,
) -> Measured {
    let workers = options.workers;
    println!("{work}: {items} items, {workers} worker(s), {} runs each, in turns", options.runs);
    let (mut by_hand, mut on_flow, mut sums) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..options.runs {
        for (side, times) in [(&other as &dyn Fn() -> Sum, &mut by_hand), (&flow, &mut on_flow)] {
            let (began, cpu) = (Instant::now(), cpu_seconds());
            sums.push(side());
            times.push(Run { wall: began.elapsed().as_secs_f64(), cpu: cpu_seconds() - cpu });
        }
    }
    let agrees = sums.iter().all(|sum| *sum == sums[0]);
    let (hand, flow) = (Times::of(by_hand, items), Times::of(on_flow, items));
    println!("  {with:<10}  {hand}");
    println!("  {:<10}  {flow}", "flow");
    if agrees {
        println!("  {:<10}  {:?}", "both", sums[0]);
    } else {
        println!("  THE RESULTS ARE NOT EQUAL: {sums:?}");
    }
    Measured {
        work,
        workers,
        with,
        ratio: hand.wall.median / flow.wall.median,
        ratio_cpu: hand.cpu.median / flow.cpu.median,
        with_rate: hand.rate(),
        flow: flow.rate(),
        more: String::new(),
        agrees,
    }
}

/// The processor time of this process so far, to a hundredth of a second; 0 where the system does not tell. On a machine with other work it
/// says more than the clock does.
fn cpu_seconds() -> f64 {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The second field is the program's name in brackets; user and system time are the 14th and the 15th.
    let after_name = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let ticks = after_name.split_whitespace().skip(11).take(2);
    ticks.filter_map(|ticks| ticks.parse::<f64>().ok()).sum::<f64>() / 100.0
}

/// One run, in seconds.
struct Run {
    wall: f64,
    cpu: f64,
}

/// The runs of one side.
struct Times {
    items: u64,
    wall: Spread,
    cpu: Spread,
}

impl Times {
    fn of(runs: Vec<Run>, items: u64) -> Times {
        let wall = Spread::of(runs.iter().map(|run| run.wall));
        Times { items, wall, cpu: Spread::of(runs.iter().map(|run| run.cpu)) }
    }

    /// Items per second, by the median.
    fn rate(&self) -> f64 {
        self.items as f64 / self.wall.median
    }
}

impl std::fmt::Display for Times {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:8.1} M/s   wall {}   cpu {}", self.rate() / 1e6, self.wall, self.cpu)
    }
}

/// Seconds.
struct Spread {
    least: f64,
    median: f64,
    most: f64,
}

impl Spread {
    fn of(seconds: impl Iterator<Item = f64>) -> Spread {
        let mut seconds: Vec<f64> = seconds.collect();
        seconds.sort_by(f64::total_cmp);
        let middle = seconds.len() / 2;
        let median = if seconds.len() % 2 == 1 {
            seconds[middle]
        } else {
            (seconds[middle - 1] + seconds[middle]) / 2.0
        };
        Spread { least: seconds[0], median, most: seconds[seconds.len() - 1] }
    }
}

impl std::fmt::Display for Spread {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:.3} s ({:.3} to {:.3})", self.median, self.least, self.most)
    }
}
