//! Whatever is done to the segments, `verify` finds it.

use bytes::Bytes;
use gam_audit::{KnownHead, Verification, WitnessLine, current_head, drain, parse_witness, verify};
use gam_lake::audit::{self, SegmentHash};
use gam_lake::{ObjectStore as _, paths};
use gam_model::Clock as _;
use proptest::prelude::*;

use super::support::{ORG, World};

const SEGMENTS: u64 = 5;

/// Returns a log of several segments, and its last head.
async fn logged() -> (World, KnownHead) {
    let world = World::new();
    for number in 0..SEGMENTS as u32 {
        world.add_rows([2 * number, 2 * number + 1]).await;
        drain(&world.ports(), Some(ORG)).await.unwrap();
    }
    let head = current_head(&world.ports(), Some(ORG)).await.unwrap().unwrap();
    (world, KnownHead { head, source: "the store".to_owned() })
}

async fn bytes_of(world: &World, number: u64) -> Bytes {
    world.objects.get(&paths::audit_segment(ORG, number)).await.unwrap().unwrap().bytes
}

async fn replace(world: &World, number: u64, bytes: Bytes) {
    let path = paths::audit_segment(ORG, number);
    world.objects.delete(&path).await.unwrap();
    world.objects.put_if_absent(&path, bytes, &[]).await.unwrap();
}

async fn verified(world: &World, known: &[KnownHead]) -> Verification {
    verify(&*world.objects, ORG, known).await.unwrap()
}

fn faulty(verification: &Verification) -> Vec<u64> {
    verification.faults.iter().map(|fault| fault.segment).collect()
}

#[tokio::test]
async fn an_intact_log_has_no_faults() {
    let (world, head) = logged().await;
    let intact = verified(&world, std::slice::from_ref(&head)).await;
    assert_eq!((intact.segments, intact.rows, intact.head), (SEGMENTS, 10, Some(head.head)));
    assert_eq!(intact.faults, []);
    assert_eq!(intact.times, Some((world.clock.now(), world.clock.now())));
}

#[tokio::test]
async fn a_dropped_segment_is_found() {
    for number in 1..SEGMENTS {
        let (world, _) = logged().await;
        world.objects.delete(&paths::audit_segment(ORG, number)).await.unwrap();
        assert_eq!(faulty(&verified(&world, &[]).await), [number]);
    }
}

#[tokio::test]
async fn a_cut_off_end_is_found_by_who_remembers_it() {
    let (world, head) = logged().await;
    for number in [4, 5] {
        world.objects.delete(&paths::audit_segment(ORG, number)).await.unwrap();
    }
    assert_eq!(faulty(&verified(&world, &[]).await), Vec::<u64>::new(), "the chain alone does not show it");
    let found = verified(&world, &[head]).await;
    assert_eq!(faulty(&found), [4]);
    assert_eq!(found.faults[0].what, "the end was cut off: the store remembers segment 5");
}

#[tokio::test]
async fn swapped_and_copied_segments_are_found() {
    let (world, _) = logged().await;
    let [two, three] = [bytes_of(&world, 2).await, bytes_of(&world, 3).await];
    replace(&world, 2, three.clone()).await;
    replace(&world, 3, two.clone()).await;
    assert_eq!(faulty(&verified(&world, &[]).await), [2, 3, 4]);
    let (world, _) = logged().await;
    replace(&world, 6, two).await;
    assert_eq!(faulty(&verified(&world, &[]).await), [6]);
}

#[tokio::test]
async fn an_inserted_segment_is_found() {
    let (world, head) = logged().await;
    // The forger shifts the later segments, and writes the numbers into them, but not the chain.
    let mut shifted = Vec::new();
    for number in 3..=SEGMENTS {
        shifted.push(audit::read(&*world.objects, ORG, number).await.unwrap().unwrap());
    }
    let forged = audit::encode(ORG, 3, shifted[0].previous, &shifted[0].entries[..1]).unwrap().0;
    replace(&world, 3, forged).await;
    for segment in &shifted {
        let (bytes, _) = audit::encode(ORG, segment.number + 1, segment.previous, &segment.entries).unwrap();
        replace(&world, segment.number + 1, bytes).await;
    }
    assert_eq!(faulty(&verified(&world, &[]).await), [4, 5, 6]);
    // The forger makes the complete chain new: only a head that somebody remembers shows it.
    let mut previous = SegmentHash::NONE;
    for number in 1..=SEGMENTS + 1 {
        let segment = audit::read(&*world.objects, ORG, number).await.unwrap().unwrap();
        let (bytes, hash) = audit::encode(ORG, number, previous, &segment.entries).unwrap();
        replace(&world, number, bytes).await;
        previous = hash;
    }
    assert_eq!(faulty(&verified(&world, &[]).await), Vec::<u64>::new());
    assert_eq!(faulty(&verified(&world, &[head]).await), [SEGMENTS]);
}

