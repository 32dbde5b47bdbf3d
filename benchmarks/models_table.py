"""Measures every model of the registry and prints the rows of the README's table of models.

    python benchmarks/models_table.py [--model_id ID ...] [--results FILE]

Each figure is of a process of its own, with random weights and 90 classes (but for parity):

- parity: largest difference of the class logits from the Object Detection API's on the same weights, both in float32
  (a network of random weights as deep as these enlarges rounding, the deepest a million times);
- GFLOP: of the network for one image, a multiplication and an addition counted as two;
- CPU ms: processor time from a 640 x 480 JPEG to boxes in the exported SavedModel, under the policy that is chosen on
  this processor, median of 7; and how much of it passes outside the network (decoding, resizing, suppression, packing).
  Noise is added to what the network says, so that scores are spread as a trained model's are: suppression takes the
  longer the more boxes look alike;
- step GB: peak memory of a whole process that takes training steps (Adam, frozen batch norm) on batches of 1 and of 2
  images, in float32, and in bfloat16 where a model may be trained so; written as fixed + per image.

FILE keeps what was measured, so that an interrupted run goes on; `step_memory` of model_registry.yaml is from there.
"""

from __future__ import annotations

import argparse
import json
import pathlib
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from typing import Any

import numpy as np
from _measure import ROOT, SHARED, alternate, random_batch, shared

from tfod_transfer import cli, execution, registry

NUM_CLASSES, REPEATS = 90, 7
SPREAD = {"box_encodings": 0.5, "class_logits": 1.0}  # standard deviations; a trained model's logits have 0.95


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model_id", nargs="*")
    parser.add_argument("--results", type=pathlib.Path)
    parser.add_argument("--figure", choices=FIGURES, help=argparse.SUPPRESS)
    parser.add_argument("--options", nargs="*", default=[], help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    models = registry.load_registry()
    if arguments.figure:
        print(json.dumps(FIGURES[arguments.figure](models.get(arguments.model_id[0]), *arguments.options)))
        return
    results = json.loads(arguments.results.read_text()) if arguments.results and arguments.results.exists() else {}
    specs = [spec for spec in models if spec.coco_map and spec.model_id in (arguments.model_id or models.model_ids())]
    print(f"on {execution.processor_of_this_machine().name}", flush=True)
    names = "model_id | input | parameters | COCO mAP (published) | parity | GFLOP | CPU ms (outside the network) | "
    print(f"| {names}step GB float32 | step GB bfloat16 |")
    print("|---" * 9 + "|")
    for spec in specs:
        for key, command in figures_of(spec).items():
            if key not in results.setdefault(spec.model_id, {}):
                results[spec.model_id][key] = measured(spec, *command)
                if arguments.results:
                    arguments.results.write_text(json.dumps(results, indent=1))
        print(row(spec, results[spec.model_id]), flush=True)


def figures_of(spec: registry.ModelSpec) -> dict[str, tuple[str, ...]]:
    """What is measured of a model: name -> arguments of the process that does it."""
    new_cpu = execution.Processor("cpu", "", bfloat16=True)
    precisions = {"float32", execution.choose(spec, new_cpu).precision}
    steps = {f"step {p} {n}": ("step", p, str(n)) for p in sorted(precisions, reverse=True) for n in (1, 2)}
    return {"parity": ("parity",), "inference": ("inference",), **steps}


def measured(spec: registry.ModelSpec, figure: str, *options: str) -> Any:
    """The figure, from a process of its own; None where it failed (too little memory) or has no reference."""
    command = [sys.executable, __file__, "--model_id", spec.model_id, "--figure", figure, "--options", *options]
    finished = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=False)
    return json.loads(finished.stdout.splitlines()[-1]) if finished.returncode == 0 else None


def row(spec: registry.ModelSpec, found: dict[str, Any]) -> str:
    parity = "no reference" if found["parity"] is None else f"{found['parity']:.0e}"
    inference = found["inference"]
    columns = [
        f"`{spec.model_id}`",
        str(spec.input_size),
        f"{spec.parameters / 1e6:.1f} M",
        f"{spec.coco_map}",
        parity,
        f"{inference['gflop']:.1f}",
        f"{inference['cpu_ms']:.0f} ({outside(inference)})",
    ]
    for precision in ("float32", "bfloat16"):
        one, two = (found.get(f"step {precision} {n}") for n in (1, 2))
        columns.append(f"{2 * one - two:.1f} + {two - one:.2f}" if one and two else f"{one:.1f} for 1" if one else "-")
    return f"| {' | '.join(columns)} |"


def outside(inference: dict[str, float]) -> str:
    """Milliseconds, as a difference of two medians; where these are long, a difference is little more than noise."""
    share = inference["outside_ms"] / inference["cpu_ms"]
    if inference["cpu_ms"] < 500:
        return f"{inference['outside_ms']:.0f}"
    return "< 5 %" if abs(share) < 0.05 else "noise" if share < 0 else f"{share:.0%}"


