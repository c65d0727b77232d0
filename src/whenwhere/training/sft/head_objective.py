"""Supervised fine-tuning of any output head (`sft.head`), clip by clip.

The text head has a faster objective of its own (`sft.objective`), which packs several clips into one row and prepares
them in advance. This one needs only the loss of a head, so that a start/end head is trained, resumed and run in several
processes by the same loop as everything else. The loss of an update is the mean over its questions.
"""

from functools import cached_property

from whenwhere.answers import ParsedAnswer
from whenwhere.errors import SettingError, WhenwhereError
from whenwhere.training.data.mix import source_counts
from whenwhere.training.data.reader import SampleReader
from whenwhere.training.data.samples import Sample, SampleSource
from whenwhere.training.epochs import in_updates
from whenwhere.training.objective import Outcome
from whenwhere.training.prefix.objective import PolicyObjective
from whenwhere.training.prefix.policy import Policy
from whenwhere.training.processes import Processes
from whenwhere.training.run_folder import RunFolder
from whenwhere.training.sft.head import OutputHead
from whenwhere.training.sft.settings import SFTSettings
from whenwhere.verify import Verifier


class HeadObjective(PolicyObjective[SFTSettings]):
    """Trains an output head together with its policy (`training.objective.Objective`).

    Args:
        policy: A policy of a checkpoint that the head has prepared.
        source: The samples.
        settings: The settings of the run.
        head: The head to train.

    Raises:
        SettingError: The source is empty.
    """

    def __init__(self, policy: Policy, source: SampleSource, settings: SFTSettings, head: OutputHead) -> None:
        per_update = settings.samples_per_step * Processes().count
        super().__init__(policy, source, in_updates(settings, len(source), per_update))
        self.head = head
        self._checked = False

    @cached_property
    def _reader(self) -> SampleReader[Sample]:
        return self.reader(lambda sample: sample, lambda sample: sample.held_bytes)

    def close(self) -> None:
        """Ends the processes that read samples."""
        if "_reader" in self.__dict__:
            self._reader.close()

    def shard(self, processes: Processes) -> None:
        """Refuses: heads compute clip by clip, a number of passes that differs between processes."""
        raise SettingError("only the output head `text` can be sharded: set sharding=none")

    def step(self, number: int, run: RunFolder) -> Outcome:
        """Computes the gradients of one update.

        Args:
            number: Number of the update, from 0.
            run: The run, for skipping samples.

        Raises:
            ModelError: The head cannot be trained.
            SettingError: No sample of a whole epoch could be used.
        """
        if not self._checked:
            self.head.check(self.policy)
            self._checked = True
        each, settings = self.settings.samples_per_step, self.settings
        first = (number * run.processes.count + run.processes.rank) * each
        loss, questions, used = 0.0, 0, list[Sample]()
        for position in range(first, first + each):
            name = f"sample {position}"
            rest = range(position + 1, first + each) if settings.dataloader_num_workers else ()
            try:
                sample = self._reader.get(position, number / settings.max_steps, rest)
                # refuses longer ones
                prompt, _ = self.policy.prompts(sample, sample.questions, settings.max_prompt_length)
                if self.policy.features is not None:
                    # kept here, and found by the head
                    self.policy.frozen_features(sample, prompt)
                found = self.head.loss(self.policy, sample) * len(sample.questions)
            except WhenwhereError as e:
                run.skip(name, e)
                self.unused.note(name, e)
                continue
            found.backward()
            loss += float(found.detach())
            questions += len(sample.questions)
            used.append(sample)
        self.warn_of_caches(self._reader, run)
        loss_sum, total = run.processes.sum([loss, questions])
        self.unused.update(total, each * run.processes.count)
        clips = len(used)
        counts: dict[str, float] = {"clips": clips, "sentences": questions, "skipped": each - clips}
        counts |= source_counts(self.source, used)
        if not total:
            return Outcome({}, counts, clips, empty=True)
        for weight in self.policy.model.parameters():
            if weight.grad is not None:
                weight.grad /= total
        return Outcome({"loss": loss_sum / total}, counts, clips)

    def least_risk_answers(
        self, sample: Sample, max_tokens: int, draws: int, temperature: float, verifier: Verifier
    ) -> list[ParsedAnswer]:
        """Refuses: a head decodes one answer."""
        raise SettingError("only the output head `text` draws several answers: set draws = 0 in [[evaluators]]")

    def answers(self, sample: Sample, max_tokens: int) -> list[ParsedAnswer]:
        """The head's answer to each question of a clip, for evaluators.

        Args:
            sample: The clip and its questions.
            max_tokens: Not used: a head knows how long its answers are.
        """
        with self.policy.autocast():
            found = self.head.decode(self.policy, sample)
        truths = [self.policy.truth(sample, question) for question in sample.questions]
        return [
            answer if truth.size is None else answer.displayed(truth.size, truth.shown)
            for answer, truth in zip(found, truths, strict=True)
        ]
