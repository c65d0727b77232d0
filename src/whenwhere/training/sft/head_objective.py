"""Supervised fine-tuning of any output head (`sft.heads`), clip by clip.

The text head has a faster stage of its own (`sft.objective`: clips side by side, prepared ahead). This one asks nothing
of a head but its loss, so that a start/end head is trained by the same loop, resumed and run in several processes as
everything else is. The loss of an update is the mean over its questions.
"""

from pathlib import Path
from typing import Any

from whenwhere.errors import SettingError, WhenwhereError
from whenwhere.training.data.samples import SampleSource, sample_at
from whenwhere.training.objective import Outcome
from whenwhere.training.prefix.policy import Policy
from whenwhere.training.run_folder import RunFolder
from whenwhere.training.sft.heads import Head
from whenwhere.training.sft.settings import SFTSettings


class HeadStage:
    """The stage (`training.objective.Objective`).

    Args:
        policy: made of a checkpoint that the head has prepared.
        source: of samples.
        settings: of the run.
        head: that learns, with the policy.
    """

    def __init__(self, policy: Policy, source: SampleSource, settings: SFTSettings, head: Head) -> None:
        if not len(source):
            raise SettingError("there is nothing to learn from: the source is empty")
        self.policy, self.source, self.settings, self.head = policy, source, settings, head
        self._wasted, self._checked = 0, False
        self._last: WhenwhereError | None = None

    @property
    def module(self) -> Any:
        """The model, wrapped where LoRA wraps it."""
        return self.policy.model

    @property
    def device(self) -> Any:
        """The device that the model is on."""
        return self.policy.parts.device

    def prepare(self) -> None:
        """Makes the policy ready to be trained."""
        self.policy.prepare(self.settings)

    def step(self, number: int, run: RunFolder) -> Outcome:
        """Gradients of one update."""
        if not self._checked:
            self.head.check(self.policy)
            self._checked = True
        each, settings = self.settings.samples_per_step, self.settings
        first = (number * run.processes.count + run.processes.rank) * each
        loss, questions, clips = 0.0, 0, 0
        for place in range(first, first + each):
            try:
                sample = sample_at(self.source, place, number / settings.max_steps, settings.seed)
                found = self.head.loss(self.policy, sample) * len(sample.questions)
            except WhenwhereError as e:
                run.skip(f"sample {place}", e)
                self._last = e
                continue
            found.backward()
            loss += float(found.detach())
            questions, clips = questions + len(sample.questions), clips + 1
        every, total = run.processes.sum([loss, questions])
        self._wasted = 0 if total else self._wasted + each * run.processes.count
        if self._wasted >= len(self.source):
            raise SettingError(
                f"none of the last {self._wasted} samples could be used, the last one for this reason: "
                f"{self._last or 'see skipped.jsonl'}"
            )
        counts: dict[str, float] = {"clips": clips, "sentences": questions, "skipped": each - clips}
        if not total:
            return Outcome({}, counts, clips, empty=True)
        for weight in self.policy.model.parameters():
            if weight.grad is not None:
                weight.grad /= total
        return Outcome({"loss": every / total}, counts, clips)

    def state(self) -> dict[str, Any]:
        """Samples in a row that could not be used."""
        return {"wasted": self._wasted}

    def restore(self, state: dict[str, Any]) -> None:
        """Takes it back."""
        self._wasted = state["wasted"]

    def save(self, folder: Path, about: dict[str, Any]) -> None:
        """Writes the policy as a checkpoint that `from_pretrained` reads."""
        self.policy.save(folder, about)

    def close(self) -> None:
        """Nothing is to be ended."""
