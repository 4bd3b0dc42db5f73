//! The Commands Supported and Effects log.

use super::super::{AdminOpcode, IoOpcode};

layout! {
    /// Which commands there are, and what they do to others (Base 2.0 §5.16.1.6).
    CommandEffectsLog: 4096 {
        /// Of admin commands, by opcode.
        0 pub admin: [CommandEffects; 256],
        /// Of I/O commands, by opcode.
        1024 pub io: [CommandEffects; 256],
        2048 reserved2048: [u8; 2048],
    }
}

impl CommandEffectsLog {
    /// Of an admin command.
    pub const fn of_admin(&self, opcode: AdminOpcode) -> CommandEffects {
        self.admin[opcode.0 as usize]
    }

    /// Of an I/O command.
    pub const fn of_io(&self, opcode: IoOpcode) -> CommandEffects {
        self.io[opcode.0 as usize]
    }
}

bits! {
    /// What one command does (Base 2.0 §5.16.1.6).
    CommandEffects(u32) {
        /// CSUPP: it is there.
        is_supported / with_supported: 0;
        /// LBCC: it changes data.
        changes_data / with_changes_data: 1;
        /// NCC: it changes what a namespace can do.
        changes_namespace: 2;
        /// NIC: it changes which namespaces there are.
        changes_namespaces: 3;
        /// CCC: it changes what the controller can do.
        changes_controller: 4;
        => fields {
            /// CSE: 1: nothing else may be sent to the namespace, 2: to any.
            exclusion: 16, 3;
        }
    }
}
