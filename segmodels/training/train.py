"""Training, from the shards to the weights: one loop in plain torch, read from top to bottom.

What a step does depends on the configuration, the shards and the number of the step alone. So a killed run
that is started again gives the same bytes as one that was never stopped, with any number of loader workers.
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace
from time import perf_counter
from typing import Any, NamedTuple, NoReturn

import torch

from segdata import ShardSet
from segdata.base.canonical import digest_bytes, digest_file, pretty_json
from segdata.base.files import parsing
from segmodels.compute.device import arithmetic, choose_device, compiled, threads
from segmodels.compute.replaced import replaced
from segmodels.config.config import TrainConfig
from segmodels.data.augment import augmentation
from segmodels.data.batches import Batches, crop_size
from segmodels.data.images import samples
from segmodels.data.stream import open_stream
from segmodels.errors import SegmodelsError
from segmodels.inference.segmenter import Segmenter
from segmodels.inference.trained import weights_file
from segmodels.networks import spec
from segmodels.pretrained.pretrained import Start, load_init
from segmodels.runs.checkpoint import load_checkpoint, save_checkpoint, save_weights, weights_digest
from segmodels.runs.identity import about_weights, describe, digest_init
from segmodels.runs.opening import load_best, open_run, start_anew
from segmodels.runs.progress import Pace, Show, read_timing, silent
from segmodels.runs.run import Run, check_results, write_document, write_history
from segmodels.scoring.metrics import ConfusionMatrix
from segmodels.spec import Colours
from segmodels.training.ema import start_ema, update_ema
from segmodels.training.frozen import start_learning
from segmodels.training.interrupt import GivenUp, interruptible
from segmodels.training.limits import advice_on_numbers, check_batch_norms, enough_memory
from segmodels.training.losses import backward, class_weights, labelled_pixels
from segmodels.training.optim import clip_gradients, learning_rate_factor, make_optimizer, set_learning_rate
from segmodels.training.ranks import join_ranks
from segmodels.training.state import State, best_row, described_end, is_best, out_of_patience
from segmodels.training.validation import epoch_line, metrics_document, tell_other_score, validate, validate_epoch

CHECKPOINT_SECONDS = 60.0  # what a kill can cost; how often does not change the result
RANDOM = Start("", trunk_alone=False)
NEW_HEAD = 0.1  # of --lr: a trunk learns slowly as long as the layers behind it know nothing
GO_ON, SAVE, STOP = range(3)  # what a rank may wish after a step; the strongest wish is granted


class Outcome(NamedTuple):
    """How a training ended."""

    run: Run
    metrics: dict[str, Any]  # metrics.json; empty where it ended early, and on all ranks but the first
    digests: dict[str, str]  # step → digest of the weights after it


def train(  # noqa: PLR0912, PLR0915  (one straight story: cut into pieces it would have to be put together again)
    config: TrainConfig, *, until: int | None = None, show: Show = silent
) -> Outcome:
    """Train as `config` says, into its run folder; go on where a killed run was; do nothing where all is done.

    `until` ends it after that step, without a result. Raises SegmodelsError or SegdataError.
    """
    with ExitStack() as stack:
        # ---- where ------------------------------------------------------------------------------------------
        device = choose_device(config.device)
        ranks = stack.enter_context(join_ranks(device))
        stack.enter_context(arithmetic(fast=config.fast))
        show = show if ranks.rank == 0 else silent
        stack.enter_context(enough_memory(config, device, config.batch_size // ranks.count))

        # ---- what: everything that can be wrong is wrong here, not after an hour ----------------------------
        declared = spec(config.network, config.origin)
        options = declared.resolve(config.network_options)
        init = None if config.init is None else weights_file(config.init)
        config = replace(config, options=declared.noted(options), device=str(device), init=init)
        parts, place = declared.origin
        config = replace(config, network=declared.name, plugin=parts, plugin_file=place)
        geometry = declared.geometry(options)
        shards = ShardSet(config.shards, "train")
        val = ShardSet(config.shards, "val", version=shards.digest)
        samples(val, (1,))
        crop = crop_size(shards, geometry, config.crop, pad=config.pad)
        stream = open_stream(config, shards, ranks.count, show)
        batches = Batches(
            shards,
            geometry,
            augmentation(config, crop),
            config.batch_size,
            config.seed,
            rank=ranks.rank,
            ranks=ranks.count,
            workers=config.workers,
            pin=device.type == "cuda",
            shuffle=config.shuffle,
            stream=stream.between if stream else None,
        )
        if batches.share % config.accumulate:
            raise SegmodelsError(
                f"--accumulate {config.accumulate} does not divide the {batches.share} samples that each process has"
            )
        epoch_steps = batches.steps_per_epoch
        total = config.steps or (config.epochs or 0) * epoch_steps
        begins_with = digest_init(init) if init else None
        torch.manual_seed(config.seed)
        network = declared.build(len(shards.taxonomy.classes), crop, options)
        colours = Colours(config.mean, config.std)
        start = load_init(network, declared, options, crop, shards.taxonomy, init, colours) if init else RANDOM
        trunk_lr = (NEW_HEAD if start.trunk_alone else 1.0) if config.trunk_lr is None else config.trunk_lr
        config = replace(config, trunk_lr=trunk_lr)
        document = describe(config, shards, device, ranks.count, begins_with)
        start_learning(network, config, declared.trunk)
        check_batch_norms(network, crop, batches.share // config.accumulate, ranks.count * config.accumulate)

        # ---- the run folder ---------------------------------------------------------------------------------
        if ranks.rank == 0:
            stack.enter_context(open_run(config.out, document, replace=config.replace, show=show))
        ranks.wait()
        run = Run(config.out)
        if not run.about.is_file():
            raise SegmodelsError(f"{run.about} is not there: the machines of a training need one file system for --out")
        if run.finished:
            check_results(run)
            show(f"{run.path} is finished: nothing to do")
            return Outcome(run, run.results() if ranks.rank == 0 else {}, run.document().get("weights", {}))

        begun = run.document()
        count = begun["device"].get("threads") if device.type == "cpu" else None  # on which the order of sums depends
        if count:
            here = torch.get_num_threads()
            why = "" if count == here else f", as the run began with, not {here}"
            show(f"{run.path}: CPU threads: {count}{why}")
        stack.enter_context(threads(count))

        # ---- the network ------------------------------------------------------------------------------------
        if start.told:
            show(start.told)
        if start.trunk_alone and trunk_lr not in {0.0, 1.0}:
            show(f"the trunk learns at {trunk_lr:g} times the learning rate (--trunk-lr)")
        layout = torch.channels_last if config.channels_last else torch.contiguous_format
        network.to(device, memory_format=layout)  # type: ignore[call-overload]  # stubs know no memory_format
        forward = compiled(network) if config.compile else network
        optimizer = make_optimizer(
            config.optimizer,
            network,
            config.lr,
            momentum=config.momentum,
            weight_decay=config.weight_decay,
            trunk_lr=trunk_lr,
            decay=config.decay,
            trunk=declared.trunk,
        )
        segmenter = Segmenter(
            network, declared, geometry, crop, shards.taxonomy, config.mean, config.std, device, config.precision
        )
        counts = shards.statistics[0]
        weight = class_weights(config.class_weights, counts, device) if counts else None
        torch.manual_seed(config.seed + ranks.rank)  # dropout differs between ranks, the start did not

        # ---- where it was killed ----------------------------------------------------------------------------
        state = State(network, optimizer, start_ema(network) if config.ema else None, advice_on_numbers(config))
        if run.last.exists():
            checkpoint = load_checkpoint(run.last, document["id"])
            with parsing(f"{run.last} is not of this run", SegmodelsError, f"To mend it, {start_anew(run)}."):
                state.restore(checkpoint, ranks, device)
            del checkpoint  # and with it the view of the file
            best = best_row(state.history)
            if best is not None and best["step"] == state.step:  # killed between the checkpoint and the best weights
                if ranks.rank == 0:
                    save_weights(run.best, state.published, about_weights(document, crop, state.step))
            elif best is not None and config.early_stop:
                load_best(run, document, int(best["step"]), state.published)
            show(f"{run.path}: going on after step {state.step} of {total}")
        if state.step != ranks.highest(state.step, device):
            raise SegmodelsError(f"{run.last} is not the others': all machines of a training need one place for --out")
        timing = read_timing(run.timing_so_far)
        timing.sessions += 1
        validated: tuple[int, ConfusionMatrix] | None = None
        pace = Pace(state.step, total, config.batch_size)
        saved = perf_counter()

        def save() -> None:
            nonlocal saved
            state.read_losses(batches)
            state.check_finite()
            checkpoint = state.checkpoint(begun, ranks, device)
            if ranks.rank == 0:
                save_checkpoint(run.last, checkpoint)
                write_document(run.timing_so_far, timing.document(device))
            saved = perf_counter()

        def stop() -> NoReturn:
            save()
            raise SegmodelsError(f"stopped after step {state.step} of {total}. The same command goes on")

        def learning_rate(step: int) -> float:
            losses = [row["loss"] for row in state.history]
            shape: Any = {"warmup": config.warmup, "milestones": config.milestones, "losses": losses}
            threshold = config.plateau_threshold
            return config.lr * learning_rate_factor(config.schedule, step, total, **shape, threshold=threshold)

        def end_epoch() -> None:
            nonlocal validated
            state.read_losses(batches)
            epoch, lr = (state.step - 1) // epoch_steps, learning_rate(state.step - 1)
            row = {"epoch": epoch + 1, "step": state.step, "lr": lr, "loss": state.mean_loss}
            if (epoch + 1) % config.validate_every == 0 or state.step == total:
                try:
                    with timing.validating():
                        found, scores = validate_epoch(
                            segmenter, val, shards, state.published, ranks, config, interrupt
                        )
                except GivenUp:
                    stop()  # before the epoch's row, which the same command then begins with
                validated, row = (state.step, found), row | scores
            show(epoch_line(row, state.pixel_loss))
            state.history.append(row)
            state.running.clear()
            if ranks.rank == 0:
                write_history(run.history, state.history)
            if is_best(state.history):
                if config.early_stop:  # first, so that the best weights are of an epoch that the checkpoint knows
                    save()
                if ranks.rank == 0:
                    save_weights(run.best, state.published, about_weights(document, crop, state.step))

        # ---- the loop ---------------------------------------------------------------------------------------
        with interruptible(show) as interrupt:
            if state.ends_epoch(epoch_steps, total):  # it was stopped in the validation
                with timing.looping():
                    end_epoch()
            stop_at = state.step if out_of_patience(state.history, config.early_stop) else min(total, until or total)
            coming = interrupt.waiting(batches.between(state.step, stop_at), lambda: f"finishing step {state.step + 1}")
            try:
                for batch in timing.waited(coming):
                    epoch, lr = state.step // epoch_steps, learning_rate(state.step)
                    state.begin_step(device)
                    with interrupt.abortable(), replaced(declared, device):
                        set_learning_rate(optimizer, lr)
                        optimizer.zero_grad()
                        losses = backward(forward, batch, config, declared.step_weights, weight, device)
                        ranks.sum_gradients(network)
                        if config.clip:
                            clip_gradients(network, config.clip)
                    state.take_step()
                    optimizer.step()
                    ranks.share_buffers(network)
                    if state.ema is not None:
                        update_ema(state.ema, network, config.ema, state.step)
                    state.read_losses(batches)  # those of the step before: the device has its next work by now
                    state.unread = ranks.gather(torch.stack([losses, labelled_pixels(batch).to(losses)], dim=1))
                    state.step += 1
                    timing.images += config.batch_size
                    if state.step.bit_count() == 1 or state.step == total:
                        state.digests[str(state.step)] = weights_digest(network.state_dict())
                    show(pace.status(state.step, epoch, state.pixel_loss, lr))

                    if state.ends_epoch(epoch_steps, total):
                        end_epoch()
                        if out_of_patience(state.history, config.early_stop):
                            break

                    # what a kill may cost
                    due = perf_counter() - saved > CHECKPOINT_SECONDS
                    wish = ranks.highest(STOP if interrupt.asked else SAVE if due else GO_ON, device)
                    if wish == STOP:
                        stop()
                    elif wish == SAVE:
                        save()
            except GivenUp:
                if ranks.count > 1:  # the others are elsewhere
                    raise
                state.give_up_step(device)
                stop()
        save()
        if until is not None and state.step == until < total:
            return Outcome(run, {}, state.digests)

        # ---- the result -------------------------------------------------------------------------------------
        best = best_row(state.history) if config.early_stop else None
        early = state.step < total and out_of_patience(state.history, config.early_stop)
        ended = {"ended": described_end(state, total, config.early_stop)} if early else {}
        for line in ended.values():
            show(line)
        step, weights = state.step, state.published
        if best is not None and best["step"] != step:
            step = int(best["step"])
            weights = {n: t.to(device) for n, t in load_best(run, document, step, state.published).items()}
        if validated is None or validated[0] != step:
            with interruptible(show) as interrupt:
                validated = step, validate(segmenter, val, weights, ranks, config.workers, interrupt)[:, -1]
        metrics = metrics_document(validated[1], segmenter, step)
        if best is not None and metrics["miou"] != best["miou"]:
            tell_other_score(run, metrics["miou"], best, show)
        if ranks.rank == 0:
            save_weights(run.weights, weights, about_weights(document, crop, step))
            write_history(run.history, state.history)
            result = {
                "weights": state.digests,
                "confusion": validated[1].sum(0).tolist(),
                "model": digest_file(run.weights),
                "history": digest_file(run.history),
                "metrics": digest_bytes(pretty_json(metrics)),  # which is written last
                **ended,
            }
            write_document(run.about, run.document() | result)
            write_document(run.timing, timing.document(device))
            write_document(run.metrics, metrics)
        ranks.wait()
        return Outcome(run, metrics if ranks.rank == 0 else {}, state.digests)
