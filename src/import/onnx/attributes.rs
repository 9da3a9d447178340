//! The attributes of an ONNX node. A node with an attribute that its operator is not known to have is odd.

use super::super::net::{Edges, Odd, Window, odd};
use super::proto::{AttributeProto, NodeProto, attribute};

type Result<T> = std::result::Result<T, Odd>;

pub(super) struct Attributes<'a> {
    attributes: &'a [AttributeProto],
}

impl<'a> Attributes<'a> {
    /// The attributes of `node`, if all are among `known` and none occurs twice.
    pub(super) fn new(node: &'a NodeProto, known: &[&str]) -> Result<Attributes<'a>> {
        let attributes = &node.attribute;
        for (i, attribute) in attributes.iter().enumerate() {
            let doubled = attributes[..i].iter().any(|before| before.name == attribute.name);
            // The first versions of many operators had this attribute to say what memory they reuse; it changes no
            // result.
            let known = known.contains(&attribute.name.as_str()) || attribute.name == "consumed_inputs";
            if doubled || !known {
                let found = format!("{}`{}`", if doubled { "a second " } else { "" }, attribute.name);
                return Err(odd("attributes", "each of those known once", found));
            }
        }
        Ok(Attributes { attributes })
    }

    fn get(&self, name: &'static str, kind: i32) -> Result<Option<&'a AttributeProto>> {
        let Some(attribute) = self.attributes.iter().find(|attribute| attribute.name == name) else {
            return Ok(None);
        };
        if attribute.r#type != 0 && attribute.r#type != kind {
            let text = |kind: i32| format!("an attribute of type {kind}");
            return Err(odd(name, text(kind), text(attribute.r#type)));
        }
        Ok(Some(attribute))
    }

    pub(super) fn int_or(&self, name: &'static str, default: i64) -> Result<i64> {
        Ok(self.get(name, attribute::INT)?.map_or(default, |attribute| attribute.i))
    }

    pub(super) fn float_or(&self, name: &'static str, default: f32) -> Result<f32> {
        Ok(self.get(name, attribute::FLOAT)?.map_or(default, |attribute| attribute.f))
    }

    pub(super) fn ints(&self, name: &'static str) -> Result<Option<&'a [i64]>> {
        Ok(self.get(name, attribute::INTS)?.map(|attribute| attribute.ints.as_slice()))
    }

    pub(super) fn string(&self, name: &'static str) -> Result<Option<&'a [u8]>> {
        Ok(self.get(name, attribute::STRING)?.map(|attribute| attribute.s.as_slice()))
    }

    pub(super) fn int(&self, name: &'static str, default: i64, expected: i64) -> Result<()> {
        let found = self.int_or(name, default)?;
        if found == expected { Ok(()) } else { Err(odd(name, expected.to_string(), found.to_string())) }
    }

    pub(super) fn float(&self, name: &'static str, default: f32, expected: f32) -> Result<()> {
        let found = self.float_or(name, default)?;
        if found == expected { Ok(()) } else { Err(odd(name, expected.to_string(), found.to_string())) }
    }

    fn fixed<const N: usize>(&self, name: &'static str, default: Option<[i64; N]>) -> Result<Option<[i64; N]>> {
        let Some(found) = self.ints(name)? else { return Ok(default) };
        let shown = || format!("{:?}", &found[..found.len().min(8)]);
        <[i64; N]>::try_from(found).map(Some).map_err(|_| odd(name, format!("{N} numbers"), shown()))
    }

    /// The windows of a convolution or a pool, as the attributes describe them.
    pub(super) fn window(&self) -> Result<Window> {
        let kernel = self.fixed("kernel_shape", None)?;
        let strides = self.fixed("strides", Some([1; 2]))?.expect("a default");
        let dilations = self.fixed("dilations", Some([1; 2]))?.expect("a default");
        if dilations != [1; 2] {
            return Err(odd("dilations", "[1, 1]", format!("{dilations:?}")));
        }
        let pads = self.fixed("pads", Some([0; 4]))?.expect("a default");
        let ceil = self.int_or("ceil_mode", 0)? != 0;
        let edges = match self.string("auto_pad")? {
            None | Some(b"" | b"NOTSET") => Edges::Explicit { pads, ceil },
            Some(b"VALID") => Edges::Explicit { pads: [0; 4], ceil },
            Some(b"SAME_UPPER") => Edges::SameUpper,
            Some(b"SAME_LOWER") => Edges::SameLower,
            Some(found) => {
                let found = String::from_utf8_lossy(&found[..found.len().min(32)]).into_owned();
                return Err(odd("auto_pad", "NOTSET, VALID, SAME_UPPER or SAME_LOWER", found));
            }
        };
        Ok(Window { kernel, strides, edges })
    }
}
