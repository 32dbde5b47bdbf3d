"""What number format and batch norm cost a model: the measurements behind `tfod_transfer.execution.choose`.

    python benchmarks/execution_policies.py [--model_id ID] [--batch_size 4] [--repeats 7] [--no-training]

"plain" is the model as Keras runs it: float32, batch norm after the convolution, weights in variables. `inference` is
one image of noise through the network as the SavedModel holds it (constant weights, but for "plain"); `training` is a
step with frozen batch norm: forward pass, targets, losses and gradients, without optimizer and input. All take turns,
so that other load on the machine slows them alike; ratios are medians over the turns, of wall and of processor time.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable

from _measure import Times, alternate, random_batch, training_step

from tfod_transfer import cli, execution, registry

NUM_CLASSES = 90


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model_id", default="tensorflow-od1-ssd-resnet50-v1-fpn-640x640-coco17-tpu-8")
    parser.add_argument("--batch_size", type=int, default=4)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--no-training", action="store_true")
    arguments = parser.parse_args()
    cli.quiet_tensorflow()
    spec = registry.load_registry().get(arguments.model_id)
    processor = execution.processor_of_this_machine()
    print(f"{spec.model_id} on {processor.name}, bfloat16 in hardware: {'yes' if processor.bfloat16 else 'no'}")
    print(f"policy chosen here: {execution.choose(spec, processor)}")
    report("inference, batch 1", *alternate(inference(spec), arguments.repeats))
    if not arguments.no_training:
        times = alternate(training(spec, arguments.batch_size), arguments.repeats)
        report(f"training step, batch {arguments.batch_size}", *times)


def report(title: str, elapsed: Times, processor: Times) -> None:
    print(f"{title:<24}{'wall ms':>10}{'cpu ms':>10}{'plain / this':>14}{'of cpu time':>13}")
    for name, times in elapsed.items():
        milliseconds = [1000 * statistics.median(each) for each in (times, processor[name])]
        ratios = [
            statistics.median(plain / this for plain, this in zip(each["plain"], each[name], strict=True))
            for each in (elapsed, processor)
        ]
        print(f"{name:<24}{milliseconds[0]:>10.0f}{milliseconds[1]:>10.0f}{ratios[0]:>14.2f}{ratios[1]:>13.2f}")


def inference(spec: registry.ModelSpec) -> dict[str, Callable[[], object]]:
    import tensorflow as tf

    from tfod_transfer.modeling.detector import build_detector
    from tfod_transfer.modeling.layers import Execution

    detector = build_detector(spec, NUM_CLASSES)
    images = random_batch(spec.input_size, 1, NUM_CLASSES)["images"]
    functions: dict[str, Callable[[], object]] = {}
    for name, how in {
        "plain": Execution(batch_norm="fused"),
        "float32, folded": Execution(constant_weights=True),
        "bfloat16, fused": Execution(tf.bfloat16, "fused"),
        "bfloat16, folded": Execution(tf.bfloat16, constant_weights=True),
    }.items():
        with detector.execution.changed_to(how):
            traced = tf.function(lambda x: tuple(detector(x)), autograph=False).get_concrete_function(images)
        functions[name] = lambda traced=traced: traced(images)
    return functions


def training(spec: registry.ModelSpec, batch_size: int) -> dict[str, Callable[[], object]]:
    import tensorflow as tf

    from tfod_transfer.modeling.detector import build_detector
    from tfod_transfer.modeling.layers import Execution

    detector = build_detector(spec, NUM_CLASSES)
    batch = random_batch(spec.input_size, batch_size, NUM_CLASSES)
    functions: dict[str, Callable[[], object]] = {}
    for name, how in {
        "plain": Execution(batch_norm="fused"),
        "float32, folded": Execution(),
        "bfloat16, fused": Execution(tf.bfloat16, "fused"),
        "bfloat16, folded": Execution(tf.bfloat16),
    }.items():
        with detector.execution.changed_to(how):
            functions[name] = training_step(detector, batch)
    return functions


if __name__ == "__main__":
    main()
