"""summary_resnext.txt: torchinfo's table, default columns, of the review's ResNeXt for input [2, 3, 224, 224] to depth 3."""

from __future__ import annotations

from golden_file import write_text
from networks import ResNeXt

EXPECTED = (
    "Total params: 25,032,808",
    "Total mult-adds (G): 2.44",
    "Input size (MB): 1.20",
    "Forward/backward pass size (MB): 145.72",
    "Params size (MB): 100.13",
    "Estimated Total Size (MB): 247.05",
)


def make() -> None:
    import torchinfo  # only this part needs it

    text = str(torchinfo.summary(ResNeXt(), (2, 3, 224, 224), depth=3, device="cpu", verbose=0))
    text = text.replace("Units.GIGABYTES", "G")  # Python 3.11 formats torchinfo's enum by its name
    for line in EXPECTED:
        assert line in text, f"no '{line}' in:\n{text}"
    write_text("summary_resnext.txt", text + "\n")
