//! All registered devices as text, one to a line, and back: what a program writes when it ends and reads when it starts again.
//!
//! ```text
//! # a comment
//! NAME {alias=NAME} [uuid=UUID] = SPEC
//! ```

use std::collections::BTreeSet;
use std::fmt::Write;
use std::sync::Arc;

use uuid::Uuid;

use super::planned::Planned;
use super::{create, no_spec, parse, quoted};
use crate::bdev::device::Device;
use crate::bdev::{DeviceRef, Error, Names, Result, examine, registry};

/// All registered devices as text that [`load`] makes them of again, each behind those that it stands on: SPDK's
/// `save_subsystem_config`. What modules [add](crate::bdev::Module::config) comes last.
///
/// A device that no spec describes, such as one of a module of one's own or a partition that was found, stands in a comment.
#[must_use]
pub fn config() -> String {
    let mut text = String::new();
    let mut written = BTreeSet::new();
    let devices = registry::registered();
    for device in &devices {
        write_device(device, &mut written, &mut text);
    }
    examine::config(&mut text);
    text
}

/// Writes the line of `device`, those of the registered devices below it first.
fn write_device(device: &Arc<Device>, written: &mut BTreeSet<Arc<str>>, text: &mut String) {
    if written.contains(&device.name) {
        return;
    }
    for base in device.bdev.bases() {
        write_device(base.device(), written, text);
    }
    if !registry::is_registered(device) || !written.insert(device.name.clone()) {
        return;
    }
    let name = quoted(&device.name);
    let Some(spec) = device.bdev.spec() else {
        let _infallible =
            writeln!(text, "# {name}: no spec makes a device of the module {}", device.bdev.module());
        return;
    };
    let names = device.life().names.clone();
    let mut line = name.into_owned();
    // What it is called because of its spec it will be called again.
    let planned = Planned::from_spec(&spec).ok().flatten();
    let shared = planned.as_ref().and_then(Planned::shared_name);
    for alias in names.aliases().iter().filter(|alias| Some(alias.as_str()) != shared) {
        line += &format!(" alias={}", quoted(alias));
    }
    if let Some(uuid) = names.uuid() {
        line += &format!(" uuid={uuid}");
    }
    let _infallible = writeln!(text, "{line} = {spec}");
}

/// Makes the devices of `text`, as [`config`] writes it: a line for each, `NAME = SPEC`, with `alias=NAME` and `uuid=UUID` behind the
/// name if need be. Names may stand in quotes; empty lines, and those that begin with `#`, mean nothing.
///
/// ```
/// use reactor::bdev;
///
/// # reactor::LocalExecutor::new().unwrap().block_on(async {
/// let text = "
///     ## two disks, and what is made of them
///     one1 = ram:1M
///     two1 = ram:1M
///     pair1 alias=fast uuid=67e55044-10b1-426f-9247-bb680e5fe0c9 = stripe:chunk=64K(one1,two1)
/// ";
/// let made = bdev::load(text).await?;
/// assert!(bdev::config().contains("pair1 alias=fast "));
/// for device in made.iter().rev() {
///     device.remove();
/// }
/// bdev::load(text).await?;
/// # for name in ["pair1", "one1", "two1"] { bdev::unregister(name)?; }
/// # Ok::<(), bdev::Error>(())
/// # }).unwrap();
/// ```
///
/// # Errors
/// [`Error::BadConfig`], which names the line. Then, and if the future is dropped, all that was made is taken away again.
pub async fn load(text: &str) -> Result<Vec<DeviceRef>> {
    let at = |number: usize| move |source| Error::BadConfig { line: number + 1, source: Box::new(source) };
    let mut lines = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if !line.is_empty() && !line.starts_with('#') {
            lines.push((number, read_line(line).map_err(at(number))?));
        }
    }
    let mut made = Made(Vec::new());
    for (number, (names, spec)) in lines {
        made.0.push(create(names, spec).await.map_err(at(number))?);
    }
    Ok(std::mem::take(&mut made.0))
}

/// What was made so far: taken away again unless all was.
struct Made(Vec<DeviceRef>);

impl Drop for Made {
    fn drop(&mut self) {
        for device in self.0.iter().rev() {
            drop(device.remove());
        }
    }
}

/// `NAME {alias=NAME} [uuid=UUID] = SPEC`
fn read_line(line: &str) -> Result<(Names, &str)> {
    let fault = |rest: &str, reason: &str| {
        let at = line.len() - rest.len()..line.len();
        Error::BadSpec { spec: line.to_owned(), at, reason: reason.to_owned() }
    };
    let mut rest = line;
    let name = word(&mut rest).map_err(|reason| fault(line, reason))?;
    let mut names = Names::new(name);
    loop {
        rest = rest.trim_start();
        if let Some(spec) = rest.strip_prefix('=') {
            let spec = spec.trim();
            return if spec.is_empty() {
                Err(no_spec(line, line.len()..line.len()))
            } else {
                Ok((names, spec))
            };
        }
        let start = rest;
        if let Some(after) = rest.strip_prefix("alias=") {
            rest = after;
            names = names.with_alias(word(&mut rest).map_err(|reason| fault(start, reason))?);
        } else if let Some(after) = rest.strip_prefix("uuid=") {
            rest = after;
            let text = word(&mut rest).map_err(|reason| fault(start, reason))?;
            let uuid = Uuid::try_parse(&text).map_err(|_| {
                fault(start, "no UUID: write one such as 67e55044-10b1-426f-9247-bb680e5fe0c8")
            })?;
            names = names.with_uuid(uuid);
        } else {
            return Err(fault(start, "behind a name stand alias=NAME, uuid=UUID, and then = SPEC"));
        }
    }
}

/// Takes a word, in quotes or up to a space.
fn word(rest: &mut &str) -> Result<String, &'static str> {
    let (text, len) = if rest.starts_with('"') {
        parse::unquote(rest).ok_or("the quote is not closed")?
    } else {
        let end = rest.find(char::is_whitespace).unwrap_or(rest.len());
        match &rest[..end] {
            "" | "=" => return Err("a name is missing"),
            text => (text.to_owned(), end),
        }
    };
    *rest = &rest[len..];
    Ok(text)
}
