//! Histories: whatever the lines, they are read or refused with their number; and what is read, each model judges or refuses, and comes to
//! the same again.
#![no_main]

use squall::check::Model;
use squall::check::claim::Claim;
use squall::check::history::{History, read};
use squall::check::linearizability::{Limits, check};
use squall::check::models::{CasRegister, Kv, Lock, Queue, Register, Set};
use squall::check::sessions::Guarantee;
use squall::check::transactions::Level;

fn judge<M: Model>(model: &M, history: &History) {
    let limits = Limits { steps: 10_000, turns_near: 4, ..Limits::default() };
    let judged = check(model, history, limits);
    assert_eq!(judged, check(model, history, limits));
    if let Err(mistake) = judged {
        assert!((1..=history.events()).contains(&mistake.event) && !mistake.problem.is_empty());
    }
}

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    match read(bytes) {
        Ok(history) => {
            judge(&Register, &history);
            judge(&CasRegister, &history);
            judge(&Kv, &history);
            judge(&Set, &history);
            judge(&Queue, &history);
            judge(&Lock, &history);
            let claims = Level::ALL.map(Claim::Transactions).into_iter().chain(Guarantee::ALL.map(Claim::Session));
            for claim in claims {
                let judged = claim.check(&history, Limits::default());
                assert_eq!(judged, claim.check(&history, Limits::default()));
                if let Err(mistake) = judged {
                    assert!((1..=history.events()).contains(&mistake.event) && !mistake.problem.is_empty());
                }
            }
        }
        Err(error) => assert!(error.line > 0 && !error.problem.is_empty()),
    }
});
