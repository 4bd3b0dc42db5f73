//! Modules look at what is registered: in two steps, at any time, and whatever becomes of them.

use super::{alone, poll, run, wait_turns};
use reactor::LocalExecutor;
use reactor::bdev::{
    self, Access, Claim, Descriptor, EXAMINE_SECONDS, Error, Examined, Module, Names, Result,
    modules::{Null, Passthru},
    open, register, unregister,
};
use reactor::sys::dma::DmaPool;
use reactor::time::Clock;
use std::future::pending;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What a [`Looker`] does in one of its steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Does {
    Nothing,
    Claims(Claim),
    Fails,
    Panics,
    NeverEnds,
}

/// A module that writes down what it is asked.
struct Looker {
    name: &'static str,
    init: Does,
    config: Does,
    disk: Does,
    fini: Does,
    seen: Arc<Mutex<Vec<String>>>,
    /// What it has claimed.
    claims: Mutex<Vec<Descriptor>>,
}

impl Looker {
    fn new(name: &'static str) -> Self {
        let [init, config, disk, fini] = [Does::Nothing; 4];
        Self { name, init, config, disk, fini, seen: Arc::default(), claims: Mutex::default() }
    }

    fn note(&self, what: &str) {
        self.seen.lock().unwrap().push(format!("{} {what}", self.name));
    }

    fn act(&self, does: Does, disk: Option<&Descriptor>) -> Result<()> {
        match does {
            Does::Nothing | Does::NeverEnds => Ok(()),
            Does::Claims(claim) => {
                self.claims.lock().unwrap().push(disk.unwrap().claim(claim, self.name)?);
                Ok(())
            }
            Does::Fails => Err(Error::NoSpace),
            Does::Panics => panic!("a module that panics"),
        }
    }
}

impl Module for Looker {
    fn name(&self) -> &'static str {
        self.name
    }

    async fn init(&self) -> Result<()> {
        self.note("init");
        self.act(self.init, None)
    }

    fn examine_config(&self, disk: &Descriptor) -> Result<()> {
        self.note(&format!("config {}", disk.name()));
        self.act(self.config, Some(disk))
    }

    async fn examine_disk(&self, disk: Descriptor) -> Result<()> {
        self.note(&format!("disk {}", disk.name()));
        disk.channel()?.read(0..8).await?;
        if self.disk == Does::NeverEnds {
            pending::<()>().await;
        }
        self.act(self.disk, Some(&disk))
    }

    async fn fini(&self) {
        self.claims.lock().unwrap().clear();
        self.note("fini");
        self.act(self.fini, None).unwrap();
    }
}

fn null() -> Null {
    Null::new(1 << 20).unwrap()
}

fn said(name: &str) -> Vec<(&'static str, Option<String>)> {
    let said = |Examined { module, failure, .. }| (module, failure);
    bdev::info(name).unwrap().examined.into_iter().map(said).collect()
}

/// The one failure that `name` has met.
fn failure(name: &str) -> String {
    let [(_, Some(failure))] = &said(name)[..] else { panic!("{:?}", said(name)) };
    failure.clone()
}

#[test]
fn modules_see_each_device_once_by_its_names_and_then_by_its_blocks() {
    run(async {
        let seen = Arc::default();
        register("early", null()).unwrap();
        bdev::add_module(Looker { seen: Arc::clone(&seen), ..Looker::new("one") }).await.unwrap();
        bdev::add_module(Looker { seen: Arc::clone(&seen), ..Looker::new("two") }).await.unwrap();
        bdev::examined().await;
        register("late", null()).unwrap();
        // What is open by a spec alone is nobody's to examine.
        let _transient = open("ram:1M", Access::ReadOnly).await.unwrap();
        assert!(said("late").is_empty(), "reading takes a task");
        bdev::examined().await;
        bdev::examined().await;
        for name in ["early", "late"] {
            assert_eq!(said(name).len(), 2);
            assert_eq!(bdev::info(name).unwrap().open, 0, "nobody has it open any more");
        }
        bdev::finish().await.unwrap();
        let seen = seen.lock().unwrap();
        let of = |who: &str| -> Vec<&str> { seen.iter().filter_map(|it| it.strip_prefix(who)).collect() };
        for who in ["one ", "two "] {
            assert_eq!(of(who), ["init", "config early", "disk early", "config late", "disk late", "fini"]);
        }
        assert_eq!(seen[seen.len() - 2..], ["two fini", "one fini"], "the last first");
    });
}

