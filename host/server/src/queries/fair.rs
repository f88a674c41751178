//! Who evaluates a query next: a fair queue among clients.
//!
//! So many queries run at once. While places are free a query starts at once, but one client alone may take three
//! quarters of them at most: the rest is kept for whoever comes next, so that a dashboard never waits for the heavy
//! queries of somebody else to end before its first one starts. What has to wait is served by turns, one query of each
//! client after the other, in the order in which a client asked. The queue is bounded; beyond that a query is refused
//! at once, since waiting would only make it late.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::oneshot;

/// Of four places, one is kept from a client that has the others.
const SHARE: (usize, usize) = (3, 4);

/// Who asks. Queries of the same client share its turn.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Client(pub(crate) Arc<str>);

/// A fair queue; clones share it.
#[derive(Clone)]
pub(crate) struct FairQueue(Arc<Mutex<State>>);

struct State {
    places: usize,
    /// How many places one client may have at once.
    share: usize,
    waiting_max: usize,
    running: usize,
    waiting: usize,
    running_by_client: HashMap<Client, usize>,
    /// Clients with waiting queries, the next one first.
    turns: VecDeque<Client>,
    queues: HashMap<Client, VecDeque<oneshot::Sender<Place>>>,
}

/// A place, given back when it is dropped.
pub(crate) struct Place {
    queue: FairQueue,
    client: Client,
    /// Whether somebody else sees to who comes next.
    quiet: bool,
}

/// The queue is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Full;

/// How much is going on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Load {
    pub(crate) running: usize,
    pub(crate) waiting: usize,
}

impl FairQueue {
    /// A queue to so many places, in which so many may wait.
    pub(crate) fn new(places: usize, waiting_max: usize) -> Self {
        let places = places.max(1);
        let share = (places * SHARE.0 / SHARE.1).max(1);
        Self(Arc::new(Mutex::new(State {
            places,
            share,
            waiting_max,
            running: 0,
            waiting: 0,
            running_by_client: HashMap::new(),
            turns: VecDeque::new(),
            queues: HashMap::new(),
        })))
    }

    pub(crate) fn load(&self) -> Load {
        let mut state = self.0.lock();
        state.forget_gone();
        Load { running: state.running, waiting: state.waiting }
    }

    /// A place, where there is one at once.
    pub(crate) fn try_enter(&self, client: &Client) -> Option<Place> {
        let started = self.0.lock().try_start(client);
        started.then(|| Place { queue: self.clone(), client: client.clone(), quiet: false })
    }

    /// Waits for a place. Whoever stops waiting loses its turn and nothing else.
    pub(crate) async fn enter(&self, client: &Client) -> Result<Place, Full> {
        let turn = {
            let mut state = self.0.lock();
            if state.try_start(client) {
                return Ok(Place { queue: self.clone(), client: client.clone(), quiet: false });
            }
            if state.waiting >= state.waiting_max {
                state.forget_gone();
                if state.waiting >= state.waiting_max {
                    return Err(Full);
                }
            }
            state.wait(client)
        };
        // The sender is dropped with the queue only, which `self` keeps.
        turn.await.map_err(|_| Full)
    }

    /// Gives places that are free to those whose turn it is.
    fn serve(&self) {
        loop {
            let (sender, place) = {
                let mut state = self.0.lock();
                let Some((client, sender)) = state.next() else { return };
                state.start(&client);
                (sender, Place { queue: self.clone(), client, quiet: false })
            };
            // The place of one who has gone goes to the next one, here rather than from within its drop.
            if let Err(mut place) = sender.send(place) {
                place.quiet = true;
            }
        }
    }
}

impl State {
    fn may_start(&self, client: &Client) -> bool {
        let of_client = self.running_by_client.get(client).copied().unwrap_or(0);
        self.running < self.places && of_client < self.share
    }

    fn somebody_may_start(&self) -> bool {
        self.turns.iter().any(|client| self.may_start(client))
    }

    fn try_start(&mut self, client: &Client) -> bool {
        // Those who wait come first, but for clients that may not start anything now.
        let starts = self.may_start(client) && !self.somebody_may_start();
        if starts {
            self.start(client);
        }
        starts
    }

    fn start(&mut self, client: &Client) {
        self.running += 1;
        *self.running_by_client.entry(client.clone()).or_default() += 1;
    }

    fn wait(&mut self, client: &Client) -> oneshot::Receiver<Place> {
        let (sender, receiver) = oneshot::channel();
        self.waiting += 1;
        let queue = self.queues.entry(client.clone()).or_default();
        if queue.is_empty() {
            self.turns.push_back(client.clone());
        }
        queue.push_back(sender);
        receiver
    }

