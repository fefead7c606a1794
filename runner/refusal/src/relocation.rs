// SPDX-License-Identifier: MIT
//! CO-RE relocations that libbpf cannot resolve: which type or member the kernel lacks, and what it
//! has instead.

use bpfpack_schemas::btf::{Btf, Kind, Type};

use crate::near;

/// A relocation that failed, as libbpf writes it (`bpf_core_format_spec`):
/// `<byte_off> [20] struct task_struct.pids (0:0 @ offset 0)`,
/// `<enumval_value> [26] enum bpf_map_type::BPF_MAP_TYPE_RING = 77`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failed<'t> {
    /// `struct`, `union` or `enum`; empty for a typedef.
    keyword: &'t str,
    /// The name of the type, without what follows `___`, which libbpf ignores.
    name: &'t str,
    /// The member, such as `se.vruntime`, or the enumerator; empty if the type is meant.
    member: &'t str,
}

/// Why a relocation failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// The cause.
    pub cause: String,
    /// What the program can do.
    pub hint: String,
}

/// Words of libbpf before the relocation.
const FAILED: &str = "failed to resolve CO-RE relocation ";

impl<'t> Failed<'t> {
    /// Finds the relocation that failed in a text of libbpf.
    #[must_use]
    pub fn find(log: &'t str) -> Option<Failed<'t>> {
        let (_, rest) = log.split_once(FAILED)?;
        let (_, spec) = rest.lines().next()?.split_once("] ")?;
        let (keyword, rest) = match spec.split_once(' ') {
            Some((word @ ("struct" | "union" | "enum" | "enum64" | "typedef"), rest)) => {
                (word, rest)
            }
            _ => ("", spec),
        };
        let rest = rest.split([' ', '(']).next()?;
        let (name, member) =
            rest.split_once("::").or_else(|| rest.split_once('.')).unwrap_or((rest, ""));
        let bare = |name: &'t str| match name.find("___") {
            Some(at) if at > 0 => &name[..at],
            _ => name,
        };
        Some(Failed { keyword, name: bare(name), member: bare(member) })
    }

    fn ty(&self) -> String {
        match self.keyword {
            "" | "typedef" => self.name.to_owned(),
            "enum64" => format!("enum {}", self.name),
            keyword => format!("{keyword} {}", self.name),
        }
    }

    /// Explains it by the kernel's types; without them, by the relocation alone.
    #[must_use]
    pub fn explain(&self, kernel: Option<&Btf<'_>>) -> Explanation {
        let ty = self.ty();
        let is_enum = self.keyword.starts_with("enum");
        let exists = match (is_enum, self.member.is_empty()) {
            (true, false) => {
                format!("bpf_core_enum_value_exists({ty}, {})", self.member)
            }
            (false, false) => format!("bpf_core_field_exists(pointer->{})", self.member),
            (_, true) => format!("bpf_core_type_exists({ty})"),
        };
        let hint = format!("a program that also runs without it checks first: if ({exists})");
        let cause = match kernel.map(|btf| (btf, self.find_type(btf))) {
            None if self.member.is_empty() => format!("this kernel has no `{ty}`"),
            None => format!("this kernel has no `{ty}` with `{}`", self.member),
            Some((btf, None)) => {
                let names = || {
                    let of_kind = btf.types().filter(|it| self.is_of_kind(*it));
                    of_kind.map(|it| it.name())
                };
                near::suggested(
                    format!("this kernel has no `{ty}`"),
                    &near::names(self.name, names()),
                )
            }
            Some((_, Some(found))) if is_enum => {
                let names: Vec<&str> = found.enumerators().map(|(name, _)| name).collect();
                let cause = format!("this kernel's `{ty}` has no `{}`", self.member);
                near::suggested(cause, &near::names(self.member, names))
            }
            Some((_, Some(found))) => self.missing_member(found),
        };
        Explanation { cause, hint }
    }

    fn is_of_kind(&self, ty: Type<'_>) -> bool {
        match self.keyword {
            "struct" => ty.kind == Kind::Struct,
            "union" => ty.kind == Kind::Union,
            "enum" | "enum64" => matches!(ty.kind, Kind::Enum | Kind::Enum64),
            _ => ty.kind == Kind::Typedef,
        }
    }

