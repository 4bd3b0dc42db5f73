//! What is no namespace of the kernel's, named as one. Those that are one are in `guest`, which has some.

use super::*;

async fn refused(spec: &str) -> String {
    use std::error::Error;
    let error = bdev::open(spec, Access::ReadWrite).await.unwrap_err();
    error.source().map_or(error.to_string(), |reason| format!("{error}: {reason}"))
}

#[test]
fn what_is_no_namespace_is_told_with_what_to_name() {
    on_a_core(async || {
        for other in ["/dev/null", "/proc", "/proc/version"] {
            for polls in ["", ",poll=true"] {
                let error = refused(&format!("ng:{other}{polls}")).await;
                let wanted = format!(
                    "the NVMe namespace {other}: {other} is no NVMe namespace: name a character device such as /dev/ng0n1"
                );
                assert_eq!(error, wanted);
            }
        }
        let error = refused("ng:/dev/ng4000n1").await;
        assert!(
            error.starts_with("the NVMe namespace /dev/ng4000n1: there is no /dev/ng4000n1: the kernel"),
            "{error}"
        );
        // Below another as well, and nothing of it stays.
        let error = refused("passthru(ng:/dev/ng4000n1)").await;
        assert!(error.contains("there is no /dev/ng4000n1"), "{error}");
        assert!(!bdev::names().iter().any(|name| name.contains("ng4000")));
    });
}

#[test]
fn what_is_written_wrong_is_told_with_how_to_write_it() {
    on_a_core(async || {
        for (spec, words) in [
            ("ng", "name the character device of a namespace, such as ng:/dev/ng0n1"),
            ("ng:\"\"", "such as ng:/dev/ng0n1"),
            ("ng:/dev/ng0n1,poll=maybe", "\"maybe\" is none of true, false"),
            ("ng:/dev/ng0n1,ns=1", "\"ns\" has no place here, or stands twice: write ng:/dev/ng0n1"),
            ("ng:/dev/ng0n1(ram:1M)", "ng stands on no other device"),
        ] {
            let error = refused(spec).await;
            assert!(error.contains(words), "{spec}: {error}");
        }
    });
}
