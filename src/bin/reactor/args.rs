//! What can be said on the command line, and what `--help` teaches.
//!
//! Everything that can be refused without a look at a device is refused here, by clap, with exit code 2.

use crate::nvme::args::Nvme;
use crate::perf::Moment;
use clap::{Args, Parser, Subcommand, ValueEnum};
use reactor::Mode;
use reactor::bdev::{self, Limits};
use reactor::sys::cpu::{self, CpuSet};
use std::fmt::Display;
use std::path::PathBuf;
use std::time::Duration;

/// Measures what this machine does with the reactor runtime: events between cores, and block I/O; and looks after NVMe controllers.
///
/// Measuring needs no root, no hugepages and no device.
#[derive(Debug, Parser)]
#[command(name = "reactor", version, after_help = EXAMPLES, arg_required_else_help = true)]
pub(crate) struct CommandLine {
    #[command(subcommand)]
    pub(crate) job: Job,
}

const EXAMPLES: &str = "\
Examples:
  reactor perf                                            a RAM disk and a temporary file, 4 KiB random reads
  reactor perf null --qd 128 --time 3                     what the block layer itself costs
  reactor events --cores 0-1 --time 3                     events round two cores
  reactor nvme list                                       the NVMe controllers of this machine, and who has them

`reactor help perf`, `reactor help events` and `reactor help nvme` say what the numbers mean.
Exit codes: 0 done; 1 it failed while running, or data was wrong; 2 what was asked for makes no sense.";

#[derive(Debug, Subcommand)]
pub(crate) enum Job {
    Events(Events),
    Perf(Perf),
    Nvme(Nvme),
}

/// Sends events round a ring of cores and counts them
///
/// Each core starts some events (--in-flight). An event is a small closure: it counts itself on the core where it runs
/// and posts itself to the next core of the ring, so that all of them keep going round until the time is over. With one
/// core they go from that core to itself.
#[derive(Debug, Args)]
#[command(after_help = EVENTS_HELP)]
pub(crate) struct Events {
    /// Cores of the ring: a list (0-3,8) or a mask (0x10f) [default: every core this process may run on]
    #[arg(long, value_name = "LIST", value_parser = cores)]
    pub(crate) cores: Option<CpuSet>,

    /// Seconds to run; fractions are fine
    #[arg(long, value_name = "S", default_value = "3", value_parser = seconds, allow_negative_numbers = true)]
    pub(crate) time: Duration,

    /// Events that each core starts and that go round from then on
    #[arg(long, value_name = "N", default_value = "128", allow_negative_numbers = true)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=1 << 20))]
    pub(crate) in_flight: u32,

    #[command(flatten)]
    pub(crate) common: Common,
}

const EVENTS_HELP: &str = "\
What the numbers mean:
  events/s   events that ran on the core in a second. Each was received, run and sent on, so a core
             that sends one event to itself and takes it counts one.
  share      the core's part of all events. Far from equal: something else ran on one of the cores.

Examples:
  reactor events --cores 0 --time 3                       from one core to itself
  reactor events --cores 0-1 --time 3 --in-flight 32      between two cores
  reactor events --cores 0-1 --time 3 --json

JSON, the total first:
  {\"events_per_s\", \"cores\": [{\"core\", \"events_per_s\"}]}";

/// Reads, writes or verifies block devices and reports IOPS and latency
///
/// Keeps --qd I/Os in flight on every device and core, all devices and cores at the same time, for --time seconds.
///
/// WRITING OVERWRITES: write, randwrite, randrw and verify destroy what the devices hold, files included.
#[derive(Debug, Args)]
#[command(after_help = perf_help())]
pub(crate) struct Perf {
    /// Devices, such as ram:1G, file:PATH or a stack like 'delay:100us(ram:64M)': see below [default: a RAM disk and a
    /// temporary file, 64 MiB each]
    #[arg(value_name = "BDEV")]
    pub(crate) bdevs: Vec<String>,

    /// A file of devices to make first, one to a line: NAME = SPEC. BDEV, and SPEC in later lines, may be such a NAME
    #[arg(long, value_name = "FILE", requires = "bdevs")]
    pub(crate) config: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) load: Load,

    /// Limits of each device, over all cores: iops, read_iops, write_iops (10k, 2M), mib, read_mib, write_mib in a
    /// second, with commas between
    #[arg(long, value_name = "LIMIT=N,...", default_value = "", hide_default_value = true)]
    #[arg(value_parser = limits, allow_negative_numbers = true)]
    pub(crate) limit: Limits,

    /// What happens meanwhile, after so many seconds, any number of times: remove=DEVICE takes one away, return=DEVICE brings it
    /// back, resize=FILE,SIZE makes one longer. See below
    #[arg(long, value_name = "S:WHAT=DEVICE", value_parser = str::parse::<Moment>)]
    pub(crate) at: Vec<Moment>,

    #[command(flatten)]
    pub(crate) common: Common,
}

