//! hyper, axum, tower and tonic: they bear the storm, repeat themselves, and are found out where they don't do what they should.

mod common;

use std::collections::BTreeMap;

use common::{broken, fails_by, holds, holds_with, squall_apps};

const ON_TOKIO: &str = "args.runtime=tokio";

#[test]
fn hyper_bears_the_storm_without_tokio() {
    holds("hyper_http1.toml", 60);
    holds("hyper_http2.toml", 60);
}

#[test]
fn hyper_bears_the_storm_on_tokio() {
    holds_with("hyper_http1.toml", &[ON_TOKIO], 60);
    holds_with("hyper_http2.toml", &[ON_TOKIO], 60);
}

#[test]
fn axum_and_tower_pay_each_order_once() {
    holds("axum.toml", 60);
}

#[test]
fn tonic_tells_all_bookings_in_order() {
    holds("tonic.toml", 60);
}

/// The model finds a store that answers before it has synced.
#[test]
fn who_answers_before_it_syncs_is_found() {
    for runtime in ["args.runtime=squall", ON_TOKIO] {
        for file in ["hyper_http1.toml", "hyper_http2.toml"] {
            let broken = broken(file, &["args.syncs=false", runtime], 60);
            assert!(broken.get("linearizable").is_some_and(|times| *times > 0), "{file}: {broken:?}");
        }
    }
    let broken = broken("tonic.toml", &["args.syncs=false"], 60);
    assert!(broken.keys().any(|property| property == "one-ledger" || property == "in-order"), "{broken:?}");
}

#[test]
fn a_retry_without_a_key_pays_twice() {
    let failed = fails_by("axum_pays_twice.toml", "paid-once", 60);
    assert!((5..60).contains(&failed), "{failed} of 60 seeds failed");
    // The same weather, with a key.
    let repaired = ["args.idempotency_key=true", "expect=panic"];
    assert_eq!(broken("axum_pays_twice.toml", &repaired, 60), BTreeMap::new());
    // A weather without losses.
    assert_eq!(broken("axum_pays_twice.toml", &["link.answers.loss=0"], 30), BTreeMap::new());
}

/// A handler that axum drops, as its caller is gone, is a point at which nothing may be half done.
#[test]
fn a_dropped_handler_leaves_nothing_behind() {
    let failed = fails_by("axum_dropped_handler.toml", "answered-is-kept", 40);
    assert!((2..40).contains(&failed), "{failed} of 40 seeds failed");
    let repaired = ["args.is_cancel_safe=true", "expect=panic"];
    assert_eq!(broken("axum_dropped_handler.toml", &repaired, 60), BTreeMap::new());
}

/// `explore` runs seeds again in another process, and comes down to one segment, which it names.
#[test]
fn a_payment_made_twice_is_shrunk_to_one_segment() {
    let output = squall_apps(&["explore", "scenarios/apps/axum_pays_twice.toml", "--seeds", "0..200", "--jobs", "2"]);
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    assert!(said.contains("(200 OK) from bank to shop-"), "{said}");
    assert!(said.contains("perturbations -> 1, "), "{said}");
}

/// Whoever looks at a run of gRPC sees which call a segment is.
#[test]
fn segments_of_grpc_are_named_by_their_call() {
    let output = squall_apps(&["run", "scenarios/apps/tonic.toml", "--seed", "1"]);
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.contains("POST /bank.Bank/Pay"), "{said}");
    assert!(said.contains("answer to POST /bank.Bank/Pay"), "{said}");
}

/// A handler that panics, waits for ever, or takes the process with it, is a failed run, and the others are run all the same.
#[test]
fn what_a_handler_does_wrong_is_a_failed_run() {
    for (instead, isolation, property, why) in [
        ("panic", "thread", "panic", "a handler that panics"),
        ("wait", "thread", "progress", "shop-0 on client shop-0"),
        ("abort", "process", "abort", "abort"),
    ] {
        let set = [format!("args.instead={instead}"), format!("isolation={isolation}")];
        let mut arguments = vec!["explore", "scenarios/apps/axum.toml", "--seeds", "0..4", "--jobs", "2"];
        set.iter().for_each(|set| arguments.extend(["--set", set]));
        let output = squall_apps(&arguments);
        let said = String::from_utf8_lossy(&output.stdout);
        assert_eq!(output.status.code(), Some(100), "{instead}: {said}\n{}", String::from_utf8_lossy(&output.stderr));
        // The summary, which comes when all have been run.
        assert!(said.contains("0 passed, 4 failed, 0 unknown"), "{instead}: {said}");
        assert!(said.contains(&format!("FAIL {property} in 4 of 4 runs")) && said.contains(why), "{instead}: {said}");
    }
}

/// In this process a failing run is followed by ones that pass.
#[test]
fn a_panic_is_a_verdict() {
    let panics = broken("axum.toml", &["args.instead=panic"], 3);
    assert_eq!(panics, BTreeMap::from([("panic".to_string(), 3)]));
    holds("axum.toml", 3);
}
