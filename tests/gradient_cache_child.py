"""One of two processes that share a batch in chunks: `gradient_cache_child.py OUT`."""

import sys
from functools import partial
from pathlib import Path
from typing import Any

#: Rows of each process, and rows of a chunk.
ROWS, CHUNK = (5, 3), 2


class Noisy:
    """Two small encoders that draw random numbers, as masking does, and a learned temperature."""

    def __init__(self, noise: bool = True) -> None:
        import torch

        torch.manual_seed(0)
        self.noise = noise
        self.videos = torch.nn.Sequential(torch.nn.Linear(6, 16), torch.nn.Tanh(), torch.nn.Linear(16, 4)).double()
        self.texts = torch.nn.Linear(7, 4).double()
        self.log_scale = torch.nn.Parameter(torch.tensor(1.5, dtype=torch.float64))
        self.x, self.y = torch.randn(sum(ROWS), 6).double(), torch.randn(sum(ROWS), 7).double()

    @property
    def weights(self) -> list[Any]:
        return [*self.videos.parameters(), *self.texts.parameters(), self.log_scale]

    def clip(self, x: Any) -> dict[str, Any]:
        import torch

        kept = (torch.rand_like(x) > 0.3) if self.noise else torch.ones_like(x)
        pooled = self.videos(x * kept)
        return {"pooled": pooled, "frames": torch.stack([pooled, pooled.square()], 1)}

    def text(self, y: Any) -> dict[str, Any]:
        return {"pooled": self.texts(y)}


def loss_of(model: Noisy, clips: Any, texts: Any, gather: Any) -> Any:
    """A contrastive loss and one of single rows, in double precision."""
    import torch

    v, t = (torch.nn.functional.normalize(gather(e["pooled"]), dim=-1) for e in (clips, texts))
    logits, right = model.log_scale.exp() * v @ t.T, torch.arange(len(v))
    contrast = torch.nn.functional.cross_entropy(logits, right) + torch.nn.functional.cross_entropy(logits.T, right)
    return contrast, clips["frames"].square().mean((1, 2)).sum()


def grads(model: Noisy, x: Any, y: Any, chunk: int, processes: Any) -> dict[str, Any]:
    """The loss and the gradients of a batch in chunks."""
    import torch

    from whenwhere.training.pretrain.gradient_cache import GradientCache

    cache = GradientCache(torch.device("cpu"))
    clips = cache.embed([partial(model.clip, part) for part in x.split(chunk)])
    texts = cache.embed([partial(model.text, part) for part in y.split(chunk)])
    contrast, single = loss_of(model, clips, texts, processes.all_gather)
    (contrast / processes.count + single / sum(ROWS)).backward()
    cache.backward()
    processes.add_up(model.weights)
    return {"loss": contrast.item(), "grads": [weight.grad for weight in model.weights]}


def main(out: str) -> None:
    import torch

    from whenwhere.training.processes import Processes

    torch.set_num_threads(1)
    processes = Processes()
    model = Noisy(noise=False)
    x, y = (rows.split(ROWS)[processes.rank] for rows in (model.x, model.y))
    found = grads(model, x, y, CHUNK, processes)
    if processes.first:
        torch.save(found, Path(out))
    processes.wait()


if __name__ == "__main__":
    main(*sys.argv[1:])
