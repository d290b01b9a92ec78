//! The window through which a convolution or a pool looks at maps.

use crate::onnx::graph::Node;

/// Kernel, stride and padding of a convolution or a pool through a plain square window; `kernel` is its height and
/// width.
pub(super) fn window(node: &Node, kernel: [usize; 2]) -> Result<[usize; 3], String> {
    let groups = node.whole.get("group").copied().unwrap_or(1);
    if groups != 1 {
        return Err(format!(
            "`{}` is a convolution in {groups} groups",
            node.name
        ));
    }
    // One number for all sides, from a list that has one for each.
    let one = |name: &str, sides: usize, otherwise: usize| match node.lists.get(name) {
        None => Some(otherwise),
        Some(list) => {
            let first = usize::try_from(*list.first()?).ok();
            let same = list.windows(2).all(|pair| pair[0] == pair[1]);
            first.filter(|_| same && list.len() == sides)
        }
    };
    let said = node.lists.get("kernel_shape").is_none_or(|said| {
        let sides = said.iter().map(|side| usize::try_from(*side).ok());
        sides.eq(kernel.map(Some))
    });
    let automatic = node.texts.get("auto_pad").map_or("", String::as_str);
    let stride = one("strides", 2, 1).filter(|stride| *stride > 0);
    match (stride, one("pads", 4, 0), one("dilations", 2, 1)) {
        (Some(stride), Some(padding), Some(1))
            if said
                && kernel[0] == kernel[1]
                && (matches!(automatic, "" | "NOTSET")
                    || (automatic == "VALID" && padding == 0)) =>
        {
            Ok([kernel[0], stride, padding])
        }
        _ => Err(format!(
            "`{}` is a convolution that does not look through a plain square window",
            node.name
        )),
    }
}
