//! Coming up, and not coming up.

use super::*;
use crate::nvme::Error;
use crate::nvme::soft::Fault;
use crate::spawn_local;

#[test]
fn a_controller_is_brought_up_and_says_what_it_is() {
    // Without SGLs a page of PRP entries is the limit.
    let soft = SoftConfig { has_sgl: false, ..SoftConfig::default() };
    on_a_core(soft, Config::default(), async |_, controller, _works| {
        assert_eq!(controller.identity().model(), "software controller");
        assert_eq!(controller.version().to_string(), "2.0.0");
        assert_eq!(controller.namespaces().await.unwrap(), [1]);
        let disk = disk_of(&controller).await;
        assert_eq!(
            (
                disk.namespace().id(),
                disk.namespace().size(),
                disk.namespace().block_size(),
                disk.transfer_max()
            ),
            (1, 2048, 512, 2 << 20)
        );
        assert!(matches!(controller.namespace(2).await, Err(Error::NoNamespace(2))));
        let refused = controller.namespace(0).await.unwrap_err();
        assert_eq!(
            refused.to_string(),
            "the controller refused: Invalid Namespace or Format (0x400b, do not retry)"
        );
    });
}

#[test]
fn a_controller_that_never_becomes_ready_is_given_up_in_its_time() {
    let device = SoftController::default();
    device.set_stuck(true);
    let attached = in_virtual_time(&device, Controller::attach(device.clone(), Config::default()));
    let error = attached.unwrap_err().to_string();
    assert_eq!(
        error,
        "the controller did not become ready within 500ms, which is what it says it needs (CAP.TO)"
    );
    device.set_stuck(false);
    in_virtual_time(&device, Controller::attach(device.clone(), Config::default())).unwrap();
}

#[test]
fn an_admin_queue_that_is_silent_is_given_up() {
    let device = SoftController::default();
    device.set_silent(true);
    let config =
        Config { admin_timeout: Duration::from_secs(7), end_patience: Duration::ZERO, ..Config::default() };
    let attached = in_virtual_time(&device, Controller::attach(device.clone(), config));
    assert!(matches!(attached, Err(Error::AdminTimeout(limit)) if limit == Duration::from_secs(7)));
}

#[test]
fn a_controller_that_will_not_be_disabled_keeps_what_it_may_touch() {
    let device = SoftController::default();
    let worker = device.clone();
    in_virtual_time(&device, async move {
        let controller = Controller::attach(worker.clone(), entries(8)).await.unwrap();
        let disk = disk_of(&controller).await;
        worker.inject(Fault::Delay(10_000));
        let reading = spawn_local(async move { disk.read(0, buffer(512, 0)).await.0 });
        turns().await;
        worker.set_stuck(true);
        let closed = controller.close().await;
        assert!(matches!(closed, Err(Error::NotReady { ready: false, .. })), "{closed:?}");
        reading.abort();
    });
    // The core has ended. What the device does now, it does to memory that is nobody else's.
    (0..10_000).for_each(|_| _ = device.step());
    let again = in_virtual_time(&device, Controller::attach(device.clone(), Config::default()));
    assert!(matches!(again, Err(Error::Busy)), "it was never let go");
}
