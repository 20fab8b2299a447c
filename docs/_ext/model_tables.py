"""Tables of the data model, of detectors, flags, pictures and the accessor."""

from __future__ import annotations

import inspect

from md_text import code, eval_rst, table

from tsoxr import accessor, dq, modes, registry, schema, trees


def detectors_table() -> str:
    """Return the typical constants of every detector that a mode uses."""
    names = sorted({name for mode in modes.names() for name in modes.get(mode).detectors})
    rows = [
        (
            code(d.name),
            f"{d.gain:g}",
            f"{d.read_noise:g}",
            f"{d.saturation:g}",
            f"{d.dark:g}",
            "interleaved" if d.interleaved else "blocks",
        )
        for d in map(modes.detector, names)
    ]
    constants = (
        "gain [electron/DN]",
        "single-read noise [DN]",
        "saturation [DN]",
        "dark [electron/s]",
    )
    return table(("detector", *constants, "outputs"), rows)


# -------------------------------------------------------------------- data model


def variables_table(kind: str) -> str:
    """Return the schema of one product."""
    rows = [
        (
            code(name),
            ", ".join(v.dims),
            " or ".join(v.dtypes),
            " or ".join((v.units, *v.units_allowed)) if v.units is not None else "",
            v.long_name,
            "yes" if v.required else "",
        )
        for name, v in schema.SCHEMAS[kind].items()
    ]
    return table(("name", "dims", "dtype", "units", "meaning", "required"), rows)


def attributes_table() -> str:
    """Return the attributes of a Dataset and their meaning."""
    return table(("attribute", "meaning"), [(code(k), v) for k, v in schema.ATTRIBUTES.items()])


def flags_table() -> str:
    """Return the data-quality flags: name, bit, and what tsoxr does with them."""
    rows = [
        (
            code(name),
            value.bit_length() - 1,
            value,
            "yes" if name in dq.UNUSABLE else "",
            "yes" if name in dq.UNUSABLE_RATE else "",
        )
        for name, value in dq.FLAGS.items()
    ]
    return table(
        ("flag", "bit", "value", "makes a group unusable", "makes a rate or spectrum unusable"),
        rows,
    )


# --------------------------------------------------------------------- accessor


def pictures_table() -> str:
    """Return the plots that belong to a product rather than to a step."""
    rows = [
        (
            f"`ds.tso.plot.{p.name}()`",
            ", ".join(p.kinds),
            (inspect.getdoc(p.func) or "").partition("\n")[0],
        )
        for p in sorted(registry.PICTURES.values(), key=lambda p: p.name)
    ]
    return table(("plot", "of", "what it draws"), rows)


def accessor_members() -> str:
    """Return the members of ``ds.tso`` that are no steps, with their docstrings."""
    return _members(accessor.TsoAccessor)


def tree_accessor_members() -> str:
    """Return the members of ``tree.tso`` that are no steps, with their docstrings."""
    return _members(accessor.TreeAccessor)


def _members(view: type) -> str:
    parts, registered = [], trees.registered()
    for name, member in vars(view).items():
        if name.startswith("_") or name in registered:
            continue
        directive = "autoproperty" if isinstance(member, property) else "automethod"
        parts.append(eval_rst(directive, f"{view.__module__}.{view.__name__}.{name}"))
    return "\n".join(parts)
