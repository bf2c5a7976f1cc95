//! Months that any number of processes fold side by side: one plans them, and whoever folds the last one switches.

use std::sync::Arc;

use fastrand::Rng;
use gam_aggregate::{
    AggregateOptions, AggregatePorts, MonthPlan, MonthTask, MonthTaskOutcome, RulesState, aggregate_with,
    fold_month, fold_status, plan_months,
};
use gam_lake::{Events, ObjectStore, paths, snapshot};
use gam_model::{EventBatch, Identity, Month};
use gam_store::{Epoch, ItemClass, ItemKey, RollupStore, StoredItem, Subject};

use crate::support::{
    HangFrom, ORG, TestData, active_epoch, all_answers, other_identity, random_batches, snapshot_rows,
    stored_items,
};

/// The options of a process that does not look at months that no batch touches.
pub(crate) fn inbox_only() -> AggregateOptions {
    AggregateOptions { check_months: false, max_concurrent_months: 1, ..AggregateOptions::default() }
}

pub(crate) fn tasks_of(plan: &MonthPlan, rebuild: bool) -> Vec<MonthTask> {
    let task = |month: &Month| MonthTask { org: ORG.to_owned(), epoch: plan.epoch, month: *month, rebuild };
    plan.months.iter().map(task).collect()
}

/// Plans, and folds all months of the plan.
pub(crate) async fn fold_plan(ports: &AggregatePorts, rebuild: bool) -> MonthPlan {
    let plan = plan_months(ports, ORG, rebuild, &()).await.unwrap().unwrap();
    for task in tasks_of(&plan, rebuild) {
        let outcome = fold_month(ports, &task, &inbox_only(), &()).await.unwrap();
        assert!(matches!(outcome, MonthTaskOutcome::Done { .. }), "{outcome:?}");
    }
    plan
}

fn batches() -> Vec<EventBatch> {
    random_batches(&mut Rng::with_seed(11), 20, 5)
}

/// Data under the default rules, for which other rules were configured.
async fn reconfigured() -> TestData {
    let data = TestData::aggregated(&batches(), Identity::default()).await;
    data.configure(&other_identity()).await;
    data
}

async fn assert_has_other_rules(data: &TestData, context: &str) {
    let expected = TestData::aggregated(&batches(), other_identity()).await;
    assert_eq!(active_epoch(data).await, Epoch(2), "{context}");
    assert_eq!(snapshot_rows(data).await, snapshot_rows(&expected).await, "{context}");
    let (ports, expected) =
        (data.ports_with(other_identity()).await, expected.ports_with(other_identity()).await);
    assert_eq!(all_answers(&ports).await, all_answers(&expected).await, "{context}");
}

#[tokio::test]
async fn whoever_folds_the_last_month_switches_answers() {
    let data = reconfigured().await;
    let ports = data.unconfigured_ports(other_identity()).aggregate;
    let waiting = fold_status(&ports, ORG).await.unwrap();
    assert_eq!((waiting.rules, waiting.is_changing), (RulesState::NewerHere, false));

    let plan = plan_months(&ports, ORG, false, &()).await.unwrap().unwrap();
    assert!(plan.is_target && plan.epoch == Epoch(2) && plan.months.len() >= 2, "{plan:?}");
    let tasks = tasks_of(&plan, false);
    for (done, task) in tasks.iter().rev().enumerate() {
        assert_eq!(active_epoch(&data).await, Epoch(1));
        let status = fold_status(&ports, ORG).await.unwrap();
        assert!(status.is_changing && status.has_answers && status.rules == RulesState::Same, "{status:?}");
        assert_eq!((status.months, status.months_left.len()), (tasks.len(), tasks.len() - done));
        // A message can be delivered twice.
        for is_first in [true, false] {
            let outcome = fold_month(&ports, task, &inbox_only(), &()).await.unwrap();
            let MonthTaskOutcome::Done { rollups } = outcome else { panic!("{outcome:?}") };
            assert_eq!(rollups > 0, is_first, "a month that is folded is not folded again");
        }
    }
    assert_eq!(active_epoch(&data).await, Epoch(2));
    let status = fold_status(&ports, ORG).await.unwrap();
    assert_eq!((status.is_changing, status.months_left), (false, vec![]));
    let again = plan_months(&ports, ORG, false, &()).await.unwrap().unwrap();
    assert_eq!((again.is_target, again.months), (false, vec![]));
    let expected = TestData::aggregated(&batches(), other_identity()).await;
    assert_eq!(stored_items(&data).await, stored_items(&expected).await);
}

#[tokio::test]
async fn a_rebuild_folds_months_that_look_current() {
    let data = TestData::aggregated(&batches(), Identity::default()).await;
    let before = stored_items(&data).await;
    let month = before[0].0.month;
    let wrong = StoredItem { generation: 9, body: Vec::new() };
    data.store
        .put(ORG, Epoch(1), &[(ItemKey::new(ItemClass::Days(Subject::Org), month), wrong)])
        .await
        .unwrap();
    assert_ne!(stored_items(&data).await, before);
    let ports = data.ports().await;
    assert_eq!(fold_plan(&ports.aggregate, false).await.months, []);
    let plan = fold_plan(&ports.aggregate, true).await;
    assert!(!plan.is_target && plan.months.contains(&month), "{plan:?}");
    let expected = TestData::aggregated(&batches(), Identity::default()).await;
    assert_eq!(all_answers(&ports).await, all_answers(&expected.ports().await).await);
    assert_eq!(active_epoch(&data).await, Epoch(1));
}

