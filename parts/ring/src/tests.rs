use super::*;

const KEYS: u64 = 100_000;

/// The three behind one face, as the tests see them.
enum Any {
    Ring(Ring),
    Maglev(Maglev),
    Rendezvous(Rendezvous),
}

const ALL: [fn(&[Member]) -> Any; 3] = [
    |members| Any::Ring(Ring::new(members)),
    |members| Any::Maglev(Maglev::new(members)),
    |members| Any::Rendezvous(Rendezvous::new(members)),
];

impl Any {
    fn pick(&self, key: u64, may: impl FnMut(usize) -> bool) -> Option<usize> {
        match self {
            Any::Ring(it) => it.pick(key, may),
            Any::Maglev(it) => it.pick(key, may),
            Any::Rendezvous(it) => it.pick(key, may),
        }
    }

    /// Owner of every test key, as the member's id.
    fn owners(&self, members: &[Member]) -> Vec<u64> {
        keys().map(|key| members[self.pick(key, |_| true).unwrap()].id).collect()
    }

    fn name(&self) -> &'static str {
        match self {
            Any::Ring(_) => "ring",
            Any::Maglev(_) => "maglev",
            Any::Rendezvous(_) => "rendezvous",
        }
    }
}

fn keys() -> impl Iterator<Item = u64> {
    (0..KEYS).map(|n| hash(format!("/page/{n}").as_bytes()))
}

fn members(weights: &[u32]) -> Vec<Member> {
    let id = |n: usize| hash(format!("10.0.0.{n}:8000").as_bytes());
    weights.iter().enumerate().map(|(n, weight)| Member { id: id(n), weight: *weight }).collect()
}

/// Largest deviation of any member's share from its fair one, as a fraction of the fair one.
fn spread(owners: &[u64], members: &[Member]) -> f64 {
    let total: u32 = members.iter().map(|m| m.weight).sum();
    let off = |m: &Member| {
        let fair = owners.len() as f64 * f64::from(m.weight) / f64::from(total);
        (owners.iter().filter(|owner| **owner == m.id).count() as f64 / fair - 1.0).abs()
    };
    members.iter().map(off).fold(0.0, f64::max)
}

#[test]
fn shares_follow_the_weights() {
    // 100 000 keys alone scatter a tenth by 1 %: three times that for the exact ones.
    // Ring: four standard deviations of 160 points for the largest of ten, twice that for the lightest (80 points and fewer).
    for (weights, most) in [(vec![1; 10], [0.25, 0.03, 0.03]), (vec![1, 2, 3, 4], [0.35, 0.03, 0.03])] {
        for (new, most) in ALL.iter().zip(most) {
            let members = members(&weights);
            let table = new(&members);
            let spread = spread(&table.owners(&members), &members);
            println!("{} with weights {weights:?}: shares within {:.1} %", table.name(), spread * 100.0);
            assert!(spread < most, "{}: {spread}", table.name());
        }
    }
}

/// The share of keys that change their owner when the eleventh member joins ten, and when one of eleven leaves: 1/11 cannot be avoided.
#[test]
fn few_keys_move_when_a_member_joins_or_leaves() {
    let (ten, eleven) = (members(&[1; 10]), members(&[1; 11]));
    for (new, most) in ALL.iter().zip([0.115, 0.125, 0.095]) {
        let table = new(&ten);
        let (before, after) = (table.owners(&ten), new(&eleven).owners(&eleven));
        let moved: Vec<(u64, u64)> = before.into_iter().zip(after).filter(|(a, b)| a != b).collect();
        let share = moved.len() as f64 / KEYS as f64;
        let needless = moved.iter().filter(|(_, to)| *to != eleven[10].id).count() as f64 / KEYS as f64;
        println!("{}: {:.2} % move (1/11 is 9.09 %), {:.2} % needlessly", table.name(), share * 100.0, needless * 100.0);
        assert!(share < most, "{}: {share}", table.name());
        match table {
            Any::Maglev(_) => assert!(needless < 0.04, "{needless}"),
            _ => assert_eq!(needless, 0.0, "{}: a key moved between two that stayed", table.name()),
        }
    }
}

#[test]
fn the_keys_of_a_member_that_refuses_spread_over_the_others() {
    let members = members(&[1; 5]);
    for new in ALL {
        let table = new(&members);
        let mut heirs = [0_u64; 5];
        for key in keys().filter(|key| table.pick(*key, |_| true) == Some(2)) {
            heirs[table.pick(key, |member| member != 2).unwrap()] += 1;
        }
        let total: u64 = heirs.iter().sum();
        assert_eq!(heirs[2], 0);
        for (index, heir) in heirs.iter().enumerate().filter(|(index, _)| *index != 2) {
            assert!(*heir * 8 > total, "{}: {index} inherits {heir} of {total}", table.name());
        }
    }
}

#[test]
fn the_order_of_the_members_does_not_matter() {
    let forwards = members(&[1, 2, 3, 1, 2]);
    let backwards: Vec<Member> = forwards.iter().rev().copied().collect();
    for new in ALL {
        assert_eq!(new(&forwards).owners(&forwards), new(&backwards).owners(&backwards));
    }
}

#[test]
fn nobody_is_picked_when_there_is_nobody_or_all_refuse() {
    for new in ALL {
        assert_eq!(new(&[]).pick(7, |_| true), None);
        let mut asked = Vec::new();
        let answer = new(&members(&[1; 3])).pick(7, |member| {
            asked.push(member);
            false
        });
        asked.sort();
        assert_eq!((answer, asked), (None, vec![0, 1, 2]), "each is asked once");
    }
}

#[test]
fn every_member_of_a_large_pool_can_be_reached() {
    let members = members(&[1; 300]);
    for new in ALL {
        let table = new(&members);
        assert!((0..300).all(|wanted| table.pick(7, |member| member == wanted) == Some(wanted)), "{}", table.name());
    }
}

/// One key gets nine tenths of the requests; with a bound of 150 % no member ever has more than one and a half fair shares, and the
/// keys nobody shares a member with stay where they belong.
#[test]
fn a_hot_key_spreads_no_further_than_it_must() {
    let members = members(&[1; 8]);
    for new in ALL {
        let table = new(&members);
        let mut load = [0_u64; 8];
        for (n, key) in keys().take(4000).enumerate() {
            let key = if n % 10 == 0 { key } else { hash(b"/hot") };
            let bound = Bound::new(150, load.iter().sum(), 8);
            load[table.pick(key, |member| bound.allows(load[member], 1)).unwrap()] += 1;
        }
        let most = *load.iter().max().unwrap();
        assert!(most <= 4000 * 3 / 2 / 8, "{}: {load:?}", table.name());
        assert_eq!(load[table.pick(hash(b"/hot"), |_| true).unwrap()], most, "{}: its owner carries what it may", table.name());
    }
}

#[test]
fn a_bound_leaves_room_for_somebody() {
    for total in 0..200 {
        // The fairest possible load over weights 1, 2, 4.
        let loads = [1, 2, 4].map(|weight| total * weight / 7);
        let bound = Bound::new(100, loads.iter().sum(), 7);
        assert!(loads.iter().zip([1, 2, 4]).any(|(load, weight)| bound.allows(*load, weight)), "{loads:?}");
    }
}

/// Frozen: another value would move every key of every site at the next update.
#[test]
fn the_hash_never_changes() {
    assert_eq!([hash(b""), hash(b"a"), hash(b"/page/1")], [0xf52a_15e9_a9b5_e89b, 0x02c0_bdbf_4814_20f8, 0xb82d_d77d_5acf_0816]);
}