    /// Leaves out those who do not wait any more.
    fn forget_gone(&mut self) {
        self.queues.retain(|_, queue| {
            queue.retain(|sender| !sender.is_closed());
            !queue.is_empty()
        });
        let queues = &self.queues;
        self.turns.retain(|client| queues.contains_key(client));
        self.waiting = queues.values().map(VecDeque::len).sum();
    }

    /// The client whose turn it is, and its oldest query; the client's next turn comes after those of all others.
    fn next(&mut self) -> Option<(Client, oneshot::Sender<Place>)> {
        let at = self.turns.iter().position(|client| self.may_start(client))?;
        let client = self.turns.remove(at)?;
        let queue = self.queues.get_mut(&client)?;
        let sender = queue.pop_front()?;
        if queue.is_empty() {
            self.queues.remove(&client);
        } else {
            self.turns.push_back(client.clone());
        }
        self.waiting -= 1;
        Some((client, sender))
    }

    fn end(&mut self, client: &Client) {
        self.running -= 1;
        if let Some(running) = self.running_by_client.get_mut(client) {
            *running -= 1;
            if *running == 0 {
                self.running_by_client.remove(client);
            }
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.queue.0.lock().end(&self.client);
        if !self.quiet {
            self.queue.serve();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::pin::Pin;
    use std::task::{Context, Poll, Waker};

    use super::*;

    type Entering<'a> = Pin<Box<dyn Future<Output = Result<Place, Full>> + 'a>>;

    fn client(name: &str) -> Client {
        Client(name.into())
    }

    fn entering<'a>(queue: &'a FairQueue, client: &'a Client) -> Entering<'a> {
        let mut entering: Entering<'a> = Box::pin(queue.enter(client));
        // Takes its place in the queue.
        let _ = look(&mut entering).map(|place| assert!(place.is_err(), "should have to wait"));
        entering
    }

    fn look(entering: &mut Entering<'_>) -> Option<Result<Place, Full>> {
        match entering.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(result) => Some(result),
            Poll::Pending => None,
        }
    }

    fn enter(queue: &FairQueue, client: &Client) -> Place {
        look(&mut (Box::pin(queue.enter(client)) as Entering<'_>))
            .expect("starts at once")
            .expect("is let in")
    }

    #[test]
    fn one_client_leaves_places_for_others() {
        let queue = FairQueue::new(4, 10);
        let (greedy, dashboard) = (client("greedy"), client("dashboard"));
        let mut running: Vec<Place> = (0..3).map(|_| enter(&queue, &greedy)).collect();
        let mut fourth = entering(&queue, &greedy);
        assert_eq!(queue.load(), Load { running: 3, waiting: 1 });
        // Those of others start at once although somebody waits.
        let light = enter(&queue, &dashboard);
        drop(light);
        assert!(look(&mut fourth).is_none());
        running.pop();
        assert!(look(&mut fourth).is_some());
    }

    #[test]
    fn turns_go_round() {
        let queue = FairQueue::new(1, 10);
        let (a, b, c) = (client("a"), client("b"), client("c"));
        let first = enter(&queue, &a);
        let names = ["a1", "a2", "a3", "b1", "c1", "b2"];
        let mut waiting: Vec<(&str, Entering<'_>)> = names
            .iter()
            .map(|name| {
                let client = match &name[..1] {
                    "a" => &a,
                    "b" => &b,
                    _ => &c,
                };
                (*name, entering(&queue, client))
            })
            .collect();
        drop(first);
        let mut order = Vec::new();
        while !waiting.is_empty() {
            let mut ready = Vec::new();
            waiting.retain_mut(|(name, entering)| match look(entering) {
                Some(place) => {
                    ready.push((*name, place));
                    false
                }
                None => true,
            });
            assert_eq!(ready.len(), 1, "one place, one at a time");
            order.extend(ready.iter().map(|(name, _)| *name));
        }
        assert_eq!(order, ["a1", "b1", "c1", "a2", "b2", "a3"]);
        assert_eq!(queue.load(), Load { running: 0, waiting: 0 });
    }

    #[test]
    fn the_queue_is_bounded_and_forgets_who_has_gone() {
        let queue = FairQueue::new(1, 2);
        let a = client("a");
        let first = enter(&queue, &a);
        let second = entering(&queue, &a);
        let mut third = entering(&queue, &a);
        let mut fourth: Entering<'_> = Box::pin(queue.enter(&a));
        assert!(matches!(look(&mut fourth), Some(Err(Full))));
        drop(second);
        drop(first);
        let place = look(&mut third);
        assert!(matches!(place, Some(Ok(_))));
        drop(place);
        assert_eq!(queue.load(), Load { running: 0, waiting: 0 });
    }
}
