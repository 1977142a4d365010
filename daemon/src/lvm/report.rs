// SPDX-License-Identifier: LGPL-2.1-or-later
//! What `lvm` reports: tables in JSON, of which every value is a string.

use bstr::BString;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::error::{Errno, Error, Result};
use crate::tool::Tool;

/// A line of a table.
#[derive(Debug, Deserialize)]
#[serde(transparent)]
pub(super) struct Row(Map<String, Value>);

/// All that is printed.
#[derive(Deserialize)]
struct Document {
    report: Vec<Map<String, Value>>,
}

/// From one list: the columns to ask for, and the structure they are put in.
macro_rules! columns {
    ($name:ident, $row:ident { $($column:ident: $kind:ident),* $(,)? }) => {
        mod $name {
            pub(super) const NAMES: [&str; [$(stringify!($column)),*].len()] =
                [$(stringify!($column)),*];

            pub(super) fn parse(
                row: &super::report::Row,
            ) -> crate::error::Result<guestfs_protocol::$row> {
                Ok(guestfs_protocol::$row { $($column: row.$kind(stringify!($column))?),* })
            }
        }
    };
}

pub(super) use columns;

/// The command for a table of these columns.
pub(super) fn tool(command: &str, columns: &[&str], select: Option<&str>) -> Tool {
    let tool = super::lvm(command)
        .args(["--reportformat", "json", "--units", "b", "--nosuffix"])
        .args(["--options", &columns.join(",")]);
    match select {
        Some(select) => tool.args(["--select", select]),
        None => tool,
    }
}

/// The lines of the only table that was asked for.
pub(super) fn parse(json: &[u8]) -> Result<Vec<Row>> {
    let document: Document =
        serde_json::from_slice(json).map_err(|err| strange(format_args!("its report: {err}")))?;
    let tables = document.report.into_iter().flat_map(Map::into_iter);
    // Beside the table there may be a log.
    let tables = tables.filter(|(name, _)| matches!(name.as_str(), "pv" | "vg" | "lv"));
    let rows = tables.map(|(_, rows)| {
        serde_json::from_value::<Vec<Row>>(rows)
            .map_err(|err| strange(format_args!("its report: {err}")))
    });
    Ok(rows.collect::<Result<Vec<_>>>()?.into_iter().flatten().collect())
}

impl Row {
    fn get(&self, column: &str) -> Result<&str> {
        // The one column that is reported by another name than it is asked for.
        let key = if column == "modules" { "lv_modules" } else { column };
        let value = self.0.get(key).or_else(|| self.0.get(column));
        value.and_then(Value::as_str).ok_or_else(|| strange(format_args!("no column {column}")))
    }

    pub(super) fn text(&self, column: &str) -> Result<BString> {
        Ok(self.get(column)?.into())
    }

    /// -1 stands for what has no value.
    pub(super) fn number(&self, column: &str) -> Result<i64> {
        match self.get(column)? {
            "" => Ok(-1),
            text => text.parse().map_err(|_| strange(format_args!("{column} of {text}"))),
        }
    }

    pub(super) fn size(&self, column: &str) -> Result<u64> {
        match self.get(column)? {
            "" => Ok(0),
            text => text.parse().map_err(|_| strange(format_args!("{column} of {text}"))),
        }
    }

    /// -1 stands for what has no value.
    pub(super) fn percent(&self, column: &str) -> Result<f32> {
        match self.get(column)? {
            "" => Ok(-1.0),
            text => text.parse().map_err(|_| strange(format_args!("{column} of {text}"))),
        }
    }

    /// 32 characters, without the hyphens between them.
    pub(super) fn uuid(&self, column: &str) -> Result<[u8; 32]> {
        let text = self.get(column)?;
        let bytes: Vec<u8> = text.bytes().filter(|byte| *byte != b'-').collect();
        bytes.try_into().map_err(|_| strange(format_args!("{column} of {text}")))
    }
}

/// An answer of another LVM than this was written for.
fn strange(what: impl std::fmt::Display) -> Error {
    Error::refused(Errno::PROTO, "lvm", format_args!("{what} is not understood"))
}

#[cfg(test)]
mod tests {
    use super::super::{lv_columns, pv_columns, vg_columns};
    use super::*;

    /// Recorded from LVM 2.03.16.
    const PVS: &[u8] = include_bytes!("../../tests/fixtures/lvm-pvs.json");
    const VGS: &[u8] = include_bytes!("../../tests/fixtures/lvm-vgs.json");
    const LVS: &[u8] = include_bytes!("../../tests/fixtures/lvm-lvs.json");

    #[test]
    fn physical_volumes() {
        let rows = parse(PVS).unwrap();
        let pvs: Vec<_> = rows.iter().map(|row| pv_columns::parse(row).unwrap()).collect();
        assert_eq!(pvs.len(), 2);
        assert_eq!(pvs[0].pv_name, "/dev/loop0");
        assert_eq!(&pvs[0].pv_uuid, b"T3fArvXvttsI2aqvM3akQ8uIEHu71yrS");
        assert_eq!((pvs[0].pv_size, pvs[0].pv_free), (100_663_296, 92_274_688));
        assert_eq!((pvs[1].pv_pe_count, pvs[1].pv_mda_count), (14, 1));
    }

    #[test]
    fn volume_groups() {
        let rows = parse(VGS).unwrap();
        let vg = vg_columns::parse(&rows[0]).unwrap();
        assert_eq!(
            (vg.vg_name.to_string(), vg.vg_attr.to_string()),
            ("VG".into(), "wz--n-".into())
        );
        assert_eq!((vg.vg_extent_size, vg.vg_free_count, vg.lv_count), (4 << 20, 36, 1));
    }

    #[test]
    fn logical_volumes() {
        let rows = parse(LVS).unwrap();
        let lv = lv_columns::parse(&rows[0]).unwrap();
        assert_eq!((lv.lv_name.to_string(), lv.lv_size), ("LV".into(), 8 << 20));
        assert_eq!((lv.lv_major, lv.snap_percent, lv.copy_percent), (-1, -1.0, -1.0));
        assert_eq!((lv.origin.to_string(), lv.modules.to_string()), (String::new(), String::new()));
    }

    #[test]
    fn commands() {
        let tool = tool("lvs", &["vg_name", "lv_name"], Some("lv_role=public"));
        assert_eq!(
            tool.to_string(),
            "lvm lvs --reportformat json --units b --nosuffix --options vg_name,lv_name \
             --select lv_role=public"
        );
    }

    #[test]
    fn what_is_not_understood() {
        #[track_caller]
        fn check(json: &str, expected: &str) {
            let got = parse(json.as_bytes()).and_then(|rows| {
                rows.iter().map(|row| row.number("n")).collect::<Result<Vec<_>>>()
            });
            assert_eq!(got.map_or_else(|err| err.to_string(), |it| format!("{it:?}")), expected);
        }
        check(r#"{"report": [{"pv": []}]}"#, "[]");
        check(r#"{"report": [{"pv": [{"n": "7"}, {"n": ""}]}], "log": []}"#, "[7, -1]");
        check(r#"{"report": [{"pv": [{"n": "x"}]}]}"#, "lvm: n of x is not understood");
        check(r#"{"report": [{"pv": [{}]}]}"#, "lvm: no column n is not understood");
        let error =
            "lvm: its report: EOF while parsing a value at line 1 column 0 is not understood";
        check("", error);
    }
}
