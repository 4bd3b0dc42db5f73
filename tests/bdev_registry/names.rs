//! Names, aliases and UUIDs: each is one device's, and a registration takes all of its own or none.

use super::{alone, run};
use reactor::bdev::{
    self, Access, Bdev, Descriptor, Error, Info, Names, Result, modules::Null, modules::Passthru, open,
    open_private, register, unregister,
};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use uuid::Uuid;

const ID: Uuid = Uuid::from_u128(0x6ba7_b810_9dad_11d1_80b4_00c0_4fd4_30c8);

fn null() -> Null {
    Null::new(1 << 20).unwrap()
}

fn refusal<T: std::fmt::Debug>(result: Result<T>) -> (String, String) {
    match result {
        Err(Error::BadName { name, reason }) => (name, reason),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_device_is_found_by_whatever_it_is_called() {
    run(async {
        let names = Names::new("disk").with_alias("one").with_alias("other").with_alias("one").with_uuid(ID);
        register(names, null()).unwrap();
        let id = ID.to_string();
        for name in ["disk", "one", "other", &id, &id.to_uppercase()] {
            let disk = open(name, Access::ReadOnly).await.unwrap();
            assert_eq!(disk.name(), "disk");
            // In a spec too, where it is the same device by whatever name.
            let above = open(&format!("passthru({name})"), Access::ReadOnly).await.unwrap();
            assert_eq!((above.name(), bdev::info(name).unwrap().name.as_str()), ("passthru(disk)", "disk"));
        }
        assert_eq!(bdev::names(), ["disk"]);
        unregister("other").unwrap();
        for name in ["disk", "one", "other", &id] {
            assert!(matches!(open(name, Access::ReadOnly).await, Err(Error::NotFound { .. })), "{name}");
        }
    });
}

#[test]
fn a_clash_takes_none_of_the_names_and_says_which_and_with_whom() {
    run(async {
        let id = ID.to_string();
        register(Names::new("disk").with_alias("alias").with_uuid(ID), null()).unwrap();
        let free = Names::new("free").with_alias("more");
        let cases: [(Names, &str, &str); 7] = [
            (Names::new("disk").with_alias("free"), "disk", "the name is taken: unregister that device"),
            (Names::new("alias").with_alias("free"), "alias", "\"disk\" is known by that"),
            (Names::new(&id).with_alias("free"), &id, "\"disk\" is known by that"),
            (free.clone().with_alias("disk"), "disk", "the name is taken"),
            (free.clone().with_alias("alias"), "alias", "\"disk\" is known by that"),
            (free.clone().with_alias(id.to_uppercase()), &id, "\"disk\" is known by that"),
            (free.clone().with_uuid(ID), &id, "\"disk\" is known by that"),
        ];
        for (names, at, says) in cases {
            let (name, reason) = refusal(register(names.clone(), null()));
            assert!(name == at && reason.contains(says), "{names:?}: {name}: {reason}");
            let (name, _) = refusal(bdev::create(names, "ram:1M").await);
            assert_eq!(name, at);
            assert_eq!(bdev::names(), ["disk"]);
        }
        // None of them was taken on the way.
        register(free, null()).unwrap();
        // What is open by its spec has that name, and what is dead has none.
        let ram = open("ram:1M", Access::ReadOnly).await.unwrap();
        let (_, reason) = refusal(register(ram.name(), null()));
        assert!(reason.contains("is open: close it first"), "{reason}");
        let name = ram.name().to_owned();
        drop(ram);
        register(name, null()).unwrap();
    });
}

#[test]
fn what_cannot_be_a_name_is_refused() {
    run(async {
        for (names, says) in [
            (Names::new(""), "at least one character"),
            (Names::new("a").with_alias(""), "at least one character"),
            (Names::new("a\nb"), "control characters"),
            (Names::new("a").with_alias("tab\t"), "control characters"),
            (Names::new("a").with_uuid(Uuid::nil()), "nil UUID"),
        ] {
            let (_, reason) = refusal(register(names.clone(), null()));
            assert!(reason.contains(says), "{names:?}: {reason}");
        }
        register("disk", null()).unwrap();
        for alias in ["", "\r"] {
            refusal(bdev::add_alias("disk", alias));
        }
        assert_eq!(bdev::names(), ["disk"]);
    });
}

#[test]
fn aliases_come_and_go_and_names_stay() {
    run(async {
        register(Names::new("disk").with_uuid(ID), null()).unwrap();
        register("second", null()).unwrap();
        bdev::add_alias("disk", "fast").unwrap();
        bdev::add_alias("fast", "faster").unwrap();
        assert_eq!(bdev::info("faster").unwrap().aliases, ["fast", "faster"]);
        for taken in ["fast", "disk", "second", &ID.to_string()] {
            refusal(bdev::add_alias("disk", taken));
            refusal(bdev::add_alias("second", taken));
        }
        bdev::remove_alias("fast").unwrap();
        for kept in ["fast", "disk", &ID.to_string(), "nobody"] {
            assert!(matches!(bdev::remove_alias(kept), Err(Error::NotFound { .. })), "{kept}");
        }
        assert!(matches!(bdev::add_alias("nobody", "x"), Err(Error::NotFound { .. })));
        bdev::add_alias("second", "fast").unwrap();
        assert_eq!(bdev::info("fast").unwrap().name, "second");
        drop(unregister("second").unwrap());
        // Free with its device.
        bdev::add_alias("disk", "fast").unwrap();
    });
}

#[test]
fn what_is_told_of_a_device_is_what_it_is() {
    run(async {
        register(Names::new("disk").with_alias("alias").with_uuid(ID), null()).unwrap();
        let writer = open("disk", Access::ReadWrite).await.unwrap();
        let reader = open("disk", Access::ReadOnly).await.unwrap();
        let above = open("passthru(ram:1M)", Access::ReadOnly).await.unwrap();
        let info = writer.info();
        assert_eq!(info, bdev::info("alias").unwrap());
        assert_eq!((info.open, info.writers, info.is_registered, info.module), (2, 1, true, "null"));
        assert_eq!((info.uuid, info.aliases), (Some(ID), vec!["alias".to_owned()]));
        assert_eq!(info.spec.as_deref(), Some("null:1M"));
        let Info { bases, is_registered, open, spec, .. } = above.info();
        assert_eq!((bases, is_registered, open), (vec!["ram:1048576".to_owned()], false, 1));
        assert_eq!(spec.as_deref(), Some("passthru(ram:1M)"));
        let names: Vec<_> = bdev::list().into_iter().map(|info| info.name).collect();
        assert_eq!(names, ["disk", above.name()]);
        drop((reader, above, writer));
        assert_eq!(bdev::list().len(), 1);
    });
}

/// It would stay for ever: what takes a device away does so once.
#[test]
fn a_device_that_went_before_it_was_registered_is_not_registered() {
    run(async {
        register("base", null()).unwrap();
        let base = open("base", Access::ReadWrite).await.unwrap();
        drop(unregister("base").unwrap());
        assert!(matches!(register("above", Passthru::new(base)), Err(Error::Removed)));
        assert_eq!(bdev::names(), [""; 0]);
    });
}

/// A module whose device panics as it is made.
struct Panics(Descriptor);
impl Bdev for Panics {
    type Channel = <Passthru as Bdev>::Channel;
    fn module(&self) -> &'static str {
        "panics"
    }
    fn geometry(&self) -> bdev::Geometry {
        self.0.geometry()
    }
    fn attached(&self, _device: bdev::DeviceRef) {
        panic!("not today");
    }
    fn channel(&self, _access: Access) -> Result<Self::Channel> {
        unreachable!("it is never made")
    }
}

#[test]
fn a_name_is_free_again_when_the_making_fails_or_panics() {
    run(async {
        let base = open_private("base", null(), Access::ReadWrite).unwrap();
        let made = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            register(Names::new("disk").with_alias("alias"), Panics(base))
        }));
        assert!(made.is_err());
        bdev::create("disk", "passthru(nobody)").await.unwrap_err();
        bdev::create("disk", "ram:1").await.unwrap_err();
        register(Names::new("disk").with_alias("alias"), null()).unwrap();
    });
}

