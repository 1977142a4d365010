// SPDX-License-Identifier: LGPL-2.1-or-later
//! The shape of `api.yaml`, and nothing else: what may be said, not what makes sense.

use std::collections::HashMap;
use std::fmt;

use anyhow::Context;
use indexmap::IndexMap;
use serde::de::value::SeqAccessDeserializer;
use serde::de::{self, IntoDeserializer, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_yaml::Value;

/// The whole description.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Api {
    /// The release of the libguestfs API that is implemented.
    pub version: Version,
    /// Chapters of the manual; each is one file of each output.
    pub groups: Vec<Group>,
    /// Optional parts of the appliance.
    pub features: Vec<Feature>,
    /// What a handle tells its callbacks.
    pub events: Vec<Event>,
    /// Values with more than one field.
    pub structs: Vec<Struct>,
    /// Every call.
    pub functions: Vec<Function>,
    /// Where each entry stands, for complaints.
    #[serde(skip)]
    pub lines: Lines,
}

/// The numbers that `version` returns.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Version {
    /// Changes when programs must be changed.
    pub major: i64,
    /// Even numbers are stable.
    pub minor: i64,
    /// Counts releases.
    pub release: i64,
}

/// A chapter.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Group {
    /// Also the name of a module of the daemon or the library.
    pub name: String,
    /// Heading.
    pub title: String,
    /// Introduction, in POD.
    pub docs: String,
}

/// Something that an appliance may lack.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Feature {
    /// The name that `available` takes.
    pub name: String,
    /// Programs that must be in the appliance.
    #[serde(default)]
    pub programs: Vec<String>,
    /// Filesystem type that its kernel must know.
    pub filesystem: Option<String>,
    /// What it is for.
    pub doc: String,
}

/// A kind of event.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Event {
    /// Lower case, with underscores.
    pub name: String,
    /// Number of the bit in masks.
    pub bit: u32,
    /// What the callback is given.
    pub payload: Payload,
    /// When it happens.
    pub doc: String,
}

/// What the callback of an event is given.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum Payload {
    /// Nothing.
    None,
    /// Text.
    Text,
    /// Four numbers.
    Numbers,
}

/// A structure.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Struct {
    /// Lower case, with underscores.
    pub name: String,
    /// Not for users.
    #[serde(default)]
    pub internal: bool,
    /// What it describes.
    pub doc: String,
    /// In the order of the wire.
    pub fields: Vec<Field>,
}

/// A field of a structure.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Field {
    /// Lower case, with underscores.
    pub name: String,
    /// Its type.
    #[serde(rename = "type")]
    pub ty: FieldType,
    /// What it says, with its unit.
    pub doc: String,
}

/// The types of fields.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum FieldType {
    /// Text.
    String,
    /// Name of a device.
    Device,
    /// Any bytes.
    Bytes,
    /// One byte.
    Char,
    /// 32 bits without sign.
    Uint32,
    /// 32 bits.
    Int32,
    /// 64 bits without sign.
    Uint64,
    /// 64 bits.
    Int64,
    /// A number of bytes.
    Size,
    /// 32 characters.
    Uuid,
    /// From 0 to 100, or -1 for none.
    Percent,
}

