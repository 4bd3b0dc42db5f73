//! From devices to text and back: nothing is lost on the way, and a line that is wrong makes nothing.

use super::run;
use proptest::prelude::*;
use reactor::bdev::{
    self, Access, Error, Names, Op, info, kinds,
    modules::{Delay, Failure, Faulty, Injection, Latency, Mirror},
    open, register,
};
use std::time::Duration;
use uuid::Uuid;

/// Makes a device of `spec`, and again from what it says of itself: then it says the same.
async fn there_and_back(spec: &str) -> String {
    let made = bdev::create("there", spec).await.unwrap_or_else(|e| panic!("{spec}: {e}"));
    let first = info("there").unwrap();
    let text = bdev::config();
    made.remove().await;
    bdev::load(&text).await.unwrap_or_else(|e| panic!("{spec}, {text}: {e:?}"));
    let again = info("there").unwrap();
    assert_eq!(first, again, "{text}");
    drop(bdev::unregister("there").unwrap());
    first.spec.unwrap_or_else(|| panic!("{spec} has no spec"))
}

#[test]
fn every_kind_says_how_it_is_made_again() {
    let file = tempfile::Builder::new().prefix("a, (b) \"c\\").tempfile().unwrap();
    file.as_file().set_len(4 << 20).unwrap();
    let path = file.path().display().to_string();
    let quoted = format!("\"{}\"", path.replace('\\', "\\\\").replace('"', "\\\""));
    let key = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(key.path(), std::array::from_fn::<u8, 32, _>(|i| i as u8)).unwrap();
    #[allow(unused_mut, reason = "without those of the features")]
    let mut cases = vec![
        ("null", "null:1T".to_owned()),
        ("ram:1536K", "ram:1536K".to_owned()),
        ("ram:1000960", "ram:1000960".to_owned()),
        ("passthru(ram:1M)", "passthru(ram:1M)".to_owned()),
        ("delay(null)", "delay(null:1T)".to_owned()),
        ("delay:7us(null)", "delay:read_avg=7us,write_avg=7us(null:1T)".to_owned()),
        (
            "delay:avg=1s,read_p99=1500ns,other_p9999=3ms(null)",
            "delay:read_avg=1s,read_p99=1500ns,write_avg=1s,other_p9999=3ms(null:1T)".to_owned(),
        ),
        ("error(null)", "error(null:1T)".to_owned()),
        (
            "error:all=stall,write=corrupt,blocks=1..9,count=0,every=2(null)",
            "error:all=stall,write=corrupt,every=2,count=0,blocks=1..9(null:1T)".to_owned(),
        ),
        ("part:3..9(null)", "part:blocks=3..9(null:1T)".to_owned()),
        ("concat(null:1G,ram:512)", "concat(null:1G,ram:512)".to_owned()),
        ("stripe(null,null)", "stripe:chunk=64K(null:1T,null:1T)".to_owned()),
        ("mirror(ram:1M,ram:2M)", "mirror(ram:1M,ram:2M)".to_owned()),
        (
            "mirror:stale=2,stale=0(null,null,null)",
            "mirror:stale=0,stale=2(null:1T,null:1T,null:1T)".to_owned(),
        ),
        ("verify(ram:1M)", "verify(ram:1M)".to_owned()),
        (
            "zoned:1M,max_open=2,max_active=3(ram:4M)",
            "zoned:zone=1M,max_open=2,max_active=3(ram:4M)".to_owned(),
        ),
    ];
    let files = ["file", "poll"].map(|kind| (format!("{kind}:{path}"), quoted.clone()));
    run(async {
        for (spec, says) in &cases {
            assert_eq!(there_and_back(spec).await, *says);
        }
        for (spec, quoted) in &files {
            let said = there_and_back(spec).await;
            // A file system without direct I/O is not polled.
            assert!(said == format!("file:{quoted}") || said == format!("poll:{quoted}"), "{said}");
            let stacked = there_and_back(&format!("passthru({})", said)).await;
            assert_eq!(stacked, format!("passthru({said})"));
        }
        cases.extend(files.iter().map(|(spec, _)| (spec.as_str(), String::new())));
        if cfg!(feature = "crypt") {
            let spec = format!("crypt:key_file={}(ram:1M)", key.path().display());
            assert_eq!(there_and_back(&spec).await.replace('"', ""), spec);
        }
    });
    // `crypt` is above, `gpt` needs a disk with a table and `nvme` and `ng` a controller: they are with their own tests.
    for kind in kinds().filter(|kind| !["crypt", "gpt", "ng", "nvme"].contains(&kind.name())) {
        let is_of_it = |spec: &str| spec.split([':', '(']).next() == Some(kind.name());
        assert!(cases.iter().any(|(spec, _)| is_of_it(spec)), "no case of the kind {}", kind.name());
    }
}

