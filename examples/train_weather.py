"""Train a small network on a dataset of weather images, and go on after a kill.

    python train_weather.py [--data FOLDER] [--epochs N] [--device cpu|cuda|auto] [--resume]

FOLDER holds a folder of images for each kind of weather; without it, some skies are drawn. Kill the
script whenever you like: with --resume it goes on from its last checkpoint, in the middle of an
epoch; on a processor it ends with the very numbers that it would have had.
"""

import argparse
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFilter
from torch import nn

import hubzarr as hub

SIZE = 64


def opened(folder: str | None, count: int) -> Any:
    """The dataset. The first run makes it, or goes on where an earlier one was killed."""
    if folder is not None:
        name = Path(folder).resolve().name.lower()
        return hub.ingest(folder, f"user/{name}-train", progressbar=False)
    name = f"user/drawn-weather-{count}"
    if hub.exists(name) and len(hub.load(name)) == 4 * count:
        return hub.load(name)
    with tempfile.TemporaryDirectory() as temporary:
        draw_skies(Path(temporary), count)
        return hub.ingest(temporary, name, overwrite=True, progressbar=False)


def small(image: np.ndarray) -> np.ndarray:
    """Images come in all sizes, some of them grey: make them equal. Threads call this."""
    picture = Image.fromarray(image.squeeze()).convert("RGB")
    return np.asarray(picture.resize((SIZE, SIZE)))


def draw_skies(folder: Path, count: int) -> None:
    """Skies whose colours overlap, so that shapes matter."""
    rng = np.random.default_rng(0)
    for kind in ("cloudy", "rain", "shine", "sunrise"):
        (folder / kind).mkdir()
        for i in range(count):
            width, height = (int(n) for n in rng.integers(70, 110, 2))
            top, bottom = rng.integers(60, 200, (2, 3))
            fade = np.linspace(0, 1, height)[:, None, None]
            pixels = top * (1 - fade) + bottom * fade + rng.normal(0, 12, (height, width, 3))
            sky = Image.fromarray(pixels.clip(0, 255).astype("uint8"))
            draw = ImageDraw.Draw(sky)
            for _ in range({"cloudy": 9, "rain": 50}.get(kind, 1)):
                x, y = rng.uniform(0, width), rng.uniform(0, height)
                light = tuple(rng.integers(170, 255, 3).tolist())
                if kind == "rain":
                    draw.line((x, y, x - 3, y + 14), light)
                elif kind == "cloudy":
                    draw.ellipse((x - 20, y - 8, x + 20, y + 8), light)
                else:  # the sun, high in the sky or half below the horizon
                    y = height * (0.25 if kind == "shine" else 0.85)
                    draw.circle((x, y), 16, light)
                    if kind == "sunrise":
                        draw.rectangle((0, y, width, height), tuple(bottom.tolist()))
            sky.filter(ImageFilter.GaussianBlur(1)).save(folder / kind / f"{i}.jpg")


