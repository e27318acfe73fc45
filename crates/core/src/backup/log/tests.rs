use ferry_types::RunId;

use super::*;

const RUN: RunId = RunId(0x0101_0101_0101_0101);

fn object(interval: u64, part: u32, times: Option<(i64, i64)>) -> LogObject {
    let times = times.map(|(from_ms, to_ms)| IntervalTimes { from_ms, to_ms });
    LogObject { span: LogSpan::of(RUN, interval), part, times }
}

fn contents(objects: &[LogObject]) -> LogContents {
    let names: Vec<String> = objects.iter().map(ToString::to_string).collect();
    LogContents::of(names.iter().map(String::as_str))
}

/// Intervals of one part each, number and end.
fn intervals(ends: &[(u64, i64)]) -> LogContents {
    contents(&ends.iter().map(|(number, end)| object(*number, 0, Some((end - 5, *end)))).collect::<Vec<_>>())
}

fn base(time_ms: i64, interval: u64, name: u32) -> LogBase<u32> {
    LogBase { time_ms, log: Some(LogStart { run: RUN, interval }), name, shipped: None }
}

fn reached(plan: Result<LogPlan<u32>, UnreachedMoment>) -> Result<(u32, i64), (Option<i64>, Option<i64>)> {
    plan.map(|plan| (plan.base.name, plan.reached_ms())).map_err(|unreached| match unreached {
        UnreachedMoment::NotKept(nearest) => (nearest.before_ms, nearest.after_ms),
        UnreachedMoment::Lost(..) => panic!("{unreached:?}"),
    })
}

#[test]
fn names_of_objects_are_read_as_they_are_written() {
    for object in [object(1, 0, Some((5, 9))), object(u64::from(u32::MAX), 99_999, None)] {
        assert_eq!(object.to_string().parse(), Ok(object));
    }
    let good = "log/0101010101010101/0000000007.00000.5-9";
    assert!(good.parse::<LogObject>().is_ok());
    for bad in [
        "log/0101010101010101/7.00000.5-9",
        "log/0101010101010101/0000000007.00000.9-5",
        "log/0101010101010101/0000000007.00000.+5-9",
        "log/../0000000007.00000.5-9",
        "log/0101010101010101/x/0000000007.00000.5-9",
        "packs/0101010101010101/0000000007.00000.5-9",
        "log/0101010101010101/0000000007.00000",
        "log/0101010101010101/0000000009-0000000007.00000.5-9",
        "log/0101010101010101/0000000007-0000000007.00000.5-9",
        "",
    ] {
        assert!(bad.parse::<LogObject>().is_err(), "{bad}");
    }
}

#[test]
fn an_interval_counts_once_all_of_its_parts_are_there() {
    let parts = [object(3, 0, None), object(3, 1, None), object(3, 2, Some((1, 2)))];
    assert_eq!(contents(&parts).count(), 1);
    for missing in 0..parts.len() {
        let mut some = parts.to_vec();
        some.remove(missing);
        let lacking = contents(&some);
        assert_eq!((lacking.count(), lacking.unfinished.len()), (0, 2), "{missing}");
    }
}

// Verifies: OPR-21
#[test]
fn a_moment_is_reached_from_the_nearest_snapshot_or_named_as_a_gap() {
    let log = intervals(&[(1, 100), (2, 200), (3, 300), (5, 500), (6, 600)]);
    let bases = [base(50, 1, 1), base(250, 3, 2), base(450, 5, 3)];
    assert_eq!(
        log.ranges(&bases),
        [RestorableRange { from_ms: 50, to_ms: 300 }, RestorableRange { from_ms: 450, to_ms: 600 }]
    );
    for (at, expected) in [
        (50, Ok((1, 50))),
        (99, Ok((1, 50))),
        (100, Ok((1, 100))),
        (249, Ok((1, 200))),
        (299, Ok((2, 250))),
        (300, Ok((2, 300))),
        (301, Err((Some(300), Some(450)))),
        (449, Err((Some(300), Some(450)))),
        (550, Ok((3, 500))),
        (9_999, Ok((3, 600))),
        (49, Err((None, Some(50)))),
    ] {
        assert_eq!(reached(log.plan(&bases, Some(at))), expected, "{at}");
    }
    assert_eq!(reached(log.plan(&bases, None)), Ok((3, 600)));
    assert_eq!(reached(log.plan(&[], None)), Err((None, None)));
}

