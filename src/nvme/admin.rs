//! What else is asked of a controller: logs, features, namespaces, formats and firmware, each as a method.

use super::device::Device;
use super::link::Link;
use super::prp::PAGE;
use super::spec::{
    ALL_NAMESPACES, Command, ControllerList, FeatureId, FeatureSelect, FirmwareLog, FormatOptions,
    IdentifyController, IdentifyNamespace, IdentifyWhat, LogPage, SmartLog,
};
use super::{Controller, Error, Payload};
use crate::sys::dma::{DmaBuf, DmaBytes, DmaPool};
use std::sync::Arc;
use zerocopy::{FromBytes, IntoBytes};

impl<D: Device> Controller<D> {
    /// Reads `bytes` of a log from `offset` on, of one namespace or of [all](ALL_NAMESPACES). What it tells of by an asynchronous event
    /// counts as seen.
    ///
    /// # Errors
    /// As the controller answers, or does not.
    ///
    /// # Panics
    /// If either is no multiple of 4, or `bytes` is 0.
    pub async fn log(&self, page: LogPage, nsid: u32, offset: u64, bytes: u32) -> Result<Vec<u8>, Error> {
        assert!(offset % 4 == 0, "logs are read in doublewords: offset {offset}");
        let mut log = Vec::with_capacity(bytes as usize);
        while log.len() < bytes as usize {
            // A page at a time: every controller transfers as much.
            let left = bytes - log.len() as u32;
            let piece = self.link().log(page, nsid, offset + log.len() as u64, left.min(PAGE as u32)).await?;
            log.extend_from_slice(&piece);
        }
        Ok(log)
    }

    /// Its health (Base 2.0 §5.16.1.3).
    ///
    /// # Errors
    /// As [`log`](Self::log).
    pub async fn health(&self) -> Result<SmartLog, Error> {
        let page = self.log(LogPage::SMART, ALL_NAMESPACES, 0, size_of::<SmartLog>() as u32).await?;
        Ok(SmartLog::read_from_bytes(&page).expect("it is as long"))
    }

    /// Its firmware slots (Base 2.0 §5.16.1.4).
    ///
    /// # Errors
    /// As [`log`](Self::log).
    pub async fn firmware(&self) -> Result<FirmwareLog, Error> {
        let page = self.log(LogPage::FIRMWARE, ALL_NAMESPACES, 0, size_of::<FirmwareLog>() as u32).await?;
        Ok(FirmwareLog::read_from_bytes(&page).expect("it is as long"))
    }

    /// A feature's value, of the controller (0) or of a namespace (Base 2.0 §5.15). Those that have data are read by
    /// [`admin`](Self::admin).
    ///
    /// # Errors
    /// As the controller answers, or does not.
    pub async fn feature(&self, id: FeatureId, nsid: u32, select: FeatureSelect) -> Result<u32, Error> {
        self.link().ask(Command::get_features(id, nsid, select)).await.map(|value| value as u32)
    }

    /// Sets a feature, for good if `save` (Base 2.0 §5.27). What the driver sets itself (queues, events, keep-alive, arbitration) it
    /// sets again with every reset; anything else is the caller's to set again after [`Event::Reset`](super::Event::Reset), unless it
    /// is saved.
    ///
    /// # Errors
    /// As the controller answers, or does not.
    pub async fn set_feature(&self, id: FeatureId, nsid: u32, value: u32, save: bool) -> Result<u32, Error> {
        self.link().ask(Command::set_features(id, nsid, value, save)).await.map(|value| value as u32)
    }

    /// Formats a namespace, or all: **what is on it is lost** (Base 2.0 §5.14). It may take longer than an
    /// [admin command may](super::Config::admin_timeout). I/O that was sent before is answered first; each
    /// [`Namespace`](super::Namespace) that was given out of it is [gone](super::Namespace::is_gone) from now on, also if the format
    /// fails.
    ///
    /// # Errors
    /// As the controller answers, or does not.
    pub async fn format(&self, nsid: u32, options: FormatOptions) -> Result<(), Error> {
        self.admin(Command::format(nsid, options), Payload::None).await.0?.ok().map(drop)
    }

