"""XML without document types: so there are no entities that grow or fetch files."""

from __future__ import annotations

from typing import Any, NoReturn
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

from hubzarr.errors import SampleError

__all__ = ["parse_xml"]


def parse_xml(data: bytes, path: str) -> Element:
    """The root element of a document.

    Raises
    ------
    SampleError
        It is no XML, or it has a document type, which annotations have no use for.

    Examples
    --------
    >>> parse_xml(b"<annotation><filename>tom.jpg</filename></annotation>", "tom.xml")[0].text
    'tom.jpg'
    >>> parse_xml(b'<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>', "tom.xml")
    Traceback (most recent call last):
    hubzarr.errors.SampleError: tom.xml: has a document type, which may hide harmful entities;
    remove the <!DOCTYPE ...> part
    """
    builder = TreeBuilder()
    parser = expat.ParserCreate()
    parser.buffer_text = True
    parser.StartElementHandler = lambda tag, attributes: _ignore(builder.start(tag, attributes))
    parser.EndElementHandler = lambda tag: _ignore(builder.end(tag))
    parser.CharacterDataHandler = builder.data

    def refuse(*_: Any) -> NoReturn:
        raise SampleError(
            f"{path}: has a document type, which may hide harmful entities; remove the "
            "<!DOCTYPE ...> part",
            path=path,
        )

    parser.StartDoctypeDeclHandler = refuse
    try:
        parser.Parse(data, True)
        return builder.close()
    except expat.ExpatError as error:
        raise SampleError(f"{path}: not valid XML: {error}", path=path) from None


def _ignore(_: object) -> None:
    """Handlers of expat give nothing back."""
