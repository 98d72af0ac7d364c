"""Trains S1: phones to semantic tokens by teacher forcing, its attention shown the way.

The loss is the cross entropy summed over tokens and end tokens, as in the official trainer: every
token counts the same, in whatever batch it is. The sum is divided by a constant, the tokens that a
batch has on average (`TOKENS_A_SENTENCE` a sentence), and not by the batch's own number, which
would be a mean. A constant does not matter to AdamW, but keeps the losses, the norm at which
gradients are cut, and the weights of the other losses at the size that they have for a mean.

A few hours of speech are little for a transformer to find out by itself that text is read from left
to right. Where it is known when each phone is spoken, a head of one layer is asked to look at
the phone that comes next (a guided attention as in H. Tachibana et al. (2017), but with known
positions); all other heads are free. Random spans of words are cut from the sentences, so that a
model never learns a whole sentence by heart.

What S1 continues when it speaks are its own tokens, mistakes and all, and not a recording's. So
some of the tokens that it is given are replaced by its own guesses for their places, drawn in a
first pass over the same batch: scheduled sampling (S. Bengio et al., 2015) in two passes (T.
Mihaylova and A. F. T. Martins, 2019).
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

import numpy as np
import soundfile
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from configs.errors import UsageError, UserError
from configs.training import SemanticStage
from model.checkpoint import VoiceModel
from model.decode import Sentence, decode, token_bound
from model.engine import REPEATED_TOKENS, TOKENS_PER_PHONE, Engine
from model.recogniser import PHONES
from model.s1 import S1Config, Text2SemanticDecoder
from model.s1_losses import damaged, dpo_loss, log_likelihood, targets
from model.sampling import Sampling
from model.speaking import Request, Sample
from model.text import phone_ids, speak_text, with_end
from model.text.bert import ChineseBert, bert_features, load_bert
from model.training import corpus as corpora
from model.training.alignment import MARKS, Timed, frame_labels
from model.training.corpus import Clip, Corpus, OnDone, stored_arrays
from model.training.data import Data, Mixture
from model.training.loop import Compute, Run, Stream, step_seed
from model.training.speech import Speech
from model.training.tokens import (
    BUILT_IN,
    TOKENS_PER_SECOND,
    find_model,
    find_tokeniser,
    of_model,
    stored_tokens,
)

TOKENS_A_SENTENCE = 100
"""A sentence's tokens on average, by which the summed loss is divided."""
SHORTEST, LONGEST = 6, 400
"""Tokens of what is trained on."""
JUDGED = 96
"""Held-out sentences that are judged at most."""
RARE_TOKEN = 20
"""Frames at which what is known of a token and what is usual weigh the same."""
SAMPLING = Sampling(top_k=1, temperature=0.3)


@dataclass(frozen=True)
class Example:
    """A sentence: its phones, tokens (T,), and BERT features (bert, phones) where there are some.
    Where it is not `timed`, the times of the phones mean nothing."""

    phones: tuple[Timed, ...]
    tokens: np.ndarray
    timed: bool = True
    bert: Tensor | None = None


@dataclass(frozen=True)
class Batch:
    """Right-padded tensors of sentences; `spoken` (batch, T + 1) is the index of the phone that
    each target, the end included, belongs to, -100 where that is unknown."""

    phones: Tensor
    phone_lengths: Tensor
    tokens: Tensor
    token_lengths: Tensor
    spoken: Tensor
    bert: Tensor | None

    def to(self, device: torch.device) -> Batch:
        moved = {
            field.name: None if value is None else value.to(device)
            for field in fields(self)
            for value in [getattr(self, field.name)]
        }
        return Batch(**moved)  # type: ignore[arg-type]