/// Each key has at most one owner at a time, whoever comes from wherever.
#[test]
fn names_are_one_devices_among_threads() {
    const KEYS: [&str; 4] = ["thread-a", "thread-b", "thread-c", "thread-d"];
    let _alone = alone();
    let owners = KEYS.map(|_| AtomicUsize::new(0));
    let won = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for thread in 1..=4 {
            let (owners, won) = (&owners, &won);
            scope.spawn(move || {
                let mut state = thread;
                for _ in 0..2_000 {
                    state = usize::wrapping_mul(state, 1_103_515_245).wrapping_add(12_345);
                    let (first, second) = ((state >> 8) % 4, (state >> 16) % 4);
                    let names = Names::new(KEYS[first]).with_alias(KEYS[second]);
                    let Ok(device) = register(names, null()) else { continue };
                    won.fetch_add(1, SeqCst);
                    let mine = if first == second { vec![first] } else { vec![first, second] };
                    for key in &mine {
                        assert_eq!(owners[*key].swap(thread, SeqCst), 0, "{} has two owners", KEYS[*key]);
                        assert_eq!(bdev::info(KEYS[*key]).unwrap().name, KEYS[first]);
                    }
                    for key in &mine {
                        owners[*key].store(0, SeqCst);
                    }
                    drop(device.remove());
                }
            });
        }
    });
    assert!(won.into_inner() >= 2_000 / 4, "they hardly ever won");
    assert_eq!(bdev::names(), [""; 0]);
}
