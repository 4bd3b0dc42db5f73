//! What a controller is told whenever it has been disabled: its admin queues, how it is to be, and the queues that it had.

use super::Error;
use super::device::Device;
use super::doorbells::Shadows;
use super::home::ADMIN_ENTRIES;
use super::link::Link;
use super::prp::PAGE;
use super::spec::register::{ACQ, AQA, ASQ};
use super::spec::{
    AdminQueueAttributes, AsyncEventConfig, Command, Configuration, FeatureId, IdentifyController,
    IdentifyWhat, NumberOfQueues,
};
use std::sync::Arc;
use std::time::Duration;
use zerocopy::FromBytes;

impl<D: Device> Link<D> {
    /// From whatever state it is in to taking commands.
    pub(super) async fn bring_up(self: &Arc<Self>) -> Result<(), Error> {
        let capabilities = self.capabilities();
        if self.status().is_gone() || capabilities.bits() == u64::MAX {
            return Err(Error::Removed);
        }
        if !capabilities.has_nvm() {
            return Err(Error::Unsupported("it has no NVM Command Set (CAP.CSS)"));
        }
        if capabilities.mpsmin() > 0 {
            return Err(Error::Unsupported("it has no pages of 4 KiB (CAP.MPSMIN)"));
        }
        // A reset needs the controller to have become ready first (Base 2.0 §3.1.3.5, EN).
        if self.configuration().is_enabled() && !self.status().is_fatal() {
            self.wait_ready(true).await?;
        }
        self.disable().await?;
        self.make_admin()?;
        self.enable().await?;
        let page = self.identify(IdentifyWhat::CONTROLLER, 0).await?;
        let identity = IdentifyController::read_from_bytes(&page).expect("it is a page");
        self.identity().set(identity);
        self.configure_all().await
    }

    /// The same of one that was attached before, and is disabled. Nobody's commands but home's own go meanwhile.
    pub(super) async fn start_up(self: &Arc<Self>) -> Result<(), Error> {
        self.enable().await?;
        // It may run other firmware since.
        let page = self.identify_own().await?;
        self.identity().set(IdentifyController::read_from_bytes(&page).expect("it is a page"));
        self.configure_all().await?;
        let pairs = self.pairs().clone();
        for places in pairs {
            let (cq, sq) = self.creation(places);
            self.ask_own(cq).await?;
            self.ask_own(sq).await?;
        }
        Ok(())
    }

    async fn enable(&self) -> Result<(), Error> {
        let places = self.admin_places().expect("there are admin queues");
        let device = self.device();
        let entries = u32::from(ADMIN_ENTRIES - 1);
        device.write32(AQA, AdminQueueAttributes::default().with_asqs(entries).with_acqs(entries).bits());
        device.write64(ASQ, places.sq);
        device.write64(ACQ, places.cq);
        // Entries of 64 and 16 bytes, pages of 4 KiB; all command sets that there are (Base 2.0 §3.1.3.5, CSS).
        let arbitration = u32::from(self.weights().is_some());
        let css = if self.capabilities().css() >> 6 & 1 == 1 { 6 } else { 0 };
        let configuration = Configuration::default().with_iosqes(6).with_iocqes(4).with_ams(arbitration);
        self.configure(configuration.with_css(css).with_enabled(true));
        self.wait_ready(true).await
    }

    async fn configure_all(self: &Arc<Self>) -> Result<(), Error> {
        self.negotiate_queues().await?;
        if let Some(weights) = self.weights() {
            self.set_own(FeatureId::ARBITRATION, weights.weights.bits()).await?;
        }
        if let Some(limit) = self.keep_alive() {
            self.set_own(FeatureId::KEEP_ALIVE, limit.as_millis().min(u32::MAX.into()) as u32).await?;
        }
        // Which events it tells of is not worth failing for.
        let supported = self.identity().get().map(|identity| identity.async_events).unwrap_or_default();
        let notices = AsyncEventConfig::default()
            .with_namespace_changed(supported.namespace_changed())
            .with_firmware_activation(supported.firmware_activation())
            .with_ana_changed(supported.ana_changed())
            .with_zone_changed(supported.zone_changed())
            // All but that of the Persistent Memory Region, which is not used.
            .with_critical(0x1f);
        let _refused = self.set_own(FeatureId::ASYNC_EVENTS, notices.bits()).await;
        self.share_doorbells().await
    }

    async fn set_own(&self, feature: FeatureId, value: u32) -> Result<u64, Error> {
        self.ask_own(Command::set_features(feature, 0, value, false)).await
    }

    /// How often the controller is to hear of its host, if that is wanted and it has a timer for it.
    pub(super) fn keep_alive(&self) -> Option<Duration> {
        let has_timer = self.identity().get().is_some_and(|identity| identity.keep_alive.get() > 0);
        self.config().keep_alive.filter(|limit| has_timer && !limit.is_zero())
    }

    /// Asks for a queue pair for each core.
    async fn negotiate_queues(&self) -> Result<(), Error> {
        let cores = self.home().0.cores().len().min(u16::MAX.into()) as u32;
        let wanted = NumberOfQueues::default().with_submission(cores - 1).with_completion(cores - 1);
        let given = self.set_own(FeatureId::NUMBER_OF_QUEUES, wanted.bits()).await?;
        let given = NumberOfQueues::from_bits(given as u32);
        let pairs = given.submission().min(given.completion()).min(cores - 1) + 1;
        self.allow_queues(pairs as u16);
        Ok(())
    }

    /// Has the controller take doorbells from memory, if it offers that.
    async fn share_doorbells(&self) -> Result<(), Error> {
        if !self.identity().get().is_some_and(|identity| identity.admin.doorbell_buffer()) {
            return Ok(());
        }
        if let Some(shadows) = self.shadows() {
            return self.ask_own(Command::doorbell_buffer(shadows.at.0, shadows.at.1)).await.map(drop);
        }
        let (values, values_at) = self.allocate(0, PAGE as usize)?;
        let (wanted, wanted_at) = self.allocate(0, PAGE as usize)?;
        // The registers do as well.
        if self.ask_own(Command::doorbell_buffer(values_at, wanted_at)).await.is_ok() {
            self.set_shadows(Shadows { values, wanted, at: (values_at, wanted_at) });
        }
        Ok(())
    }
}
