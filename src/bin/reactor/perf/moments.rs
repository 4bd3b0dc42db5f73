//! What happens to devices while they are measured, at the times that `--at` says: one is taken away, comes back, becomes longer.
//!
//! The load goes on meanwhile. What stands on the device and does without it goes on as well, as a mirror does; what does not fails,
//! and the run with it.

use crate::args::seconds;
use crate::failure::{Failure, chain};
use crate::note;
use reactor::bdev::modules::{MemberState, Mirror, Uring};
use reactor::bdev::{self, Access, Descriptor, Info, Names};
use reactor::time::sleep;
use std::fmt;
use std::fs::OpenOptions;
use std::str::FromStr;
use std::time::{Duration, Instant};

/// One `--at`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Moment {
    after: Duration,
    what: What,
    /// As it was given.
    device: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    Remove,
    Return,
    /// To so many bytes.
    Resize(u64),
}

const FORM: &str = "write SECONDS:remove=DEVICE, SECONDS:return=DEVICE or SECONDS:resize=FILE,SIZE, such as 20:remove=file:disk.img";

impl FromStr for Moment {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (after, rest) = text.split_once(':').ok_or(FORM)?;
        let (what, device) = rest.split_once('=').filter(|(_, device)| !device.is_empty()).ok_or(FORM)?;
        let after = seconds(after)?;
        let (what, device) = match what {
            "remove" => (What::Remove, device),
            "return" => (What::Return, device),
            "resize" => {
                let (device, size) = device.rsplit_once(',').ok_or(FORM)?;
                (What::Resize(bdev::parse_size(size)?), device)
            }
            _ => return Err(FORM.into()),
        };
        Ok(Self { after, what, device: device.to_owned() })
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { after, what, device } = self;
        let after = after.as_secs_f64();
        match what {
            What::Remove => write!(f, "--at {after}:remove={device}"),
            What::Return => write!(f, "--at {after}:return={device}"),
            What::Resize(bytes) => write!(f, "--at {after}:resize={device},{bytes}"),
        }
    }
}

/// All of a run, in their order.
pub(super) struct Moments {
    all: Vec<Moment>,
    /// Devices that are away.
    gone: Vec<Gone>,
}

/// A device that was taken away: what it was called in `--at`, and all there was to say of it.
struct Gone {
    called: String,
    info: Info,
}

impl Moments {
    /// Those that can be, in a run of that `time` on what is open by now.
    pub(super) async fn new(all: &[Moment], time: Duration) -> Result<Self, Failure> {
        let mut all = all.to_vec();
        all.sort_by_key(|moment| moment.after);
        for (at, moment) in all.iter().enumerate() {
            let refused = |why: String| Failure::Usage(format!("{moment}: {why}"));
            if moment.after >= time {
                return Err(refused(format!(
                    "the run is over after {} s: give --time more",
                    time.as_secs_f64()
                )));
            }
            let disk = open(&moment.device).await.map_err(|e| refused(chain(&e)))?;
            // This one, and what uses it.
            if disk.info().open < 2 {
                return Err(refused(
                    "nothing that is measured stands on it: name it as it is named there".into(),
                ));
            }
            let before =
                all[..at].iter().rev().find(|other| other.device == moment.device && !other.what.is_resize());
            let is_away = before.is_some_and(|before| before.what == What::Remove);
            match moment.what {
                What::Return if !is_away => {
                    return Err(refused("it is not away then: remove it before".into()));
                }
                What::Remove | What::Resize(_) if is_away => {
                    return Err(refused("it is away by then: return it before".into()));
                }
                What::Resize(bytes) => {
                    disk.module_as::<Uring>().ok_or_else(|| refused("only files can be resized".into()))?;
                    let (size, now) = (u64::from(disk.geometry().block_size), disk.geometry().len_bytes());
                    if bytes < now || bytes % size != 0 {
                        return Err(refused(format!(
                            "it has {now} bytes: give as many or more, whole blocks of {size}"
                        )));
                    }
                }
                What::Remove | What::Return => {}
            }
        }
        Ok(Self { all, gone: Vec::new() })
    }