    fn find_type<'b>(&self, btf: &'b Btf<'_>) -> Option<Type<'b>> {
        btf.types().find(|ty| ty.name() == self.name && self.is_of_kind(*ty))
    }

    /// Follows the members to the first one that is not there.
    fn missing_member(&self, found: Type<'_>) -> String {
        let mut ty = found;
        let mut spelling = self.ty();
        for part in self.member.split('.') {
            let name = part.split('[').next().unwrap_or(part);
            let Some(next) = member(ty, name) else {
                let mut names = Vec::new();
                member_names(ty, &mut names, 0);
                let cause = format!("this kernel's `{spelling}` has no member `{name}`");
                let near = near::names(name, names.iter().copied());
                if let ([], Some(inner)) = (&*near, inside(ty, name)) {
                    return format!("{cause}, but its member `{inner}` has it");
                }
                return near::suggested(cause, &near);
            };
            let mut next = next.resolved();
            while next.kind == Kind::Array {
                next = next.target().resolved();
            }
            ty = next;
            spelling = ty.spelling();
        }
        format!("`{}` of this kernel's `{}` has another type", self.member, self.ty())
    }
}

/// The depth of anonymous structs and unions.
const DEPTH: usize = 8;

/// The type of a member, also of a member of an anonymous struct or union.
fn member<'b>(ty: Type<'b>, name: &str) -> Option<Type<'b>> {
    fn find<'b>(ty: Type<'b>, name: &str, depth: usize) -> Option<Type<'b>> {
        ty.members().find_map(|member| {
            let of = ty.sibling(member.ty);
            match member.name {
                "" if depth < DEPTH => find(of.resolved(), name, depth + 1),
                known => (known == name).then_some(of),
            }
        })
    }
    find(ty, name, 0)
}

/// The names of members, also of those of anonymous structs and unions.
fn member_names<'b>(ty: Type<'b>, names: &mut Vec<&'b str>, depth: usize) {
    for member in ty.members() {
        match member.name {
            "" if depth < DEPTH => {
                member_names(ty.sibling(member.ty).resolved(), names, depth + 1);
            }
            name => names.push(name),
        }
    }
}

/// The member whose struct has a member of this name.
fn inside<'b>(ty: Type<'b>, name: &str) -> Option<&'b str> {
    let has = |member: &bpfpack_schemas::btf::Member<'b>| {
        !member.name.is_empty() && self::member(ty.sibling(member.ty).resolved(), name).is_some()
    };
    ty.members().find(has).map(|member| member.name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed(text: &str) -> Failed<'_> {
        Failed::find(text).unwrap()
    }

    #[test]
    fn relocations_are_read_in_all_forms() {
        let log = "1: <invalid CO-RE relocation>\nfailed to resolve CO-RE relocation <byte_off> [20] \
            struct task_struct___renamed.se.pids (0:0 @ offset 0)\nprocessed 2 insns\n";
        let found = failed(log);
        assert_eq!((found.keyword, found.name, found.member), ("struct", "task_struct", "se.pids"));
        let log = "failed to resolve CO-RE relocation <enumval_value> [26] enum \
            bpf_map_type___x::BPF_MAP_TYPE_RING = 77";
        let found = failed(log);
        assert_eq!((found.name, found.member), ("bpf_map_type", "BPF_MAP_TYPE_RING"));
        let log = "failed to resolve CO-RE relocation <type_size> [3] struct gone";
        assert_eq!(failed(log).ty(), "struct gone");
        let log = "failed to resolve CO-RE relocation <byte_off> [2] typedef pid_x";
        assert_eq!(failed(log).ty(), "pid_x");
        assert_eq!(Failed::find("nothing of that kind"), None);
        assert_eq!(Failed::find(FAILED), None);
    }

    #[test]
    fn without_the_kernels_types_the_relocation_itself_is_named() {
        let log = "failed to resolve CO-RE relocation <byte_off> [20] struct a.b (0:0 @ offset 0)";
        let found = failed(log).explain(None);
        assert_eq!(found.cause, "this kernel has no `struct a` with `b`");
        assert!(found.hint.ends_with("if (bpf_core_field_exists(pointer->b))"), "{}", found.hint);
    }
}
