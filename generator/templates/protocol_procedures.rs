// {{ notice }}

/// The functions of the daemon, by their numbers on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Procedure {
{% for procedure in procedures %}    /// `{{ procedure.name }}`
    {{ procedure.rust }} = {{ procedure.number }},
{% endfor %}}

impl Procedure {
    /// All of them, in the order of their numbers.
    pub const ALL: &'static [Self] = &[
{% for procedure in procedures %}        Self::{{ procedure.rust }},
{% endfor %}    ];

    /// The name of the function.
    pub fn name(self) -> &'static str {
        match self {
{% for procedure in procedures %}            Self::{{ procedure.rust }} => "{{ procedure.name }}",
{% endfor %}        }
    }
}

impl TryFrom<u32> for Procedure {
    type Error = u32;

    fn try_from(number: u32) -> Result<Self, u32> {
        match Self::ALL.binary_search_by_key(&number, |procedure| *procedure as u32) {
            Ok(at) => Ok(Self::ALL[at]),
            Err(_) => Err(number),
        }
    }
}
