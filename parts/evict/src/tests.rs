use proptest::prelude::*;

use super::*;

const ALL: [Policy; 4] = [Policy::S3Fifo, Policy::Lru, Policy::Lfu, Policy::Fifo];

// === what every policy keeps ===

proptest! {
    /// Whatever is done to it, the store holds what the dull model holds, weighs what its entries weigh, and stays within its budget.
    #[test]
    fn a_store_is_its_model(
        policy in proptest::sample::select(ALL.to_vec()),
        room in 1..12_u64,
        steps in proptest::collection::vec(step(), 0..200),
    ) {
        let budget = room * (Store::<Value>::OVERHEAD_BYTES + 100);
        let (mut store, mut model) = (Store::new(policy, budget), Model { policy, budget, ..Model::default() });
        for step in steps {
            match step {
                Step::Get(key) => {
                    let found = store.get(hash(key), |v: &Value| v.key == key).copied();
                    prop_assert_eq!(found, model.get(key));
                }
                Step::Insert(key, bytes) => {
                    let value = Value { key, bytes };
                    let mut left = Vec::new();
                    let fitted = store.insert(hash(key), value, bytes, |v| v.key == key, &mut left).is_ok();
                    prop_assert_eq!(fitted, model.insert(value, &mut left));
                    prop_assert_eq!(left, vec![], "both gave the same entries back");
                }
                Step::Remove(key) => {
                    prop_assert_eq!(store.remove(hash(key), |v| v.key == key), model.remove(key));
                }
            }
            let mut held: Vec<Value> = store.iter().copied().collect();
            let mut expected: Vec<Value> = model.entries().copied().collect();
            held.sort();
            expected.sort();
            prop_assert_eq!(&held, &expected);
            prop_assert_eq!(store.bytes(), model.bytes());
            prop_assert!(store.bytes() <= budget);
            prop_assert_eq!(store.len(), held.len());
        }
    }
}

#[test]
fn what_never_fits_comes_back_and_its_former_self_leaves() {
    let mut store = Store::new(Policy::S3Fifo, Store::<Value>::OVERHEAD_BYTES + 100);
    let (fits, large) = (Value { key: 1, bytes: 100 }, Value { key: 1, bytes: 101 });
    let mut left = Vec::new();
    assert_eq!(store.insert(hash(1), fits, 100, |v| v.key == 1, &mut left), Ok(()));
    assert_eq!(store.insert(hash(1), large, 101, |v| v.key == 1, &mut left), Err(TooLarge(large)));
    assert_eq!((left, store.len(), store.bytes()), (vec![fits], 0, 0));
}

#[test]
fn keys_with_the_same_hash_live_side_by_side() {
    let mut store = Store::new(Policy::Lru, 10_000);
    for key in [1, 2] {
        store.insert(7, Value { key, bytes: 1 }, 1, |v| v.key == key, &mut Vec::new()).unwrap();
    }
    for key in [1, 2] {
        assert_eq!(store.get(7, |v| v.key == key).map(|v| v.key), Some(key));
    }
    assert_eq!(store.remove(7, |v| v.key == 1).map(|v| v.key), Some(1));
    assert_eq!(store.peek(7, |v| v.key == 2).map(|v| v.key), Some(2));
}

#[test]
fn a_smaller_budget_evicts_at_once() {
    for policy in ALL {
        let mut store = Store::new(policy, 100_000);
        for key in 0..100 {
            store.insert(hash(key), Value { key, bytes: 1 }, 1, |v| v.key == key, &mut Vec::new()).unwrap();
        }
        let mut left = Vec::new();
        store.set_budget(3 * (Store::<Value>::OVERHEAD_BYTES + 1), &mut left);
        assert_eq!((store.len(), left.len()), (3, 97), "{policy:?}");
    }
}

#[test]
fn retain_gives_back_what_it_removes() {
    let mut store = Store::new(Policy::S3Fifo, 100_000);
    for key in 0..10 {
        store.insert(hash(key), Value { key, bytes: 1 }, 1, |v| v.key == key, &mut Vec::new()).unwrap();
    }
    let mut left = Vec::new();
    store.retain(|v| v.key % 2 == 0, &mut left);
    assert!(left.len() == 5 && store.len() == 5 && store.iter().all(|v| v.key % 2 == 0));
}

// === what S3-FIFO is chosen for ===

/// A Zipf-shaped stream over 10 000 keys with room for 500: S3-FIFO hits more often than LRU, and a crawler that asks for every page once
/// costs it far less.
#[test]
fn s3_fifo_hits_more_than_lru_on_zipf_and_resists_a_crawler() {
    let zipf = || {
        let mut dice = Dice(42);
        let table = cumulative(10_000, 0.9);
        (0..200_000).map(move |_| dice.pick(&table)).collect::<Vec<u32>>()
    };
    let ratio = |policy: Policy, stream: &[u32]| {
        let mut store = Store::new(policy, 500 * (Store::<Value>::OVERHEAD_BYTES + 1));
        let mut hits = 0;
        for key in stream {
            match store.get(hash(*key), |v: &Value| v.key == *key) {
                Some(_) => hits += 1,
                None => store.insert(hash(*key), Value { key: *key, bytes: 1 }, 1, |v| v.key == *key, &mut Vec::new()).unwrap(),
            }
        }
        f64::from(hits) / stream.len() as f64
    };
    let calm = zipf();
    // Every other request belongs to the crawler.
    let crawled: Vec<u32> = calm.iter().zip(1_000_000..).flat_map(|(key, fresh)| [*key, fresh]).collect();
    for (name, stream, margin) in [("zipf", &calm, 0.02), ("zipf with a crawler", &crawled, 0.03)] {
        let [s3, lru, lfu, fifo] = ALL.map(|policy| ratio(policy, stream));
        println!("{name}: s3-fifo {s3:.3}, lru {lru:.3}, lfu {lfu:.3}, fifo {fifo:.3}");
        assert!(s3 > lru + margin && lru > fifo, "{name}: s3-fifo {s3:.3}, lru {lru:.3}, fifo {fifo:.3}");
    }
}

