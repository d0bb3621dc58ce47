//! Type names without their module paths.

/// A name from [`std::any::type_name`] without its module paths: `Vec<(String, u64)>`.
///
/// A closure is named by the function that contains it: `word_count::{closure}`.
pub fn short_type_name(name: &str) -> String {
    let mut names = Names { rest: name, out: String::with_capacity(name.len()) };
    while !names.rest.is_empty() {
        names.list();
        // A bracket without its partner: no type has one, but nothing may be lost.
        names.copy(1);
    }
    names.out
}

struct Names<'a> {
    rest: &'a str,
    out: String,
}

impl Names<'_> {
    /// Takes what stands between two paths as it is, and the paths without their modules, up to a closing `>`.
    fn list(&mut self) {
        while let Some(c) = self.rest.chars().next() {
            if self.rest.starts_with("->") {
                self.copy(2);
            } else if self.rest.starts_with('\'') {
                self.copy(1);
                self.copy(self.word());
            } else if c == '>' {
                return;
            } else if begins_segment(c) {
                self.path();
            } else {
                self.copy(c.len_utf8());
            }
        }
    }

    /// Takes a path and keeps its last segment; for closures the last one that has a name, too.
    fn path(&mut self) {
        let begin = self.out.len();
        let mut named = String::new();
        loop {
            let segment = self.out.len();
            if self.rest.starts_with('{') {
                let end = self.rest.find("}}").map_or(self.rest.len(), |at| at + 2);
                self.rest = &self.rest[end..];
                self.out.truncate(begin);
                self.out.push_str(&named);
                self.out.push_str(if named.is_empty() { "{closure}" } else { "::{closure}" });
            } else {
                self.copy(self.word());
                if self.rest.starts_with('<') {
                    self.copy(1);
                    self.list();
                    self.copy(1);
                }
                named = self.out.split_off(segment);
                self.out.truncate(begin);
                self.out.push_str(&named);
            }
            match self.rest.strip_prefix("::") {
                Some(rest) if rest.starts_with(begins_segment) => self.rest = rest,
                _ => return,
            }
        }
    }

    /// The length of the word that stands here.
    fn word(&self) -> usize {
        self.rest
            .find(|c: char| !(c.is_alphanumeric() || c == '_' || c == '#'))
            .unwrap_or(self.rest.len())
    }

    /// Takes so many bytes as they are.
    fn copy(&mut self, length: usize) {
        let (taken, rest) = self.rest.split_at(length.min(self.rest.len()));
        self.out.push_str(taken);
        self.rest = rest;
    }
}

/// Whether a segment of a path begins with this: a name, `<T as Trait>` or `{{closure}}`.
fn begins_segment(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '_' | '<' | '{')
}

#[cfg(test)]
mod tests {
    use super::short_type_name as short;
    use std::any::{type_name, type_name_of_val};

    struct Local<'a, T, const N: usize>(#[allow(dead_code)] [&'a T; N]);

    fn closure_of<T>(_: T) -> &'static str {
        type_name_of_val(&|t: T| drop(t))
    }

    #[test]
    fn module_paths_go_and_everything_else_stays() {
        for (name, expected) in [
            (type_name::<u64>(), "u64"),
            (type_name::<String>(), "String"),
            (type_name::<&'static str>(), "&str"),
            (type_name::<()>(), "()"),
            (type_name::<Option<Vec<(u64, String)>>>(), "Option<Vec<(u64, String)>>"),
            (type_name::<&mut [Option<String>; 3]>(), "&mut [Option<String>; 3]"),
            (type_name::<Local<'static, Vec<u8>, 4>>(), "Local<'_, Vec<u8>, 4>"),
            (
                type_name::<fn(String) -> Option<Local<'static, u8, 1>>>(),
                "fn(String) -> Option<Local<'_, u8, 1>>",
            ),
            (
                type_name::<Box<dyn Fn(String) -> Vec<u8> + Send>>(),
                "Box<dyn Fn(String) -> Vec<u8> + Send>",
            ),
            (
                type_name::<*const std::collections::BTreeMap<u8, [u8; 2]>>(),
                "*const BTreeMap<u8, [u8; 2]>",
            ),
            (
                "dyn for<'a> a::b::F<&'a a::X, Output = c::Y> + 'static",
                "dyn for<'a> F<&'a X, Output = Y> + 'static",
            ),
            ("<a::X as b::Y<c::Z>>::Out<d::E>", "Out<E>"),
            ("a::<impl b::C for d::E>::run", "run"),
            ("a::run<b::C>::Inner", "Inner"),
            ("a::r#type::r#Fn", "r#Fn"),
            ("", ""),
            (">>", ">>"),
            ("{{", "{closure}"),
        ] {
            assert_eq!(short(name), expected, "{name}");
        }
    }

    #[test]
    fn a_closure_is_named_by_its_function() {
        let plain = || ();
        let nested = move || type_name_of_val(&|| plain());
        let here = "a_closure_is_named_by_its_function";
        assert_eq!(short(type_name_of_val(&plain)), format!("{here}::{{closure}}"));
        assert_eq!(short(nested()), format!("{here}::{{closure}}"));
        assert_eq!(short(closure_of(vec![String::new()])), "closure_of<Vec<String>>::{closure}");
        assert_eq!(short(type_name_of_val(&Some(plain))), format!("Option<{here}::{{closure}}>"));
        assert_eq!(short("{{closure}}"), "{closure}");
    }
}
