//! Fuzzes the page readers: `cargo run --release -p ingest --example fuzz_pages -- --inputs 100000 --seed 1`.
//! See `docs/fuzzing.md`.

#![allow(clippy::unwrap_used, reason = "a tool for developers, which may panic on its own mistakes")]

#[path = "../tests/fuzz/mod.rs"]
mod fuzz;

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};

use clap::Parser;
use fuzz::mutate::Mutator;
use fuzz::watch::Watch;
use fuzz::{Tally, memory, on_a_small_stack, one, real_pages, seed_pages};

#[global_allocator]
static ALLOCATOR: memory::Counting = memory::Counting;

/// Fuzzes the page readers. Exit code 1 where something was found.
#[derive(Parser)]
struct Arguments {
    /// Inputs to try
    #[arg(long, default_value_t = 10_000)]
    inputs: u64,
    /// Seed; the same seed, pages and number give the same input
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Number of the first input
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// Size at which an input grows no more, bytes
    #[arg(long, default_value_t = 256 << 10)]
    largest: usize,
    /// Folders of more pages to mutate (*.html), besides the fixtures and the real ones of ../shared/liverc
    #[arg(long)]
    pages: Vec<PathBuf>,
    /// Where an input that something is wrong with is written
    #[arg(long, default_value = "target/fuzz")]
    out: PathBuf,
    /// Prints one input instead of reading any
    #[arg(long)]
    show: Option<u64>,
    #[arg(long, hide = true)]
    worker: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let mut folders: Vec<_> = real_pages().into_iter().collect();
    folders.extend(arguments.pages.clone());
    let pages = seed_pages(&folders).unwrap_or_else(|e| panic!("cannot read the pages: {e}"));
    if let Some(number) = arguments.show {
        print!(
            "{}",
            Mutator::new(arguments.seed, arguments.largest, pages.iter().map(|(_, t)| t.as_str())).input(number)
        );
        return ExitCode::SUCCESS;
    }
    if arguments.worker { worker(&arguments, &pages) } else { parent(&arguments, pages.len()) }
}

/// Reads the inputs. Tells the number of each before it is read, so that one that ends the process is known.
fn worker(arguments: &Arguments, pages: &[(String, String)]) -> ExitCode {
    let mutator = Mutator::new(arguments.seed, arguments.largest, pages.iter().map(|(_, text)| text.as_str()));
    let watch = Watch::start();
    std::panic::set_hook(Box::new(|_| {})); // what panics is reported with its input
    on_a_small_stack(|| {
        let (mut tally, mut found) = (Tally::default(), 0);
        let mut out = std::io::stdout();
        for input in arguments.from..arguments.from + arguments.inputs {
            writeln!(out, "{input}").unwrap();
            watch.at(input);
            if let Err(wrong) = one(&mutator, input, &mut tally) {
                found += 1;
                std::fs::create_dir_all(&arguments.out).unwrap();
                let path = arguments.out.join(format!("seed-{}-input-{input}.html", arguments.seed));
                std::fs::write(&path, &wrong.text).unwrap();
                eprintln!("input {input}: {}; written to {}", wrong.what, path.display());
            }
        }
        let Tally { inputs, bytes, read, slowest, largest } = tally;
        writeln!(
            out,
            "{inputs} inputs of {} pages, {:.0} MB; {read} read as something; slowest {:?} of CPU time (input {}); \
             most memory {:.1} MB (input {}, {} bytes); {found} found",
            pages.len(),
            bytes as f64 / 1e6,
            slowest.0,
            slowest.1,
            largest.0 as f64 / 1e6,
            largest.1,
            largest.2,
        )
        .unwrap();
        if found == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    })
}

/// Runs workers, a new one past an input that ends the process.
fn parent(arguments: &Arguments, pages: usize) -> ExitCode {
    println!("seed {}, {} inputs from {}, {pages} pages to mutate", arguments.seed, arguments.inputs, arguments.from);
    let end = arguments.from + arguments.inputs;
    let (mut from, mut code) = (arguments.from, ExitCode::SUCCESS);
    while from < end {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--worker", "--seed", &arguments.seed.to_string(), "--from", &from.to_string()]);
        command.args(["--inputs", &(end - from).to_string()]).arg("--out").arg(&arguments.out);
        command.args(["--largest", &arguments.largest.to_string()]);
        command.args(arguments.pages.iter().flat_map(|folder| [OsStr::new("--pages"), folder.as_os_str()]));
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut last = from;
        for line in BufReader::new(child.stdout.take().unwrap()).lines() {
            let line = line.unwrap();
            match line.parse() {
                Ok(input) => last = input,
                Err(_) => println!("{line}"),
            }
        }
        let status = child.wait().unwrap();
        if status.success() {
            break;
        }
        code = ExitCode::FAILURE;
        if status.code().is_some() {
            break; // it came to its end, and has told what it found
        }
        println!("input {last}: the process ended ({status}); see --show {last}");
        from = last + 1;
    }
    code
}