/// Nobody is quicker than a module that knows the device by its name.
#[test]
fn a_claim_by_configuration_is_there_before_the_device_can_be_opened() {
    run(async {
        let seen = Arc::default();
        let owner = Looker { config: Does::Claims(Claim::WriteOne), ..Looker::new("owner") };
        bdev::add_module(Looker { seen: Arc::clone(&seen), ..Looker::new("other") }).await.unwrap();
        bdev::add_module(Looker { seen: Arc::clone(&seen), ..owner }).await.unwrap();
        register("disk", null()).unwrap();
        let refused = open("disk", Access::ReadWrite).await.unwrap_err().to_string();
        assert!(refused.contains("in use by owner, to write alone"), "{refused}");
        bdev::examined().await;
        let seen = seen.lock().unwrap().join(", ");
        assert_eq!(seen, "other init, owner init, other config disk, owner config disk, owner disk disk");
    });
}

#[test]
fn of_two_that_claim_one_disk_the_second_is_told_who_has_it() {
    run(async {
        for name in ["one", "two"] {
            let looker = Looker { disk: Does::Claims(Claim::WriteOne), ..Looker::new(name) };
            bdev::add_module(looker).await.unwrap();
        }
        register("disk", null()).unwrap();
        bdev::examined().await;
        let [("one", None), ("two", Some(failure))] = &said("disk")[..] else { panic!("{:?}", said("disk")) };
        assert!(failure.contains("in use by one"), "{failure}");
        // The one that has it is not asked again.
        let e = bdev::examine("disk").await;
        assert!(e.is_ok(), "only those with a claim see it, and they have: {e:?}");
    });
}

/// In either step, and whatever goes wrong: it is told, the device is there and can be used, and another module is none the worse.
#[test]
fn an_examination_that_fails_or_panics_is_told_and_keeps_nobody() {
    run(async {
        for (does, says) in
            [(Does::Fails, "no space left"), (Does::Panics, "it panicked: a module that panics")]
        {
            for in_config in [true, false] {
                let seen = Arc::default();
                let (config, disk) = if in_config { (does, Does::Nothing) } else { (Does::Nothing, does) };
                bdev::add_module(Looker { config, disk, ..Looker::new("bad") }).await.unwrap();
                bdev::add_module(Looker { seen: Arc::clone(&seen), ..Looker::new("good") }).await.unwrap();
                register("disk", null()).unwrap();
                bdev::examined().await;
                let mut said = said("disk");
                said.sort();
                let [("bad", Some(failure)), ("good", None)] = &said[..] else { panic!("{said:?}") };
                assert!(failure.contains(says), "{failure}");
                assert!(seen.lock().unwrap().contains(&"good disk disk".to_owned()));
                // Asked by name, it is an error.
                let e = bdev::examine("disk").await.unwrap_err().to_string();
                assert!(e.starts_with("the module bad cannot examine \"disk\": ") && e.contains(says), "{e}");
                open("disk", Access::ReadWrite).await.unwrap().channel().unwrap().read(0..8).await.unwrap();
                bdev::finish().await.unwrap();
            }
        }
    });
}

