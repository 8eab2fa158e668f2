"""The weather tutorial: folders of images, one for each class, become a versioned dataset.

    python weather.py [FOLDER]

FOLDER holds a folder of images for each kind of weather. Without it, a few are painted.
"""

import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

import hubzarr as hub


@hub.compute
def file_to_hub(file_name: str, sample_out: Any, class_names: list[str]) -> Any:
    # The name of the folder is the name of the class.
    label_text = os.path.basename(os.path.dirname(file_name))
    label_num = class_names.index(label_text)
    sample_out.labels.append(np.uint32(label_num))
    sample_out.images.append(hub.read(file_name))
    return sample_out


def main(folder: str) -> None:
    class_names = sorted(os.listdir(folder))
    files = [
        os.path.join(folder, name, file)
        for name in class_names
        for file in sorted(os.listdir(os.path.join(folder, name)))
    ]

    if hub.exists("hub://user/weather"):
        hub.delete("hub://user/weather")
    ds = hub.dataset("hub://user/weather")
    with ds:
        ds.create_tensor("images", htype="image", sample_compression="png")
        ds.create_tensor("labels", htype="class_label", class_names=class_names)
        ds.info.update(description="Kinds of weather", source=os.path.basename(folder))

    with ds:
        report = file_to_hub(class_names=class_names).eval(files, ds, num_workers=2)
    print(f"{report.rows} rows from {report.inputs} files")
    ds.summary()

    image = Image.fromarray(ds["images"][0].numpy())
    print("first image:", image.size, image.mode)
    print("classes:", ds["labels"].info.class_names)
    label = ds.labels[0].numpy()
    print("first label:", label, ds["labels"].info.class_names[int(label)])

    ds.labels.info.class_names = [name.lower() for name in class_names]
    ds.commit("Class names added")
    for commit in ds.log():
        print(commit.number, commit.message)

    ds.checkout("dev", create=True)
    ds.labels[0] = class_names[-1].lower()
    ds.commit("First label corrected")
    print("branches:", ds.branches)
    print("commits:", [commit["message"] for commit in ds.commits])
    ds.checkout("main")
    print("label on main:", ds.labels[0].text(), "- and on dev:", end=" ")
    ds.checkout("dev")
    print(ds.labels[0].text())


def painted(folder: str) -> str:
    """Paint skies of different sizes, as JPEG and PNG, in colour and in grey."""
    rng = np.random.default_rng(0)
    skies = {"Cloudy": (150, 150, 160), "Rain": (80, 90, 110), "Shine": (90, 160, 250),
             "Sunrise": (250, 150, 90)}  # fmt: skip
    for name, colour in skies.items():
        Path(folder, name).mkdir(parents=True)
        for i in range(5):
            height, width = rng.integers(60, 120, 2)
            light = np.linspace(1, 0.4, height)[:, None, None]
            pixels = light * np.array(colour) + rng.normal(0, 5, (height, width, 3))
            image = Image.fromarray(pixels.clip(0, 255).astype("uint8"))
            if i == 3:
                image = image.convert("L")
            image.save(Path(folder, name, f"{name.lower()}{i}.{'png' if i == 4 else 'jpg'}"))
    return folder


if __name__ == "__main__":
    if len(sys.argv) > 1:
        main(sys.argv[1])
    else:
        with tempfile.TemporaryDirectory() as temporary:
            main(painted(os.path.join(temporary, "weather")))
