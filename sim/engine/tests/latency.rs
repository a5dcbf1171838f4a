//! Statistical tests of the latency distributions.
//!
//! The oracles are independent of the module: `rand_distr` for the shape of each distribution
//! (Kolmogorov-Smirnov), closed forms evaluated with 50 digits for accuracy and golden values.
//! All seeds are fixed, so no test fails by chance.
#![allow(clippy::disallowed_methods, reason = "the oracles are to be independent of libm")]

use std::time::Duration;

use proptest::prelude::*;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::Distribution;
use squall_engine::latency::{InverseTable, LATENCY_NS_MAX, Latency, LatencyError, TRACE_ENTRIES_MAX};

const fn milliseconds(count: u64) -> Duration {
    Duration::from_millis(count)
}

fn compiled(latency: &Latency) -> InverseTable {
    latency.compile().expect("the test gives valid parameters")
}

/// The word at the quantile `numerator / denominator`.
fn word_at(numerator: u64, denominator: u64) -> u64 {
    u64::try_from((u128::from(numerator) << 64) / u128::from(denominator)).expect("below one")
}

// ---------------------------------------------------------------------------------------------
// Kolmogorov-Smirnov: the configured distribution is accepted, one 10 % off is rejected.

/// The size of each of the two samples of a test.
const SAMPLE_SIZE: usize = 100_000;

/// The greatest difference of two empirical distribution functions that counts as "the same".
///
/// The critical value of the two-sample test at a significance of 0.1 %, `1.95 * sqrt(2 / n)`. A
/// parameter that is 10 % off moves the distribution functions apart by at least 0.0165 for the
/// distributions below, twice this value.
const TOLERANCE: f64 = 0.008_7;

/// `SAMPLE_SIZE` draws of `latency`, ascending, in nanoseconds.
fn table_sample_ns(latency: &Latency) -> Vec<f64> {
    let table = compiled(latency);
    let mut words = ChaCha8Rng::seed_from_u64(1);
    let mut sample_ns: Vec<f64> = (0..SAMPLE_SIZE).map(|_| table.quantile_ns(words.next_u64()) as f64).collect();
    sample_ns.sort_by(f64::total_cmp);
    sample_ns
}

/// `SAMPLE_SIZE` draws of the oracle, ascending, rounded to whole nanoseconds like a latency.
fn oracle_sample_ns(distribution: impl Distribution<f64>) -> Vec<f64> {
    let mut words = ChaCha8Rng::seed_from_u64(2);
    let mut sample_ns: Vec<f64> = (0..SAMPLE_SIZE).map(|_| distribution.sample(&mut words).round()).collect();
    sample_ns.sort_by(f64::total_cmp);
    sample_ns
}

/// The two-sample Kolmogorov-Smirnov statistic of two ascending samples.
fn greatest_difference(left: &[f64], right: &[f64]) -> f64 {
    let (mut left_count, mut right_count) = (0, 0);
    let mut greatest: f64 = 0.0;
    while left_count < left.len() && right_count < right.len() {
        // Step over all equal values of both samples at once: the distribution functions are
        // only compared behind a tie.
        let value = left[left_count].min(right[right_count]);
        while left_count < left.len() && left[left_count] <= value {
            left_count += 1;
        }
        while right_count < right.len() && right[right_count] <= value {
            right_count += 1;
        }
        let left_share = left_count as f64 / left.len() as f64;
        let right_share = right_count as f64 / right.len() as f64;
        greatest = greatest.max((left_share - right_share).abs());
    }
    greatest
}