#[test]
fn an_examination_that_never_ends_is_given_up() {
    let _alone = alone();
    let (clock, hand) = Clock::manual();
    let executor = LocalExecutor::with_clock(clock).unwrap();
    executor.block_on(async {
        bdev::add_module(Looker { disk: Does::NeverEnds, ..Looker::new("slow") }).await.unwrap();
        register("disk", null()).unwrap();
        let mut examined = Box::pin(bdev::examined());
        wait_turns(20).await;
        assert!(poll(&mut examined).is_pending());
        hand.advance(Duration::from_secs(EXAMINE_SECONDS - 1));
        wait_turns(20).await;
        assert!(poll(&mut examined).is_pending());
        hand.advance(Duration::from_secs(2));
        examined.await;
        assert!(failure("disk").contains("did not end within 30 seconds"), "{}", failure("disk"));
        assert_eq!(bdev::info("disk").unwrap().open, 0, "what it had open is closed");
        bdev::finish().await.unwrap();
        assert_eq!((bdev::names().len(), DmaPool::local().stats().in_use), (0, 0));
    });
}

#[test]
fn a_device_removed_while_it_is_examined_goes() {
    run(async {
        bdev::add_module(Looker { disk: Does::NeverEnds, ..Looker::new("slow") }).await.unwrap();
        register("disk", null()).unwrap();
        let asked = reactor::spawn_local(bdev::examine("disk"));
        wait_turns(20).await;
        assert_eq!(bdev::info("disk").unwrap().open, 1);
        unregister("disk").unwrap().await;
        bdev::examined().await;
        assert!(matches!(asked.await.unwrap(), Ok(()) | Err(Error::Removed)));
        assert!(matches!(bdev::examine("disk").await, Err(Error::NotFound { .. })));
    });
}

/// Who waits takes over what a core left undone when it ended.
#[test]
fn a_core_that_ends_leaves_the_rest_to_whoever_waits() {
    run(async {
        let seen = Arc::<Mutex<Vec<_>>>::default();
        let other = LocalExecutor::new().unwrap();
        bdev::add_module(Looker { disk: Does::NeverEnds, ..Looker::new("slow") }).await.unwrap();
        other.enter_with(|| register("disk", null()).unwrap());
        while bdev::info("disk").unwrap().open == 0 {
            other.turn();
        }
        let mut waits = Box::pin(bdev::examined());
        assert!(poll(&mut waits).is_pending());
        // Nobody looks any more, and whoever looks next finds a module that does its work.
        let mut removal = Box::pin(bdev::remove_module("slow"));
        assert!(poll(&mut removal).is_pending(), "it is still looking");
        bdev::add_module(Looker { seen: Arc::clone(&seen), ..Looker::new("quick") }).await.unwrap();
        drop(other);
        removal.await.unwrap();
        waits.await;
        assert_eq!(seen.lock().unwrap().join(", "), "quick init, quick config disk, quick disk disk");
    });
}

#[test]
fn what_is_registered_outside_of_a_reactor_is_examined_by_who_waits() {
    let _alone = alone();
    register("disk", null()).unwrap();
    LocalExecutor::new().unwrap().block_on(async {
        bdev::add_module(Looker::new("one")).await.unwrap();
    });
    std::thread::scope(|scope| scope.spawn(|| register("other", null()).unwrap()).join().unwrap());
    assert!(said("other").is_empty());
    assert!(matches!(
        poll(Box::pin(bdev::examine("disk"))),
        std::task::Poll::Ready(Err(Error::NotOnReactor(_)))
    ));
    LocalExecutor::new().unwrap().block_on(async {
        bdev::examined().await;
        assert_eq!((said("disk").len(), said("other").len()), (1, 1));
        bdev::finish().await.unwrap();
    });
}

#[test]
fn without_being_asked_nothing_is_examined_where_that_is_off() {
    run(async {
        bdev::add_module(Looker::new("one")).await.unwrap();
        bdev::set_auto_examine(false);
        register("disk", null()).unwrap();
        bdev::add_module(Looker::new("two")).await.unwrap();
        bdev::examined().await;
        let before = said("disk");
        let asked = bdev::examine("disk").await;
        bdev::set_auto_examine(true);
        assert!(before.is_empty(), "{before:?}");
        asked.unwrap();
        assert_eq!(said("disk").len(), 2);
    });
}