def cut(example: Example, draw: np.random.Generator) -> Example:
    """A random span of whole words, three at least, with its tokens; cut between phones."""
    words = sorted({item.word for item in example.phones if item.word >= 0})
    if len(words) < 5 or not example.timed:
        return example
    first = words[int(draw.integers(0, len(words) - 3))]
    last = words[int(draw.integers(words.index(first) + 2, len(words)))]
    chosen = [i for i, item in enumerate(example.phones) if first <= item.word <= last]
    phones = list(example.phones[chosen[0] : chosen[-1] + 1])
    start = 0.0 if first == words[0] else phones[0].start
    end = len(example.tokens) / TOKENS_PER_SECOND if last == words[-1] else phones[-1].end
    if last == words[-1]:
        phones += example.phones[chosen[-1] + 1 :]
    elif chosen[-1] + 1 < len(example.phones) and example.phones[chosen[-1] + 1].phone in MARKS:
        pause = example.phones[chosen[-1] + 1]
        end = pause.end
        phones.append(
            Timed(
                with_end((pause.phone,))[-1] if pause.phone in ".?!" else ",", pause.start, end, -1
            )
        )
    a, b = round(start * TOKENS_PER_SECOND), round(end * TOKENS_PER_SECOND)
    moved = tuple(Timed(p.phone, p.start - start, p.end - start, p.word) for p in phones)
    return Example(moved, example.tokens[a:b])


def join(first: Example, second: Example) -> Example:
    """Two sentences as one: books have full stops inside a line, the corpus hardly."""
    shift = len(first.tokens) / TOKENS_PER_SECOND
    words = 1 + max(item.word for item in first.phones)
    moved = tuple(
        Timed(p.phone, p.start + shift, p.end + shift, p.word + words if p.word >= 0 else -1)
        for p in second.phones
    )
    tokens = np.concatenate([first.tokens, second.tokens])
    return Example(first.phones + moved, tokens)


def collate(examples: Sequence[Example], end: int) -> Batch:
    """Right-padded tensors; tokens are padded with the end token."""
    size = len(examples)
    text = max(len(e.phones) for e in examples)
    time = max(len(e.tokens) for e in examples)
    phones = torch.zeros(size, text, dtype=torch.long)
    tokens = torch.full((size, time), end)
    spoken = torch.full((size, time + 1), -100)
    width = next((len(e.bert) for e in examples if e.bert is not None), 0)
    bert = torch.zeros(size, width, text) if width else None
    for row, example in enumerate(examples):
        phones[row, : len(example.phones)] = torch.tensor(
            phone_ids([p.phone for p in example.phones])
        )
        tokens[row, : len(example.tokens)] = torch.from_numpy(example.tokens.astype(np.int64))
        if bert is not None and example.bert is not None:
            bert[row, :, : len(example.phones)] = example.bert
        if not example.timed:
            continue
        ends = np.array([p.end for p in example.phones])
        middles = (np.arange(len(example.tokens)) + 0.5) / TOKENS_PER_SECOND
        at = np.searchsorted(ends, middles).clip(max=len(ends) - 1)
        spoken[row, : len(example.tokens)] = torch.from_numpy(at)
        spoken[row, len(example.tokens)] = len(ends) - 1
    lengths = torch.tensor([len(e.phones) for e in examples])
    token_lengths = torch.tensor([len(e.tokens) for e in examples])
    return Batch(phones, lengths, tokens, token_lengths, spoken, bert)


def grouped(pool: list[Example], size: int) -> list[list[Example]]:
    """Sentences of similar length together: `size` average ones, fewer where they are long."""
    pool = sorted(pool, key=lambda e: len(e.tokens))
    groups: list[list[Example]] = []
    group: list[Example] = []
    most = 0
    for example in pool:
        length = len(example.tokens) + len(example.phones)
        if group and (len(group) + 1) * max(most, length) > size * 2 * TOKENS_A_SENTENCE:
            groups.append(group)
            group, most = [], 0
        group.append(example)
        most = max(most, length)
    groups.append(group)
    return groups