#[test]
fn what_was_changed_while_it_ran_is_written_as_it_is() {
    run(async {
        bdev::create("slow", "delay:1s(ram:1M)").await.unwrap();
        bdev::create("bad", "error:read=media(ram:1M)").await.unwrap();
        bdev::create("pair", "mirror(slow,bad)").await.unwrap();
        let pair = open("pair", Access::ReadWrite).await.unwrap();
        pair.module_as::<Mirror>().unwrap().control().fail(1).unwrap();
        let slow = open("slow", Access::ReadOnly).await.unwrap();
        let delay = slow.module_as::<Delay>().unwrap();
        let us = Duration::from_micros;
        delay.set(
            bdev::modules::Delays::none().with_reads(Latency::fixed(us(3)).with_percentile(95.0, us(9))),
        );
        let bad = open("bad", Access::ReadOnly).await.unwrap();
        let faulty = bad.module_as::<Faulty>().unwrap();
        faulty.clear();
        faulty.inject(Injection::fail(Failure::NoSpace).on(Op::Write).times(3));
        assert_eq!(
            bdev::config(),
            "bad = error:write=no_space,count=3(ram:1M)\n\
             slow = delay:read_avg=3us,read_p95=9us(ram:1M)\n\
             pair = mirror:stale=1(slow,bad)\n"
        );
        // What no spec can say is not said wrong.
        delay.set(delay.delays().with_reads(Latency::fixed(us(3)).with_percentile(42.0, us(9))));
        faulty.inject(Injection::stall().on(Op::Read));
        let text = bdev::config();
        assert!(
            text.starts_with("# bad: no spec makes a device of the module error\n# slow: no spec"),
            "{text}"
        );
        assert!(text.ends_with("pair = mirror:stale=1(slow,bad)\n"), "{text}");
        drop((pair, slow, bad));
        let (pair, text) = (bdev::unregister("pair").unwrap(), "pair2 = mirror:stale=1(slow,bad)");
        pair.await;
        bdev::load(text).await.unwrap();
        assert_eq!(info("pair2").unwrap().spec.as_deref(), Some("mirror:stale=1(slow,bad)"));
    });
}

/// Each behind what it stands on, however deep that lies, and whatever the names are.
#[test]
fn devices_stand_behind_their_bases() {
    run(async {
        let text =
            "z = ram:1M\ny = passthru(z)\nc = ram:1M\nb = mirror(passthru(passthru(y)),c)\na = verify(b)\n";
        bdev::load(text).await.unwrap();
        let again = bdev::config();
        assert_eq!(again, text);
        bdev::finish().await.unwrap();
        bdev::load(&again).await.unwrap();
        assert_eq!(bdev::names(), ["a", "b", "c", "y", "z"]);
    });
}

#[test]
fn a_file_that_was_created_is_one_device_by_its_path_as_well() {
    let file = tempfile::NamedTempFile::new().unwrap();
    file.as_file().set_len(1 << 20).unwrap();
    let spec = format!("file:{}", file.path().display());
    run(async {
        bdev::create("disk", &spec).await.unwrap();
        let writer = open(&spec, Access::ReadWrite).await.unwrap();
        assert_eq!(writer.name(), "disk");
        assert!(matches!(
            open(&format!("passthru({spec})"), Access::ReadWrite).await,
            Err(Error::Busy { .. })
        ));
        let twice = bdev::create("again", &spec).await.unwrap_err().to_string();
        assert!(twice.contains("\"disk\" is known by that"), "{twice}");
        assert!(!bdev::config().contains("alias"), "{}", bdev::config());
        drop(writer);
        bdev::finish().await.unwrap();
        // While it is open by its path it is not created a second time.
        let open = open(&spec, Access::ReadOnly).await.unwrap();
        assert!(matches!(bdev::create("disk", &spec).await, Err(Error::BadName { .. })));
        drop(open);
        bdev::create("disk", &spec).await.unwrap();
    });
}

