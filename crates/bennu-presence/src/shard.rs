//! The topics of one shard, and what their clients are told, behind one lock.

use std::collections::{BTreeMap, HashMap, hash_map};
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use bennu_protocol::presence::{DIFF, STATE};
use bennu_protocol::{Broadcast, Payload};
use bennu_pubsub::{PubSub, Sequence};
use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::crowd::{Crowd, CrowdOf};
use crate::parts::Parts;
use crate::replica::{EncodedMeta, Machine, Message, Target, Topic};
use crate::replication::{Replica, Replicating};
use crate::telling::{News, Telling};
use crate::window::{Reading, Told};
use crate::wire::{self, KeysWriter};
use crate::worker::{Hooks, Worker};

/// Topics that are remembered beside those that were busy when they were last looked through.
const SPARE: usize = 64;

/// How often topics are looked through for those that are quiet now, as long as any are remembered.
const SWEEP: Duration = Duration::from_secs(2);

/// How often that is at least, when it is in vain.
const SLOWEST_SWEEP: Duration = Duration::from_secs(60);

pub(crate) struct Shard {
    state: Mutex<State>,
    voice: Voice,
    /// Takes news over when `fetch` or an observer has to be run for them.
    worker: Option<Worker>,
    /// How it speaks with other nodes, if there can be any.
    replication: OnceLock<Replicating>,
}

/// How clients are told.
pub(crate) struct Voice {
    pub(crate) pubsub: PubSub,
    pub(crate) window: Duration,
    pub(crate) crowd: CrowdOf,
    pub(crate) is_observed: bool,
    /// Where timers run.
    pub(crate) runtime: Option<Handle>,
}

/// Changes are noted, and told or handed to the worker, under its lock, so that everyone hears of them in the order in which
/// they happened.
struct State {
    machine: Machine,
    tellings: HashMap<Arc<str>, Telling>,
    said: Said,
    parts: Parts,
    /// How many tellings there may be until the idle ones are looked for at once.
    sweep_at: usize,
    /// Looks for idle tellings although nothing changes any more.
    sweeper: Option<JoinHandle<()>>,
}

/// What clients have been told of all topics together, so that a list which is taken in between knows what it includes.
#[derive(Default)]
struct Said {
    diffs: Sequence,
    counts: Sequence,
}

/// Everyone who is on a topic, and how many keys they are.
pub(crate) type Everyone = Vec<(Arc<str>, Vec<EncodedMeta>)>;

impl Shard {
    /// With hooks, or with other nodes, within a tokio runtime: they need tasks of their own.
    pub(crate) fn start(voice: Voice, hooks: Hooks, replica: Replica) -> Arc<Self> {
        let Replica { machine, replication } = replica;
        let shard = Arc::new_cyclic(|shard| Shard {
            state: Mutex::new(State {
                machine,
                tellings: HashMap::new(),
                said: Said::default(),
                parts: Parts::Whole,
                sweep_at: SPARE,
                sweeper: None,
            }),
            voice,
            worker: hooks.is_needed().then(|| Worker::start(shard.clone(), hooks)),
            replication: OnceLock::new(),
        });
        if let Some(replication) = replication {
            shard.replication.get_or_init(|| replication.start(Arc::downgrade(&shard)));
        }
        shard
    }

    /// Tells other nodes what they do not know yet, or that this one stops.
    pub(crate) fn shut_down(self: &Arc<Self>) {
        if let Some(replication) = self.replication.get() {
            replication.shut_down(self);
        }
    }

    /// The next message to other nodes.
    pub(crate) fn poll_message(&self) -> Option<(Target, Message)> {
        self.state.lock().machine.poll_message()
    }

    /// Changes who is there, and tells of it.
    pub(crate) fn change<R>(self: &Arc<Self>, change: impl FnOnce(&mut Machine) -> R) -> R {
        let mut state = self.state.lock();
        let result = change(&mut state.machine);
        for topic in self.note(&mut state) {
            self.tell(&mut state, &topic);
        }
        self.tidy(&mut state);
        result
    }

