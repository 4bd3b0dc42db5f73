//! The software controller against a host that writes its registers and queues by hand, without the driver: what it refuses, and how.

mod admin;
mod blocks;
mod manage;
mod misuse;
mod pointers;
mod reservations;
mod zones;

use super::super::device::Device;
use super::super::spec::register::{ACQ, AQA, ASQ, CC, CSTS, head_doorbell, tail_doorbell};
use super::super::spec::{
    AdminQueueAttributes, Command, Completion, CompletionQueueFlags, Configuration, ControllerStatus,
    StatusCode, SubmissionQueueFlags,
};
use super::{SoftConfig, SoftController, SoftNamespace};
use crate::sys::dma::{DmaAny, DmaBuf, DmaPool, DmaWords};
use std::sync::atomic::Ordering::{Acquire, Release};

const ENTRIES: u32 = 8;

struct Host {
    device: SoftController,
    pool: DmaPool,
    rings: Vec<Ring>,
    cid: u16,
}

struct Ring {
    sq: DmaWords,
    cq: DmaWords,
    tail: u32,
    head: u32,
    phase: bool,
}

fn words() -> DmaWords {
    DmaWords::zeroed(4096).unwrap()
}

impl Ring {
    fn new() -> Self {
        Self { sq: words(), cq: words(), tail: 0, head: 0, phase: true }
    }

    fn put(&mut self, command: Command) {
        let words: [u64; 8] = zerocopy::transmute!(command);
        let at = self.tail as usize * 8;
        self.sq.words()[at..at + 8].iter().zip(words).for_each(|(to, word)| to.store(word, Release));
        self.tail = (self.tail + 1) % ENTRIES;
    }

    fn take(&mut self) -> Option<Completion> {
        let at = self.head as usize * 2;
        let last = self.cq.words()[at + 1].load(Acquire);
        let completion: Completion = zerocopy::transmute!([self.cq.words()[at].load(Acquire), last]);
        if completion.phase() != self.phase {
            return None;
        }
        self.head = (self.head + 1) % ENTRIES;
        self.phase ^= self.head == 0;
        Some(completion)
    }
}

impl Host {
    /// Enables the controller, and makes a queue pair.
    fn of(device: SoftController) -> Self {
        let mut host = Self { device, pool: DmaPool::new(), rings: Vec::new(), cid: 0 };
        host.enable(Configuration::default().with_css(6));
        host.make_pair(1).unwrap();
        host
    }

    fn new() -> Self {
        Self::of(SoftController::default())
    }

    /// With a second namespace like this.
    fn with(namespace: SoftNamespace) -> Self {
        let device = SoftController::default();
        device.add_namespace(namespace);
        Self::of(device)
    }

    fn enable(&mut self, configuration: Configuration) {
        let admin = Ring::new();
        let device = &self.device;
        let sizes = AdminQueueAttributes::default().with_asqs(ENTRIES - 1).with_acqs(ENTRIES - 1);
        device.write32(AQA, sizes.bits());
        device.write64(ASQ, device.map(&admin.sq).unwrap());
        device.write64(ACQ, device.map(&admin.cq).unwrap());
        device.write32(CC, configuration.with_iosqes(6).with_iocqes(4).with_enabled(true).bits());
        device.step();
        assert!(self.status().is_ready());
        self.rings = vec![admin];
    }

    fn status(&self) -> ControllerStatus {
        ControllerStatus::from_bits(self.device.read32(CSTS))
    }

    fn make_pair(&mut self, qid: u16) -> Result<(), StatusCode> {
        self.make_pair_of(qid, 0)
    }

    fn make_pair_of(&mut self, qid: u16, priority: u32) -> Result<(), StatusCode> {
        let ring = Ring::new();
        let (sq, cq) = (self.device.map(&ring.sq).unwrap(), self.device.map(&ring.cq).unwrap());
        let flags = CompletionQueueFlags::default().with_contiguous(true);
        self.admin(Command::create_cq(qid, ENTRIES, flags).with_prp(cq, 0))?;
        let flags = SubmissionQueueFlags::default().with_contiguous(true).with_cqid(qid.into());
        let flags = flags.with_priority(priority);
        self.admin(Command::create_sq(qid, ENTRIES, flags).with_prp(sq, 0))?;
        self.rings.push(ring);
        Ok(())
    }

    /// Queues a command, and yields its identifier.
    fn put(&mut self, queue: u16, command: Command) -> u16 {
        self.cid += 1;
        let command = command.with_cid(self.cid);
        self.rings[usize::from(queue)].put(command);
        self.cid
    }

    fn ring(&self, queue: u16) {
        self.device.write32(tail_doorbell(queue, 4), self.rings[usize::from(queue)].tail);
    }

    /// An answer, if there is one.
    fn take(&mut self, queue: u16) -> Option<(u16, Result<u64, StatusCode>)> {
        let ring = &mut self.rings[usize::from(queue)];
        let completion = ring.take()?;
        let head = ring.head;
        self.device.write32(head_doorbell(queue, 4), head);
        let status = completion.status();
        let answer = if status.is_success() { Ok(completion.result_64()) } else { Err(status.code()) };
        Some((completion.cid.get(), answer))
    }

    /// Sends a command, and expects its answer.
    fn send(&mut self, queue: u16, command: Command) -> Result<u64, StatusCode> {
        let cid = self.put(queue, command);
        self.ring(queue);
        self.device.step();
        let (answered, answer) = self.take(queue).expect("an answer");
        assert_eq!(answered, cid);
        answer
    }

    fn admin(&mut self, command: Command) -> Result<u64, StatusCode> {
        self.send(0, command)
    }

    fn io(&mut self, command: Command) -> Result<u64, StatusCode> {
        self.send(1, command)
    }

    /// Sends a command with a buffer of these bytes, and yields what is in it then.
    fn carry(&mut self, queue: u16, command: Command, bytes: &[u8]) -> (Result<u64, StatusCode>, Vec<u8>) {
        let mut buf = self.pool.try_alloc(bytes.len().max(4)).unwrap();
        buf[..bytes.len()].copy_from_slice(bytes);
        let buf = DmaAny::from(buf);
        let at = self.device.see(&buf).unwrap();
        let second = (at.start & !4095) + 4096;
        assert!(at.end <= second + 4096, "tests of lists make them themselves");
        let prp2 = if at.end > second { second } else { 0 };
        let answer = self.send(queue, command.with_prp(at.start, prp2));
        let buf: DmaBuf = buf.into_buf().unwrap();
        (answer, buf[..bytes.len()].to_vec())
    }

    /// Reads so many bytes by a command.
    fn fetch(&mut self, queue: u16, command: Command, bytes: usize) -> Result<Vec<u8>, StatusCode> {
        let (answer, bytes) = self.carry(queue, command, &vec![0xee; bytes]);
        answer.map(|_| bytes)
    }

    fn write(&mut self, command: Command, bytes: &[u8]) -> Result<u64, StatusCode> {
        self.carry(1, command, bytes).0
    }
}
