//! What can be said behind `reactor nvme`, and what `--help` teaches.

use super::target::Target;
use crate::args::{Common, Load};
use clap::{Args, Subcommand};

/// Lists, describes and measures NVMe controllers
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Nvme {
    #[command(subcommand)]
    pub(crate) job: Job,
}

const EXAMPLES: &str = "\
Examples:
  reactor nvme list                                 every controller of this machine, and who has it
  reactor nvme identify 0000:00:04.0                what it says of itself, over a driver of our own (vfio-pci)
  reactor nvme identify /dev/nvme0                  the same, through the kernel's driver
  reactor nvme smart 0000:00:04.0 --errors          how it is
  reactor nvme perf 0000:00:04.0 --qd 32 --time 3   4 KiB random reads on queue pairs of our own

`reactor nvme help identify` and so on say what is printed.
Exit codes: 0 done; 1 it failed while running; 2 what was asked for makes no sense.";

#[derive(Debug, Subcommand)]
pub(crate) enum Job {
    List(List),
    Identify(Identify),
    Smart(Smart),
    Perf(Perf),
}

/// Lists the NVMe controllers on the PCI bus, and who has them
///
/// Reads /sys alone: no controller is touched, and no root is needed.
#[derive(Debug, Args)]
#[command(after_help = LIST_HELP)]
pub(crate) struct List {
    /// Print one JSON object on standard output, and nothing else there
    #[arg(long)]
    pub(crate) json: bool,
}

const LIST_HELP: &str = "\
What is printed:
  driver      nvme is the kernel's; vfio-pci lends the controller to programs such as this one; - is nobody's
  group       the IOMMU group: a program gets all functions of a group, or none. - without an IOMMU
  model ...   as the kernel's driver was told; - where another has it (reactor nvme identify asks it)
  nodes       the kernel's block device, and the character device that takes NVMe commands
  Below stands how to lend the first controller that is not lent.

JSON:
  {\"controllers\": [{\"address\", \"vendor\", \"device\", \"driver\", \"iommu_group\", \"numa_node\",
    \"kernel\": {\"name\", \"node\", \"model\", \"serial\", \"firmware\", \"state\",
      \"namespaces\": [{\"nsid\", \"bytes\", \"block_bytes\", \"nodes\"}]},
    \"hand_over\"}]}
  What is not there is null. hand_over is the list of commands that bind the controller to vfio-pci, empty if that is done.";

/// Says what a controller and its namespaces are
///
/// Asks with Identify commands alone: nothing is changed, except that a controller that is taken by its PCI address is reset.
#[derive(Debug, Args)]
#[command(after_help = IDENTIFY_HELP)]
pub(crate) struct Identify {
    /// A PCI address, such as 0000:00:04.0, of a controller that is lent (reactor nvme list says how), or a node of the
    /// kernel's: /dev/nvme0, /dev/ng0n1
    #[arg(value_name = "TARGET")]
    pub(crate) target: Target,

    /// This namespace alone
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=0xffff_fffe))]
    pub(crate) ns: Option<u32>,

    /// The 4,096 bytes of Identify Controller, or with --ns of Identify Namespace, as they are
    #[arg(long, conflicts_with = "json")]
    pub(crate) raw: bool,

    /// Print one JSON object on standard output, and nothing else there
    #[arg(long)]
    pub(crate) json: bool,
}

const IDENTIFY_HELP: &str = "\
The fields stand under the abbreviations of the NVMe specifications (Base 2.0 §5.17.2.1, NVM Command Set 1.0 §4.1.5.1), with
what their numbers mean behind them.