@dataclass(frozen=True)
class Losses:
    """Sums over a batch: the cross entropy of tokens and ends (`entropy`), the negative log
    attention of the guided heads (`guide`, the mean over heads), the right tokens; how many targets
    there are in all (`count`) and how many with a known phone (`known`)."""

    entropy: Tensor
    guide: Tensor
    right: Tensor
    count: Tensor
    known: Tensor
    logits: Tensor


def sounds_of_codes(examples: Sequence[Example], codes: int) -> Tensor:
    """How often each token is each of the recogniser's classes, as probabilities (codes, classes)
    given the token; of rare tokens, closer to how often the classes are at all."""
    counts = np.zeros((codes, len(PHONES)))
    for example in examples:
        labels = frame_labels(list(example.phones), 2 * len(example.tokens))
        np.add.at(counts, (example.tokens.repeat(2), labels), 1)
    usual = RARE_TOKEN * counts.sum(0) / counts.sum()
    smooth = (counts + usual) / (counts.sum(1, keepdims=True) + RARE_TOKEN)
    return torch.from_numpy(smooth).float()


def with_guesses(logits: Tensor, batch: Batch, most: float, draw: torch.Generator) -> Tensor:
    """The batch's tokens (B, T) with some replaced by draws from the logits (B, T + 1, codes + 1).

    In half of the rows none are, in the others a share between none and `most`, each row its own;
    the end is never drawn.
    """
    rows, time = batch.tokens.shape
    chances = logits[:, :time, :-1].float().softmax(2).flatten(0, 1).cpu()
    guesses = torch.multinomial(chances, 1, generator=draw).view(rows, time)
    share = torch.rand(rows, 1, generator=draw) * most
    share = torch.where(torch.rand(rows, 1, generator=draw) < 0.5, 0.0, share)
    replaced = torch.rand(rows, time, generator=draw) < share
    device = batch.tokens.device
    return torch.where(replaced.to(device), guesses.to(device), batch.tokens)


def losses(
    model: Text2SemanticDecoder,
    batch: Batch,
    guided: tuple[int, int],
    given: Tensor | None = None,
) -> Losses:
    """Teacher forcing; `guided` is the layer and the number of its guided heads, `given` (B, T) is
    what S1 continues where that is not the batch's tokens."""
    logits, attention = model(
        batch.phones,
        batch.phone_lengths,
        batch.tokens if given is None else given,
        batch.token_lengths,
        batch.bert,
        guided=guided,
    )
    wanted = targets(batch.tokens, batch.token_lengths, model.config.end)
    counted = wanted >= 0
    flat = logits.float().flatten(0, 1)
    entropy = F.cross_entropy(flat, wanted.flatten(), ignore_index=-100, reduction="sum")
    assert attention is not None
    known = (batch.spoken >= 0) & counted
    spoken = batch.spoken.clamp(min=0)[:, None, :, None].expand(-1, guided[1], -1, 1)
    at_phone = attention.gather(3, spoken)[..., 0]
    return Losses(
        entropy=entropy,
        guide=-torch.where(known[:, None], at_phone, 0.0).sum() / guided[1],
        right=((logits.argmax(2) == wanted) & counted).sum(),
        count=counted.sum(),
        known=known.sum(),
        logits=logits,
    )


def rejected(batch: Batch, end: int, draw: torch.Generator) -> Batch:
    """The same texts with damaged tokens; nothing is known of what is spoken when."""
    tokens, lengths = damaged(batch.tokens.cpu(), batch.token_lengths.cpu(), end, draw)
    spoken = torch.full((len(tokens), tokens.shape[1] + 1), -100)
    return Batch(batch.phones, batch.phone_lengths, tokens, lengths, spoken, batch.bert).to(
        batch.phones.device
    )