/// What devices there are is for the library to say.
fn perf_help() -> String {
    let mut text =
        "Devices (SPEC stands for any of them, or for a registered name; quote them for the shell):\n"
            .to_owned();
    for kind in bdev::kinds() {
        let about = kind.about().replace('`', "");
        text += &format!("  {}\n{}", kind.form(), wrapped(&about));
    }
    text + PERF_HELP
}

/// `text` in lines of at most 100 columns, indented.
fn wrapped(text: &str) -> String {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let mut line = lines.pop().unwrap_or_default();
        if line.len() + word.len() >= 92 {
            lines.push(std::mem::take(&mut line));
        }
        line += if line.is_empty() { "" } else { " " };
        line += word;
        lines.push(line);
    }
    lines.into_iter().map(|line| format!("        {line}\n")).collect()
}

const PERF_HELP: &str = "  A RAM disk that is measured by itself is filled before it is read. A file is opened with O_DIRECT where the
  file system has it. It must exist, with its size: truncate -s 1G PATH. Write all of it before reads are
  measured: parts that were never written are read without the disk.

What --rw does:
  read, write     in order; with several cores each has its part of the device
  randread, randwrite, randrw
                  at random places of the whole device
  verify          fills a window of the device with a pattern (block number, seed and pass), reads it back and
                  compares, window after window, pass after pass. The window at the end of the time is still
                  read back. Blocks that differ are named, count as errors, and the exit code is 1.

What --at does, while the load goes on:
  S:remove=DEVICE     after S seconds takes a device away that is measured or lies below: I/O to it fails from
                      then on; what does without it, such as a mirror, goes on. DEVICE is file:PATH, or a name
                      of --config.
  S:return=DEVICE     brings it back; mirrors take back the members that they lack, and are rebuilt
  S:resize=FILE,SIZE  makes a file longer, and has it noticed

What the numbers mean:
  IOPS        I/Os completed in a second
  MiB/s       the same in data, 1 MiB = 1,048,576 bytes
  latency     microseconds from the submission of an I/O until its task sees the answer. p99: 99 of 100 were
              no slower. A device that answers inside the submission (null, ram) has one I/O in flight at a
              time whatever --qd says; its I/Os are timed in bursts of about 2 µs, and each counts
              with the mean of its burst. The clock is read once per I/O otherwise. Waiting for --limit is
              part of it.
  errors      I/Os that failed, and blocks that did not verify

Ctrl-C ends the measurement, and what was measured is reported; a second one ends at once.

