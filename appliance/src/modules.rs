// SPDX-License-Identifier: LGPL-2.1-or-later
//! Which kernel modules belong together, from depmod's `modules.dep`.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Result, bail};

/// The modules of a kernel, by name (`virtio_blk`).
pub(crate) struct Modules {
    /// Path below the directory of modules, and the paths of what has to be inserted before.
    paths: BTreeMap<String, (String, Vec<String>)>,
    built_in: BTreeSet<String>,
}

impl Modules {
    /// From the texts of `modules.dep` and `modules.builtin`.
    pub(crate) fn parse(dependencies: &str, built_in: &str) -> Self {
        let paths = dependencies
            .lines()
            .filter_map(|it| it.split_once(':'))
            .map(|(path, needs)| {
                let needs = needs.split_whitespace().map(str::to_owned).collect();
                (module_name(path), (path.to_owned(), needs))
            })
            .collect();
        Self { paths, built_in: built_in.lines().map(module_name).collect() }
    }

    /// Paths of these modules and all they need, each after what it needs itself.
    pub(crate) fn closure<'a>(
        &self,
        names: impl IntoIterator<Item = &'a str>,
    ) -> Result<Vec<String>> {
        let mut order = Vec::new();
        for name in names {
            if !self.built_in.contains(&module_name(name)) {
                self.visit(name, &mut order, &mut Vec::new())?;
            }
        }
        Ok(order)
    }

    /// Paths of the modules that are chosen, and of all they need.
    pub(crate) fn choose(&self, chosen: impl Fn(&str) -> bool) -> Result<BTreeSet<String>> {
        let names = self.paths.iter().filter(|(_, (path, _))| chosen(path));
        let closure = self.closure(names.map(|(name, _)| name.as_str()))?;
        Ok(closure.into_iter().collect())
    }

    fn visit(&self, name: &str, order: &mut Vec<String>, above: &mut Vec<String>) -> Result<()> {
        let name = module_name(name);
        let Some((path, needs)) = self.paths.get(&name) else {
            bail!("{name}: the kernel has no such module");
        };
        if order.contains(path) {
            return Ok(());
        }
        if above.contains(&name) {
            bail!("{name}: module depends on itself");
        }
        above.push(name);
        for needed in needs {
            self.visit(needed, order, above)?;
        }
        above.pop();
        order.push(path.clone());
        Ok(())
    }
}

/// `kernel/drivers/block/virtio_blk.ko.xz` is `virtio_blk`; `-` and `_` are the same.
fn module_name(path: &str) -> String {
    let file = path.rsplit('/').next().unwrap_or(path);
    let name = file.split_once(".ko").map_or(file, |(name, _)| name);
    name.replace('-', "_")
}

#[cfg(test)]
mod tests {
    use super::*;

    // In the order of depmod, which lists what is needed last first.
    const DEPENDENCIES: &str = "\
kernel/virtio/virtio_pci.ko: kernel/virtio/virtio_ring.ko kernel/virtio/virtio.ko
kernel/virtio/virtio_ring.ko: kernel/virtio/virtio.ko
kernel/virtio/virtio.ko:
kernel/block/virtio_blk.ko: kernel/virtio/virtio_ring.ko kernel/virtio/virtio.ko
kernel/char/virtio-rng.ko.xz: kernel/virtio/virtio_ring.ko kernel/virtio/virtio.ko
kernel/loop/a.ko: kernel/loop/b.ko
kernel/loop/b.ko: kernel/loop/a.ko
kernel/loop/c.ko: kernel/loop/d.ko
";

    #[track_caller]
    fn check(names: &str, expected: &str) {
        let modules = Modules::parse(DEPENDENCIES, "kernel/fs/built_in.ko\n");
        let text = match modules.closure(names.split_whitespace()) {
            Ok(paths) => {
                paths.iter().map(|it| it.replace("kernel/", "")).collect::<Vec<_>>().join(" ")
            }
            Err(err) => format!("error: {err}"),
        };
        assert_eq!(text, expected);
    }

    #[test]
    fn needed_modules_come_first() {
        check("virtio_pci", "virtio/virtio.ko virtio/virtio_ring.ko virtio/virtio_pci.ko");
        check(
            "virtio_blk virtio_pci",
            "virtio/virtio.ko virtio/virtio_ring.ko block/virtio_blk.ko virtio/virtio_pci.ko",
        );
        check(
            "virtio_rng virtio_rng",
            "virtio/virtio.ko virtio/virtio_ring.ko char/virtio-rng.ko.xz",
        );
        check("built-in", "");
        check("nothing", "error: nothing: the kernel has no such module");
        check("a", "error: a: module depends on itself");
        check("c", "error: d: the kernel has no such module");
    }

    #[test]
    fn chosen_modules_bring_what_they_need() {
        let modules = Modules::parse(DEPENDENCIES, "");
        let chosen = modules.choose(|path| path.contains("block/")).unwrap();
        let names: Vec<_> = chosen.iter().map(|it| module_name(it)).collect();
        assert_eq!(names.join(" "), "virtio_blk virtio virtio_ring");
    }
}
