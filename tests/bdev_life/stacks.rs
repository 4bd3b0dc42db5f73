//! What stands on a device that goes, or panics, or is held: the same for every kind there is.

use super::modules::{How, Made, Pass, SHAPE, SHELF};
use super::{block_on, in_use, poll, wait_turns};
use reactor::bdev::{
    self, Access, Bdev, Channel, Descriptor, Done, Error, Geometry, Io, Result, Submit, open, open_private,
    register, unregister,
};
use reactor::{spawn_local, yield_now};
use std::cell::RefCell;
use std::time::Duration;

/// One of each kind that stands on others. The device that goes is called `goes`.
const SPECS: &[&str] = &[
    "passthru(goes)",
    "delay:avg=1us(goes)",
    "error:read=media,skip=1000000(goes)",
    "part:blocks=7..1000(goes)",
    "concat(ram:64K,goes)",
    "stripe:chunk=4K(goes,ram:512K)",
    "mirror(ram:512K,goes)",
    "verify(goes)",
    "zoned:zone=64K(goes)",
    "passthru(mirror(goes,delay:1us(ram:1M)))",
];

/// Kinds that want something beside a device: a key, for which see below, or a table on it, behind which there is a `part`.
const OTHERS: &[&str] = &["crypt", "gpt"];

#[test]
fn whatever_stands_on_a_device_ends_its_io_when_that_goes() {
    for kind in bdev::kinds().filter(|kind| kind.form().contains("SPEC")) {
        let is_of_it = |spec: &&str| spec.split([':', '(']).next() == Some(kind.name());
        assert!(
            SPECS.iter().any(is_of_it) || OTHERS.contains(&kind.name()),
            "no spec of the kind {}",
            kind.name()
        );
    }
    let key = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(key.path(), std::array::from_fn::<u8, 64, _>(|at| at as u8)).unwrap();
    let crypt = cfg!(feature = "crypt").then(|| format!("crypt:key_file={}(goes)", key.path().display()));
    for spec in SPECS.iter().copied().chain(crypt.as_deref()) {
        for (how, grace) in [(How::Keeps, 0), (How::Shelves, 0), (How::AfterTurns(16), 60)] {
            block_on(async {
                let before = in_use();
                let grace = Duration::from_secs(grace);
                register("goes", Made { grace, ..Made::new(how) }).unwrap();
                let disk = open(spec, Access::ReadWrite).await.unwrap();
                let channel = disk.channel().unwrap();
                let reads = (0..16).map(|number| {
                    let channel = channel.clone();
                    spawn_local(async move {
                        let blocks = number * 37 % 900..number * 37 % 900 + 8;
                        match number % 4 {
                            0 => channel.write(blocks.start, channel.alloc(8 * 512).await?).await,
                            1 => channel.flush().await,
                            _ => channel.read(blocks).await.map(drop),
                        }
                    })
                });
                let ios: Vec<_> = reads.collect();
                wait_turns(4).await;
                let removal = unregister("goes").unwrap();
                for io in ios {
                    match io.await.unwrap() {
                        // A zone is not written in its midst.
                        Ok(()) | Err(Error::Removed | Error::Zone { .. }) => {}
                        Err(e) => panic!("{spec} on one that {how:?}: {e}"),
                    }
                }
                let goes_on = spec.contains("mirror");
                let next = channel.read(0..8).await;
                assert!(
                    if goes_on { next.is_ok() } else { matches!(next, Err(Error::Removed)) },
                    "{spec}: {next:?}"
                );
                assert_eq!((channel.stats().in_flight, channel.in_flight().len()), (0, 0), "{spec}");
                drop((next, channel, disk));
                SHELF.with(RefCell::take);
                removal.await;
                assert_eq!(in_use(), before, "{spec} on one that {how:?}: a buffer leaked");
            });
        }
    }
}

/// Panics when it is asked for block seven: at once, or when it has waited.
struct Panics(u32);
struct PanicsChannel(u32);

