//! The features of the software controller: what it lets its host set (Base 2.0 §5.15, §5.27).

use super::super::spec::{Command, FeatureId, HostBehavior, NumberOfQueues, StatusCode, Timestamp};
use super::Done;
use super::state::State;
use super::subsystem::Subsystem;
use zerocopy::IntoBytes;

/// Values by feature.
pub(super) struct Features {
    values: Vec<Value>,
    pub(super) timestamp: Timestamp,
    pub(super) host_behavior: HostBehavior,
    /// The host's identifier, of 64 bits or 128; all zeroes before it is set.
    pub(super) host_id: [u8; 16],
}

struct Value {
    id: FeatureId,
    current: u32,
    default: u32,
    saved: u32,
    can_save: bool,
    can_change: bool,
}

/// Features of a doubleword: what they start with, whether that can be saved, and whether it can be changed.
const PLAIN: &[(FeatureId, u32, bool, bool)] = &[
    (FeatureId::ARBITRATION, 0, true, true),
    (FeatureId::POWER_MANAGEMENT, 0, true, true),
    (FeatureId::TEMPERATURE_THRESHOLD, 343, true, true),
    (FeatureId::ERROR_RECOVERY, 0, true, true),
    (FeatureId::WRITE_CACHE, 1, true, true),
    (FeatureId::INTERRUPT_COALESCING, 0, true, true),
    (FeatureId::INTERRUPT_VECTOR, 0, true, true),
    (FeatureId::WRITE_ATOMICITY, 0, true, true),
    (FeatureId::ASYNC_EVENTS, 0, true, true),
    (FeatureId::KEEP_ALIVE, 0, false, true),
    (FeatureId::COMMAND_SET_PROFILE, 0, false, false),
    (FeatureId::SOFTWARE_PROGRESS, 0, true, true),
];

impl Default for Features {
    fn default() -> Self {
        let value = |&(id, default, can_save, can_change): &(FeatureId, u32, bool, bool)| Value {
            id,
            current: default,
            default,
            saved: default,
            can_save,
            can_change,
        };
        Self {
            values: PLAIN.iter().map(value).collect(),
            timestamp: Timestamp::default(),
            host_behavior: HostBehavior::default(),
            host_id: [0; 16],
        }
    }
}

impl Features {
    /// Which events the host wants to hear of.
    pub(super) fn async_events(&self) -> u32 {
        self.current(FeatureId::ASYNC_EVENTS)
    }

    pub(super) fn current(&self, id: FeatureId) -> u32 {
        self.values.iter().find(|value| value.id == id).map_or(0, |value| value.current)
    }

    /// A reset brings back what was saved.
    pub(super) fn reset(&mut self) {
        self.values.iter_mut().for_each(|value| value.current = value.saved);
        self.host_behavior = HostBehavior::default();
        self.host_id = [0; 16];
    }
}

impl State {
    /// How many queues it gives: what it has, whatever is asked for (Base 2.0 §5.27.1.5).
    fn number_of_queues(&self) -> Done {
        let most = u32::from(self.config.queues) - 1;
        Ok(NumberOfQueues::default().with_submission(most).with_completion(most).bits().into())
    }