    /// Makes a namespace of this size, capacity and format, and says its identifier (Base 2.0 §5.23). It is to be
    /// [attached](Self::attach_namespace).
    ///
    /// # Errors
    /// As the controller answers, or does not.
    pub async fn create_namespace(&self, like: &IdentifyNamespace) -> Result<u32, Error> {
        let (answer, _) = self.admin(Command::create_namespace(0), page_of(like.as_bytes()).await?).await;
        answer?.ok().map(|id| id as u32)
    }

    /// Deletes a namespace: **what is on it is lost** (Base 2.0 §5.23). Each [`Namespace`](super::Namespace) that was given out of it is
    /// [gone](super::Namespace::is_gone) from now on.
    ///
    /// # Errors
    /// As the controller answers, or does not.
    pub async fn delete_namespace(&self, id: u32) -> Result<(), Error> {
        self.admin(Command::delete_namespace(id), Payload::None).await.0?.ok().map(drop)
    }

    /// Attaches a namespace to this controller (Base 2.0 §5.22).
    ///
    /// # Errors
    /// As the controller answers, or does not.
    pub async fn attach_namespace(&self, id: u32) -> Result<(), Error> {
        self.set_attached(id, true).await
    }

    /// Detaches a namespace from this controller (Base 2.0 §5.22). Each [`Namespace`](super::Namespace) that was given out of it is
    /// [gone](super::Namespace::is_gone) from now on, those of further controllers too: of these it is asked for anew.
    ///
    /// # Errors
    /// As the controller answers, or does not.
    pub async fn detach_namespace(&self, id: u32) -> Result<(), Error> {
        self.set_attached(id, false).await
    }

    async fn set_attached(&self, id: u32, is_attached: bool) -> Result<(), Error> {
        let list = ControllerList::of(self.identity().controller_id.get());
        let command = Command::attach_namespace(id, is_attached);
        self.admin(command, page_of(list.as_bytes()).await?).await.0?.ok().map(drop)
    }

    /// Brings a firmware image, puts it into a slot and activates it as `action` says (Base 2.0 §5.12): 3 at once, 1 with the next
    /// [reset](Self::reset). Some controllers want a reset that is not theirs, and say so.
    ///
    /// # Errors
    /// As the controller answers, or does not.
    ///
    /// # Panics
    /// If the image is empty or no multiple of 4 bytes; if there is no such slot or action: both are below 8.
    pub async fn update_firmware(&self, image: &[u8], slot: u8, action: u8) -> Result<(), Error> {
        assert!(!image.is_empty() && image.len() % 4 == 0, "a firmware image of {} bytes", image.len());
        let commit = Command::firmware_commit(slot, action);
        for (n, piece) in image.chunks(PAGE as usize).enumerate() {
            let command = Command::firmware_download(n as u32 * PAGE as u32, piece.len() as u32);
            let (answer, _) = self.admin(command, copy_of(piece).await?.into()).await;
            answer?.ok()?;
        }
        self.link().ask(commit).await?;
        // It may run already: what the controller says of itself is another's from now on.
        let page = self.link().identify(IdentifyWhat::CONTROLLER, 0).await?;
        self.link().identity().set(IdentifyController::read_from_bytes(&page).expect("it is a page"));
        Ok(())
    }
}

impl<D: Device> Link<D> {
    /// At most a page of a log.
    pub(super) async fn log(
        self: &Arc<Self>,
        page: LogPage,
        nsid: u32,
        offset: u64,
        bytes: u32,
    ) -> Result<DmaBuf, Error> {
        let mut piece = DmaPool::local().alloc(bytes as usize).await?;
        piece.fill(0);
        let (answer, payload) =
            self.admin(Command::get_log_page(page, nsid, offset, bytes), piece.into()).await;
        answer?.ok()?;
        Ok(payload.into_buf().expect("an answered command's payload comes back"))
    }
}

async fn copy_of(bytes: &[u8]) -> Result<DmaBytes, Error> {
    let mut copy = DmaPool::local().alloc(bytes.len()).await?;
    copy.copy_from_slice(bytes);
    Ok(copy.freeze())
}

async fn page_of(bytes: &[u8]) -> Result<Payload, Error> {
    copy_of(bytes).await.map(Payload::from)
}
