"""The study as one html file: no request, no name that tells an image apart, everything escaped, scripts and styles allowed by digest alone."""

from __future__ import annotations

import base64
import hashlib
import io
import json
from collections.abc import Mapping
from importlib.resources import files

from medrobust.reader_study.key import Key
from medrobust.reader_study.subjects import Pixels

FORMAT = "medrobust reader study answers 1"
SCRIPTS = ("sha256.js", "viewer.js", "answers.js", "study.js")
SCALES = (
    ("malignancy", "Cancer", "0 certainly not", "100 certainly"),
    ("tampering", "Modification", "0 certainly not", "100 certainly"),
)


def page_text(key: Key, pixels: Mapping[str, Pixels]) -> str:
    """The page of a study. pixels: by the image's name, each (H, W), the same way for original and tampered."""
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from markupsafe import Markup

    style = asset("page.css")
    script = '(() => {\n"use strict";\n' + "\n".join(map(asset, SCRIPTS)) + "})();\n"
    environment = Environment(
        loader=PackageLoader("medrobust.reader_study", "page"), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.get_template("page.html.j2").render(
        title=key.title,
        study=key.study,
        commitment=key.commitment,
        items=key.items,
        pairs=sum(len(item.images) == 2 for item in key.items),
        singles=sum(len(item.images) == 1 for item in key.items),
        scales=SCALES,
        policy=policy(script, style),
        style=Markup(style),  # noqa: S704 - our own files
        script=Markup(script),  # noqa: S704
        data=Markup(json_text(key, pixels)),  # noqa: S704 - nothing in it can end the element
    )


def json_text(key: Key, pixels: Mapping[str, Pixels]) -> str:
    """What the page may know: names of items and images and their pixels, nothing of what they are."""
    items = [
        {"item": item.item, "images": [{"image": one.image, "src": png_address(pixels[one.image])} for one in item.images]} for item in key.items
    ]
    content = {"format": FORMAT, "study": key.study, "commitment": key.commitment, "items": items}
    return json.dumps(content).replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def png_address(plane: Pixels) -> str:
    """A grey PNG without metadata, as an address that holds it."""
    from PIL import Image

    stream = io.BytesIO()
    Image.fromarray(plane).save(stream, format="PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(stream.getvalue()).decode()


def policy(script: str, style: str) -> str:
    """Nothing but these two texts and images that the page holds."""
    return f"default-src 'none'; img-src data:; script-src '{_digest(script)}'; style-src '{_digest(style)}'; base-uri 'none'; form-action 'none'"


def _digest(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def asset(name: str) -> str:
    return files("medrobust.reader_study").joinpath("page", name).read_text(encoding="utf-8")
