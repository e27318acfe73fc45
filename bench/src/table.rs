//! Tables and statistics of the benchmarks.

/// Prints what the figures were measured on.
pub(crate) fn print_machine() {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    let cpus = read("/proc/cpuinfo");
    let model = cpus.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or("unknown CPU");
    let kernel = read("/proc/sys/kernel/osrelease");
    let build =
        if cfg!(debug_assertions) { "debug build: these figures say nothing" } else { "release build" };
    println!("{cores} cores,{}; Linux {}; {build}.", model.replace([':', '\t'], ""), kernel.trim());
}

/// Prints a Markdown table under a heading.
pub(crate) fn print(title: &str, note: &str, head: &[&str], rows: &[Vec<String>]) {
    println!("\n### {title}\n\n{note}\n");
    println!("| {} |", head.join(" | "));
    println!("|{}", "---|".repeat(head.len()));
    for row in rows {
        println!("| {} |", row.join(" | "));
    }
}

/// The middle of these values.
pub(crate) fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    if values.len() % 2 == 1 { values[middle] } else { f64::midpoint(values[middle - 1], values[middle]) }
}

/// The middle of a figure of these rounds.
pub(crate) fn median_of<T>(rounds: &[T], pick: impl Fn(&T) -> f64) -> f64 {
    median(&mut rounds.iter().map(pick).collect::<Vec<_>>())
}

/// A figure, or a dash where there is none.
pub(crate) fn figure(value: f64, decimals: usize) -> String {
    if value.is_nan() { "–".to_owned() } else { format!("{value:.decimals$}") }
}

/// Bytes for people.
pub(crate) fn bytes(count: u64) -> String {
    match count {
        0..10_000 => format!("{count} B"),
        10_000..10_000_000 => format!("{:.1} KB", count as f64 / 1e3),
        _ => format!("{:.1} MB", count as f64 / 1e6),
    }
}