impl Bdev for Panics {
    type Channel = PanicsChannel;
    fn module(&self) -> &'static str {
        "panics"
    }
    fn geometry(&self) -> Geometry {
        SHAPE.with_max_io_blocks(8)
    }
    fn channel(&self, _access: Access) -> Result<PanicsChannel> {
        Ok(PanicsChannel(self.0))
    }
}

impl Submit for PanicsChannel {
    async fn submit(&self, io: Io) -> Done {
        for _ in 0..self.0 {
            yield_now().await;
        }
        assert!(!io.range().contains(&7), "block seven");
        io.done(Ok(()))
    }
}

/// Who asked is told by the panic, nobody else notices, and nothing is left of it.
#[test]
fn a_module_that_panics_takes_nothing_but_its_caller_along() {
    block_on(async {
        for turns in 0..3 {
            for layers in 0..3 {
                let before = in_use();
                let base = open_private("panics", Panics(turns), Access::ReadWrite).unwrap();
                let below = base.channel().unwrap();
                let over =
                    |base: Descriptor, _| open_private("over", Pass::over(&base), Access::ReadWrite).unwrap();
                let disk = (0..layers).fold(base, over);
                let channel = disk.channel().unwrap();
                let spawn = |kind: u64, at: u64| {
                    let channel = channel.clone();
                    spawn_local(async move {
                        match kind {
                            0 => channel.read(at..at + 1).await.map(drop),
                            1 => channel.write(at, channel.alloc(512).await.unwrap()).await,
                            // In pieces, and by the layer's hand.
                            2 => channel.read(at..at + 100).await.map(drop),
                            3 => channel.write_zeroes(at..at + 20).await,
                            _ => channel.copy(at..at + 20, 500).await,
                        }
                    })
                };
                for kind in 0..5 {
                    let [panics, lives] = [spawn(kind, 7), spawn(kind, 8)];
                    assert!(panics.await.is_err(), "{kind}, {turns} turns, {layers} layers");
                    lives.await.unwrap().unwrap();
                }
                // Compared and written: blocks that panicked are free again.
                let swap = async |channel: Channel| {
                    let page = channel.alloc(512).await?.freeze();
                    match channel.compare_and_write(7, page.clone(), page).await {
                        Err(Error::Miscompare { .. }) => Ok(()),
                        other => other,
                    }
                };
                for _ in 0..2 {
                    assert!(spawn_local(swap(channel.clone())).await.is_err());
                }
                drop(disk.quiesce().await.unwrap());
                for channel in [&below, &channel] {
                    assert_eq!(channel.stats().in_flight, 0, "{turns} turns, {layers} layers");
                    assert!(channel.in_flight().is_empty());
                }
                assert_eq!(in_use(), before);
            }
        }
    });
}

/// What is told on a thread that is no core reaches who listens, on the core on which he does.
#[test]
fn events_reach_the_core_that_listens_from_any_thread() {
    let (disk, device) = super::modules::stretch();
    block_on(async {
        let here = std::thread::current().id();
        let mut events = disk.events();
        let listens = spawn_local(async move {
            let mut seen = Vec::new();
            while let Some(event) = events.next().await {
                assert_eq!(std::thread::current().id(), here);
                seen.push(event);
            }
            seen
        });
        wait_turns(2).await;
        std::thread::spawn(move || {
            device.resize(64).unwrap();
            device.media_managed(bdev::Media::new(0..4));
            drop(device.remove());
        });
        let seen = listens.await.unwrap();
        let [bdev::Event::Resized(shape), bdev::Event::MediaManaged(_), bdev::Event::Removed] = &seen[..]
        else {
            panic!("{seen:?}")
        };
        assert_eq!(shape.block_count, 64);
        let mut late = Box::pin(async { disk.channel().map(drop) });
        assert!(poll(&mut late).is_ready());
    });
}