    /// Takes in what another node says. Clients are told of what comes in parts when it is whole, or has taken too long.
    pub(crate) fn receive(self: &Arc<Self>, message: Message, now: Duration) {
        let mut state = self.state.lock();
        state.machine.receive(message, now);
        let touched = self.note(&mut state);
        let follow = state.machine.awaits_parts();
        let (told, until) = state.parts.touch(touched, follow, Instant::now());
        for topic in told {
            self.tell(&mut state, &topic);
        }
        if let (Some(until), Some(runtime)) = (until, self.runtime()) {
            runtime.spawn(self.clone().stop_waiting_at(until));
        }
        self.tidy(&mut state);
    }

    async fn stop_waiting_at(self: Arc<Self>, at: Instant) {
        tokio::time::sleep_until(at).await;
        let mut state = self.state.lock();
        for topic in state.parts.expire(at) {
            self.tell(&mut state, &topic);
        }
    }

    /// Notes what changed, and gives the topics on which something did.
    fn note(&self, state: &mut State) -> Vec<Arc<str>> {
        let mut touched: Vec<Arc<str>> = Vec::new();
        while let Some(diff) = state.machine.poll_change() {
            let Some(telling) = self.telling(&mut state.tellings, &diff.topic) else { continue };
            telling.note(&diff, self.voice.is_observed);
            if touched.last() != Some(&diff.topic) {
                touched.push(diff.topic);
            }
        }
        touched
    }