JSON, latencies in microseconds:
  {\"jobs\": [{\"bdev\", \"core\", \"iops\", \"mib_per_s\", \"lat_us\": {\"avg\", \"p50\", \"p99\", \"p999\", \"max\"}, \"errors\"}],
   \"total\": {\"iops\", \"errors\"}}

Examples:
  reactor perf                                            the default devices, 4 KiB random reads
  reactor perf ram:1G --rw randrw --rwmixread 70 --qd 1   one I/O at a time, 70 % reads
  reactor perf null --cores 0-1 --qd 32 --json            two cores, machine-readable
  reactor perf 'delay:avg=100us(ram:64M)'                 what a disk of 100 µs would give
  reactor perf ram:64M --cores 0-1 --limit iops=10k       10,000 I/Os per second for both cores together
  reactor perf ram:64M --rw randrw --limit read_iops=5k,write_mib=10
  reactor perf --config disks.conf pair0                  a device of a file that says, for example,
                                                            left0 = ram:64M
                                                            right0 = ram:64M
                                                            pair0 = stripe(left0,right0)
  truncate -s 1G disk.img && reactor perf file:disk.img --rw verify --qd 32 --time 3
  truncate -s 64M a b && reactor perf 'mirror(file:a,error:read=media,every=1000(file:b))' --rw verify --time 60 \\
      --at 15:remove=file:b --at 25:return=file:b --at 40:resize=file:a,128M --at 45:resize=file:b,128M
                                                          a mirror that loses a disk, is rebuilt and grows, and errs below";

// What jobs do, and where. (What clap would take of a comment for users would stand in for that of the command.)
#[derive(Debug, Args)]
pub(crate) struct Load {
    /// What to do; everything but read and randread overwrites the devices
    #[arg(long, value_enum, default_value = "randread")]
    pub(crate) rw: Rw,

    /// Bytes per I/O, with k, M or G for powers of 1024; a multiple of the device's block size
    #[arg(long, value_name = "SIZE", default_value = "4k", value_parser = io_size)]
    pub(crate) bs: usize,

    /// Queue depth: I/Os in flight per device and core
    #[arg(long, value_name = "N", default_value = "32", allow_negative_numbers = true)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=65_536))]
    pub(crate) qd: u32,

    /// Seconds to run; fractions are fine
    #[arg(long, value_name = "S", default_value = "3", value_parser = seconds, allow_negative_numbers = true)]
    pub(crate) time: Duration,

    /// Cores to run on: a list (0-3,8) or a mask (0x10f) [default: the first that this process may run on]
    #[arg(long, value_name = "LIST", value_parser = cores)]
    pub(crate) cores: Option<CpuSet>,

    /// With randrw: percentage of reads [default: 50]
    #[arg(long, value_name = "PCT", value_parser = clap::value_parser!(u8).range(0..=100))]
    pub(crate) rwmixread: Option<u8>,
}

#[derive(Debug, Args)]
pub(crate) struct Common {
    /// How a core waits when there is nothing to do: poll, adaptive (spin, then sleep) or interrupt (sleep at once)
    #[arg(long, value_name = "MODE", default_value = "poll", value_parser = str::parse::<Mode>)]
    pub(crate) mode: Mode,

    /// Print one JSON object on standard output, and nothing else there
    #[arg(long)]
    pub(crate) json: bool,
}

/// What `perf` does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "lower")]
pub(crate) enum Rw {
    /// Reads in order
    Read,
    /// Writes in order
    Write,
    /// Reads at random places
    RandRead,
    /// Writes at random places
    RandWrite,
    /// Reads and writes at random places
    #[value(name = "randrw")]
    RandMixed,
    /// Writes a pattern, reads it back and compares
    Verify,
}

impl Rw {
    /// Whether devices lose what they hold.
    pub(crate) fn writes(self) -> bool {
        !matches!(self, Self::Read | Self::RandRead)
    }
}

impl Load {
    /// What clap cannot say in attributes: of these, and of the `names` of what they are done on.
    pub(crate) fn check(&self, names: &[impl PartialEq + Display]) -> Result<(), String> {
        if self.rwmixread.is_some() && self.rw != Rw::RandMixed {
            return Err("--rwmixread is for --rw randrw: leave it out, or say --rw randrw".into());
        }
        for (at, name) in names.iter().enumerate() {
            if names[..at].contains(name) {
                return Err(format!(
                    "{name} is listed twice: name each device once, and raise --qd for more in flight"
                ));
            }
        }
        Ok(())
    }
}

fn cores(text: &str) -> Result<CpuSet, cpu::Error> {
    CpuSet::try_from(text)
}

pub(crate) fn seconds(text: &str) -> Result<Duration, String> {
    // A day: long enough for any measurement, short enough to catch milliseconds.
    const MAX: f64 = 86_400.0;
    match text.parse::<f64>() {
        Ok(seconds) if seconds > 0.0 && seconds <= MAX => Ok(Duration::from_secs_f64(seconds)),
        Ok(_) => Err(format!("give more than 0 and at most {MAX} seconds, such as 3 or 0.5")),
        Err(_) => Err("not a number of seconds: write 3 or 0.5".into()),
    }
}

fn limits(text: &str) -> Result<Limits, String> {
    if text.is_empty() { Ok(Limits::NONE) } else { text.parse() }
}

fn io_size(text: &str) -> Result<usize, String> {
    const MAX: u64 = 64 << 20;
    match bdev::parse_size(text)? {
        0 => Err("an I/O has at least one block: write 4k, for example".into()),
        bytes if bytes > MAX => Err("I/Os of more than 64M are not supported: write at most 64M".into()),
        bytes => usize::try_from(bytes).map_err(|e| e.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    fn perf(args: &[&str]) -> Result<Perf, String> {
        let line = [&["reactor", "perf"], args].concat();
        match CommandLine::try_parse_from(line).map_err(|e| e.to_string())?.job {
            Job::Perf(perf) => perf.load.check(&perf.bdevs).map(|()| perf),
            _ => unreachable!("perf was asked for"),
        }
    }

    #[test]
    fn the_command_line_is_consistent() {
        CommandLine::command().debug_assert();
    }

    #[test]
    fn perf_takes_everything_it_documents() {
        let line = "null ram:64M --rw randrw --bs 8k --qd 7 --time 0.25 --cores 0 --rwmixread 70 --json --mode interrupt --limit iops=10k,write_mib=100";
        let perf = perf(&line.split(' ').collect::<Vec<_>>()).expect("a good line");
        assert_eq!((perf.bdevs.len(), perf.load.rw, perf.load.bs, perf.load.qd), (2, Rw::RandMixed, 8192, 7));
        assert_eq!((perf.load.time, perf.load.rwmixread), (Duration::from_millis(250), Some(70)));
        assert_eq!(perf.limit, Limits { iops: Some(10_000), write_bytes: Some(100 << 20), ..Limits::NONE });
        assert_eq!((perf.common.json, perf.common.mode), (true, Mode::Interrupt));
        for rw in ["read", "write", "randread", "randwrite", "randrw", "verify"] {
            super::tests::perf(&["--rw", rw]).expect("a kind of work");
        }
    }

    /// Each refusal says what to write instead.
    #[test]
    fn bad_arguments_are_explained() {
        let cases: &[(&[&str], &str)] = &[
            (&["--rw", "rand"], "randread"),
            (&["--qd", "0"], "1..=65536"),
            (&["--bs", "0"], "4k"),
            (&["--bs", "4 parsecs"], "64M"),
            (&["--bs", "1G"], "at most 64M"),
            (&["--time", "0"], "more than 0"),
            (&["--time", "-1"], "more than 0"),
            (&["--qd", "-1"], "1..=65536"),
            (&["--time", "NaN"], "more than 0"),
            (&["--time", "soon"], "0.5"),
            (&["--cores", ""], "no cores given"),
            (&["--cores", "0,0"], "listed twice"),
            (&["--cores", "1-0"], "runs downwards"),
            (&["--cores", "0xg"], "not a core mask"),
            (&["--cores", "1023"], "not online"),
            (&["--rwmixread", "50"], "--rw randrw"),
            (&["--limit", "iops=0"], "at least 1"),
            (&["--limit", "10k"], "iops=10k"),
            (&["--limit", "iops=-5"], "10k"),
            (&["--rw", "randrw", "--rwmixread", "101"], "0..=100"),
            (&["null", "null"], "listed twice"),
            (&["--mode", "lazy"], "write poll, adaptive or interrupt"),
        ];
        for (args, expected) in cases {
            let refusal = perf(args).expect_err("a bad line");
            assert!(refusal.contains(expected), "{args:?}: {refusal}");
        }
    }
}