JSON, with the same abbreviations as keys, each with the number that the controller gives:
  {\"target\", \"controller\": {\"vid\", \"ssvid\", \"sn\", \"mn\", \"fr\", ...},
   \"power_states\": [{\"state\", \"mp\", \"power_uw\", \"idle_power_uw\", \"active_power_uw\", \"is_operational\",
     \"enlat\", \"exlat\", \"rrt\", \"rrl\", \"rwt\", \"rwl\"}],
   \"namespaces\": [{\"nsid\", \"nsze\", \"ncap\", \"nuse\", ..., \"eui64\", \"nguid\", \"uuid\", \"csi\",
     \"lbafs\": [{\"ms\", \"lbads\", \"rp\", \"block_bytes\", \"is_in_use\"}]}]}
  What follows from a field stands behind it: KEY_flags the names of the bits that are set, KEY_bytes its size in bytes (null:
  no limit), KEY_celsius degrees. Texts are without their padding, names that are not given are null. Zoned namespaces have
  zsze, zdes, mar, mor, zoc, ozcs and more besides.

Examples:
  reactor nvme identify 0000:00:04.0
  reactor nvme identify 0000:00:04.0 --ns 1 --json | jq '.namespaces[0].nsze_bytes'
  reactor nvme identify 0000:00:04.0 --raw | xxd | head";

/// Says how a controller is: health, temperature, firmware, errors
///
/// Events that the logs tell of stay pending for whoever waits for them.
#[derive(Debug, Args)]
#[command(after_help = SMART_HELP)]
pub(crate) struct Smart {
    /// A PCI address, such as 0000:00:04.0, of a controller that is lent (reactor nvme list says how), or a node of the
    /// kernel's: /dev/nvme0, /dev/ng0n1
    #[arg(value_name = "TARGET")]
    pub(crate) target: Target,

    /// The entries of the error log, too
    #[arg(long)]
    pub(crate) errors: bool,

    /// Print one JSON object on standard output, and nothing else there
    #[arg(long)]
    pub(crate) json: bool,
}

const SMART_HELP: &str = "\
JSON:
  {\"target\", \"smart\": {\"critical_warning\", \"critical_warning_flags\", \"available_spare\",
     \"available_spare_threshold\", \"percentage_used\", \"endurance_group_critical_warning\", \"media_errors\",
     \"unsafe_shutdowns\", \"error_log_entries\", \"temperature\", \"temperature_celsius\",
     \"temperature_sensor_1\", \"temperature_sensor_1_celsius\"...,
     \"warning_temperature_minutes\", \"critical_temperature_minutes\", \"thermal_1_transitions\",
     \"thermal_2_transitions\", \"thermal_1_seconds\", \"thermal_2_seconds\", \"data_units_read\",
     \"data_units_read_bytes\", \"data_units_written\", \"data_units_written_bytes\", \"host_read_commands\",
     \"host_write_commands\", \"controller_busy_minutes\", \"power_cycles\", \"power_on_hours\"},
   \"firmware\": {\"afi\", \"afi_running\", \"afi_next\", \"frs1\"...},
   \"errors\": [{\"error_count\", \"sqid\", \"cid\", \"status\", \"status_text\", \"parameter_error_location\", \"lba\", \"nsid\",
     \"vendor_log\", \"transport_type\", \"command_specific\", \"transport_specific\"}]}
  Spare and use are in percent, temperature in kelvin, data units in thousands of 512 bytes; errors with --errors alone.

Examples:
  reactor nvme smart 0000:00:04.0
  reactor nvme smart 0000:00:04.0 --json | jq .smart.percentage_used";

/// Reads, writes or verifies namespaces on NVMe queues, and reports IOPS and latency
///
/// The job of `reactor perf` without the block layer: commands go from the tasks to the queue pair of their core.
///
/// WRITING OVERWRITES: write, randwrite, randrw and verify destroy what the namespace holds.
#[derive(Debug, Args)]
#[command(after_help = PERF_HELP)]
pub(crate) struct Perf {
    /// PCI addresses of controllers that are lent (reactor nvme list says how), such as 0000:00:04.0, and nodes of the kernel's
    /// namespaces that take NVMe commands, such as /dev/ng0n1
    #[arg(value_name = "TARGET", required = true)]
    pub(crate) targets: Vec<Target>,

    /// Which namespace of controllers that are named by address
    #[arg(long, value_name = "N", default_value = "1", value_parser = clap::value_parser!(u32).range(1..=0xffff_fffe))]
    pub(crate) ns: u32,

    #[command(flatten)]
    pub(crate) load: Load,

    #[command(flatten)]
    pub(crate) common: Common,
}

const PERF_HELP: &str = "\
What --rw does, what the numbers mean and the keys of --json are those of `reactor perf`: see `reactor help perf`. The target
stands under \"bdev\". With --mode poll, queues of the kernel's are asked for completions if it has such (nvme.poll_queues).

Examples:
  reactor nvme perf 0000:00:04.0 --qd 1 --time 3             how long one read takes
  reactor nvme perf 0000:00:04.0 --cores 0-3 --qd 128        four queue pairs
  reactor nvme perf /dev/ng0n1 --rw read --bs 128k           through the kernel's queues (io_uring passthrough)
  reactor perf file:/dev/nvme0n1                             the same disk through the kernel's block layer";
