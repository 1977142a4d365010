// SPDX-License-Identifier: LGPL-2.1-or-later
//! Templates: saved appliances, which launches go on from, made before anybody waits for them.

use std::fmt::Write;
use std::time::{Duration, Instant, SystemTime};

use anyhow::Result;
use clap::Args;
use guestfs::{Handle, Template};

/// Whose launches a template is for.  What is not given is as the environment says.
#[derive(Args)]
pub(crate) struct Settings {
    /// For handles with so much memory, in MiB
    #[arg(long, value_name = "MIB")]
    memsize: Option<i32>,
    /// For handles with so many processors
    #[arg(long, value_name = "N")]
    smp: Option<i32>,
    /// For handles that have the network enabled
    #[arg(long)]
    network: bool,
    /// For verbose handles; what they say is printed
    #[arg(long)]
    debug: bool,
}

/// Makes a template, or says that it is there, once it has been seen to work.
pub(crate) fn warm(settings: &Settings) -> Result<()> {
    let g = Handle::create()?;
    if let Some(memsize) = settings.memsize {
        g.set_memsize(memsize)?;
    }
    if let Some(smp) = settings.smp {
        g.set_smp(smp)?;
    }
    if settings.network {
        g.set_network(true)?;
    }
    if settings.debug {
        g.set_verbose(true)?;
    }
    let started = Instant::now();
    let is_new = g.warm()?;
    let seconds = started.elapsed().as_secs_f64();
    // Nothing has been used later.
    let name = g.templates()?.into_iter().next().map(|it| it.name).unwrap_or_default();
    match is_new {
        true => println!("{name}: made and tried in {seconds:.1} s"),
        false => println!("{name}: is there, and works"),
    }
    Ok(())
}

/// Prints all templates of this user.
pub(crate) fn list() -> Result<()> {
    print!("{}", table(&Handle::create()?.templates()?, SystemTime::now()));
    Ok(())
}

/// Removes all templates of this user.
pub(crate) fn clear() -> Result<()> {
    let removed = Handle::create()?.clear_templates()?;
    println!("{removed} removed");
    Ok(())
}

fn table(templates: &[Template], now: SystemTime) -> String {
    if templates.is_empty() {
        return "no templates\n".to_owned();
    }
    let mut rows = vec![["NAME", "SIZE", "AGE", "USED", "FOR"].map(str::to_owned)];
    rows.extend(templates.iter().map(|it| {
        let size = format!("{} MiB", it.size_bytes.div_ceil(1 << 20));
        let stale = if it.is_stale { " (stale: the next one made takes its place)" } else { "" };
        let ago = |time| ago(now.duration_since(time).unwrap_or_default());
        [it.name.clone(), size, ago(it.made), ago(it.used), format!("{}{stale}", it.about)]
    }));
    let mut widths = [0; 5];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut text = String::new();
    for [name, size, age, used, about] in &rows {
        let [w0, w1, w2, w3, _] = widths;
        // Writing to memory can't fail.
        let _ = writeln!(text, "{name:w0$}  {size:>w1$}  {age:>w2$}  {used:>w3$}  {about}");
    }
    text
}

/// In the largest unit of which there are some.
fn ago(time: Duration) -> String {
    let seconds = time.as_secs();
    let units = [(86_400, "d"), (3600, "h"), (60, "min")];
    match units.iter().find(|(unit, _)| seconds >= 2 * unit) {
        Some((unit, name)) => format!("{} {name}", seconds / unit),
        None => format!("{seconds} s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times() {
        let check = |seconds, expected| assert_eq!(ago(Duration::from_secs(seconds)), expected);
        check(0, "0 s");
        check(119, "119 s");
        check(120, "2 min");
        check(7199, "119 min");
        check(7200, "2 h");
        check(3 * 86_400 + 5, "3 d");
    }

    #[test]
    fn no_table() {
        assert_eq!(table(&[], SystemTime::now()), "no templates\n");
    }
}
