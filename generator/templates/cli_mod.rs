// {{ notice }}

{% for group in groups %}mod {{ group }};
{% endfor %}mod structs;

use crate::command::Command;

/// The commands of each group.
pub(crate) static COMMANDS: &[&[Command]] = &[
{% for group in groups %}    {{ group }}::COMMANDS,
{% endfor %}];
