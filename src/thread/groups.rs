//! What each light thread of a core has spent, charged when the run loop goes from one to another.

use crate::reactor::Inner;
use std::cell::{Cell, RefCell};

/// Tasks and pollers that belong to no light thread.
pub(crate) const NO_GROUP: u16 = 0;

/// A core's light threads, by number.
#[derive(Default)]
pub(crate) struct Groups {
    current: Cell<u16>,
    spent_ticks: RefCell<Vec<u64>>,
}

impl Groups {
    /// From here on time is `group`'s. Costs a comparison as long as there is only one.
    #[inline]
    pub(crate) fn charge(&self, group: u16, core: &Inner) {
        if self.current.get() != group {
            self.switch(group, core);
        }
    }

    #[cold]
    fn switch(&self, group: u16, core: &Inner) {
        let ticks = core.lap();
        let before = self.current.replace(group);
        let mut spent = self.spent_ticks.borrow_mut();
        let index = usize::from(before);
        if spent.len() <= index {
            spent.resize(index + 1, 0);
        }
        spent[index] += ticks;
    }
}