/// A function of the API.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Function {
    /// Lower case, with underscores.
    pub name: String,
    /// Number on the wire; none for functions of the library itself.
    pub proc: Option<u32>,
    /// The release of libguestfs that first had it.
    pub since: String,
    /// Chapter and module.
    pub group: String,
    /// Who does it.
    #[serde(default)]
    pub side: Side,
    /// Whether there is a body.  Without one the function is described, and has its place in every
    /// binding and on the wire, but all that calling it gives is an error.
    #[serde(default = "yes")]
    pub implemented: bool,
    /// Who may call it.
    #[serde(default)]
    pub visibility: Visibility,
    /// A phrase.
    pub summary: String,
    /// Other names in guestfish.
    #[serde(default)]
    pub aliases: Vec<String>,
    /// It had no options once: in C the options are taken by `guestfs_NAME_opts`.
    #[serde(default)]
    pub opts: bool,
    /// The feature it belongs to.
    pub feature: Option<String>,
    /// What must be so when it is called.
    pub needs: Option<Needs>,
    /// Only before launch.
    #[serde(default)]
    pub config_only: bool,
    /// It may report progress.
    #[serde(default)]
    pub progress: bool,
    /// `user_cancel` stops it.
    #[serde(default)]
    pub cancellable: bool,
    /// Better not used.
    pub deprecated: Option<Deprecated>,
    /// How guestfish prints the number it returns.
    pub output: Option<Output>,
    /// Required arguments.
    #[serde(default)]
    pub args: Vec<Arg>,
    /// Optional arguments; the position is the number of the bit.
    #[serde(default)]
    pub options: Vec<Opt>,
    /// Type of the result.
    pub returns: Ret,
    /// What the result is.
    pub result: Option<String>,
    /// The result's name on the wire.
    pub result_name: Option<String>,
    /// Each errno and when it comes.
    #[serde(default)]
    pub errors: Option<IndexMap<String, String>>,
    /// Paragraphs, in POD.
    pub docs: String,
    /// Names of related functions.
    #[serde(default)]
    pub see: Vec<String>,
    /// Proof.
    #[serde(default)]
    pub tests: Option<Vec<Test>>,
}

/// A value, be it `null`: what is not said at all is `None`.
fn said<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}

fn yes() -> bool {
    true
}

/// Who does it.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    /// The daemon, inside the appliance.
    #[default]
    Daemon,
    /// The library.
    Host,
    /// The library, where it is better at it, and the daemon otherwise: the library's body calls
    /// what the daemon has, and so do older libraries.
    Both,
}

/// Who may call it.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum Visibility {
    /// Everybody.
    #[default]
    Public,
    /// Everybody but guestfish.
    PublicNoFish,
    /// Programs that ask what state a handle is in; left out of the manual.
    StateTest,
    /// Developers.
    Debug,
    /// The library itself.
    Internal,
    /// Tests of bindings.
    BindTest,
}

/// What must be so when a function is called.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum Needs {
    /// A filesystem is mounted on `/`.
    Root,
}

/// Better not used.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Deprecated {
    /// What to use instead.
    pub by: Option<String>,
}

/// How guestfish prints a number.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum Output {
    /// Base 8, with a leading 0.
    Octal,
    /// Base 16, with a leading 0x.
    Hex,
}

/// What a number counts, so that people may write `100M`.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
pub enum Unit {
    /// 1.
    #[serde(rename = "bytes")]
    Bytes,
    /// 512 bytes.
    #[serde(rename = "sectors")]
    Sectors,
    /// 1024 bytes.
    KiB,
    /// 1024 KiB.
    MiB,
}

/// A required argument.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Arg {
    /// Lower case, with underscores.
    pub name: String,
    /// Its type.
    #[serde(rename = "type")]
    pub ty: ArgType,
    /// What a number counts.
    pub unit: Option<Unit>,
    /// The only values there are, if the list is short.
    #[serde(default)]
    pub values: Vec<String>,
    /// What it means.
    pub doc: String,
}

/// An optional argument.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Opt {
    /// Lower case, with underscores.
    pub name: String,
    /// Its type.
    #[serde(rename = "type")]
    pub ty: OptType,
    /// What a number counts.
    pub unit: Option<Unit>,
    /// The only values there are, if the list is short.
    #[serde(default)]
    pub values: Vec<String>,
    /// What it means, and what is so without it.
    pub doc: String,
}