#[tokio::test]
async fn a_task_of_another_epoch_does_nothing() {
    let data = reconfigured().await;
    let ports = data.unconfigured_ports(other_identity()).aggregate;
    let old = plan_months(&ports, ORG, false, &()).await.unwrap().unwrap();
    // The first worker that sees a newer configuration sets a new target. Its months have to be planned.
    data.configure(&Identity::default()).await;
    let run = async |task: &MonthTask| fold_month(&ports, task, &inbox_only(), &()).await.unwrap();
    let tasks = tasks_of(&old, false);
    assert_eq!(run(&tasks[0]).await, MonthTaskOutcome::Outdated { needs_plan: true });
    assert_eq!(data.store.item_count(ORG, Epoch(2)), 0);
    let plan = plan_months(&ports, ORG, false, &()).await.unwrap().unwrap();
    let new_tasks = tasks_of(&plan, false);
    assert_eq!(plan.epoch, Epoch(3));
    // The first worker may have failed before it requested the plan, until a month shows that there is one.
    assert_eq!(run(&tasks[1]).await, MonthTaskOutcome::Outdated { needs_plan: true });
    assert!(matches!(run(&new_tasks[0]).await, MonthTaskOutcome::Done { .. }));
    assert_eq!(run(&tasks[1]).await, MonthTaskOutcome::Outdated { needs_plan: false });
    fold_plan(&ports, false).await;
    let items = stored_items(&data).await;
    // Also much later, and if it asks for a rebuild.
    for task in tasks.iter().chain(&tasks_of(&old, true)) {
        assert_eq!(run(task).await, MonthTaskOutcome::Outdated { needs_plan: false });
    }
    assert_eq!((active_epoch(&data).await, stored_items(&data).await), (Epoch(3), items));
}

#[tokio::test]
async fn a_lost_month_is_planned_once_and_keeps_its_numbers() {
    let count = snapshot::months::<Events>(&*reconfigured().await.objects, ORG).await.unwrap().len();
    for n in 0..count {
        check_lost_month(n).await;
    }
}

/// Loses the n-th month, plans and folds, and checks that its numbers stay.
async fn check_lost_month(n: usize) {
    let data = reconfigured().await;
    let ports = data.unconfigured_ports(other_identity()).aggregate;
    let lost = snapshot::months::<Events>(&*data.objects, ORG).await.unwrap()[n];
    ObjectStore::delete(&*data.objects, &paths::snapshot::<Events>(ORG, lost)).await.unwrap();
    let plan = fold_plan(&ports, false).await;
    assert!(plan.months.contains(&lost));
    assert_eq!(active_epoch(&data).await, Epoch(2), "one lost month does not hold back new rules");
    let status = fold_status(&ports, ORG).await.unwrap();
    assert_eq!((status.lost_months, status.months_left), (vec![lost], vec![]));
    let marker = ports.rollups.marker(ORG, Epoch(2), lost).await.unwrap();
    assert!(marker.is_some_and(|marker| marker.generation > 0), "month {n} was copied");
}

#[tokio::test]
async fn a_kill_at_any_call_of_a_month_loses_nothing() {
    for n in 0.. {
        let data = reconfigured().await;
        let ports = data.unconfigured_ports(other_identity()).aggregate;
        let plan = plan_months(&ports, ORG, false, &()).await.unwrap().unwrap();
        let tasks = tasks_of(&plan, false);
        // The last month: the worker dies while it folds, or while it switches.
        let (last, others) = tasks.split_last().unwrap();
        for task in others {
            fold_month(&ports, task, &inbox_only(), &()).await.unwrap();
        }
        let gate = Arc::new(HangFrom::new(n));
        let gated = data.gated(other_identity(), gate.clone()).await.aggregate;
        let options = inbox_only();
        let has_ended = tokio::select! {
            outcome = fold_month(&gated, last, &options, &()) => outcome.is_ok(),
            () = gate.reached.notified() => false,
        };
        // The queue delivers the message again, to whichever worker.
        fold_month(&ports, last, &inbox_only(), &()).await.unwrap();
        assert_has_other_rules(&data, &format!("after call {n}")).await;
        if has_ended {
            assert!(n > 10, "folding a month makes more than {n} calls");
            break;
        }
    }
}

#[tokio::test]
async fn batches_that_arrive_meanwhile_are_counted_once() {
    let all = batches();
    let data = TestData::aggregated(&all[..2], Identity::default()).await;
    data.configure(&other_identity()).await;
    let ports = data.unconfigured_ports(other_identity()).aggregate;
    let plan = plan_months(&ports, ORG, false, &()).await.unwrap().unwrap();
    let tasks = tasks_of(&plan, false);
    fold_month(&ports, &tasks[0], &inbox_only(), &()).await.unwrap();
    data.put(&all[2..]).await;
    aggregate_with(&ports, ORG, &inbox_only(), &()).await.unwrap();
    for task in &tasks {
        fold_month(&ports, task, &inbox_only(), &()).await.unwrap();
    }
    assert_has_other_rules(&data, "after all tasks").await;
}