    pub(super) fn get_features(&mut self, subsystem: &mut Subsystem, command: &Command) -> Done {
        let select = command.cdw(10) >> 8 & 7;
        if command.feature() == FeatureId::NUMBER_OF_QUEUES && select < 3 {
            return self.number_of_queues();
        }
        if command.feature() == FeatureId::HOST_ID && select < 3 {
            let id = self.features.host_id;
            return self.memory.put(command, &id[..host_id_bytes(command)]).map(|()| 0);
        }
        let (memory, features) = (&mut self.memory, &self.features);
        let mut answer = |bytes: &[u8]| memory.put(command, bytes).map(|()| 0);
        match (command.feature(), select) {
            (FeatureId::WRITE_PROTECTION, 0) => {
                Ok(subsystem.attached(command.nsid(), self.id)?.is_write_protected.into())
            }
            // Changeable, and of a namespace.
            (FeatureId::WRITE_PROTECTION, 3) => Ok(6),
            (FeatureId::TIMESTAMP, 0..=2) => answer(features.timestamp.as_bytes()),
            (FeatureId::HOST_BEHAVIOR, 0..=2) => answer(features.host_behavior.as_bytes()),
            // Changeable, neither saveable nor of a namespace.
            (
                FeatureId::NUMBER_OF_QUEUES
                | FeatureId::TIMESTAMP
                | FeatureId::HOST_BEHAVIOR
                | FeatureId::HOST_ID,
                3,
            ) => Ok(4),
            (id, _) => {
                let value = self.features.values.iter().find(|value| value.id == id);
                let value = value.ok_or(StatusCode::INVALID_FIELD)?;
                match select {
                    0 => Ok(value.current.into()),
                    1 => Ok(value.default.into()),
                    2 => Ok(value.saved.into()),
                    3 => Ok(u64::from(value.can_save) | u64::from(value.can_change) << 2),
                    _ => Err(StatusCode::INVALID_FIELD),
                }
            }
        }
    }

    pub(super) fn set_features(&mut self, subsystem: &mut Subsystem, command: &Command) -> Done {
        let (id, value) = (command.feature(), command.cdw(11));
        let saves = command.cdw(10) >> 31 == 1;
        if id == FeatureId::NUMBER_OF_QUEUES {
            return self.set_queues(NumberOfQueues::from_bits(value));
        }
        if matches!(id, FeatureId::TIMESTAMP | FeatureId::HOST_BEHAVIOR | FeatureId::HOST_ID) {
            return if saves { Err(StatusCode::FEATURE_NOT_SAVEABLE) } else { self.set_bytes(command) };
        }
        if id == FeatureId::WRITE_PROTECTION {
            let namespace = subsystem.attached(command.nsid(), self.id)?;
            if value > 1 || saves {
                return Err(StatusCode::INVALID_FIELD);
            }
            namespace.is_write_protected = value == 1;
            namespace.settle();
            return Ok(0);
        }
        let feature = self.features.values.iter_mut().find(|feature| feature.id == id);
        let feature = feature.ok_or(StatusCode::INVALID_FIELD)?;
        if !feature.can_change {
            return Err(StatusCode::FEATURE_NOT_CHANGEABLE);
        }
        if saves && !feature.can_save {
            return Err(StatusCode::FEATURE_NOT_SAVEABLE);
        }
        feature.current = value;
        if saves {
            feature.saved = value;
        }
        if id == FeatureId::KEEP_ALIVE {
            self.hear_from_host();
        }
        Ok(0)
    }

    fn set_queues(&mut self, wanted: NumberOfQueues) -> Done {
        if self.queues.has_io() {
            return Err(StatusCode::SEQUENCE_ERROR);
        }
        if wanted.submission() == 0xffff || wanted.completion() == 0xffff {
            return Err(StatusCode::INVALID_FIELD);
        }
        self.number_of_queues()
    }

    fn set_bytes(&mut self, command: &Command) -> Done {
        match command.feature() {
            FeatureId::TIMESTAMP => self.memory.get(command, self.features.timestamp.as_mut_bytes())?,
            FeatureId::HOST_BEHAVIOR => {
                self.memory.get(command, self.features.host_behavior.as_mut_bytes())?
            }
            _ => {
                let mut id = [0; 16];
                self.memory.get(command, &mut id[..host_id_bytes(command)])?;
                let before = self.features.host_id;
                // Once it is set, it stays (Base 2.0 §5.27.1.25).
                if before != [0; 16] && before != id {
                    return Err(StatusCode::SEQUENCE_ERROR);
                }
                self.features.host_id = id;
            }
        }
        Ok(0)
    }
}

/// EXHID: whether it is of 128 bits (Base 2.0 §5.27.1.25).
fn host_id_bytes(command: &Command) -> usize {
    if command.cdw(11) & 1 == 1 { 16 } else { 8 }
}
