//! The streams that wait for a buffer of an empty pool, first come, first served.
//!
//! Who is called leaves the line and keeps the ticket: whoever loses the buffer to another before it can be used gets the old place
//! back.

use std::collections::VecDeque;
use std::task::Waker;

/// Tickets in ascending order, the next to be called first.
#[derive(Default)]
pub(super) struct Line {
    waiting: VecDeque<(u64, Waker)>,
    tickets: u64,
}

impl Line {
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Enters with a new ticket, or at the place of an old one that is not in line.
    pub(super) fn enter(&mut self, ticket: Option<u64>, waker: Waker) -> u64 {
        let ticket = ticket.unwrap_or(self.tickets);
        self.tickets = self.tickets.max(ticket + 1);
        match self.find(ticket) {
            Ok(_) => panic!("ticket {ticket} is in line already"),
            Err(at) => self.waiting.insert(at, (ticket, waker)),
        }
        ticket
    }

    /// Whether calling the ticket would wake this waker; `None` if it is not in line.
    pub(super) fn will_wake(&self, ticket: u64, waker: &Waker) -> Option<bool> {
        self.find(ticket).ok().map(|at| self.waiting[at].1.will_wake(waker))
    }

    /// Replaces the waker of a ticket. Returns what is to be dropped outside of the line's borrow.
    pub(super) fn renew(&mut self, ticket: u64, waker: Waker) -> Waker {
        match self.find(ticket) {
            Ok(at) => std::mem::replace(&mut self.waiting[at].1, waker),
            Err(_) => waker,
        }
    }

    /// Takes the ticket out, if it is in line.
    pub(super) fn remove(&mut self, ticket: u64) -> Option<Waker> {
        let at = self.find(ticket).ok()?;
        self.waiting.remove(at).map(|(_, waker)| waker)
    }

    /// Takes out who has waited longest.
    pub(super) fn pop(&mut self) -> Option<Waker> {
        self.waiting.pop_front().map(|(_, waker)| waker)
    }

    fn find(&self, ticket: u64) -> Result<usize, usize> {
        self.waiting.binary_search_by_key(&ticket, |(ticket, _)| *ticket)
    }
}