def stored_guesses(
    s1: Text2SemanticDecoder,
    name: str,
    corpus: Corpus,
    tokens: Mapping[int, np.ndarray],
    speech: Mapping[int, Speech],
    on_done: OnDone,
) -> dict[int, np.ndarray]:
    """What S1 takes for likeliest after the true tokens before it, for each token of the clips with
    timed phones, by the clips' index; made once. `name` tells the weights apart."""
    s1 = s1.eval()

    @torch.inference_mode()
    def make(number: int) -> np.ndarray:
        index = corpus.clips[number].index
        said, true = speech.get(index), tokens[index]
        if said is None or not said.timed or not SHORTEST <= len(true) <= LONGEST:
            return np.zeros(0, np.int16)
        batch = collate([Example(said.phones, true)], s1.config.end)
        logits, _ = s1(batch.phones, batch.phone_lengths, batch.tokens, batch.token_lengths)
        return logits[0, :-1, :-1].argmax(1).numpy().astype(np.int16)

    with corpora.locked(corpus.folder):
        arrays = stored_arrays(
            corpus.folder / f"guesses-{name}.i16",
            np.int16,
            1,
            len(corpus.clips),
            make,
            lambda done: on_done("guesses", done, len(corpus.clips)),
        )
    made = {clip.index: arrays[i] for i, clip in enumerate(corpus.clips)}
    return {index: array for index, array in made.items() if len(array)}