/// The types of required arguments.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum ArgType {
    /// True or false.
    Bool,
    /// 32 bits.
    Int,
    /// 64 bits.
    Int64,
    /// Text without NUL.
    String,
    /// Text or nothing.
    Optstring,
    /// An absolute path inside the guest, resolved beneath its root.
    Path,
    /// A block device, under the name the caller knows it by.
    Device,
    /// Something that can be mounted: a device or a subvolume of one.
    Mountable,
    /// A path that starts with `/dev/` is a device, any other a file of the guest.
    DeviceOrPath,
    /// As before, and subvolumes too.
    MountableOrPath,
    /// The name of a file without its directory.
    Filename,
    /// A GUID in its text form.
    Guid,
    /// A secret: never traced, never in an error, wiped after use.
    Key,
    /// A file of the host that is sent.
    Filein,
    /// A file of the host that is written.
    Fileout,
    /// Any bytes.
    Bytes,
    /// A list of texts.
    StringList,
    /// A list of devices.
    DeviceList,
    /// A list of paths.
    PathList,
    /// A list of file names.
    FilenameList,
    /// A pointer of C.
    Pointer,
}

impl ArgType {
    /// It is a file that follows the message.
    pub fn is_file(self) -> bool {
        matches!(self, Self::Filein | Self::Fileout)
    }
}

/// The types of optional arguments.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum OptType {
    /// True or false.
    Bool,
    /// 32 bits.
    Int,
    /// 64 bits.
    Int64,
    /// Text without NUL.
    String,
    /// A list of texts.
    StringList,
}

/// The types of results.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(try_from = "String")]
pub enum Ret {
    /// Nothing.
    None,
    /// True or false.
    Bool,
    /// 32 bits; -1 is an error in C.
    Int,
    /// 64 bits; -1 is an error in C.
    Int64,
    /// Text.
    String,
    /// Name of a device.
    Device,
    /// Text that the handle keeps.
    ConstString,
    /// Text that the handle keeps, or nothing.
    ConstOptString,
    /// Any bytes.
    Bytes,
    /// A list of texts.
    StringList,
    /// A list of names of devices.
    DeviceList,
    /// A list of things that can be mounted.
    MountableList,
    /// Pairs of texts.
    Hash,
    /// A structure.
    Struct(String),
    /// A list of structures.
    StructList(String),
}

impl TryFrom<String> for Ret {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        Ok(match text.as_str() {
            "none" => Self::None,
            "bool" => Self::Bool,
            "int" => Self::Int,
            "int64" => Self::Int64,
            "string" => Self::String,
            "device" => Self::Device,
            "const_string" => Self::ConstString,
            "const_opt_string" => Self::ConstOptString,
            "bytes" => Self::Bytes,
            "string_list" => Self::StringList,
            "device_list" => Self::DeviceList,
            "mountable_list" => Self::MountableList,
            "hash" => Self::Hash,
            other => match (other.strip_prefix("struct "), other.strip_prefix("list of ")) {
                (Some(name), _) => Self::Struct(name.to_owned()),
                (_, Some(name)) => Self::StructList(name.to_owned()),
                _ => return Err(format!("{other} is not a type of result")),
            },
        })
    }
}

/// Steps on a disk, and what comes of the last one.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Test {
    /// What it shows, as a sentence.
    pub name: String,
    /// What it starts from: a disk, or a list of disks with each of which the same comes out.
    #[serde(rename = "disk", deserialize_with = "one_or_more")]
    pub disks: Vec<Disk>,
    /// Features without which it cannot run.
    #[serde(default)]
    pub needs: Vec<String>,
    /// Each a map of one function to its arguments.
    pub steps: Vec<IndexMap<String, Vec<Value>>>,
    /// The exact result; `null` where nothing is a result.
    #[serde(default, deserialize_with = "said")]
    pub returns: Option<Value>,
    /// A regular expression that the result's text matches.
    pub matches: Option<String>,
    /// The content of the host file that was written.
    pub fileout: Option<Value>,
    /// The error.
    pub fails: Option<Fails>,
    /// It is shown in the manual.
    #[serde(default)]
    pub example: bool,
}

/// An expected error.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fails {
    /// Its name, or none if the error has no errno.
    pub errno: Option<String>,
    /// Words in its message.
    #[serde(default)]
    pub says: String,
}