/// Checks that `latency` is told to follow `same`, and told not to follow any of `different`.
fn assert_distinguished<D: Distribution<f64>>(
    latency: &Latency,
    same: D,
    different: impl IntoIterator<Item = (&'static str, D)>,
) {
    let sample_ns = table_sample_ns(latency);
    let difference = greatest_difference(&sample_ns, &oracle_sample_ns(same));
    assert!(difference <= TOLERANCE, "{latency:?} is off by {difference} from its oracle");
    for (change, distribution) in different {
        let difference = greatest_difference(&sample_ns, &oracle_sample_ns(distribution));
        assert!(difference > TOLERANCE, "{latency:?} is not told apart from an oracle with {change}: {difference}");
    }
}

#[test]
fn uniform_follows_its_oracle_and_no_neighbour() {
    let uniform = |min_ns, max_ns| rand_distr::Uniform::new_inclusive(min_ns, max_ns).expect("a valid range");
    assert_distinguished(
        &Latency::uniform(milliseconds(2), milliseconds(10)),
        uniform(2e6, 10e6),
        [
            ("min 10 % up", uniform(2.2e6, 10e6)),
            ("min 10 % down", uniform(1.8e6, 10e6)),
            ("max 10 % up", uniform(2e6, 11e6)),
            ("max 10 % down", uniform(2e6, 9e6)),
        ],
    );
}

#[test]
fn exponential_follows_its_oracle_and_no_neighbour() {
    let exponential = |mean_ns: f64| rand_distr::Exp::new(1.0 / mean_ns).expect("a valid rate");
    assert_distinguished(
        &Latency::exponential(milliseconds(10)),
        exponential(10e6),
        [("mean 10 % up", exponential(11e6)), ("mean 10 % down", exponential(9e6))],
    );
}

#[test]
fn exponential_floor_is_added() {
    let exponential = |mean_ns: f64, min_ns: f64| {
        rand_distr::Exp::new(1.0 / mean_ns).expect("a valid rate").map(move |sample_ns| sample_ns + min_ns)
    };
    let latency = Latency::Exponential { mean: milliseconds(5), min: milliseconds(3) };
    let sample_ns = table_sample_ns(&latency);
    let difference_at =
        |mean_ns, min_ns| greatest_difference(&sample_ns, &oracle_sample_ns(exponential(mean_ns, min_ns)));
    assert!(difference_at(5e6, 3e6) <= TOLERANCE);
    assert!(difference_at(5.5e6, 3e6) > TOLERANCE);
    assert!(difference_at(4.5e6, 3e6) > TOLERANCE);
    assert!(difference_at(5e6, 3.3e6) > TOLERANCE);
    assert!(difference_at(5e6, 2.7e6) > TOLERANCE);
}

#[test]
fn lognormal_follows_its_oracle_and_no_neighbour() {
    // The 0.99-quantile of the standard normal distribution, which ties p99 to sigma.
    const NORMAL_QUANTILE_99: f64 = 2.326_347_874_040_841;
    let lognormal = |median_ns: f64, p99_ns: f64| {
        let sigma = (p99_ns / median_ns).ln() / NORMAL_QUANTILE_99;
        rand_distr::LogNormal::new(median_ns.ln(), sigma).expect("a valid sigma")
    };
    assert_distinguished(
        &Latency::lognormal(milliseconds(2), milliseconds(8)),
        lognormal(2e6, 8e6),
        [
            ("median 10 % up", lognormal(2.2e6, 8e6)),
            ("median 10 % down", lognormal(1.8e6, 8e6)),
            ("median and p99 10 % up", lognormal(2.2e6, 8.8e6)),
            ("median and p99 10 % down", lognormal(1.8e6, 7.2e6)),
            ("p99 10 % up", lognormal(2e6, 8.8e6)),
            ("p99 10 % down", lognormal(2e6, 7.2e6)),
        ],
    );
}

#[test]
fn pareto_follows_its_oracle_and_no_neighbour() {
    let pareto = |min_ns, shape| rand_distr::Pareto::new(min_ns, shape).expect("a valid scale and shape");
    assert_distinguished(
        &Latency::pareto(milliseconds(1), 1.5),
        pareto(1e6, 1.5),
        [
            ("scale 10 % up", pareto(1.1e6, 1.5)),
            ("scale 10 % down", pareto(0.9e6, 1.5)),
            ("shape 10 % up", pareto(1e6, 1.65)),
            ("shape 10 % down", pareto(1e6, 1.35)),
        ],
    );
}

#[test]
fn empirical_follows_its_oracle_and_no_neighbour() {
    let measured_ms = [7, 1, 3, 3, 12, 5, 4, 9, 2, 30];
    let latency = Latency::empirical(measured_ms.map(milliseconds));
    let oracle = |change: fn(f64) -> f64| {
        let measured_ns = measured_ms.map(|value_ms| change(value_ms as f64 * 1e6));
        rand_distr::Uniform::new(0, measured_ns.len()).expect("a valid range").map(move |index| measured_ns[index])
    };
    let sample_ns = table_sample_ns(&latency);
    let difference_to = |change| greatest_difference(&sample_ns, &oracle_sample_ns(oracle(change)));
    assert!(difference_to(|value_ns| value_ns) <= TOLERANCE);
    assert!(difference_to(|value_ns| value_ns * 1.1) > TOLERANCE);
    assert!(difference_to(|value_ns| value_ns * 0.9) > TOLERANCE);
    // One entry of ten is 10 % off.
    assert!(difference_to(|value_ns| if value_ns == 5e6 { 5.5e6 } else { value_ns }) > TOLERANCE);
}

// ---------------------------------------------------------------------------------------------
// Accuracy against the closed forms.

/// The quantiles of [`exact_quantiles_ns`], as fractions.
const QUANTILES: [(u64, u64); 8] =
    [(1, 1_000), (1, 100), (1, 10), (1, 2), (9, 10), (99, 100), (999, 1_000), (9_999, 10_000)];

/// The exact quantiles in nanoseconds, by these closed forms with 50 digits in Python's `mpmath`,
/// rounded to nearest and saturated, where `z(p) = sqrt(2) erfinv(2p - 1)`:
///
/// * exponential: `min - mean log(1 - p)`
/// * lognormal: `median exp(log(p99 / median) / z(0.99) * z(p))`
/// * Pareto: `min (1 - p)^(-1 / shape)`
fn exact_quantiles_ns() -> [(Latency, [u64; 8]); 5] {
    [
        (
            Latency::exponential(milliseconds(10)),
            [10_005, 100_503, 1_053_605, 6_931_472, 23_025_851, 46_051_702, 69_077_553, 92_103_404],
        ),
        (
            Latency::lognormal(milliseconds(2), milliseconds(20)),
            [93_901, 200_000, 562_528, 2_000_000, 7_110_753, 20_000_000, 42_598_281, 79_374_352],
        ),
        // At the border of the documented accuracy, as is the last one.
        (
            Latency::lognormal(milliseconds(1), milliseconds(1_000_000)),
            [0, 1, 495, 1_000_000, 2_019_824_587, 1_000_000_000_000, 93_362_504_619_654, 3_907_519_713_255_070],
        ),
        (
            Latency::pareto(milliseconds(1), 1.5),
            [1_000_667, 1_006_723, 1_072_766, 1_587_401, 4_641_589, 21_544_347, 100_000_000, 464_158_883],
        ),
        (
            Latency::pareto(Duration::from_micros(1), 0.2),
            [1_005, 1_052, 1_694, 32_000, 100_000_000, 10_000_000_000_000, 1_000_000_000_000_000_000, LATENCY_NS_MAX],
        ),
    ]
}

#[test]
fn quantiles_agree_with_the_closed_forms_to_a_thousandth() {
    for (latency, exact_ns) in exact_quantiles_ns() {
        let table = compiled(&latency);
        for ((numerator, denominator), exact_ns) in QUANTILES.into_iter().zip(exact_ns) {
            let actual_ns = table.quantile_ns(word_at(numerator, denominator));
            let error_ns = actual_ns.abs_diff(exact_ns);
            println!(
                "{latency:?} at {numerator}/{denominator}: {actual_ns} ns, exactly {exact_ns} ns, \
                 relative error {:.1e}",
                error_ns as f64 / exact_ns as f64
            );
            assert!(
                error_ns <= (exact_ns / 1_000).max(1),
                "{latency:?} at {numerator}/{denominator}: {actual_ns} instead of {exact_ns} ns"
            );
        }
    }
}

/// Between the named quantiles as well: a sweep over both tails against a straightforward
/// floating-point evaluation, which the exponential and Pareto distributions have.
#[test]
fn both_tails_agree_with_the_closed_forms_to_a_thousandth() {
    let mean_ns = 1e9;
    let exponential = compiled(&Latency::exponential(Duration::from_secs(1)));
    // At the border of the documented accuracy.
    let pareto = compiled(&Latency::pareto(Duration::from_nanos(1_000), 0.2));
    let assert_near = |actual_ns: u64, exact_ns: f64, word: u64| {
        if exact_ns < 1e18 {
            let error_ns = (actual_ns as f64 - exact_ns).abs();
            assert!(error_ns <= (exact_ns * 1e-3).max(1.0), "{actual_ns} instead of {exact_ns} ns at {word:#x}");
        }
    };
    for shift in 1..60 {
        for step in 0..1_000_u64 {
            let distance = ((1 << 63) + step * (u64::MAX / 2_001)) >> shift;
            let probability = (distance as f64 + 0.5) / 2_f64.powi(64);
            let lower_hazard = -(-probability).ln_1p();
            let upper_hazard = -probability.ln();
            for (word, hazard) in [(distance, lower_hazard), (!distance, upper_hazard)] {
                assert_near(exponential.quantile_ns(word), mean_ns * hazard, word);
                assert_near(pareto.quantile_ns(word), 1_000.0 * (hazard / 0.2).exp(), word);
            }
        }
    }
}

#[test]
fn the_median_is_exact() {
    for (latency, median_ns) in [
        (Latency::fixed(Duration::from_nanos(17)), 17),
        (Latency::uniform(milliseconds(1), milliseconds(3)), 2_000_000),
        (Latency::lognormal(milliseconds(2), milliseconds(20)), 2_000_000),
        (Latency::lognormal(Duration::from_nanos(3), milliseconds(20)), 3),
        // 10 ms * log(2) and 1 ms * 2^(1/1.5).
        (Latency::exponential(milliseconds(10)), 6_931_472),
        (Latency::pareto(milliseconds(1), 1.5), 1_587_401),
        (Latency::empirical([5, 1, 3].map(milliseconds)), 3_000_000),
    ] {
        assert_eq!(compiled(&latency).median_ns(), median_ns, "{latency:?}");
    }
}

// ---------------------------------------------------------------------------------------------
// Golden values: the same bits on every platform and in every version.

/// Words from all parts of a table: both ends, borders of cells, and positions within cells.
const GOLDEN_WORDS: [u64; 13] = [
    0,
    1 << 32,
    0x0041_8937_4bc6_a7ef,
    0x0123_4567_89ab_cdef,
    1 << 62,
    1 << 63,
    3 << 62,
    0xe666_6666_6666_6666,
    0xfd70_a3d7_0a3d_70a3,
    0xffbe_76c8_b439_5810,
    0xfff9_7247_4538_ef34,
    0xffff_ffff_ffef_ffff,
    u64::MAX,
];

/// The latencies in nanoseconds at [`GOLDEN_WORDS`].
///
/// Not copied from the module: an implementation of the table's layout in exact rational
/// arithmetic (Python), with nodes from the closed forms in 50 digits, gives the same integers, but
/// for the last digit of the one marked.
fn golden_quantiles_ns() -> [(Latency, [u64; 13]); 3] {
    [
        (
            Latency::Exponential { mean: milliseconds(10), min: milliseconds(1) },
            [
                1_000_000,
                1_000_000,
                1_010_005,
                1_044_543,
                3_876_821,
                7_931_472,
                14_862_944,
                24_025_965,
                47_051_757,
                70_077_842,
                93_103_460,
                305_984_754,
                451_545_667,
            ],
        ),
        (
            Latency::lognormal(milliseconds(2), milliseconds(20)),
            [
                232,
                4_197,
                93_900,
                150_104,
                1_025_876,
                2_000_000,
                3_899_106,
                7_110_812,
                20_000_051,
                42_598_721,
                79_374_484,
                3_106_506_736,
                17_238_887_667,
            ],
        ),
        (
            Latency::pareto(milliseconds(1), 1.5),
            [
                1_000_000,
                1_000_000,
                1_000_667,
                1_002_974,
                1_211_414,
                1_587_401,
                2_519_842,
                4_641_648,
                21_544_479,
                100_003_220,
                464_161_765,
                // 840_019 with 50 digits: above 2^49 an `f64` does not hold the last bit.
                676_414_750_840_020,
                4_611_686_018_427_387_904,
            ],
        ),
    ]
}

#[test]
fn interpolated_quantiles_are_golden() {
    for (latency, golden_ns) in golden_quantiles_ns() {
        let table = compiled(&latency);
        let actual_ns = GOLDEN_WORDS.map(|word| table.quantile_ns(word));
        assert_eq!(actual_ns, golden_ns, "{latency:?}");
    }
}

/// FNV-1a, one step per quantile, over 4096 words spread over all octaves of both halves. The
/// digests come from the same independent implementation as [`golden_quantiles_ns`].
#[test]
fn digests_of_whole_tables_are_golden() {
    for (latency, golden) in [
        (Latency::Exponential { mean: milliseconds(10), min: milliseconds(1) }, 0x2c3e_7f50_65b7_e0f6),
        (Latency::lognormal(milliseconds(2), milliseconds(20)), 0xc726_0f42_5cee_f14e),
        (Latency::pareto(milliseconds(1), 4.0), 0x457b_42ec_4ad2_6b2b),
    ] {
        let table = compiled(&latency);
        let digest = (0..4_096_u64).fold(0xcbf2_9ce4_8422_2325_u64, |digest, index| {
            let spread = index.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (index % 64);
            let word = if index & 64 == 0 { spread } else { !spread };
            (digest ^ table.quantile_ns(word)).wrapping_mul(0x0000_0100_0000_01b3)
        });
        assert_eq!(digest, golden, "{latency:?}: {digest:#x}");
    }
}

#[test]
fn fixed_uniform_and_empirical_are_exact() {
    let fixed = compiled(&Latency::fixed(milliseconds(7)));
    // Four values, so the top two bits of the word decide.
    let uniform = compiled(&Latency::uniform(Duration::from_nanos(10), Duration::from_nanos(13)));
    let empirical = compiled(&Latency::empirical([40, 10, 30, 20].map(Duration::from_nanos)));
    for (word, uniform_ns, empirical_ns) in [
        (0, 10, 10),
        ((1 << 62) - 1, 10, 10),
        (1 << 62, 11, 20),
        ((1 << 63) - 1, 11, 20),
        (1 << 63, 12, 30),
        ((3 << 62) - 1, 12, 30),
        (3 << 62, 13, 40),
        (u64::MAX, 13, 40),
    ] {
        assert_eq!(fixed.quantile_ns(word), 7_000_000);
        assert_eq!(uniform.quantile_ns(word), uniform_ns, "{word:#x}");
        assert_eq!(empirical.quantile_ns(word), empirical_ns, "{word:#x}");
    }
    // A uniform distribution over the whole range, and over a single value.
    let longest = Duration::from_nanos(LATENCY_NS_MAX);
    let whole = compiled(&Latency::uniform(Duration::ZERO, longest));
    assert_eq!(whole.quantile_ns(0), 0);
    assert_eq!(whole.median_ns(), LATENCY_NS_MAX / 2);
    assert_eq!(whole.quantile_ns(u64::MAX), LATENCY_NS_MAX);
    let single = compiled(&Latency::uniform(longest, longest));
    assert_eq!(single.quantile_ns(0), LATENCY_NS_MAX);
    assert_eq!(single.quantile_ns(u64::MAX), LATENCY_NS_MAX);
}

// ---------------------------------------------------------------------------------------------
// Order and limits.

/// Any duration a distribution accepts, small and great ones equally likely.
fn any_latency_ns() -> impl Strategy<Value = u64> {
    prop_oneof![
        8 => (0..=LATENCY_NS_MAX, 0..62_u32).prop_map(|(latency_ns, shift)| latency_ns >> shift),
        1 => Just(0),
        1 => Just(LATENCY_NS_MAX),
    ]
}

/// Any valid distribution.
fn any_latency() -> impl Strategy<Value = Latency> {
    let pair = || (any_latency_ns(), any_latency_ns());
    let duration = Duration::from_nanos;
    prop_oneof![
        any_latency_ns().prop_map(move |latency_ns| Latency::fixed(duration(latency_ns))),
        pair().prop_map(move |(left_ns, right_ns)| Latency::uniform(
            duration(left_ns.min(right_ns)),
            duration(left_ns.max(right_ns))
        )),
        pair().prop_map(move |(mean_ns, min_ns)| Latency::Exponential {
            mean: duration(mean_ns.max(1)),
            min: duration(min_ns),
        }),
        pair()
            .prop_map(|(left_ns, right_ns)| (left_ns.min(right_ns), left_ns.max(right_ns)))
            .prop_filter("p99 above a median above zero", |(median_ns, p99_ns)| {
                0 < *median_ns && median_ns < p99_ns
            })
            .prop_map(move |(median_ns, p99_ns)| Latency::lognormal(duration(median_ns), duration(p99_ns))),
        (any_latency_ns(), -300.0..300.0_f64, 0.05..10.0_f64, any::<bool>()).prop_map(
            move |(min_ns, exponent, usual, extreme)| Latency::pareto(
                duration(min_ns.max(1)),
                if extreme { 10_f64.powf(exponent) } else { usual }
            )
        ),
        prop::collection::vec(any_latency_ns().prop_map(duration), 1..20).prop_map(Latency::empirical),
        prop::collection::btree_map(any_latency_ns(), any_latency_ns(), 1..20).prop_map(move |entries| {
            let mut entries: Vec<_> =
                entries.into_iter().map(|(at_ns, latency_ns)| (duration(at_ns), duration(latency_ns))).collect();
            entries[0].0 = Duration::ZERO;
            Latency::trace(entries)
        }),
    ]
}

/// Any word, all octaves of both halves equally likely.
fn any_word() -> impl Strategy<Value = u64> {
    (any::<u64>(), 0..64_u32, any::<bool>()).prop_map(|(word, shift, complement)| {
        let small = word >> shift;
        if complement { !small } else { small }
    })
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 512,
        // The regression file would be written next to the sources.
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn quantiles_never_fall(
        latency in any_latency(),
        mut words in prop::collection::vec(any_word(), 2..200),
    ) {
        let table = compiled(&latency);
        // Neighbours as well, and the borders of the octaves, where two cells meet.
        for index in 0..words.len() {
            words.push(words[index].saturating_add(1));
        }
        for shift in 0..64 {
            for border in [1_u64 << shift, !(1 << shift)] {
                words.extend([border - 1, border, border.saturating_add(1)]);
            }
        }
        words.sort_unstable();
        let latencies_ns: Vec<u64> = words.iter().map(|word| table.quantile_ns(*word)).collect();
        for (pair_ns, pair) in latencies_ns.windows(2).zip(words.windows(2)) {
            prop_assert!(pair_ns[0] <= pair_ns[1], "{pair_ns:?} at {pair:#x?}");
        }
        prop_assert!(latencies_ns.iter().all(|latency_ns| *latency_ns <= LATENCY_NS_MAX));
        prop_assert_eq!(table.median_ns(), table.quantile_ns(1 << 63));
    }

    #[test]
    fn quantiles_stay_within_the_support(latency in any_latency(), word in any_word()) {
        let latency_ns = compiled(&latency).quantile_ns(word);
        let ns = |duration: Duration| u64::try_from(duration.as_nanos()).expect("in range");
        match &latency {
            Latency::Fixed(fixed) => prop_assert_eq!(latency_ns, ns(*fixed)),
            Latency::Uniform { min, max } => {
                prop_assert!((ns(*min)..=ns(*max)).contains(&latency_ns));
            }
            // The conversion of the scale to a floating-point number may round above 2^53.
            Latency::Pareto { min, .. } => {
                prop_assert!(latency_ns as f64 >= ns(*min) as f64);
            }
            Latency::Exponential { min, .. } => prop_assert!(latency_ns >= ns(*min)),
            Latency::Lognormal { .. } => {}
            Latency::Empirical(list) => {
                prop_assert!(list.contains(&Duration::from_nanos(latency_ns)));
            }
            Latency::Trace(entries) => {
                prop_assert!(entries.iter().any(|(_, latency)| *latency == Duration::from_nanos(latency_ns)));
            }
        }
    }
}

#[test]
fn quantiles_never_fall_on_a_dense_sweep() {
    for latency in [
        Latency::exponential(milliseconds(10)),
        Latency::lognormal(milliseconds(2), milliseconds(20)),
        Latency::lognormal(Duration::from_nanos(2), Duration::from_nanos(9)),
        Latency::pareto(milliseconds(1), 1.5),
    ] {
        let table = compiled(&latency);
        let mut previous_ns = 0;
        for index in 0..1_u64 << 20 {
            let latency_ns = table.quantile_ns(index << 44 | index);
            assert!(latency_ns >= previous_ns, "{latency:?} falls at {index}");
            previous_ns = latency_ns;
        }
    }
}

#[test]
fn far_tails_saturate() {
    let longest = Duration::from_nanos(LATENCY_NS_MAX);
    for latency in [
        Latency::pareto(milliseconds(1), 1.5),
        Latency::pareto(milliseconds(1), 1e-300),
        Latency::exponential(longest),
        Latency::Exponential { mean: milliseconds(1), min: longest },
        Latency::lognormal(Duration::from_nanos(1), longest),
    ] {
        assert_eq!(compiled(&latency).quantile_ns(u64::MAX), LATENCY_NS_MAX, "{latency:?}");
    }
}

/// A trace says at each nanosecond what was recorded for it, again and again; as a distribution it is that of its latencies over time.
#[test]
fn a_trace_is_replayed() {
    let ns = Duration::from_nanos;
    // 7 ns for 4 ns, 1 ns for 5, 9 ns for 1, 2 ns for as long as that.
    let table = compiled(&Latency::trace([(ns(0), ns(7)), (ns(4), ns(1)), (ns(9), ns(9)), (ns(10), ns(2))]));
    let period = [7, 7, 7, 7, 1, 1, 1, 1, 1, 9, 2];
    for now_ns in (0..44).chain([11 * 1_000_000_000, 11 * (u64::MAX / 11 - 1) + 3]) {
        for word in [0, 1 << 63, u64::MAX] {
            assert_eq!(table.latency_ns(word, now_ns), period[(now_ns % 11) as usize], "at {now_ns} ns");
        }
    }
    let mut sorted = period;
    sorted.sort_unstable();
    for (place, latency_ns) in (0..).zip(sorted) {
        assert_eq!(table.quantile_ns(word_at(place, 11) + 2), latency_ns, "{place}");
        assert_eq!(table.quantile_ns(word_at(2 * place + 1, 22)), latency_ns, "{place}");
    }
    assert_eq!(table.median_ns(), 2);
    // Another distribution knows no time, and a single entry none either.
    let uniform = compiled(&Latency::uniform(ns(5), ns(9)));
    assert_eq!((uniform.latency_ns(0, 77), uniform.latency_ns(u64::MAX, 78)), (5, 9));
    let constant = compiled(&Latency::trace([(ns(0), ns(6))]));
    assert_eq!((constant.latency_ns(0, 0), constant.latency_ns(3, u64::MAX), constant.median_ns()), (6, 6, 6));
}

// ---------------------------------------------------------------------------------------------
// Validation.

#[test]
fn faulty_parameters_are_named() {
    let zero = Duration::ZERO;
    let one = Duration::from_nanos(1);
    let two = Duration::from_nanos(2);
    let too_long = Duration::from_nanos(LATENCY_NS_MAX + 1);
    let too_long_error = |parameter| LatencyError::TooLong { parameter, value: too_long };
    let exponential = |mean, min| Latency::Exponential { mean, min };
    for (latency, error) in [
        (Latency::fixed(too_long), too_long_error("latency")),
        (Latency::uniform(too_long, too_long), too_long_error("min")),
        (Latency::uniform(zero, too_long), too_long_error("max")),
        (Latency::uniform(two, one), LatencyError::MinAboveMax { min: two, max: one }),
        (exponential(zero, zero), LatencyError::Zero { parameter: "mean" }),
        (exponential(too_long, zero), too_long_error("mean")),
        (exponential(one, too_long), too_long_error("min")),
        (Latency::lognormal(zero, one), LatencyError::Zero { parameter: "median" }),
        (Latency::lognormal(too_long, too_long), too_long_error("median")),
        (Latency::lognormal(one, too_long), too_long_error("p99")),
        (Latency::lognormal(two, two), LatencyError::P99NotAboveMedian { median: two, p99: two }),
        (Latency::lognormal(two, one), LatencyError::P99NotAboveMedian { median: two, p99: one }),
        (Latency::pareto(zero, 1.0), LatencyError::Zero { parameter: "min" }),
        (Latency::pareto(too_long, 1.0), too_long_error("min")),
        (Latency::pareto(one, 0.0), LatencyError::ShapeOutOfRange { shape: 0.0 }),
        (Latency::pareto(one, -1.0), LatencyError::ShapeOutOfRange { shape: -1.0 }),
        (Latency::pareto(one, f64::INFINITY), LatencyError::ShapeOutOfRange { shape: f64::INFINITY }),
        (Latency::empirical([]), LatencyError::EmptyList),
        (Latency::empirical([one, too_long]), too_long_error("empirical latency")),
        (Latency::trace([]), LatencyError::EmptyTrace),
        (Latency::trace([(one, one)]), LatencyError::TraceStartsLate { first: one }),
        (Latency::trace([(zero, one), (two, one), (two, two)]), LatencyError::TraceOutOfOrder { before: two, at: two }),
        (Latency::trace([(zero, one), (two, one), (one, two)]), LatencyError::TraceOutOfOrder { before: two, at: one }),
        (Latency::trace([(zero, one), (too_long, one)]), too_long_error("time of a trace")),
        (Latency::trace([(zero, one), (one, too_long)]), too_long_error("latency of a trace")),
        (
            Latency::trace(
                (0..=TRACE_ENTRIES_MAX).map(|at| (Duration::from_nanos(at as u64), zero)).collect::<Vec<_>>(),
            ),
            LatencyError::TraceTooLong { entries: TRACE_ENTRIES_MAX + 1 },
        ),
    ] {
        assert_eq!(latency.validate(), Err(error.clone()), "{latency:?}");
        assert_eq!(latency.compile().err(), Some(error), "{latency:?}");
    }
    // Not a number is not even equal to itself.
    assert!(matches!(
        Latency::pareto(one, f64::NAN).validate(),
        Err(LatencyError::ShapeOutOfRange { shape }) if shape.is_nan()
    ));
    // More nanoseconds than a u64 holds.
    assert!(matches!(
        Latency::fixed(Duration::MAX).validate(),
        Err(LatencyError::TooLong { parameter: "latency", value: Duration::MAX })
    ));
}

#[test]
fn parameters_at_the_limits_are_valid() {
    let zero = Duration::ZERO;
    let one = Duration::from_nanos(1);
    let longest = Duration::from_nanos(LATENCY_NS_MAX);
    for latency in [
        Latency::fixed(zero),
        Latency::fixed(longest),
        Latency::uniform(zero, zero),
        Latency::uniform(zero, longest),
        Latency::exponential(one),
        Latency::exponential(longest),
        Latency::lognormal(one, Duration::from_nanos(2)),
        Latency::lognormal(one, longest),
        Latency::pareto(one, f64::MIN_POSITIVE),
        Latency::pareto(longest, f64::MAX),
        Latency::empirical([zero]),
        Latency::trace([(zero, longest)]),
        Latency::trace([(zero, zero), (longest, longest)]),
        Latency::trace((0..TRACE_ENTRIES_MAX).map(|at| (Duration::from_nanos(at as u64), one)).collect::<Vec<_>>()),
    ] {
        assert_eq!(latency.validate(), Ok(()), "{latency:?}");
        assert!(latency.compile().is_ok(), "{latency:?}");
    }
}

#[test]
fn errors_read_well() {
    for (latency, message) in [
        (Latency::uniform(milliseconds(5), milliseconds(2)), "min (5ms) is above max (2ms)"),
        (Latency::lognormal(milliseconds(5), milliseconds(5)), "p99 (5ms) must be above median (5ms)"),
        (Latency::exponential(Duration::ZERO), "mean must be above zero"),
        (Latency::pareto(milliseconds(1), -0.5), "shape must be finite and above zero, not -0.5"),
        (Latency::empirical([]), "an empirical latency needs at least one entry"),
        (Latency::trace([]), "a trace needs at least one entry"),
        (
            Latency::trace([(milliseconds(3), milliseconds(1))]),
            "a trace begins at 0s, not at 3ms: say what is so until then",
        ),
        (
            Latency::trace([(Duration::ZERO, milliseconds(1)), (Duration::ZERO, milliseconds(1))]),
            "the times of a trace rise, and 0ns stands behind 0ns",
        ),
        (
            Latency::fixed(Duration::from_secs(5_000_000_000)),
            "latency is 5000000000s, above the longest latency of 4611686018.427387904s",
        ),
    ] {
        let error = latency.validate().expect_err("the parameters are faulty");
        assert_eq!(error.to_string(), message);
    }
}