def parity(spec: registry.ModelSpec) -> float | None:
    """Largest absolute difference of the class logits from the reference, as near to its arithmetic as we can run."""
    from tfod_transfer.modeling import zoo_checkpoint
    from tfod_transfer.modeling.detector import build_detector
    from tfod_transfer.modeling.layers import Execution

    sys.path.append(str(ROOT / "tests" / "golden"))
    from golden_reference import Reference
    from golden_runs import normalized_first

    reference = Reference(spec, lambda name: SHARED / name)
    if not reference.exists:
        return None
    detector = build_detector(spec, spec.num_classes, execution=Execution(batch_norm="fused"))
    with tempfile.TemporaryDirectory() as folder:
        prefix = reference.write_checkpoint(pathlib.Path(folder))
        names = reference.class_names
        zoo_checkpoint.restore(detector, prefix, checkpoint_class_names=names, class_names=names)
    images = normalized_first(reference.image()[np.newaxis], spec)
    _, logits = detector.head(detector.decoder(detector.backbone(images)))
    return float(np.abs(logits.numpy()[0, reference.tensors["rows"]] - reference.tensors["class_logits"]).max())


def inference(spec: registry.ModelSpec) -> dict[str, float]:
    import tensorflow as tf

    from tfod_transfer.data import resize
    from tfod_transfer.modeling.detector import build_detector
    from tfod_transfer.modeling.layers import Execution
    from tfod_transfer.serving import signatures
    from tfod_transfer.serving.loaded import LoadedDetector

    policy = execution.choose(spec, execution.processor_of_this_machine())
    dtype = tf.as_dtype(policy.export_precision)
    detector = build_detector(spec, NUM_CLASSES)
    photograph = next(iter(sorted((shared("data/bccd") / "test" / "images").iterdir()))).read_bytes()
    image = resize.resize(tf.io.decode_jpeg(photograph), spec)[tf.newaxis]
    with tempfile.TemporaryDirectory() as folder:
        signatures.save(signatures.ServingModule(Noisy(detector), ["N/A"] * (NUM_CLASSES + 1), dtype), folder)
        exported = LoadedDetector(folder)
    with detector.execution.changed_to(Execution(dtype, constant_weights=True)):
        network = tf.function(lambda x: tuple(detector(x)), autograph=False).get_concrete_function(image)
    _, processor = alternate({"whole": lambda: exported([photograph]), "network": lambda: network(image)}, REPEATS)
    outside = statistics.median(a - b for a, b in zip(processor["whole"], processor["network"], strict=True))
    return {
        "cpu_ms": 1000 * statistics.median(processor["whole"]),
        "outside_ms": 1000 * outside,
        "gflop": floating_point_operations(network) / 1e9,
    }


class Noisy:
    """A detector whose outputs have noise added."""

    def __init__(self, detector: Any) -> None:
        self._detector = detector
        self.spec, self.anchors, self.execution = detector.spec, detector.anchors, detector.execution
        shapes = {"box_encodings": 4, "class_logits": NUM_CLASSES + detector.spec.structure.background_slot}
        rng = np.random.default_rng(0)
        self._noise = {
            name: rng.normal(0, SPREAD[name], (1, len(self.anchors), depth)).astype(np.float32)
            for name, depth in shapes.items()
        }

    def __call__(self, images: Any, training: bool = False) -> Any:
        output = self._detector(images, training=training)
        return output._replace(**{name: getattr(output, name) + noise for name, noise in self._noise.items()})


def floating_point_operations(function: Any) -> int:
    from tensorflow.python.profiler import model_analyzer, option_builder

    options = option_builder.ProfileOptionBuilder(option_builder.ProfileOptionBuilder.float_operation())
    return int(model_analyzer.profile(function.graph, options=options.with_empty_output().build()).total_float_ops)


def step(spec: registry.ModelSpec, precision: str, batch_size: str) -> float:
    """Peak memory in GB of a process that takes one training step."""
    import tensorflow as tf

    from tfod_transfer import hyperparameters
    from tfod_transfer.modeling.detector import build_detector, trainable_variables_for
    from tfod_transfer.modeling.layers import Execution
    from tfod_transfer.training.exporting import peak_memory_bytes
    from tfod_transfer.training.fine_tuner import FineTuner
    from tfod_transfer.training.optimizers import build_optimizer

    count = int(batch_size)
    detector = build_detector(spec, NUM_CLASSES, execution=Execution(tf.as_dtype(precision)))
    model = FineTuner(detector, trainable_variables_for(detector, only_top=False), None, seed=0)
    model.compile(build_optimizer(hyperparameters.resolve({}, spec.defaults), 10))
    batch = random_batch(spec.input_size, count, NUM_CLASSES)
    sizes = tf.fill([count, 2], spec.input_size)
    batches = tf.data.Dataset.from_tensors({**batch, "image_ids": tf.range(count), "original_sizes": sizes})
    model.fit(batches.repeat(2), verbose=0)
    return peak_memory_bytes() / 2**30


FIGURES: dict[str, Callable[..., Any]] = {"parity": parity, "inference": inference, "step": step}


if __name__ == "__main__":
    cli.quiet_tensorflow()
    main()