#[test]
fn while_nothing_is_written_snapshots_follow_each_other_without_a_gap() {
    let log = intervals(&[(1, 100), (2, 900)]);
    let bases = [base(50, 1, 1), base(400, 2, 2), base(700, 2, 3)];
    assert_eq!(log.ranges(&bases), [RestorableRange { from_ms: 50, to_ms: 900 }]);
    assert_eq!(reached(log.plan(&bases, Some(300))), Ok((1, 100)));
    assert_eq!(reached(log.plan(&bases, Some(650))), Ok((2, 400)));
    // One without a log is a moment.
    let alone = [LogBase { time_ms: 10, log: None, name: 9, shipped: None }];
    assert_eq!(log.ranges(&alone), [RestorableRange { from_ms: 10, to_ms: 10 }]);
}

fn marked(log: &LogContents, marks: &[LogMark]) -> LogContents {
    let mut names: Vec<String> =
        log.intervals().flat_map(LogInterval::objects).map(|object| object.to_string()).collect();
    names.extend(marks.iter().map(ToString::to_string));
    LogContents::of(names.iter().map(String::as_str))
}

fn span(first: u64, last: u64) -> LogSpan {
    LogSpan { run: RUN, first, last }
}

fn spans(lost: &[LostIntervals]) -> Vec<(u64, u64)> {
    lost.iter().map(|lost| (lost.span.first, lost.span.last)).collect()
}

#[test]
fn marks_are_read_as_they_are_written() {
    let marks = [
        LogMark::Head(span(1, 7), 9),
        LogMark::Head(span(7, 7), -9),
        LogMark::Pruned(LogStart { run: RUN, interval: 7 }),
    ];
    for mark in marks {
        assert_eq!(mark.to_string().parse(), Ok(mark));
        assert!(mark.to_string().parse::<LogObject>().is_err(), "{mark}");
    }
    assert_eq!(contents(&[object(1, 0, Some((1, 2)))]).marks().count(), 0);
    for bad in [
        "log/0101010101010101/0000000001-0000000007.head",
        "log/0101010101010101/0000000001-0000000007.head.x",
        "log/0101010101010101/0000000001-0000000007.pruned",
        "log/0101010101010101/0000000001.tail.5",
    ] {
        assert!(bad.parse::<LogMark>().is_err(), "{bad}");
    }
}

// Verifies: OPR-09, OPR-10, OPR-21
#[test]
fn what_was_there_and_is_gone_is_lost_and_no_moment_behind_it_is_reached_silently() {
    let all = [(1, 100), (2, 200), (3, 300), (4, 400)];
    let bases = [base(50, 1, 1)];
    assert_eq!(intervals(&all).lost(&bases), []);
    // In the middle, what lies behind it says so; at the end a mark, or the next snapshot.
    let without =
        |gone: u64| intervals(&all.iter().filter(|(number, _)| *number != gone).copied().collect::<Vec<_>>());
    let lost = without(2).lost(&bases);
    assert_eq!(lost, [LostIntervals { span: span(2, 2), after_ms: Some(100), before_ms: Some(295) }]);
    assert_eq!(spans(&without(1).lost(&bases)), [(1, 1)]);
    assert_eq!(without(4).lost(&bases), []);
    let head = marked(&without(4), &[LogMark::Head(span(1, 4), 400)]);
    assert_eq!(head.lost(&bases), [LostIntervals { span: span(4, 4), after_ms: Some(300), before_ms: None }]);
    let told = [base(50, 1, 1), LogBase { shipped: Some(span(1, 4)), ..base(450, 5, 2) }];
    assert_eq!(spans(&without(4).lost(&told)), [(4, 4)]);
    // Another run may say it, whose snapshot it is.
    let other = LogStart { run: RunId(0x0202_0202_0202_0202), interval: 1 };
    let told_later =
        [base(50, 1, 1), LogBase { log: Some(other), shipped: Some(span(1, 4)), ..base(900, 1, 2) }];
    assert_eq!(spans(&without(4).lost(&told_later)), [(4, 4)]);
    // The nearest before it is named, and reached by its name alone.
    for at in [None, Some(301), Some(9_999)] {
        let Err(UnreachedMoment::Lost(lost, nearest)) = head.plan(&bases, at) else { panic!("{at:?}") };
        assert_eq!((lost.span, nearest.before_ms), (span(4, 4), Some(300)), "{at:?}");
    }
    assert_eq!(reached(head.plan(&bases, Some(300))), Ok((1, 300)));
    // A snapshot behind it is the newest again; what it closes stays lost.
    assert_eq!(reached(without(4).plan(&told, None)), Ok((2, 450)));
    let Err(UnreachedMoment::Lost(lost, _)) = without(4).plan(&told, Some(420)) else { panic!() };
    assert_eq!(lost.span, span(4, 4));
}