    /// What the clients of a topic are being told; nothing, if there are none who could miss a part of it.
    fn telling<'a>(
        &self,
        tellings: &'a mut HashMap<Arc<str>, Telling>,
        topic: &Arc<str>,
    ) -> Option<&'a mut Telling> {
        match tellings.entry(topic.clone()) {
            hash_map::Entry::Occupied(telling) => Some(telling.into_mut()),
            hash_map::Entry::Vacant(vacant) => {
                let crowd = (self.voice.crowd)(topic);
                // Whoever subscribes later is sent who is there then. The shown ones of a crowd are the same to all.
                let is_told = crowd != Crowd::Full || self.voice.is_heard(topic);
                is_told.then(|| vacant.insert(Telling::new(crowd)))
            }
        }
    }

    /// Looks for idle tellings if there are many, and else later.
    fn tidy(self: &Arc<Self>, state: &mut State) {
        if state.tellings.len() > state.sweep_at {
            state.sweep();
        }
        self.sweep_later(state);
    }

    /// Has a task look for idle tellings as long as there are any. Without a runtime they are looked for when there are many.
    fn sweep_later(self: &Arc<Self>, state: &mut State) {
        let is_awaited = state.sweeper.as_ref().is_some_and(|sweeper| !sweeper.is_finished());
        if state.tellings.is_empty() || is_awaited {
            return;
        }
        state.sweeper = self.runtime().map(|runtime| runtime.spawn(sweep(Arc::downgrade(self))));
    }

    /// Looks at who is there.
    pub(crate) fn read<R>(&self, read: impl FnOnce(&Machine) -> R) -> R {
        read(&self.state.lock().machine)
    }

    /// Everyone on a topic: as a client that joins has to know them if clients are told of all keys, else as it is.
    pub(crate) fn everyone(&self, topic: &str) -> Everyone {
        self.visit_joining(topic, |there, telling| {
            let mut everyone = Vec::with_capacity(there.map_or(0, Topic::count));
            visit(there, telling, Reading::Joining, |key, metas| {
                everyone.push((key.clone(), metas.cloned().collect()));
            });
            everyone
        })
    }

    /// The same as the payload of `presence_state`.
    pub(crate) fn everyone_written(&self, topic: &str) -> Payload {
        self.visit_joining(topic, |there, telling| {
            let mut writer = KeysWriter::with_room_for(there.map_or(0, Topic::count_metas));
            visit(there, telling, Reading::Joining, |key, metas| writer.push(key, metas));
            writer.finish()
        })
    }

    fn visit_joining<R>(
        &self,
        topic: &str,
        visit: impl FnOnce(Option<&Topic<'_>>, Option<&Telling>) -> R,
    ) -> R {
        let mut state = self.state.lock();
        let State { machine, tellings, said, .. } = &mut *state;
        said.note_list(topic);
        let mut telling = tellings.get_mut(topic).filter(|telling| !telling.is_partial());
        if let Some(telling) = &mut telling {
            telling.begin_reading();
        }
        visit(machine.topic(topic).as_ref(), telling.as_deref())
    }

    /// The keys that a client which joins is shown, where that is not all of them, and how many there are.
    pub(crate) fn shown(&self, topic: &str) -> (Everyone, usize) {
        let mut state = self.state.lock();
        let State { machine, tellings, said, .. } = &mut *state;
        said.note_list(topic);
        said.note_count(topic);
        let there = machine.topic(topic);
        let count = there.as_ref().map_or(0, Topic::count);
        let Some(telling) = tellings.get_mut(topic) else { return (Vec::new(), count) };
        telling.begin_reading();
        telling.begin_counting(count);
        let there = |key: &str| if telling.shows(key) { metas(there.as_ref(), key) } else { Vec::new() };
        let keys = telling.shown_keys().into_iter();
        let keys = keys.map(|key| (telling.read_key(Reading::Joining, &key, there(&key)), key));
        (keys.filter(|(metas, _)| !metas.is_empty()).map(|(metas, key)| (key, metas)).collect(), count)
    }

    /// How many keys are on a topic, for somebody who may tell a client.
    pub(crate) fn count(&self, topic: &str) -> usize {
        let mut state = self.state.lock();
        state.said.note_count(topic);
        let count = state.machine.topic(topic).as_ref().map_or(0, Topic::count);
        if let Some(telling) = state.tellings.get_mut(topic) {
            telling.begin_counting(count);
        }
        count
    }

    /// Everyone on a topic after what was told last.
    pub(crate) fn told(&self, topic: &str) -> Everyone {
        let state = self.state.lock();
        let mut everyone = Vec::new();
        let there = state.machine.topic(topic);
        visit(there.as_ref(), state.tellings.get(topic), Reading::Told, |key, metas| {
            everyone.push((key.clone(), metas.cloned().collect()));
        });
        everyone
    }

    /// What was told last of one key.
    pub(crate) fn told_key(&self, topic: &str, key: &str) -> Vec<EncodedMeta> {
        let state = self.state.lock();
        let metas = metas(state.machine.topic(topic).as_ref(), key);
        match state.tellings.get(topic) {
            Some(telling) => telling.read_key(Reading::Told, key, metas),
            None => metas,
        }
    }

    /// The news are ready to be told, with this diff.
    pub(crate) fn land(self: &Arc<Self>, news: &News, diff: Option<Payload>) {
        let mut state = self.state.lock();
        self.broadcast(&mut state.said, news, diff);
        if let Some(telling) = state.tellings.get_mut(&news.topic) {
            telling.landed();
        }
        self.tell(&mut state, &news.topic);
    }

    /// Tells what there is to tell of a topic, now or when it may be told.
    fn tell(self: &Arc<Self>, state: &mut State, topic: &Arc<str>) {
        let State { machine, tellings, said, parts, .. } = state;
        let Some(telling) = tellings.get_mut(topic) else { return };
        if parts.hold(topic) || telling.is_timed || !telling.is_due() {
            return;
        }
        let now = Instant::now();
        if let Some(at) = telling.wait(now, self.voice.window)
            && let Some(runtime) = self.runtime()
        {
            telling.is_timed = true;
            runtime.spawn(self.clone().tell_at(at, topic.clone()));
            return;
        }
        let Some(news) = telling.take_off(topic, machine.topic(topic).as_ref(), self.voice.is_observed)
        else {
            return;
        };
        telling.tell(now, self.voice.window);
        let unsent = match &self.worker {
            Some(worker) => worker.send(news).err(),
            None => Some(Box::new(news)),
        };
        if let Some(news) = unsent {
            self.broadcast(said, &news, self.written(&news));
            telling.landed();
        }
    }

    async fn tell_at(self: Arc<Self>, at: Instant, topic: Arc<str>) {
        tokio::time::sleep_until(at).await;
        let mut state = self.state.lock();
        if let Some(telling) = state.tellings.get_mut(&topic) {
            telling.is_timed = false;
        }
        self.tell(&mut state, &topic);
    }

    /// Without a runtime nothing waits.
    fn runtime(&self) -> Option<Handle> {
        self.voice.runtime.clone().or_else(|| Handle::try_current().ok())
    }

    /// The diff, if somebody here may want it.
    fn written(&self, news: &News) -> Option<Payload> {
        (self.voice.pubsub.subscriber_count(&news.topic) > 0).then(|| news.diff()).flatten()
    }

    fn broadcast(&self, said: &mut Said, news: &News, diff: Option<Payload>) {
        let topic = &*news.topic;
        let diff = diff.map(|diff| {
            let place = said.diffs.advance();
            (if news.shown.takes_nothing() { place.adding() } else { place }, DIFF, diff)
        });
        let count = news.count.map(|count| (said.counts.advance(), wire::COUNT, wire::count(count)));
        for (place, event, payload) in diff.into_iter().chain(count) {
            self.voice.pubsub.local_broadcast_at(place, topic, Broadcast::new(topic, event, payload));
        }
    }
}