#[test]
fn modules_that_cannot_begin_or_end_say_so() {
    run(async {
        let refused = async |looker: Looker| match bdev::add_module(looker).await {
            Err(Error::Module { module, reason }) => (module, reason),
            other => panic!("{other:?}"),
        };
        for (init, says) in [(Does::Fails, "no space left"), (Does::Panics, "it panicked")] {
            let (module, reason) = refused(Looker { init, ..Looker::new("one") }).await;
            assert!(
                module == "one" && reason.contains("does not start") && reason.contains(says),
                "{reason}"
            );
        }
        bdev::add_module(Looker { fini: Does::Panics, ..Looker::new("one") }).await.unwrap();
        let seen = Arc::<Mutex<Vec<_>>>::default();
        let (_, reason) = refused(Looker { seen: Arc::clone(&seen), ..Looker::new("one") }).await;
        assert!(reason.contains("remove it first") && seen.lock().unwrap().is_empty(), "{reason}");
        let ended = bdev::remove_module("one").await.unwrap_err().to_string();
        assert!(ended.contains("did not end well: it panicked"), "{ended}");
        let missing = bdev::remove_module("one").await.unwrap_err().to_string();
        assert_eq!(missing, "the module one: there is none of that name");
        bdev::add_module(Looker::new("one")).await.unwrap();
    });
}

/// Makes a device over one that it knows by its UUID, as soon as that is there: what a configuration that names what may come
/// later needs.
struct OnArrival {
    of: uuid::Uuid,
    made: AtomicUsize,
}

impl Module for OnArrival {
    fn name(&self) -> &'static str {
        "arrival"
    }

    fn examine_config(&self, disk: &Descriptor) -> Result<()> {
        if disk.info().uuid == Some(self.of) {
            register("above", Passthru::new(disk.claim(Claim::WriteOne, "arrival")?))?;
            self.made.fetch_add(1, SeqCst);
        }
        Ok(())
    }

    fn config(&self) -> String {
        // What is there says so itself.
        if bdev::info("above").is_ok() { String::new() } else { format!("above = passthru({})", self.of) }
    }
}

/// It comes and goes with its base; what a module would still make is in the configuration, and what is there is in it once.
#[test]
fn a_module_makes_its_device_whenever_the_base_appears() {
    run(async {
        let of = uuid::Uuid::from_u128(77);
        bdev::add_module(OnArrival { of, made: AtomicUsize::new(0) }).await.unwrap();
        register("another", null()).unwrap();
        for _ in 0..3 {
            assert_eq!(bdev::config(), format!("another = null:1M\n# arrival\nabove = passthru({of})\n"));
            let disk = register(Names::new("disk").with_uuid(of), null()).unwrap();
            let above = open("above", Access::ReadWrite).await.unwrap();
            assert_eq!(above.info().bases, ["disk"]);
            let text = format!("disk uuid={of} = null:1M\nabove = passthru(disk)\nanother = null:1M\n");
            assert_eq!(bdev::config(), text);
            drop(above);
            disk.remove().await;
            assert_eq!(bdev::names(), ["another"]);
        }
    });
}

/// A module whose registration is refused: the device that it had claimed is free again.
#[test]
fn a_name_that_is_taken_refuses_what_a_module_makes_and_its_claim_ends() {
    run(async {
        let of = uuid::Uuid::from_u128(78);
        register("above", null()).unwrap();
        bdev::add_module(OnArrival { of, made: AtomicUsize::new(0) }).await.unwrap();
        register(Names::new("disk").with_uuid(of), null()).unwrap();
        let failure = failure("disk");
        assert!(failure.contains("\"above\" cannot be registered: the name is taken"), "{failure}");
        assert_eq!(bdev::info("disk").unwrap().claim, None);
        open("disk", Access::ReadWrite).await.unwrap();
    });
}