    /// Lets them happen, from now on, and says so.
    pub(super) async fn happen(mut self) -> Result<(), Failure> {
        let begun = Instant::now();
        for moment in std::mem::take(&mut self.all) {
            sleep(moment.after.saturating_sub(begun.elapsed())).await;
            let done = match moment.what {
                What::Remove => self.remove(&moment.device).await,
                What::Return => self.give_back(&moment.device).await,
                What::Resize(bytes) => resize(&moment.device, bytes).await,
            };
            let said = done.map_err(|e| Failure::at(&moment, &e))?;
            note(&format!("note: after {:.1} s {said}", begun.elapsed().as_secs_f64()));
        }
        Ok(())
    }

    async fn remove(&mut self, called: &str) -> bdev::Result<String> {
        let info = open(called).await?.info();
        // What is in flight ends by itself; nobody here waits for those who still have it open.
        drop(bdev::unregister(&info.name)?);
        let said = format!("{} was removed", info.name);
        self.gone.push(Gone { called: called.to_owned(), info });
        Ok(said)
    }

    /// Makes it anew, has the mirrors that lack a member take it back, and brings them up to date.
    async fn give_back(&mut self, called: &str) -> bdev::Result<String> {
        let not_found = || bdev::Error::NotFound { name: called.to_owned() };
        let at = self.gone.iter().position(|gone| gone.called == called).ok_or_else(not_found)?;
        let Info { name, aliases, uuid, spec, is_registered, .. } = self.gone.remove(at).info;
        if is_registered {
            let names = aliases.into_iter().fold(Names::new(&name), Names::with_alias);
            let names = uuid.into_iter().fold(names, Names::with_uuid);
            bdev::create(names, &spec.ok_or_else(not_found)?).await?;
        }
        let mut said = format!("{name} came back");
        for mirror in bdev::list().into_iter().filter(|device| device.module == "mirror") {
            let disk = open(&mirror.name).await?;
            let Some(control) = disk.module_as().map(Mirror::control) else { continue };
            let members = control.status().members;
            let failed =
                members.into_iter().enumerate().filter(|(_, member)| member.state == MemberState::Failed);
            for (number, member) in failed {
                control.replace(number, bdev::open(&member.name, Access::ReadWrite).await?)?;
                control.rebuild().await?;
                let state = control.status().members[number].state;
                let is = if state == MemberState::InSync { "in sync" } else { "not in sync" };
                said += &format!(", {} of {} is {is}", member.name, mirror.name);
            }
        }
        Ok(said)
    }
}

impl What {
    fn is_resize(self) -> bool {
        matches!(self, Self::Resize(_))
    }
}

/// Beside whoever measures it.
async fn open(device: &str) -> bdev::Result<Descriptor> {
    bdev::open(device, Access::ReadOnly).await
}

/// Makes a file longer, and has it noticed.
async fn resize(device: &str, bytes: u64) -> bdev::Result<String> {
    let disk = open(device).await?;
    let uring = disk.module_as::<Uring>().ok_or(bdev::Error::Removed)?;
    let path = uring.path();
    let longer = OpenOptions::new().write(true).open(path).and_then(|file| {
        // Never shorter: somebody may have made it longer yet.
        let bytes = bytes.max(file.metadata()?.len());
        file.set_len(bytes)
    });
    let context = || format!("cannot make {} longer", path.display());
    longer.map_err(|source| bdev::Error::Os { context: context(), source })?;
    uring.rescan()?;
    Ok(format!("{} has {} bytes", disk.name(), disk.geometry().len_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_read_and_written_alike() {
        for text in ["20:remove=file:a, b", "0.5:return=disk0", "3:resize=file:/x=y:z,1048576"] {
            let moment: Moment = text.parse().expect("a good one");
            assert_eq!(moment.to_string(), format!("--at {text}"));
        }
        let resize: Moment = "3:resize=one,64M".parse().expect("a good one");
        assert_eq!((resize.what, resize.device.as_str()), (What::Resize(64 << 20), "one"));
    }

    #[test]
    fn what_is_none_is_told_how_to_be_one() {
        for text in
            ["", "20", "20:remove", "20:remove=", "20:pull=disk0", "20:resize=disk0", "remove=disk0:20"]
        {
            let refused = text.parse::<Moment>().expect_err(text);
            assert!(refused.contains("SECONDS:remove=DEVICE"), "{text}: {refused}");
        }
        assert!("soon:remove=disk0".parse::<Moment>().expect_err("no time").contains("0.5"));
        assert!("1:resize=disk0,much".parse::<Moment>().expect_err("no size").contains("64M"));
    }
}
