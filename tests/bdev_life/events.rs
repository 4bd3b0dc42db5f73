//! What happens to a device is told: to who listens, and to what stands on it.

use super::modules::{Pass, stretch};
use super::{block_on, poll};
use reactor::bdev::{
    self, Access, Error, Event, Geometry, Media, modules::Ram, names, open, open_private, register,
    unregister,
};

#[test]
fn a_resize_is_told_checked_and_followed_through_a_stack() {
    block_on(async {
        let (base, device) = stretch();
        let top = open_private("top", Pass::over(&base), Access::ReadWrite).unwrap();
        let mut events = [base.events(), base.events(), top.events()];
        let channel = top.channel().unwrap();
        assert!(matches!(channel.read(8..9).await, Err(Error::OutOfRange { block_count: 8, .. })));

        device.resize(64).unwrap();
        assert_eq!((base.geometry().block_count, channel.geometry().block_count), (64, 64));
        channel.read(8..64).await.unwrap();
        device.resize(64).unwrap();
        device.resize(16).unwrap();
        device.resize(4).unwrap();
        assert!(matches!(channel.read(4..5).await, Err(Error::OutOfRange { block_count: 4, .. })));
        assert!(matches!(device.resize(0), Err(Error::BadGeometry { .. })));
        for events in &mut events {
            let now = Event::Resized(Geometry::new(512, 4));
            assert_eq!(events.next().await, Some(now), "of those that nobody read, the last");
            assert_eq!(events.try_next(), None);
        }
        device.media_managed(Media::new(2..3));
        for mut events in events {
            assert_eq!(events.next().await, Some(Event::MediaManaged(Media::new(2..3))));
        }
    });
}

/// A medium that goes on telling fills no memory where nobody reads, and no block that it named is lost.
#[test]
fn what_nobody_reads_of_the_medium_is_put_together() {
    block_on(async {
        let (disk, device) = stretch();
        let media = |events: &mut bdev::Events| {
            let mut all = Vec::new();
            while let Some(event) = events.try_next() {
                match event {
                    Event::MediaManaged(Media { blocks, .. }) => all.push(blocks),
                    event => assert!(matches!(event, Event::Resized(_)), "{event:?}"),
                }
            }
            all
        };
        let mut events = disk.events();
        for blocks in [4..6, 0..2, 6..8, 3..4] {
            device.media_managed(Media::new(blocks));
        }
        assert_eq!(media(&mut events), [3..8, 0..2]);

        let named: Vec<_> = (0..10_000).map(|number| number * 7919 % 100_000 * 3).collect();
        for (round, block) in named.iter().enumerate() {
            device.media_managed(Media::new(*block..block + 1));
            // Events of another kind in between are few as well.
            device.resize(8 + round as u64 % 3).unwrap();
        }
        let all = media(&mut events);
        assert!((2..=64).contains(&all.len()), "{}", all.len());
        assert!(named.iter().all(|block| all.iter().any(|blocks| blocks.contains(block))));
    });
}

#[test]
fn a_removal_is_told_up_the_stack_and_over_when_the_last_descriptor_is_closed() {
    block_on(async {
        register("life-base", Ram::new(1 << 20).unwrap()).unwrap();
        let base = open("life-base", Access::ReadWrite).await.unwrap();
        let pass = Pass::over(&base);
        let changes = pass.changes.clone();
        drop(base);
        register("life-top", pass).unwrap();
        let top = open("life-top", Access::ReadWrite).await.unwrap();
        let channel = top.channel().unwrap();
        let mut events = top.events();

        let mut removal = unregister("life-base").unwrap();
        assert!(!names().iter().any(|name| name.starts_with("life-")), "what stands on it goes with it");
        assert_eq!(*changes.lock().unwrap(), [(0, Event::Removed)]);
        assert_eq!(events.next().await, Some(Event::Removed));
        assert_eq!(events.next().await, None);
        assert_eq!(top.events().next().await, Some(Event::Removed), "who comes late is told as well");
        assert!(matches!(channel.read(0..1).await, Err(Error::Removed)));
        assert!(matches!(top.channel(), Err(Error::Removed)));

        drop(top);
        assert!(poll(&mut removal).is_pending());
        assert_eq!(removal.open_descriptors(), 1);
        drop(channel);
        removal.await;
    });
}
