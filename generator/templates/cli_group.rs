// {{ notice }}

{% if deprecated %}#![expect(deprecated, reason = "what is deprecated works on")]

{% endif %}use guestfs::Handle;
{% for name in options %}use guestfs::{{ name }};
{% endfor %}
use crate::command::{Args, Command, Kind, Param, Unit};
use crate::error::Result;
use crate::output::Output;

pub(super) static COMMANDS: &[Command] = &[
{% for it in commands %}    Command {
        name: "{{ it.name }}",
        aliases: &[{% for alias in it.aliases %}"{{ alias }}", {% endfor %}],
        summary: "{{ it.summary }}",
        listed: {{ it.listed }},
        help: {{ it.help }},
        params: &[{% for p in it.params %}
            Param { name: "{{ p.name }}", kind: Kind::{{ p.kind }}, unit: Unit::{{ p.unit }}, values: &[{% for v in p.values %}"{{ v }}", {% endfor %}] },{% endfor %}
        ],
        options: &[{% for p in it.options %}
            Param { name: "{{ p.name }}", kind: Kind::{{ p.kind }}, unit: Unit::{{ p.unit }}, values: &[{% for v in p.values %}"{{ v }}", {% endfor %}] },{% endfor %}
        ],
        run: {{ it.ident }},
    },
{% endfor %}];
{% for it in commands %}
fn {{ it.ident }}(g: &Handle, {% if it.takes %}args{% else %}_{% endif %}: &mut Args<'_>, {% if it.prints %}out{% else %}_{% endif %}: &mut Output) -> Result<()> {
{% for line in it.lines %}    {{ line }}
{% endfor %}}
{% endfor %}
