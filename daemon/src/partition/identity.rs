// SPDX-License-Identifier: LGPL-2.1-or-later
//! What partition tables say of a partition beside where it is.

use bstr::{BStr, BString, ByteSlice};
use rustix::fs::OFlags;

use super::gpt::{Entry, Gpt, guid_text};
use super::mbr::FIRST_LOGICAL;
use super::{OpenDisk, Table, lacks};
use crate::block::Device;
use crate::ctx::Ctx;
use crate::error::{Error, Result};

pub(crate) fn part_set_name(_: &mut Ctx, device: &Device, partnum: i32, name: &BStr) -> Result<()> {
    let name = name.to_str().map_err(|_| Error::invalid("name", "not UTF-8"))?;
    let disk = OpenDisk::new(device, OFlags::RDWR)?;
    let (mut table, number) = disk.table_with(partnum)?;
    match &mut table {
        Table::Gpt(gpt) => gpt.set_name(number, name)?,
        Table::Mbr(_) => return Err(lacks(device, &table, "names")),
    }
    disk.replace(&table)
}

pub(crate) fn part_get_name(_: &mut Ctx, device: &Device, partnum: i32) -> Result<BString> {
    Ok(gpt_entry(device, partnum, "names")?.name.into())
}

pub(crate) fn part_get_gpt_type(_: &mut Ctx, device: &Device, partnum: i32) -> Result<BString> {
    Ok(capitals(guid_text(gpt_entry(device, partnum, "GUIDs")?.kind)))
}

pub(crate) fn part_get_gpt_guid(_: &mut Ctx, device: &Device, partnum: i32) -> Result<BString> {
    Ok(capitals(guid_text(gpt_entry(device, partnum, "GUIDs")?.guid)))
}

pub(crate) fn part_get_gpt_attributes(_: &mut Ctx, device: &Device, partnum: i32) -> Result<i64> {
    Ok(gpt_entry(device, partnum, "attributes")?.attributes.cast_signed())
}

pub(crate) fn part_get_disk_guid(_: &mut Ctx, device: &Device) -> Result<BString> {
    let table = OpenDisk::new(device, OFlags::RDONLY)?.table()?;
    Ok(capitals(guid_text(gpt(&table, device, "GUIDs")?.disk_guid)))
}

pub(crate) fn part_get_mbr_part_type(
    _: &mut Ctx,
    device: &Device,
    partnum: i32,
) -> Result<BString> {
    let (table, number) = OpenDisk::new(device, OFlags::RDONLY)?.table_with(partnum)?;
    let is_container = table.slices().iter().any(|it| it.number == number && it.is_container);
    Ok(match table {
        Table::Mbr(_) if is_container => "extended",
        Table::Mbr(_) if number >= FIRST_LOGICAL => "logical",
        Table::Mbr(_) | Table::Gpt(_) => "primary",
    }
    .into())
}

/// An entry of a GPT; `what` is what an MBR does not have.
fn gpt_entry(device: &Device, partnum: i32, what: &str) -> Result<Entry> {
    let (table, number) = OpenDisk::new(device, OFlags::RDONLY)?.table_with(partnum)?;
    let entry = gpt(&table, device, what)?.entry(number);
    entry.ok_or_else(|| Error::invalid("partnum", format_args!("{number} has no entry")))
}

fn gpt<'a>(table: &'a Table, device: &Device, what: &str) -> Result<&'a Gpt> {
    match table {
        Table::Gpt(gpt) => Ok(gpt),
        Table::Mbr(_) => Err(lacks(device, table, what)),
    }
}

fn capitals(guid: String) -> BString {
    guid.to_ascii_uppercase().into()
}
