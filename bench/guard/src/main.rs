//! One hot loop of flow, on one worker, for as many items as asked: what `check.sh` counts the instructions of.
//!
//! `hot LOOP ITEMS [FOLDER]`
//!
//! A loop is run at two sizes and the counts are subtracted, so what must not grow with the items is made the same for all sizes:
//! the keys, the text. The sum of what came out is printed, so that nothing is optimised away and a wrong loop is seen.

mod loops;
mod sum;
mod text;

use std::path::PathBuf;
use std::process::ExitCode;

const USAGE: &str = "usage: hot LOOP ITEMS [FOLDER]";

fn main() -> ExitCode {
    match run(std::env::args().skip(1)) {
        Ok(sum) => {
            println!("{sum}");
            ExitCode::SUCCESS
        }
        Err(wrong) => {
            eprintln!("hot: {wrong}");
            ExitCode::FAILURE
        }
    }
}

fn run(mut args: impl Iterator<Item = String>) -> Result<u64, String> {
    let name = args.next().ok_or(USAGE)?;
    let items = args.next().ok_or(USAGE)?;
    let items = items.parse().map_err(|_| format!("`{items}` is no number of items"))?;
    let mut folder = || args.next().map(PathBuf::from).ok_or(format!("`{name}` needs a FOLDER"));
    let sum = match name.as_str() {
        "stateless" => loops::stateless(items),
        "exchange" => loops::exchange(items),
        "keyed" => loops::keyed(items),
        "words" => loops::words(items),
        "gather" => loops::gather(items, &folder()?),
        // The same call twice: the first on an empty folder writes the log that the second loads.
        "restart" => loops::restart(items, &folder()?),
        _ => return Err(format!("there is no loop `{name}`")),
    };
    sum.map_err(|error| error.to_string())
}