impl Voice {
    fn is_heard(&self, topic: &str) -> bool {
        self.is_observed || self.pubsub.subscriber_count(topic) > 0
    }
}

impl Said {
    fn note_list(&self, topic: &str) {
        bennu_pubsub::Reading::note(topic, STATE, self.diffs.place());
    }

    fn note_count(&self, topic: &str) {
        bennu_pubsub::Reading::note(topic, wire::COUNT, self.counts.place());
    }
}

impl State {
    /// Forgets the tellings of topics that are quiet now, and says whether there were any.
    fn sweep(&mut self) -> bool {
        let (before, now) = (self.tellings.len(), Instant::now());
        self.tellings.retain(|_, telling| !telling.is_idle(now));
        let left = self.tellings.len();
        self.tellings.shrink_to(left * 2);
        self.sweep_at = left * 2 + SPARE;
        left < before
    }
}

impl Drop for State {
    fn drop(&mut self) {
        if let Some(sweeper) = &self.sweeper {
            sweeper.abort();
        }
    }
}

/// Looks for idle tellings until there are none.
async fn sweep(shard: Weak<Shard>) {
    let mut pause = SWEEP;
    loop {
        tokio::time::sleep(pause).await;
        let Some(shard) = shard.upgrade() else { return };
        let mut state = shard.state.lock();
        // The shown ones of a crowd are remembered for as long as they are there.
        pause = if state.sweep() { SWEEP } else { (pause * 2).min(SLOWEST_SWEEP) };
        if state.tellings.is_empty() {
            state.sweeper = None;
            return;
        }
    }
}

impl News {
    /// The diff for clients, if there is one, as it is without `fetch`.
    pub(crate) fn diff(&self) -> Option<Payload> {
        (!self.shown.is_empty()).then(|| wire::diff(&self.shown))
    }

    /// What an observer hears.
    pub(crate) fn observed(&self) -> &Told {
        self.all.as_ref().unwrap_or(&self.shown)
    }
}

fn metas(there: Option<&Topic<'_>>, key: &str) -> Vec<EncodedMeta> {
    there.and_then(|topic| topic.key(key)).map_or_else(Vec::new, |key| key.metas().cloned().collect())
}

/// Shows each key that a reading has, with its metas.
fn visit(
    there: Option<&Topic<'_>>,
    telling: Option<&Telling>,
    reading: Reading,
    mut show: impl FnMut(&Arc<str>, &mut dyn Iterator<Item = &EncodedMeta>),
) {
    let mut differing: BTreeMap<Arc<str>, Vec<EncodedMeta>> = BTreeMap::new();
    if let Some(telling) = telling {
        let read = |key: &Arc<str>| (key.clone(), telling.read_key(reading, key, metas(there, key)));
        differing.extend(telling.differing(reading).map(read));
    }
    for key in there.into_iter().flat_map(Topic::keys) {
        match differing.get_mut(key.name()).map(std::mem::take) {
            None => show(key.name(), &mut key.metas()),
            Some(metas) if metas.is_empty() => {}
            Some(metas) => show(key.name(), &mut metas.iter()),
        }
    }
    for (key, metas) in differing.iter().filter(|(_, metas)| !metas.is_empty()) {
        show(key, &mut metas.iter());
    }
}