class SemanticTrainer:
    """S1; see `Trainer`."""

    def __init__(self, config: SemanticStage, data: Data, compute: Compute, out: Path) -> None:
        self.config, self.compute = config, compute
        started = find_model(config.start) if config.start else None
        if started is not None:
            self.tokeniser = of_model(started)
        else:
            self.tokeniser = find_tokeniser(config.recogniser, out)
        if started is None:
            shape = S1Config(codes=self.tokeniser.codes, **config.sizes.model_dump())
        else:
            shape = replace(started.s1.config, dropout=config.sizes.dropout)
        if config.guided_layer >= shape.layers or config.guided_heads > shape.heads:
            raise UsageError("guided_layer and guided_heads must be within the layers and heads")
        self.guided = config.guided_layer, config.guided_heads
        bert = load_bert(Path(config.bert)) if config.bert else None
        if bert is not None and bert.width != shape.bert:
            raise UsageError(f"sizes.bert is {shape.bert}, but {config.bert} makes {bert.width}")
        self.training, self.held_out, self.shown = self._examples(data, bert)
        timed = [one for some in self.training.sets for one in some if one.timed]
        heads = config.guided_heads if config.guide and timed else 0
        shape = replace(shape, guided_layer=config.guided_layer, guided_heads=heads)
        self.s1 = Text2SemanticDecoder(shape)
        if started is not None:
            known = self.s1.state_dict()
            begun = started.s1.state_dict().items()
            self.s1.load_state_dict(known | {k: v for k, v in begun if k in known})
        if shape.held:
            self.s1.sounds_of_codes.copy_(sounds_of_codes(timed, shape.codes))
        self.judged = grouped(self.held_out, config.batch)
        # what samples are spoken by, where it knows the tokens
        voice = started or find_model(BUILT_IN)
        self.voice = voice if of_model(voice).hash == self.tokeniser.hash else None
        self.s1.to(compute.device)
        self.tokens, self.sizes = self.tokeniser.hash, asdict(self.s1.config)
        self.modules: dict[str, nn.Module] = {"s1": self.s1}
        self.stream = Stream(self._pool, config.seed)
        self.reference = None
        if config.dpo.weight and config.dpo.reference == "start":
            if started is None:
                raise UsageError("dpo.reference: start needs weights to start from: give from")
            self.reference = copy.deepcopy(self.s1).eval().requires_grad_(False)

    def step(self, run: Run) -> dict[str, float]:
        batch = next(self.stream).to(self.compute.device)
        given = self._given(batch, run.step)
        with self.compute.autocast():
            found = losses(self.s1, batch, self.guided, given)
        scale = self.config.batch * TOKENS_A_SENTENCE
        loss = found.entropy + self.config.guide * found.guide
        log = {
            "entropy": (found.entropy / found.count).item(),
            "right": (found.right / found.count).item(),
        }
        if found.known:
            log["guide"] = (found.guide / found.known).item()
        if self.config.dpo.weight:
            preference = self._preference(batch, found, run.step)
            # summed as the entropy is, so that neither depends on the size of a batch
            loss = loss + self.config.dpo.weight * preference * len(batch.tokens)
            log["dpo"] = preference.item()
        run.update("s1", loss / scale)
        return log

    def validate(self) -> dict[str, float]:
        """Cross entropy a token and share of right tokens, over whole held-out sentences."""
        sums = torch.zeros(3)
        for group in self.judged:
            batch = collate(group, self.s1.config.end).to(self.compute.device)
            found = losses(self.s1, batch, self.guided)
            sums += torch.stack([found.entropy, found.right, found.count]).float().cpu()
        return {"entropy": (sums[0] / sums[2]).item(), "right": (sums[1] / sums[2]).item()}

    def sample(self, folder: Path) -> None:
        """`tokens.txt`: how many tokens held-out sentences have and got; and WAVs of them, spoken
        by the built-in S2 and vocoder in the clip's own voice, where these know the tokens."""
        folder.mkdir(parents=True, exist_ok=True)
        s1 = copy.deepcopy(self.s1).cpu().eval()
        sentences = [
            Sentence(
                torch.tensor(phone_ids([p.phone for p in example.phones])),
                torch.zeros(0, dtype=torch.long),
                0,
                token_bound(len(example.phones), TOKENS_PER_PHONE),
                REPEATED_TOKENS,
                None if example.bert is None else example.bert[None],
            )
            for _, _, example in self.shown
        ]
        lines = []
        slots = max(1, len(sentences))
        for index, tokens, complete in decode(s1, sentences, SAMPLING, slots):
            corpus, clip, example = self.shown[index]
            ended = "" if complete else ", never ended"
            lines.append(f"{clip.name}: {len(example.tokens)} true, {len(tokens)} made{ended}")
            if self.voice is not None and len(tokens):
                audio = self._spoken(corpus.audio(clip), example, s1)
                soundfile.write(folder / f"{index}-made.wav", audio, corpora.SAMPLE_RATE)
                soundfile.write(folder / f"{index}-true.wav", corpus.audio(clip), 24_000)
        (folder / "tokens.txt").write_text("\n".join(sorted(lines)) + "\n", encoding="utf-8")

    def finish(self, run: Run) -> None:
        """The checkpoint is all there is."""

    def _spoken(self, heard: np.ndarray, example: Example, s1: Text2SemanticDecoder) -> np.ndarray:
        """What the engine says with this S1, in the voice that is heard."""
        assert self.voice is not None
        voice = self.voice
        model = VoiceModel(voice.config, voice.recogniser, s1, voice.s2, voice.vocoder, "training")
        engine = Engine(model)
        if len(heard) < corpora.SAMPLE_RATE:
            heard = np.resize(heard, corpora.SAMPLE_RATE)
        reference = engine.reference([Sample(heard, corpora.SAMPLE_RATE)])
        request = Request(tuple(p.phone for p in example.phones), 0)
        return engine.render([request], reference, SAMPLING)[0].audio

    def _given(self, batch: Batch, step: int) -> Tensor:
        """What S1 continues: the batch's tokens, some of them as it guesses them itself."""
        if not self.config.own_guesses:
            return batch.tokens
        draw = torch.Generator().manual_seed(step_seed(self.config.seed, step))
        with torch.no_grad(), self.compute.autocast():
            logits, _ = self.s1(
                batch.phones, batch.phone_lengths, batch.tokens, batch.token_lengths, batch.bert
            )
        return with_guesses(logits, batch, self.config.own_guesses, draw)

    def _preference(self, batch: Batch, found: Losses, step: int) -> Tensor:
        """DPO's loss of true tokens against damaged ones, the mean over the batch."""
        draw = torch.Generator().manual_seed(step_seed(self.config.seed, step))
        wrong = rejected(batch, self.s1.config.end, draw)

        def likelihood(model: nn.Module, one: Batch) -> Tensor:
            with self.compute.autocast():
                logits, _ = model(
                    one.phones, one.phone_lengths, one.tokens, one.token_lengths, one.bert
                )
            return log_likelihood(logits, one.tokens, one.token_lengths)

        true_before = wrong_before = None
        if self.reference is not None:
            with torch.no_grad():
                true_before = likelihood(self.reference, batch)
                wrong_before = likelihood(self.reference, wrong)
        true = log_likelihood(found.logits, batch.tokens, batch.token_lengths)
        beta = self.config.dpo.beta
        return dpo_loss(true, likelihood(self.s1, wrong), true_before, wrong_before, beta)

    def _pool(self, draw: np.random.Generator) -> list[Batch]:
        """Training batches of similar length; most sentences are cut, some are joined."""
        pool = [self.training(draw) for _ in range(self.config.batch * 16)]
        pool = [cut(e, draw) if draw.random() < 0.67 else e for e in pool]
        short = [e for e in pool if len(e.tokens) < 120 and e.timed]
        pool += [join(a, b) for a, b in zip(short[::8], short[1::8], strict=False)]
        pool = [e for e in pool if SHORTEST <= len(e.tokens) <= LONGEST]
        if not pool:
            return self._pool(draw)
        groups = grouped(pool, self.config.batch)
        return [collate(groups[i], self.s1.config.end) for i in draw.permutation(len(groups))]

    def _examples(
        self, data: Data, bert: ChineseBert | None
    ) -> tuple[Mixture[Example], list[Example], list[tuple[Corpus, Clip, Example]]]:
        """Sentences to train on, those that judge, and those that are spoken as samples."""
        training: list[list[Example]] = []
        held_out: list[tuple[Corpus, Clip, Example]] = []
        for corpus, speech in zip(data.corpora, data.speech(), strict=True):
            tokens = stored_tokens(self.tokeniser, corpus, data.on_done)
            training.append([])
            for clip in corpus.clips:
                said, made = speech.get(clip.index), tokens[clip.index]
                if said is None or not SHORTEST <= len(made) <= LONGEST:
                    continue
                features = _characters(clip, said.phones, bert, self.config.language)
                example = Example(said.phones, made, said.timed, features)
                if clip.name not in data.held_out:
                    training[-1].append(example)
                elif clip.rate == 1.0:
                    held_out.append((corpus, clip, example))
        if not held_out or not any(training):
            raise UserError(
                f"Too few clips have a text and {SHORTEST / TOKENS_PER_SECOND} to "
                f"{LONGEST / TOKENS_PER_SECOND} seconds of sound: the stage semantic needs some to "
                "train on and some held out."
            )
        held_out.sort(key=lambda one: len(one[2].tokens))
        held_out = held_out[:: max(1, len(held_out) // JUDGED)]
        shown = held_out[:: max(1, len(held_out) // max(1, self.config.samples))]
        judged = [example for _, _, example in held_out]
        return Mixture(training, data.shares), judged, shown[: self.config.samples]


def _characters(
    clip: Clip, phones: tuple[Timed, ...], bert: ChineseBert | None, language: str
) -> Tensor | None:
    """BERT features (bert, phones) of a clip's text; None without a BERT."""
    if bert is None:
        return None
    if "text" not in clip.row:
        return torch.zeros(bert.width, len(phones))
    words = speak_text(clip.row["text"], clip.row.get("language") or language).words
    return bert_features(words, bert, len(phones)).cpu()