/// What a test starts from.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, PartialOrd, Ord)]
#[serde(rename_all = "kebab-case")]
pub enum Disk {
    /// A handle that was not launched, in an empty directory.
    Config,
    /// The same, and there is an appliance to launch.
    Unlaunched,
    /// Three disks of zeroes.
    Blank,
    /// A partition with the known tree.
    Ext4,
    /// The same, mounted.
    Ext4Mounted,
    /// As `Ext4`, added read-only.
    Readonly,
    /// A partition with a small tree, mounted.
    Xfs,
    /// The same.
    Btrfs,
    /// The same.
    Vfat,
    /// The same.
    Ntfs,
}

/// The name of a disk, or a list of such names.
fn one_or_more<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Disk>, D::Error> {
    struct OneOrMore;

    impl<'de> Visitor<'de> for OneOrMore {
        type Value = Vec<Disk>;

        fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
            out.write_str("a disk or a list of disks")
        }

        fn visit_str<E: de::Error>(self, name: &str) -> Result<Self::Value, E> {
            Disk::deserialize(name.into_deserializer()).map(|disk| vec![disk])
        }

        fn visit_seq<A: SeqAccess<'de>>(self, names: A) -> Result<Self::Value, A::Error> {
            Vec::deserialize(SeqAccessDeserializer::new(names))
        }
    }

    deserializer.deserialize_any(OneOrMore)
}

/// The line on which each named entry starts.
#[derive(Debug, Default)]
pub struct Lines(HashMap<String, usize>);

impl Lines {
    fn new(text: &str) -> Self {
        let mut lines = HashMap::new();
        for (number, line) in text.lines().enumerate() {
            if let Some(name) = line.strip_prefix("  - name: ") {
                // The first of two equal names is where the rule about names points to.
                lines.entry(name.trim().to_owned()).or_insert(number + 1);
            }
        }
        Self(lines)
    }

    /// The line of an entry; 1 if there is none.
    pub fn of(&self, name: &str) -> usize {
        self.0.get(name).copied().unwrap_or(1)
    }
}

impl Api {
    /// Reads a description.
    pub fn parse(text: &str) -> anyhow::Result<Self> {
        let mut api: Self = serde_yaml::from_str(text).context("api.yaml")?;
        api.lines = Lines::new(text);
        Ok(api)
    }

    /// The structure of that name.
    pub fn structure(&self, name: &str) -> Option<&Struct> {
        self.structs.iter().find(|it| it.name == name)
    }

    /// The function of that name.
    pub fn function(&self, name: &str) -> Option<&Function> {
        self.functions.iter().find(|it| it.name == name)
    }
}

impl Function {
    /// Its tests.
    pub fn tests(&self) -> &[Test] {
        self.tests.as_deref().unwrap_or_default()
    }

    /// Each errno and when it comes.
    pub fn errors(&self) -> impl Iterator<Item = (&str, &str)> {
        self.errors.iter().flatten().map(|(errno, doc)| (errno.as_str(), doc.as_str()))
    }

    /// A filesystem must be mounted on `/`.
    pub fn needs_root(&self) -> bool {
        let path = |arg: &Arg| matches!(arg.ty, ArgType::Path | ArgType::PathList);
        self.needs == Some(Needs::Root) || self.args.iter().any(path)
    }

    /// It stands in the manual.
    pub fn is_documented(&self) -> bool {
        match self.visibility {
            Visibility::Public | Visibility::PublicNoFish => true,
            Visibility::StateTest
            | Visibility::Debug
            | Visibility::Internal
            | Visibility::BindTest => false,
        }
    }

    /// It is a command of guestfish.
    pub fn in_guestfish(&self) -> bool {
        match self.visibility {
            Visibility::Public | Visibility::Debug => true,
            Visibility::PublicNoFish
            | Visibility::StateTest
            | Visibility::Internal
            | Visibility::BindTest => false,
        }
    }
}