#[test]
fn a_line_that_is_wrong_is_named_and_leaves_nothing() {
    run(async {
        register("taken", bdev::modules::Null::new(512).unwrap()).unwrap();
        for (line, says) in [
            ("disk", "= SPEC"),
            ("disk =", "what is to be made?"),
            ("= ram:1M", "a name is missing"),
            ("\"disk = ram:1M", "the quote is not closed"),
            ("disk fast = ram:1M", "alias=NAME"),
            ("disk alias= = ram:1M", "a name is missing"),
            ("disk uuid=12 = ram:1M", "no UUID"),
            ("disk = nobody", "what is to be made?"),
            ("disk = passthru(nobody)", "no block device is named \"nobody\""),
            ("disk = ram:1x", "is no size"),
            ("disk = ram:1", "not whole blocks"),
            ("taken = ram:1M", "the name is taken"),
            ("first = ram:1M", "the name is taken"),
            ("disk alias=first = ram:1M", "the name is taken"),
            ("disk = passthru(disk)", "no block device is named \"disk\""),
            ("passthru(x) = passthru(passthru(x))", "no block device is named \"x\""),
        ] {
            let text =
                format!("# above\n\n  first = ram:1M\nsecond = passthru(first)\n{line}\nlast = ram:1M\n");
            match bdev::load(&text).await {
                Err(Error::BadConfig { line: 5, source }) => {
                    assert!(source.to_string().contains(says), "{line}: {source}");
                }
                other => panic!("{line}: {other:?}"),
            }
            assert_eq!(bdev::names(), ["taken"], "{line}");
        }
    });
}

/// A name that is a path to itself must not wait for itself.
#[test]
fn a_device_that_would_stand_on_itself_is_refused_at_once() {
    let file = tempfile::NamedTempFile::new().unwrap();
    file.as_file().set_len(1 << 20).unwrap();
    let spec = format!("file:{}", file.path().canonicalize().unwrap().display());
    run(async {
        let e = bdev::create(spec.as_str(), &format!("passthru({spec})")).await.unwrap_err();
        assert!(matches!(&e, Error::BadName { reason, .. } if reason.contains("being made")), "{e}");
    });
}

fn name() -> impl Strategy<Value = String> {
    // Whatever is no control character: quotes, backslashes, equals signs and kinds' own words included.
    prop_oneof!["[^\\p{Cc}]{1,12}", "[a-z\"\\\\=# ]{1,6}", Just("ram".to_owned()), Just("file:x".to_owned())]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever devices are called, they come back by the same names and stand on the same devices.
    #[test]
    fn names_come_back_as_they_were(
        names in prop::collection::btree_set(name(), 3..6), aliases in prop::collection::vec(name(), 0..3), id in 1_u128..,
    ) {
        run(async {
            let names: Vec<_> = names.into_iter().map(|name| name.trim().to_owned()).filter(|it| !it.is_empty()).collect();
            let mut below = None;
            let mut all: Vec<String> = Vec::new();
            for (number, name) in names.iter().enumerate() {
                let mut known = Names::new(name).with_uuid(Uuid::from_u128(id.wrapping_add(number as u128).max(1)));
                if let Some(alias) = aliases.get(number).filter(|alias| !names.contains(alias) && !all.contains(alias)) {
                    known = known.with_alias(alias);
                    all.push(alias.clone());
                }
                if bdev::names().contains(name) {
                    continue;
                }
                let made = match below.take() {
                    None => register(known, bdev::modules::Ram::new(1 << 20).unwrap()),
                    Some(base) => register(known, bdev::modules::Passthru::new(base)),
                };
                made.unwrap();
                below = Some(open(name, Access::ReadWrite).await.unwrap());
            }
            drop(below);
            let (before, text) = (bdev::list(), bdev::config());
            bdev::finish().await.unwrap();
            bdev::load(&text).await.unwrap_or_else(|e| panic!("{text}: {e:?}"));
            assert_eq!(bdev::list(), before, "{text}");
        });
    }

    /// Hostile text is refused, not believed, and never panics.
    #[test]
    fn any_text_is_read_or_refused(text in "([a-z\"\\\\=# ]{0,8}(=| alias=| uuid=|ram:1M|passthru|\\(|\\)|\n)?){0,8}") {
        run(async {
            let _ = bdev::load(&text).await;
        });
    }
}
