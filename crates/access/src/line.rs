//! Who waits, in the order of their turns: workgroups take turns, principals within one, queries of one in order.

use std::collections::{HashMap, VecDeque};

use crate::QueueTicket;

/// On whose behalf a query asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Asker {
    pub(crate) workgroup: String,
    pub(crate) principal: String,
}

/// A line of those who wait. `W` wakes one of them.
#[derive(Debug)]
pub(crate) struct Line<W> {
    /// Workgroups with waiting queries, in the order of their turns. None in it is empty.
    groups: VecDeque<Group<W>>,
    waiting: usize,
}

#[derive(Debug)]
struct Group<W> {
    name: String,
    /// Principals with waiting queries, in the order of their turns. No queue in it is empty.
    principals: VecDeque<Waiting<W>>,
    waiting: usize,
}

#[derive(Debug)]
struct Waiting<W> {
    principal: String,
    queue: VecDeque<(QueueTicket, W)>,
}

/// Whose turn it is: places of a workgroup and a principal in the line as it was.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Next {
    group: usize,
    principal: usize,
}

impl<W> Default for Line<W> {
    fn default() -> Self {
        Self { groups: VecDeque::new(), waiting: 0 }
    }
}

impl<W> Line<W> {
    pub(crate) fn waiting(&self) -> usize {
        self.waiting
    }

    pub(crate) fn waiting_in(&self, workgroup: &str) -> usize {
        self.groups.iter().find(|group| group.name == workgroup).map_or(0, |group| group.waiting)
    }

    pub(crate) fn join(&mut self, asker: &Asker, ticket: QueueTicket, wake: W) {
        self.waiting += 1;
        let at = self.groups.iter().position(|group| group.name == asker.workgroup).unwrap_or_else(|| {
            self.groups.push_back(Group { name: asker.workgroup.clone(), principals: VecDeque::new(), waiting: 0 });
            self.groups.len() - 1
        });
        let group = &mut self.groups[at];
        group.waiting += 1;
        match group.principals.iter_mut().find(|waiting| waiting.principal == asker.principal) {
            Some(waiting) => waiting.queue.push_back((ticket, wake)),
            None => {
                let queue = [(ticket, wake)].into();
                group.principals.push_back(Waiting { principal: asker.principal.clone(), queue });
            }
        }
    }

    /// The first in turn for whom there is room.
    pub(crate) fn next(&self, has_room: impl Fn(&Asker) -> bool) -> Option<Next> {
        let of_group = |(at, group): (usize, &Group<W>)| {
            let has_room = |waiting: &Waiting<W>| {
                has_room(&Asker { workgroup: group.name.clone(), principal: waiting.principal.clone() })
            };
            let principal = group.principals.iter().position(has_room)?;
            Some(Next { group: at, principal })
        };
        self.groups.iter().enumerate().find_map(of_group)
    }

    /// Takes the one whose turn it is out of the line. Its workgroup's next turn comes after all others', and so does its
    /// principal's within the workgroup.
    pub(crate) fn serve(&mut self, next: Next) -> Option<(Asker, W)> {
        let mut group = self.groups.remove(next.group)?;
        let mut waiting = group.principals.remove(next.principal)?;
        let (_, wake) = waiting.queue.pop_front()?;
        self.waiting -= 1;
        group.waiting -= 1;
        let asker = Asker { workgroup: group.name.clone(), principal: waiting.principal.clone() };
        if !waiting.queue.is_empty() {
            group.principals.push_back(waiting);
        }
        if !group.principals.is_empty() {
            self.groups.push_back(group);
        }
        Some((asker, wake))
    }

    /// Takes one out who goes away. Whether it was still in line.
    pub(crate) fn leave(&mut self, asker: &Asker, ticket: QueueTicket) -> bool {
        let Some(at) = self.groups.iter().position(|group| group.name == asker.workgroup) else { return false };
        let left = self.groups[at].leave(&asker.principal, ticket);
        if self.groups[at].principals.is_empty() {
            self.groups.remove(at);
        }
        self.waiting -= usize::from(left);
        left
    }

    /// In which order they would be served if there were room for each in turn, from 1 on.
    pub(crate) fn positions(&self) -> HashMap<QueueTicket, usize> {
        let mut order = Line { groups: self.groups.iter().map(Group::tickets).collect(), waiting: self.waiting };
        let mut positions = HashMap::with_capacity(self.waiting);
        while let Some((_, ticket)) = order.serve(Next { group: 0, principal: 0 }) {
            positions.insert(ticket, positions.len() + 1);
        }
        positions
    }
}

impl<W> Group<W> {
    fn leave(&mut self, principal: &str, ticket: QueueTicket) -> bool {
        let Some(at) = self.principals.iter().position(|waiting| waiting.principal == principal) else { return false };
        let queue = &mut self.principals[at].queue;
        let before = queue.len();
        queue.retain(|(other, _)| *other != ticket);
        let left = queue.len() < before;
        if queue.is_empty() {
            self.principals.remove(at);
        }
        self.waiting -= usize::from(left);
        left
    }

    /// The same with tickets for those who wait.
    fn tickets(&self) -> Group<QueueTicket> {
        let of_one = |waiting: &Waiting<W>| Waiting {
            principal: waiting.principal.clone(),
            queue: waiting.queue.iter().map(|(ticket, _)| (*ticket, *ticket)).collect(),
        };
        Group {
            name: self.name.clone(),
            principals: self.principals.iter().map(of_one).collect(),
            waiting: self.waiting,
        }
    }
}