// === the dull model ===

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Value {
    key: u32,
    bytes: u64,
}

#[derive(Clone, Copy, Debug)]
struct Held {
    value: Value,
    uses: u32,
}

/// The same rules on vectors, newest last.
#[derive(Default)]
struct Model {
    policy: Policy,
    budget: u64,
    small: Vec<Held>,
    main: Vec<Held>,
    ghost: Vec<u32>,
    remembered: Vec<u32>,
}

impl Model {
    fn entries(&self) -> impl Iterator<Item = &Value> {
        self.small.iter().chain(&self.main).map(|held| &held.value)
    }

    fn bytes(&self) -> u64 {
        weight(&self.small) + weight(&self.main)
    }

    fn get(&mut self, key: u32) -> Option<Value> {
        for list in [&mut self.small, &mut self.main] {
            let Some(at) = list.iter().position(|held| held.value.key == key) else { continue };
            list[at].uses += 1;
            let held = list[at];
            if matches!(self.policy, Policy::Lru | Policy::Lfu) {
                list.remove(at);
                list.push(held);
            }
            return Some(held.value);
        }
        None
    }

    fn remove(&mut self, key: u32) -> Option<Value> {
        for list in [&mut self.small, &mut self.main] {
            if let Some(at) = list.iter().position(|held| held.value.key == key) {
                return Some(list.remove(at).value);
            }
        }
        None
    }

    /// Takes from `left` what it gives back itself.
    fn insert(&mut self, value: Value, left: &mut Vec<Value>) -> bool {
        let mut gives = |gone: Value| left.remove(left.iter().position(|v| *v == gone).expect("the store gave it back as well"));
        let proven = self.main.iter().any(|held| held.value.key == value.key);
        let former = self.small.iter().chain(&self.main).find(|held| held.value.key == value.key).copied();
        if let Some(gone) = self.remove(value.key) {
            gives(gone);
        }
        let needed = value.bytes + Store::<Value>::OVERHEAD_BYTES;
        if needed > self.budget {
            return false;
        }
        while self.bytes() + needed > self.budget {
            let gone = self.evict();
            gives(gone);
        }
        let held = Held { value, uses: former.map_or(0, |former| former.uses) };
        match self.policy {
            _ if proven => self.main.push(held),
            _ if former.is_some() => self.small.push(held),
            Policy::S3Fifo if self.remembered.contains(&value.key) => {
                self.remembered.retain(|key| *key != value.key);
                self.main.push(held);
            }
            _ => self.small.push(held),
        }
        true
    }

    fn evict(&mut self) -> Value {
        match self.policy {
            Policy::Fifo | Policy::Lru => self.small.remove(0).value,
            Policy::Lfu => {
                let least = self.small.iter().map(|held| held.uses.min(255)).min().unwrap();
                let at = self.small.iter().position(|held| held.uses.min(255) == least).unwrap();
                self.small.remove(at).value
            }
            Policy::S3Fifo => loop {
                if !self.small.is_empty() && (weight(&self.small) * 10 >= self.budget || self.main.is_empty()) {
                    let oldest = self.small.remove(0);
                    if oldest.uses > 1 {
                        self.main.push(Held { uses: 0, ..oldest });
                        continue;
                    }
                    self.remember(oldest.value.key);
                    return oldest.value;
                }
                let oldest = self.main.remove(0);
                match oldest.uses.min(3) {
                    0 => return oldest.value,
                    uses => self.main.push(Held { uses: uses - 1, ..oldest }),
                }
            },
        }
    }

    fn remember(&mut self, key: u32) {
        self.ghost.push(key);
        if !self.remembered.contains(&key) {
            self.remembered.push(key);
        }
        while self.ghost.len() > self.small.len() + self.main.len() {
            let oldest = self.ghost.remove(0);
            self.remembered.retain(|key| *key != oldest);
        }
    }
}

fn weight(list: &[Held]) -> u64 {
    list.iter().map(|held| held.value.bytes + Store::<Value>::OVERHEAD_BYTES).sum()
}

// === how these tests speak ===

#[derive(Clone, Debug)]
enum Step {
    Get(u32),
    Insert(u32, u64),
    Remove(u32),
}

fn step() -> impl Strategy<Value = Step> {
    let key = || 0..20_u32;
    prop_oneof![
        5 => key().prop_map(Step::Get),
        4 => (key(), 0..150_u64).prop_map(|(key, bytes)| Step::Insert(key, bytes)),
        1 => key().prop_map(Step::Remove),
    ]
}

fn hash(key: u32) -> u64 {
    let mut z = u64::from(key).wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// xorshift64: the same stream on every run.
struct Dice(u64);

impl Dice {
    fn pick(&mut self, cumulative: &[f64]) -> u32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        let uniform = (self.0 >> 11) as f64 / (1_u64 << 53) as f64;
        cumulative.partition_point(|share| *share < uniform) as u32
    }
}

fn cumulative(keys: usize, exponent: f64) -> Vec<f64> {
    let shares: Vec<f64> = (1..=keys).map(|rank| (rank as f64).powf(-exponent)).collect();
    let total: f64 = shares.iter().sum();
    shares
        .iter()
        .scan(0.0, |sum, share| {
            *sum += share / total;
            Some(*sum)
        })
        .collect()
}
