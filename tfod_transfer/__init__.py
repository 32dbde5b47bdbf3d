"""Fine-tune TensorFlow detection models on your own photographs, measure them and serve them."""

__version__ = "0.1.0"