def network(classes: int) -> nn.Module:
    layers: list[nn.Module] = []
    for before, after in ((3, 16), (16, 32), (32, 64), (64, 64)):
        convolution = nn.Conv2d(before, after, 3, padding=1)
        layers += [convolution, nn.BatchNorm2d(after), nn.ReLU(), nn.MaxPool2d(2)]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(64 * (SIZE // 16) ** 2, classes))


def pixels_of(batch: dict[str, Any]) -> torch.Tensor:
    """Bytes go to the GPU, four times fewer than floats, and become numbers there."""
    return batch["images"].permute(0, 3, 1, 2).float() / 127.5 - 1


def accuracy(model: nn.Module, loader: Any) -> float:
    model.eval()
    with torch.inference_mode():
        right = [(model(pixels_of(b)).argmax(1) == b["labels"]).float() for b in loader]
    return float(torch.cat(right).mean())


class Training:
    """All that changes while it trains, and so all that a checkpoint holds."""

    def __init__(self, rows: Any, classes: int, device: str) -> None:
        torch.manual_seed(0)
        self.model = network(classes).to(device)
        self.optimizer = torch.optim.AdamW(self.model.parameters(), weight_decay=0.05)
        self.loader = rows.pytorch(
            32, shuffle=True, transform={"images": small}, return_index=True, device=device
        )
        self.seen: list[int] = []  # rows of this epoch, to prove that none is lost or doubled
        self.losses: list[float] = []

    def step(self, batch: dict[str, Any]) -> None:
        self.model.train()
        pixels = pixels_of(batch)
        if torch.rand(()) < 0.5:
            pixels = pixels.flip(3)
        loss = nn.functional.cross_entropy(self.model(pixels), batch["labels"])
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        self.seen += batch["index"].tolist()
        self.losses.append(loss.item())

    def save(self, path: Path) -> None:
        """One file, which is there as a whole or not at all."""
        state = {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "loader": self.loader.state_dict(),  # which samples have been used: a few numbers
            "random": torch.get_rng_state(),
            "seen": self.seen,
            "losses": self.losses,
        }
        torch.save(state, f"{path}.new")
        os.replace(f"{path}.new", path)

    def restore(self, path: Path, device: str) -> None:
        state = torch.load(path, map_location=device)
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.loader.load_state_dict(state["loader"])
        torch.set_rng_state(state["random"].cpu())
        self.seen, self.losses = state["seen"], state["losses"]


def train(args: argparse.Namespace, device: str) -> None:
    ds = opened(args.data, args.images)
    rows, held_out = ds.random_split([0.8, 0.2], seed=0)
    classes = ds.labels.info.class_names
    training = Training(rows, len(classes), device)
    test = held_out.pytorch(64, transform={"images": small}, device=device)
    if args.resume and args.checkpoint.exists():
        training.restore(args.checkpoint, device)
        print(f"goes on in epoch {training.loader.epoch} after {len(training.seen)} samples of it")
    print(f"{len(rows)} images of {', '.join(classes)} on {device}; {len(held_out)} to test")

    loader = training.loader
    while loader.epoch < args.epochs:
        epoch = loader.epoch
        for group in training.optimizer.param_groups:
            group["lr"] = 2e-3 * (1 - epoch / args.epochs)
        for number, batch in enumerate(loader):
            training.step(batch)
            if number % args.every == 0:
                training.save(args.checkpoint)
        loss, right = np.mean(training.losses), accuracy(training.model, test)
        once = "each once" if sorted(training.seen) == sorted(rows.sample_indices) else "NOT ONCE"
        seen = f"{len(training.seen)} images, {once}"
        print(f"epoch {epoch}: loss {loss:.3f}, accuracy {right:.1%}; {seen}", flush=True)
        training.seen, training.losses = [], []
        training.save(args.checkpoint)


def device_of(wanted: str) -> str:
    """The device, with a word on why it is not a GPU."""
    if wanted == "cpu" or torch.cuda.is_available():
        return "cuda" if wanted == "auto" else wanted
    why = "this PyTorch is built without CUDA" if torch.version.cuda is None else "no GPU is found"
    if wanted == "cuda":
        sys.exit(f"--device cuda: {why}")
    print(f"{why}: training on the processor")
    return "cpu"


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Train a small network on weather images")
    parser.add_argument("--data", help="folder of class folders; otherwise skies are drawn")
    parser.add_argument("--images", type=int, default=100, help="skies to draw of each kind")
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    parser.add_argument("--checkpoint", type=Path, default=Path("weather.pt"))
    parser.add_argument("--every", type=int, default=5, help="steps between checkpoints")
    parser.add_argument("--resume", action="store_true", help="go on from the checkpoint")
    args = parser.parse_args(arguments)
    train(args, device_of(args.device))


if __name__ == "__main__":
    main()