#[test]
fn what_was_never_there_or_was_pruned_is_not_lost() {
    // A target was away: nobody says that 3 was ever there.
    let log = intervals(&[(1, 100), (2, 200), (4, 400)]);
    let bases = [base(50, 1, 1), LogBase { shipped: Some(span(1, 2)), ..base(350, 4, 2) }];
    assert_eq!(log.lost(&bases), []);
    assert!(matches!(log.plan(&bases, Some(250)), Err(UnreachedMoment::NotKept(_))));
    // As an older hub wrote it.
    assert_eq!(log.lost(&[base(50, 1, 1), base(350, 4, 2)]), []);
    let pruned = LogMark::Pruned(LogStart { run: RUN, interval: 4 });
    let log = marked(&intervals(&[(4, 400)]), &[pruned, LogMark::Head(span(1, 5), 500)]);
    assert_eq!(spans(&log.lost(&[base(50, 1, 1), base(350, 4, 2)])), [(5, 5)]);
}

#[test]
fn intervals_that_were_merged_count_as_those_that_they_have_in_them() {
    let merged =
        LogObject { span: span(2, 4), part: 0, times: Some(IntervalTimes { from_ms: 195, to_ms: 400 }) };
    let single = |number: u64, end: i64| object(number, 0, Some((end - 5, end)));
    let whole = [single(1, 100), single(2, 200), single(3, 300), single(4, 400), single(5, 500)];
    // While parts are still there, and when some or all are gone.
    for gone in 1..=4 {
        let left = whole.iter().filter(|one| !(2..=gone).contains(&one.span.first));
        let log = contents(&left.copied().chain([merged]).collect::<Vec<_>>());
        let bases = [base(50, 1, 1), base(250, 3, 2)];
        assert_eq!((log.count(), log.lost(&bases)), (3, vec![]), "{gone}");
        assert_eq!(reached(log.plan(&bases[..1], Some(350))), Ok((1, 100)));
        assert_eq!(reached(log.plan(&bases, Some(350))), Ok((2, 250)));
        assert_eq!(reached(log.plan(&bases[1..], Some(450))), Ok((2, 400)));
        assert_eq!(reached(log.plan(&bases, None)), Ok((2, 500)));
    }
    // One that is not whole is none.
    let unfinished = LogObject { times: None, ..merged };
    let log = contents(&whole.iter().copied().chain([unfinished]).collect::<Vec<_>>());
    assert_eq!((log.count(), log.unfinished.len()), (5, 1));
}

// Verifies: OPR-09
#[test]
fn seconds_become_minutes_after_an_hour_and_hours_after_a_day_as_far_as_they_are_small() {
    const HOUR_MS: i64 = 3_600_000;
    // Every 20 seconds for two hours; the 100th is missing.
    let all: Vec<(u64, i64)> = (0..360)
        .map(|n| (n + 1, i64::try_from(n).unwrap() * 20_000 + 5))
        .filter(|(n, _)| *n != 100)
        .collect();
    let log = intervals(&all);
    let small = |_: &LogInterval| 1_000;
    assert_eq!(log.merges(HOUR_MS, small), []);
    // The first minute is over for an hour.
    let first = log.merges(HOUR_MS + 60_000, small);
    assert_eq!(
        first.iter().map(LogMerge::whole).collect::<Vec<_>>(),
        [(span(1, 3), IntervalTimes { from_ms: 0, to_ms: 40_005 })]
    );
    let minutes = log.merges(2 * HOUR_MS, small);
    assert_eq!(minutes.len(), 60);
    assert!(minutes.iter().all(|merge| !merge.whole().0.has(100)), "what is missing is not bridged");
    let hours: Vec<(u64, u64)> = log
        .merges(30 * HOUR_MS, small)
        .iter()
        .map(|merge| (merge.whole().0.first, merge.whole().0.last))
        .collect();
    assert_eq!(hours, [(1, 99), (101, 180), (181, 360)]);
    // What is large stays as it is.
    let large = |interval: &LogInterval| if interval.span.first == 2 { MERGED_BYTES } else { 1_000 };
    let minute = log.merges(HOUR_MS + 60_000, large);
    assert_eq!(minute, []);
}