#[tokio::test]
async fn a_witness_finds_a_replaced_end() {
    let (world, head) = logged().await;
    let line = serde_json::to_string(&WitnessLine::new(ORG, head.head, world.clock.now())).unwrap();
    let other = serde_json::to_string(&WitnessLine::new("_", head.head, world.clock.now())).unwrap();
    let lines = parse_witness(&format!("{line}\n\n{other}\n")).unwrap();
    let known: Vec<KnownHead> =
        lines.iter().filter(|line| line.log == ORG).filter_map(WitnessLine::known_head).collect();
    assert_eq!(known.len(), 1);
    assert_eq!(verified(&world, &known).await.faults, []);
    let last = audit::read(&*world.objects, ORG, SEGMENTS).await.unwrap().unwrap();
    let (bytes, _) = audit::encode(ORG, SEGMENTS, last.previous, &last.entries[..1]).unwrap();
    replace(&world, SEGMENTS, bytes).await;
    let found = verified(&world, &known).await;
    assert_eq!(faulty(&found), [SEGMENTS]);
    assert!(
        found.faults[0].what.contains("the witness of 2026-03-01T12:00:00Z remembers"),
        "{:?}",
        found.faults
    );
    assert_eq!(parse_witness("{}").unwrap_err().0, 1);
    assert_eq!(
        parse_witness(&format!("{line}\n{}", line.replace("sha256\":\"", "sha256\":\"x"))).unwrap_err().0,
        2
    );
}

#[tokio::test]
async fn an_object_that_is_no_segment_is_found() {
    let (world, _) = logged().await;
    let path = gam_lake::ObjectPath::parse(format!("{}x.parquet", paths::audit_prefix(ORG))).unwrap();
    world.objects.put_if_absent(&path, Bytes::from_static(b"x"), &[]).await.unwrap();
    let found = verified(&world, &[]).await;
    assert_eq!(found.faults.len(), 1);
    assert_eq!(found.faults[0].path, path.as_str());
}

/// A change of the files of a log.
#[derive(Debug, Clone)]
enum Change {
    Flip(prop::sample::Index, prop::sample::Index, u8),
    Truncate(prop::sample::Index, prop::sample::Index),
    Drop(prop::sample::Index),
    Copy(prop::sample::Index, prop::sample::Index),
}

fn any_change() -> impl Strategy<Value = Change> {
    let index = any::<prop::sample::Index>;
    prop_oneof![
        (index(), index(), 1u8..).prop_map(|(segment, byte, mask)| Change::Flip(segment, byte, mask)),
        (index(), index()).prop_map(|(segment, length)| Change::Truncate(segment, length)),
        index().prop_map(Change::Drop),
        (index(), index()).prop_map(|(from, to)| Change::Copy(from, to)),
    ]
}

async fn apply(world: &World, change: &Change) {
    let number = |index: &prop::sample::Index| index.index(SEGMENTS as usize) as u64 + 1;
    let read = async |number: u64| {
        let object = world.objects.get(&paths::audit_segment(ORG, number)).await.unwrap();
        object.map(|object| object.bytes)
    };
    match change {
        Change::Flip(segment, byte, mask) => {
            let Some(bytes) = read(number(segment)).await else { return };
            let mut bytes = bytes.to_vec();
            if !bytes.is_empty() {
                let byte = byte.index(bytes.len());
                bytes[byte] ^= mask;
            }
            replace(world, number(segment), Bytes::from(bytes)).await;
        }
        Change::Truncate(segment, length) => {
            let Some(bytes) = read(number(segment)).await else { return };
            let length = length.index(bytes.len() + 1);
            replace(world, number(segment), bytes.slice(..length)).await;
        }
        Change::Drop(segment) => {
            world.objects.delete(&paths::audit_segment(ORG, number(segment))).await.unwrap()
        }
        Change::Copy(from, to) => {
            let Some(bytes) = read(number(from)).await else { return };
            replace(world, number(to), bytes).await;
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn any_change_of_the_files_is_found(changes in prop::collection::vec(any_change(), 1..4)) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let (world, head) = logged().await;
            let mut before = Vec::new();
            for number in 1..=SEGMENTS {
                before.push(bytes_of(&world, number).await);
            }
            for change in &changes {
                apply(&world, change).await;
            }
            let mut is_changed = false;
            for (number, bytes) in (1..).zip(&before) {
                let now = world.objects.get(&paths::audit_segment(ORG, number)).await.unwrap();
                is_changed |= now.is_none_or(|now| now.bytes != *bytes);
            }
            let found = verified(&world, &[head]).await;
            assert_eq!(!found.faults.is_empty(), is_changed, "{changes:?}: {:?}", found.faults);
        });
    }
}
